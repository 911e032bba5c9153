"""`cleansat persist`: shares as COGs, and the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from calling import Run, good
from conftest import Cube

from odc_cleansat import load
from odc_cleansat.classes import CLOUDS
from unit.cli.helpers import check_cog, read


def test_shares_of_two_dates_beside_those_of_scl(run: Run, cube: Cube, tmp_path: Path) -> None:
    arguments = ("--crs", "EPSG:32633", "--resolution", 60, "--bbox", "13.66,47.8,13.72,47.84")
    config = ("-o", tmp_path, "-C", cube.folder / "datacube.conf")
    good(run("persist", *arguments, *config))
    with rasterio.open(tmp_path / "shares.tif") as file:
        assert file.descriptions == (
            "cloud_share", "shadow_share", "clear_share",
            "scl_cloud_share", "scl_shadow_share", "scl_clear_share",
        )  # fmt: skip
        assert (file.dtypes[0], file.tags()["OBSERVATIONS"]) == ("float32", "2")
    check_cog(tmp_path / "shares.tif")
    masks = load(
        cube.dc, datasets=[cube.scenes["june"], cube.scenes["july"]], like=tmp_path / "shares.tif",
        measurements=["ucl"], ucl="indexed",
    ).ucl.values  # fmt: skip
    with np.errstate(invalid="ignore"):
        expected = np.isin(masks, CLOUDS).sum(0) / (masks != 0).sum(0)
    np.testing.assert_allclose(read(tmp_path / "shares.tif"), expected, atol=1e-6)
    np.testing.assert_array_equal(read(tmp_path / "date_count.tif"), (masks != 0).sum(0))
    assert (tmp_path / "shares.png").stat().st_size > 10_000
