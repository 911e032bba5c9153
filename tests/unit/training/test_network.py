"""The network with which a run begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.models.networks import torch_network
from odc_cleansat.models.registry import read_model
from odc_cleansat.training.export import export_model
from odc_cleansat.training.network import first_network
from odc_cleansat.training.recipe_file import read_recipe
from unit.training.helpers import SIX, plan, run, write

pytestmark = pytest.mark.usefixtures("no_curves")


def test_a_recipe_may_start_with_a_model(tmp_path: Path) -> None:
    import torch

    left_out = dict.fromkeys(("bands", "classes", "architecture", "few", "resolution"))
    found = read_recipe(
        write(tmp_path, start="unet-mobilenetv2-l2a-4b", plan=plan(steps=2), **left_out)
    )
    model = get_model("unet-mobilenetv2-l2a-4b")
    assert (found.bands, found.classes, found.mean) == (model.bands, model.classes, model.mean)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 4, 64, 64)).astype("float32"))
    with torch.inference_mode():
        assert torch.equal(first_network(found).eval()(image), torch_network(model)(image))
    losses = run(found, tmp_path / "run")
    assert np.isfinite(losses).all()
    learnt = read_model(export_model(found, tmp_path / "run")[0])
    assert learnt.bands == model.bands
    assert "Begun with the weights of `unet-mobilenetv2-l2a-4b`" in Path(learnt.card).read_text()


def test_an_encoder_may_be_a_trained_one(tmp_path: Path, imagenet: dict[str, Any]) -> None:
    import torch

    found = read_recipe(write(tmp_path, encoder_weights="imagenet", bands=["swir16", *SIX[:3]]))
    torch.manual_seed(0)
    network = first_network(found)
    own = network.encoder.state_dict()
    first = "features.0.0.weight"
    assert all(torch.equal(own[name], imagenet[name]) for name in own if name != first)
    share = 3 / 4  # so that four bands that are alike give what three gave
    mean = imagenet[first].mean(dim=1)
    assert SIX[:3] == ("blue", "green", "red")
    for i, expected in enumerate((mean, *(imagenet[first][:, k] for k in (2, 1, 0)))):
        torch.testing.assert_close(own[first][:, i], share * expected)


def test_trained_encoders_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ModelError, match=r"'photos' for the encoder mobilenet_v2.*options are.*imagenet"
    ):
        first_network(read_recipe(write(tmp_path, encoder_weights="photos")))
    monkeypatch.setenv("CLEANSAT_OFFLINE", "1")
    with pytest.raises(ModelError, match=r"as CLEANSAT_OFFLINE is set.*HF_HUB_OFFLINE=1 too"):
        first_network(read_recipe(write(tmp_path, encoder_weights="imagenet")))


def test_a_network_that_learns_thin_cloud_too_begins_with_the_answers_of_its_start(
    tmp_path: Path,
) -> None:
    import torch

    left_out = dict.fromkeys(("bands", "architecture", "resolution"))
    classes = ["clear", "cloud", "shadow", "thin_cloud"]
    path = write(tmp_path, start="unet-mobilenetv2-l2a", **{**left_out, "classes": classes})
    found = read_recipe(path)
    assert found.start is not None
    before, after = torch_network(found.start), first_network(found).eval()
    images = torch.from_numpy(
        np.random.default_rng(0).normal(size=(1, 6, 64, 64)).astype("float32")
    )
    with torch.inference_mode():
        had, has = before(images)[0], after(images)[0]
    torch.testing.assert_close(has[:3], had)
    torch.testing.assert_close(has[3], had[1] - 3)
