"""Read a scene from any of its forms: a STAC item, an EO3 document, a SAFE folder, a Zarr product or a folder of bands."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import CleansatError, SceneError, first_line
from ..storage.folder import as_uri, split_file
from ..storage.reader import DocumentError, parse_json, parse_yaml
from ..storage.zarr_store import has_metadata, is_zarr
from .band_folder import folder_scene
from .http import innermost_reason, stac_io
from .safe import is_safe, safe_scene
from .scene import Scene, eo3_scene
from .stac import item_scene, parse_item
from .zarr_product import zarr_scene


def read_scene(source: str, moment: datetime | None = None) -> Scene:
    """Read a scene from its path or URL.

    Parameters
    ----------
    source
        A folder of band files, a SAFE folder or its zip file. Or the folder or URL of a Zarr product, ``NAME.zarr``, or the file
        or URL of a STAC item or EO3 document.
    moment
        Acquisition time of a folder of bands that does not give one; UTC without a time zone.

    Raises
    ------
    SceneError
        If the source is none of these, cannot be read, lacks bands, or is not L2A.
    """
    path = Path(source)
    if is_zarr(source):
        return zarr_scene(source)
    if "://" not in source and path.is_dir():
        if has_metadata(path):
            raise SceneError(f"{path} looks like a Zarr product; give it back its name, NAME.zarr.")
        return safe_scene(path) if is_safe(path) else folder_scene(path, moment)
    if source.lower().endswith(".zarr.zip"):
        name = path.name[: -len(".zip")]
        raise SceneError(
            f"{source} is a Zarr product in a zip file, which is not read; unpack it into a folder {name}, so that zarr.json or "
            ".zgroup lies in it, and give that folder."
        )
    if path.suffix.lower() == ".zip" and path.is_file():
        return safe_scene(path)
    document = read_metadata(source)
    if "opendatacube.org/dataset" in str(document.get("$schema")):
        return eo3_scene(document, as_uri(source))
    if document.get("type") == "Feature":
        return item_scene(parse_item(document, as_uri(source)))
    kind = document.get("type") or "neither"
    raise SceneError(
        f"{source} is no scene: it should be a STAC item or an EO3 dataset document, and is {kind}. "
        "To search a STAC API: cleansat mask --stac-api URL --bbox W,S,E,N --time DAY -o DIR"
    )


def read_metadata(source: str) -> dict[str, Any]:
    """Return a document in JSON or YAML.

    Parameters
    ----------
    source
        Path or URL of the document.

    Raises
    ------
    SceneError
        If it is missing, cannot be read, or is not a mapping in JSON or YAML.
    """
    text = _read_text(source)
    try:
        parse = parse_json if text.lstrip()[:1] == "{" else parse_yaml
        document = parse(text, split_file(source)[1])
    except DocumentError as error:
        raise SceneError(f"{source} is neither JSON nor YAML: {first_line(error)}.") from error
    if not isinstance(document, dict):
        raise SceneError(f"{source} holds no document; it should be a STAC item or an EO3 dataset.")
    return document


def _read_text(source: str) -> str:
    """Return the text of a file or URL."""
    try:
        if source.startswith(("http://", "https://")):
            return str(stac_io().read_text(source))
        folder, name = split_file(source)
        return folder.read(name).decode("utf-8")
    except FileNotFoundError as error:
        if "://" not in source and ("#" in source or "?" in source):
            raise SceneError(
                f"{source} is not found. Many programs end a path at # or ?, so it may have been written under another "
                "name; rename the folder without them, and write it again."
            ) from error
        raise SceneError(f"there is no {source}; give a file, a folder or a URL.") from error
    except UnicodeDecodeError as error:
        raise SceneError(
            f"{source} is no text; give a STAC item, an EO3 document or, for bands, their folder."
        ) from error
    except CleansatError:
        raise
    except Exception as error:  # of requests, pystac-client and the file systems
        raise SceneError(f"cannot read {source}: {innermost_reason(error)}.") from error
