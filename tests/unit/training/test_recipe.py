"""What follows from a recipe."""

from __future__ import annotations

from dataclasses import replace

from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.sources import Wanted
from unit.training.helpers import SIX


def test_a_model_for_few_bands_has_a_name_of_its_own(recipe: Recipe) -> None:
    assert recipe.model_names == ("tiny", "tiny-4b")
    assert recipe.first_bands == SIX[:4]
    assert replace(recipe, few=6).model_names == ("tiny",)


def test_sources_are_asked_for_the_bands_of_the_recipe(recipe: Recipe) -> None:
    assert recipe.wanted == Wanted(SIX, "L2A", 30, tile_size=64)


def test_the_model_to_be(recipe: Recipe) -> None:
    model = recipe.to_model("file:a.safetensors", "abc", card="a.md")
    assert (model.name, model.bands, model.classes) == ("tiny", SIX, recipe.classes)
    assert (model.weights, model.sha256, model.card) == ("file:a.safetensors", "abc", "a.md")
