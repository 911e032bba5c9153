"""The id, the folder and the label of a mask. They follow from scene, model and parameters alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from ..masks.light import METHOD as LIGHT
from ..masks.light import VERSION as LIGHT_VERSION
from ..models.model import Model
from ..models.weights import sha256_of
from ..storage.eo3 import MASK_PRODUCT

if TYPE_CHECKING:
    from eodatasets3 import DatasetDoc


ALGORITHM = "odc-cleansat"
ALGORITHM_VERSION = "2"
"""Counts up when the same weights and parameters give other classes than before. Since 2, windows begin at multiples of
32 pixels of the model grid, also at the edge of a scene."""

REFINED = {LIGHT: LIGHT_VERSION}
"""What refined masks have among the parameters of the algorithm. Masks without it are the network's own answer, as all
were once."""

_ODC_NAMESPACE = UUID("6f34c6f4-13d6-43c0-8e4e-42b6c13203af")


def mask_id(
    source_id: UUID, model: Model, resolution: float, offset: float, *, refine: bool = True
) -> UUID:
    """Return the id of a scene's mask, the same wherever and whenever the mask is made.

    It is built as odc-stats builds its ids: a uuid5 over the algorithm, its parameters and the
    source. Engine and precision do not count, for they change few classes (docs/reference/product.md).

    Parameters
    ----------
    source_id
        Id of the scene's dataset.
    model
        The model. Its name, weights and windows count.
    resolution
        Pixel size of the mask, in units of its coordinate system.
    offset
        Radiometric offset in digital numbers.
    refine
        Whether light refines the mask. Where sun and satellite stand follows from the source.
    """
    parameters = model.parameters() | (REFINED if refine else {})
    return derived_id(source_id, model.name, sha256_of(model), parameters, resolution, offset)


def derived_id(
    source_id: UUID,
    model: str,
    sha256: str,
    parameters: Mapping[str, Any],
    resolution: float,
    offset: float,
    version: str = ALGORITHM_VERSION,
) -> UUID:
    """Return the id as :func:`mask_id` does, from what a product records of its model.

    Parameters
    ----------
    source_id
        Id of the scene's dataset.
    model
        Name of the model.
    sha256
        Hexadecimal SHA-256 of its weights.
    parameters
        Parameters of the model's windows, by name, and :data:`REFINED` for a mask that is refined.
    resolution
        Pixel size of the mask, in units of its coordinate system.
    offset
        Radiometric offset in digital numbers.
    version
        Version of the algorithm.
    """
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
    """Return the folder of a mask below the root: product, region, date and label."""
    day: str = source.properties["datetime"].strftime("%Y/%m/%d")
    return Path(MASK_PRODUCT) / _region(source) / day / mask_label(dataset_id, source)


def _region(source: DatasetDoc) -> str:
    """The region code, in letters that are safe in paths, addresses and labels, and not too many."""
    code = str(source.properties.get("odc:region_code") or "no-region")
    return re.sub(r"[^A-Za-z0-9_-]+", "-", code)[:60]


def mask_label(dataset_id: UUID, source: DatasetDoc) -> str:
    """Return the name of a mask for people, which its files have too."""
    day = source.properties["datetime"].strftime("%Y-%m-%d")
    return f"{MASK_PRODUCT}_{_region(source)}_{day}_{str(dataset_id)[:8]}"
