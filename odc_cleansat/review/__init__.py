"""For experts to look at masks before they go into anything: pictures, pages and verdicts."""

from __future__ import annotations

from ..products.verdicts import Verdict, accept, flag, reject, verdict, verdicts
from .comparison import Comparison, compare
from .datasets import mask_dataset, scene_dataset
from .figure import true_colour
from .page import page

__all__ = [
    "Comparison",
    "Verdict",
    "accept",
    "compare",
    "flag",
    "mask_dataset",
    "page",
    "reject",
    "scene_dataset",
    "true_colour",
    "verdict",
    "verdicts",
]
