"""Compare masks with labels: count pixels, compute scores, write tables and a figure.

The functions for arrays are :func:`agreement`, :func:`accuracy` and :class:`Confusion`; those for files
:func:`evaluate_rasters` and :func:`evaluate_points`, whose result :func:`write_report` writes.
"""

from __future__ import annotations

from .confusion import Confusion, Question
from .counting import Protocol
from .mappings import get_mapping
from .points import evaluate_points, read_points
from .rasters import Case, ClassRaster
from .report import write_report
from .results import Evaluation
from .scores import accuracy, agreement, seams
from .streaming import evaluate_rasters

__all__ = [
    "Case",
    "ClassRaster",
    "Confusion",
    "Evaluation",
    "Protocol",
    "Question",
    "accuracy",
    "agreement",
    "evaluate_points",
    "evaluate_rasters",
    "get_mapping",
    "read_points",
    "seams",
    "write_report",
]
