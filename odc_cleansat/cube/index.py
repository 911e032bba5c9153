"""Add products and datasets to a datacube; to add them again does no harm."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..errors import CubeError
from ..grids.footprint import geojson_bbox, lonlat_footprint
from ..storage.folder import as_uri, split_file
from ..storage.reader import DocumentError, parse_yaml
from ..storage.settings import prepare_gdal
from .area import LAST_LATITUDE, LAST_LONGITUDE

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


def add_product(dc: Datacube, document: dict[str, Any]) -> bool:
    """Add a product definition unless the index has it.

    Returns
    -------
    bool
        False if it was there already.

    Raises
    ------
    CubeError
        If the index has another definition under the same name.
    """
    name = document["name"]
    existing = dc.index.products.get_by_name(name)
    if existing is not None:
        have = {m["name"] for m in existing.definition["measurements"]}
        if missing := {m["name"] for m in document["measurements"]} - have:
            raise CubeError(
                f"the index has another product {name}, without {', '.join(sorted(missing))}; "
                "use another datacube or environment, or rename one of the two."
            )
        return False
    dc.index.products.add(dc.index.products.from_doc(document))
    return True


def find_dataset(dc: Datacube, dataset_id: UUID) -> Dataset | None:
    """Return a dataset that is indexed and not archived, or None."""
    dataset = dc.index.datasets.get(dataset_id)
    return None if dataset is None or dataset.is_archived else dataset


def resolve_dataset(dc: Datacube, metadata: Path | str, source: Dataset | None = None) -> Dataset:
    """Return an EO3 document as a dataset that can be loaded; it is not indexed.

    It has its lineage if the index knows what it was made of, or if that is given.

    Parameters
    ----------
    dc
        The datacube.
    metadata
        Path or URL of the ``.odc-metadata.yaml``; relative paths in it count from there.
    source
        A dataset of which it may have been made.

    Raises
    ------
    CubeError
        If it cannot be read, no product of the index matches, or it is not acceptable.
    """
    from datacube.index.hl import Doc2Dataset

    prepare_gdal()
    document = _read_yaml(metadata)
    try:
        product = document["product"]["name"]
        lineage = document.get("lineage") or {}
        sources = [UUID(str(each)) for made_of in lineage.values() for each in made_of]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CubeError(f"cannot index {metadata}: it is no EO3 document.") from None
    if dc.index.products.get_by_name(product) is None:
        raise CubeError(
            f"cannot index {metadata}: the index has no product {product}; add its definition first."
        )
    # The driver postgis fails at the empty lineage of a document that datacube has prepared once.
    given = source is not None and sources == [source.id]
    known = bool(sources) and not given and all(dc.index.datasets.bulk_has(sources))
    resolve = Doc2Dataset(
        dc.index, products=[product], verify_lineage=False, skip_lineage=not known
    )
    with _quiet():
        dataset, error = resolve(document, as_uri(metadata))
    if dataset is None:
        raise CubeError(f"cannot index {metadata}: {error}")
    if given:
        dataset.sources = dict.fromkeys(lineage, source)
    _correct_extent(dataset)
    return dataset


def _correct_extent(dataset: Dataset) -> None:
    """Give a dataset across the antimeridian or around a pole the bounds by which it is found.

    Datacube takes them from the corners alone. Then a tile may lack most of its longitudes there, and a scene
    that holds a pole has not the latitude of the pole.
    """
    extent = dataset.metadata_doc.get("extent")
    if not extent or not _is_near_edge(extent) or dataset.extent is None:
        return
    west, south, east, north = geojson_bbox(lonlat_footprint(dataset.extent))
    # Datacube's own form: longitudes go on beyond 180 degrees.
    extent["lon"] = {"begin": west, "end": east + 360 * (west > east)}
    extent["lat"] = {"begin": south, "end": north}


def _is_near_edge(extent: dict[str, dict[str, float]]) -> bool:
    far = max(map(abs, extent["lon"].values())), max(map(abs, extent["lat"].values()))
    return far[0] > LAST_LONGITUDE or far[1] > LAST_LATITUDE


def _read_yaml(path: Path | str) -> Any:
    folder, name = split_file(path)
    try:
        return parse_yaml(folder.read(name), name)
    except FileNotFoundError:
        raise CubeError(f"cannot index {path}: it is not there.") from None
    except (OSError, DocumentError) as error:
        raise CubeError(f"cannot index {path}: {error}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence one warning of datacube 1.9.

    It makes a stub of each source dataset, and then warns that the stub is no EO3 document.
    """
    log = logging.getLogger("datacube.index.hl")

    def is_meant(record: logging.LogRecord) -> bool:
        return "$schema" not in record.getMessage()

    log.addFilter(is_meant)
    try:
        yield
    finally:
        log.removeFilter(is_meant)


def add_dataset(dc: Datacube, metadata: Path | str) -> Dataset:
    """Index an EO3 document, unless it is indexed and unchanged.

    A dataset that is archived is restored. One that has moved, or is described anew, is updated.

    Parameters
    ----------
    dc
        The datacube.
    metadata
        Path or URL of the ``.odc-metadata.yaml``; relative paths in it count from there.

    Raises
    ------
    CubeError
        As :func:`resolve_dataset`.
    """
    from datacube.utils.changes import allow_any

    dataset = resolve_dataset(dc, metadata)
    known = dc.index.datasets.get(dataset.id)
    if known is None:
        return dc.index.datasets.add(dataset, with_lineage=bool(dataset.sources))
    if known.is_archived:
        dc.index.datasets.restore([dataset.id])
    if known.uri != dataset.uri or _description(known) != _description(dataset):
        keys = known.metadata_doc.keys() | dataset.metadata_doc.keys()
        dc.index.datasets.update(dataset, updates_allowed={(key,): allow_any for key in keys})
    return dc.index.datasets.get(dataset.id)


def _description(dataset: Dataset) -> dict[str, Any]:
    """Return what a document says of the pixels."""
    from datacube.utils import jsonify_document

    keys = ("crs", "grids", "measurements", "properties")
    return {key: jsonify_document(dataset.metadata_doc.get(key)) for key in keys}
