"""Options of a classification, and what they must suit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import CloudClass, classify, get_model
from odc_cleansat.errors import ModelError, SceneError
from odc_cleansat.masks.options import Options, check_resolution, check_scale_and_offset
from odc_cleansat.scenes.files import Band

from .helpers import SIX, coarsened, refused

pytestmark = pytest.mark.usefixtures("fake_engine")


def test_too_coarse(simulated: xr.Dataset) -> None:
    refused(coarsened(simulated[SIX], 60), "60 m wide, too coarse.*45 m")


def test_an_offset_is_not_taken_off_reflectance(simulated: xr.Dataset) -> None:
    numbers = simulated[SIX].astype("float32")
    scene = ((numbers - 1000) / 10000).where(simulated[SIX] != 0)
    for each in (scene, scene.chunk()):
        with pytest.raises(SceneError, match=r"offset=0 for reflectance, or scale="):
            classify(each, offset=-1000)
    found = classify(numbers, offset=-1000, scale=1e-4).ucl
    np.testing.assert_array_equal(found, classify(scene).ucl)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"snow": 0.5}, "no class 'snow'; it has clear, cloud, shadow, thin_cloud"),
        ({"cloud": 1.5}, "between 0 and 1"),
        (dict.fromkeys((each.label for each in get_model().classes), 0.5), "every class"),
    ],
)
def test_thresholds_that_make_no_sense(
    simulated: xr.Dataset, thresholds: dict[str, float], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        classify(simulated, offset=-1000, thresholds=thresholds)


def test_options_hold_classes_and_thresholds_in_their_order() -> None:
    model = get_model()
    options = Options.of(model, offset=-1000, thresholds={"shadow": 0.4, "cloud": 1})
    assert options == Options(
        model, offset=-1000, thresholds=((CloudClass.SHADOW, 0.4), (CloudClass.CLOUD, 1.0))
    )
    assert Options.of(model) == Options(model)


@pytest.mark.parametrize("scale", [0, -1, np.inf, np.nan])
def test_scales_that_cannot_be(scale: float) -> None:
    with pytest.raises(SceneError, match="is not above 0"):
        check_scale_and_offset(scale, 0)


@pytest.mark.parametrize("offset", [np.nan, np.inf])
def test_offsets_that_cannot_be(offset: float) -> None:
    with pytest.raises(SceneError, match="is not a number of digital numbers"):
        check_scale_and_offset(None, offset)


def test_a_band_may_be_half_as_coarse_again_as_the_model_or_its_sensor() -> None:
    """For 30 m up to 45 m; for a model of 10 m, bands of the sensor's own pixels."""

    def band(pixel: float) -> Band:
        grid = GeoBox((4, 4), Affine(pixel, 0, 399960, 0, -pixel, 5300040), "EPSG:32633")
        return Band(wrap_xr(np.ones(grid.shape, "uint16"), grid), grid)

    model = get_model()
    check_resolution([band(44)] * len(model.bands), model)
    with pytest.raises(SceneError, match=r"46 m wide, too coarse .* at 45 m or finer"):
        check_resolution([band(46)] * len(model.bands), model)
    fine = dataclasses.replace(model, resolution=10, bands=("red", "swir16"))
    check_resolution([band(14), band(29)], fine)
    with pytest.raises(SceneError, match=r"the pixels of red are 29 m wide.*at 15 m or finer"):
        check_resolution([band(29), band(14)], fine)
