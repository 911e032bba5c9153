"""The reader driver `cleansat`: `ucl` as one more band of a scene, computed as it is loaded.

The address of a computed band says all that it is made of. So nothing else has to travel with it into dask's
graphs and to other processes. No other driver can open it.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from odc.geo.geobox import GeoBox
from odc.loader import register_driver
from odc.loader._rio import GDAL_CLOUD_DEFAULTS, RioDriver, RioReader
from rasterio.windows import Window

from ..classes import CONFIDENCE_NODATA, CloudClass, confidence_attrs, flags_definition, ucl_attrs
from ..errors import CleansatError, GapWarning, SceneError, tell
from ..grids.centres import sample_nearest
from ..masks.on_demand import (
    COMPUTED,
    OnDemandMask,
    compute_layer,
    on_demand_mask,
)
from ..models.registry import get_model
from ..scenes.bands import native_resolution
from ..scenes.eopf import with_band_assets, with_stored_values
from ..scenes.files import BandFile, SceneFiles, local_path
from ..storage.reader import DocumentError
from ..storage.settings import credentials, prepare_gdal
from ..storage.signing import signing_path
from ..storage.zarr_store import is_zarr
from .band_check import check_file, why_unreadable
from .mixture import (
    reflective_assets,
    reflective_measurements,
    shifted_paths,
    warn_of_mixture,
    without_offset,
)
from .patching import teach_datacube, teach_odc_stac
from .special_addresses import MASK_LAYER, NO_MASK, SHIFTED, file_of

if TYPE_CHECKING:
    import pystac
    from datacube.model import Dataset, Product
    from odc.loader.types import BandKey, RasterGroupMetadata, RasterLoadParams, RasterSource


NAME = "cleansat"
"""Name of the driver."""

UNMASKED = 254
"""Value of both layers where a scene without a mask has data, until scenes are fused.

