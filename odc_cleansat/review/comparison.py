"""`compare`: a scene's masks side by side, for experts to look at."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from ..classes import CONFIDENCE_NODATA, CloudClass, scl_to_ucl
from ..errors import OutputError, ReflectanceWarning, SceneError
from ..evaluate import Question
from ..evaluate import agreement as agree
from ..grids import Band, check_scale, missing
from ..reflectance import QUANTIFICATION, OffsetCheck, find_bands, resolve_offset
from ..storage import write_file
from .layers import (
    CLASSES,
    CONFIDENCES,
    LABEL_CLASSES,
    Frame,
    Layer,
    agreement_categories,
    agreement_codes,
    confidence_codes,
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

NAMES = {
    "scl": "SCL (Sen2Cor)",
    "ucl": "UCL (UNet)",
    "label": "Label",
    "confidence": "Confidence, percent",
}
"""What layers are called unless they are given other names."""

ALIGNED = 0.01
"""Grids whose corners differ by less than this many pixels are one: coordinates are rounded."""

Source = xr.DataArray | str | None


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
        :class:`CloudClass` codes drawn by hand, nodata 0; see :mod:`odc_cleansat.evaluate` for mappings of
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


# --- what there is --------------------------------------------------------------------


def _arranged(data: Any, name: str) -> Any:
    """Dims in the order ``([time,] y, x)``."""
    dims = data.odc.spatial_dims
    if dims is None:
        raise SceneError(f"{name} has no two dimensions of space, such as y and x.")
    if unknown := set(data.dims) - {"time", *dims}:
        raise SceneError(
            f"{name} has the dimensions {', '.join(map(str, data.dims))}; only time, {dims[0]} and {dims[1]} "
            f"can be drawn. Select one of {', '.join(map(str, sorted(unknown)))}."
        )
    return data.transpose("time", *dims, missing_dims="ignore")


def _grid(scene: xr.Dataset) -> GeoBox:
    grid = scene.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the scene has no coordinate system; give it one, e.g. scene.odc.assign_crs('EPSG:32633')."
        )
    if not grid.axis_aligned:
        raise SceneError(
            "the scene is rotated against its coordinate system; reproject it, e.g. with scene.odc.reproject."
        )
    if 0 in grid.shape or 0 in scene.sizes.values():
        raise SceneError(
            f"the scene is empty: its sizes are {dict(scene.sizes)}; load it for an extent and times for "
            "which there are data."
        )
    assert isinstance(grid, GeoBox)
    return grid


def _sources(
    scene: xr.Dataset,
    scl: Source,
    ucl: Source | xr.Dataset,
    label: Source,
    confidence: bool | xr.DataArray | str,
) -> dict[str, xr.DataArray]:
    """The layers that are given or in the scene, in the order in which they are shown."""
    inside = {"ucl": "ucl", "confidence": "ucl_confidence"}
    with contextlib.suppress(SceneError):  # it may have none
        inside |= find_bands(scene.data_vars, ["scl"])
    sure: Any = None if confidence is True else confidence
    if isinstance(ucl, xr.Dataset):
        sure = ucl.get("ucl_confidence") if sure is None else sure
        ucl = ucl.get("ucl")
    given = {"scl": scl, "ucl": ucl, "confidence": sure, "label": label}
    found = {}
    for key, array in given.items():
        if isinstance(array, xr.DataArray):
            found[key] = array
            continue
        name = array or inside.get(key)
        if name in scene.data_vars:
            found[key] = scene[name]
        elif array or key == "ucl" or (key == "confidence" and confidence):
            hint = f"load it too, or pass {key}= as an array"
            if key == "ucl":
                hint = "load the scene with odc_cleansat.load, or pass ucl=odc_cleansat.classify(scene)"
            raise SceneError(
                f"the scene has no {name!r}; it has {', '.join(map(str, scene.data_vars)) or 'nothing'}. "
                f"Please {hint}."
            )
    if confidence is False:
        found.pop("confidence", None)
    return found


def _times(scene: xr.Dataset) -> list[np.datetime64 | None]:
    if "time" not in scene.coords:
        return [None] * scene.sizes.get("time", 1)
    return list(np.atleast_1d(scene["time"].values))


def _aligned(key: str, array: xr.DataArray, scene: xr.Dataset, grid: GeoBox) -> xr.DataArray:
    """A layer on the scene's grid and at its times."""
    array = _same_times(key, _arranged(array, key), scene)
    own = array.odc.geobox
    if own is None or own.crs is None:
        if array.shape[-2:] == tuple(grid.shape):
            return array
        raise SceneError(
            f"{key} has the shape {array.shape[-2:]} and no coordinate system, the scene {tuple(grid.shape)}; "
            "give it one, e.g. with .odc.assign_crs, so that it can be brought to the scene's grid."
        )
    if _same_grid(own, grid):
        return array
    if not own.extent.to_crs(grid.crs).intersects(grid.extent):
        raise SceneError(f"{key} lies elsewhere than the scene: none of its pixels is in it.")
    nodata = CONFIDENCE_NODATA if key == "confidence" else int(CloudClass.NODATA)
    array = array.assign_attrs(nodata=array.attrs.get("nodata", nodata))
    moved: xr.DataArray = array.odc.reproject(grid, resampling="nearest")
    return moved


