"""The states of review of many masks, read in the background and remembered for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from ..cube.scene_list import MaskRow, mask_states
from ..errors import CleansatError

FRESH_SECONDS = 60
"""How long a state is taken for what it was when it was read."""

PATIENCE = 0.5
"""Seconds for which a page waits for states, so that a fast store shows them at once."""

_BATCH = 200
"""Masks that are read at a time, so that the first states are there soon."""


@dataclass(frozen=True)
class _Known:
    state: str
    read: float
    """When it was read, seconds of the monotonic clock."""


class ReviewStates:
    """Knows whether masks are accepted, rejected or unreviewed. Slow stores are read in the background."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[UUID, _Known] = {}
        self._reading: set[UUID] = set()

    def get(self, masks: Iterable[MaskRow]) -> dict[UUID, str]:
        """Return what is known of some masks, and have the others read; what is not there soon is there later.

        Parameters
        ----------
        masks
            As a catalogue lists them.

        Returns
        -------
        dict
            Id to one of :data:`~odc_cleansat.products.verdict_files.STATES`; unknown ones are missing.
        """
        oldest = time.monotonic() - FRESH_SECONDS
        with self._lock:
            rows = {row.id: row for row in masks}
            known = {mask: self._known[mask] for mask in rows if mask in self._known}
            due = [
                row
                for mask, row in rows.items()
                if (mask not in known or known[mask].read < oldest) and mask not in self._reading
            ]
            self._reading |= {row.id for row in due}
        if due:
            reader = threading.Thread(target=self._read, args=(due,), daemon=True)
            reader.start()
            reader.join(PATIENCE)
        with self._lock:
            return {mask: self._known[mask].state for mask in rows if mask in self._known}

    def forget(self, mask: UUID) -> None:
        """Read a mask anew when it is asked for, because somebody has just said something of it."""
        with self._lock:
            self._known.pop(mask, None)

    def _read(self, masks: list[MaskRow]) -> None:
        for start in range(0, len(masks), _BATCH):
            part = masks[start : start + _BATCH]
            try:
                states, unread = mask_states(part)
                found = {mask: state for mask, state in states.items() if mask not in unread}
            except (CleansatError, OSError):
                found = {}
            now = time.monotonic()
            with self._lock:
                self._known.update({mask: _Known(state, now) for mask, state in found.items()})
                self._reading -= {row.id for row in part}
