"""Lists of items in files of stac-geoparquet: which rows are wanted, and what is no list."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from uuid import UUID

import pyarrow
import pyarrow.parquet
import pytest
from stac_server import StacServer, serving

from odc_cleansat.cube import item_file
from odc_cleansat.cube.item_file import ItemFile, Wanted
from odc_cleansat.errors import CleansatError, CubeError
from unit.item_lists import Document, scene_items, write_list


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    return scene_items(tmp_path_factory.mktemp("items"), 9)


@pytest.fixture
def path(items: list[Document], tmp_path: Path) -> Path:
    return write_list(tmp_path / "items.parquet", items)


def labels(path: Path | str, **wanted: object) -> list[str]:
    return [row.label for row in ItemFile(path).rows(Wanted(**{"terms": {}, **wanted}))]  # type: ignore[arg-type]


def test_all_rows_batch_by_batch(
    items: list[Document], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_file, "_BATCH", 4)
    told: list[tuple[int, int]] = []
    listed = ItemFile(path)
    assert len(listed) == 9
    rows = list(listed.rows(Wanted({}), lambda done, total, note="": told.append((done, total))))
    assert [row.label for row in rows] == [each["id"] for each in items]
    assert told == [(4, 9), (8, 9), (9, 9)]
    assert {row.problem for row in rows} == {""}
    first = rows[0].item
    assert first is not None
    assert first.to_dict()["assets"]["B04"]["href"] == items[0]["assets"]["B04"]["href"]
    wanted = [rows[7].id, rows[2].id]
    found = [(rows[2].id, "scene-3"), (rows[7].id, "scene-8")]
    assert list(listed.labels(wanted, Wanted({}))) == found
    assert list(listed.labels([], Wanted({}))) == []


def test_time_place_and_cloud(items: list[Document], path: Path) -> None:
    assert labels(path, terms={"time": "2024-06-03"}) == ["scene-3"]
    assert labels(path, terms={"time": ("2024-06-03", "2024-06-05")}) == [f"scene-{i}" for i in (3, 4, 5)]  # fmt: skip
    assert labels(path, terms={"time": "2023"}) == []
    assert labels(path, max_cloud=30) == ["scene-1", "scene-2", "scene-3"]
    west, south, east, north = items[4]["bbox"]
    middle = {"longitude": (east - 0.01, east), "latitude": (south, north)}
    near = labels(path, terms=middle)
    # As wide as the scenes are, those to the east begin before that edge.
    wide = east - west
    assert near == [f"scene-{i}" for i in range(5, 10) if 0.1 * (i - 5) <= wide]
    assert labels(path, terms={"longitude": (-60, -50), "latitude": (south, north)}) == []
    assert labels(path, terms={"longitude": (179, -179), "latitude": (south, north)}) == []
    with pytest.raises(CubeError, match="cloud_cover cannot be searched for in a list"):
        labels(path, terms={"cloud_cover": (0, 10)})


def test_a_scene_across_the_antimeridian(items: list[Document], tmp_path: Path) -> None:
    """Many items there go the long way round, and their bounds are all of the Earth."""
    item = copy.deepcopy(items[0])
    item["geometry"]["coordinates"] = [
        [[179.5, 10.0], [-179.5, 10.0], [-179.5, 11.0], [179.5, 11.0], [179.5, 10.0]]
    ]
    item["bbox"] = [179.5, 10.0, -179.5, 11.0]
    path = write_list(tmp_path / "across.parquet", [item])
    for east in ((179.6, 179.7), (-179.7, -179.6), (179.9, -179.9)):
        assert labels(path, terms={"longitude": east, "latitude": (10.2, 10.3)}) == ["scene-1"]
    assert labels(path, terms={"longitude": (0, 1), "latitude": (10.2, 10.3)}) == []


def test_times_of_an_interval_and_as_text(items: list[Document], tmp_path: Path) -> None:
    item = copy.deepcopy(items[0])
    item["properties"] |= {"start_datetime": item["properties"]["datetime"], "end_datetime": "2024-06-01T11:00:00Z", "datetime": None}  # fmt: skip
    path = write_list(tmp_path / "interval.parquet", [item, items[1]])
    assert labels(path, terms={"time": "2024-06-01"}) == ["scene-1"]
    table = pyarrow.parquet.read_table(write_list(tmp_path / "times.parquet", items))
    number = table.column_names.index("datetime")
    text = pyarrow.array([each["properties"]["datetime"] for each in items])
    pyarrow.parquet.write_table(table.set_column(number, "datetime", text), path)
    assert labels(path, terms={"time": "2024-06-02"}) == ["scene-2"]


def test_parts_are_disjoint_and_complete(items: list[Document], path: Path) -> None:
    parts = [labels(path, has=lambda id_, k=k: id_.int % 3 == k) for k in range(3)]
    assert sorted(name for part in parts for name in part) == [each["id"] for each in items]
    # The id of an item decides, and not where it stands.
    turned = write_list(path.with_name("turned.parquet"), items[::-1])
    assert [sorted(each) for each in parts] == [
        sorted(labels(turned, has=lambda id_, k=k: id_.int % 3 == k)) for k in range(3)
    ]


def test_rows_with_one_id_count_once(items: list[Document], tmp_path: Path) -> None:
    path = write_list(tmp_path / "twice.parquet", [*items[:2], items[0]])
    assert labels(path) == ["scene-1", "scene-2"]


def test_rows_that_are_no_scenes_have_a_problem(items: list[Document], tmp_path: Path) -> None:
    early, bare, broken = (copy.deepcopy(items[0]) | {"id": name} for name in ("early", "bare", "broken"))  # fmt: skip
    early["properties"]["processing:level"] = "L1C"
    bare["assets"] = {"thumbnail": {"href": "small.png"}}
    path = write_list(tmp_path / "mixed.parquet", [items[1], early, bare, broken])
    table = pyarrow.parquet.read_table(path)
    shapes = [*table["geometry"].to_pylist()[:3], b"no shape"]
    number = table.column_names.index("geometry")
    field = table.schema.field("geometry")
    table = table.set_column(number, field, pyarrow.array(shapes, field.type))
    pyarrow.parquet.write_table(table, path)
    rows = {row.label: row for row in ItemFile(path).rows(Wanted({"time": "2024-06"}))}
    assert list(rows) == ["scene-2", "early", "bare", "broken"]
    assert rows["scene-2"].problem == ""
    assert "of level 1C" in rows["early"].problem
    assert "no bands of Sentinel-2; its assets are thumbnail" in rows["bare"].problem
    assert "item broken cannot be read" in rows["broken"].problem
    with pytest.raises(CleansatError, match="item broken cannot be read"):
        rows["broken"].scene()
    assert len({row.id for row in rows.values()}) == 4


def refused(path: Path | str) -> str:
    with pytest.raises(CubeError) as caught:
        ItemFile(path)
    return str(caught.value)


def test_what_is_no_list(path: Path, tmp_path: Path) -> None:
    assert f"there is no list of items {tmp_path}/gone.parquet; give" in refused(
        tmp_path / "gone.parquet"
    )
    assert "is a folder; give one file" in refused(tmp_path)
    half = tmp_path / "half.parquet"
    half.write_bytes(path.read_bytes()[:-20])
    assert f"{half} is no whole file of Parquet" in refused(half)
    assert "Wait until it is written, or fetch it again." in refused(half)
    half.write_bytes(b"")
    assert "is no whole file of Parquet" in refused(half)
    half.write_text(json.dumps({"type": "FeatureCollection"}))
    assert "is no whole file of Parquet" in refused(half)
    table = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(table.slice(0, 0), half)
    assert "lists no items; write it anew" in refused(half)
    pyarrow.parquet.write_table(table.drop_columns(["assets", "geometry"]), half)
    assert "is no list of STAC items: it lacks geometry, assets. Write it as stac-geoparquet" in refused(half)  # fmt: skip


@pytest.mark.parametrize(("key", "name"), [("stac-geoparquet", "stac-geoparquet"), ("geo", "GeoParquet")])  # fmt: skip
def test_versions(path: Path, key: str, name: str) -> None:
    table = pyarrow.parquet.read_table(path)
    metadata = {**(table.schema.metadata or {}), key.encode(): b'{"version": "2.1.0"}'}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    assert f"is of version 2.1.0 of {name}, which is newer than this package knows; write it as version 1" in refused(path)  # fmt: skip
    for strange in (b"no JSON", b"[]", b'{"version": "today"}', b'{"version": "1.9"}'):
        pyarrow.parquet.write_table(table.replace_schema_metadata({key.encode(): strange}), path)
        assert len(ItemFile(path)) == 9


def test_a_list_as_rustac_writes_it(path: Path) -> None:
    """Repeated texts are dictionaries, and the metadata of the file are not those of its schema."""
    expected = labels(path)
    table = pyarrow.parquet.read_table(path).replace_schema_metadata(None)
    for name in ("type", "stac_version", "collection"):
        number = table.column_names.index(name)
        table = table.set_column(number, name, table[name].dictionary_encode())
    times = table["datetime"].cast(pyarrow.timestamp("ms", "UTC"))
    table = table.set_column(table.column_names.index("datetime"), "datetime", times)
    for version in ("1.0.0", "2.0.0"):
        with pyarrow.parquet.ParquetWriter(path, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({"stac-geoparquet": json.dumps({"version": version})})
        if version == "1.0.0":
            assert labels(path) == expected
            assert labels(path, terms={"time": "2024-06-03"}) == ["scene-3"]
    assert "is of version 2.0.0 of stac-geoparquet" in refused(path)


def test_a_file_that_is_damaged_in_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    footer = int.from_bytes(content[-8:-4], "little") + 8
    content[100 : len(content) - footer] = bytes(len(content) - footer - 100)
    path.write_bytes(content)
    listed = ItemFile(path)
    with pytest.raises(CubeError, match="is no whole file of Parquet"):
        list(listed.rows(Wanted({})))


def test_over_http(path: Path) -> None:
    with serving(StacServer()) as server:
        server.folders["lists"] = path.parent
        address = f"{server.url}/lists/items.parquet?sig=tiger1234567"
        server.flaky["lists"] = 1
        listed = ItemFile(address)
        assert "tiger" not in listed.name
        assert len(list(listed.rows(Wanted({})))) == 9
        gone = refused(f"{server.url}/lists/gone.parquet?sig=tiger1234567")
        assert "there is no list of items http" in gone
        assert "tiger" not in gone
        server.broken["items"] = 403
        forbidden = refused(address)
    assert "cannot read http" in forbidden
    assert "403" in forbidden
    assert "tiger" not in forbidden
    assert "Check the address and the network" in refused("http://127.0.0.1:1/items.parquet")


def test_ids_are_those_of_the_scenes(items: list[Document], path: Path) -> None:
    row = next(ItemFile(path).rows(Wanted({})))
    assert isinstance(row.id, UUID)
    assert row.scene().dataset.id == row.id
