"""The accessor is there once both packages are imported, whichever comes first."""

from __future__ import annotations

import pytest
import xarray as xr
from conftest import Fresh

import odc_cleansat  # noqa: F401
from odc_cleansat import classify, mask_clouds
from odc_cleansat.synthetic.scene import SimulatedScene

MODEL = {"model": "unet-mobilenetv2-l2a", "precision": "f32"}


@pytest.mark.parametrize(
    "imports", ["import odc_cleansat, xarray as xr", "import xarray as xr; import odc_cleansat"]
)
def test_it_is_registered(fresh: Fresh, imports: str) -> None:
    code = "print(type(xr.Dataset().cleansat).__name__, type(xr.DataArray().cleansat).__name__)"
    assert fresh(f"{imports}; {code}").split() == ["CleansatAccessor"] * 2


def test_it_does_what_the_functions_do() -> None:
    scene = SimulatedScene(shape=(300, 300), seed=3, offset=0).to_xarray(20)
    xr.testing.assert_identical(scene.cleansat.classify(**MODEL), classify(scene, **MODEL))
    xr.testing.assert_identical(scene.cleansat.mask(**MODEL), mask_clouds(scene, **MODEL))
    stack = scene[["B02", "B03", "B04", "B08", "B11", "B12"]].isel(time=0).to_dataarray("band")
    stack = stack.odc.assign_crs(scene.odc.geobox.crs)
    xr.testing.assert_identical(stack.cleansat.mask(**MODEL), mask_clouds(stack, **MODEL))


def test_a_comparison_has_a_mask() -> None:
    scene = SimulatedScene(shape=(300, 300), seed=3, offset=0).to_xarray(20)
    ucl = classify(scene, **MODEL)
    for drawn in (scene.cleansat.compare(), scene.assign(ucl=ucl.ucl).cleansat.compare()):
        assert "ucl" in {layer.key for layer in drawn.frames[0].layers}
