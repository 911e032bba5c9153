"""The model that a run writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from odc_cleansat import get_model
from odc_cleansat.cli.main import main
from odc_cleansat.errors import ModelError
from odc_cleansat.models.engines import get_engine
from odc_cleansat.models.registry import read_model
from odc_cleansat.training.checkpoints import read_average
from odc_cleansat.training.export import export_model
from odc_cleansat.training.network import untrained_network
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.sources import simulate_patch
from odc_cleansat.training.summary import SUMMARY
from unit.training.helpers import CLEAR, CLOUD, SIX, run


def test_the_model_that_comes_of_it(
    tmp_path: Path, recipe: Recipe, whole: tuple[Path, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    out = whole[0]
    files = export_model(recipe, out)
    assert [path.name for path in files] == [
        "tiny.yaml", "tiny-4b.yaml", "tiny.safetensors", "tiny.md", "tiny.png",
    ]  # fmt: skip
    monkeypatch.setenv("CLEANSAT_MODELS", str(tmp_path / "models"))
    done = CliRunner().invoke(main, ["models", "import", str(files[0])])
    assert done.exit_code == 0, done.output
    model = get_model("tiny")
    scene = simulate_patch(9, 64, recipe.bands, recipe.resolution).pixels[None]
    probabilities = get_engine(model, "torch", "f32")(scene)
    # Weights in half precision change no class to speak of.
    network = untrained_network(recipe)
    network.load_state_dict(read_average(out))
    mean, std = (np.array(v, "float32")[:, None, None] for v in (model.mean, model.std))
    with torch.inference_mode():
        full = network.eval()(torch.from_numpy((scene - mean) / std)).numpy()
    assert np.mean(full.argmax(1) == probabilities.argmax(1)) > 0.99
    openvino = get_engine(model, "openvino", "f32")(scene)
    assert np.abs(openvino - probabilities).max() < 1e-3
    four = read_model(files[1])
    assert four.bands == SIX[:4]
    lacking = scene.copy()
    lacking[:, 4:] = np.array(model.mean[4:], "float32")[:, None, None]
    same = get_engine(four, "torch", "f32")(scene[:, :4])
    assert np.abs(same - get_engine(model, "torch", "f32")(lacking)).max() < 1e-5
    card = files[3].read_text()
    for text in (
        "CC0-1.0",
        "simulated scenes 1",
        "sim-6",
        model.sha256,
        "![Learning curves](tiny.png)",
    ):
        assert text in card
    other = replace(recipe, classes=(CLEAR, CLOUD))
    with pytest.raises(ModelError, match="another classes"):
        export_model(other, out)
    with pytest.raises(ModelError, match="there is no run"):
        export_model(recipe, tmp_path / "none")


def test_the_model_is_not_written_over_the_recipe(tmp_path: Path, recipe: Recipe) -> None:
    text = recipe.path.read_text()
    few = recipe.path.rename(tmp_path / "tiny-4b.yaml")
    for path in (recipe.path, few):
        path.write_text(text)
        for act in (run, export_model):
            with pytest.raises(ModelError, match="where the model's document would be written"):
                act(replace(recipe, path=path), tmp_path)  # type: ignore[operator]
        assert path.read_text() == text
        assert not (tmp_path / SUMMARY).exists()
