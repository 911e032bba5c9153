"""The files of a scene's bands, as a datacube dataset or a STAC item names them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlparse
from urllib.request import url2pathname

from odc.geo.geobox import GeoBox

from ..errors import SceneError
from ..grids.grid import fault_of_grid, overlap
from ..storage.rasters import fault_of_raster, refuse_pipes
from ..storage.reader import DocumentError, strange_values
from ..storage.settings import credentials, gdal_settings, prepare_gdal
from ..storage.signing import signing_path
from ..storage.strangers import careful_settings
from ..storage.zarr_store import is_zarr
from .bands import band_of, find_bands, is_reflective, named_twice, names_of
from .baseline import processing_level
from .offset import Offset, resolve_offset, stated_offset
from .packing import Packing, asset_values, offset_hints, read_packing
from .providers import read_advice
from .sensor import check_sensor, warn_of_level

if TYPE_CHECKING:
    import pystac
    import xarray as xr
    from datacube.model import Dataset
    from rasterio.io import DatasetReader


class Band(NamedTuple):
    """One band of a scene on its own grid, or a part of it."""

    data: xr.DataArray
    """Dims ``(y, x)``, of any dtype, in memory, lazy, or in a file."""

    grid: GeoBox
    """Grid of the pixels. It is kept apart from the coordinates, which are rounded."""

    packing: Packing | None = None
    """How the numbers become reflectance; None if that is not decided yet."""

    def packed(self, scale: float | None = None, offset: float | None = None) -> Band:
        """Return the band with its packing, which is decided here if it has none.

        Parameters
        ----------
        scale, offset
            See :func:`~odc_cleansat.scenes.packing.read_packing`.

        Raises
        ------
        SceneError
            See there.
        """
        found = self.packing or read_packing(self.data, scale, offset)
        return self._replace(packing=found)


def parts_of(bands: Iterable[Band], target: GeoBox) -> list[Band] | None:
    """Return the parts of the bands that decide a grid; None if one of the bands does not reach it."""
    parts = []
    for grid, same in groupby(bands, key=lambda band: band.grid):
        roi = overlap(grid, target)
        if roi is None:
            return None
        part = grid[roi]
        parts += [band._replace(data=band.data[roi], grid=part) for band in same]
    return parts


class BandFile(NamedTuple):
    """One band in a file."""

    uri: str
    """Path or URL that rasterio opens, or that of an array in a Zarr store."""

    band: int
    """Number of the band in the file, from 1."""

    nodata: float | None
    """Value for no data, for files that declare none."""

    scale: float | None = None
    """Reflectance per number, for files that give none in their tags."""

    of_stranger: bool = False
    """Whether a stranger named it, so that it may name no other file; see :mod:`odc_cleansat.storage.strangers`."""

    def open(self) -> Band:
        """Open the band on its own grid; pixels are read when they are used, until ``close`` of the data.

        Returns
        -------
        Band
            Dims ``(y, x)``, in the file's dtype, with the attribute ``nodata`` if a value is known.

        Raises
        ------
        SceneError
            If the file cannot be opened, lacks the band, or its pixels have no place on the ground.
        """
        import rioxarray
        import xarray as xr
        from rasterio.errors import RasterioError

        from .zarr_band import open_zarr_band

        if is_zarr(self.uri):
            return Band(*open_zarr_band(self.uri, self.scale))
        try:
            with self._settings() as (path, options):
                opened = rioxarray.open_rasterio(path, cache=False, **options)
        except (RasterioError, OSError, DocumentError) as error:
            hint = read_advice(self.uri, error)
            raise SceneError(
                f"cannot read {self.uri}: {error}. {f'Probably {hint}.' if hint else 'Is it there, and whole?'}"
            ) from error
        if (
            not isinstance(opened, xr.DataArray)
            or opened.rio.crs is None
            or self.band > opened.sizes["band"]
        ):
            reason = self.fault() or "it holds several rasters"
            raise SceneError(f"cannot read {self.uri}: {reason}.")
        data = opened.isel(band=self.band - 1, drop=True)
        if data.rio.nodata is None and self.nodata is not None:
            data = data.assign_attrs(nodata=self.nodata)
        if self.scale is not None and data.attrs.get("scale_factor") in (None, 1):
            data = data.assign_attrs(scale_factor=self.scale)
        # The file's own transform: the coordinates of the pixels are rounded.
        grid = GeoBox(data.shape, data.rio.transform(recalc=False), str(data.rio.crs))
        if fault := fault_of_grid(grid):
            raise SceneError(f"cannot read {self.uri}: {fault}.")
        data.set_close(opened.close)
        return Band(data, grid)

    @contextlib.contextmanager
    def opened(self, **options: Any) -> Iterator[DatasetReader]:
        """Open the file with rasterio.

        Parameters
        ----------
        **options
            For GDAL.

        Raises
        ------
        DocumentError
            If it is a pipe or a device, or is a stranger's and names another file.
        rasterio.errors.RasterioError
            If it cannot be opened.
        """
        with self.reopened(None, **options) as raster, raster as opened:
            yield opened

    @contextlib.contextmanager
    def reopened(self, raster: DatasetReader | None, **options: Any) -> Iterator[DatasetReader]:
        """Read the file by a raster that is open, or else open it; it stays open.

        Parameters
        ----------
        raster
            The file as it was opened before; None if it was not.
        **options
            For GDAL.

        Raises
        ------
        DocumentError
            If it is a pipe or a device, or is a stranger's and names another file.
        rasterio.errors.RasterioError
            If it cannot be opened.
        """
        import rasterio

        with self._settings() as (path, own):
            yield rasterio.open(path, **own, **options) if raster is None else raster

    @contextlib.contextmanager
    def _settings(self) -> Iterator[tuple[str, dict[str, Any]]]:
        path = local_path(self.uri)
        if is_zarr(path):
            from .zarr_band import as_tiff

            with as_tiff(path) as opener:
                yield path, opener
            return
        refuse_pipes(path)
        with careful_settings(path) if self.of_stranger else gdal_settings(self.uri) as options:
            yield signing_path(path), options or {}

    def fault(self) -> str | None:
        """Say why a file that rasterio can open is no use; None if there is no such reason.

        Raises
        ------
        rasterio.errors.RasterioError
            If it cannot be opened.
        """
        with self.opened() as file:
            return fault_of_raster(file, self.band)


def _number(measurement: Mapping[str, Any]) -> int:
    """Return the number of a measurement's band in its file, from 1; EO3 calls it ``band`` or ``layer``."""
    numbers = (measurement.get("band"), measurement.get("layer"), 1)
    return next(each for each in numbers if isinstance(each, int) and each)


