"""The id and the folder of a mask. Both follow from the scene, the model and the parameters alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from ..models.model import Model
from ..models.weights import sha256_of
from ..storage.eo3 import MASK_PRODUCT

if TYPE_CHECKING:
    from eodatasets3 import DatasetDoc


ALGORITHM = "odc-cleansat"
ALGORITHM_VERSION = "1"
"""Raised whenever the same weights and parameters give other classes than before."""

_ODC_NAMESPACE = UUID("6f34c6f4-13d6-43c0-8e4e-42b6c13203af")


def mask_id(source_id: UUID, model: Model, resolution: float, offset: float) -> UUID:
    """The id of the mask of a scene, the same wherever and whenever it is made.

    Built as odc-stats builds its ids, a uuid5 over the algorithm, its parameters and the
    source. Engine and precision do not count: they change a few classes in a thousand, more in haze (docs/product.md).

    Parameters
    ----------
    source_id
        Id of the scene's dataset.
    model
        The model, whose name, weights and windows count.
    resolution
        Pixel size of the mask, in units of its coordinate system.
    offset
        Radiometric offset, digital numbers.
    """
    return derived_id(
        source_id, model.name, sha256_of(model), model.parameters(), resolution, offset
    )


def derived_id(
    source_id: UUID,
    model: str,
    sha256: str,
    parameters: Mapping[str, Any],
    resolution: float,
    offset: float,
    version: str = ALGORITHM_VERSION,
) -> UUID:
    """:func:`mask_id` from what a product records of its model."""
    tags = {
        "model": model,
        "weights": sha256,
        "grid": f"{resolution:g}",
        "offset": f"{offset:g}",
        **parameters,
    }
    lines = [ALGORITHM, version, "", *sorted(f"{k}={v}" for k, v in tags.items())]
    return uuid5(_ODC_NAMESPACE, "\n".join(line.lower() for line in [*lines, str(source_id)]))


def mask_folder(dataset_id: UUID, source: DatasetDoc) -> Path:
    """Where a mask is kept, relative to the root: product, region, date, and its id's first digits."""
    day: str = source.properties["datetime"].strftime("%Y/%m/%d")
    return Path(MASK_PRODUCT) / _region(source) / day / _label(dataset_id, source)


def _region(source: DatasetDoc) -> str:
    """The region, in letters that are safe in paths, addresses and labels."""
    code = str(source.properties.get("odc:region_code") or "no-region")
    return re.sub(r"[^A-Za-z0-9_-]+", "-", code)


def _label(dataset_id: UUID, source: DatasetDoc) -> str:
    day = source.properties["datetime"].strftime("%Y-%m-%d")
    return f"{MASK_PRODUCT}_{_region(source)}_{day}_{str(dataset_id)[:8]}"