def _same_grid(one: GeoBox, other: GeoBox) -> bool:
    if one.shape != other.shape or one.crs != other.crs:
        return False
    step = ~other.affine * one.affine
    corners = [(0, 0), (one.shape[1], one.shape[0])]
    return all(np.allclose(step * corner, corner, rtol=0, atol=ALIGNED) for corner in corners)


def _same_times(key: str, array: xr.DataArray, scene: xr.Dataset) -> xr.DataArray:
    """Select the scene's times; a layer without time is of its only one."""
    count = scene.sizes.get("time", 1)
    if "time" not in array.dims:
        if count > 1 and key != "label":
            raise SceneError(f"{key} has no time, and the scene {count}; give it a dimension time.")
        # What was painted may be of no time, or of that when it was.
        if key == "label" or "time" not in array.coords or "time" not in scene.coords:
            return array
        same = np.array_equal(np.atleast_1d(array["time"]), np.atleast_1d(scene["time"]))
        if not same:
            raise _other_times(key, array, scene)
        return array
    if array.sizes["time"] == count and ("time" not in array.coords or "time" not in scene.coords):
        return array
    wanted = np.atleast_1d(scene["time"].values)
    if np.array_equal(array["time"].values, wanted):
        return array
    if not array.indexes["time"].is_unique:
        raise SceneError(
            f"{key} has a time twice, and is not of the very times of the scene; group what was taken at one time, "
            "e.g. with group_by='solar_day'."
        )
    try:
        selected: xr.DataArray = array.sel(time=wanted)
    except KeyError:
        raise _other_times(key, array, scene) from None
    return selected


def _other_times(key: str, array: xr.DataArray, scene: xr.Dataset) -> SceneError:
    return SceneError(
        f"{key} is of other times than the scene, which has {', '.join(_days(scene))}; it has "
        f"{', '.join(_days(array))}."
    )


def _days(data: Any, most: int = 3) -> list[str]:
    if "time" not in data.coords:
        return ["none"]
    days = [str(t)[:16] for t in np.atleast_1d(data["time"].values)]
    return days if len(days) <= most else [*days[:most], f"{len(days) - most} more"]


def _date(array: xr.DataArray, i: int) -> xr.DataArray:
    return array.isel(time=i) if "time" in array.dims else array


# --- pixels ---------------------------------------------------------------------------


def _codes(key: str, array: xr.DataArray) -> np.ndarray:
    """A layer of one date as it is shown, uint8."""
    values = array.values
    if values.dtype.kind == "f":
        filler = CONFIDENCE_NODATA if key == "confidence" else CloudClass.NODATA
        values = np.where(np.isfinite(values), values, filler)
    if key == "scl":
        return scl_to_ucl(values)
    if key == "confidence":
        return confidence_codes(np.clip(values, 0, CONFIDENCE_NODATA).astype("uint8"))
    known = np.isin(values, [int(c) for c in CloudClass])
    nodata = array.attrs.get("nodata")
    if nodata is not None:
        known |= values == nodata
        values = np.where(values == nodata, CloudClass.NODATA, values)
    if not known.all():
        strange = ", ".join(f"{v:g}" for v in np.unique(values[~known])[:5])
        raise SceneError(
            f"{key} holds {strange}, which are no codes of a UCL: those go from 0 to {max(CloudClass):d}, "
            "and no data is 0. Map its codes to them first."
        )
    return values.astype("uint8")


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
    gone = np.stack(missing([Band(band, grid) for band in bands], pixels), axis=-1)
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
