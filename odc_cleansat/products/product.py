"""Find masks in a folder or store, and read their documents."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from ..errors import CleansatError, OutputError
from ..scenes.files import SceneFiles, local_path
from ..storage.eo3 import acquisition_time
from ..storage.folder import Folder, split_file

DOCUMENT, SUMS = ".odc-metadata.yaml", ".sha1"
"""How the names of the EO3 document and of the list of checksums end."""


def is_intact(folder: Folder | Path | str, read: bool | None = None) -> bool:
    """Whether a mask product is there, with all its files.

    Parameters
    ----------
    folder
        The product's own folder: a path or URL.
    read
        Whether to read all files and compare their checksums. By default that is done on this machine;
        of a store's files only the document is, and the others are looked for.

    Raises
    ------
    OutputError
        If a store cannot be reached or does not let itself be read.
    """
    folder = Folder(folder)
    there = folder.files()
    sums = [name for name in there if name.endswith(SUMS)]
    documents = [name for name in there if name.endswith(DOCUMENT)]
    if len(sums) != 1 or len(documents) != 1:
        return False
    listed = read_sums(folder.read(sums[0]))
    if documents[0] not in listed or not listed.keys() <= there.keys():
        return False
    thorough = folder.path is not None if read is None else read
    names = listed if thorough else documents
    return all(folder.sha1(name) == listed[name] for name in names)


def document_in(folder: Folder) -> Path | str | None:
    """The document of the mask product in a folder, path or URL, if it is there and whole; see :func:`is_intact`."""
    if not is_intact(folder):
        return None
    return next(folder.file(name) for name in folder.files() if name.endswith(DOCUMENT))


def read_sums(content: bytes) -> dict[str, str]:
    """File name to checksum, of a list as eodatasets3 writes it; nothing if it is no such list."""
    lines = [line.split("\t") for line in content.decode("utf-8", "replace").splitlines()]
    return {line[1]: line[0] for line in lines} if all(len(p) == 2 for p in lines) else {}


@dataclass(frozen=True)
class Mask:
    """A mask product to look at."""

    id: UUID
    """Of its dataset."""

    folder: Folder
    """Where its files are."""

    document: Mapping[str, Any]
    """EO3."""

    indexed: bool
    """Whether a datacube knows it by its id."""

    scene: SceneFiles | None = None
    """The files of its scene, if a datacube knows that."""

    @property
    def label(self) -> str:
        """Name for people."""
        return str(self.document.get("label") or self.id)

    @property
    def properties(self) -> Mapping[str, Any]:
        """Of the document."""
        found: Mapping[str, Any] = self.document.get("properties", {})
        return found

    @property
    def model(self) -> str:
        """Name of the model that made it; empty if that is not known."""
        return str(self.properties.get("cleansat:model") or "")

    @property
    def day(self) -> str:
        """When its scene was acquired, ISO 8601 in UTC; empty if that is not known."""
        moment = acquisition_time(self.properties)
        return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


# --- which masks ----------------------------------------------------------------------


def masks_at(place: Path | str) -> list[Mask | tuple[str, str]]:
    """The mask products at a place: a product, or all below a folder or URL.

    Returns
    -------
    list
        Masks; and for what is none, or is not whole, its place and why.

    Raises
    ------
    OutputError
        If there is nothing, or a store cannot be read.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(_mask_or_why, find_products(place)))


def _mask_or_why(place: Path | str) -> Mask | tuple[str, str]:
    try:
        return _mask_at(place)
    except (CleansatError, OSError) as error:
        return str(place), _line(error)


def _mask_at(place: Path | str) -> Mask:
    if str(place).endswith(DOCUMENT):
        folder, name = split_file(place)
    else:
        folder = Folder(place)
        names = [each for each in folder.files() if each.endswith(DOCUMENT)]
        if len(names) != 1:
            raise CleansatError(f"it has {len(names)} documents; a product was not finished here.")
        (name,) = names
    document = _document(folder, name)
    return Mask(UUID(document["id"]), folder, document, indexed=False)


def _line(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, CleansatError | OSError) else f"{type(error).__name__} {text}"


THREADS = 32
"""Folders of a store that are listed at a time."""


def is_place(text: str) -> bool:
    """Whether it is the path or URL of a mask, and not an id or a label."""
    return "/" in text or text.endswith(DOCUMENT) or Path(text).exists()


def _at(place: Path | str) -> tuple[Folder, UUID]:
    if str(place).endswith(DOCUMENT):
        folder, name = split_file(local_path(str(place)))
        names = [name]
    else:
        folder = Folder(place)
        names = [each for each in folder.files() if each.endswith(DOCUMENT)]
    if len(names) != 1:
        found = "several mask products" if names else "no mask product"
        below = next(folder.path.rglob(f"*{DOCUMENT}"), None) if folder.path and not names else None
        such = f", such as {below.parent}" if below else ""
        raise OutputError(
            f"there is {found} in {folder}; give the folder or the document of one{such}."
        )
    return folder, UUID(_document(folder, names[0])["id"])


def _document(folder: Folder, name: str) -> dict[str, Any]:
    import yaml
    from datacube.utils.documents import parse_yaml

    try:
        document = dict(parse_yaml(folder.read(name).decode()))
        UUID(document["id"])
        measurements = document["measurements"]
    except FileNotFoundError:
        raise OutputError(f"there is no {folder.file(name)}; give a mask product.") from None
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        if isinstance(error, CleansatError):
            raise
        raise OutputError(
            f"{folder.file(name)} is no EO3 document; give a mask product."
        ) from error
    if "ucl" not in measurements:
        raise OutputError(f"{folder.file(name)} is no mask: it has no measurement ucl.")
    return document


def find_products(place: Path | str) -> list[Path | str]:
    """The mask products at a place.

    Parameters
    ----------
    place
        Path or URL of a product's document, of its folder, or of a folder with products below.

    Returns
    -------
    list
        The document, or the folders of products, in order.

    Raises
    ------
    OutputError
        If there is none, or a store cannot be read.
    """
    if str(place).endswith(DOCUMENT):
        return [place]
    found = Folder(place).find((DOCUMENT, SUMS))
    if not found:
        raise OutputError(
            f"there is no mask product in {place}: no file there ends in {DOCUMENT}. Give its folder, "
            "or one above it."
        )
    return [folder.path or str(folder) for folder in found]
