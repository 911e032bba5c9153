"""What stands for a scene on the command line, as a dataset that can be masked without a datacube.

A STAC item, a SAFE folder, an EO3 document or a folder of bands; or the items that a STAC API finds.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import CleansatError, SceneError, first_line
from ..storage.folder import as_uri, split_file
from .band_folder import open_scene, write_scene_document
from .files import SceneFiles, dataset_files, item_files
from .offset import processing_level
from .stac import _check_level, _placed, _public, _reason, _region, _signed, _stac_io, _with_bands

if TYPE_CHECKING:
    import pystac
    from datacube.model import Dataset


@dataclass(frozen=True)
class Scene:
    """A scene that can be masked: a dataset that no datacube needs to know."""

    label: str
    """Name for people."""

    dataset: Dataset
    """Its bands and grids, in memory only."""

    files: SceneFiles
    """Its bands, with all that their metadata say of their values."""


def read_scene(source: str, moment: datetime | None = None) -> Scene:
    """A scene from its path or URL.

    Parameters
    ----------
    source
        A folder of band files; a SAFE folder; a STAC item or an EO3 document, as a file or a URL.
    moment
        When a folder of bands was acquired, if it does not tell.

    Raises
    ------
    SceneError
        If it is none of these, cannot be read, lacks bands, or is not L2A.
    """
    path = Path(source)
    if "://" not in source and path.is_dir():
        return _safe_scene(path) if _is_safe(path) else _folder_scene(path, moment)
    document = read_metadata(source)
    if "opendatacube.org/dataset" in str(document.get("$schema")):
        return _document_scene(document, as_uri(source))
    if document.get("type") == "Feature":
        return item_scene(_item(document, as_uri(source)))
    kind = document.get("type") or "neither"
    raise SceneError(
        f"{source} is no scene: it should be a STAC item or an EO3 dataset document, and is {kind}. "
        "To search a STAC API use --stac-api, --bbox and --time."
    )


def read_metadata(source: str) -> dict[str, Any]:
    """A document in JSON or YAML from a file or a URL.

    Raises
    ------
    SceneError
        If it is not there, cannot be read, or is something else.
    """
    text = _text(source)
    try:
        found = json.loads(text) if text[:1] == "{" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise SceneError(f"{source} is neither JSON nor YAML: {first_line(error)}.") from error
    if not isinstance(found, dict):
        raise SceneError(f"{source} holds no document; it should be a STAC item or an EO3 dataset.")
    return found


def _text(source: str) -> str:
    try:
        if source.startswith(("http://", "https://")):
            return str(_stac_io().read_text(source))
        folder, name = split_file(source)
        return folder.read(name).decode("utf-8")
    except FileNotFoundError as error:
        raise SceneError(f"there is no {source}; give a file, a folder or a URL.") from error
    except UnicodeDecodeError as error:
        raise SceneError(
            f"{source} is no text; give a STAC item, an EO3 document or, for bands, their folder."
        ) from error
    except CleansatError:
        raise
    except Exception as error:  # of requests, pystac-client and the file systems, each with its own
        raise SceneError(f"cannot read {source}: {_reason(error)}.") from error


def _item(document: dict[str, Any], address: str) -> pystac.Item:
    import pystac

    try:
        return pystac.Item.from_dict(document, href=address)
    except Exception as error:  # pystac's own, and KeyError
        raise SceneError(
            f"{address} is no STAC item: {type(error).__name__} {first_line(error)}."
        ) from error


def item_scene(item: pystac.Item) -> Scene:
    """A STAC item as a scene.

    Its id is that which `datacube.metadata.stac2ds` gives, so that a mask finds its scene where that
    is indexed by datacube's tools. Where a band is there in several files, the cloud-optimised
    one is taken. Hrefs of Planetary Computer are signed.

    Raises
    ------
    SceneError
        If it is not L2A, or has no bands, no footprint, or files that cannot be read.
    """
    from datacube.metadata import stac2ds

    _check_level(item)
    bands = _signed(_with_bands(item))
    files = item_files(bands)
    try:
        (found,) = stac2ds([bands], {"*": {"warnings": "ignore", "ignore_proj": True}})
    except Exception as error:
        raise SceneError(
            f"item {item.id} cannot be read as a dataset: {first_line(error)}. Is it valid STAC, with a "
            "footprint?"
        ) from error
    document = dict(found.metadata_doc)
    properties = document["properties"]
    properties["odc:region_code"] = properties.get("odc:region_code") or _region(item)
    if (moment := item.datetime or item.common_metadata.start_datetime) is None:
        raise SceneError(f"item {item.id} has no date; set its `datetime`.")
    properties["datetime"] = moment
    properties["cleansat:source"] = _public(item.get_self_href()) or item.id
    document |= _placed(files, bands)
    # Some APIs give items without a link to themselves; all addresses are whole by now.
    address = item.get_self_href() or next(iter(files.files.values())).uri
    return Scene(item.id, _dataset(document, address), files)


# --- SAFE, EO3, folders ---------------------------------------------------------------


def _is_safe(folder: Path) -> bool:
    named = folder.resolve().name.upper().endswith(".SAFE")
    return named or any((folder / name).exists() for name in ("manifest.safe", "MTD_MSIL2A.xml"))


def _safe_scene(folder: Path) -> Scene:
    """A SAFE folder, as stactools-sentinel2 reads it."""
    folder = folder.resolve()
    if "MSIL1C" in folder.name:
        raise SceneError(
            f"{folder.name} is of level 1C, top of the atmosphere; masks are made of L2A. Take the L2A "
            "product, or make it with Sen2Cor. The models for L1C take its bands as an array: "
            "classify(bands, model=..., offset=...)."
        )
    if not folder.name.upper().endswith(".SAFE"):
        raise SceneError(f"{folder} looks like a SAFE product; give it back its name, NAME.SAFE.")
    try:
        from stactools.sentinel2.stac import create_item
    except ImportError as error:
        raise SceneError(
            "reading a SAFE folder needs stactools-sentinel2; run: pip install 'odc-cleansat[safe]'"
        ) from error
    try:
        with warnings.catch_warnings():
            # That the metadata's footprints are wound clockwise, as those of all products are.
            warnings.filterwarnings("ignore", message="The exterior ring", category=UserWarning)
            item = create_item(str(folder))
    except Exception as error:  # stactools raises what its XML parser or its own code meets
        raise SceneError(
            f"{folder.name} cannot be read as a SAFE product: {type(error).__name__} "
            f"{first_line(error)}. Is it whole, with manifest.safe and the metadata of its granule?"
        ) from error
    # Its own id leaves out when and by which baseline the product was made.
    item.id = str(item.properties.get("s2:product_uri") or folder.name).removesuffix(".SAFE")
    item.set_self_href(folder.as_uri())
    return item_scene(item)


def _document_scene(document: dict[str, Any], address: str) -> Scene:
    """An EO3 dataset document."""
    missing = [
        key for key in ("id", "crs", "grids", "measurements", "properties") if key not in document
    ]
    if not missing and not (document["properties"] or {}).get("datetime"):
        missing = ["datetime among its properties"]
    if missing:
        raise SceneError(f"{address} is an incomplete EO3 document: it lacks {', '.join(missing)}.")
    if processing_level(document["properties"]) == "L1C":
        raise SceneError(
            f"{address} is of level 1C, top of the atmosphere; masks are made of L2A. The models for L1C take its "
            "bands as an array: classify(bands, model=..., offset=...)."
        )
    dataset = _dataset(document, address)
    files = dataset_files(dataset)
    return Scene(str(document.get("label") or dataset.id), dataset, files)


def _folder_scene(folder: Path, moment: datetime | None) -> Scene:
    """A folder with one file a band."""
    found = open_scene(folder, moment)
    with tempfile.TemporaryDirectory(prefix="cleansat-") as temporary:
        path = write_scene_document(found, Path(temporary))
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return _document_scene(document, folder.resolve().as_uri() + "/")


def _dataset(document: Mapping[str, Any], address: str | None) -> Dataset:
    """An EO3 document as a dataset of a product that is made up for it."""
    from datacube.index.abstract import default_metadata_type_docs
    from datacube.index.eo3 import prep_eo3
    from datacube.model import Dataset, Product, metadata_from_doc

    types = {each["name"]: each for each in default_metadata_type_docs()}
    name = str((document.get("product") or {}).get("name") or "scene")
    bands = [
        {"name": band, "dtype": "uint16", "nodata": 0, "units": "1"}
        for band in document["measurements"]
    ]
    definition = {
        "name": name,
        "metadata_type": "eo3",
        "metadata": {"product": {"name": name}},
        "measurements": bands,
    }
    product = Product(metadata_from_doc(types["eo3"]), definition)
    try:
        return Dataset(product, prep_eo3({**document, "lineage": {}}), uri=address)
    except Exception as error:
        raise SceneError(f"{address} is no valid EO3 document: {first_line(error)}.") from error
