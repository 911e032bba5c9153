"""The blocks of a result: neither they nor the extent matter."""

from __future__ import annotations

import importlib
import pickle
from typing import Any

import cloudpickle
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from odc_cleansat.cube import sample
from odc_cleansat.cube.recall import recall
from odc_cleansat.errors import CubeError
from odc_cleansat.grids import centres as grid_centres

from .independent import ANY, grids
from .mask_archive import GRIDS, MaskArchive


@settings(ANY, max_examples=20)
@given(data=st.data(), how=st.sampled_from(["nearest", "mode", "any_cloud", "fraction"]))
def test_neither_chunks_nor_extent_matter(
    archive: MaskArchive, data: st.DataObject, how: str
) -> None:
    target = data.draw(grids(GRIDS["east"], coarsest=300))
    query = {
        "datasets": [archive.masks[name] for name in ("west", "east", "later")],
        "group_by": "solar_day",
        "how": how,
    }
    eager = recall(archive.dc, geobox=target, **query)
    chunks = {d: data.draw(st.integers(12, 50)) for d in target.dimensions}
    lazy = recall(archive.dc, geobox=target, dask_chunks=chunks, **query)
    assert all(band.chunks is not None for band in lazy.values())
    xr.testing.assert_identical(eager, lazy.compute(scheduler="threads"))
    top, left = (data.draw(st.integers(0, n - 1)) for n in target.shape)
    part = recall(archive.dc, geobox=target[top:, left:], **query)
    for name in part:
        np.testing.assert_array_equal(part[name], eager[name][:, top:, left:])


def test_many_tiles_and_blocks(archive: MaskArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only large grids do, on a small one: more than one tile, native block and read."""
    target = GeoBox.from_bbox(GRIDS["east"].footprint("EPSG:3857").boundingbox, resolution=55)
    fine = GRIDS["east"][30:90, 40:120].zoom_out(0.5)
    whole = {}
    for how in ("nearest", "mode", "any_cloud", "fraction"):
        for name, grid in (("coarse", target), ("fine", fine)):
            whole[how, name] = recall(archive.dc, geobox=grid, how=how)
    module = importlib.import_module("odc_cleansat.cube.recall")  # the package has the function
    monkeypatch.setattr(module, "BLOCK", 90)
    monkeypatch.setattr(sample, "TILE", 40)
    monkeypatch.setattr(grid_centres, "TILE", 40)
    monkeypatch.setattr(grid_centres, "LARGEST", 2000)
    for (how, name), expected in whole.items():
        grid = target if name == "coarse" else fine
        xr.testing.assert_identical(recall(archive.dc, geobox=grid, how=how), expected)


def test_graphs_hold_no_pixels_and_travel(archive: MaskArchive) -> None:
    from distributed import Client, LocalCluster

    target = GeoBox.from_bbox(GRIDS["east"].footprint("EPSG:3857").boundingbox, resolution=15)
    query: dict[str, Any] = {"geobox": target, "how": "any_cloud", "group_by": "solar_day"}
    eager = recall(archive.dc, **query)
    lazy = recall(archive.dc, dask_chunks={"x": np.int64(100), "y": 120}, **query)
    assert lazy.ucl.chunks[1:] == (
        (120,) * 2 + (lazy.sizes["y"] - 240,),
        (100,) * 3 + (lazy.sizes["x"] - 300,),
    )
    graph = cloudpickle.dumps(dict(lazy.ucl.data.dask))
    tasks = len(pickle.loads(graph))
    assert len(graph) < 4000 * tasks
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=False,
            protocol="tcp",  # or nothing would be serialised
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as local,
        Client(local),
    ):
        xr.testing.assert_identical(lazy.compute(), eager)


@pytest.mark.parametrize("odd", [5, "big", {"x": -5}, {"x": 0}, {"y": 2.5}, {"x": True}])
def test_sizes_that_are_none(odd: Any) -> None:
    check_chunks = importlib.import_module("odc_cleansat.cube.graph").check_chunks
    with pytest.raises(CubeError, match=r"dask_chunks is .*; pass 'auto', or a size for each dim"):
        check_chunks(odd)
    for right in ("auto", {}, {"x": -1, "y": 5}, {"x": (5, 5), "time": "auto"}, {"x": np.int64(9)}):
        check_chunks(right)


def test_sizes_of_chunks() -> None:
    groups = xr.DataArray(np.zeros(7), dims="time")
    grid = GRIDS["east"]
    rows, columns = grid.shape
    sizes = importlib.import_module("odc_cleansat.cube.graph").chunk_sizes
    assert sizes(groups, grid, {}) == (1, rows, columns)
    assert sizes(groups, grid, {"time": 3, "x": 50}) == (3, rows, 50)
    assert sizes(groups, grid, "auto") == (1, 2048, 2048)
    with pytest.raises(CubeError, match="pass 'auto', or a size"):
        sizes(groups, grid, "large")
