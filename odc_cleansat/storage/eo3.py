"""EO3 documents and product definitions."""

from __future__ import annotations

import contextlib
import copy
import functools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affine import Affine
from odc.geo.geobox import GeoBox

from ..grids.grid import fault_of_grid
from .reader import parse_yaml, strange_values

if TYPE_CHECKING:
    from eodatasets3 import DatasetDoc


@contextlib.contextmanager
def allow_own_properties() -> Iterator[None]:
    """Silence eodatasets3's warnings about properties unknown to it, and about absolute paths, in this context."""
    from eodatasets3.assemble import IncompleteDatasetWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Unknown Stac property", category=UserWarning)
        warnings.simplefilter("ignore", IncompleteDatasetWarning)
        yield


@strange_values("the EO3 document")
def read_document(source: Path | Mapping[str, Any]) -> DatasetDoc:
    """Return an EO3 dataset document.

    Parameters
    ----------
    source
        The file, or the document as datacube gives it. The lineage of the latter is left out, because datacube
        nests it in a way that EO3 does not know.

    Raises
    ------
    DocumentError
        If eodatasets3 cannot read it.
    """
    from eodatasets3 import serialise

    with allow_own_properties():
        if isinstance(source, Path):
            return serialise.from_path(source)
        return serialise.from_doc({**source, "lineage": {}}, skip_validation=True)


SCENE_PRODUCT = "s2_l2a"
"""Name of the product of scenes with all bands."""

MASK_PRODUCT = "s2_l2a_ucl"
"""Name of the product of masks."""


REFINED_PRODUCT = "s2_l2a_ucl_time"
"""Name of the product of masks that other dates have refined."""


def product_definition(name: str) -> dict[str, Any]:
    """Return a product definition that comes with this package, by the name of the product."""
    return copy.deepcopy(_product_definition(name))


@functools.cache
def _product_definition(name: str) -> dict[str, Any]:
    folder = resources.files("odc_cleansat.product_definitions")
    text = folder.joinpath(f"{name}.odc-product.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = parse_yaml(text, name)
    return document


def scene_product(measurements: Iterable[str]) -> dict[str, Any]:
    """Return the product definition for scenes with some measurements.

    A datacube accepts a dataset only if it has every measurement of its product. So a scene without some of
    the bands gets a product of its own, whose name lists the bands, such as ``s2_l2a_b02_b03_b04_b08_scl``.

    Parameters
    ----------
    measurements
        Canonical names of the bands.
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
    DocumentError
        If the document has no grids, or one that is no grid.
    """
    with strange_values("the EO3 document"):
        return {
            name: _grid(name, grid, document["crs"]) for name, grid in document["grids"].items()
        }


def _grid(name: str, stated: Mapping[str, Any], crs: str) -> GeoBox:
    rows, columns = stated["shape"]
    if not 0 < min(rows, columns) <= max(rows, columns) < 2**31:
        raise ValueError(f"the grid {name} has the shape {rows} x {columns}")
    grid = GeoBox((rows, columns), Affine(*stated["transform"][:6]), crs)
    if fault := fault_of_grid(grid):
        raise ValueError(fault)
    return grid


def native_grid(document: Mapping[str, Any], measurement: str) -> GeoBox:
    """Return the grid of one measurement of an EO3 document.

    Raises
    ------
    DocumentError
        If the document has no such measurement, or no grids.
    """
    with strange_values("the EO3 document"):
        name = document["measurements"][measurement].get("grid", "default")
        return native_grids(document)[name]


def acquisition_time(properties: Mapping[str, Any]) -> datetime | None:
    """Return the acquisition time of a scene, UTC without a time zone, or None if it is unknown.

    Parameters
    ----------
    properties
        Properties of an EO3 document.

    Raises
    ------
    DocumentError
        If the properties say something else where the time should be.
    """
    moment = properties.get("datetime")
    with strange_values("the EO3 document"):
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
        if not isinstance(moment, datetime) or properties.get("cleansat:datetime_placeholder"):
            return None
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
