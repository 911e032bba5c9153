"""Review masks before they are used: pictures that compare masks, and pages over many of them.

Experts look at them and give verdicts, which :mod:`odc_cleansat.products` keeps.
"""

from __future__ import annotations

from .comparison import Appearance, Comparison, compare
from .datasets import class_file, mask_dataset, scene_dataset
from .figure import true_colour
from .inspection import Inspection, inspect_mask
from .review_page import PageText, page

__all__ = [
    "Appearance",
    "Comparison",
    "Inspection",
    "PageText",
    "class_file",
    "compare",
    "inspect_mask",
    "mask_dataset",
    "page",
    "scene_dataset",
    "true_colour",
]