It keeps the masks of other scenes off the pixels of this one."""

T = TypeVar("T")


def with_ucl(
    scenes: Iterable[T] | T,
    *,
    model: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    offset: float | None = None,
    scale: float | None = None,
    refine: bool = True,
    harmonized: bool = False,
) -> list[T]:
    """Make the bands `ucl` and `ucl_confidence` known, for loading with ``driver="cleansat"``.

    The index is not changed; the bands are added to copies in memory.

    Parameters
    ----------
    scenes
        Datasets, from `dc.find_datasets`, or `pystac.Item` objects, or one of them. Addresses of Planetary Computer are
        signed as they are read. If others have to be signed, pass ``patch_url=`` when they are loaded.
    model
        Name of a model; by default the best whose bands a scene has.
    thresholds
        See :func:`~odc_cleansat.classify`.
    offset
        Radiometric offset in digital numbers. By default the metadata of each scene decides, see
        :func:`~odc_cleansat.scenes.offset.resolve_offset`.
    scale
        Reflectance per digital number. By default 1/10000 for integers and 1 for floating-point numbers.
    refine
        Whether light refines the masks; see :func:`~odc_cleansat.classify`.
    harmonized
        Whether the radiometric offset is taken off the bands, scene by scene, as they are read. Then the scenes of all providers
        whose scale is the same can be compared: ``reflectance = DN / 10000``. By default bands are as they are in their files.

    Returns
    -------
    list
        Copies of the scenes.

    Raises
    ------
    SceneError
        If a scene lacks a band that the model needs, or is neither a dataset nor an item.
    ModelError
        If there is no such model, or a threshold names a class that it does not have.

    Warns
    -----
    ReflectanceWarning
        If the metadata of a scene do not tell its offset. Also if the bands of the scenes have different scales, or different
        offsets that are not taken off.

    Examples
    --------
    >>> scenes = with_ucl(dc.find_datasets(product="s2_l2a", time="2024-06"))  # doctest: +SKIP
    >>> data = dc.load(datasets=scenes, measurements=["red", "scl", "ucl"], driver="cleansat",
    ...                output_crs="EPSG:32633", resolution=20)  # doctest: +SKIP
    """
    import pystac
    from datacube.model import Dataset

    products: dict[str, Product] = {}
    found: list[Any] = []
    offsets: list[tuple[SceneFiles, float]] = []
    several = [scenes] if isinstance(scenes, Dataset | pystac.Item) else cast("Iterable[T]", scenes)
    for each in several:
        is_item = isinstance(each, pystac.Item)
        scene: Any = with_stored_values(with_band_assets(each)) if is_item else each
        is_dataset = isinstance(scene, Dataset)
        if not is_dataset and not isinstance(scene, pystac.Item):
            raise SceneError(
                f"with_ucl takes datacube's Dataset and pystac's Item objects, not {type(scene).__name__}."
            )
        files = SceneFiles.of_dataset(scene) if is_dataset else SceneFiles.of_item(scene)
        mask = on_demand_mask(files, model, thresholds, offset, scale, refine)
        offsets.append((files, mask.offset))
        addresses = {name: mask.address(name) for name in BANDS}
        if isinstance(scene, Dataset):
            teach_datacube()
            product = products.setdefault(scene.product.name, with_measurements(scene.product))
            bands = reflective_measurements(scene) if harmonized else []
            found.append(
                with_paths(scene, product, addresses | shifted_paths(files, bands, mask.offset))
            )
        else:
            teach_odc_stac()
            like = files.scl or _coarsest(mask)
            bands = reflective_assets(scene) if harmonized else []
            masked = _with_assets(scene, like.uri, addresses)
            found.append(without_offset(masked, shifted_paths(files, bands, mask.offset)))
    warn_of_mixture(offsets if scale is None else [], harmonized=harmonized)
    return found


BANDS: dict[str, dict[str, Any]] = {
    "ucl": {
        "name": "ucl",
        "dtype": "uint8",
        "nodata": int(CloudClass.NODATA),
        "units": "1",
        "aliases": ["UCL"],
        "flags_definition": flags_definition(),
    },
    "ucl_confidence": {
        "name": "ucl_confidence",
        "dtype": "uint8",
        "nodata": CONFIDENCE_NODATA,
        "units": "percent",
        "aliases": ["UCL_confidence"],
    },
}
"""The bands as measurements of a product."""


def with_measurements(product: Product) -> Product:
    """Return a copy of a product that also has the measurements `ucl` and `ucl_confidence`."""
    from datacube.model import Product as ProductClass

    definition = copy.deepcopy(product.definition)
    kept = [m for m in definition["measurements"] if m["name"] not in BANDS]
    definition["measurements"] = kept + copy.deepcopy(list(BANDS.values()))
    return ProductClass(product.metadata_type, definition, product.id)


def with_paths(dataset: Dataset, product: Product, paths: Mapping[str, str]) -> Dataset:
    """Return a copy of a dataset with more measurements, whose paths are given by name."""
    from datacube.model import Dataset as DatasetClass

    document = copy.copy(dataset.metadata_doc)
    document["measurements"] = {
        **document["measurements"],
        **{name: {"path": path} for name, path in paths.items()},
    }
    return DatasetClass(product, document, uri=dataset.uri, indexed_time=dataset.indexed_time)


def _coarsest(mask: OnDemandMask) -> BandFile:
    """Return the file of the coarsest band; bands of 60 m only if there are no others."""
    sizes = [native_resolution(band) % 60 for band in get_model(mask.model).bands]
    return mask.files[sizes.index(max(sizes))]


def _with_assets(item: pystac.Item, like: str, paths: Mapping[str, str]) -> pystac.Item:
    """Return a copy of an item with more assets, on the grid of the asset at an address."""
    import pystac

    clone = item.clone()
    # The grid that a stored mask would have, so that a native load finds one that it knows.
    known = next(each for each in reversed(item.assets.values()) if _href(each) == like)
    grid = {k: v for k, v in known.extra_fields.items() if k.startswith("proj:")}
    for name, path in paths.items():
        band = BANDS[name]
        clone.assets[name] = asset = pystac.Asset(
            href=path,
            title=name,
            media_type=pystac.MediaType.COG,
            roles=["data"],
            extra_fields={
                **grid,
                "raster:bands": [
                    {"data_type": band["dtype"], "nodata": band["nodata"], "unit": band["units"]}
                ],
            },
        )
        asset.set_owner(clone)
    return clone


def _href(asset: pystac.Asset) -> str:
    return str(asset.get_absolute_href() or asset.href)


class CleansatDriver(RioDriver):  # type: ignore[misc]
    """Reads ordinary bands with rasterio, and computes those that :func:`with_ucl` made known.

    Parameters
    ----------
    stac_cfg
        As in `odc.stac.load`, which hands its own to drivers only through here.
    """

    def __init__(self, stac_cfg: dict[str, Any] | None = None) -> None:
        super().__init__()
        prepare_gdal()
        self._stac_cfg = stac_cfg or {}

    def capture_env(self) -> dict[str, Any]:
        """Return GDAL's options for all readers of a load.

        Where the user has set none, odc-loader tries a failing request ten times, each after twice the pause: 8 minutes.
        Then the attempts of :func:`~odc_cleansat.storage.settings.prepare_gdal` count.
        """
        options: dict[str, Any] = super().capture_env()
        if options == GDAL_CLOUD_DEFAULTS:
            options = {k: v for k, v in options.items() if not k.startswith("GDAL_HTTP_")}
        return options

    def open(self, src: RasterSource, ctx: Any) -> RioReader:
        """Return a reader for one band of one scene."""
        # rasterio takes the percent signs of a file's URL for a part of its name.
        return _Reader(src.patch(uri=local_path(src.uri)), ctx)

    @property
    def md_parser(self) -> Any:
        """The parser of STAC items that `odc.stac.load` takes: it adds the flags to the attributes of bands."""
        return _parser(self._stac_cfg)


def _parser(stac_cfg: dict[str, Any]) -> Any:
    from odc.stac._mdtools import StacMDParser

    attributes = {"ucl": ucl_attrs(), "ucl_confidence": confidence_attrs()}

    class Parser(StacMDParser):  # type: ignore[misc]
        def extract(self, md: Any) -> RasterGroupMetadata:
            found = super().extract(md)
            bands: dict[BandKey, Any] = {
                key: band.patch(attrs=attributes[key[0]]) if key[0] in attributes else band
                for key, band in found.bands.items()
            }
            return found.patch(bands=bands)

    return Parser(stac_cfg)


class _Reader(RioReader):  # type: ignore[misc]
    """Reads or computes one band of one scene, and warns or raises where it cannot."""

    def read(
        self,
        cfg: RasterLoadParams,
        dst_geobox: GeoBox,
        *,
        dst: np.ndarray | None = None,
        selection: Any = None,
    ) -> tuple[tuple[slice, slice], np.ndarray]:
        """Return the pixels of a part of the output grid.

        Classes are read at the centres of pixels, whatever resampling is asked for.

        Returns
        -------
        tuple of slice
            The rows and columns of the part that were read.
        numpy.ndarray
            Dims ``(y, x)``, of the dtype that `cfg` says.

        Raises
        ------
        SceneError
            If a file cannot be read, and `cfg` says to fail then.

        Warns
        -----
        GapWarning
            If a file cannot be read, and `cfg` says to go on.
        """
        with credentials():
            return self._read(cfg, dst_geobox, dst, selection)

    def _read(
        self, cfg: RasterLoadParams, dst_geobox: GeoBox, dst: np.ndarray | None, selection: Any
    ) -> tuple[tuple[slice, slice], np.ndarray]:
        uri = self._src.uri
        try:
            if uri.startswith(COMPUTED):
                layer, mask = OnDemandMask.from_address(uri)
                return _whole(compute_layer(mask, layer, dst_geobox), cfg, dst)
            if uri == NO_MASK:
                return _nothing(cfg)
            check_file(_file_of_source(self._src), self._src.geobox, self._src.subdataset)
            if uri.startswith(MASK_LAYER):
                return _whole(_nearest(file_of(uri)[0], dst_geobox, cfg.fill_value or 0), cfg, dst)
            if uri.startswith(SHIFTED):
                return self._shifted(cfg, dst_geobox, dst, selection)
            if uri.startswith(NO_MASK):
                return _whole(_unmasked(file_of(uri)[0], dst_geobox, cfg.fill_value or 0), cfg, dst)
            with _readable(self._src) as source:
                roi, pixels = RioReader(source, self._ctx).read(
                    cfg.patch(fail_on_error=True), dst_geobox, dst=dst, selection=selection
                )
            return roi, pixels
        except CleansatError as error:
            if cfg.fail_on_error or not isinstance(error, SceneError | DocumentError):
                raise
            reason = str(error)
        except MemoryError:
            raise
        except (
            Exception
        ) as error:  # of rasterio, odc-loader, pyproj and affine, by what the file is
            if uri.startswith(COMPUTED):  # no file's fault: those are told above
                raise
            reason = why_unreadable(_file_of_source(self._src), error)
            if cfg.fail_on_error:
                raise SceneError(reason) from error
        tell(f"no data where they would be: {reason}", GapWarning)
        return _nothing(cfg)

    def _shifted(
        self, cfg: RasterLoadParams, grid: GeoBox, dst: np.ndarray | None, selection: Any
    ) -> tuple[tuple[slice, slice], np.ndarray]:
        """Read digital numbers and take the offset off, so that none becomes the value for no data."""
        file, offset = file_of(self._src.uri)
        with _readable(self._src.patch(uri=local_path(file.uri), band=file.band)) as source:
            roi, raw = RioReader(source, self._ctx).read(
                cfg.patch(fail_on_error=True), grid, selection=selection
            )
        nodata = 0 if cfg.fill_value is None else cfg.fill_value
        shifted = raw + np.float32(offset)
        if raw.dtype.kind in "ui":
            limits = np.iinfo(raw.dtype)
            shifted = np.rint(shifted).clip(limits.min, limits.max)
            shifted[shifted == nodata] = nodata + 1 if nodata < limits.max else nodata - 1
        pixels = np.where(raw == nodata, raw, shifted.astype(raw.dtype))
        if dst is None:
            return roi, pixels
        dst[roi] = pixels
        return roi, dst[roi]


@contextlib.contextmanager
def _readable(source: RasterSource) -> Iterator[RasterSource]:
    """Yield a source that odc-loader can read: signed, and a band in a Zarr store by its name while it is open."""
    if not is_zarr(source.uri):
        yield source.patch(uri=signing_path(source.uri))
        return
    with BandFile(source.uri, 1, None).opened() as opened:
        yield source.patch(uri=opened.name, band=1)


def _file_of_source(source: RasterSource) -> BandFile:
    if source.uri.startswith((MASK_LAYER, SHIFTED, NO_MASK)):
        return file_of(source.uri)[0]
    return BandFile(source.uri, source.band, None)


def _whole(
    pixels: np.ndarray, cfg: RasterLoadParams, dst: np.ndarray | None
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return pixels of the whole output grid as readers of odc-loader do, written to `dst` if it is given."""
    roi = np.s_[0 : pixels.shape[0], 0 : pixels.shape[1]]
    if dst is None:
        return roi, pixels.astype(cfg.dtype, copy=False)
    dst[roi] = pixels
    return roi, dst[roi]


def _nothing(cfg: RasterLoadParams) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return no pixels, as readers of odc-loader do."""
    return np.s_[0:0, 0:0], np.empty((0, 0), dtype=cfg.dtype)


def _unmasked(file: BandFile, target: GeoBox, fill: float) -> np.ndarray:
    """Return UNMASKED where a band has data, and `fill` elsewhere, ``target.shape`` uint8."""
    with file.opened() as opened:
        nodata, dtype = opened.nodata or 0, opened.dtypes[file.band - 1]
    values = _nearest(file, target, nodata, dtype)
    there = (values != nodata) & np.isfinite(values)
    return np.where(there, UNMASKED, fill).astype("uint8")


def _nearest(file: BandFile, target: GeoBox, fill: float, dtype: str = "uint8") -> np.ndarray:
    """Read a file at the centres of the target's pixels, ``target.shape``, as `recall` does."""
    result = np.full(target.shape, fill, dtype=dtype)
    with file.opened() as opened:
        sample_nearest(
            GeoBox.from_rio(opened),
            target,
            lambda window: opened.read(file.band, window=Window.from_slices(*window)),
            result,
        )
    return result


register_driver(NAME, CleansatDriver)
