"""What the package asks of datacube, odc-loader, odc-stac, odc-algo and eodatasets3 beyond their documentation.

Each test stands for one name that those projects may change without notice. It checks that the name is there
and takes the arguments that we pass. When one is gone, its failure says which modules of the package break.
"""

from __future__ import annotations

import ast
import ctypes
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import house
import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox

LIBRARIES = ("datacube", "odc.algo", "odc.loader", "odc.stac", "eodatasets3")
DISTRIBUTIONS = {name: name.replace(".", "-") for name in LIBRARIES}

DOCUMENTED = {
    "datacube": {"Datacube"},
    "datacube.cfg": {"ConfigException", "ODCConfig", "ODCEnvironment"},
    "datacube.model": {"Dataset", "Measurement", "MetadataType", "Not", "Product", "Range"},
    "odc.loader": {"RioDriver", "register_driver"},
    "odc.loader.types": {"BandKey", "RasterGroupMetadata", "RasterLoadParams", "RasterSource"},
    "eodatasets3": {"DatasetAssembler", "DatasetDoc", "DatasetPrepare", "namer", "serialise"},
}
"""Names that the documentation of their projects offers to everyone."""


@dataclass(frozen=True)
class Contract:
    """A name of another project, and how the package calls it."""

    place: str
    """Module and name, such as ``datacube.api.core:output_geobox``."""

    call: str | None = None
    """Arguments that we pass, such as ``1, crs`` for one by position and one by name; `None` if not called."""

    used: str | None = None
    """Regular expression that finds our modules that use it; by default the last part of the name."""

    def users(self) -> list[str]:
        """Return the modules of the package that use the name."""
        pattern = self.used or rf"\b{re.escape(self.place.rpartition(':')[2].rpartition('.')[2])}\b"
        return [
            path.relative_to(house.PACKAGE).as_posix()
            for path in house.modules()
            if re.search(pattern, path.read_text(encoding="utf-8"))
        ]

    def broken(self, what: str) -> str:
        """Return the message of a failure."""
        module = self.place.partition(":")[0]
        library = next(each for each in LIBRARIES if f"{module}.".startswith(f"{each}."))
        distribution = DISTRIBUTIONS[library]
        users = ", ".join(self.users()) or "none that was found"
        return f"{distribution} {version(distribution)}: {self.place} {what}. It breaks odc_cleansat/: {users}."

    def object(self) -> Any:
        """Return the object, or fail the test if it is gone."""
        module, _, name = self.place.partition(":")
        try:
            found: Any = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            pytest.fail(self.broken(f"is gone ({error})"))
        return found

    def check_call(self, found: Any) -> None:
        """Fail the test if the object no longer takes our arguments."""
        if self.call is None:
            return
        arguments = [each.strip() for each in self.call.split(",") if each.strip()]
        values = [None] * sum(int(each) for each in arguments if each.isdigit())
        named = dict.fromkeys(each for each in arguments if not each.isdigit())
        try:
            inspect.signature(found).bind(*values, **named)
        except TypeError as error:
            pytest.fail(self.broken(f"no longer takes ({self.call}): {error}"))


