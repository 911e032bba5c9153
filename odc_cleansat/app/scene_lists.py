"""The lists of scenes of one visit: each is made once, in the background where it is long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cachetools import LRUCache

if TYPE_CHECKING:
    from ..cube.scene_list import SceneRow

FIRST = 500
"""Scenes that are shown at once, the latest ones."""

PATIENCE = 0.4
"""Seconds for which a page waits for all scenes. Ten thousand take about one."""

FRESH_SECONDS = 60
"""How long a list is taken for what it was when it was made."""

Find = Callable[[int | None], Sequence["SceneRow"]]
"""Returns the latest scenes, so many or all."""


@dataclass
class _List:
    """A list that is made, or on its way."""

    changes: int
    before: Sequence[SceneRow] | None
    """The list that it replaces."""
    begun: float = field(default_factory=time.monotonic)
    made: Future[Sequence[SceneRow]] = field(default_factory=Future)

    def make(self, find: Find) -> None:
        try:
            self.made.set_result(find(None))
        except BaseException as error:
            self.made.set_exception(error)


class SceneLists:
    """Remembers lists of scenes, so that each click does not ask the datacube anew."""

    def __init__(self) -> None:
        self._lists: LRUCache[Hashable, _List] = LRUCache(4)

    def get(self, query: Hashable, changes: int, find: Find) -> tuple[Sequence[SceneRow], bool]:
        """Return the scenes of a query, the latest first, and whether those are all.

        Parameters
        ----------
        query
            Tells lists apart.
        changes
            A number that changes when a list may be another than before.
        find
            Asks the datacube; its errors are passed on.
        """
        found = self._lists.get(query)
        if found is None or self._is_old(found, changes):
            before = None if found is None or found.made.exception() else found.made.result()
            found = self._lists[query] = _List(changes, before)
            threading.Thread(target=found.make, args=(find,), daemon=True).start()
        wait([found.made], PATIENCE)
        if found.made.done():
            if found.made.exception() is not None:
                del self._lists[query]  # so that it is tried again
            return found.made.result(), True
        return (find(FIRST), False) if found.before is None else (found.before, True)

    def is_made(self, query: Hashable) -> bool:
        """Return whether a list that was asked for is whole, or has failed."""
        found = self._lists.get(query)
        return found is None or found.made.done()

    def _is_old(self, found: _List, changes: int) -> bool:
        late = time.monotonic() - found.begun > FRESH_SECONDS
        return found.made.done() and (late or found.changes != changes)
