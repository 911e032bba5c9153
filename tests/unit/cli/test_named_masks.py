"""Options that name masks by others."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from odc_cleansat.cli.named_masks import named_masks, others_option
from odc_cleansat.evaluate.mappings import get_mapping
from odc_cleansat.review.other_masks import OtherMask


def test_names_paths_and_mappings() -> None:
    found = named_masks(
        ["a=x.tif", "b=s3://b/x.tif:scl", "c=x.tif:bit3=shadow,0=clear", "d=oa_fmask:fmask"], "ucl", "--pred"
    )  # fmt: skip
    assert {name: (path, mapping.name) for name, (path, mapping) in found.items()} == {
        "a": ("x.tif", "ucl"),
        "b": ("s3://b/x.tif", "scl"),
        "c": ("x.tif", "bit3=shadow,0=clear"),
        "d": ("oa_fmask", "fmask"),
    }


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["x.tif"], "is not NAME=PATH"),
        (["=x.tif"], "is not NAME=PATH"),
        (["a=x.tif", "a=y.tif"], "the name a is given twice"),
        (["a=oa_fmask:fmsk"], "no mapping 'fmsk'"),
        (["a=x.tif:0..50=clear,40..100=cloud"], "two ranges overlap"),
    ],
)
def test_texts_that_name_no_mask(texts: list[str], message: str) -> None:
    with pytest.raises(click.BadParameter, match=message) as error:
        named_masks(texts, "ucl", "--pred")
    assert error.value.param_hint == "--pred"


def test_a_misspelt_mapping_of_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    path.touch()
    with pytest.raises(click.BadParameter, match="no mapping 'fmsk'"):
        named_masks([f"a={path}:fmsk"], "ucl", "--pred")


def test_the_option_gives_masks() -> None:
    found: list[OtherMask] = []
    command = click.command()(others_option(lambda others: found.extend(others)))
    command.main(["--other", "F=oa_fmask:fmask"], standalone_mode=False)
    assert found == [OtherMask("F", "oa_fmask", get_mapping("fmask"))]
