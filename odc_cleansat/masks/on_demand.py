"""The mask of one scene, computed from its files block by block.

Each process keeps the probabilities of recent windows. So small blocks, and several layers of one
block, do not run the network again.
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
from ..errors import LightWarning, ModelError, ReflectanceWarning, SceneError, tell
from ..models.model import Model
from ..models.registry import get_model
from ..models.weights import sha256_of
from ..scenes.angles import stated_light
from ..scenes.files import Band, BandFile, SceneFiles, local_path, parts_of, reading
from ..scenes.offset import Offset
from ..scenes.settle import settle_offset
from ..storage.reader import LARGEST, parse_json
from ..threads import no_fork
from .inputs import check_same_ground, finest_grid
from .light import Light
from .options import (
    Options,
    check_reflectance_has_no_offset,
    check_resolution,
    check_scale_and_offset,
    check_thresholds,
)
from .tasks import (
    Monitor,
    block_layers,
    block_slices,
    window_probabilities,
    windows_of_block,
)

ADDRESS = "cleansat://this-band-needs/driver=cleansat"
"""Start of the addresses that only our reader driver can open; it says so to people who meet one."""

COMPUTED = f"{ADDRESS}/computed-mask"
"""Start of the address of a mask that is computed on demand."""

CACHE_BYTES = 512_000_000
"""Bytes of probabilities that each process keeps, that is 15 whole windows of four classes. A Sentinel-2 tile
has 8 windows at 30 m; at 10 m it has 78, 6 in a row."""

NODATA = {"ucl": int(CloudClass.NODATA), "ucl_confidence": CONFIDENCE_NODATA}
"""Nodata value of each layer."""


@dataclass(frozen=True)
class OnDemandMask:
    """All that decides the pixels of a scene's mask."""

    model: str
    """Name of the model."""

    files: tuple[BandFile, ...]
    """The bands, in the order of the model's bands."""

    offset: float
    """Radiometric offset, digital numbers."""

    scale: float | None
    """Reflectance per digital number; see :func:`~odc_cleansat.classify`."""

    thresholds: tuple[tuple[str, float], ...]
    """Class labels and probabilities, 0 to 1."""

    label: str
    """Name of the scene, for messages."""

    source: str
    """What decided the offset."""

    refine: bool = True
    """Whether the mask is refined by light."""

    properties: tuple[tuple[str, Any], ...] = ()
    """What the scene says of its light; see :data:`~odc_cleansat.scenes.angles.NAMES`."""

    rival: float | None = None
    """What another place in the metadata tells of the offset; see :class:`~odc_cleansat.scenes.offset.Offset`."""

    def address(self, layer: str) -> str:
        """Return the address of a layer, which takes the place of the path of a file."""
        document = json.dumps(vars(self), separators=(",", ":")).encode()
        packed = base64.urlsafe_b64encode(zlib.compress(document, 9)).decode()
        return f"{COMPUTED}/{layer}?{packed}#needs-driver=cleansat"

    @staticmethod
    @lru_cache(maxsize=1024)
    def from_address(address: str) -> tuple[str, OnDemandMask]:
        """Return the layer and the mask of an address."""
        layer, _, packed = address.removeprefix(f"{COMPUTED}/").partition("?")
        packed, _, _ = packed.partition("#")
        content = zlib.decompressobj().decompress(base64.urlsafe_b64decode(packed), LARGEST)
        document = parse_json(content, "the address of a computed band", nan=True)
        document["files"] = tuple(BandFile(*file) for file in document["files"])
        for field in ("thresholds", "properties"):
            document[field] = tuple((name, value) for name, value in document.get(field, ()))
        return layer, OnDemandMask(**document)

    def options(self, scene: GeoBox) -> Options:
        """Return the options of the classification, with the model that has the name now.

        Parameters
        ----------
        scene
            Grid of the scene.

        Raises
        ------
        ModelError
            If this process knows no such model.
        """
        return Options.of(
            get_model(self.model),
            scale=self.scale,
            offset=self.offset,
            thresholds=dict(self.thresholds),
            light=Light.of(dict(self.properties), scene) if self.refine else None,
        )


