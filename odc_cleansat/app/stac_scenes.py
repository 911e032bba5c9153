"""Scenes of a STAC API: searched, and remembered by their ids while pages show them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from uuid import UUID

from cachetools import LRUCache

from ..cube.stac_list import StacRow, search_stac
from ..errors import CleansatError, SceneError
from ..scenes.scene import Scene

if TYPE_CHECKING:
    from datacube import Datacube
    from odc.geo.geom import Geometry


REMEMBERED = 5_000
"""Scenes that are remembered."""

LISTED = 200
"""Most scenes of one search: APIs give a hundred a page."""


class StacScenes:
    """The scenes of a STAC API that were found.

    Parameters
    ----------
    api
        Address of the API, or name of a provider.
    collection
        Name of the collection there; by default as :func:`~odc_cleansat.scenes.search.search` chooses.
    """

    def __init__(self, api: str, collection: str | None = None) -> None:
        self._api = api
        self._collection = collection
        self._lock = threading.Lock()
        self._rows: LRUCache[UUID, StacRow] = LRUCache(REMEMBERED)
        self._scenes: LRUCache[UUID, Scene] = LRUCache(REMEMBERED)

    def search(self, area: Geometry | None, time: str | None, dc: Datacube | None) -> list[StacRow]:
        """Return the scenes of an area and time, the latest first.

        Parameters
        ----------
        area
            In degrees.
        time
            ISO 8601, or two times with a slash between.
        dc
            A datacube whose masks of these scenes are told.

        Raises
        ------
        CleansatError
            If area or time is missing, or the API does not answer or has nothing.
        """
        if area is None or not time:
            raise CleansatError(
                "a STAC API has all of the Earth: give an area and a time, such as 2024-06."
            )
        found = search_stac(
            area, time, api=self._api, collection=self._collection, limit=LISTED, dc=dc
        )
        with self._lock:
            self._rows.update({row.id: row for row in found})
        return sorted(found, key=lambda row: str(row.time), reverse=True)

    def get(self, scene: UUID) -> Scene | None:
        """Return a scene that was found; None if there was none with this id.

        Raises
        ------
        SceneError
            If it cannot be masked, or its files cannot be read.
        """
        with self._lock:
            row, known = self._rows.get(scene), self._scenes.get(scene)
        if row is None or known is not None:
            return known
        if row.problem:
            raise SceneError(row.problem)
        opened = row.scene()
        with self._lock:
            self._scenes[scene] = opened
        return opened
