"""`compare`: a scene's masks side by side, for experts to look at."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dask
import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from ..errors import OutputError, ReflectanceWarning, SceneError
from ..evaluate.confusion import Question
from ..evaluate.scores import agreement as agree
from ..scenes.bands import find_bands
from ..scenes.offset import QUANTIFICATION, OffsetCheck, resolve_offset
from ..scenes.reflectance import Band, check_scale, missing_pixels
from ..storage.atomic import write_file
from .align import NAMES, Source, _aligned, _arranged, _codes, _date, _grid, _sources, _times
from .layers import (
    CLASSES,
    CONFIDENCES,
    LABEL_CLASSES,
    Frame,
    Layer,
    agreement_categories,
    agreement_codes,
    make_layer,
    without,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DRAWN = 3_000_000
"""Pixels of true colour, and of each layer, that are drawn at most, all dates together."""

FORMATS = (".png", ".pdf", ".html")
"""Of files, by their suffix."""

STYLES = ("panels", "outlines")


@dataclass(frozen=True)
class Comparison:
    """A scene's masks, ready to be drawn; Jupyter shows it as a picture."""

    grid: GeoBox
    """Of what is drawn: north up, and coarser than the scene's where that is large."""

    frames: tuple[Frame, ...]
    """One a date."""

    title: str = ""
    """For instance the name of the scene."""

    style: str = "panels"
    """One of :data:`STYLES`."""

    def figure(self) -> Figure:
        """Draw it with matplotlib: dates as rows, layers as columns.

        Raises
        ------
        OutputError
            If there are too many dates for one picture.
        """
        from .figure import draw

        return draw(self)

    def save(self, path: str | Path) -> Path:
        """Write a picture, or a page to swipe between the layers.

        Parameters
        ----------
        path
            ``.png``, ``.pdf`` or ``.html``. What is there is replaced; folders are made.

        Raises
        ------
        OutputError
            If the suffix is another, or it cannot be written.
        """
        path = Path(path)
        check_format(path)
        if path.suffix.lower() == ".html":
            from .swipe import swipe_page

            content = swipe_page(self).encode("utf-8")
        else:
            content = self._drawn(path.suffix.lower().removeprefix("."))
        write_file(path, content)
        return path

    def _drawn(self, kind: str) -> bytes:
        buffer = io.BytesIO()
        self.figure().savefig(buffer, format=kind, dpi=150, bbox_inches="tight")
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self._drawn("png")


