"""A mask as arrays: classify a scene, adjust the mask, composite with it."""
