"""What the tests of this room share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from odc_cleansat.catalog.index import open_index
from odc_cleansat.cube.embedded import embedded_cube
from odc_cleansat.cube.index import add_product
from odc_cleansat.masks import on_demand
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition

from .mask_archive import MaskArchive


@pytest.fixture(scope="session", params=["postgres", "catalog"])
def archive(
    tmp_path_factory: pytest.TempPathFactory,
    initialised: Callable[[Path], Path],
    request: pytest.FixtureRequest,
) -> Iterator[MaskArchive]:
    folder = tmp_path_factory.mktemp("archive")
    if request.param == "postgres":
        index = embedded_cube(initialised(folder))
    else:
        index = contextlib.closing(open_index(folder))
    with index as dc:
        add_product(dc, product_definition(MASK_PRODUCT))
        add_product(dc, product_definition("s2_l2a"))
        for other in ("empty_ucl", "two_models_ucl", "gaps_ucl", "again_ucl"):
            document = product_definition(MASK_PRODUCT)
            document["name"] = document["metadata"]["product"]["name"] = other
            add_product(dc, document)
        found = MaskArchive(dc, folder)
        if request.param == "catalog":
            found.options = ("--catalog", str(folder))
        found.add("east", "east", "2024-06-15T10:10:31Z")
        found.add("west", "west", "2024-06-15T10:10:45Z")
        found.add("later", "east", "2024-07-05T10:10:31Z")
        found.add("fiji", "fiji", "2024-06-15T22:10:31Z")
        for name, model in (("a", "unet-a"), ("b", "unet-b")):
            found.add(name, "east", "2024-06-15T10:10:31Z", model, "two_models_ucl")
        for name in ("kept", "gone", "broken"):
            month = {"kept": 6, "gone": 7, "broken": 8}[name]
            found.add(name, "east", f"2024-0{month}-15T10:10:31Z", product="gaps_ucl")
        (folder / "gone_ucl.tif").unlink()
        (folder / "broken_ucl.tif").write_bytes((folder / "broken_ucl.tif").read_bytes()[:400])
        for name, made in (("old", "2024-08-01"), ("new", "2024-09-01"), ("older", "2024-07-01")):
            found.add(name, "east", "2024-06-15T10:10:31Z", product="again_ucl", made=made)
        yield found


@pytest.fixture
def no_inference(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("a window was classified although its mask is in the index")

    on_demand.clear_cache()
    monkeypatch.setattr(on_demand, "window_probabilities", fail)
