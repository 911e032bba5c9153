"""For experts to look at masks before they go into anything: pictures, pages and verdicts."""

from __future__ import annotations

from .figure import compare, true_colour

__all__ = ["compare", "true_colour"]