CONTRACTS = [
    # Queries and output grids
    Contract(
        "datacube.api.core:output_geobox",
        "like, load_hints, grid_spec, datasets, output_crs, resolution, align, geopolygon, x, y, crs",
    ),
    Contract("datacube.api.core:get_bounds", "2"),
    Contract("datacube.api.query:Query", "1, product, time", r"api\.query import .*\bQuery\b"),
    Contract("datacube.api.query:GroupBy", None, r"api\.query import .*\bGroupBy\b"),
    Contract("datacube.api.query:query_group_by", "group_by"),
    Contract("datacube.api.query:solar_day", "1", r"\bsolar_day\("),
    Contract("datacube.api.query:solar_offset", "2"),
    Contract("datacube.index:extract_geom_from_query", "x, y, crs, geopolygon"),
    # The index
    Contract("datacube.index.abstract:default_metadata_type_docs", "0"),
    Contract("datacube.index.abstract:AbstractProductResource.from_doc", "2", r"products\.from_doc"),
    Contract("datacube.index.abstract:AbstractProductResource.temporal_extent", "2"),
    Contract("datacube.index.abstract:AbstractProductResource.get_all", "1", r"products\.get_all"),
    Contract("datacube.index.abstract:AbstractProductResource.get_by_name", "2"),
    Contract("datacube.index.abstract:AbstractMetadataTypeResource.add", "2, allow_table_lock", r"types\.add\("),
    Contract("datacube.index.abstract:AbstractDatasetResource.get", "2", r"datasets\.get\("),
    Contract("datacube.index.abstract:AbstractDatasetResource.bulk_get", "2"),
    Contract("datacube.index.abstract:AbstractDatasetResource.bulk_has", "2"),
    Contract("datacube.index.abstract:AbstractDatasetResource.restore", "2", r"datasets\.restore"),
    Contract("datacube.index.abstract:AbstractDatasetResource.search_returning", "3, limit, order_by, time"),
    Contract(
        "datacube.index.abstract:AbstractDatasetResource.add", "2, with_lineage", r"datasets\.add\("
    ),
    Contract(
        "datacube.index.abstract:AbstractDatasetResource.update", "2, updates_allowed", r"datasets\.update"
    ),
    Contract("datacube.index.abstract:AbstractIndex.supports_spatial_indexes"),
    # Catalogues are an index of their own
    Contract("datacube.cfg.opt:ODCOptionHandler", "2"),
    Contract("datacube.index.abstract:AbstractIndexDriver"),
    Contract("datacube.index.fields:UnknownFieldError"),
    Contract("datacube.index.memory.index:Index", "1", r"memory\.index import Index"),
    Contract("datacube.index.memory._products:ProductResource", "1"),
    Contract("datacube.index.memory._products:ProductResource.add", "2", r"super\(\)\.add"),
    Contract("datacube.index.memory._products:ProductResource.search_robust", "1, time"),
    Contract("datacube.index.memory._products:ProductResource.clone", "2", r"_products\.clone"),
    Contract("datacube.index.memory._datasets:DatasetResource", "1"),
    Contract("datacube.index.memory._datasets:DatasetResource.can_update", "3"),
    Contract("datacube.index.memory._datasets:DatasetResource._search", "2, limit, source_filter, archived, time"),
    Contract("datacube.index.memory._datasets:DatasetResource.RET_FORMAT_DATASETS"),
    Contract("datacube.index.memory._fields:build_custom_fields", "1"),
    Contract("datacube.index.memory._fields:get_dataset_fields", "1"),
    Contract("datacube.index.postgres.index:Index._active_connection", "1"),
    Contract("datacube.index.postgis.index:Index._active_connection", "1"),
    Contract("datacube.drivers.postgres._api:PostgresDbAPI", None, r"api\._connection"),
    Contract("datacube.index.hl:Doc2Dataset", "1, products, verify_lineage, skip_lineage"),
    Contract("datacube.index.eo3:prep_eo3", "1"),
    Contract("datacube.metadata:stac2ds", "2"),
    Contract("datacube.drivers.postgres._fields:PgField.alchemy_expression"),
    Contract("datacube.drivers.postgis._fields:PgField.alchemy_expression"),
    Contract("datacube.drivers.postgres._schema:DATASET.indexes", None, r"_schema import DATASET"),
    # Datasets and products
    Contract("datacube.model:Dataset", "2, uri, indexed_time", r"\bDataset(Class)?\("),
    Contract("datacube.model:Product", "3", r"\bProduct(Class)?\("),
    Contract("datacube.model:Product.load_hints", "1"),
    Contract("datacube.model:Product.grid_spec", None, r"\.grid_spec"),
    Contract("datacube.model:metadata_from_doc", "1"),
    Contract("datacube.storage:BandInfo", "2"),
    Contract("datacube.storage:measurement_paths", "1"),
    # Loading
    Contract("datacube:Datacube.create_storage", "4"),
    Contract("datacube:Datacube.group_datasets", "2"),
    Contract("datacube:Datacube.find_datasets", "1, product, like, ensure_location, limit"),
    Contract("datacube:Datacube.load_data", "3, driver, skip_broken_datasets, dask_chunks, resampling, fuse_func"),
    # Small things
    Contract("datacube.migration:ODC2DeprecationWarning"),
    Contract("datacube.utils:jsonify_document", "1"),
    Contract("datacube.utils.changes:allow_any"),
    Contract("datacube.utils.dates:normalise_dt", "1"),
    Contract("datacube.utils.documents:parse_yaml", "1"),
    Contract("datacube.utils.rio._rio:_CFG.aws", None, r"_rio\._CFG"),
    Contract("datacube.utils.rio._rio:_CFG.kwargs", None, r"_rio\._CFG"),
    # Virtual products
    Contract("datacube.virtual:DEFAULT_RESOLVER.register", "3"),
    Contract("datacube.virtual:DEFAULT_RESOLVER.lookup_table"),
    Contract("datacube.virtual:Transformation", None, r"\bTransformation\b"),
    Contract("datacube.virtual:Measurement", None, r"datacube\.virtual import .*\bMeasurement\b"),
    Contract("datacube.virtual:catalog_from_yaml", "1"),
    Contract("datacube.virtual.catalog:Catalog"),
    Contract("datacube.virtual.impl:Reproject.fetch", None, r"Reproject\.fetch"),
    Contract("datacube.virtual.impl:Transform.fetch", None, r"Transform\.fetch"),
    Contract("datacube.virtual.impl:VirtualDatasetBox.input_datasets", "1"),
    # Threads
    Contract("dask.threaded:default_pool"),
    Contract("dask.threaded:pools.clear", None, r"threaded\.pools\.clear"),
    # Addresses that are signed
    Contract("odc.stac._stac_load:patch_urls", "1, edit, bands", r"import _stac_load"),
    Contract("datacube.storage._loader:driver_based_load", "4, patch_url", r"import _loader"),
    # The driver
    Contract("odc.loader:register_driver", "2"),
    Contract("odc.loader:RioDriver.capture_env", "1"),
    Contract("odc.loader._rio:GDAL_CLOUD_DEFAULTS"),
    Contract("odc.loader._rio:RioDriver.capture_env", "1"),
    Contract("odc.loader._rio:RioDriver", "0", r"\bRioDriver\b"),
    Contract("odc.loader._rio:RioDriver.open", "3", r"class \w+\(RioDriver\)"),
    Contract("odc.loader._rio:RioDriver.md_parser", None, r"class \w+\(RioDriver\)"),
    Contract("odc.loader._rio:RioReader", "2", r"\bRioReader\b"),
    Contract("odc.loader._rio:RioReader.read", "3, dst, selection", r"class \w+\(RioReader\)"),
    Contract("odc.loader.types:RasterSource.patch", "1, uri, band", r"\.patch\("),
    Contract("odc.loader.types:RasterLoadParams.patch", "1, fail_on_error", r"\.patch\("),
    Contract("odc.loader.types:RasterGroupMetadata.patch", "1, bands", r"\.patch\("),
    Contract("odc.loader.types:RasterBandMetadata.patch", "1, attrs", r"\.patch\("),
    Contract("odc.stac._mdtools:StacMDParser", "1"),
    Contract("odc.stac._mdtools:StacMDParser.extract", "2", r"class \w+\(StacMDParser\)"),
    # Arrays
    Contract("odc.algo:enum_to_bool", "2"),
    Contract("odc.algo:mask_cleanup", "2"),
    Contract("odc.algo:xr_geomedian", "1"),
    # Documents
    Contract("eodatasets3.assemble:IncompleteDatasetWarning"),
    Contract("eodatasets3.images:GridSpec"),
    Contract("eodatasets3.model:DatasetDoc"),
    Contract("eodatasets3.model:ProductDoc"),
    Contract("eodatasets3.properties:Eo3Dict"),
    Contract("eodatasets3.stac:to_pystac_item", "dataset, stac_item_destination_url"),
    Contract("eodatasets3.validate:Level"),
    Contract("eodatasets3.validate:validate_dataset", "1"),
    Contract("eodatasets3.verify:calculate_file_sha1", "1"),
]  # fmt: skip


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.place)
@pytest.mark.filterwarnings("ignore::datacube.migration.ODC2DeprecationWarning")
def test_a_name_is_there_and_takes_our_arguments(contract: Contract) -> None:
    """The name exists, our arguments fit its signature, and one of our modules uses it still."""
    contract.check_call(contract.object())
    assert contract.users(), f"nothing uses {contract.place} any more: remove it from CONTRACTS"


