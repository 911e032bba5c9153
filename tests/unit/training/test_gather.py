"""The data of a recipe, and what is held out of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat.errors import SceneError
from odc_cleansat.training.gather import band_statistics, cut_to_bands, gather
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.recipe_file import read_recipe
from unit.training.helpers import SHIPPED, SIX, halves, patch, raster, run, write


def test_the_archives_of_the_shipped_model_are_read(shared: Path) -> None:
    if not (shared / "training").is_dir():
        pytest.skip("the archives to train on are not here; they are not part of the project")
    found = read_recipe(SHIPPED)
    quick = tuple(s for s in found.data if "simulated" not in str(s))
    held = replace(found.held_out, data=())
    material = gather(replace(found, data=quick, held_out=held), shared)
    assert sum(material.counts.values()) == 481
    assert material.left_out == {}
    assert {p.site for p in material.train}.isdisjoint(found.held_out.sites)
    assert {p.bands for p in material.train} == {SIX, SIX[:4]}
    surface = [p for p in material.train if p.bands == SIX and p.site.startswith("ROIs")]
    raw, hazed = (next(p for p in surface if p.level == level) for level in ("L1C", "L2A"))
    assert raw.site == hazed.site
    assert np.allclose(raw.pixels[0] - hazed.pixels[0], 0.07, atol=1e-6)
    assert set(material.held_out) == {
        f"{name}-{n}" for name in ("l2a", "l1c", "l1c-surface") for n in (4, 6)
    }


def test_labels_without_coordinates_take_the_resolution_of_the_recipe(tmp_path: Path) -> None:
    for name, planes in (("B02", np.full((1, 60, 60), 1000, "uint16")), ("label", halves()[None])):
        raster(tmp_path / "chips" / "a" / f"{name}.tif", planes, crs=None)
    source = {"labels": "chips", "layout": "on-cloud-n"}
    common = {"bands": ["blue"], "few": None, "held_out": None}
    with pytest.raises(SceneError, match="say its resolution in the recipe"):
        gather(read_recipe(write(tmp_path, data=[source], **common)), tmp_path)
    found = read_recipe(write(tmp_path, data=[{**source, "resolution": 10}], **common))
    (each,) = gather(found, tmp_path).train
    assert each.resolution == 15, "half of the model's"
    assert each.pixels.shape == (1, 40, 40)


def test_data_that_are_missing_or_held_out_twice(tmp_path: Path) -> None:
    found = read_recipe(write(tmp_path, data=[{"archive": "none/*.npz"}]))
    with pytest.raises(SceneError, match=r"there is no .*none/\*\.npz; data= names the folder"):
        gather(found, tmp_path)
    for name in ("a", "b"):
        raster(tmp_path / "scenes" / name / "B02.tif", np.full((1, 64, 64), 1000, "uint16"))
    held = {"data": [{"name": "again", "scenes": "scenes/*"}]}
    data = [{"scenes": "scenes/a"}]
    found = read_recipe(write(tmp_path, bands=["blue"], few=None, data=data, held_out=held))
    with pytest.raises(SceneError, match="scenes/a: held out, and among the data"):
        gather(found, tmp_path)
    # The same files are the same place, whatever it is called.
    data = [{"scenes": "scenes/a", "site": "one place"}]
    found = read_recipe(write(tmp_path, bands=["blue"], few=None, data=data, held_out=held))
    with pytest.raises(SceneError, match=r"a/B02\.tif: held out, .* under another site"):
        gather(found, tmp_path)


def test_a_simulated_scene_is_not_held_out_and_trained_on(tmp_path: Path) -> None:
    held = {"data": [{"name": "sim", "simulated": [1], "size": 64}]}
    with pytest.raises(SceneError, match="simulated 1: held out, and among the data"):
        gather(read_recipe(write(tmp_path, held_out=held)), tmp_path)


def test_five_bands_are_cut_to_the_few_that_a_recipe_has(tmp_path: Path, recipe: Recipe) -> None:
    found = cut_to_bands([patch(bands=SIX[:5]), patch(), patch(bands=SIX[1:])], recipe)
    assert [p.bands for p in found] == [SIX[:4], SIX]
    assert found[0].pixels.shape[0] == 4


def test_data_are_of_the_level_of_the_recipe_unless_they_say_another(tmp_path: Path) -> None:
    raster(tmp_path / "a" / "B02.tif", np.full((1, 64, 64), 1000, "uint16"))
    common = {"bands": ["blue"], "few": None, "held_out": None, "level": "L1C"}
    data = [{"scenes": "."}, {"scenes": "a"}, {"scenes": "a", "level": "L2A", "site": "Here"}]
    raster(tmp_path / "B02.tif", np.full((1, 64, 64), 1000, "uint16"))
    found = gather(read_recipe(write(tmp_path, data=data, **common)), tmp_path)
    assert [p.level for p in found.train] == ["L1C", "L1C", "L2A"]
    assert [p.site for p in found.train] == [".", "a", "Here"]
    assert found.counts == {".": 1, "a": 1, "a, L2A": 1}
    wrong = read_recipe(write(tmp_path, held_out=None, level="L1C"))
    with pytest.raises(SceneError, match="to be for L1C, and the labels are all of L2A"):
        run(wrong, tmp_path / "run")


def test_the_normalisation_of_odd_data() -> None:
    flat = replace(patch(), pixels=np.full((6, 64, 64), 0.25, "float32"))
    mean, std = band_statistics([flat], SIX)
    assert mean == pytest.approx((0.25,) * 6)
    assert std == (1.0,) * 6, "nothing is divided by 0"
    with pytest.raises(SceneError, match="has data in swir16"):
        band_statistics([patch(bands=SIX[:4])], SIX)


def test_patches_that_lack_bands_are_an_error_unless_the_recipe_allows_it(tmp_path: Path) -> None:
    for site in ("a", "b"):
        for band in ("B02", "B03", "B04", "B08"):
            raster(tmp_path / site / f"{band}.tif", np.full((1, 64, 64), 1000, "uint16"))
    raster(tmp_path / "b" / "B11.tif", np.full((1, 64, 64), 1000, "uint16"))
    changes = {"data": [{"scenes": "[ab]"}], "held_out": None, "few": None}
    with pytest.raises(
        SceneError, match=r"2 of the 2 patches lack swir16, swir22; say few: 4 to"
    ) as caught:
        gather(read_recipe(write(tmp_path, **changes)), tmp_path)
    assert "[ab]: " in str(caught.value)
    found = gather(read_recipe(write(tmp_path, **changes, partial=True)), tmp_path)
    assert found.left_out == {"[ab]": 2}
    assert found.counts == {"[ab]": 0}
    assert [
        p.bands
        for p in gather(read_recipe(write(tmp_path, **changes | {"few": 4})), tmp_path).train
    ] == [SIX[:4]] * 2
    held = {
        **changes,
        "data": [{"simulated": [1], "size": 64}],
        "held_out": {"data": [{"name": "x", "scenes": "a"}]},
    }
    with pytest.raises(SceneError, match="1 of the 1 patches lack swir16, swir22"):
        gather(read_recipe(write(tmp_path, **held)), tmp_path)
    (tmp_path / "a" / "B02.tif").unlink()
    with pytest.raises(SceneError, match="patches lack blue, swir16, swir22; say partial: true"):
        gather(read_recipe(write(tmp_path, **changes)), tmp_path)
