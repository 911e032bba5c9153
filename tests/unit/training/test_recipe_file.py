"""Recipes are read and checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from benchmark_data import a_scene, write_taco

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.models.documents import document_of
from odc_cleansat.training.checkpoints import read_average
from odc_cleansat.training.recipe import RecipeError
from odc_cleansat.training.recipe_file import read_recipe
from odc_cleansat.training.run import train
from odc_cleansat.training.spoiling import KINDS
from unit.training.helpers import CLEAR, CLOUD, OWN, SHADOW, SHIPPED, SIX, THIN, plan, write


def test_the_first_recipe_of_the_page_needs_no_data(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/train.md").read_text("utf-8")
    (tmp_path / "first.yaml").write_text(page.split("```yaml\n")[1].split("```")[0], "utf-8")
    found = read_recipe(tmp_path / "first.yaml")
    assert found.name == "first-try"
    assert found.start == get_model("unet-mobilenetv2-l2a")


def test_the_recipe_of_the_shipped_model_is_in_order() -> None:
    found = read_recipe(SHIPPED)
    assert found.few == 4
    assert set(found.teachers) == {("L2A", 6), ("L2A", 4), ("L1C", 6), ("L1C", 4)}
    assert found.mean == get_model("unet-efficientnetb4-l2a-6b").mean
    assert all(source.licence for source in found.data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bans": ["blue"]}, "no 'bans'. Did you mean 'bands'"),
        ({"licence": None}, "lacks licence"),
        ({"few": 9}, "few is 9, and there are 6 bands"),
        ({"bands": ["blue", "pink"]}, "bands should be of coastal, blue"),
        ({"classes": None}, "no teachers, so it must say its classes"),
        ({"plan": plan(size=100)}, "plan: size should be a multiple of 32, and is 100"),
        ({"plan": plan(stepps=3)}, "plan: there is no 'stepps'. Did you mean 'steps'"),
        ({"plan": plan(rate="high")}, "rate should be a number"),
        ({"plan": plan(teacher=1, truth=0)}, "no teachers, and the plan gives labels no weight"),
        ({"data": [{"archiv": "a.npz"}]}, "one of archive, labels, scenes, simulated"),
        ({"data": [{"labels": "a"}]}, "data, labels: it lacks layout"),
        ({"plan": plan(teacher=0, truth=0)}, "no teachers, and the plan gives labels no weight"),
        ({"data": [{"labels": "a", "layout": ["cloudsen12"]}]}, "layout should be cloudsen12 or"),
        (
            {"data": [{"labels": "a", "layout": "b"}]},
            "layout should be cloudsen12 or on-cloud-n or cloudsen12plus",
        ),
        ({"held_out": {"data": [{"simulated": [1]}]}}, "needs a name for its group"),
        ({"haze": {"pink": 0.1}}, "haze names pink"),
        ({"teachers": ["unet-efficientnetb4-l2a-6b"]}, "no teacher is for L2A with 4 bands"),
        ({"teachers": ["cloudsen12-l2a"], "few": 4}, "neither all of the bands nor the first 4"),
        (
            {
                "teachers": ["unet-efficientnetb4-l2a-6b"],
                "few": None,
                "classes": None,
                "resolution": None,
                "plan": plan(teacher=0, truth=0),
            },
            "gives weight neither to teachers nor to labels",
        ),
        ({"spoil": {"blurr": 0.1}}, "spoil: there is no 'blurr'. Did you mean 'blur'"),
        ({"spoil": {"blur": 2}}, "spoil: blur should be"),
        ({"spoil": 0.3}, "spoil should map kinds"),
        ({"thin_cloud": 3}, "thin_cloud should be"),
        ({"plan": plan(lessons=-1)}, "lessons should be"),
        (
            {
                "teachers": ["unet-efficientnetb4-l2a-6b", "unet-efficientnetb4-l2a-4b"],
                "classes": ["clear", "cloud", "shadow", "thin_cloud"],
            },
            "thin_cloud alone can be learnt beside them",
        ),
        ({"mean": [0.1]}, "mean should have a number for each of the 6 bands"),
    ],
)
def test_recipes_that_are_wrong(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe(write(tmp_path, **changes))
    assert str(tmp_path / "tiny.yaml") in str(caught.value)


def test_the_recipe_of_our_own_network_is_in_order() -> None:
    found = read_recipe(OWN)
    assert found.classes == (CLEAR, CLOUD, SHADOW, THIN)
    assert set(found.spoil) == set(KINDS)
    assert found.thin_cloud > 0
    assert found.held_out == read_recipe(SHIPPED).held_out, "no place moves between the two"
    assert {str(each) for each in found.data} == {str(each) for each in read_recipe(SHIPPED).data}
    start = get_model("unet-mobilenetv2-l2a")
    assert (found.start, found.mean) == (start, start.mean)


def test_a_network_that_starts_at_a_calibrated_one_is_not_calibrated(tmp_path: Path) -> None:
    """Its curves say how often another network was right."""
    left_out = dict.fromkeys(("bands", "classes", "architecture", "few", "resolution"))
    found = read_recipe(write(tmp_path, start=get_model().name, **left_out))
    assert found.start == get_model()
    assert found.start.calibration
    assert found.classes == get_model().classes
    model = found.to_model()
    assert model.calibration == ()
    assert "calibration" not in document_of(model, tmp_path)


def test_the_recipe_for_cloudsen12plus_runs_some_steps(tmp_path: Path) -> None:
    """But for the photographs that its encoder begins with, which are fetched, and its size."""
    recipe = yaml.safe_load(SHIPPED.with_name("cloudsen12plus.yaml").read_text())
    assert recipe.pop("encoder_weights") == "imagenet"
    recipe["plan"] |= {"steps": 2, "cooldown": 1, "warmup": 1, "batch": 2, "size": 64, "check": 1}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe))
    scenes = [a_scene(seed) for seed in (1, 2)]
    file = tmp_path / "cloudsen12plus" / "cloudsen12-l2a.taco"
    write_taco(file, scenes, splits=["train", "validation"])
    found = read_recipe(tmp_path / "small.yaml")
    assert found.classes == (CLEAR, CLOUD, THIN, SHADOW)
    train(found, tmp_path, tmp_path / "run", device="cpu", precision="f32")
    assert read_average(tmp_path / "run")


def test_recipes_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for text, message in (("a: [", "not YAML"), ("- a", "no recipe")):
        path.write_text(text)
        with pytest.raises(RecipeError, match=message):
            read_recipe(path)
    with pytest.raises(RecipeError, match="cannot read"):
        read_recipe(tmp_path / "b.yaml")
    with pytest.raises(ModelError, match="there is no model 'unet'"):
        read_recipe(write(tmp_path, teachers=["unet"]))


def test_what_does_not_go_with_a_start(tmp_path: Path) -> None:
    start = "unet-mobilenetv2-l2a-4b"
    left_out = dict.fromkeys(("bands", "classes", "architecture", "few", "resolution"))
    wider = {"name": "Unet", "encoder": "mobilenet_v2", "decoder_channels": [512, 96, 48, 24, 16]}
    usual = {"name": "Unet", "encoder": "mobilenet_v2"}
    for changes in (
        {"classes": ["clear", "cloud"]}, {"bands": list(SIX)}, {"architecture": wider}, {"architecture": usual},
    ):  # fmt: skip
        with pytest.raises(
            RecipeError, match="should be those of unet-mobilenetv2-l2a-4b, where it starts"
        ):
            read_recipe(write(tmp_path, start=start, **{**left_out, **changes}))
    with pytest.raises(RecipeError, match="start should be one network"):
        read_recipe(write(tmp_path, start="unet-efficientnetb4-l2a-6b+unet-efficientnetb4-l2a-4b"))
    with pytest.raises(RecipeError, match="leave out encoder_weights, or start"):
        read_recipe(write(tmp_path, encoder_weights="imagenet", start="unet-mobilenetv2-l2a"))


def test_networks_that_cannot_learn(tmp_path: Path) -> None:
    softmax = {"name": "Unet", "encoder": "mobilenet_v2", "activation": "softmax2d"}
    with pytest.raises(RecipeError, match="no activation"):
        read_recipe(write(tmp_path, architecture=softmax))
    with pytest.raises(RecipeError, match="two or more"):
        read_recipe(write(tmp_path, teachers=None, classes=["cloud"], resolution=30))
