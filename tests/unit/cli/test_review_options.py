"""Options of `cleansat review` that choose many masks."""

from __future__ import annotations

import click
import pytest
from conftest import Cube

from odc_cleansat.cli.review_options import several_masks, several_options, warn_of_gaps
from odc_cleansat.cube.embedded import CONFIG_NAME
from odc_cleansat.review.collection import Collection, Unreadable


def test_paths_stay_paths_and_need_no_datacube() -> None:
    with several_masks(("a", "s3://b"), "s2_l2a_ucl", None, None, (), None) as found:
        assert found == (("a", "s3://b"), None)
    with (
        pytest.raises(click.UsageError, match="PATH names the masks"),
        several_masks(("a",), "s2_l2a_ucl", "2024", None, (), None),
    ):
        pass


def test_without_paths_the_datacube_has_them(cube: Cube) -> None:
    config = (str(cube.folder / CONFIG_NAME),)
    with several_masks((), "s2_l2a_ucl", "2024-06", None, config, None) as (masks, dc):
        assert [each.id for each in masks] == [cube.masks["june"].id]
        assert dc is not None


def test_the_options_of_all_these_commands() -> None:
    @click.command()
    @several_options
    def command(**_: object) -> None: ...

    names = {each.name for each in command.params}
    assert names == {"paths", "model", "product", "time", "bbox", "config", "env", "catalog"}


def test_what_cannot_be_read_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    warn_of_gaps(Collection((), (Unreadable("there", "it is broken"),)), {})
    assert capsys.readouterr().err == "Warning: there: it is broken\n"