@dataclass(frozen=True)
class SceneFiles:
    """What it takes to classify a scene from its files."""

    files: Mapping[str, BandFile]
    """Band name to file, under every name that the metadata give the band."""

    properties: Mapping[str, Any]
    """Properties of the dataset or item."""

    label: str
    """Name for people."""

    hints: Mapping[str, Mapping[str, Any]]
    """Band name to what the metadata say of the band's values, as arguments of `resolve_offset`."""

    document: Mapping[str, Any] | None = None
    """EO3 document of the dataset; None for an item."""

    @classmethod
    @strange_values("the document of the dataset", SceneError)
    def of_dataset(cls, dataset: Dataset) -> SceneFiles:
        """Return the files of a datacube dataset, under the names and aliases of its measurements.

        Parameters
        ----------
        dataset
            Indexed or not.

        Raises
        ------
        SceneError
            If the dataset has no location, is of another satellite than Sentinel-2, or has a document with odd values.
        """
        from datacube.storage import measurement_paths

        prepare_gdal()
        if not dataset.uri:
            raise SceneError(
                f"the dataset {dataset.id} has no location in the index, so nobody knows where its files are."
            )
        properties = dataset.metadata_doc.get("properties", {})
        check_sensor(properties, [dataset.product.name], f"dataset {dataset.id}")
        # Datacube's own `BandInfo` extracts all search fields anew for each band: 23 ms a scene, not 1.
        paths, stored = measurement_paths(dataset), dataset.measurements
        files, hints = {}, {}
        for name, measurement in dataset.product.measurements.items():
            if name not in paths:
                continue
            number, scale = _number(stored[name]), measurement.get("scale_factor")
            file = BandFile(paths[name], number, measurement.nodata, scale)
            for alias in names_of(name, measurement.get("aliases", ())):
                files[alias], hints[alias] = file, offset_hints(measurement)
        document, address = dataset.metadata_doc, next(iter(paths.values()), "")
        named = {**properties, "label": document.get("label"), "address": address}
        return cls(files, named, f"dataset {dataset.id}", hints, document)

    @classmethod
    def of_item(cls, item: pystac.Item) -> SceneFiles:
        """Return the files of a STAC item, under the names of its assets.

        Raises
        ------
        SceneError
            If the item is of another satellite than Sentinel-2.
        """
        check_sensor(item.properties, [item.id, item.collection_id], f"item {item.id}")
        files, hints = dict[str, BandFile](), dict[str, dict[str, Any]]()
        for name, asset in item.assets.items():
            values = asset_values(asset)
            href = asset.get_absolute_href() or asset.href
            file = BandFile(href, 1, values.get("nodata", 0), values.get("scale"))
            for alias in dict.fromkeys((name, re.sub(r"_r?\d+m$", "", name))):  # such as B02_10m
                files.setdefault(alias, file)
                hints.setdefault(alias, {"raster_bands": values, "dtype": values.get("data_type")})
        moment = item.datetime or item.common_metadata.start_datetime
        named = {"id": item.id, "address": next((f.uri for f in files.values()), "")}
        properties = item.properties | ({"datetime": moment} if moment else {}) | named
        return cls(files, properties, f"item {item.id}", hints)

    def wanted(self, bands: Iterable[str]) -> dict[str, BandFile]:
        """Return the files of some bands.

        Parameters
        ----------
        bands
            Canonical names, keys of :data:`~odc_cleansat.scenes.bands.S2_BANDS`.

        Returns
        -------
        dict
            Canonical name to file, in the order of `bands`.

        Raises
        ------
        SceneError
            If a band is missing, or two bands are one.
        """
        try:
            found = {band: self.files[name] for band, name in find_bands(self.files, bands).items()}
        except SceneError as error:
            raise SceneError(f"{self.label}: {error}") from None
        if fault := named_twice({b: f"band {f.band} of {f.uri}" for b, f in found.items()}):
            raise SceneError(f"{self.label}: {fault}; correct the metadata.")
        return found

    @property
    def scl(self) -> BandFile | None:
        """The file of Sen2Cor's scene classification (SCL), or None."""
        with contextlib.suppress(SceneError):
            return self.wanted(["scl"])["scl"]
        return None

    def patched(self, patch: Callable[[str], str]) -> SceneFiles:
        """Return the same files at other addresses.

        Parameters
        ----------
        patch
            Called with each address once; returns the new one, with a signature for instance.
        """
        new = {uri: patch(uri) for uri in {file.uri for file in self.files.values()}}
        files = {name: file._replace(uri=new[file.uri]) for name, file in self.files.items()}
        return replace(self, files=files)

    def offset(self, explicit: float | None = None) -> Offset:
        """Return the radiometric offset; see :func:`~odc_cleansat.scenes.offset.resolve_offset`.

        Parameters
        ----------
        explicit
            The caller's own choice, digital numbers.

        Raises
        ------
        SceneError
            If the scene has no reflective band, or its metadata or the argument are invalid.
        """
        names = [name for name in self.files if is_reflective(name)]
        if not names:
            find_bands(self.files, ["red"])  # which says what is missing
        hints: dict[str, Mapping[str, Any]] = {}
        for name in sorted(names, key=lambda each: band_of(each) != "red"):
            if self.hints[name] not in hints.values():
                hints[name] = self.hints[name]
        if explicit is None and len(hints) > 1:
            stated = {name: stated_offset(self.properties, **each) for name, each in hints.items()}
            known = {name: found for name, found in stated.items() if found is not None}
            self._check_offsets_agree({name: found.value for name, found in known.items()})
            if known:
                return next(iter(known.values()))
        return resolve_offset(self.properties, explicit, **next(iter(hints.values())))

    def _check_offsets_agree(self, stated: Mapping[str, float]) -> None:
        """Raise if the metadata state different offsets, digital numbers, for bands of one scene."""
        if len(set(stated.values())) > 1:
            listed = ", ".join(f"{name}: {value:g}" for name, value in stated.items())
            raise SceneError(
                f"{self.label}: the metadata give its bands different radiometric offsets ({listed}), and a scene has one. "
                "Pass the right one as offset=, or correct the metadata."
            )

    def warn_of_level(self, model: str, trained_on: str) -> None:
        """Warn if a model was trained on another processing level than the scene's.

        Parameters
        ----------
        model
            Name of the model.
        trained_on
            Level of the model: ``L1C`` or ``L2A``.

        Warns
        -----
        ModelWarning
            If the level of the scene is known and differs.
        """
        level = processing_level(self.properties) or ("L2A" if self.scl else "")  # L1C has no SCL
        warn_of_level(level, model, trained_on)


