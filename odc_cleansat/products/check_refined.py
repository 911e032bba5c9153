"""The checks of `verify` for masks that other dates have refined.

Id, lineage and layers follow from the product itself. Documents and classes follow from the scenes and masks of all
dates, which only a datacube knows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from copy import deepcopy
from typing import Any
from uuid import UUID

import numpy as np
import xarray as xr
from odc.geo.xr import wrap_xr

from ..classes import CONFIDENCE_NODATA, CloudClass
from ..errors import CleansatError
from ..storage.eo3 import REFINED_PRODUCT
from .check_documents import wrong_index, wrong_sizes, wrong_times
from .check_layers import check_raster, wrong_footprint, wrong_pictures
from .check_pixels import SAME, SIMILAR
from .evidence import LAYERS, MISSING, Evidence, Fault, UnprovenError, WrongError, differences
from .product import MaskProduct, MaskProductError
from .provenance import pixel_properties, software
from .refined import ALGORITHM, VERSION, refined_id, write_refined


def is_refined(product: MaskProduct) -> bool:
    """Return whether a product says that other dates have refined it; one without a document says nothing."""
    try:
        named = product.document.get("product")
    except MaskProductError:
        return False
    return isinstance(named, dict) and named.get("name") == REFINED_PRODUCT


def look_at_identity(evidence: Evidence) -> str:
    """Return what is right about the id: it follows from the processing record, and so does the lineage.

    Raises
    ------
    WrongError
        If it does not.
    UnprovenError
        If another version made the mask.
    """
    record = evidence.record
    algorithm, references = record["algorithm"], record["references"]
    if algorithm["name"] != ALGORITHM:
        raise WrongError(f"the algorithm is {algorithm['name']!r}, and not {ALGORITHM!r}")
    if str(algorithm["version"]) != VERSION:
        raise UnprovenError(
            f"it was made by version {algorithm['version']} of the algorithm; here is {VERSION}"
        )
    masks = [UUID(each["mask"]) for each in references]
    expected = refined_id(UUID(record["mask"]), masks, bool(algorithm["hindsight"]))
    if evidence.product.id != expected:
        raise WrongError(
            f"the id is {evidence.product.id}; from the masks of all dates follows {expected}"
        )
    lineage = {
        "level2": [record["scene"]["id"]],
        "mask": [record["mask"]],
        "reference_scene": [each["scene"] for each in references],
        "reference_mask": [each["mask"] for each in references],
    }
    told = {key: {str(each) for each in ids} for key, ids in evidence.document["lineage"].items()}
    if told != {key: set(ids) for key, ids in lineage.items()}:
        raise WrongError("the lineage is not that of the processing record")
    return f"the id {expected} follows from the masks of {len(masks) + 1} dates"


def look_at_layers(evidence: Evidence) -> str:
    """Return what is right about the layers, and about the shares of classes that are said of them.

    Raises
    ------
    WrongError
        If a file is no COG on the document's grid, or the document says other shares. If overviews, thumbnail or
        footprint do not follow from the pixels.
    UnprovenError
        If overviews are those of older versions.
    """
    for name in LAYERS:
        evidence.check_path(name)
        with evidence.product.open_layer(name) as opened:
            check_raster(opened, name, evidence.grid)
    codes, percent = evidence.codes, evidence.confidence
    if ((codes == CloudClass.NODATA) & (percent != CONFIDENCE_NODATA)).any():
        raise WrongError("ucl_confidence has data where ucl has none")
    properties = evidence.document["properties"]
    known = [c for c in CloudClass if f"cleansat:{c.label}_percent" in properties]
    if strange := set(np.unique(codes).tolist()) - {0, *map(int, known)}:
        raise WrongError(f"ucl holds codes of which the document says nothing: {sorted(strange)}")
    for name, value in pixel_properties(codes, known).items():
        written = properties.get(name, MISSING)
        if not isinstance(written, int | float) or abs(written - value) > 0.0051:
            raise WrongError(f"{name} is {value:.2f} in the pixels, {written} in the document")
    _raise_any([*wrong_pictures(evidence), *wrong_footprint(evidence)])
    return "two cloud-optimised GeoTIFFs on the document's grid, with the shares that it says"


def look_at_documents(evidence: Evidence) -> str:
    """Return what is right about the documents: they are those that follow from all dates and from the pixels.

    Raises
    ------
    WrongError
        Naming each value that is another.
    UnprovenError
        If the dates are not known here.
    """
    layers = zip(LAYERS, (evidence.codes, evidence.confidence), (0, CONFIDENCE_NODATA), strict=True)
    mask = {name: wrap_xr(values, evidence.grid, nodata=nodata) for name, values, nodata in layers}
    with tempfile.TemporaryDirectory() as folder:
        try:
            document = write_refined(xr.Dataset(mask), evidence.dates.how, folder)
        except CleansatError as error:
            raise UnprovenError(f"its documents cannot be derived here: {error}") from error
        follows = MaskProduct(document)
        faults = [
            *_other_documents(follows, evidence),
            *wrong_times(evidence),
            *wrong_sizes(evidence, evidence.document["properties"]),
            *wrong_index(evidence),
        ]
    _raise_any(faults)
    return "EO3, STAC and the processing record are those that follow from the scenes and masks of all dates"


def _other_documents(follows: MaskProduct, evidence: Evidence) -> Iterator[Fault]:
    """What documents say otherwise than those that were derived, but for times and versions of packages."""
    told = evidence.product
    kinds = {
        "EO3": (follows.document, told.document),
        "STAC": (follows.stac_item, told.stac_item),
        "the processing record": (follows.record, told.record),
    }
    for kind, documents in kinds.items():
        one, other = map(_without_making, documents)
        for path, expected, found in differences(one, other):
            yield WrongError(f"{path} is {found} in {kind}, and not {expected}")


def _without_making(document: Any) -> dict[str, Any]:
    """Return a document without what depends on when and by which packages it was written."""
    kept = deepcopy(dict(document))
    for name in (
        "created",
        "odc:processing_datetime",
        "odc:dataset_version",
        "processing:software",
    ):
        kept.get("properties", {}).pop(name, None)
    for name in LAYERS:
        kept.get("properties", {}).pop(f"cleansat:{name}_bytes", None)
    for package in kept.get("software_versions", []):
        package.pop("version", None)
    return kept


def look_at_pixels(evidence: Evidence) -> str:
    """Return how equal the mask is to one that is made again from all dates, and set `evidence.equal`.

    Raises
    ------
    WrongError
        If the mask does not follow from those dates.
    UnprovenError
        If it cannot be made again here, or is only alike and was made by other packages.
    """
    try:
        again = evidence.dates.masks()
    except (CleansatError, OSError) as error:
        raise UnprovenError(f"the mask cannot be made again here: {error}") from error
    if again.odc.geobox != evidence.grid:
        raise WrongError("the grid is not that of the mask that was refined")
    same = again.ucl.values == evidence.codes
    evidence.equal = float(np.mean(same))
    sure = float(np.mean(again.ucl_confidence.values == evidence.confidence))
    text = f"{100 * evidence.equal:.4f} % of the pixels are equal when the mask is made again from all dates"
    if min(evidence.equal, sure) >= SAME:
        return text
    text += f", and the confidence of {100 * sure:.4f} %"
    other = {name for name, here in software().items() if evidence.versions.get(name) != here}
    if min(evidence.equal, sure) >= SIMILAR and other:
        raise UnprovenError(f"{text}, with other versions of {', '.join(sorted(other))}")
    raise WrongError(
        f"{text}: a scene or a mask has changed since, or it does not follow from them"
    )


def _raise_any(faults: list[Fault]) -> None:
    """Raise what was found: first what is wrong, else what is not proved."""
    for kind in (WrongError, UnprovenError):
        if said := [str(each) for each in faults if isinstance(each, kind)]:
            raise kind("; ".join(dict.fromkeys(said)))
