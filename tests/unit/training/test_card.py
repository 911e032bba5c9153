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
        "step,seconds,loss,sim-6,sim-6 label,odd-6\n3,1800,1.5,0.5,0.75,nan\n6,3600,1.25,0.875,0.25,nan\n"
    )
    held_out = {"sim-6": 2, "odd-6": 1}
    summary = Summary("tiny", (0.1,) * 6, (0.1,) * 6, 3, {}, held_out)
    card = model_card(recipe, summary, [recipe.to_model("file:none.safetensors")], weights)
    for text in (
        "6 steps in 1.0 hours.",
        "| 6 | 1.2500 |",
        "| sim-6 | 2 | 87.50 % | 25.00 % |",
        "| odd-6 | 1 |  |  |",
    ):
        assert text in card, text