def check_format(path: Path) -> None:
    """Refuse a file that :meth:`Comparison.save` could not write.

    Raises
    ------
    OutputError
        Saying which suffixes there are.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"cannot write {path}: name it {', '.join('*' + s for s in FORMATS)}.")


def compare(
    scene: xr.Dataset,
    *,
    scl: Source = None,
    ucl: Source | xr.Dataset = None,
    label: Source = None,
    confidence: bool | xr.DataArray | str = False,
    agreement: str | None = None,
    style: str = "panels",
    offset: float | None = None,
    scale: float | None = None,
    names: Mapping[str, str] | None = None,
    title: str = "",
) -> Comparison:
    """Compare masks of a scene by eye: true colour, SCL (cloud classes only), UCL, and what else there is.

    Layers on another grid than the scene are brought to it (nearest). Percentages are those of all
    pixels with data, also where the picture is thinned.

    Parameters
    ----------
    scene
        As from :func:`odc_cleansat.load` or `dc.load`: red, green and blue by any of their names, dims
        ``([time,] y, x)``, with an odc-geo geobox. Integer digital numbers, or reflectance with NaN for
        nodata. One date or several.
    scl
        Sen2Cor's codes, as an array or as the name of one in `scene`; by default `scene`'s, if it has any.
    ucl
        :class:`CloudClass` codes, likewise; or what :func:`~odc_cleansat.classify` gives.
    label
        :class:`CloudClass` codes drawn by hand, nodata 0; see :mod:`odc_cleansat.evaluate.scores` for mappings of
        other codes. What it does not name as cloud or shadow is called "other".
    confidence
        Also show ``ucl_confidence`` (uint8, percent, nodata 255): that of `scene`, or this one.
    agreement
        Also show where UCL and SCL agree, or UCL and label without SCL (with both, two maps): on
        ``contaminated`` (cloud or shadow), ``cloud``, ``shadow`` or ``clear``.
    style
        ``panels``: filled; ``outlines``: outlines over true colour.
    offset
        Radiometric offset, digital numbers; by default of the coordinate ``offset``, which
        :func:`odc_cleansat.load` gives, of the attribute ``offset``, or of the bands' ``add_offset``; else 0.
    scale
        Reflectance per digital number, by default 1/10000 for integers and 1 for floating-point numbers.
    names
        Other names for ``scl``, ``ucl``, ``label`` and ``confidence``.
    title
        For instance the name of the scene; dates are added.

    Returns
    -------
    Comparison
        Shows itself in Jupyter; its `save` writes PNG, PDF or HTML.

    Raises
    ------
    SceneError
        If a band or a mask is missing, lies elsewhere, is of other times, or holds other codes.

    Warns
    -----
    ReflectanceWarning
        If the pixels look as if the offset were wrong.

    Examples
    --------
    >>> data = odc_cleansat.load(dc, "s2_l2a", time="2024-06", **grid)  # doctest: +SKIP
    >>> compare(data, agreement="contaminated").save("june.html")  # doctest: +SKIP
    """
    if style not in STYLES:
        raise SceneError(f"style={style!r} is unknown; choose {' or '.join(STYLES)}.")
    question = None if agreement is None else _question(agreement)
    scene = _arranged(scene, "scene")
    grid = _grid(scene)
    found = _sources(scene, scl, ucl, label, confidence)
    arrays = {key: _aligned(key, array, scene, grid) for key, array in found.items()}
    if question is not None and not {"scl", "label"} & arrays.keys():
        raise SceneError(
            "there is neither an SCL nor a label that the UCL could agree with; give one, or leave the agreement out."
        )
    count = scene.sizes.get("time", 1)
    step = math.ceil(math.sqrt(grid.shape[0] * grid.shape[1] * count / DRAWN))
    step = min(max(step, 1), *grid.shape)
    called = {**NAMES, **(names or {})}
    frames = []
    for i, time in enumerate(_times(scene)):
        # Together, as a UCL and its confidence come out of one inference.
        (loaded,) = dask.compute({key: _date(array, i) for key, array in arrays.items()})
        planes = {key: _codes(key, array) for key, array in loaded.items()}
        rgb = _reflectance(scene, i, step, offset, scale)
        agreed = agree(planes["ucl"], loaded["scl"].values) if "scl" in planes else {}
        known = loaded["ucl"].attrs.get("flag_values", [c.value for c in CLASSES])
        frames.append(Frame(time, rgb, _layers(planes, called, question, step, known), agreed))
    drawn = GeoBox(frames[0].rgb.shape[:2], grid.affine * Affine.scale(step), grid.crs)
    if grid.affine.e > 0:  # rows from south to north
        frames, drawn = [_flipped(frame) for frame in frames], drawn.flipy()
    return Comparison(drawn, tuple(frames), title, style)


def _question(name: str) -> Question:
    try:
        return Question(name)
    except ValueError:
        known = ", ".join(q.value for q in Question)
        raise SceneError(f"agreement={name!r} is unknown; choose from {known}.") from None


def _layers(
    planes: Mapping[str, np.ndarray],
    names: Mapping[str, str],
    question: Question | None,
    step: int,
    known: Collection[int],
) -> tuple[Layer, ...]:
    # A model that does not know a class should not be said to have found none of it.
    own = tuple(c for c in CLASSES if c.value in known or (planes["ucl"] == c.value).any())
    kinds = {"ucl": own, "confidence": CONFIDENCES, "label": LABEL_CLASSES}
    titles = {**names, "scl": f"{names['scl']}, cloud classes only"}
    layers = [
        make_layer(key, titles[key], codes, kinds.get(key, CLASSES), step)
        for key, codes in planes.items()
    ]
    for key, other in {"scl": "SCL", "label": "label"}.items():
        if question is None or key not in planes:
            continue
        what = "cloud or shadow" if question is Question.CONTAMINATED else question.value
        codes = agreement_codes(planes["ucl"], planes[key], question)
        name, kinds_of = f"UCL and {other}: {what}", agreement_categories(other)
        layers.append(make_layer(f"agreement-{key}", name, codes, kinds_of, step))
    return tuple(layers)


def _reflectance(
    scene: xr.Dataset, i: int, step: int, offset: float | None, scale: float | None
) -> np.ndarray:
    """True colour of a date, thinned: ``(h, w, 3)`` float32, NaN without data."""
    names = find_bands(scene.data_vars, ["red", "green", "blue"])
    bands = [_date(scene[name], i) for name in names.values()]
    every = slice(step // 2, None, step)
    bands = [band.isel(dict.fromkeys(band.dims, every)) for band in bands]
    grid = bands[0].odc.geobox
    pixels = [band.values for band in bands]
    gone = np.stack(missing_pixels([Band(band, grid) for band in bands], pixels), axis=-1)
    whole = pixels[0].dtype.kind in "ui"
    if offset is None:
        # Floating-point numbers are reflectance already, unless a scale says otherwise.
        offset = _offset(scene, bands[0], i) if whole or scale is not None else 0.0
    per_dn = (1 / QUANTIFICATION if whole else 1.0) if scale is None else scale
    rgb = np.stack([(plane.astype("float32") + np.float32(offset)) * np.float32(per_dn) for plane in pixels], axis=-1)  # fmt: skip
    planes = np.moveaxis(np.where(gone.any(axis=-1, keepdims=True), np.float32(np.nan), rgb), -1, 0)
    check_scale(planes)
    if whole:
        check = OffsetCheck()
        check.add(planes)
        if complaint := check.complaint(offset):
            warnings.warn(
                f"the offset {offset:g} looks wrong: {complaint}", ReflectanceWarning, stacklevel=3
            )
    return without(rgb, gone, cut=whole)


def _offset(scene: xr.Dataset, band: xr.DataArray, i: int) -> float:
    if "offset" in scene.coords:
        values = np.atleast_1d(scene["offset"].values)
        value = float(values[i] if values.size > 1 else values[0])
        if np.isfinite(value):
            return value
    if "offset" in scene.attrs:
        return float(scene.attrs["offset"])
    if (added := band.attrs.get("add_offset")) is not None:
        scale = band.attrs.get("scale_factor")
        return resolve_offset({}, add_offset=added, scale_factor=scale, dtype=band.dtype.name).value
    return 0.0


def _flipped(frame: Frame) -> Frame:
    layers = tuple(
        Layer(a.key, a.name, a.codes[::-1], a.categories, a.percent, a.gaps) for a in frame.layers
    )
    return Frame(frame.time, frame.rgb[::-1], layers, frame.agreement)
