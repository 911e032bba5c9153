"""The mask of one scene, computed from its files block by block.

What has been computed is kept for a while in each process, so that small blocks, and several layers of
one block, do not repeat inference.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from cachetools import LRUCache
from odc.geo.geobox import GeoBox

from ..classes import CONFIDENCE_NODATA, CloudClass
from ..errors import ModelError, ReflectanceWarning, SceneError, tell
from ..models.model import Model
from ..models.registry import get_model
from ..models.weights import sha256_of
from ..scenes.files import BandFile, SceneFiles, local_path, reading
from ..scenes.reflectance import Band
from .tasks import (
    How,
    Watch,
    block_layers,
    block_slices,
    check_offset,
    check_resolution,
    check_scale_factor,
    check_thresholds,
    finest,
    parts_of,
    plan,
    window_answer,
)

ADDRESS = "cleansat://this-band-needs/driver=cleansat"
"""How addresses that only our driver can open begin. Who cannot reads there what to do."""

COMPUTED = f"{ADDRESS}/computed-mask"

CACHE_BYTES = 512_000_000
"""Probabilities kept in each process: 15 whole windows of four classes. A Sentinel-2 tile has 8 at 30 m; at 10 m it has
78, 6 in a row."""

EMPTY = {"ucl": int(CloudClass.NODATA), "ucl_confidence": CONFIDENCE_NODATA}
"""The layers, and their values for no data."""


@dataclass(frozen=True)
class OnDemandMask:
    """All that decides the pixels of a scene's mask."""

    model: str
    """Its name."""

    files: tuple[BandFile, ...]
    """In the order of the model's bands."""

    offset: float
    """Radiometric offset, digital numbers."""

    scale: float | None
    """Reflectance per digital number; see :func:`~odc_cleansat.classify`."""

    thresholds: tuple[tuple[str, float], ...]
    """Class labels and probabilities."""

    label: str
    """The scene, for messages."""

    def address(self, layer: str) -> str:
        """What stands for a layer where other bands have the path of a file."""
        document = json.dumps(vars(self), separators=(",", ":")).encode()
        packed = base64.urlsafe_b64encode(zlib.compress(document, 9)).decode()
        return f"{COMPUTED}/{layer}?{packed}#needs-driver=cleansat"

    @staticmethod
    @lru_cache(maxsize=1024)
    def from_address(address: str) -> tuple[str, OnDemandMask]:
        """The layer and the mask that an address stands for."""
        layer, _, packed = address.removeprefix(f"{COMPUTED}/").partition("?")
        packed, _, _ = packed.partition("#")
        document = json.loads(zlib.decompress(base64.urlsafe_b64decode(packed)))
        document["files"] = tuple(BandFile(*file) for file in document["files"])
        document["thresholds"] = tuple((name, value) for name, value in document["thresholds"])
        return layer, OnDemandMask(**document)

    def how(self) -> How:
        """For the classification."""
        model = get_model(self.model)
        thresholds = check_thresholds(dict(self.thresholds), model)
        return How(model, None, None, self.scale, self.offset, thresholds)


def on_demand_mask(
    scene: SceneFiles,
    model: str | Model | None = None,
    thresholds: Mapping[str, float] | None = None,
    offset: float | None = None,
    scale: float | None = None,
) -> OnDemandMask:
    """How to make the mask of a scene; see :func:`~odc_cleansat.cube.driver.with_ucl`.

    Raises
    ------
    ModelError
        If a model is given that is not the one of its name among those that can be chosen: a mask
        travels with its name only.
    """
    try:
        chosen = get_model(model, bands=scene.files)
    except SceneError as error:
        raise SceneError(f"{scene.label}: {error}") from None
    if isinstance(model, Model) and get_model(model.name) != model:
        raise ModelError(
            f"{model.name} is not the model of that name that other processes know; import it first "
            "(cleansat models import), and name it."
        )
    check_thresholds(thresholds, chosen)
    check_scale_factor(scale)
    bands = scene.wanted(chosen.bands)
    scene.check_level(chosen.name, chosen.level)
    return OnDemandMask(
        chosen.name,
        tuple(bands.values()),
        scene.offset(offset).value,
        None if scale is None else float(scale),
        tuple((name, float(value)) for name, value in (thresholds or {}).items()),
        scene.label,
    )


