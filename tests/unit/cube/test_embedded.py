"""The embedded datacube: started, found again, stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from datacube import Datacube

from odc_cleansat.cube.embedded import CONFIG_NAME, embedded_cube, make_folder, stop_cube
from odc_cleansat.cube.index import add_product
from odc_cleansat.errors import CubeError, OutputError
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition


def test_what_is_written_is_found_again(
    tmp_path: Path, initialised: Callable[[Path], Path]
) -> None:
    folder = initialised(tmp_path / "cube")
    assert not stop_cube(folder), "it does not run yet"
    with embedded_cube(folder, keep_running=True) as dc:
        assert add_product(dc, product_definition(MASK_PRODUCT))
    with Datacube(config=str(folder / CONFIG_NAME)) as dc:
        assert dc.index.products.get_by_name(MASK_PRODUCT) is not None
    with embedded_cube(folder, keep_running=True) as dc:
        assert not add_product(dc, product_definition(MASK_PRODUCT))
    assert stop_cube(folder), "it ran"
    assert not stop_cube(folder)


def test_where_no_database_can_live(tmp_path: Path) -> None:
    with (
        pytest.raises(CubeError, match="cannot be started in a path with ' '"),
        embedded_cube(tmp_path / "two words"),
    ):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    make_folder(tmp_path / "some" / "folder")
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=r"cannot make the folder .* Choose another folder"):
            make_folder(wrong)
