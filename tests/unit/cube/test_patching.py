"""Addresses that are signed as they are loaded, also of the files of which a mask is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import odc.stac
import pytest
from conftest import Cube

from odc_cleansat import with_ucl
from odc_cleansat.cube.load import load
from odc_cleansat.cube.patching import reaching
from odc_cleansat.masks.on_demand import ADDRESS
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.synthetic.scene import SimulatedScene

from .test_driver import stac_item

pytestmark = pytest.mark.usefixtures("fast_network")

HOW: dict[str, Any] = {"resolution": 20, "driver": "cleansat"}


@pytest.mark.parametrize("library", ["datacube", "odc.stac"])
def test_the_files_of_a_computed_band_are_signed(cube: Cube, tmp_path: Path, library: str) -> None:
    """Each file once, and no address of ours; the bands lie where only the signed address says."""
    scene = SimulatedScene(shape=(150, 150), seed=5).write(tmp_path / "here")
    dataset = read_scene(str(scene)).dataset
    expected = load(
        cube.dc, datasets=dataset, measurements=["ucl"], output_crs="EPSG:32633", resolution=20
    )
    one = dataset if library == "datacube" else stac_item(scene, dataset)
    (masked,) = with_ucl([one])
    scene.rename(tmp_path / "there")
    asked = []

    def sign(address: str) -> str:
        asked.append(Path(address).name)
        return address.replace("/here/", "/there/")

    if library == "datacube":
        found = cube.dc.load(
            datasets=[masked], measurements=["ucl"], output_crs="EPSG:32633", patch_url=sign, **HOW
        )
    else:
        found = odc.stac.load([masked], bands=["ucl"], crs="EPSG:32633", patch_url=sign, **HOW)
    np.testing.assert_array_equal(found.ucl, expected.ucl)
    assert sorted(asked) == [f"B{each}.tif" for each in ("02", "03", "04", "08", "11", "12")]


def test_other_addresses_of_ours_stay() -> None:
    patch = reaching(str.upper)
    assert patch("s3://b/x.tif") == "S3://B/X.TIF"
    assert patch(f"{ADDRESS}/no-mask") == f"{ADDRESS}/no-mask"
