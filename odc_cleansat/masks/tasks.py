"""The tasks of `classify`: which windows a block needs, one window, one block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np
from odc.geo.geobox import GeoBox

from ..classes import CLOUDS, CONFIDENCE_NODATA, CloudClass
from ..errors import ModelError, SceneError
from ..grids.grid import box_geobox, ground_resolution, model_grid, overlap
from ..grids.resample import warp
from ..grids.windows import Box, Window, blend, prepare, windows
from ..models.engines import get_engine
from ..models.model import Model
from ..scenes.bands import native_resolution
from ..scenes.offset import OffsetCheck
from ..scenes.reflectance import Band, check_scale, has_data, to_model_grid

COARSEST = 1.5
"""A band may be this much coarser than the model's resolution or its own, and no more."""

BLOCK = 2048
"""Side of the blocks in which the output is made where the scene's chunks do not say."""

Progress = Callable[[int, int], None]

Area = tuple[Box, GeoBox]
"""A rectangle of the model grid, in pixels and on the ground."""


@dataclass(frozen=True)
class How:
    """What every task needs to know; small, and goes into the graph."""

    model: Model
    engine: str | None
    precision: str | None
    scale: float | None
    offset: float
    thresholds: tuple[tuple[CloudClass, float], ...]


@dataclass
class Watch:
    """Follows the tasks of a scene in memory: counts them, and looks at what they read."""

    progress: Progress | None
    check: OffsetCheck = field(default_factory=OffsetCheck)
    done: int = 0
    total: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def saw(self, visible: np.ndarray) -> None:
        with self._lock:
            self.check.add(visible)

    def finished(self) -> None:
        with self._lock:
            self.done += 1
            if self.progress:
                self.progress(self.done, self.total)


def check_resolution(bands: Iterable[Band], model: Model) -> None:
    """Refuse bands whose pixels are too large for the model, though the sensor's are not.

    Parameters
    ----------
    bands
        In the order of the model's.

    Raises
    ------
    SceneError
        Saying what to load.
    """
    for name, band in zip(model.bands, bands, strict=True):
        # A model of 10 m is fed the bands of 20 and 60 m too, and nobody has those any finer.
        own = native_resolution(name)
        limit = COARSEST * max(model.resolution, own)
        coarse = max(ground_resolution(band.grid))
        if coarse > limit:
            raise SceneError(
                f"the pixels of {name} are {coarse:.0f} m wide, too coarse for {model.name}, which was "
                f"trained at {model.resolution:g} m. Load the bands at {limit:g} m or finer (the sensor's own "
                f"pixels are of {own} m), and ask for the mask on a coarse grid: with geobox=, or reproject "
                "in a recipe."
            )


def finest(bands: Iterable[Band]) -> GeoBox:
    """The grid of the smallest pixels, which stands for the scene."""
    return min((band.grid for band in bands), key=lambda grid: max(ground_resolution(grid)))


def check_scale_factor(scale: float | None) -> None:
    if scale is not None and not 0 < scale < np.inf:
        raise SceneError(f"the scale {scale} is not above 0; 1/10000 is that of Sentinel-2.")


def check_offset(bands: Iterable[Band], scale: float | None, offset: float) -> None:
    """Refuse an offset in digital numbers for reflectance, of which it would make nothing.

    Raises
    ------
    SceneError
        If a band is of floating point, no scale says that these are digital numbers, and the offset is not 0.
    """
    if offset and scale is None and any(band.data.dtype.kind == "f" for band in bands):
        raise SceneError(
            f"the bands are of floating point, which is taken for reflectance, and an offset of {offset:g} is for "
            "digital numbers. Pass offset=0 (--offset 0) for reflectance, or scale=1/10000 if these are Sentinel-2's "
            "digital numbers."
        )


def check_thresholds(
    thresholds: Mapping[str, float] | None, model: Model
) -> tuple[tuple[CloudClass, float], ...]:
    known = {c.label: c for c in model.classes}
    for name, value in (thresholds or {}).items():
        if name not in known:
            raise ModelError(f"{model.name} has no class {name!r}; it has {', '.join(known)}.")
        if not 0 <= value <= 1:
            raise ModelError(f"the threshold of {name} is {value}; it must be between 0 and 1.")
    if thresholds and len(thresholds) == len(known):
        raise ModelError(
            f"thresholds name every class of {model.name}; leave out the one, such as clear, that "
            "takes the pixels where no threshold is reached."
        )
    return tuple((known[name], float(value)) for name, value in (thresholds or {}).items())


def plan(
    model: Model, extent: GeoBox, target: GeoBox
) -> tuple[Area | None, list[tuple[Window, GeoBox]]]:
    """What a block of the output needs.

    Returns
    -------
    tuple
        The part of the model grid that decides the block, None if there is none, and the windows that touch it.
    """
    crs, scene = model_grid(extent, model.resolution)
    roi = overlap(box_geobox(scene, crs, model.resolution), target)
    if roi is None:
        return None, []
    rows, columns = roi
    box = Box(
        scene.top + rows.start, scene.top + rows.stop,
        scene.left + columns.start, scene.left + columns.stop,
    )  # fmt: skip
    found = windows(scene, box, model.tiling)
    return (box, box_geobox(box, crs, model.resolution)), [
        (window, box_geobox(window.box, crs, model.resolution)) for window in found
    ]


