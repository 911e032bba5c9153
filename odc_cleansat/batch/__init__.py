"""Masks of many scenes: what there is to do, and doing it on several processes.

A :class:`Request` says which masks are wanted; :func:`plan` finds the scenes without one, and :func:`execute` makes
and indexes their masks. A run may be killed at any moment and started again.
"""

from __future__ import annotations

from .planning import plan
from .records import Failure, Plan, Report, Request, read_failures
from .runner import execute, run

__all__ = [
    "Failure",
    "Plan",
    "Report",
    "Request",
    "execute",
    "plan",
    "read_failures",
    "run",
]
