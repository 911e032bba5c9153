"""A mask as arrays: classify a scene, make the mask stricter or more lenient, composite with it."""

from __future__ import annotations

from .classify import classify
from .composite import composite
from .hide import mask_clouds
from .persist import persist
from .presets import PRESETS, Preset, apply_preset, get_preset
from .refine import refine

__all__ = [
    "PRESETS",
    "Preset",
    "apply_preset",
    "classify",
    "composite",
    "get_preset",
    "mask_clouds",
    "persist",
    "refine",
]
