"""A folder holds a run of one recipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from odc_cleansat.errors import ModelError
from odc_cleansat.training.export import export_model
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.recipe_file import read_recipe
from odc_cleansat.training.summary import SUMMARY, read_summary
from unit.training.helpers import CLEAR, CLOUD, SIX, run, write

pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": [*SIX[:4], "swir22", "swir16"]}, "another bands"),
        ({"few": 3}, "another few"),
        ({"classes": ["cloud", "clear", "shadow"]}, "another classes"),
        ({"resolution": 20}, "another resolution"),
        ({"level": "L1C"}, "another level"),
        ({"haze": {"blue": 0.1}}, "another haze"),
        ({"held_out": {"sites": ["simulated 1"]}}, "now held out: simulated 1"),
    ],
)
def test_a_run_is_of_one_recipe(
    tmp_path: Path, begun: Path, changes: dict[str, object], message: str
) -> None:
    changed = read_recipe(write(tmp_path, **changes))
    with pytest.raises(ModelError, match=message):
        run(changed, begun)
    with pytest.raises(ModelError, match=message):
        export_model(changed, begun)


def test_a_run_of_an_earlier_version_goes_on(tmp_path: Path, begun: Path, recipe: Recipe) -> None:
    path = begun / SUMMARY
    found = json.loads(path.read_text())
    for key in ("recipe", "sites"):
        del found[key]
    path.write_text(json.dumps(found))
    assert export_model(recipe, begun)
    with pytest.raises(ModelError, match="another architecture"):
        export_model(replace(recipe, classes=(CLEAR, CLOUD)), begun)
    assert json.loads(path.read_text()) == found
    assert len(run(replace(recipe, schedule=replace(recipe.schedule, steps=7)), begun)) == 1
    summary = read_summary(begun)
    assert summary.recipe["classes"] == ["clear", "cloud", "shadow"]
    assert summary.sites == ("simulated 1",)
    held = {"data": [{"name": "sim", "simulated": [1], "size": 64}]}
    swapped = read_recipe(write(tmp_path, data=[{"simulated": [2], "size": 64}], held_out=held))
    with pytest.raises(ModelError, match="now held out: simulated 1"):
        run(swapped, begun)
