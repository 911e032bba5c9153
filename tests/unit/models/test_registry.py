"""Models by name: built-in, of plugins, the user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from odc_cleansat import get_model, list_models
from odc_cleansat.errors import ModelError, ModelWarning, SceneError
from odc_cleansat.models.documents import document_of
from odc_cleansat.models.registry import find_models, read_model
from unit.models.helpers import (
    write,
)

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
        get_model("something-of-tomorrow")


@pytest.mark.parametrize("name", ["unet-efficientnetb4-l2a-6", "unet_efficientnetb4_l2a_6b"])
def test_a_slip_of_the_keyboard(name: str) -> None:
    with pytest.raises(ModelError, match="Did you mean 'unet-efficientnetb4-l2a-6b'"):
        get_model(name)


def test_a_name_is_no_path(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ModelError, match="no model"):
        get_model(str(tmp_path / "small"))


def test_the_users_own_model(models_of_the_user: Path) -> None:
    path = write(models_of_the_user)
    assert list_models()[-1] == "small"
    assert get_model("small") == read_model(path)
    write(models_of_the_user, title="Another title")
    assert get_model("small").title == "Another title"


def test_one_broken_document_hurts_no_other(models_of_the_user: Path) -> None:
    write(models_of_the_user)
    write(models_of_the_user, name="broken", resolution="ten")
    (models_of_the_user / "torn.yaml").write_text("name: [torn")
    with pytest.warns(ModelWarning) as told:
        names = list_models()
    assert "small" in names
    assert not {"broken", "torn"} & set(names)
    assert sorted(str(each.message).split()[2] for each in told) == ["broken", "torn"]
    with pytest.raises(ModelError, match=r"broken\.yaml: resolution should be a number"):
        get_model("broken")
    assert get_model("small").name == "small"


def test_a_broken_document_hides_no_good_one_of_its_name(models_of_the_user: Path) -> None:
    good = write(models_of_the_user).rename(models_of_the_user / "small_2.yaml")
    (models_of_the_user / "small.yaml").write_text("name: [torn")
    with pytest.warns(ModelWarning):
        assert "small" in list_models()
    assert get_model("small") == read_model(good)


def test_the_first_of_two_models_of_one_name_is_taken_and_said(models_of_the_user: Path) -> None:
    """A plugin that is installed later would otherwise take the place of the user's model unseen."""
    first = write(models_of_the_user, name="ours").rename(models_of_the_user / "a.yaml")
    second = write(models_of_the_user, name="ours", title="other").rename(
        models_of_the_user / "b.yaml"
    )
    with pytest.warns(ModelWarning, match=f"several models called ours.*not {second}") as said:
        assert get_model("ours") == read_model(first)
    assert said[0].filename == __file__


def test_a_name_that_is_taken(models_of_the_user: Path) -> None:
    path = write(models_of_the_user, name=get_model().name)
    (entry,) = [each for each in find_models() if each.problem]
    assert entry.path == path
    assert "there already (built-in)" in entry.problem
    assert get_model(get_model().name).resolution == 30


PLUGIN = "raise AssertionError('a plugin must be located and not imported')\n"


def make_plugin(site: Path, name: str, documents: bool = True) -> None:
    """A package as pip installs it, with an entry point."""
    package = site / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PLUGIN)
    if documents:
        write(package, name=name.replace("_", "-"))
        (package / f"{name.replace('_', '-')}.md").write_text("# Card")
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[odc_cleansat.models]\n{name} = {name}\n")


def test_plugins_bring_models_and_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    make_plugin(site, "good_models")
    make_plugin(site, "empty_models", documents=False)
    info = site / "gone-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gone\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[odc_cleansat.models]\ngone = no_such_package\n")
    monkeypatch.syspath_prepend(str(site))
    problems = {each.name: each.problem for each in find_models() if each.origin != "built-in"}
    assert problems["good-models"] == ""
    assert "no model documents" in problems["empty_models"]
    assert "no_such_package is not installed" in problems["gone"]
    model = get_model("good-models")
    assert model.weights == f"file:{site / 'good_models' / 'small.safetensors'}"
    assert Path(model.card).read_text() == "# Card"
    assert "good_models" not in sys.modules


def test_importing_the_package_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, odc_cleansat; from odc_cleansat import CloudClass, get_model, list_models;"
        "get_model(); list_models();"
        "heavy = {'torch', 'openvino', 'datacube', 'matplotlib', 'xarray', 'onnx', 'requests'};"
        "sys.exit(','.join(heavy & set(sys.modules)) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_one_document_of_a_stranger_stops_no_other_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEANSAT_MODELS", str(tmp_path))
    good = document_of(get_model(), tmp_path).replace(get_model().name, "good")
    for name, content in {
        "good": good, "deep": "[" * 5000, "laughs": "&a [*a]", "twice": good + "name: other\n",
        "control": good.replace("weights: ", 'weights: "file:\\0" #'), "odd": good.replace("level: L2A", "level: {}"),
    }.items():  # fmt: skip
        (tmp_path / f"{name}.yaml").write_text(content)
    os.mkfifo(tmp_path / "pipe.yaml")
    found = {each.name: each.problem for each in find_models() if each.origin == "user"}
    assert found.pop("good") == ""
    assert {"deep", "laughs", "pipe"} <= found.keys()
    assert all(found.values())
    assert get_model("good").name == "good"
