"""Masks and scenes from their files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from conftest import Cube
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass
from odc_cleansat.errors import CleansatError, OutputError, SceneError
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.review.comparison import compare
from odc_cleansat.review.datasets import layer_names, mask_dataset, scene_dataset
from odc_cleansat.scenes.files import SceneFiles
from unit.review.helpers import layer


def test_a_mask_product_finds_its_scene(cube: Cube) -> None:
    path = cube.masks["june"].local_path
    data = mask_dataset(path)
    for place in (path.parent, str(path), path.as_uri()):
        assert mask_dataset(place).identical(data)
    assert set(data) == {"red", "green", "blue", "scl", "ucl", "ucl_confidence"}
    with rasterio.open(cube.folder / "june" / "B04.tif") as file:
        np.testing.assert_array_equal(data.red.values, file.read(1))
        assert data.odc.geobox == GeoBox.from_rio(file)
    for name, file_name in {
        "scl": cube.folder / "june" / "SCL.tif",
        "ucl": path.parent.glob("*_ucl.tif"),
    }.items():
        file_path = file_name if isinstance(file_name, Path) else next(file_name)
        with rasterio.open(file_path) as file:
            np.testing.assert_array_equal(data[name].values, file.read(1).repeat(2, 0).repeat(2, 1))
    assert (float(data.offset), str(data.time.values)[:16]) == (-1000, "2024-06-15T10:10")
    assert data.attrs["simulated"]
    found = compare(data)
    said = cube.masks["june"].metadata_doc["properties"]
    for c in (CloudClass.CLOUD, CloudClass.SHADOW):
        assert layer(found, "ucl").percent[int(c)] == pytest.approx(said[f"cleansat:{c.label}_percent"], abs=0.006)  # fmt: skip


def test_a_product_of_a_datacube_has_the_files_of_its_scene(cube: Cube) -> None:
    """They are taken from there, also where those that the product names are gone."""
    path = cube.masks["june"].local_path
    scene = SceneFiles.of_dataset(cube.scenes["june"])
    product = MaskProduct.of_dataset(cube.masks["june"], scene)
    product.record = {**product.record, "cleansat": {**product.record["cleansat"], "scene": {}}}
    assert mask_dataset(product).identical(mask_dataset(path))


def test_layers_that_are_not_what_they_usually_are(cube: Cube) -> None:
    data = mask_dataset(cube.masks["june"].local_path)
    assert layer_names(data) == {"scl": "SCL (simulated)"}
    assert layer_names(data.assign_attrs(model="mine", simulated=False)) == {"ucl": "UCL (mine)"}
    del data.attrs["model"]
    assert layer_names(data, "yours")["ucl"] == "UCL (yours)"


def test_a_part_and_a_coarser_grid(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cube.masks["june"].local_path
    whole = mask_dataset(path)
    part = mask_dataset(path, bbox=(13.67, 47.80, 13.69, 47.82))
    roi = whole.odc.geobox.overlap_roi(part.odc.geobox)
    inside = whole.isel(y=roi[0], x=roi[1])
    assert part.ucl.shape == inside.ucl.shape != whole.ucl.shape
    np.testing.assert_array_equal(part.ucl.values, inside.ucl.values)
    np.testing.assert_array_equal(part.red.values, inside.red.values)
    corners = part.odc.geobox.geographic_extent.boundingbox
    np.testing.assert_allclose(corners.bbox, (13.67, 47.80, 13.69, 47.82), atol=0.002)
    with pytest.raises(SceneError, match="lies outside the scene"):
        mask_dataset(path, bbox=(10, 50, 11, 51))
    monkeypatch.setattr("odc_cleansat.review.datasets.DRAWN", 1000)
    with rasterio.open(cube.folder / "june" / "SCL.tif") as file:
        assert mask_dataset(path).odc.geobox == GeoBox.from_rio(file)
    monkeypatch.setattr("odc_cleansat.review.datasets.LARGEST", 10_000)
    small = mask_dataset(path)
    assert np.prod(small.ucl.shape) <= 12_000
    assert small.odc.geobox.extent.contains(whole.odc.geobox.extent.buffer(-200))


def test_a_scene_is_masked_or_given_a_mask(cube: Cube, tmp_path: Path) -> None:
    made = scene_dataset(str(cube.folder / "june"))
    stored = mask_dataset(cube.masks["june"].local_path)
    assert np.mean(made.ucl.values == stored.ucl.values) > 0.9999
    np.testing.assert_array_equal(made.red.values, stored.red.values)
    np.testing.assert_array_equal(made.scl.values, stored.scl.values)
    assert float(made.offset) == -1000
    (path,) = cube.masks["june"].local_path.parent.glob("*_ucl.tif")
    given = scene_dataset(str(cube.folder / "june"), ucl=str(path))
    np.testing.assert_array_equal(given.ucl.values, stored.ucl.values)
    far = tmp_path / "far_ucl.tif"
    with rasterio.open(path) as file:
        profile = file.profile | {"transform": Affine.translation(2e5, 0) * file.transform}
        with rasterio.open(far, "w", **profile) as moved:
            moved.write(file.read())
    with pytest.raises(SceneError, match="lies elsewhere"):
        scene_dataset(str(cube.folder / "june"), ucl=str(far))
    with pytest.raises(CleansatError, match="there is no"):
        scene_dataset(str(cube.folder / "nowhere"))


@pytest.mark.parametrize("nodata", [65535, 0])
def test_what_files_have_for_nodata_is_not_drawn(cube: Cube, tmp_path: Path, nodata: int) -> None:
    """65535 is no cloud."""
    for band in ("B02", "B03", "B04", "B08", "B11", "B12"):
        with rasterio.open(cube.folder / f"june/{band}.tif") as file:
            values, profile = file.read(1), file.profile
        values[:, : values.shape[1] // 2] = nodata
        profile.update(nodata=nodata)
        with rasterio.open(tmp_path / f"{band}.tif", "w", **profile) as file:
            file.write(values, 1)
    scene = scene_dataset(str(tmp_path), moment=datetime(2024, 6, 15), offset=-1000)
    found = compare(scene)
    half = found.frames[0].rgb.shape[1] // 2
    assert np.isnan(found.frames[0].rgb[:, :half]).all()
    assert np.isfinite(found.frames[0].rgb[:, half:]).all()
    assert (layer(found, "ucl").codes[:, :half] == 0).all()


def test_an_scl_of_another_place_is_refused(cube: Cube, tmp_path: Path) -> None:
    with rasterio.open(cube.folder / "june/SCL.tif") as file:
        values, profile = file.read(1), file.profile
    profile["transform"] = profile["transform"] * Affine.translation(0, 100_000)
    with rasterio.open(tmp_path / "SCL.tif", "w", **profile) as file:
        file.write(values, 1)
    with pytest.raises(SceneError, match="lies elsewhere"):
        scene_dataset(str(cube.folder / "june"), scl=str(tmp_path / "SCL.tif"))


def test_what_is_no_scl_is_refused(cube: Cube, tmp_path: Path) -> None:
    with rasterio.open(cube.folder / "june/SCL.tif") as file:
        values, profile = file.read(1), file.profile
    with rasterio.open(tmp_path / "label.tif", "w", **profile) as file:
        file.write((values == 3).astype("uint8"), 1)
    with pytest.raises(SceneError, match="has no class of an SCL"):
        scene_dataset(str(cube.folder / "june"), scl=str(tmp_path / "label.tif"))


def test_a_mask_of_another_day_is_refused(cube: Cube) -> None:
    (june,), (july,) = (cube.folder.glob(f"products/**/{month}/**/*_ucl.tif") for month in ("06", "07"))  # fmt: skip
    scene_dataset(str(cube.folder / "june"), ucl=str(june))
    with pytest.raises(SceneError, match="it is of 2024-07-05, and this is of 2024-06-15"):
        scene_dataset(str(cube.folder / "june"), ucl=str(july))


def test_other_places_are_no_masks(cube: Cube, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no mask product"):
        mask_dataset(cube.folder / "june")
    (document, *_) = sorted((cube.folder / "scenes").glob("*.odc-metadata.yaml"))
    (tmp_path / document.name).write_text(document.read_text())
    (tmp_path / document.name.replace(".odc-metadata.yaml", ".proc-info.yaml")).write_text("{}")
    with pytest.raises(OutputError, match="no measurement ucl"):
        mask_dataset(tmp_path)