def imported() -> Iterator[tuple[str, str, Path]]:
    """Each name that the package imports from those projects: module, name and our file."""
    for path in house.modules():
        for node in ast.walk(house.parsed(path)):
            if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
                continue
            if f"{node.module}.".startswith(tuple(f"{each}." for each in LIBRARIES)):
                yield from ((node.module, alias.name, path) for alias in node.names)


def test_every_name_that_is_imported_has_a_contract() -> None:
    """A new import of a name that is not documented needs a line in `CONTRACTS`."""
    covered = {
        (each.place.partition(":")[0], each.place.partition(":")[2].split(".")[0])
        for each in CONTRACTS
    }
    covered |= {(f"{m}.{n}".rpartition(".")[0], f"{m}.{n}".rpartition(".")[2]) for m, n in covered}
    missing = {
        f"{module}:{name} in {path.name}"
        for module, name, path in imported()
        if name not in DOCUMENTED.get(module, ())
        and (module, name) not in covered
        and not any(m == f"{module}.{name}" for m, _ in covered)
    }
    assert not missing, f"add to CONTRACTS (or to DOCUMENTED): {sorted(missing)}"


# --- what no signature shows ---


def contract(place: str, used: str | None = None) -> Contract:
    """Return a contract that a test of its own checks."""
    return Contract(place, used=used)


