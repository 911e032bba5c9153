"""Options that commands share: boxes, search terms, grids, and labels that mean nothing."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
import rasterio

from odc_cleansat.cli.options import check_label, connected, grid_query, option_group, search_terms
from odc_cleansat.errors import CleansatError, CubeError


def test_search_terms() -> None:
    assert search_terms(None, None) == {}
    assert search_terms("2024-06", (1, 2, 3, 4)) == {
        "time": "2024-06",
        "longitude": (1, 3),
        "latitude": (2, 4),
    }
    assert search_terms("2024-06/2024-07", None) == {"time": "2024-06/2024-07"}


def test_a_grid_of_options(tmp_path: Path) -> None:
    assert grid_query("2024", None, "EPSG:3577", 100.0, None) == {
        "time": "2024",
        "output_crs": "EPSG:3577",
        "resolution": 100.0,
    }
    with pytest.raises(click.UsageError, match="leave out --bbox, --resolution"):
        grid_query(None, (1, 2, 3, 4), None, 10.0, tmp_path / "like.tif")
    for size in (-1.0, float("nan"), float("inf")):
        with pytest.raises(click.BadParameter, match="larger than 0"):
            grid_query(None, None, None, size, None)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_files_that_have_no_grid(tmp_path: Path) -> None:
    path = tmp_path / "like.tif"
    path.write_text("no raster")
    with pytest.raises(CleansatError, match="cannot read"):
        grid_query(None, None, None, None, path)
    with rasterio.open(path, "w", "GTiff", 2, 2, 1, dtype="uint8"):
        pass
    with pytest.raises(CleansatError, match="no coordinate system"):
        grid_query(None, None, None, None, path)


def test_options_are_listed_in_the_order_of_their_group() -> None:
    group = option_group(click.option("--first"), click.option("--second"))
    command = click.command("x")(group(lambda first, second: None))
    assert [parameter.name for parameter in command.params] == ["first", "second"]


def test_a_label_must_know_more_than_clear_ground() -> None:
    check_label([0, 1, 2])
    with pytest.raises(click.UsageError, match="--label-mapping"):
        check_label([0, 1])


def test_a_datacube_that_is_not_there(tmp_path: Path) -> None:
    with (
        pytest.raises(CubeError, match="cannot be reached"),
        connected([str(tmp_path / "missing.conf")], None),
    ):
        pass
