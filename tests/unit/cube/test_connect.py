"""Connecting to a datacube."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cube

from odc_cleansat.cube.connect import connect
from odc_cleansat.cube.load import load
from odc_cleansat.cube.recall import recall
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


@pytest.mark.parametrize("function", [load, recall])
@pytest.mark.parametrize("dc", [None, "datacube.conf"])
def test_what_is_no_datacube(function: Callable[..., Any], dc: Any) -> None:
    with pytest.raises(CubeError, match=r"pass a datacube\.Datacube"):
        function(dc, "s2_l2a_ucl")


def test_a_configuration_in_the_environment_that_is_a_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ODC_CONFIG", str(tmp_path / "datacube.conf"))
    with pytest.raises(CubeError, match="ODC_CONFIG holds the text of a configuration, and not"):
        connect()
