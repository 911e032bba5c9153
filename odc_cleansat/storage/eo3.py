"""Reading and writing EO3 documents with eodatasets3, without the warnings that mean nothing here."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from affine import Affine
from odc.geo.geobox import GeoBox

if TYPE_CHECKING:
    from eodatasets3 import DatasetDoc


@contextlib.contextmanager
def allow_own_properties() -> Iterator[None]:
    """Within this, properties that eodatasets3 has no list of, and absolute paths, are in order."""
    from eodatasets3.assemble import IncompleteDatasetWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Unknown Stac property", category=UserWarning)
        warnings.simplefilter("ignore", IncompleteDatasetWarning)
        yield


def read_document(source: Path | Mapping[str, Any]) -> DatasetDoc:
    """An EO3 dataset document, from its file or as datacube gives it, then without its own lineage.

    Datacube nests what a dataset was made of in ways that EO3 does not know.
    """
    from eodatasets3 import serialise

    with allow_own_properties():
        if isinstance(source, Path):
            return serialise.from_path(source)
        return serialise.from_doc({**source, "lineage": {}}, skip_validation=True)


SCENE_PRODUCT = "s2_l2a"
MASK_PRODUCT = "s2_l2a_ucl"


def product_definition(name: str) -> dict[str, Any]:
    """One of the product definitions that come with this package, as a document."""
    folder = resources.files("odc_cleansat.product_definitions")
    text = folder.joinpath(f"{name}.odc-product.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def scene_product(measurements: Iterable[str]) -> dict[str, Any]:
    """The product definition for scenes with these measurements.

    A datacube accepts a dataset only if it has every measurement of its product. So a
    scene without some of the bands becomes a dataset of a product of its own, which says in
    its name what it has, for instance ``s2_l2a_b02_b03_b04_b08_scl``.
    """
    wanted = set(measurements)
    document = product_definition(SCENE_PRODUCT)
    kept = [m for m in document["measurements"] if m["name"] in wanted]
    if len(kept) < len(document["measurements"]):
        codes = [m["aliases"][1].lower() for m in kept]
        document["name"] = "_".join([SCENE_PRODUCT, *codes])
        document["metadata"]["product"]["name"] = document["name"]
        document["description"] += " (some bands only)"
        document["measurements"] = kept
    return document


def native_grids(document: Mapping[str, Any]) -> dict[str, GeoBox]:
    """Return the grids that an EO3 document names, by name.

    Raises
    ------
    KeyError
        If the document has no grids.
    """
    return {
        name: GeoBox(grid["shape"], Affine(*grid["transform"][:6]), document["crs"])
        for name, grid in document["grids"].items()
    }


def native_grid(document: Mapping[str, Any], measurement: str) -> GeoBox:
    """Return the grid of one measurement of an EO3 document.

    Raises
    ------
    KeyError
        If the document has no such measurement, or no grids.
    """
    name = document["measurements"][measurement].get("grid", "default")
    return native_grids(document)[name]


def acquisition_time(properties: Mapping[str, Any]) -> datetime | None:
    """When a scene was taken, in UTC without saying so; None if that is not known."""
    moment = properties.get("datetime")
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    if not isinstance(moment, datetime) or properties.get("cleansat:datetime_placeholder"):
        return None
    return moment.astimezone(timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment
