"""A mask product: found in a folder or a store, opened, and checked for being whole."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from odc.geo.geobox import GeoBox

from ..addresses import without_secrets
from ..errors import CubeError, OutputError, fault_of
from ..scenes.files import SceneFiles
from ..storage.eo3 import acquisition_time, native_grid
from ..storage.folder import Folder, split_file
from ..storage.reader import DocumentError, parse_json, parse_yaml
from ..storage.strangers import open_carefully

if TYPE_CHECKING:
    from datacube.model import Dataset
    from rasterio.io import DatasetReader


DOCUMENT, SUMS = ".odc-metadata.yaml", ".sha1"
"""How the names of the EO3 document and of the list of checksums end."""

MOST_PIXELS = 2**29
"""Most pixels of a layer that are read. A tile at 10 m has a quarter of it."""

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
        except OSError as error:
            file = self.folder.file(self.name + suffix)
            raise MaskProductError(f"{file} cannot be read: {error.strerror or error}.") from error

    def is_intact(self, read: bool | None = None) -> bool:
        """Return whether the product is there with all its files.

        Parameters
        ----------
        read
            Whether to read all files and compare their checksums. By default this is done on this
            machine only. In a store the document is read. The other files are looked for, and the sizes of the
            layers are compared with those in the document.

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
        try:
            listed = parse_sums(self.folder.read(sums[0]))
            if documents[0] not in listed or not listed.keys() <= files.keys():
                return False
            document = self.folder.read(documents[0])
            if hashlib.sha1(document).hexdigest() != listed[documents[0]]:
                return False
            if any(files.get(name) != size for name, size in layer_sizes(document).items()):
                return False
            thorough = self.folder.path is not None if read is None else read
            return not thorough or all(
                self.folder.sha1(name) == found for name, found in listed.items()
            )
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, DocumentError):
            return False  # deleted or replaced since it was listed, or no file
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be read: {error.strerror or error}."
            ) from error

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
        content = self.read(DOCUMENT)
        try:
            document = dict(parse_yaml(content, "it"))
            UUID(document["id"])
            for key in ("measurements", "properties"):
                document[key] = dict(document.get(key, {}))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MaskProductError(
                f"{self.document_file} is no EO3 document, or not as it should be "
                f"({fault_of(error)}); give a mask product."
            ) from error
        measurements = document["measurements"]
        if not all(isinstance(each, dict) for each in measurements.values()):
            raise MaskProductError(
                f"{self.document_file} has a measurement that is no mapping; give a mask product."
            )
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

    @property
    def own_record(self) -> Mapping[str, Any]:
        """The part of the processing record that is this package's own.

        Raises
        ------
        MaskProductError
            If the record is missing, cannot be read or lacks it.
        """
        found = self.record.get("cleansat")
        if not isinstance(found, dict):
            raise MaskProductError(f"the processing record lacks {'cleansat'!r}")
        return found

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
        parse = parse_json if suffix == ITEM else parse_yaml
        try:
            document = parse(content, f"{self.name}{suffix}")
        except DocumentError as error:
            raise MaskProductError(
                f"{self.name}{suffix} cannot be read: {error.reason}."
            ) from error
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
        """Name of the mask for people, without secrets."""
        return without_secrets(str(self.document.get("label") or self.id))

    @property
    def properties(self) -> Mapping[str, Any]:
        """Properties in the EO3 document."""
        found: Mapping[str, Any] = self.document.get("properties", {})
        return found

    @property
    def model(self) -> str:
        """Name of the model that made the mask, without secrets; empty if that is not known."""
        return without_secrets(str(self.properties.get("cleansat:model") or ""))

    @property
    def day(self) -> str:
        """When the scene was acquired, ISO 8601 in UTC; empty if that is not known."""
        try:
            moment = acquisition_time(self.properties)
        except DocumentError:
            return ""
        return "" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"

    # Layers

    @property
    def grid(self) -> GeoBox:
        """The grid of the mask, as the EO3 document says.

        Raises
        ------
        MaskProductError
            If the document names none.
        """
        try:
            return native_grid(self.document, "ucl")
        except DocumentError as error:
            raise MaskProductError(
                f"{self.document_file} has no grid that can be used: {error}"
            ) from error

    def layer_file(self, name: str) -> str:
        """Return path or URL of the file of a measurement, which is in the product's folder.

        Raises
        ------
        MaskProductError
            If the document names none, or one that is elsewhere.
        """
        try:
            path = self.document["measurements"][name]["path"]
        except (KeyError, TypeError) as error:
            raise MaskProductError(f"{self.document_file} names no file for {name}.") from error
        if not isinstance(path, str) or not is_inside(path):
            raise MaskProductError(
                f"{self.document_file} names a file for {name} that is not in its folder; it is not opened."
            )
        return str(self.folder.file(path))

    @contextlib.contextmanager
    def open_layer(self, name: str) -> Iterator[DatasetReader]:
        """Open the file of a measurement with rasterio.

        Raises
        ------
        MaskProductError
            If it is elsewhere than in the product's folder or no plain file, names another file, or has far more
            pixels than a scene.
        rasterio.errors.RasterioError
            If it is no GeoTIFF. Other formats may name files and addresses that would then be read.
        """
        file = self.layer_file(name)
        if self.folder.leaves(file):
            raise MaskProductError(f"{file} is a link out of its folder; it is not opened.")
        with contextlib.ExitStack() as stack:
            try:
                opened = stack.enter_context(open_carefully(file, ("GTiff",)))
            except DocumentError as error:
                raise MaskProductError(str(error)) from error
            if opened.width * opened.height > MOST_PIXELS:
                raise MaskProductError(
                    f"{file} has {opened.width} x {opened.height} pixels, more than any scene; it is not read."
                )
            yield opened


def is_inside(path: str) -> bool:
    """Return whether a path in a document is that of a file in the document's folder, or below."""
    parts = path.replace("\\", "/").split("/")
    return "://" not in path and "\0" not in path and not {"", ".", ".."} & set(parts)


def layer_sizes(document: bytes) -> dict[str, int]:
    """Return the sizes of the layers in bytes, by file name, as an EO3 document says.

    Products of early versions have no sizes. The result is then empty.

    Raises
    ------
    DocumentError
        If it is no document.
    """
    found = parse_yaml(document, "the document")
    if not isinstance(found, dict):
        raise DocumentError("the document is no mapping.")
    measurements, properties = (found.get(key) or {} for key in ("measurements", "properties"))
    if not isinstance(measurements, dict) or not isinstance(properties, dict):
        raise DocumentError("the document has no mappings of measurements and properties.")
    return {
        str(each.get("path")): properties[f"cleansat:{name}_bytes"]
        for name, each in measurements.items()
        if isinstance(each, dict) and f"cleansat:{name}_bytes" in properties
    }


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
