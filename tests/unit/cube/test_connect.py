"""Connecting to a datacube."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cube

from odc_cleansat.cube.connect import connect
from odc_cleansat.errors import CubeError


def test_a_datacube_that_is_there(cube: Cube) -> None:
    dc = connect([str(cube.folder / "datacube.conf")])
    assert dc.index.products.get_by_name("s2_l2a") is not None
    dc.close()


def test_a_datacube_that_is_not(tmp_path: Path) -> None:
    file = tmp_path / "datacube.conf"
    file.write_text("[default]\nindex_driver: postgres\ndb_url: postgresql://u@127.0.0.1:1/none\n")
    with pytest.raises(CubeError, match=r"cannot be reached.*datacube system check"):
        connect([str(file)])
