"""Inspect one mask: its shares, how far UCL and SCL agree, where they differ, and what is odd."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from ..arguments import is_number
from ..classes import CONFIDENCE_NODATA, CloudClass, class_percent, scl_to_ucl
from ..errors import CleansatError, ModelError, first_line
from ..evaluate.scores import agreement, class_agreement
from ..models.model import Model
from ..models.registry import get_model
from ..products.product import MaskProduct
from ..products.verdict_files import Verdict, read_each
from ..scenes.files import BandFile, local_path, reading
from ..scenes.offset import QUANTIFICATION, Offset
from ..storage.reader import strange_values
from .bands import COLOURS, read_band, scene_bands
from .doubt import Doubt, find_doubt
from .flags import (
    Flag,
    contradiction,
    little_data,
    low_confidence,
    offset_doubt,
    reflectance_doubt,
    seams,
)
from .hot_spots import HotSpots, hot_spots
from .layers import blank_missing, thin, thin_grid
from .other_masks import RESAMPLED, OtherMask, SceneName, pixels_of, read_classes

SIDE = 512
"""Most pixels along a side that are compared and drawn."""


@dataclass(frozen=True)
class Beside:
    """A mask by others of the same scene."""

    name: str
    """Name for people."""

    codes: np.ndarray
    """``(h, w)`` uint8 :class:`CloudClass` codes, thinned; no data are 0."""

    agreement: Mapping[str, float]
    """Percent of pixels on which UCL and it agree.

    See :func:`~odc_cleansat.evaluate.scores.class_agreement`."""

    pixels: str
    """Size of its own pixels if it is another than that of the UCL, which it was brought to; else empty."""


@dataclass
class Inspection:
    """What is known of a mask and its scene."""

    product: MaskProduct
    """The mask."""

    grid: GeoBox
    """Grid of the thinned layers."""

    ucl: np.ndarray
    """``(h, w)`` uint8 :class:`CloudClass` codes, thinned."""

    percent: Mapping[str, float]
    """Percent of each class among all pixels with data, by label, as the document says."""

    data_percent: float
    """Percent of the pixels that have data."""

    confidence: np.ndarray | None = None
    """``(h, w)`` uint8 percent, nodata 255; None if it cannot be had."""

    scl: np.ndarray | None = None
    """``(h, w)`` SCL as uint8 :class:`CloudClass` codes; None if it cannot be had."""

    rgb: np.ndarray | None = None
    """``(h, w, 3)`` float32 reflectance, NaN without data; None if it cannot be had."""

    agreement: Mapping[str, float] = field(default_factory=dict)
    """Percent of pixels on which UCL and SCL agree.

    See :func:`~odc_cleansat.evaluate.scores.agreement`."""

    others: list[Beside] = field(default_factory=list)
    """Masks by others, as far as they can be had."""

    spots: HotSpots | None = None
    """Where UCL and SCL disagree; None without SCL."""

    flags: list[Flag] = field(default_factory=list)
    """What is odd."""

    doubt: Doubt | None = None
    """How much the UCL is in doubt."""

    verdicts: list[Verdict] = field(default_factory=list)
    """What people said, the latest last."""

    gaps: list[str] = field(default_factory=list)
    """What cannot be had, and why."""

    record: Mapping[str, Any] = field(default_factory=dict)
    """How the mask was made, from the processing record."""


def inspect_mask(
    product: MaskProduct, *, fetch_scenes: bool = False, others: Sequence[OtherMask] = ()
) -> Inspection:
    """Inspect a mask.

    Classes are compared on every n-th pixel of every n-th row of the mask. Overviews would lose small
    features; only the SCL of a remote scene is read from them. True colour is averaged.

    Parameters
    ----------
    product
        The mask.
    fetch_scenes
        Whether to open the scene's files wherever the mask says that they are. Otherwise they are opened only
        near the mask, on its host, or where the datacube knows the scene.
    others
        Masks by others that are compared with it, too.

    Raises
    ------
    CleansatError, OSError
        If the mask itself cannot be read. Anything else that is missing becomes a gap.
    """
    codes, native = _read_layer(product, "ucl")
    step = math.ceil(max(native.shape) / SIDE)
    ucl = thin(codes, step)
    grid = thin_grid(native, ucl.shape, step)
    result = Inspection(product, grid, ucl, _percent(product, codes), _data_percent(product, codes))
    result.verdicts, gaps = read_verdicts(product)
    result.gaps += gaps
    result.record = _record(result)
    _add_scene(result, fetch_scenes)
    _add_others(result, others, native)
    _add_confidence(result, step)
    model = _model(result)
    result.flags += [each for each in _flags(result, codes, native, model) if each]
    curves = model.calibration if model else ()
    result.doubt = find_doubt(ucl, result.confidence, result.scl, result.flags, curves)
    return result


def read_verdicts(product: MaskProduct) -> tuple[list[Verdict], list[str]]:
    """Read the verdicts on a mask.

    Returns
    -------
    list
        The verdicts, the latest last.
    list
        Why some of them cannot be read, in one entry; empty if all can.
    """
    try:
        found, unread = read_each(product.folder, [product.id])
    except (CleansatError, OSError) as error:
        return [], [f"verdicts: {first_line(error)}"]
    return found[product.id], [f"verdicts: {error}" for error in unread.values()]


def cloud_percent(percent: Mapping[str, float]) -> float:
    """Return the percent of cloud and thin cloud together; NaN without data."""
    return percent.get("cloud", math.nan if not percent else 0.0) + percent.get("thin_cloud", 0.0)


def percent_by_label(codes: np.ndarray) -> dict[str, float]:
    """Return the percent of each class among the pixels with data, by label.

    Parameters
    ----------
    codes
        Any shape, uint8 :class:`CloudClass` codes, nodata 0.
    """
    return {c.label: value for c, value in class_percent(codes).items()}


def _read_layer(product: MaskProduct, name: str) -> tuple[np.ndarray, GeoBox]:
    """All pixels of a layer of a mask, and its grid."""
    with (
        strange_values(f"the document of {product.label}"),
        reading(product.label),
        product.open_layer(name) as file,
    ):
        values: np.ndarray = file.read(int(product.document["measurements"][name].get("band", 1)))
        return values, GeoBox.from_rio(file)


def _percent(product: MaskProduct, codes: np.ndarray) -> dict[str, float]:
    """Percent by label: as the document says, or else of the pixels."""
    counted = {label: value for label, value in percent_by_label(codes).items() if value > 0}
    written = {c.label: product.properties.get(f"cleansat:{c.label}_percent") for c in CloudClass}
    return counted | {label: float(value) for label, value in written.items() if is_number(value)}


def _data_percent(product: MaskProduct, codes: np.ndarray) -> float:
    counted = 100 * float(np.mean(codes != CloudClass.NODATA))
    written = product.properties.get("cleansat:data_percent")
    return float(written) if is_number(written) else counted


def _record(result: Inspection) -> Mapping[str, Any]:
    try:
        return dict(result.product.own_record)
    except Exception as error:  # stores and YAML raise several; a page is made of what there is
        result.gaps.append(f"processing record: {first_line(error)}")
        return {}


def _add_scene(result: Inspection, fetch_scenes: bool) -> None:
    """Add true colour and SCL, as far as they can be had."""
    try:
        bands = scene_bands(result.product, result.record, fetch_scenes=fetch_scenes)
    except Exception as error:  # also of providers' APIs
        result.gaps.append(f"scene: {first_line(error)}")
        return
    try:
        result.rgb = _true_colour(bands, result)
    except Exception as error:
        result.gaps.append(f"true colour: {first_line(error)}")
    if "scl" not in bands:
        result.gaps.append("SCL: there is none with the scene")
        return
    try:
        scl = _read_scl(bands["scl"], result.grid)
    except Exception as error:
        result.gaps.append(f"SCL: {first_line(error)}")
        return
    result.scl = scl_to_ucl(scl)
    result.agreement = agreement(result.ucl, scl)
    result.spots = hot_spots(result.ucl, result.scl, result.grid)


def _add_others(result: Inspection, others: Sequence[OtherMask], native: GeoBox) -> None:
    """Add masks by others, as far as they can be had."""
    product = result.product
    scene = SceneName.of(product.label, product.properties)
    for each in others:
        try:
            raster = each.find(scene, None if product.scene is None else product.scene.files)
            found = read_classes(each.name, raster, result.grid, result.ucl, result.gaps.append)
        except Exception as error:  # a page is made of what there is
            result.gaps.append(first_line(error))
            continue
        pixels = found.attrs.get(RESAMPLED, "")
        result.others.append(
            Beside(
                each.name,
                found.values,
                class_agreement(result.ucl, found.values, each.mapping.questions),
                "" if pixels == pixels_of(native) else pixels,
            )
        )


def _true_colour(bands: Mapping[str, BandFile], result: Inspection) -> np.ndarray:
    planes = [read_band(bands[name], result.grid, "average", overviews=True) for name in COLOURS]
    offset = float(result.product.properties.get("cleansat:offset", 0))
    return _reflectance(planes, offset)


def _reflectance(planes: Sequence[tuple[np.ndarray, float]], offset: float) -> np.ndarray:
    rgb = np.stack([values for values, _ in planes], axis=-1).astype("float32")
    missing = np.stack([values == nodata for values, nodata in planes], axis=-1)
    integer = planes[0][0].dtype.kind != "f"
    if integer:
        rgb = (rgb + np.float32(offset)) / np.float32(QUANTIFICATION)
    return blank_missing(rgb, missing, cut=integer)


def _read_scl(file: BandFile, grid: GeoBox) -> np.ndarray:
    remote = "://" in local_path(file.uri) and not file.uri.lower().endswith(".jp2")
    return read_band(file, grid, "nearest", overviews=remote)[0]


def _model(result: Inspection) -> Model | None:
    """The model with the parameters of the mask; None if one of both is not known here."""
    try:
        model = get_model(result.product.model)
        parameters = result.record.get("algorithm")
        return model.with_parameters(parameters) if parameters else model
    except ModelError:
        return None


def _flags(
    result: Inspection, codes: np.ndarray, native: GeoBox, model: Model | None
) -> Iterable[Flag | None]:
    properties = result.product.properties
    if result.scl is not None:
        by_scl = cloud_percent(percent_by_label(result.scl))
        yield contradiction(cloud_percent(result.percent), by_scl)
    recorded = reflectance_doubt(str(properties.get("cleansat:reflectance_doubt") or ""))
    yield recorded
    # What was seen in all pixels says more than the thinned picture does.
    if recorded is None and is_number(offset := properties.get("cleansat:offset")):
        source = str(properties.get("cleansat:offset_source", ""))
        yield offset_doubt(Offset(float(offset), source), result.rgb)
    if result.confidence is not None:
        yield low_confidence(result.ucl, result.confidence, model.calibration if model else ())
    yield little_data(result.data_percent)
    if model is not None:
        yield seams(codes, native, model)


def _add_confidence(result: Inspection, step: int) -> None:
    """Add the confidence, if it can be had."""
    try:
        result.confidence = _read_confidence(result.product, step, result.ucl.shape)
    except CleansatError as error:
        result.gaps.append(f"confidence: {first_line(error)}")


def _read_confidence(product: MaskProduct, step: int, shape: tuple[int, ...]) -> np.ndarray:
    if product.folder.path is not None:
        found = thin(_read_layer(product, "ucl_confidence")[0], step)
        if found.shape != shape:
            raise CleansatError("it has another shape than the mask")
        return found
    # It is many times larger than the classes, so that only an overview of it is read from a store.
    with reading(product.label), product.open_layer("ucl_confidence") as file:
        values: np.ndarray = file.read(1, out_shape=shape)
    return np.where(values > 100, CONFIDENCE_NODATA, values).astype("uint8")
