"""The files of a scene's bands, as a datacube dataset or a STAC item names them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlparse
from urllib.request import url2pathname

import xarray as xr
from odc.geo.geobox import GeoBox

from ..errors import ModelWarning, SceneError, tell
from ..storage.settings import advice, credentials, gdal_settings, prepare_gdal
from .bands import find_bands, is_reflective, names_of
from .offset import Offset, processing_level, resolve_offset
from .reflectance import Band

if TYPE_CHECKING:
    import pystac
    from datacube.model import Dataset


class BandFile(NamedTuple):
    """One band in a file."""

    uri: str
    """Path or URL that rasterio opens."""

    band: int
    """Of the band in the file, from 1."""

    nodata: float | None
    """Value for no data, where the file itself does not say."""

    def open(self) -> Band:
        """The band on its own grid; pixels are read when they are used.

        Raises
        ------
        SceneError
            If the file cannot be opened or has no coordinate system.
        """
        import rioxarray
        from rasterio.errors import RasterioError

        try:
            with gdal_settings(self.uri):
                opened = rioxarray.open_rasterio(local_path(self.uri), cache=False)
        except (RasterioError, OSError) as error:
            hint = advice(error) if "://" in self.uri else None
            raise SceneError(
                f"cannot read {self.uri}: {error}. {f'Probably {hint}.' if hint else 'Is it there, and whole?'}"
            ) from error
        assert isinstance(opened, xr.DataArray)
        data = opened.isel(band=self.band - 1, drop=True)
        if data.rio.crs is None:
            raise SceneError(f"{self.uri} has no coordinate system.")
        if data.rio.nodata is None and self.nodata is not None:
            data = data.assign_attrs(nodata=self.nodata)
        # Of the file, not from the coordinates of the pixels, which are rounded.
        return Band(data, GeoBox(data.shape, data.rio.transform(recalc=False), str(data.rio.crs)))


@dataclass(frozen=True)
class SceneFiles:
    """What it takes to classify a scene from its files."""

    files: Mapping[str, BandFile]
    """By any of the names of a band."""

    properties: Mapping[str, Any]
    """Of the dataset or item."""

    label: str
    """Name for people."""

    hints: Mapping[str, Mapping[str, Any]]
    """What else is said of the values of each band: arguments of `resolve_offset`."""

    def wanted(self, bands: Iterable[str]) -> dict[str, BandFile]:
        """The files of some bands, by canonical name.

        Raises
        ------
        SceneError
            If one is missing.
        """
        try:
            return {band: self.files[name] for band, name in find_bands(self.files, bands).items()}
        except SceneError as error:
            raise SceneError(f"{self.label}: {error}") from None

    @property
    def scl(self) -> BandFile | None:
        """The file of Sen2Cor's scene classification, if there is one."""
        try:
            return self.wanted(["scl"])["scl"]
        except SceneError:
            return None

    def offset(self, explicit: float | None = None) -> Offset:
        """The radiometric offset; see :func:`~odc_cleansat.scenes.offset.resolve_offset`."""
        try:
            name = find_bands(self.files, ["red"])["red"]
        except SceneError:
            # All bands have the same, and whoever masks needs red anyway.
            others = [each for each in self.files if is_reflective(each)]
            if not others:
                raise
            name = others[0]
        return resolve_offset(self.properties, explicit, **self.hints[name])

    def check_level(self, model: str, trained_on: str) -> None:
        """Warn if a model was trained on another level than the scene has, where that is known.

        Parameters
        ----------
        model
            Name of the model.
        trained_on
            Its level: ``L1C`` or ``L2A``.

        Warns
        -----
        ModelWarning
            Naming both.
        """
        # L1C has no SCL.
        level = processing_level(self.properties) or ("L2A" if self.scl else "")
        if level and level != trained_on:
            tell(
                f"{model} was trained on {trained_on}, and this scene is {level}; what its mask is worth "
                f"is not known. Take a model for {level}: cleansat models list shows the level of each.",
                ModelWarning,
            )


def dataset_files(dataset: Dataset) -> SceneFiles:
    """The files of a datacube dataset, under the names and aliases of its measurements.

    Raises
    ------
    SceneError
        If it does not say where they are.
    """
    from datacube.storage import BandInfo

    prepare_gdal()
    if not dataset.uri:
        raise SceneError(
            f"the dataset {dataset.id} has no location in the index, so nobody knows where its files are."
        )
    files, hints = {}, {}
    for name, measurement in dataset.product.measurements.items():
        if name not in dataset.measurements:
            continue
        info = BandInfo(dataset, name)
        file = BandFile(info.uri, info.band or 1, info.nodata)
        for alias in names_of(name, measurement.get("aliases", ())):
            files[alias] = file
            hints[alias] = offset_hints(measurement)
    properties = dataset.metadata_doc.get("properties", {})
    return SceneFiles(files, properties, f"dataset {dataset.id}", hints)


def offset_hints(measurement: Mapping[str, Any]) -> dict[str, Any]:
    """What the measurement of a product says that :func:`~odc_cleansat.scenes.offset.resolve_offset` heeds."""
    return {key: measurement.get(key) for key in ("add_offset", "scale_factor", "dtype")}


def item_files(item: pystac.Item) -> SceneFiles:
    """The files of a STAC item, under the names of its assets."""
    files: dict[str, BandFile] = {}
    hints: dict[str, dict[str, Any]] = {}
    for name, asset in item.assets.items():
        raster = _raster(asset)
        file = BandFile(asset.get_absolute_href() or asset.href, 1, raster.get("nodata", 0))
        # Copernicus calls its assets B02_10m and so on.
        for alias in dict.fromkeys((name, re.sub(r"_\d+m$", "", name))):
            files.setdefault(alias, file)
            hints.setdefault(alias, {"raster_bands": raster, "dtype": raster.get("data_type")})
    return SceneFiles(files, item.properties, f"item {item.id}", hints)


def _raster(asset: pystac.Asset) -> dict[str, Any]:
    """What an asset says of its values: of STAC 1.0's ``raster:bands``, or the ``bands`` of 1.1."""
    fields = asset.extra_fields
    described = {
        **fields,
        **(fields.get("bands") or [{}])[0],
        **(fields.get("raster:bands") or [{}])[0],
    }
    return {
        key: described.get(key, described.get(f"raster:{key}"))
        for key in ("nodata", "offset", "scale", "data_type")
        if key in described or f"raster:{key}" in described
    }


def local_path(uri: str) -> str:
    """A ``file://`` URL as a path; anything else as it is."""
    parts = urlparse(uri)
    return url2pathname(parts.path) if parts.scheme == "file" else uri


@contextlib.contextmanager
def reading(label: str) -> Iterator[None]:
    """Read the files of a scene within this: with credentials, and saying which it is if one cannot be read.

    Raises
    ------
    SceneError
        For an error of rasterio or the system in the block.
    """
    from rasterio.errors import RasterioError

    try:
        with credentials():
            yield
    except SceneError as error:
        raise SceneError(f"{label}: {error}") from error.__cause__
    except (RasterioError, OSError) as error:
        raise SceneError(
            f"{label}: cannot read its files: {error.__cause__ or error}. Are they there, and whole?"
        ) from error
