"""A scene: where it comes from, its bands, its offset, its reflectance."""
