"""Scenes on disk."""

from __future__ import annotations

import gc
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from affine import Affine

from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.band_folder import (
    folder_scene,
    open_scene,
    parse_moment,
    write_scene_document,
)
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.synthetic.scene import SimulatedScene

GRID = Affine(10, 0, 399960, 0, -10, 5300040)


def band(
    path: Path,
    crs: str | None = "EPSG:32633",
    fill: int = 1200,
    dtype: str | None = None,
    transform: Affine = GRID,
    count: int = 1,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype = dtype or ("uint8" if "SCL" in path.name else "uint16")
    value = min(fill, 200) if dtype == "uint8" else fill
    profile = {"driver": "GTiff", "height": 6, "width": 8, "count": count, "dtype": dtype}
    with rasterio.open(path, "w", crs=crs, transform=transform, nodata=0, **profile) as file:
        for layer in range(count):
            file.write(np.full((6, 8), value, dtype), layer + 1)
    return path


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("B02.tif", "blue"),
        ("b8a.tif", "nir08"),
        ("SCL.tif", "scl"),
        ("T51PTS_20240401T021549_B11_20m.tif", "swir16"),
        ("blue.tif", "blue"),
        ("S2B_20240401_B03_x.tiff", "green"),
    ],
)
def test_bands_are_recognised_by_file_name(tmp_path: Path, name: str, canonical: str) -> None:
    path = band(tmp_path / name)
    assert open_scene(tmp_path).bands == {canonical: path}


def test_of_several_resolutions_the_finest(tmp_path: Path) -> None:
    for metres in (60, 10, 20):
        band(tmp_path / f"T33UWP_20240401T100031_B02_{metres}m.tif")
    assert open_scene(tmp_path).bands["blue"].name.endswith("_10m.tif")