@pytest.mark.parametrize(
    ("method", "variable"),
    [("Transform.fetch", "grouped"), ("Reproject.fetch", "load_settings")],
)
@pytest.mark.filterwarnings("ignore::datacube.migration.ODC2DeprecationWarning")
def test_datacubes_frames_have_the_variables_that_we_read(method: str, variable: str) -> None:
    """A transform looks up in the frames that call it what is being loaded."""
    promise = contract(f"datacube.virtual.impl:{method}", re.escape(method))
    code = promise.object().__code__
    assert variable in code.co_varnames, promise.broken(f"has no variable {variable}")


def test_gdal_is_reached_through_rasterio() -> None:
    """Options for one bucket each are given by GDAL's own functions, in the library that rasterio loads."""
    import rasterio._env

    gdal = ctypes.CDLL(rasterio._env.__file__)
    for name in ("VSISetPathSpecificOption", "VSIClearPathSpecificOptions"):
        assert hasattr(gdal, name), (
            f"rasterio {version('rasterio')}: its GDAL has no {name}; see storage/settings.py"
        )


def test_the_reader_keeps_its_source_and_context() -> None:
    """Our reader opens other files with what the reader of odc-loader was made with."""
    promise = contract("odc.loader._rio:RioReader", r"\bRioReader\b")
    reader = promise.object()("source", "context")
    for name in ("_src", "_ctx"):
        assert hasattr(reader, name), promise.broken(f"has no attribute {name}")


def test_datacubes_settings_for_s3_have_the_form_that_we_read() -> None:
    """`configured` reads them where no function gives them: a mapping, "auto" or nothing."""
    promise = contract("datacube.utils.rio._rio:_CFG", r"_rio\._CFG")
    settings = promise.object()
    assert settings.aws is None or isinstance(settings.aws, dict | str), promise.broken(
        "has other aws"
    )
    assert isinstance(settings.kwargs, dict), promise.broken("has other kwargs")


def test_the_environment_of_the_driver_has_the_form_that_we_read() -> None:
    """GDAL's options by name, and arguments of `AWSSession` under ``_aws`` if there are any."""
    promise = contract("odc.loader:RioDriver.capture_env")
    told = import_module("odc.loader").RioDriver().capture_env()
    assert isinstance(told, dict), promise.broken("gives no mapping")
    assert isinstance(told.get("_aws", {}), dict | None), promise.broken("gives another _aws")


def test_load_parameters_have_the_attributes_that_we_read() -> None:
    """The reader fills and converts by `fill_value` and `dtype`, and heeds `fail_on_error`."""
    promise = contract("odc.loader.types:RasterLoadParams", r"\bRasterLoadParams\b")
    made = promise.object()("uint8", 0)
    for name in ("dtype", "fill_value", "fail_on_error"):
        assert hasattr(made, name), promise.broken(f"has no attribute {name}")


