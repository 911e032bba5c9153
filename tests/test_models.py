"""The registry, and weights that are what they should be."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from odc_cleansat import get_model, list_models
from odc_cleansat.errors import ModelError, SceneError
from odc_cleansat.models import read_onnx, weights_path

SIX = ["B02", "B03", "B04", "B08", "B11", "B12"]


def test_six_bands_where_there_are_six_and_four_otherwise() -> None:
    assert len(get_model(bands=SIX).bands) == 6
    assert len(get_model(bands=SIX[:4]).bands) == 4
    assert get_model() == get_model(bands=SIX)


def test_too_few_bands() -> None:
    with pytest.raises(SceneError, match=r"nir \(B08\)"):
        get_model(bands=SIX[:3])


def test_unknown_model_lists_the_known() -> None:
    with pytest.raises(ModelError, match=list_models()[0]):
        get_model("unet-of-tomorrow")


@pytest.mark.parametrize("name", list_models())
def test_weights_are_verified(name: str) -> None:
    model = get_model(name)
    assert weights_path(model).stat().st_size > 30e6
    with pytest.raises(ModelError, match="sha256"):
        weights_path(dataclasses.replace(model, sha256="0" * 64))


def test_missing_package_says_what_to_install() -> None:
    model = dataclasses.replace(get_model(), weights="package:no_such_package/x.onnx")
    with pytest.raises(ModelError, match="pip install no-such-package"):
        weights_path(model)


def test_missing_file_in_the_package() -> None:
    model = dataclasses.replace(get_model(), weights="package:ukis_csmask/x.onnx")
    with pytest.raises(ModelError, match=r"does not contain x\.onnx"):
        weights_path(model)


def test_unknown_kind_of_location() -> None:
    with pytest.raises(ModelError, match="package:NAME/FILE"):
        weights_path(dataclasses.replace(get_model(), weights="ftp://somewhere"))


def test_the_graph_is_single_precision_throughout() -> None:
    from onnx import TensorProto

    graph = read_onnx(get_model()).graph
    assert {t.data_type for t in graph.initializer} == {TensorProto.FLOAT}
    casts = [a.i for n in graph.node if n.op_type == "Cast" for a in n.attribute]
    assert TensorProto.FLOAT16 not in casts


def test_importing_the_package_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, odc_cleansat; from odc_cleansat import CloudClass, get_model, list_models;"
        "get_model(); heavy = {'torch', 'openvino', 'datacube', 'matplotlib', 'xarray', 'onnx'};"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