def parts_of(bands: Sequence[Band], target: GeoBox) -> list[Band] | None:
    """The parts of a scene that decide a part of another grid; None if one of the bands ends before."""
    parts = [band.part(target) for band in bands]
    return None if None in parts else parts  # type: ignore[return-value]


def block_slices(bands: Sequence[Band], output: GeoBox) -> tuple[list[slice], list[slice]]:
    """Rows and columns of the output that are made together, so many that memory stays bounded."""
    chunks = next((b.data.chunks for b in bands if b.grid == output), None)
    if chunks is not None:
        return tuple([slice(*ends) for ends in pairwise(accumulate(c, initial=0))] for c in chunks)  # type: ignore[return-value]
    extent = finest(bands)
    near = overlap(output, extent) or np.s_[0:0, 0:0]
    share = 1.0
    if 0 not in output[near].shape:
        # A pixel of a coarse output takes as many of the scene as it covers.
        share = max(ground_resolution(extent)) / max(ground_resolution(output[near]))
    side = max(1, round(BLOCK * min(1.0, share)))
    found = []
    for size, span in zip(output.shape, near, strict=True):
        # Beyond the scene nothing is read, and blocks may be large.
        cuts = {*range(0, span.start, BLOCK), *range(span.start, span.stop, side)}
        cuts |= {*range(span.stop, size, BLOCK), size}
        found.append([slice(*ends) for ends in pairwise(sorted(cuts))])
    return found[0], found[1]


# --- the tasks ------------------------------------------------------------------------


def window_answer(
    how: How, parts: list[Band] | None, target: GeoBox, watch: Watch | None = None
) -> np.ndarray | None:
    """Probabilities of one window, ``(K, h, w)`` float32, or None if it holds no data."""
    answer = None
    if parts is not None:
        pixels = to_model_grid(parts, target, how.scale, how.offset)
        check_scale(pixels)
        if watch is not None:
            visible = [b in ("blue", "green", "red") for b in how.model.bands]
            if any(visible):
                watch.saw(pixels[visible])
        batch = prepare(pixels)
        if batch is not None:
            run = get_engine(how.model, how.engine, how.precision)
            answer = run(batch)[0, :, : target.shape[0], : target.shape[1]]
    if watch is not None:
        watch.finished()
    return answer


def block_layers(
    how: How,
    area: Area | None,
    answers: list[tuple[Window, np.ndarray | None]],
    parts: list[Band] | None,
    target: GeoBox,
    names: list[str],
) -> dict[str, np.ndarray]:
    """The layers of one block of the output."""
    classes = len(how.model.classes)
    on_target = np.full((classes, *target.shape), np.nan, dtype="float32")
    valid = np.zeros(target.shape, dtype=bool)
    if area is not None and parts is not None:
        box, grid = area
        on_target = warp(blend(box, answers, classes), grid, target, "bilinear")
        valid = has_data(parts, target) & np.isfinite(on_target).all(axis=0)
    codes, percent = _decide(on_target, valid, how)
    layers = {"ucl": codes, "ucl_confidence": percent}
    if "ucl_probability" in names:
        layers["ucl_probability"] = np.where(valid, on_target, np.float32(np.nan))
    return {name: layers[name] for name in names}


def _decide(
    probabilities: np.ndarray, valid: np.ndarray, how: How
) -> tuple[np.ndarray, np.ndarray]:
    """The class and its percent; nodata where not valid."""
    thresholds = dict(how.thresholds)
    codes = np.full(valid.shape, CloudClass.NODATA, dtype="uint8")
    best = np.full(valid.shape, -np.inf, dtype="float32")
    percent = np.zeros(valid.shape, dtype="float32")
    for c, plane in zip(how.model.classes, probabilities, strict=True):
        candidate = plane
        if c in thresholds:
            # Above any class not named where the threshold is reached, below them elsewhere.
            candidate = plane + np.where(plane >= thresholds[c], np.float32(2), np.float32(-2))
        better = candidate > best
        np.copyto(best, candidate, where=better)
        np.copyto(percent, plane, where=better)
        codes[better] = c
    clouds = [p for c, p in zip(how.model.classes, probabilities, strict=True) if c in CLOUDS]
    if len(clouds) > 1:
        # Doubt between thick and thin is no doubt that it is cloud.
        np.copyto(percent, sum(clouds), where=np.isin(codes, CLOUDS))
    codes[~valid] = CloudClass.NODATA
    percent = np.rint(100 * percent)
    percent[~valid] = CONFIDENCE_NODATA
    return codes, percent.astype("uint8")
