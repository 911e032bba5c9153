"""The card of a trained model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from odc_cleansat.training.card import model_card
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.summary import Summary


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(b"0" * 1_500_000)
    return path


def test_the_card_of_a_run_before_its_first_evaluation(recipe: Recipe, weights: Path) -> None:
    summary = Summary("tiny", (0.1,) * 6, (0.1,) * 6, 3, {"simulated scenes 1": 1}, {})
    hazy = replace(recipe, haze=(("blue", 0.07),), citation="Somebody (2026)")
    card = model_card(hazy, summary, [recipe.to_model("file:none.safetensors", "abc")], weights)
    for text in (
        "# tiny\n\nFor tests.",
        "| weights | `tiny.safetensors`, 1.5 MB |",
        "| citation | Somebody (2026) |",
        "| source | patches |\n|---|---|\n| simulated scenes 1 | 1 |",
        "a typical haze taken off (blue 0.07)",
        "Taught by labels alone, with weight 0; labels and simulated clouds with weight 1. 3 patches",
        "Nothing was held out, or not looked at yet.",
        "sha256 abc",
    ):
        assert text in card, text
    assert "Learning curves" not in card
    assert "with fewer bands" not in card


def test_the_card_gives_the_last_agreement_with_teacher_and_label(
    recipe: Recipe, weights: Path
) -> None:
    (weights.parent / "progress.csv").write_text(
        "step,seconds,loss,sim-6,sim-6 label,sim-6 spoilt,odd-6\n"
        "3,1800,1.5,0.5,0.75,0.5,nan\n6,3600,1.25,0.875,0.25,0.625,nan\n"
    )
    held_out = {"sim-6": 2, "odd-6": 1}
    summary = Summary("tiny", (0.1,) * 6, (0.1,) * 6, 3, {}, held_out)
    card = model_card(recipe, summary, [recipe.to_model("file:none.safetensors")], weights)
    for text in (
        "6 steps in 1.0 hours.",
        "| 6 | 1.2500 |",
        "| group | patches | with the label | with a label | spoilt |",
        "| sim-6 | 2 | 87.50 % | 25.00 % | 62.50 % |",
        "| odd-6 | 1 |  |  |  |",
    ):
        assert text in card, text


def test_the_card_tells_how_tiles_were_spoilt(recipe: Recipe, weights: Path) -> None:
    spoilt = replace(recipe, spoil={"blur": 0.3, "cut": 0.0, "phase": 0.5}, thin_cloud=0.4)
    summary = Summary("tiny", (0.1,) * 6, (0.1,) * 6, 3, {}, {})
    card = model_card(spoilt, summary, [recipe.to_model("file:none.safetensors")], weights)
    assert "as they were: blur 30%, phase 50%." in card
    assert "Simulated thin cloud lay over 40%. Thin is an optical depth of 0.1 to 1" in card
