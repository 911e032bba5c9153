"""Whatever arrays and arguments are passed, the outcome is a result or an error of ours."""

from __future__ import annotations

from typing import Any

import dask
import pytest
from hypothesis import given
from strategies import arguments, ours, scenes, tried

from odc_cleansat import classify, composite

pytestmark = pytest.mark.usefixtures("fast_network")

OF_CLASSIFY: dict[str, list[Any]] = {
    "model": ["unet-mobilenetv2-l2a"],
    "geobox": [None],
    "resolution": [20, 60],
    "confidence": [True],
    "probabilities": [True],
    "thresholds": [{"cloud": 0.5}, {"cloud": None}],
    "dilation": [{"cloud": 60}, {"shadow": 1e9}, {"cloud": "x"}],
    "scale": [1e-4],
    "offset": [-1000, 0, -0.1],
    "engine": ["openvino"],
    "precision": ["f32"],
}

OF_COMPOSITE: dict[str, list[Any]] = {
    "method": ["median", "geomedian", "best"],
    "bands": [["B02"], "B02"],
    "clear": [["clear"], "nodata"],
    "dilation": [{"cloud": 60}, {"cloud": 1e9}],
    "min_observations": [1, 0, 70_000],
    "target": ["2024-06-01"],
}


@tried(40)
@given(scene=scenes(), more=arguments(OF_CLASSIFY))
def test_classify_any_scene(scene: Any, more: dict[str, Any]) -> None:
    with ours(), dask.config.set(scheduler="synchronous"):
        classify(scene, **more).load()


@tried(20)
@given(scene=scenes(series=True), more=arguments(OF_COMPOSITE))
def test_composite_any_series(scene: Any, more: dict[str, Any]) -> None:
    with ours(), dask.config.set(scheduler="synchronous"):
        composite(scene, **more).load()