def test_a_band_has_an_address_a_number_and_nodata(dataset: Any) -> None:
    """Files of a dataset are told by `BandInfo`."""
    promise = contract("datacube.storage:BandInfo")
    info = promise.object()(dataset, "red")
    for name in ("uri", "band", "nodata"):
        assert hasattr(info, name), promise.broken(f"has no attribute {name}")
    assert info.uri.endswith("red.tif")


def test_a_dataset_has_the_attributes_that_we_read(dataset: Any) -> None:
    """Those that no page of datacube's documentation promises."""
    promise = contract("datacube.model:Dataset", r"\bDataset\b")
    for name in (
        "center_time",
        "crs",
        "extent",
        "is_archived",
        "measurements",
        "metadata_doc",
        "sources",
        "uri",
    ):
        assert hasattr(dataset, name), promise.broken(f"has no attribute {name}")


def test_the_folder_in_which_a_product_is_assembled_is_known(tmp_path: Path) -> None:
    """Layers are written where they will be, and not copied; no public name says where that is."""
    from eodatasets3 import DatasetAssembler

    promise = contract("eodatasets3:DatasetAssembler", r"\b_work_path\b")
    with DatasetAssembler(tmp_path) as package:
        there = getattr(package, "_work_path", None)
        package.cancel()
    assert isinstance(there, Path), promise.broken("has no attribute _work_path")


def test_storage_is_made_from_a_function_of_measurements() -> None:
    """`recall` makes its result as `dc.load` does: coordinates, dims and attributes."""
    from datacube.model import Measurement

    promise = contract("datacube:Datacube.create_storage")
    grid = GeoBox.from_bbox((0, 0, 60, 40), "EPSG:32633", resolution=20)
    time = xr.DataArray([np.datetime64("2024-06-05", "ns")], dims="time", name="time")
    made = promise.object()(
        time.assign_coords(time=time).coords,
        grid,
        [Measurement(name="ucl", dtype="uint8", nodata=0, units="1")],
        lambda measurement, shape: np.ones(shape, measurement.dtype),
    )
    assert made.ucl.dims == ("time", "y", "x"), promise.broken("gives other dims")
    assert made.ucl.shape == (1, 2, 3)
    assert made.odc.geobox == grid
    assert made.ucl.attrs["nodata"] == 0


@pytest.fixture
def dataset() -> Any:
    """A dataset with one band on a grid of 20 x 30 pixels."""
    from datacube.index.abstract import default_metadata_type_docs
    from datacube.index.eo3 import prep_eo3
    from datacube.model import Dataset, Product, metadata_from_doc

    (eo3,) = (each for each in default_metadata_type_docs() if each["name"] == "eo3")
    product = Product(
        metadata_from_doc(eo3),
        {
            "name": "tiny",
            "metadata_type": "eo3",
            "metadata": {"product": {"name": "tiny"}},
            "measurements": [{"name": "red", "dtype": "uint16", "nodata": 0, "units": "1"}],
        },
    )
    document = {
        "$schema": "https://schemas.opendatacube.org/dataset",
        "id": "5f0cd1c5-3f2c-5d0e-8a5c-2b7e6b8c1d10",
        "product": {"name": "tiny"},
        "crs": "EPSG:32633",
        "grids": {
            "default": {"shape": [20, 30], "transform": [20, 0, 500000, 0, -20, 5300000, 0, 0, 1]}
        },
        "measurements": {"red": {"path": "red.tif"}},
        "properties": {"datetime": "2024-06-05T10:00:00Z"},
        "lineage": {},
    }
    return Dataset(product, prep_eo3(document), uri="file:///scene/metadata.yaml")


def test_a_failure_says_what_broke_and_where() -> None:
    """The message names the release, the name and our modules."""
    gone = Contract("datacube.api.core:no_such_name", used=r"\boutput_geobox\b")
    with pytest.raises(
        pytest.fail.Exception, match=r"datacube 1\.9.*no_such_name is gone.*output_grid\.py"
    ):
        gone.object()
    changed = Contract("datacube.api.core:output_geobox", "1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1")
    with pytest.raises(pytest.fail.Exception, match="no longer takes"):
        changed.check_call(changed.object())
