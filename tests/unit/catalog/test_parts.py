"""Parts of a catalogue: files of stac-geoparquet."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet
import pystac
import pytest

from odc_cleansat.catalog.index import open_index
from odc_cleansat.catalog.items import row_of
from odc_cleansat.catalog.parts import DOCUMENT, merge_parts, read_part, rows_of, write_part
from odc_cleansat.errors import CubeError
from odc_cleansat.storage.folder import Folder

from .made import mask, with_masks


@pytest.fixture
def rows(tmp_path: Path) -> list[dict]:
    dc = with_masks(open_index(tmp_path))
    return [
        row_of(mask(dc, tmp_path, f"m{i}", f"2024-06-{30 - i}"), Folder(tmp_path)) for i in range(3)
    ]


def test_what_is_written_is_read(tmp_path: Path, rows: list[dict]) -> None:
    folder = Folder(tmp_path / "items")
    written = write_part(folder, rows)
    assert rows_of(written.name) == 3
    part = read_part(folder, written.name)
    assert part.table().equals(written.table())
    assert part.items(np.arange(3)) == written.items(np.arange(3))
    assert part.columns.keys() == written.columns.keys()
    assert part.columns["id"].tolist() == [each["id"] for each in rows]
    assert part.values(np.array([2, 0]), DOCUMENT) == [
        rows[2]["properties"][DOCUMENT],
        rows[0]["properties"][DOCUMENT],
    ]
    items = [pystac.Item.from_dict(each) for each in part.items(np.array([1]))]
    assert items[0].id == rows[1]["id"]
    assert items[0].assets["ucl"].href == "m1/m1_ucl.tif"
    assert items[0].datetime is not None
    assert not [key for key in items[0].properties if key.startswith("catalog:")]


@pytest.mark.parametrize(("count", "compression"), [(15, "UNCOMPRESSED"), (16, "ZSTD")])
def test_few_rows_are_stored_plain(
    tmp_path: Path, rows: list[dict], count: int, compression: str
) -> None:
    """To compress each column of one row took half of the time in which a mask is added."""
    folder = Folder(tmp_path / "items")
    name = write_part(folder, [rows[0]] * count).name
    group = pyarrow.parquet.read_metadata(tmp_path / "items" / name).row_group(0)
    column = group.column(0)
    assert column.compression == compression
    assert len(read_part(folder, name)) == count


def test_others_read_it(tmp_path: Path, rows: list[dict]) -> None:
    """As GeoPandas, GDAL and DuckDB do: by the metadata of GeoParquet."""
    folder = Folder(tmp_path / "items")
    for each in rows:
        write_part(folder, [each])
    table = geopandas.read_parquet(tmp_path / "items")
    assert len(table) == 3
    assert table.crs is not None
    assert table.crs.to_authority() == ("EPSG", "4326")
    assert table.total_bounds == pytest.approx([13.66, 47.8, 13.7, 47.9], abs=0.1)
    assert set(table.columns) >= {"id", "datetime", "assets", "collection", "eo:cloud_cover"}


def test_merged_rows_are_in_the_order_of_time(tmp_path: Path, rows: list[dict]) -> None:
    folder = Folder(tmp_path / "items")
    parts = [
        read_part(folder, write_part(folder, rows[:2]).name),
        write_part(folder, rows[2:]),
    ]
    name = merge_parts(folder, [(parts[0], np.array([0, 1])), (parts[1], np.array([0]))]).name
    merged = read_part(folder, name)
    assert merged.columns["id"].tolist() == [each["id"] for each in rows[::-1]]


def test_rows_with_other_columns_are_merged(tmp_path: Path) -> None:
    dc = with_masks(open_index(tmp_path))
    folder = Folder(tmp_path / "items")
    more = {"cleansat:model": "unet-a", "view:sun_azimuth": 150.0}
    both = [mask(dc, tmp_path, "plain"), mask(dc, tmp_path, "more", **more)]
    parts = [write_part(folder, [row_of(each, Folder(tmp_path))]) for each in both]
    merged = merge_parts(folder, [(part, np.array([0])) for part in parts])
    merged = read_part(folder, merged.name)
    by_id = {each["id"]: each["properties"] for each in merged.items(np.array([0, 1]))}
    assert by_id[str(both[1].id)]["cleansat:model"] == "unet-a"
    assert by_id[str(both[0].id)].get("cleansat:model") is None


@pytest.mark.parametrize("content", [b"", b"PAR1", b"<html>", b"PAR1" + bytes(200) + b"PAR1"])
def test_what_is_no_part_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "items-1-0.parquet").write_bytes(content)
    with pytest.raises(CubeError, match="cleansat catalog update"):
        read_part(Folder(tmp_path), "items-1-0.parquet")


def test_a_table_of_others_is_refused(tmp_path: Path) -> None:
    geopandas.GeoDataFrame({"id": ["a"]}, geometry=geopandas.points_from_xy([1], [2])).to_parquet(
        tmp_path / "x.parquet"
    )
    with pytest.raises(CubeError, match="no part of a catalogue"):
        read_part(Folder(tmp_path), "x.parquet")


def test_a_part_that_has_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_part(Folder(tmp_path), "items-1-0.parquet")


@pytest.mark.parametrize("name", ["items-x-0.parquet", "a.parquet", ".items-1-0.parquet.draft"])
def test_other_files_are_no_parts(name: str) -> None:
    assert rows_of(name) is None
