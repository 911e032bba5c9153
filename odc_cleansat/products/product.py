"""A mask product: found in a folder or a store, opened, and checked for being whole."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import yaml
from odc.geo.geobox import GeoBox

from ..errors import CleansatError, CubeError, OutputError
from ..scenes.files import SceneFiles
from ..storage.eo3 import acquisition_time, native_grid
from ..storage.folder import Folder, split_file
from ..storage.settings import gdal_settings

if TYPE_CHECKING:
    from datacube.model import Dataset
    from rasterio.io import DatasetReader


DOCUMENT, SUMS = ".odc-metadata.yaml", ".sha1"
"""How the names of the EO3 document and of the list of checksums end."""

RECORD, ITEM = ".proc-info.yaml", ".stac-item.json"
"""How the names of the processing record and of the STAC item end."""


class MaskProductError(OutputError):
    """There is no whole mask product at a place, or one of its documents cannot be read."""


class MaskProduct:
    """A mask on disk or in a store. Each file is read when it is asked for.

    Parameters
    ----------
    place
        Path or URL of the product's folder, or of its EO3 document.
    document
        The EO3 document, if a datacube knows it. `place` is then the address of the document.
    scene
        The files of the mask's scene, if a datacube knows them.
    """

    def __init__(
        self,
        place: Folder | Path | str,
        document: Mapping[str, Any] | None = None,
        scene: SceneFiles | None = None,
    ) -> None:
        self._file: str | None = None
        if isinstance(place, Folder) or (document is None and not str(place).endswith(DOCUMENT)):
            self.folder = Folder(place)
        else:
            self.folder, self._file = split_file(place)
        self.indexed = document is not None
        self.scene = scene
        if document is not None:
            self.document = document

    @classmethod
    def find(cls, place: Path | str) -> list[MaskProduct]:
        """Find the mask products at a place, also those that are not whole.

        Parameters
        ----------
        place
            Path or URL of a product's document, of its folder, or of a folder with products below.

        Returns
        -------
        list
            The products in the order of their paths.

        Raises
        ------
        OutputError
            If there is none, or a store cannot be read.
        """
        if str(place).endswith(DOCUMENT):
            return [cls(place)]
        folders = Folder(place).find((DOCUMENT, SUMS))
        if not folders:
            raise OutputError(
                f"there is no mask product in {place}: no file there ends in {DOCUMENT}. Give its "
                "folder, or one above it."
            )
        return [cls(folder) for folder in folders]

    @classmethod
    def of_dataset(cls, dataset: Dataset, scene: SceneFiles | None = None) -> MaskProduct:
        """Return the product of an indexed mask.

        Raises
        ------
        CubeError
            If the dataset has no location, or is no mask.
        """
        if dataset.uri is None:
            raise CubeError(
                f"the dataset {dataset.id} has no location, so its files cannot be found."
            )
        if "ucl" not in dataset.measurements:
            raise CubeError(
                f"the dataset {dataset.id} of {dataset.product.name} is no mask: it has no "
                "measurement ucl."
            )
        return cls(dataset.uri, dataset.metadata_doc, scene)

    # Files

    @cached_property
    def name(self) -> str:
        """How the names of the product's files begin.

        Raises
        ------
        MaskProductError
            If the folder holds no product, or several.
        """
        if self._file is not None:
            return self._file.removesuffix(DOCUMENT)
        files = self.folder.files()
        # An unfinished product may have its list of checksums alone.
        names = _beginnings(files, DOCUMENT) or _beginnings(files, SUMS)
        if len(names) != 1:
            count = "several mask products" if names else "no mask product"
            raise MaskProductError(
                f"there is {count} in {self.folder}; give the folder or the document of one"
                f"{'' if names else self._example_below()}."
            )
        return names[0]

    def _example_below(self) -> str:
        path = self.folder.path
        below = next(path.rglob(f"*{DOCUMENT}"), None) if path else None
        return f", such as {below.parent}" if below else ""

    @property
    def document_file(self) -> Path | str:
        """Path or URL of the EO3 document.

        Raises
        ------
        MaskProductError
            If the folder holds no product, or several.
        """
        return self.folder.file(self._file or self.name + DOCUMENT)

    def has_document(self) -> bool:
        """Return whether the EO3 document is there."""
        return Path(str(self.document_file)).name in self.folder.files()

    def read(self, suffix: str) -> bytes:
        """Read the file whose name ends in `suffix`.

        Raises
        ------
        MaskProductError
            If it is missing.
        """
        try:
            return self.folder.read(self.name + suffix)
        except FileNotFoundError:
            file = self.folder.file(self.name + suffix)
            raise MaskProductError(f"{file} is missing; give a whole mask product.") from None

    def is_intact(self, read: bool | None = None) -> bool:
        """Return whether the product is there with all its files.

        Parameters
        ----------
        read
            Whether to read all files and compare their checksums. By default this is done on this
            machine only. In a store the document is read, and the other files are looked for.

        Raises
        ------
        OutputError
            If a store cannot be reached or does not let itself be read.
        """
        files = self.folder.files()
        sums, documents = (
            [name for name in files if name.endswith(suffix)] for suffix in (SUMS, DOCUMENT)
        )
        if len(sums) != 1 or len(documents) != 1:
            return False
        listed = parse_sums(self.folder.read(sums[0]))
        if documents[0] not in listed or not listed.keys() <= files.keys():
            return False
        thorough = self.folder.path is not None if read is None else read
        names = listed if thorough else documents
        return all(self.folder.sha1(name) == listed[name] for name in names)

    def intact_document(self) -> Path | str | None:
        """Return path or URL of the EO3 document if the product is whole; see :meth:`is_intact`."""
        return self.document_file if self.is_intact() else None

    # Documents

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The EO3 document.

        Raises
        ------
        MaskProductError
            If it is missing, is no EO3 document, or is not that of a mask.
        """
        from datacube.utils.documents import parse_yaml

        try:
            document = dict(parse_yaml(self.read(DOCUMENT).decode()))
            UUID(document["id"])
            measurements = document["measurements"]
        except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
            if isinstance(error, CleansatError):
                raise
            raise MaskProductError(
                f"{self.document_file} is no EO3 document, or not as it should be; "
                "give a mask product."
            ) from error
        if "ucl" not in measurements:
            raise MaskProductError(
                f"{self.document_file} is no mask: it has no measurement ucl. Give a mask product."
            )
        return document

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """The processing record.

        Raises
        ------
        MaskProductError
            If it is missing or cannot be read.
        """
        return self._parse(RECORD)

    @cached_property
    def stac_item(self) -> Mapping[str, Any]:
        """The STAC item.

        Raises
        ------
        MaskProductError
            If it is missing or cannot be read.
        """
        return self._parse(ITEM)

    def _parse(self, suffix: str) -> Mapping[str, Any]:
        content = self.read(suffix)
        try:
            document = json.loads(content) if suffix == ITEM else yaml.safe_load(content)
        except (ValueError, yaml.YAMLError) as error:
            raise MaskProductError(f"{self.name}{suffix} cannot be read: {error}") from error
        if not isinstance(document, dict):
            raise MaskProductError(f"{self.name}{suffix} cannot be read: it holds no document")
        return document

    @property
    def id(self) -> UUID:
        """Id of the mask's dataset."""
        found = self.document["id"]
        return found if isinstance(found, UUID) else UUID(found)

    @property
    def label(self) -> str:
        """Name of the mask for people."""
        return str(self.document.get("label") or self.id)

    @property
    def properties(self) -> Mapping[str, Any]:
        """Properties in the EO3 document."""
        found: Mapping[str, Any] = self.document.get("properties", {})
        return found

    @property
    def model(self) -> str:
        """Name of the model that made the mask; empty if that is not known."""
        return str(self.properties.get("cleansat:model") or "")

    @property
    def day(self) -> str:
        """When the scene was acquired, ISO 8601 in UTC; empty if that is not known."""
        moment = acquisition_time(self.properties)
        return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"

    # Layers

    @property
    def grid(self) -> GeoBox:
        """The grid of the mask, as the EO3 document says."""
        return native_grid(self.document, "ucl")

    def layer_file(self, name: str) -> str:
        """Return path or URL of the file of a measurement."""
        return str(self.folder.file(self.document["measurements"][name]["path"]))

    @contextlib.contextmanager
    def open_layer(self, name: str) -> Iterator[DatasetReader]:
        """Open the file of a measurement with rasterio."""
        import rasterio

        file = self.layer_file(name)
        with gdal_settings(file), rasterio.open(file) as opened:
            yield opened


def parse_sums(content: bytes) -> dict[str, str]:
    """Parse a list of checksums as eodatasets3 writes it.

    Returns
    -------
    dict
        File name to hexadecimal SHA-1; empty if the content is no such list.
    """
    lines = [line.split("\t") for line in content.decode("utf-8", "replace").splitlines()]
    return {line[1]: line[0] for line in lines} if all(len(p) == 2 for p in lines) else {}


def _beginnings(files: Mapping[str, int], suffix: str) -> list[str]:
    return [name.removesuffix(suffix) for name in files if name.endswith(suffix)]
