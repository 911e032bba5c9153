"""A datacube without a database: its index is a catalogue, a folder or a bucket.

In datacube's configuration it is an environment of its own::

    [masks]
    index_driver: cleansat
    catalog: s3://bucket/masks
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacube.cfg.opt import ODCOptionHandler
from datacube.index.abstract import AbstractIndexDriver
from datacube.index.memory.index import Index
from datacube.model import MetadataType

from ..storage.folder import Folder
from .datasets import CatalogDatasets
from .products import CatalogProducts

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.cfg import ODCEnvironment

DRIVER = "cleansat"
"""Name of the index driver in datacube's configuration."""


class CatalogIndex(Index):  # type: ignore[misc]
    """The index of a catalogue, which needs not exist yet.

    Parameters
    ----------
    env
        Environment of datacube's configuration.
    root
        Path or URL of the catalogue.
    """

    supports_persistence = True
    latest_first = True
    """Searches give the latest first, and know time and place."""

    def __init__(self, env: ODCEnvironment, root: Path | str) -> None:
        super().__init__(env)
        self.root = Folder(root)
        """The catalogue."""
        self._products = CatalogProducts(self, self.root)
        self._datasets = CatalogDatasets(self, self.root, self._products)
        self._products.load()

    @classmethod
    def from_config(
        cls,
        cfg_env: ODCEnvironment,
        application_name: str | None = None,
        validate_connection: bool = True,
    ) -> CatalogIndex:
        """Return the index that an environment of datacube's configuration names."""
        return cls(cfg_env, cfg_env["catalog"])

    @property
    def name(self) -> str:
        """Return the name of the driver."""
        return DRIVER

    @property
    def url(self) -> str:
        """Return the path or address of the catalogue."""
        return str(self.root)

    @property
    def products(self) -> CatalogProducts:
        """Return the products."""
        return self._products

    @property
    def datasets(self) -> CatalogDatasets:
        """Return the datasets."""
        return self._datasets

    def __repr__(self) -> str:
        return f"CatalogIndex({str(self.root)!r})"


class CatalogIndexDriver(AbstractIndexDriver):  # type: ignore[misc]
    """The driver by which datacube finds :class:`CatalogIndex`."""

    @classmethod
    def index_class(cls) -> type[CatalogIndex]:
        """Return the class of the index."""
        return CatalogIndex

    @staticmethod
    def metadata_type_from_doc(definition: dict[str, Any]) -> Any:
        """Return a metadata type, as datacube's driver in memory does."""
        return MetadataType(definition, search_field_extractor=CatalogIndex.get_dataset_fields)

    @staticmethod
    def get_config_option_handlers(env: ODCEnvironment) -> list[ODCOptionHandler]:
        """Return the options of an environment."""
        return [ODCOptionHandler("catalog", env)]


def open_index(place: Path | str) -> Datacube:
    """Return a datacube whose index is a catalogue. Nothing is written until something is added.

    Parameters
    ----------
    place
        Path or URL of the catalogue.

    Raises
    ------
    CubeError
        If a newer version of this package has made the catalogue.
    OutputError
        If the folder or bucket cannot be read.
    """
    from datacube import Datacube
    from datacube.cfg import ODCConfig

    config = ODCConfig(raw_dict={"default": {"index_driver": "memory"}})
    return Datacube(index=CatalogIndex(config["default"], place))


def index_driver_init() -> CatalogIndexDriver:
    """Return the driver, for datacube's entry point."""
    return CatalogIndexDriver()
