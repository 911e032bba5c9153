"""Putting masks of a queue in an index, one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import CubeError
from .records import Failure
from .tasks import Task
from .worker import WrittenMask, with_retries

_REJECTED = "Reviewers have rejected this mask, so it was not indexed."

Index = Callable[[Path | str], object]
"""Puts the EO3 document of a mask in an index; to do it again does no harm."""


def told(mask: WrittenMask, indexed: Failure | None) -> dict[str, Any]:
    """Return the fields of a job whose mask is written."""
    warnings = (*mask.warnings, _REJECTED) if mask.rejected else mask.warnings
    fields: dict[str, Any] = {"document": mask.document, "warnings": warnings}
    if indexed is None:
        return fields | {"state": "found" if mask.found else "done"}
    reason = f"the mask is written, but cannot be indexed: {indexed.reason} Ask again to index it."
    return fields | {"state": "failed", "reason": reason}


class Indexer:
    """Indexes masks, one at a time."""

    def __init__(self, index: Index | None) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "cleansat-index")

    def index(self, task: Task, mask: WrittenMask) -> Failure | None:
        """Index a mask unless it is rejected; return what went wrong."""
        index = self._index
        if index is None or mask.rejected:
            return None

        def act() -> None:
            with self._lock:
                index(mask.document)

        return with_retries(act, task, "index", CubeError)

    def later(self, act: Callable[[], None]) -> None:
        """Call a function in the thread for indexing."""
        self._pool.submit(act)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
