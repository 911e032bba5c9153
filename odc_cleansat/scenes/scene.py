"""A scene: a dataset with its files, which no datacube needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..addresses import without_secrets
from ..errors import SceneError, first_line
from ..storage.reader import strange_values
from .baseline import processing_level
from .files import SceneFiles

if TYPE_CHECKING:
    from datacube.model import Dataset

USE_OF_L1C = "The models for L1C take its bands as an array, with their offset, in Python: odc_cleansat.classify."
"""The way out for a scene of level 1C, the end of an error message."""


@dataclass(frozen=True)
class Scene:
    """A scene that can be masked."""

    label: str
    """Name for people."""

    dataset: Dataset
    """The datacube dataset, in memory only."""

    files: SceneFiles
    """The files of the bands, with what the metadata say of their values."""


@strange_values("the EO3 document of the scene", SceneError)
def eo3_scene(document: Mapping[str, Any], address: str) -> Scene:
    """Return the scene of an EO3 dataset document.

    Parameters
    ----------
    document
        The document.
    address
        URL of the document, from which relative paths of files count.

    Raises
    ------
    SceneError
        If the document is incomplete or invalid, or the scene is of level 1C.
    """
    required = ("id", "crs", "grids", "measurements", "properties")
    missing = [key for key in required if key not in document]
    if not missing and not (document["properties"] or {}).get("datetime"):
        missing = ["datetime among its properties"]
    if missing:
        raise SceneError(f"{address} is an incomplete EO3 document: it lacks {', '.join(missing)}.")
    if processing_level(document["properties"]) == "L1C":
        raise SceneError(
            f"{address} is of level 1C, top of the atmosphere; masks are made of L2A. {USE_OF_L1C}"
        )
    dataset = unindexed_dataset(document, address)
    label = without_secrets(str(document.get("label") or dataset.id))
    return Scene(label, dataset, SceneFiles.of_dataset(dataset))


def unindexed_dataset(document: Mapping[str, Any], address: str | None) -> Dataset:
    """Return the dataset of an EO3 document, with a product made up from its measurements.

    Parameters
    ----------
    document
        The document; its lineage is left out.
    address
        URL of the document.

    Raises
    ------
    SceneError
        If datacube does not accept the document.
    """
    from datacube.index.abstract import default_metadata_type_docs
    from datacube.index.eo3 import prep_eo3
    from datacube.model import Dataset, Product, metadata_from_doc

    types = {each["name"]: each for each in default_metadata_type_docs()}
    name = str((document.get("product") or {}).get("name") or "scene")
    definition = {
        "name": name,
        "metadata_type": "eo3",
        "metadata": {"product": {"name": name}},
        "measurements": [
            {"name": band, "dtype": "uint16", "nodata": 0, "units": "1"}
            for band in document["measurements"]
        ],
    }
    product = Product(metadata_from_doc(types["eo3"]), definition)
    try:
        return Dataset(product, prep_eo3({**document, "lineage": {}}), uri=address)
    except Exception as error:  # datacube raises several kinds
        raise SceneError(f"{address} is no valid EO3 document: {first_line(error)}.") from error