def compute_layer(mask: OnDemandMask, layer: str, target: GeoBox) -> np.ndarray:
    """One layer of a scene's mask on any grid.

    Parameters
    ----------
    layer
        ``ucl`` or ``ucl_confidence``.
    target
        The grid.

    Returns
    -------
    numpy.ndarray
        ``target.shape``, uint8; 0 or 255 where there are no data.

    Raises
    ------
    SceneError
        If a file cannot be read, its values are not what the scale says, or an offset is to be taken off reflectance.
    """
    how = mask.how()
    result = np.full(target.shape, EMPTY[layer], dtype="uint8")
    with reading(mask.label):
        stamps = _stamps(mask.files)
        bands = [_opened(*each) for each in zip(mask.files, stamps, strict=True)]
        check_resolution(bands, how.model)
        check_offset(bands, mask.scale, mask.offset)
        # A model of the same name may have been imported since.
        network = how.model, sha256_of(how.model)
        key = (network, mask.files, mask.offset, mask.scale, stamps)
        rows, columns = block_slices(bands, target)
        for roi in ((y, x) for y in rows for x in columns):
            block = target[roi]
            area, found = plan(how.model, finest(bands), block)
            answers = [
                (window, _ANSWERS.get((*key, window), partial(_infer, mask, how, bands, grid)))
                for window, grid in found
            ]
            pixels = parts_of(bands, block)
            result[roi] = block_layers(how, area, answers, pixels, block, [layer])[layer]
    return result


OPENING = threading.RLock()
"""Held while a file is opened, for which rioxarray catches the warnings of all threads: two at once could catch them for good."""


@lru_cache(maxsize=128)
def _opened(file: BandFile, stamp: int) -> Band:
    """An open file, for the next block; opening it takes longer than reading a small one."""
    with OPENING:
        return file.open()


def _infer(mask: OnDemandMask, how: How, bands: Sequence[Band], grid: GeoBox) -> np.ndarray | None:
    """Probabilities of one window; speaks up if the pixels do not look as the offset has it."""
    watch = Watch(None)
    answer = window_answer(how, parts_of(bands, grid), grid, watch)
    if complaint := watch.check.complaint(mask.offset):
        tell(
            f"{mask.label}: the offset {mask.offset:g} looks wrong: {complaint}",
            ReflectanceWarning,
        )
    return answer


def _stamps(files: Sequence[BandFile]) -> tuple[int, ...]:
    """When files on disk were changed last, so that new ones of the same name are not taken for the old."""
    found = []
    for file in files:
        try:
            found.append(os.stat(local_path(file.uri)).st_mtime_ns)
        except (OSError, ValueError):  # not on disk
            found.append(0)
    return tuple(found)


class _Answers:
    """What windows were answered lately, by key; what is asked for twice at once is computed once."""

    def __init__(self, limit: int) -> None:
        self._kept: LRUCache[Any, Future[np.ndarray | None]] = LRUCache(limit, _size)
        self._running: dict[Any, Future[np.ndarray | None]] = {}
        self._lock = threading.Lock()

    def get(self, key: Any, compute: Callable[[], np.ndarray | None]) -> np.ndarray | None:
        with self._lock:
            future = self._kept.get(key) or self._running.get(key)
            if mine := future is None:
                future = self._running[key] = Future()
        if not mine:
            return future.result()
        try:
            future.set_result(compute())
        except BaseException as error:
            future.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._running[key]
                if future.exception() is None:
                    with contextlib.suppress(ValueError):  # larger than all that may be kept
                        self._kept[key] = future
        return future.result()


def _size(future: Future[np.ndarray | None]) -> int:
    answer = future.result()
    return 1 if answer is None else answer.nbytes


_ANSWERS = _Answers(CACHE_BYTES)


def _forget() -> None:
    # A forked child has no threads that would finish what was running, nor release the lock.
    global _ANSWERS, OPENING
    OPENING = threading.RLock()
    _ANSWERS = _Answers(CACHE_BYTES)
    _opened.cache_clear()  # nor may it share its parent's open files


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
