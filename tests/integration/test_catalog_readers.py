"""Other programs read the index of a catalogue: DuckDB, and GDAL through it."""

from __future__ import annotations

import re
from pathlib import Path

import _duckdb  # the library that GDAL opens
import duckdb
import pyogrio
import pytest
from datacube import Datacube
from unit.catalog.made import mask, with_masks

from odc_cleansat.catalog.index import open_index
from odc_cleansat.storage.eo3 import MASK_PRODUCT

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "catalog.md"


@pytest.fixture
def masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Datacube:
    """A catalogue of three masks, of which one is archived and one was entered twice, in the folder `masks`."""
    monkeypatch.chdir(tmp_path)
    store = tmp_path / "masks"
    dc = with_masks(open_index(store))
    for name in ("a", "b", "c"):
        dc.index.datasets.add_all([mask(dc, store, name, **{"cleansat:cloud_percent": 12.5})])
    again = mask(dc, store, "a", **{"cleansat:cloud_percent": 25.0})
    dc.index.datasets.update(again, {(): lambda *_: True})
    dc.index.datasets.archive([mask(dc, store, "c").id])
    return dc


def test_duckdb_reads_it_as_the_page_says(masks: Datacube) -> None:
    [block] = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    found = duckdb.execute(block).fetchall()
    expected = {each.id: each for each in masks.find_datasets(product=MASK_PRODUCT)}
    assert len(expected) == 2
    assert {row[0] for row in found} == set(map(str, expected))
    assert sorted(row[2] for row in found) == [12.5, 25.0]
    assert {row[3] for row in found} == {"a/a_ucl.tif", "b/b_ucl.tif"}


def test_gdal_reads_it(masks: Datacube) -> None:
    """Its driver Parquet is in no wheel. Its driver ADBC reads the same file by DuckDB, without extensions."""
    rows = []
    for part in sorted(Path("masks", MASK_PRODUCT, "items").glob("*.parquet")):
        at, how = f"ADBC:{part}", {"ADBC_DRIVER": _duckdb.__file__}
        assert pyogrio.read_info(at, **how)["crs"] == "EPSG:4326"
        rows += list(pyogrio.read_dataframe(at, **how).itertuples())
    places = {row.id: row.geometry for row in rows}
    for each in masks.find_datasets(product=MASK_PRODUCT):
        place = each.extent.to_crs("EPSG:4326").geom
        assert places[str(each.id)].symmetric_difference(place).area < 1e-3 * place.area
