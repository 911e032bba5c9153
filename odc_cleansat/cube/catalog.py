"""A store of masks and their scenes, searched without a database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import texts
from ..errors import CleansatError, CubeError, GapWarning, tell
from ..masks.composite import composite
from ..products.product import DOCUMENT
from ..progress import SILENT, Reporter
from ..storage.eo3 import (
    MASK_PRODUCT,
    REFINED_PRODUCT,
    SCENE_PRODUCT,
    product_definition,
    scene_product,
)
from ..storage.folder import Folder, as_uri
from .index import add_product, resolve_dataset
from .load import load
from .query import Query, find_scenes
from .recall import recall

if TYPE_CHECKING:
    import pystac
    import xarray as xr
    from datacube import Datacube
    from datacube.model import Dataset

    from ..catalog.index import CatalogIndex

_PAGE = 256
"""Masks that are read and entered together."""

_READERS = 8
"""Threads that read documents."""


class Catalog:
    """A store of masks and their scenes. Open it with :func:`open_catalog`.

    Parameters
    ----------
    place
        Path or URL of the store.

    Raises
    ------
    CubeError
        If a newer version of this package has made it.
    OutputError
        If the store cannot be read.
    """

    def __init__(self, place: Path | str) -> None:
        from ..catalog.index import open_index

        self.dc: Datacube = open_index(place)
        """The store as a datacube, for every function that takes one."""
        self._has_products = False

    def __repr__(self) -> str:
        return f"Catalog({str(self._root)!r})"

    @property
    def _index(self) -> CatalogIndex:
        found: CatalogIndex = self.dc.index
        return found

    @property
    def _root(self) -> Folder:
        return self._index.root

    # --- read -------------------------------------------------------------------------

    def search(self, product: str = MASK_PRODUCT, **query: Any) -> list[pystac.Item]:
        """Return the STAC items of masks, or of scenes.

        Parameters
        ----------
        product
            Name of the product.
        **query
            ``time``, a place and search fields, as for :func:`~odc_cleansat.load`.

        Returns
        -------
        list of pystac.Item
            With absolute addresses, the latest first.

        Raises
        ------
        CubeError
            If there is no such product, the query cannot be understood, or nothing matches.
        """
        import pystac

        from ..catalog.items import absolute

        found = find_scenes(self.dc, Query.of(product, query))
        view = self._index.products.tables[product].view()
        rows = np.array([view.number(each.id) for each in found], dtype="int64")
        items = []
        for document in view.items(rows):
            for each in (*document["assets"].values(), *document["links"]):
                each["href"] = absolute(self._root, each["href"])
            items.append(pystac.Item.from_dict(document))
        return sorted(items, key=lambda item: str(item.datetime), reverse=True)

    def load(self, product: str | Sequence[str] | None = None, **query: Any) -> xr.Dataset:
        """Load scenes with their masks; see :func:`odc_cleansat.load`.

        Parameters
        ----------
        product
            Product of scenes; by default all that are in the store.
        **query
            As of :func:`odc_cleansat.load`.

        Returns
        -------
        xarray.Dataset
            Dims ``(time, y, x)``: bands in their own dtype, ``ucl`` uint8 with nodata 0.

        Raises
        ------
        CubeError
            If there are no scenes, or as :func:`odc_cleansat.load`.
        """
        if product is None and "datasets" not in query:
            product = self._scene_products()
        return load(self.dc, product, **query)

    def recall(
        self, product: str | Sequence[str] | None = MASK_PRODUCT, **query: Any
    ) -> xr.Dataset:
        """Return masks on any grid, dims ``(time, y, x)`` uint8; see :func:`odc_cleansat.recall`."""
        return recall(self.dc, product, **query)

    def refine(self, product: str | Sequence[str] | None = None, **query: Any) -> xr.Dataset:
        """Load scenes with masks that their other dates have refined: dims ``(time, y, x)``, ``ucl`` uint8; see :meth:`load`."""
        return self.load(product, **{"refine": "time", **query})

    def composite(
        self,
        product: str | Sequence[str] | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        **query: Any,
    ) -> xr.Dataset:
        """Load scenes and combine their clear observations.

        Parameters
        ----------
        product, **query
            As of :meth:`load`. The numbers are harmonized, unless ``harmonized`` says otherwise.
        options
            Arguments of :func:`odc_cleansat.composite`, such as ``{"method": "mean"}``.

        Returns
        -------
        xarray.Dataset
            Dims ``(y, x)``: bands in their own dtype or float32, and ``clear_count`` uint16.

        Raises
        ------
        CleansatError
            As :meth:`load` and :func:`odc_cleansat.composite`.
        """
        bands = query.get("measurements")
        if bands is not None:
            query["measurements"] = list(dict.fromkeys([*(texts(bands) or ()), "ucl"]))
        return composite(self.load(product, **{"harmonized": True, **query}), **(options or {}))

    def _scene_products(self) -> list[str]:
        found = [
            each.name
            for each in self.dc.index.products.get_all()
            if "ucl" not in each.measurements and self._index.products.tables[each.name].view()
        ]
        if not found:
            raise CubeError(
                f"the catalogue in {self._root} has masks but no scenes; recall() gives masks. Scenes are entered when "
                "they are masked."
            )
        return sorted(found)

    # --- write ------------------------------------------------------------------------

    def add(self, document: Path | str, scene: Dataset | None = None) -> None:
        """Enter a mask, and the scene that it was made of; what is there already stays.

        Parameters
        ----------
        document
            Path or URL of the mask's EO3 document.
        scene
            The scene as a dataset.

        Raises
        ------
        CubeError
            If the document is that of no mask.
        OSError, OutputError
            If the store cannot be written.
        """
        self._add_products()
        mask = resolve_dataset(self.dc, document, scene)
        ids = [each.id for each in (mask, scene) if each is not None]
        known = {each.id: each for each in self._index.datasets.bulk_get(ids)}
        # The scene comes first: a mask without its scene would not be loaded, if this is killed in between.
        if scene is not None and ids[1] not in known:
            _add_scene(self.dc, scene)
        there = known.get(ids[0])
        if there is None or there.is_archived or there.uri != mask.uri:
            self._index.datasets.add_all([mask])

    def _add_products(self) -> None:
        """Add the products of masks."""
        if not self._has_products:
            for name in (MASK_PRODUCT, REFINED_PRODUCT):
                add_product(self.dc, product_definition(name))
            self._has_products = True

    def update(self, reporter: Reporter = SILENT) -> tuple[int, int]:
        """Enter the masks that lie in the store, archive those that do not, and merge the files of the index.

        Parameters
        ----------
        reporter
            Is told how it goes on.

        Returns
        -------
        tuple of int
            How many were entered, and how many archived.

        Raises
        ------
        OSError, OutputError
            If the store cannot be read or written.

        Warns
        -----
        GapWarning
            For each mask that cannot be read.
        """
        self._add_products()
        with reporter.step(f"Looking for masks in {self._root}"):
            there = self._documents()
        known = self._known()
        missing = sorted(there.keys() - known.keys())
        gone = [id_ for uri, id_ in known.items() if uri not in there]
        entered = 0
        if missing:
            with reporter.step(f"Entering {len(missing)} masks", "mask") as count:
                for masks in self._read(missing):
                    self._index.datasets.add_all(masks)
                    entered += len(masks)
                    count(entered, len(missing))
        self._index.datasets.archive(gone)
        for table in self._index.products.tables.values():
            table.merge()
        self._index.products.describe()
        return entered, len(gone)

    def _documents(self) -> dict[str, str]:
        """Return the addresses of the documents of masks in the store."""
        found = {}
        for folder in self._root.find((DOCUMENT,)):
            for name in folder.files():
                if name.endswith(DOCUMENT):
                    found[as_uri(folder.file(name))] = name
        return found

    def _known(self) -> dict[str, Any]:
        """Return the masks that are entered: address of the document to id."""
        rows = [
            row
            for name in (MASK_PRODUCT, REFINED_PRODUCT)
            for row in self._index.datasets.search_returning(["id", "uri"], product=name)
        ]
        return {row.uri: row.id for row in rows}

    def _read(self, uris: Sequence[str]) -> Iterator[list[Dataset]]:
        """Yield masks, a page at a time."""

        def read(uri: str) -> Dataset | CleansatError:
            try:
                return resolve_dataset(self.dc, uri)
            except CleansatError as error:
                return error

        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, len(uris), _PAGE):
                page = list(pool.map(read, uris[start : start + _PAGE]))
                for each in page:
                    if isinstance(each, CleansatError):
                        tell(str(each), GapWarning)
                yield [each for each in page if not isinstance(each, CleansatError)]


def enter_scene(dc: Datacube, scene: Dataset) -> None:
    """Enter a scene into a catalogue, unless it is there.

    Parameters
    ----------
    dc
        A catalogue as a datacube.
    scene
        The scene.

    Raises
    ------
    OSError, OutputError
        If the store cannot be written.
    """
    if not dc.index.datasets.has(scene.id):
        _add_scene(dc, scene)


def _add_scene(dc: Datacube, scene: Dataset) -> None:
    from datacube.model import Dataset

    # HLS has the cirrus of L1C besides, which is no band of the product.
    bands = set(scene.metadata_doc["measurements"]) - {"cirrus"}
    canonical = bands <= {
        each["name"] for each in product_definition(SCENE_PRODUCT)["measurements"]
    }
    # A product that was made up for one scene may have the name of another with other bands.
    definition = scene_product(bands) if canonical else scene.product.definition
    add_product(dc, definition)
    product = dc.index.products.get_by_name(definition["name"])
    dc.index.datasets.add_all([Dataset(product, scene.metadata_doc, uri=scene.uri)])


def open_catalog(place: Path | str) -> Catalog:
    """Open a store of masks that has a catalogue, as `cleansat mask` writes it.

    Parameters
    ----------
    place
        Path or URL of the store, such as ``s3://bucket/masks``. It need not exist yet.

    Returns
    -------
    Catalog
        With the methods ``search``, ``load``, ``recall``, ``refine`` and ``composite``, and the datacube ``dc``.

    Raises
    ------
    CubeError
        If a newer version of this package has made it.
    OutputError
        If the store cannot be read.
    """
    return Catalog(place)