@pytest.mark.parametrize(
    "names",
    [
        ("T51PTS_20240401T021549_B02.tif", "T51PUS_20240401T021549_B02.tif"),
        ("T51PTS_20240401T021549_B02_10m.tif", "T51PUS_20240401T021549_B02_20m.tif"),
        ("B02.tif", "B02.jp2"),
        ("B02.tif", "blue.tif"),
        ("B02.tif", "copy_of_B02.tif"),
        ("B02.tif", "B02_10m.tif"),
    ],
)
def test_several_files_of_one_band_are_not_passed_over(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    """Such as two tiles of one day in one folder. The folder above is none of a scene, and says so as before."""
    for name in names:
        (tmp_path / "scene" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "scene" / name).touch()
    with pytest.raises(SceneError, match="holds 2 files of the band blue") as raised:
        open_scene(tmp_path / "scene")
    assert all(name in str(raised.value) for name in names)
    with pytest.raises(SceneError, match="Give one of the scenes below it"):
        open_scene(tmp_path)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    band(tmp_path / "B02.tif")
    band(tmp_path / "red_edge_extra.tif")
    (tmp_path / "B03.txt").write_text("not a band")
    assert set(open_scene(tmp_path).bands) == {"blue"}


@pytest.mark.parametrize(
    ("folder", "moment", "source"),
    [
        ("2020-06-15", "2020-06-15T00:00:00+00:00", "folder name"),
        ("S2A_MSIL2A_20230625T234621_N0509", "2023-06-25T23:46:21+00:00", "folder name"),
        ("2024-a", "1970-01-01T00:00:00+00:00", "placeholder"),
        ("20249999", "1970-01-01T00:00:00+00:00", "placeholder"),
    ],
)
def test_the_date(tmp_path: Path, folder: str, moment: str, source: str) -> None:
    band(tmp_path / folder / "B02.tif")
    scene = open_scene(tmp_path / folder)
    assert (scene.moment.isoformat(), scene.moment_source) == (moment, source)
    given = datetime(2021, 1, 2, tzinfo=UTC)
    assert open_scene(tmp_path / folder, given).moment == given


def test_the_date_of_a_simulated_scene_and_its_baseline(tmp_path: Path) -> None:
    band(tmp_path / "B02.tif")
    recorded = {
        "datetime": "2024-06-15T10:10:31Z",
        "simulated": True,
        "processing_baseline": "05.10",
    }
    (tmp_path / "scene.json").write_text(json.dumps(recorded))
    scene = open_scene(tmp_path)
    assert scene.moment == datetime(2024, 6, 15, 10, 10, 31, tzinfo=UTC)
    assert scene.simulated
    assert scene.properties == {"s2:processing_baseline": "05.10"}


def test_moments() -> None:
    assert parse_moment("2024-04-01").tzinfo is not None
    assert parse_moment("2024-04-01T02:00:00Z").hour == 2
    with pytest.raises(SceneError, match="'yesterday' is not a date"):
        parse_moment("yesterday")


def test_the_document(tmp_path: Path) -> None:
    for name in ("B02", "B03", "SCL"):
        band(tmp_path / "scene" / f"{name}.tif")
    path = write_scene_document(open_scene(tmp_path / "scene"), tmp_path / "out")
    document = yaml.safe_load(path.read_text())
    assert document["product"]["name"] == "s2_l2a_b02_b03_scl"
    assert document["crs"] == "epsg:32633"
    assert document["properties"]["cleansat:datetime_placeholder"] is True
    assert document["properties"]["odc:region_code"] == "32633_400_5300"
    assert document["measurements"]["blue"]["path"] == (tmp_path / "scene" / "B02.tif").as_uri()
    assert document["id"][:8] in path.name


def test_no_file_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rasterio 1.5.2 prints an empty message for each file that is open when Python ends."""
    real, opened = rasterio.open, []

    def recorded(*arguments: Any, **options: Any) -> Any:
        opened.append(real(*arguments, **options))
        return opened[-1]

    folder = SimulatedScene(shape=(60, 60)).write(tmp_path / "scene")
    monkeypatch.setattr(rasterio, "open", recorded)
    gc.disable()  # it closes files too, at any time
    try:
        write_scene_document(open_scene(folder), tmp_path)
        read_scene(str(folder))
        assert len(opened) > 20
        assert [file.name for file in opened if not file.closed] == []
    finally:
        gc.enable()


def test_the_id_is_that_of_the_content(tmp_path: Path) -> None:
    def identify(folder: str, fill: int = 1200, moment: datetime | None = None) -> str:
        band(tmp_path / folder / "B02.tif", fill=fill)
        path = write_scene_document(open_scene(tmp_path / folder, moment), tmp_path / "out")
        return str(yaml.safe_load(path.read_text())["id"])

    first = identify("one")
    assert identify("elsewhere/two") == first
    assert identify("three", fill=1201) != first
    assert identify("four", moment=datetime(2024, 1, 1, tzinfo=UTC)) != first


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="there is no folder"):
        open_scene(tmp_path / "missing")


def test_no_bands(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(SceneError, match=r"no band files.*B02\.tif"):
        open_scene(tmp_path)


def test_scenes_further_down_are_named_or_else_masks(tmp_path: Path) -> None:
    for name in (
        "m/x_ucl.tif",
        "s/a/S2A_X.SAFE/GRANULE/B02.jp2",
        "s/b/T33_B02_10m.tif",
        "s/m/x_ucl.tif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    scenes = f"{tmp_path / 's/a/S2A_X.SAFE'}, {tmp_path / 's/b'}"
    with pytest.raises(SceneError, match=f"the scenes below it, such as {scenes}"):
        open_scene(tmp_path)
    (tmp_path / "o" / "n").mkdir(parents=True)
    (tmp_path / "m").rename(tmp_path / "o" / "n" / "m")
    with pytest.raises(
        SceneError, match=f"masks, such as {tmp_path / 'o/n/m'}; `cleansat compare`"
    ):
        open_scene(tmp_path / "o")


def test_broken_scene_json(tmp_path: Path) -> None:
    band(tmp_path / "B02.tif")
    (tmp_path / "scene.json").write_text("{")
    with pytest.raises(SceneError, match=r"scene\.json"):
        open_scene(tmp_path)


def test_unreadable_band(tmp_path: Path) -> None:
    (tmp_path / "B02.tif").write_bytes(b"this is not a GeoTIFF")
    with pytest.raises(SceneError, match=r"cannot read .*B02\.tif"):
        write_scene_document(open_scene(tmp_path), tmp_path / "out")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_band_without_coordinate_system(tmp_path: Path) -> None:
    band(tmp_path / "B02.tif", crs=None)
    with pytest.raises(SceneError, match=r"no coordinate system.*rio edit-info"):
        write_scene_document(open_scene(tmp_path), tmp_path / "out")


def test_bands_in_two_zones(tmp_path: Path) -> None:
    band(tmp_path / "B02.tif")
    band(tmp_path / "B03.tif", crs="EPSG:32634")
    with pytest.raises(SceneError, match="2 coordinate systems"):
        write_scene_document(open_scene(tmp_path), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("B02.tif", {"dtype": "float32"}, "holds float32; needed is uint16, Sentinel-2's"),
        ("B02.tif", {"dtype": "int16"}, "holds int16"),
        ("SCL.tif", {"dtype": "uint16"}, "needed is uint8"),
        ("B02.tif", {"count": 3}, "3 bands, and a scene.s folder has a file for each"),
        ("B02.tif", {"transform": GRID * Affine.rotation(20)}, "rotated"),
        ("B02.tif", {"transform": GRID * Affine.translation(4, 0)}, "covers another extent than"),
    ],
)
def test_files_that_do_not_belong(
    tmp_path: Path, name: str, options: dict[str, Any], message: str
) -> None:
    band(tmp_path / "B03.tif")
    band(tmp_path / name, **options)
    with pytest.raises(SceneError, match=message):
        write_scene_document(open_scene(tmp_path), tmp_path / "out")


def test_files_of_two_dates(tmp_path: Path) -> None:
    band(tmp_path / "T33UWP_20240401T100031_B02_10m.tif")
    band(tmp_path / "T33UWP_20240411T100031_B03_10m.tif")
    with pytest.raises(SceneError, match="2 dates"):
        open_scene(tmp_path)


def test_the_date_in_file_names(tmp_path: Path) -> None:
    band(tmp_path / "T33UWP_20240401T100031_B02_10m.tif")
    scene = open_scene(tmp_path)
    assert scene.moment.isoformat() == "2024-04-01T10:00:31+00:00"
    assert scene.moment_source == "file names"


def test_scene_json_that_is_not_an_object(tmp_path: Path) -> None:
    band(tmp_path / "B02.tif")
    (tmp_path / "scene.json").write_text("[1]")
    with pytest.raises(SceneError, match="JSON object"):
        open_scene(tmp_path)


def test_dates_in_file_names(tmp_path: Path) -> None:
    for name in ("20240401_B02", "20240401_B03", "20240501_B02", "20240501_B03"):
        (tmp_path / f"{name}.tif").touch()
    with pytest.raises(SceneError, match="2 dates"):
        open_scene(tmp_path)
    for path in tmp_path.glob("20240501_*"):
        path.unlink()
    (tmp_path / "SCL.tif").touch()
    found = open_scene(tmp_path)
    assert (found.moment.date().isoformat(), found.moment_source) == ("2024-04-01", "file names")


def test_what_products_call_the_scl_is_not_looked_for_in_folders(tmp_path: Path) -> None:
    for name in ("B02", "mask", "qa"):
        band(tmp_path / f"{name}.tif")
    assert set(open_scene(tmp_path).bands) == {"blue"}
    band(tmp_path / "T33UWP_SCL_20m.tif", dtype="uint8")
    assert set(open_scene(tmp_path).bands) == {"blue", "scl"}


def test_cloud_cover_is_that_of_the_scl(tmp_path: Path) -> None:
    folder = SimulatedScene(shape=(120, 120), seed=5).write(tmp_path / "scene")
    written = folder_scene(folder).dataset.metadata_doc["properties"]["eo:cloud_cover"]
    with rasterio.open(folder / "SCL.tif") as file:
        scl = file.read(1)
    assert written == pytest.approx(100 * np.isin(scl, (8, 9, 10)).mean(), abs=0.01)
    (folder / "SCL.tif").unlink()
    assert "eo:cloud_cover" not in folder_scene(folder).dataset.metadata_doc["properties"]


@pytest.mark.parametrize(
    ("name", "label"), [("a.b", "a-b"), ("my scene, 33", "my-scene-33"), ("33U_-", "33U_-")]
)
def test_folders_of_any_name(tmp_path: Path, name: str, label: str) -> None:
    folder = SimulatedScene(shape=(60, 48), seed=1).write(tmp_path / name)
    assert folder_scene(folder).label == label
