"""The tasks of a classification: probabilities of one window, and the layers of one block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, pairwise

import numpy as np
from odc.geo.geobox import GeoBox

from ..classes import CLOUDS, CONFIDENCE_NODATA, CloudClass
from ..errors import ReflectanceWarning, tell
from ..grids.grid import box_geobox, corner, ground_resolution, model_grid, overlap
from ..grids.resample import covers, warp
from ..grids.windows import MULTIPLE, Box, Window, blend, prepare_window, windows
from ..models.calibration import calibrated
from ..models.engines import get_engine
from ..models.inference import checked_by
from ..models.model import Calibration, Model
from ..scenes.files import Band
from ..scenes.levels import LevelCheck
from ..scenes.nodata import has_data
from ..scenes.offset import OffsetCheck
from ..scenes.reflectance import to_model_grid
from ..threads import available_cpus, no_fork
from .inputs import finest_grid
from .light import refine_window
from .options import Options

BLOCK = 2048
"""Side of the blocks of the output, pixels, where the scene's chunks do not give one."""

Progress = Callable[[int, int], None]
"""Called with the number of windows done and the number there are."""

Area = tuple[Box, GeoBox]
"""A rectangle of the model grid, in pixels and on the ground."""


@dataclass
class Monitor:
    """Follows the tasks of a scene: counts them, and collects what tells whether the values are reflectance."""

    progress: Progress | None
    """Told when a window begins, some times a second while the network runs on it, and when it is done. What it raises
    ends the work."""

    done: int = 0
    """Windows done."""

    total: int = 0
    """Windows there are."""

    preparing: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(max(1, available_cpus() // 2))
    )
    """Held while pixels of a window are read and resampled, which takes some hundred MB. Half of the processors do that,
    while the others run the network."""

    _levels: LevelCheck | None = None
    _offsets: dict[tuple[float, bool], OffsetCheck] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_pixels(self, bands: Sequence[Band], pixels: np.ndarray, levels: LevelCheck) -> None:
        """Add the pixels of a window.

        Parameters
        ----------
        bands
            The bands of the window, with their packings.
        pixels
            ``(C, h, w)`` float32 reflectance of the bands on the model grid, NaN for nodata.
        levels
            Their levels, which also names them.
        """
        visible = [name in ("blue", "green", "red") for name in levels.names]
        with self._lock:
            if self._levels is None:
                self._levels = LevelCheck(levels.names)
            self._levels.merge(levels)
            if any(visible):
                packing = bands[visible.index(True)].packing
                assert packing is not None
                kind = packing.offset, packing.reflectance
                self._offsets.setdefault(kind, OffsetCheck()).add(pixels[visible])

    def count_windows(self, more: int) -> None:
        """Count more windows as done, and tell how many there are; none more tells that work goes on."""
        with self._lock:
            self.done += more
            if self.progress:
                self.progress(self.done, self.total)

    def complaints(self) -> list[str]:
        """Return what looks wrong with the values, for people; see :class:`LevelCheck` and :class:`OffsetCheck`."""
        found = [
            f"the offset {offset:g} looks wrong: {complaint}"
            for (offset, reflectance), check in self._offsets.items()
            if (complaint := check.complaint(offset, reflectance=reflectance))
        ]
        # An offset that is wrong for the scene makes single bands too low, too.
        if self._levels is not None and not found:
            found = [f"the values look wrong: {each}" for each in self._levels.complaints()]
        return found


# --- what a block needs ---------------------------------------------------------------


def windows_of_block(
    model: Model, scene: GeoBox, block: GeoBox
) -> tuple[Area | None, list[tuple[Window, GeoBox]]]:
    """Find what a block of the output needs.

    Parameters
    ----------
    model
        The model, which has the resolution and the tiling of the model grid.
    scene
        Grid of the whole scene.
    block
        Grid of the block.

    Returns
    -------
    area : tuple or None
        The part of the model grid that decides the block; None if the block is beyond the scene.
    windows : list of tuple
        The windows that touch this part, each with its grid.
    """
    crs, whole = model_grid(scene, model.resolution)
    roi = overlap(box_geobox(whole, crs, model.resolution), block)
    if roi is None:
        return None, []
    rows, columns = roi
    box = Box(
        whole.top + rows.start, whole.top + rows.stop,
        whole.left + columns.start, whole.left + columns.stop,
    )  # fmt: skip
    found = windows(whole, box, model.tiling)
    return (box, box_geobox(box, crs, model.resolution)), [
        (window, box_geobox(window.box, crs, model.resolution)) for window in found
    ]


def block_slices(bands: Sequence[Band], output: GeoBox) -> tuple[list[slice], list[slice]]:
    """Return rows and columns of the blocks of the output, so small that memory stays bounded."""
    chunks = next((b.data.chunks for b in bands if b.grid == output), None)
    if chunks is not None:
        return tuple([slice(*ends) for ends in pairwise(accumulate(c, initial=0))] for c in chunks)  # type: ignore[return-value]
    scene = finest_grid(bands)
    near = overlap(output, scene) or np.s_[0:0, 0:0]
    share = 1.0
    if 0 not in output[near].shape:
        # Each pixel of a coarse output covers many pixels of the scene, which are read at once.
        share = max(ground_resolution(scene)) / max(ground_resolution(output[near]))
    side = max(1, round(BLOCK * min(1.0, share)))
    found = []
    for size, span in zip(output.shape, near, strict=True):
        # Blocks beyond the scene may be large, because nothing is read for them.
        cuts = {*range(0, span.start, BLOCK), *range(span.start, span.stop, side)}
        cuts |= {*range(span.stop, size, BLOCK), size}
        found.append([slice(*ends) for ends in pairwise(sorted(cuts))])
    return found[0], found[1]


# --- the tasks ------------------------------------------------------------------------


@no_fork()
def window_probabilities(
    options: Options,
    parts: list[Band] | None,
    target: GeoBox,
    monitor: Monitor | None = None,
    gapless: set[GeoBox] | None = None,
) -> np.ndarray | None:
    """Run the network on one window.

    Parameters
    ----------
    options
        The options of the classification.
    parts
        The parts of the bands that decide the window; None if a band does not reach it.
    target
        Grid of the window.
    monitor
        Told of the pixels and of the end of the task. Without one, what looks wrong is told here.
    gapless
        The window is added to these if each pixel of each band has data.

    Returns
    -------
    numpy.ndarray or None
        ``(K, h, w)`` float32 probabilities, 0 to 1; None if no pixel has data in all bands.

    Raises
    ------
    SceneError
        If the values of a band cannot be reflectance.

    Warns
    -----
    ReflectanceWarning
        Without a monitor, if the values hardly can be.
    """
    follow = Monitor(None) if monitor is None else monitor
    probabilities = None
    follow.count_windows(0)
    if parts is not None:
        parts = [band.packed(options.scale, options.offset) for band in parts]
        levels = LevelCheck(options.model.bands)
        with follow.preparing:
            pixels = to_model_grid(parts, target, check=levels)
        levels.add_together(pixels)
        levels.refuse()
        if gapless is not None and not levels.gaps:
            gapless.add(target)
        follow.add_pixels(parts, pixels, levels)
        row, column = corner(target)
        batch = prepare_window(pixels, (row, column))
        if batch is not None:
            run = get_engine(options.model, options.engine, options.precision)
            above, left = row % MULTIPLE, column % MULTIPLE
            height, width = target.shape
            with checked_by(partial(follow.count_windows, 0)):
                answer = run(batch)
            probabilities = answer[0, :, above : above + height, left : left + width]
            if options.light is not None:
                probabilities = refine_window(
                    probabilities, pixels, options.model, target, options.light
                )
    follow.count_windows(1)
    if monitor is None:
        for complaint in follow.complaints():
            tell(complaint, ReflectanceWarning)
    return probabilities


@no_fork()
def block_layers(
    options: Options,
    area: Area | None,
    answers: list[tuple[Window, np.ndarray | None]],
    parts: list[Band] | None,
    target: GeoBox,
    names: list[str],
    gapless: Callable[[], bool] | None = None,
) -> dict[str, np.ndarray]:
    """Make the layers of one block of the output.

    Parameters
    ----------
    options
        The options of the classification.
    area
        The part of the model grid that decides the block; None if there is none.
    answers
        The windows that touch this part, each with its result of :func:`window_probabilities`.
    parts
        The parts of the bands that decide the block; None if a band does not reach it.
    target
        Grid of the block.
    names
        The layers wanted: ``ucl``, ``ucl_confidence``, ``ucl_probability``.
    gapless
        Whether each pixel of each band had data in all of the windows. Then the bands are not read again.

    Returns
    -------
    dict
        By name, ``target.shape`` uint8 codes with nodata 0, uint8 percent with nodata 255, and
        ``(K, *target.shape)`` float32 probabilities with NaN for nodata.
    """
    classes = options.model.classes
    if area is None or parts is None:
        on_target = np.full((len(classes), *target.shape), np.nan, dtype="float32")
        valid = np.zeros(target.shape, dtype=bool)
    else:
        box, grid = area
        on_target = warp(blend(box, answers, len(classes)), grid, target, "bilinear")
        valid = np.isfinite(on_target).all(axis=0)
        if not (gapless and gapless() and all(covers(band.grid, target) for band in parts)):
            parts = [band.packed(options.scale, options.offset) for band in parts]
            valid &= has_data(parts, target)
    codes, percent = decide_classes(
        on_target, valid, classes, dict(options.thresholds), options.model.calibration
    )
    layers = {"ucl": codes, "ucl_confidence": percent}
    if "ucl_probability" in names:
        layers["ucl_probability"] = np.where(valid, on_target, np.float32(np.nan))
    return {name: layers[name] for name in names}


def decide_classes(
    probabilities: np.ndarray,
    valid: np.ndarray,
    classes: Sequence[CloudClass],
    thresholds: dict[CloudClass, float],
    calibration: Calibration = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the class of each pixel.

    The likeliest class wins, and of equals the first. A class with a threshold wins wherever it reaches it, and
    nowhere else.

    Parameters
    ----------
    probabilities
        ``(K, y, x)`` float32, 0 to 1.
    valid
        ``(y, x)`` bool: where there are data.
    classes
        The K classes, in the order of the planes.
    thresholds
        Probability by class, 0 to 1; not for all classes.
    calibration
        Curves of :attr:`~odc_cleansat.models.Model.calibration`.

    Returns
    -------
    codes : numpy.ndarray
        ``(y, x)`` uint8 :class:`CloudClass` codes, nodata 0.
    percent : numpy.ndarray
        ``(y, x)`` uint8 percent, nodata 255; see :func:`confidence_of`.
    """
    codes = np.full(valid.shape, CloudClass.NODATA, dtype="uint8")
    best = np.full(valid.shape, -np.inf, dtype="float32")
    for c, plane in zip(classes, probabilities, strict=True):
        candidate = plane
        if c in thresholds:
            # Above every class without a threshold where it is reached, and below them elsewhere.
            candidate = plane + np.where(plane >= thresholds[c], np.float32(2), np.float32(-2))
        better = candidate > best
        np.copyto(best, candidate, where=better)
        codes[better] = c
    codes[~valid] = CloudClass.NODATA
    return codes, confidence_of(codes, probabilities, classes, calibration)


def confidence_of(
    codes: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[CloudClass],
    calibration: Calibration = (),
) -> np.ndarray:
    """Find how sure it is that pixels have certain classes, be these the likeliest or others.

    Parameters
    ----------
    codes
        ``(y, x)`` uint8 :class:`CloudClass` codes, nodata 0.
    probabilities
        ``(K, y, x)`` float32, 0 to 1, NaN for nodata.
    classes
        The K classes, in the order of the planes.
    calibration
        Curves of :attr:`~odc_cleansat.models.Model.calibration`.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` uint8, rounded probability of the class, for cloud of any kind that of all kinds; on its curve, if there
        is one. It is 0 for a class that is none of the K, and 255 where codes or probabilities have no data.
    """
    percent = np.zeros(codes.shape, dtype="float32")
    for c, plane in zip(classes, probabilities, strict=True):
        np.copyto(percent, plane, where=codes == c)
    clouds = [p for c, p in zip(classes, probabilities, strict=True) if c in CLOUDS]
    if len(clouds) > 1:
        # Doubt between thick and thin is no doubt that it is cloud.
        np.copyto(percent, sum(clouds), where=np.isin(codes, CLOUDS))
    percent = np.rint(100 * calibrated(percent, codes, calibration))
    percent[(codes == CloudClass.NODATA) | np.isnan(percent)] = CONFIDENCE_NODATA
    result: np.ndarray = percent.astype("uint8")
    return result