def open_bands(files: Mapping[str, BandFile]) -> dict[str, xr.DataArray]:
    """Open the files of bands, each on its own grid; pixels are read when they are used.

    Parameters
    ----------
    files
        The files by the name of the band.

    Returns
    -------
    dict
        Name to the band, dims ``(y, x)``, in the dtype of its file.

    Raises
    ------
    SceneError
        If a file cannot be opened or has no coordinate system.
    """
    return {name: file.open().data for name, file in files.items()}


def local_path(uri: str) -> str:
    """Return a ``file://`` URL as a path, and anything else as it is."""
    parts = urlparse(uri)
    return url2pathname(parts.path) if parts.scheme == "file" else uri


@contextlib.contextmanager
def reading(label: str) -> Iterator[None]:
    """Read the files of a scene in this context: with credentials, and with errors that name the scene.

    Parameters
    ----------
    label
        Name of the scene for people.

    Raises
    ------
    SceneError
        If rasterio or the system raises an error in the block.
    """
    from rasterio.errors import RasterioError

    try:
        with credentials():
            yield
    except SceneError as error:
        raise SceneError(f"{label}: {error}") from error.__cause__
    except (RasterioError, OSError) as error:
        raise SceneError(
            f"{label}: cannot read its files: {str(error.__cause__ or error).rstrip('.')}. Are they there, and whole?"
        ) from error
