"""The checks of `verify` for masks that other dates have refined: what follows from the product itself."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from ..classes import CONFIDENCE_NODATA, CloudClass
from ..storage.eo3 import REFINED_PRODUCT
from .check_layers import check_raster
from .evidence import LAYERS, MISSING, Evidence, UnprovenError, WrongError
from .product import MaskProduct, MaskProductError
from .provenance import pixel_properties
from .refined import ALGORITHM, VERSION, refined_id


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
        If a file is no COG on the document's grid, or the document says other shares.
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
    return "two cloud-optimised GeoTIFFs on the document's grid, with the shares that it says"


def look_at_documents(_: Evidence) -> str:
    """Raise UnprovenError: documents of refined masks are not derived again.

    Raises
    ------
    UnprovenError
        Always.
    """
    raise UnprovenError("documents of refined masks are not derived again")


def look_at_pixels(_: Evidence) -> str:
    """Raise UnprovenError: classes of refined masks are not made again.

    Raises
    ------
    UnprovenError
        Always.
    """
    raise UnprovenError(
        "refined masks follow from many dates and are not made again here; `cleansat refine` does that"
    )