def on_demand_mask(
    scene: SceneFiles,
    model: str | Model | None = None,
    thresholds: Mapping[str, float] | None = None,
    offset: float | None = None,
    scale: float | None = None,
    refine: bool = True,
) -> OnDemandMask:
    """Decide how the mask of a scene is made.

    Parameters
    ----------
    scene
        The files of the scene.
    model
        Name or :class:`Model`; by default the best model whose bands the scene has.
    thresholds
        Class label to probability, 0 to 1; see :func:`~odc_cleansat.classify`.
    offset
        Radiometric offset, digital numbers; by default what the metadata of the scene say.
    scale
        Reflectance per digital number.
    refine
        Whether the mask is refined by light; else it is the network's own answer.

    Raises
    ------
    SceneError
        If the scene lacks bands, or its offset is not known.
    ModelError
        If there is no such model, or a threshold does not fit it. Also if `model` is another one than
        other processes know by its name: the mask travels with the name only.
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
    check_scale_and_offset(scale, offset)
    bands = scene.wanted(chosen.bands)
    scene.warn_of_level(chosen.name, chosen.level)
    decided = scene.offset(offset)
    return OnDemandMask(
        chosen.name,
        tuple(bands.values()),
        decided.value,
        None if scale is None else float(scale),
        tuple((name, float(value)) for name, value in (thresholds or {}).items()),
        scene.label,
        decided.source,
        refine,
        stated_light(scene.properties),
        decided.rival,
    )


def compute_layer(mask: OnDemandMask, layer: str, target: GeoBox) -> np.ndarray:
    """Compute one layer of a scene's mask on any grid.

    Parameters
    ----------
    mask
        How the mask is made.
    layer
        ``ucl`` or ``ucl_confidence``.
    target
        The grid.

    Returns
    -------
    numpy.ndarray
        ``target.shape`` uint8: codes with nodata 0, or percent with nodata 255.

    Raises
    ------
    SceneError
        If a file cannot be read, its values do not suit the scale, or an offset is given with reflectance.
    """
    result = np.full(target.shape, NODATA[layer], dtype="uint8")
    with no_fork(), reading(mask.label):
        stamps = tuple(map(time_stamp, mask.files))
        bands = [_opened(*each) for each in zip(mask.files, stamps, strict=True)]
        scene = finest_grid(bands)
        options = mask.options(scene)
        check_resolution(bands, options.model)
        check_same_ground(bands, options.model)
        offset = _settled(mask, stamps)
        bands = [band.packed(mask.scale, offset) for band in bands]
        check_reflectance_has_no_offset(bands, offset)
        # With the weights, for a model of the same name may have been imported since.
        network = options.model, sha256_of(options.model)
        key = (network, mask.files, offset, mask.scale, options.light, stamps)
        rows, columns = block_slices(bands, target)
        for roi in ((y, x) for y in rows for x in columns):
            block = target[roi]
            area, found = windows_of_block(options.model, scene, block)
            answers = [
                (window, _CACHE.get((*key, window), partial(_infer, mask, options, bands, grid)))
                for window, grid in found
            ]
            parts = parts_of(bands, block)
            result[roi] = block_layers(options, area, answers, parts, block, [layer])[layer]
    return result


def _infer(
    mask: OnDemandMask, options: Options, bands: Sequence[Band], grid: GeoBox
) -> np.ndarray | None:
    """Return the probabilities of one window; warn if its pixels do not suit the offset."""
    monitor = Monitor(None)
    probabilities = window_probabilities(options, parts_of(bands, grid), grid, monitor)
    if options.light is not None and options.light.complaint:
        tell(f"{mask.label}: {options.light.complaint}.", LightWarning)
    for complaint in monitor.complaints():
        tell(f"{mask.label}: {complaint}", ReflectanceWarning)
    return probabilities


# --- what each process keeps ----------------------------------------------------------


_OPENING = threading.RLock()
"""Held while a file is opened. rioxarray then catches the warnings of all threads, and two threads at once could
catch them for good."""


@lru_cache(maxsize=1024)
def _settled(mask: OnDemandMask, stamps: tuple[int, ...]) -> float:
    """Return the offset that a mask is made with, digital numbers; see :func:`settle_offset`."""
    if mask.scale is not None:
        return mask.offset
    files = dict(zip(get_model(mask.model).bands, mask.files, strict=True))
    with _OPENING:
        return settle_offset(
            files, Offset(mask.offset, mask.source, rival=mask.rival), mask.label
        ).value


@lru_cache(maxsize=128)
def _opened(file: BandFile, stamp: int) -> Band:
    """Return an open file; it is kept, for opening takes longer than reading a small block."""
    with _OPENING:
        return file.open()


def time_stamp(file: BandFile) -> int:
    """Return when a file was last changed, ns; 0 off disk. So a new one is not taken for an old one of its name."""
    try:
        return os.stat(local_path(file.uri)).st_mtime_ns
    except (OSError, ValueError):
        return 0


class _WindowCache:
    """Probabilities of recent windows by key; two threads that want the same window share one computation."""

    def __init__(self, limit: int) -> None:
        self._kept: LRUCache[Any, Future[np.ndarray | None]] = LRUCache(limit, _size)
        self._running: dict[Any, Future[np.ndarray | None]] = {}
        self._lock = threading.Lock()

    def get(self, key: Any, compute: Callable[[], np.ndarray | None]) -> np.ndarray | None:
        """Return what is kept or running under the key, or compute it."""
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
                    with contextlib.suppress(ValueError):  # larger than the whole cache
                        self._kept[key] = future
        return future.result()


def _size(future: Future[np.ndarray | None]) -> int:
    probabilities = future.result()
    return 1 if probabilities is None else probabilities.nbytes


_CACHE = _WindowCache(CACHE_BYTES)


def clear_cache() -> None:
    """Forget all windows and open files of this process, and give up what other threads are computing."""
    global _CACHE, _OPENING
    _OPENING = threading.RLock()
    _CACHE = _WindowCache(CACHE_BYTES)
    _opened.cache_clear()
    _settled.cache_clear()


if hasattr(os, "register_at_fork"):
    # A forked child has no threads that would finish what was running or release the locks, and it must
    # not share open files with its parent.
    os.register_at_fork(after_in_child=clear_cache)
