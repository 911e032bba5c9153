"""The check of `verify` that reads the layers: whether all that follows from the pixels is said of them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from odc.geo.xr import wrap_xr

from ..classes import CONFIDENCE_NODATA, CloudClass
from ..grids.footprint import data_footprint
from .evidence import LAYERS, MISSING, THUMBNAIL, Evidence, Fault, UnprovenError, WrongError
from .provenance import pixel_properties
from .write import thumbnail, write_layer

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


_NODATA = {"ucl": CloudClass.NODATA, "ucl_confidence": CONFIDENCE_NODATA}

_ROUNDING = 0.0051
"""Percent by which a rounded share in the document may differ from the pixels."""


def look_at_layers(evidence: Evidence) -> str:
    """Return what is right about the layers, and about all that follows from their pixels.

    Raises
    ------
    WrongError
        If a file is no COG on the document's grid, the two disagree, or the document, the overviews or the
        thumbnail do not follow from the pixels.
    UnprovenError
        If the footprint is that of the scene, as older versions wrote it.
    """
    for name in LAYERS:
        evidence.check_path(name)
        with evidence.product.open_layer(name) as opened:
            check_raster(opened, name, evidence.grid)
    faults = [
        *_codes(evidence),
        *_shares(evidence),
        *wrong_pictures(evidence),
        *wrong_footprint(evidence),
    ]
    for kind in (WrongError, UnprovenError):
        if said := [str(each) for each in faults if isinstance(each, kind)]:
            raise kind("; ".join(said))
    data = 100 * float(np.mean(evidence.codes != CloudClass.NODATA))
    return f"two cloud-optimised GeoTIFFs on the document's grid, {data:.1f} % with data"


def check_raster(file: DatasetReader, name: str, grid: GeoBox) -> None:
    """Refuse a file that is no COG, or not on the grid or of the type of the document.

    Parameters
    ----------
    file
        The open file of a layer.
    name
        ``ucl`` or ``ucl_confidence``.
    grid
        The grid of the document.

    Raises
    ------
    WrongError
        Saying what is wrong.
    """
    if file.count != 1 or file.dtypes != ("uint8",) or file.nodata != _NODATA[name]:
        raise WrongError(f"{name} is not one layer of uint8 with nodata {int(_NODATA[name])}")
    if GeoBox.from_rio(file) != grid:
        raise WrongError(f"{name} is not on the grid that the document says")
    # GDAL says COG only of files that nobody has changed since they were laid out so.
    cog = file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    tile = max(file.block_shapes[0])
    if not cog or tile > 1024 or (min(file.shape) > 1024 and not file.overviews(1)):
        raise WrongError(f"{name} is no cloud-optimised GeoTIFF, or was changed after it was one")


def _codes(evidence: Evidence) -> Iterator[Fault]:
    """What is wrong with the values of the pixels."""
    codes, percent = evidence.codes, evidence.confidence
    known = {c.label: int(c) for c in CloudClass}
    allowed = {0, *(known[label] for label in evidence.record["model"]["classes"])}
    if strange := set(np.unique(codes).tolist()) - allowed:
        yield WrongError(f"ucl holds codes that its model does not give: {sorted(strange)}")
    if not codes.any():
        yield WrongError("no pixel has data")
    if not np.array_equal(codes == CloudClass.NODATA, percent == CONFIDENCE_NODATA):
        yield WrongError("ucl and ucl_confidence have no data at different pixels")
    if (percent[percent != CONFIDENCE_NODATA] > 100).any():
        yield WrongError("ucl_confidence is above 100 percent")


def _shares(evidence: Evidence) -> Iterator[Fault]:
    """Properties that are not those of the pixels."""
    known = {c.label: c for c in CloudClass}
    classes = [known[label] for label in evidence.record["model"]["classes"]]
    for name, value in pixel_properties(evidence.codes, classes).items():
        written: Any = evidence.document["properties"].get(name, MISSING)
        if not isinstance(written, (int, float)) or not abs(written - value) < _ROUNDING:
            yield WrongError(f"{name} is {value:.2f} in the pixels, {written} in the document")


def wrong_pictures(evidence: Evidence) -> Iterator[Fault]:
    """Overviews, tags and a thumbnail that are not those of the pixels."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        for name, values in zip(LAYERS, (evidence.codes, evidence.confidence), strict=True):
            again = Path(folder) / f"{name}.tif"
            write_layer(wrap_xr(values, evidence.grid, nodata=int(_NODATA[name])), again)
            yield from _other_than(evidence, name, again)
    with Image.open(io.BytesIO(evidence.product.read(THUMBNAIL))) as opened:
        picture = np.asarray(opened)
    if not np.array_equal(picture, np.moveaxis(thumbnail(evidence.codes), 0, -1)):
        yield WrongError("the thumbnail is not that of the pixels")


def _other_than(evidence: Evidence, name: str, again: Path) -> Iterator[Fault]:
    """How a file differs from one that was written anew from its pixels."""
    import rasterio

    with rasterio.open(again) as new, evidence.product.open_layer(name) as old:
        for what, wanted in _said_of_pixels(new).items():
            if (found := _said_of_pixels(old)[what]) != wanted:
                yield WrongError(f"{what} of {name} is {found}, and not {wanted}")
        if new.overviews(1) != old.overviews(1):
            yield UnprovenError(
                f"{name} has the overviews {old.overviews(1)}, as older versions wrote them"
            )
            return
        for factor in new.overviews(1):
            shape = tuple(-(-size // factor) for size in new.shape)
            one, other = (file.read(1, out_shape=shape) for file in (new, old))
            if not np.array_equal(one, other):
                yield WrongError(f"the overview of {name} by {factor} is not that of its pixels")


def _said_of_pixels(file: DatasetReader) -> dict[str, Any]:
    """What a GeoTIFF says that changes what is read of it."""
    return {
        "the scale": file.scales,
        "the offset": file.offsets,
        "the unit": file.units,
        "the description": file.descriptions,
        "the mask": file.mask_flag_enums,
        "the set of tags": {**file.tags(), **file.tags(1)},
        "the colours": file.colorinterp,
    }


def wrong_footprint(evidence: Evidence) -> Iterator[Fault]:
    """What is wrong with the footprint in EO3."""
    told = Geometry(evidence.dataset.geometry, evidence.grid.crs)
    follows = data_footprint(evidence.codes != CloudClass.NODATA, evidence.grid)
    pixel = max(map(abs, evidence.grid.resolution.xy))
    if (
        not told.is_valid
        or (told - follows.buffer(1e-3 * pixel)).area + (follows - told.buffer(1e-3 * pixel)).area
    ):
        covers = told.is_valid and told.buffer(pixel).contains(follows)
        if covers and evidence.grid.extent.buffer(pixel).contains(told):
            yield UnprovenError(
                "the footprint is wider than the data, as that of the scene was in older versions"
            )
        else:
            yield WrongError("the footprint in EO3 is not that of the pixels with data")
