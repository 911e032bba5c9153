"""Models that were the default once: which, and what is said of their masks."""

from __future__ import annotations

import pytest

from odc_cleansat import get_model
from odc_cleansat.cli.wording import in_options
from odc_cleansat.models.former import FORMER, about_former, former_default
from odc_cleansat.models.registry import DEFAULTS


def test_each_has_a_successor_with_the_same_bands() -> None:
    assert not {*FORMER} & {*DEFAULTS}
    for was, now in zip(FORMER, DEFAULTS, strict=True):
        assert get_model(was).bands == get_model(now).bands


def test_the_bands_decide_which_it_was() -> None:
    bands = list(get_model(FORMER[0]).bands)
    for number, name in ((6, FORMER[0]), (5, FORMER[1]), (4, FORMER[1])):
        model = former_default(bands[:number])
        assert model is not None
        assert model.name == name
    assert former_default(bands[:3]) is None


@pytest.mark.parametrize("makers", [[], ["mine"], [*DEFAULTS]])
def test_of_other_models_nothing_is_said(makers: list[str]) -> None:
    assert about_former(makers) == ""


def test_what_is_said_names_old_and_new_and_how_to_go_on() -> None:
    said = about_former(["mine", FORMER[0], FORMER[0]])
    assert said.startswith(f"The default model was once {FORMER[0]}, and is {DEFAULTS[0]} now.")
    assert f"model='{FORMER[0]}'" in said
    assert "`cleansat run`" in said
    assert f"Pass --model {FORMER[0]} to go on" in in_options(said)
    both = about_former(reversed(FORMER))
    assert f"was once {FORMER[0]} or {FORMER[1]}, and is {DEFAULTS[0]} or {DEFAULTS[1]} now" in both
    assert f"Pass --model {FORMER[0]} or --model {FORMER[1]} to go on" in in_options(both)
