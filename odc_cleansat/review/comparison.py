"""`compare`: a scene's masks side by side, for experts to look at."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from ..arguments import meant
from ..errors import OutputError, ReflectanceWarning, SceneError
from ..evaluate.confusion import Question
from ..evaluate.mappings import ClassMapping
from ..evaluate.scores import agreement as agree
from ..evaluate.scores import class_agreement
from ..scenes.bands import find_bands
from ..scenes.files import Band
from ..scenes.levels import LevelCheck
from ..scenes.nodata import missing_pixels
from ..scenes.offset import OffsetCheck
from ..storage.atomic import write_file
from ..storage.replace import check_free, mark_difference, mark_of
from .alignment import (
    NAMES,
    ArrayOrName,
    align,
    as_scene,
    find_layers,
    layer_codes,
    same_grid,
    scene_grid,
    scene_times,
    select_date,
)
from .figure import draw
from .layers import (
    CLASSES,
    CONFIDENCES,
    LABEL_CLASSES,
    Frame,
    Layer,
    Panels,
    agreement_categories,
    agreement_codes,
    blank_missing,
    make_layer,
)
from .other_masks import RESAMPLED, Other, find_other, pixels_of, shown_classes
from .swipe import swipe_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DRAWN = 3_000_000
"""Most pixels of true colour, and of each layer, that are drawn of all dates together."""

_MARK = "odc_cleansat comparison"
"""What pictures and pages of all comparisons hold; see :mod:`odc_cleansat.storage.replace`."""

FORMATS = (".png", ".pdf", ".html")
"""Suffixes of the files that can be written."""

OTHER = "other:"
"""How the keys of layers of masks by others begin."""

STYLES = ("panels", "outlines")
"""Ways to draw classes: as filled panels, or as outlines over true colour."""


@dataclass(frozen=True)
class Appearance:
    """How a comparison is drawn."""

    style: str = "panels"
    """One of :data:`STYLES`."""

    names: Mapping[str, str] | None = None
    """Other names of the layers, by ``scl``, ``ucl``, ``label`` and ``confidence``."""

    title: str = ""
    """Title, for instance the name of the scene; dates are added."""

    scale: float | None = None
    """Reflectance per digital number. By default it is 1/10000 for integers, and 1 for floating-point numbers."""


class Comparison(Panels):
    """A scene's masks, ready to be drawn. Jupyter shows it as a picture."""

    def figure(self) -> Figure:
        """Draw the comparison with matplotlib: dates as rows, layers as columns.

        Raises
        ------
        OutputError
            If there are too many dates for one picture.
        """
        return draw(self)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write a picture, or a page to swipe between the layers.

        Parameters
        ----------
        path
            ``.png``, ``.pdf`` or ``.html``. Folders are made. A file that is there is replaced if it is a comparison
            of the same dates on the same grid, under the same title.
        overwrite
            Replace whatever file is there.

        Raises
        ------
        OutputError
            If the suffix is another, another file is there, or the file cannot be written.
        """
        path = Path(path)
        check_output(path, overwrite, self._mark)
        if path.suffix.lower() == ".html":
            content = swipe_page(self, self._mark).encode("utf-8")
        else:
            content = self._picture(path.suffix.lower().removeprefix("."))
        write_file(path, content)
        return path

    @property
    def _mark(self) -> str:
        grid, dates = self.grid, [frame.date for frame in self.frames]
        return mark_of(_MARK, self.title, *dates, grid.crs, grid.shape, *grid.affine)

    def _picture(self, kind: str) -> bytes:
        buffer = io.BytesIO()
        key = "Creator" if kind == "pdf" else "Software"
        about = {key: self._mark}
        self.figure().savefig(buffer, format=kind, dpi=150, bbox_inches="tight", metadata=about)
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self._picture("png")


def check_output(path: Path, overwrite: bool, mark: str = _MARK) -> None:
    """Raise if :meth:`Comparison.save` cannot write such a file, or would replace another.

    Raises
    ------
    OutputError
        If the suffix is none of :data:`FORMATS`, or a file is there without this mark.
    """
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"cannot write {path}: name it {', '.join('*' + s for s in FORMATS)}.")
    check_free(path, lambda there: mark_difference(there, mark), overwrite)


def compare(
    scene: xr.Dataset | xr.DataArray | Mapping[str, xr.DataArray],
    *,
    scl: ArrayOrName = None,
    ucl: ArrayOrName | xr.Dataset = None,
    label: ArrayOrName = None,
    others: Mapping[str, Other] | None = None,
    confidence: bool | xr.DataArray | str = False,
    agreement: str | None = None,
    offset: float | None = None,
    **appearance: Any,
) -> Comparison:
    """Compare masks of a scene by eye: true colour, SCL (cloud classes only), UCL, and more.

    Layers on another grid than the scene are brought to it by nearest neighbour. Percentages are those
    of all pixels with data, also where the picture is thinned.

    Parameters
    ----------
    scene
        Dataset as from :func:`odc_cleansat.load` or `dc.load`, of one date or several, dims
        ``([time,] y, x)``, with an odc-geo geobox. It has red, green and blue by any of their names:
        integer digital numbers, or floating-point reflectance with NaN for nodata. Or a mapping of names to
        arrays, or an array with a dimension ``band``.
    scl
        Sen2Cor's codes, as an array or as the name of a variable of `scene`. By default the SCL of
        `scene`, if it has one.
    ucl
        :class:`CloudClass` codes, likewise; or a Dataset that :func:`~odc_cleansat.classify` gives.
    label
        :class:`CloudClass` codes drawn by hand, nodata 0. Pixels that are neither cloud nor shadow are
        called "other". :mod:`odc_cleansat.evaluate.mappings` has mappings of other codes.
    others
        Masks by others, by their names: an array or the name of a variable of `scene`, as a pair with the mapping of its
        values, e.g. ``{"Fmask": ("oa_fmask", "fmask")}``; see :func:`~odc_cleansat.evaluate.get_mapping`. Without a
        mapping they are :class:`CloudClass` codes. Values that a mapping does not name are no data.
    confidence
        Also show ``ucl_confidence`` (uint8, percent, nodata 255): that of `scene`, or this one.
    agreement
        Also show where the UCL agrees with SCL, label and others on ``contaminated`` (cloud or shadow),
        ``cloud``, ``shadow`` or ``clear``.
    offset
        Radiometric offset in digital numbers. By default it is the coordinate or attribute ``offset`` of
        `scene`, or follows from the bands' ``add_offset``; else it is 0.
    appearance
        The fields of :class:`Appearance` as keyword arguments: ``style``, ``names``, ``title`` and ``scale``.

    Returns
    -------
    Comparison
        Its `save` writes PNG, PDF or HTML.

    Raises
    ------
    SceneError
        If a band or a mask is missing, lies elsewhere, is of other times, or holds other codes.

    Warns
    -----
    ReflectanceWarning
        If the pixels look as if the offset were wrong.
    GapWarning
        If a mask by others has values that its mapping does not name.

    Examples
    --------
    >>> data = odc_cleansat.load(dc, "s2_l2a", time="2024-06", **grid)  # doctest: +SKIP
    >>> page = compare(data, agreement="contaminated").save("june.html")  # doctest: +SKIP
    """
    look = Appearance(**appearance)
    if look.style not in STYLES:
        raise SceneError(
            f"style={look.style!r} is unknown; choose {' or '.join(STYLES)}.{meant(look.style, STYLES)}"
        )
    question = None if agreement is None else _question(agreement)
    data, given = as_scene(scene)
    grid = scene_grid(data)
    found = find_layers(given, scl, ucl, label, confidence)
    arrays = {key: align(key, array, data, grid) for key, array in found.items()}
    beside = {name: find_other(name, each, given) for name, each in (others or {}).items()}
    for name, (array, _) in beside.items():
        arrays[f"{OTHER}{name}"] = _told_if_moved(align(name, array, data, grid), array, grid)
    if question is not None and not ({"scl", "label"} & arrays.keys() or beside):
        raise SceneError(
            "there is neither an SCL nor a label that the UCL could agree with; give one, or leave the "
            "agreement out."
        )
    drawing = _Drawing(
        {**NAMES, **(look.names or {})},
        question,
        _step(data, grid),
        offset,
        look.scale,
        {name: mapping for name, (_, mapping) in beside.items()},
    )
    frames = []
    for date in enumerate(scene_times(data)):
        frames.append(_frame(data, arrays, date, drawing))
    drawn = GeoBox(frames[0].rgb.shape[:2], grid.affine * Affine.scale(drawing.step), grid.crs)
    if grid.affine.e > 0:  # rows from south to north
        frames, drawn = [_flip(frame) for frame in frames], drawn.flipy()
    return Comparison(drawn, tuple(frames), look.title, look.style)


def _question(name: str) -> Question:
    try:
        return Question(name)
    except ValueError:
        known = [q.value for q in Question]
        raise SceneError(
            f"agreement={name!r} is unknown; choose from {', '.join(known)}.{meant(name, known)}"
        ) from None


@dataclass(frozen=True)
class _Drawing:
    """What is the same for all dates."""

    names: Mapping[str, str]
    """Names of the layers, by key."""

    question: Question | None
    """What the agreement maps are about."""

    step: int
    """Distance of the pixels that are drawn."""

    offset: float | None
    """Radiometric offset in digital numbers, if it is given."""

    scale: float | None
    """Reflectance per digital number, if it is given."""

    others: Mapping[str, ClassMapping] = field(default_factory=dict)
    """Mappings of the masks by others, by name."""


def _told_if_moved(moved: xr.DataArray, array: xr.DataArray, grid: GeoBox) -> xr.DataArray:
    """Return an aligned mask that says so if it was on another grid."""
    own = array.odc.geobox
    attrs = dict(array.attrs)
    if own is not None and own.crs is not None and not same_grid(own, grid):
        attrs.setdefault(RESAMPLED, pixels_of(own))
    return moved.assign_attrs(attrs)


def _step(scene: xr.Dataset, grid: GeoBox) -> int:
    count = scene.sizes.get("time", 1)
    step = math.ceil(math.sqrt(grid.shape[0] * grid.shape[1] * count / DRAWN))
    return int(min(max(step, 1), *grid.shape))


def _frame(
    scene: xr.Dataset,
    arrays: Mapping[str, xr.DataArray],
    date: tuple[int, np.datetime64 | None],
    drawing: _Drawing,
) -> Frame:
    """True colour and layers of one date, given by its index and time."""
    i, time = date
    # Loaded together, for a UCL and its confidence come out of one inference.
    (loaded,) = dask.compute({key: select_date(array, i) for key, array in arrays.items()})
    planes = {k: layer_codes(k, a) for k, a in loaded.items() if not k.startswith(OTHER)}
    rgb = _reflectance(scene, i, drawing)
    agreed = agree(planes["ucl"], loaded["scl"].values) if "scl" in planes else {}
    known = loaded["ucl"].attrs.get("flag_values", [c.value for c in CLASSES])
    others, titles = {}, dict(drawing.names)
    for name, mapping in drawing.others.items():
        key, array = f"{OTHER}{name}", loaded[f"{OTHER}{name}"]
        planes[key] = shown_classes(name, array.values, mapping, planes["ucl"])
        others[name] = class_agreement(planes["ucl"], planes[key], mapping.questions)
        own = array.attrs.get(RESAMPLED)
        titles[key] = f"{name} ({own}, nearest neighbour)" if own else name
    return Frame(time, rgb, _layers(planes, drawing, titles, known), agreed, others)


def _layers(
    planes: Mapping[str, np.ndarray],
    drawing: _Drawing,
    names: Mapping[str, str],
    known: Collection[int],
) -> tuple[Layer, ...]:
    # The legend shall not say 0 % of a class that the model does not know.
    own = tuple(c for c in CLASSES if c.value in known or (planes["ucl"] == c.value).any())
    categories = {"ucl": own, "confidence": CONFIDENCES, "label": LABEL_CLASSES}
    for name, mapping in drawing.others.items():
        categories[f"{OTHER}{name}"] = tuple(c for c in CLASSES if c.value in mapping.classes)
    titles = {**names, "scl": f"{names['scl']}, cloud classes only"}
    layers = [
        make_layer(key, titles[key], codes, categories.get(key, CLASSES), drawing.step)
        for key, codes in planes.items()
    ]
    if drawing.question is not None:
        beside = {"scl": "SCL", "label": "label"}
        for name, mapping in drawing.others.items():
            beside |= {f"{OTHER}{name}": name} if drawing.question in mapping.questions else {}
        for key, other in beside.items():
            if key in planes:
                layers.append(_agreement_layer(planes, key, other, drawing.question, drawing.step))
    return tuple(layers)


def _agreement_layer(
    planes: Mapping[str, np.ndarray], key: str, other: str, question: Question, step: int
) -> Layer:
    subject = "cloud or shadow" if question is Question.CONTAMINATED else question.value
    codes = agreement_codes(planes["ucl"], planes[key], question)
    name = f"UCL and {other}: {subject}"
    return make_layer(f"agreement-{key}", name, codes, agreement_categories(other), step)


def _reflectance(scene: xr.Dataset, i: int, drawing: _Drawing) -> np.ndarray:
    """True colour of a date, thinned: ``(h, w, 3)`` float32, NaN without data."""
    names = find_bands(scene.data_vars, ["red", "green", "blue"])
    bands = [select_date(scene[name], i) for name in names.values()]
    if isinstance(noted := scene.attrs.get("offset"), int | float):
        bands = [b if "offset" in b.coords else b.assign_coords(offset=float(noted)) for b in bands]
    every = slice(drawing.step // 2, None, drawing.step)
    bands = [band.isel(dict.fromkeys(band.dims, every)) for band in bands]
    grid = bands[0].odc.geobox
    found = [Band(band, grid).packed(drawing.scale, drawing.offset) for band in bands]
    pixels = [band.values for band in bands]
    gone = np.stack(missing_pixels(found, pixels), axis=-1)
    levels, planes = LevelCheck(list(names)), []
    for k, (band, values) in enumerate(zip(found, pixels, strict=True)):
        packing = band.packing
        assert packing is not None
        plane = (values.astype("float32") + np.float32(packing.offset)) * np.float32(packing.scale)
        levels.add(k, np.where(gone[..., k], np.float32(np.nan), plane), values.dtype, packing)
        planes.append(plane)
    levels.add_together(np.where(np.moveaxis(gone, -1, 0), np.float32(np.nan), planes))
    levels.refuse()
    rgb = np.stack(planes, axis=-1)
    integer = pixels[0].dtype.kind in "ui"
    if integer:
        _warn_of_offset(np.where(gone.any(axis=-1, keepdims=True), np.float32(np.nan), rgb), found)
    return blank_missing(rgb, gone, cut=integer)


def _warn_of_offset(rgb: np.ndarray, bands: Sequence[Band]) -> None:
    check, packing = OffsetCheck(), bands[0].packing
    assert packing is not None
    check.add(np.moveaxis(rgb, -1, 0))
    if complaint := check.complaint(packing.offset, reflectance=packing.reflectance):
        warnings.warn(
            f"the offset {packing.offset:g} looks wrong: {complaint}",
            ReflectanceWarning,
            stacklevel=5,
        )


def _flip(frame: Frame) -> Frame:
    """The frame with its rows in reverse order."""
    layers = tuple(replace(layer, codes=layer.codes[::-1]) for layer in frame.layers)
    return replace(frame, rgb=frame.rgb[::-1], layers=layers)
