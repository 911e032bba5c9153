"""What works on this machine, and how to mend what does not: :func:`examine`.

Each topic has a module with a probe, a function that yields findings. Each finding has to come within a time limit,
so that nothing hangs. Libraries are imported by the probe that needs them; those that may crash run in a process apart.
"""

from __future__ import annotations

from .examine import TOPICS, Questions, examine
from .finding import Finding

__all__ = ["Finding", "Questions", "TOPICS", "examine"]
