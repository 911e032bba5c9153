"""Cloud-optimised GeoTIFFs, from memory and block by block."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rio_cogeo import cog_validate

from odc_cleansat.errors import OutputError, is_full
from odc_cleansat.storage.cog import Raster, write_cog, write_cogs

GRID = GeoBox((700, 1100), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633")


@pytest.fixture(scope="module")
def classes() -> xr.DataArray:
    values = np.random.default_rng(0).integers(0, 4, GRID.shape).astype("uint8")
    return wrap_xr(values, GRID)


def test_lazy_and_eager_arrays_give_the_same_file(classes: xr.DataArray, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.tif" for name in ("memory", "eager", "lazy", "together")]
    colours = {1: "#00ff00", 2: "#0000ff"}
    write_cog(Raster({"ucl": classes}, 0, colours), paths[0])
    write_cogs({paths[1]: Raster({"ucl": classes}, 0, colours)})
    lazy = classes.chunk({"y": 256, "x": 300})
    write_cogs({paths[2]: Raster({"ucl": lazy}, 0, colours)})
    write_cogs({paths[3]: Raster({"ucl": lazy}, 0, colours)}, together=3)
    assert len({path.read_bytes() for path in paths}) == 1
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths}


def test_what_a_file_of_classes_holds(classes: xr.DataArray, tmp_path: Path) -> None:
    path = tmp_path / "ucl.tif"
    write_cog(Raster({"ucl": classes}, 0, {1: "#00ff7f"}, {"HOW": "mode"}), path)
    valid, _, warned = cog_validate(path, strict=True)
    assert valid
    assert not warned
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), classes.values)
        assert GeoBox.from_rio(file) == GRID
        assert (file.nodata, file.dtypes, file.descriptions) == (0, ("uint8",), ("ucl",))
        assert file.tags()["HOW"] == "mode"
        assert file.colormap(1)[1] == (0, 255, 127, 255)
        assert file.overviews(1) == [2, 4]
    with rasterio.open(path, overview_level=0) as file:
        assert set(np.unique(file.read(1))) <= {0, 1, 2, 3}


def test_files_share_their_blocks_and_progress_counts_them(
    classes: xr.DataArray, tmp_path: Path
) -> None:
    calls: list[int] = []

    def computed(values: np.ndarray) -> np.ndarray:
        calls.append(1)
        return values.astype("float32")

    lazy = xr.apply_ufunc(
        computed, classes.chunk({"y": 350, "x": 550}), dask="parallelized", output_dtypes=["f4"]
    )
    lazy = wrap_xr(lazy.data, GRID)
    seen: list[tuple[int, int]] = []
    files = {
        tmp_path / "a.tif": Raster({"one": lazy, "two": lazy * np.float32(2)}, float("nan")),
        tmp_path / "b.tif": Raster({"three": lazy}, float("nan")),
    }
    write_cogs(files, together=2, progress=lambda *counts: seen.append(counts))
    assert len(calls) == 4
    assert seen == [(2, 4), (4, 4)]
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.descriptions == ("one", "two")
        np.testing.assert_array_equal(file.read(2), classes.values * 2)


@pytest.mark.parametrize(("smallest", "expected"), [(None, [2, 4]), (350, [2]), (800, [])])
def test_the_smallest_overview(
    classes: xr.DataArray, tmp_path: Path, smallest: int | None, expected: list[int]
) -> None:
    raster = Raster({"": classes}, 0, overviews="mode", smallest_overview=smallest)
    write_cog(raster, tmp_path / "x.tif")
    with rasterio.open(tmp_path / "x.tif") as file:
        assert file.overviews(1) == expected
        assert file.descriptions == (None,)


def test_a_folder_that_cannot_be_made(classes: xr.DataArray, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    raster = Raster({"ucl": classes}, 0)
    with pytest.raises(OutputError, match=r"cannot write .*x\.tif: .*Check the space there"):
        write_cogs({tmp_path / "file" / "x.tif": raster})
    with pytest.raises(OSError, match=r"GDAL could not write x\.tif"):
        write_cog(raster, tmp_path / "missing" / "x.tif")


def test_a_full_disk_is_named_whatever_gdal_says(
    classes: xr.DataArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise rasterio.errors.RasterioIOError("Read failed. See previous exception for details.")

    monkeypatch.setattr("rasterio.shutil.copy", fail)
    raster = Raster({"ucl": classes}, 0)
    with pytest.raises(OSError, match=r"GDAL could not write x\.tif"):
        write_cog(raster, tmp_path / "x.tif")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=4096))
    with pytest.raises(OSError, match=r"No space left on device") as raised:
        write_cog(raster, tmp_path / "x.tif")
    assert is_full(raised.value)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from odc_cleansat.errors import OutputError, is_full
from odc_cleansat.storage.cog import Raster, write_cogs

grid = GeoBox.from_bbox((0, 0, 2048, 2048), "EPSG:32633", resolution=10)
noise = np.random.default_rng(0).integers(0, 60000, grid.shape).astype("uint16")
target = Path(sys.argv[1]) / "red.tif"
files = {target: Raster({"red": wrap_xr(noise, grid)}, 0)}
write_cogs(files)
size, before = target.stat().st_size, target.read_bytes()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for missing in (1, 50, 2000, size // 2):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, resource.RLIM_INFINITY))
    try:
        write_cogs(files)
    except OutputError as error:
        print(error)
    assert target.read_bytes() == before, missing
"""


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Check the space there") == 4
