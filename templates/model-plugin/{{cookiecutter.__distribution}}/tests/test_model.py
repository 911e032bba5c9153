"""The installed model: it is found, its weights are right, its answers make sense, its card is there."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from odc_cleansat import CloudClass, Model, classify, get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.models import find_models, try_model, verify_weights
from odc_cleansat.synthetic.scene import SimulatedScene

DISTRIBUTION = "{{ cookiecutter.__distribution }}"
NAME = "{{ cookiecutter.name }}"


@pytest.fixture(scope="module")
def model() -> Model:
    """The model, with weights that are what its document says."""
    model = get_model(NAME)
    try:
        verify_weights(model)
    except ModelError as error:
        pytest.fail(f"{error}\nWeights are put into the package by: python make_weights.py")
    return model


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    """A small simulated scene with clouds, shadows, and a corner without data."""
    scene = SimulatedScene(shape=(300, 360), seed=1).to_xarray(10).isel(time=0)
    scene = scene.assign(B10=scene.B01)  # it is of L2A, which has no cirrus
    for band in scene.data_vars.values():
        band[:40, :60] = 0
    return scene


def test_it_is_listed() -> None:
    entries = [entry for entry in find_models() if entry.name == NAME]
    assert [(entry.origin, entry.problem) for entry in entries] == [(f"plugin {DISTRIBUTION}", "")]


def test_the_weights_are_pinned_and_load(model: Model) -> None:
    assert model.sha256, "without sha256 in the document, nobody notices other weights"
    try_model(model)


def test_the_answers_are_probabilities(model: Model, scene: xr.Dataset) -> None:
    found = classify(scene, model=model, offset=-1000, probabilities=True)
    data = scene.B02.values != 0
    shares = found.ucl_probability.transpose("ucl_class", "y", "x").values[:, data]
    assert shares.shape[0] == len(model.classes)
    assert np.isfinite(shares).all()
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-2)
    assert set(np.unique(found.ucl.values[data])) <= set(model.classes)
    assert (found.ucl.values[~data] == CloudClass.NODATA).all()


def test_the_card_is_complete(model: Model) -> None:
    card = Path(model.card).read_text("utf-8")
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", card, re.MULTILINE))
    for row in ("input", "resolution", "classes", "network", "weights", "licence"):
        assert rows.get(row), f"the card's table lacks {row}"
    for section in ("Data", "Accuracy", "Known failures"):
        text = re.search(rf"^## {section}\n+[^#\s]", card, re.MULTILINE)
        assert text, f"the card lacks {section}"
    assert model.sha256 in card


def test_card_document_and_package_agree(model: Model) -> None:
    about = metadata(DISTRIBUTION)
    assert (about.get("License-Expression") or about.get("License")) == model.licence
    card = Path(model.card).read_text("utf-8")
    labels = [each.label for each in model.classes]
    for fact in (*model.bands, *labels, f"{model.resolution:g} m", model.licence):
        assert fact in card, f"the card does not say {fact}"
