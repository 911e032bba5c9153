"""Where the mask of a scene comes from: the index, or the network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.warp
import xarray as xr
from affine import Affine
from conftest import Cube
from datacube.model import Dataset

from odc_cleansat import CloudClass, get_model
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.cube.load import load
from odc_cleansat.cube.lookup import MaskOptions, look_up
from odc_cleansat.cube.recall import recall
from odc_cleansat.cube.refining import refine_jobs
from odc_cleansat.errors import (
    CleansatError,
    CubeError,
    ModelError,
    ModelWarning,
)
from odc_cleansat.models.former import FORMER
from odc_cleansat.models.registry import DEFAULTS
from odc_cleansat.products.identity import mask_id
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes.files import SceneFiles
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.eo3 import native_grids
from odc_cleansat.synthetic.scene import SimulatedScene
from unit.archive import masked_before

from .helpers import HOME, indexed, of_home


@pytest.mark.usefixtures("no_inference")
def test_masks_come_from_the_index_where_they_are_there(cube: Cube) -> None:
    found = load(cube.dc, datasets=of_home(cube), measurements=["scl", "ucl", "ucl_confidence"], like=HOME)  # fmt: skip
    for i, name in enumerate(("june", "july")):
        np.testing.assert_array_equal(found.ucl[i], indexed(cube, name))
    assert (found.ucl_confidence != 255).all()
    plain = cube.dc.load(datasets=of_home(cube), like=HOME, measurements=["scl"])
    np.testing.assert_array_equal(found.scl, plain.scl)
    np.testing.assert_array_equal(found.time, plain.time)


def test_computed_masks_are_those_of_the_index(cube: Cube) -> None:
    found = load(cube.dc, datasets=of_home(cube), measurements="ucl", like=HOME, ucl="computed")
    for i, name in enumerate(("june", "july")):
        np.testing.assert_array_equal(found.ucl[i], indexed(cube, name))


def test_masks_by_another_model_are_not_taken(cube: Cube) -> None:
    how = {"datasets": of_home(cube)[:1], "measurements": "ucl", "like": HOME}
    other = load(cube.dc, model="unet-efficientnetb4-l2a-4b", **how).ucl
    assert np.mean(other[0] != indexed(cube, "june")) > 0.001
    strict = load(cube.dc, thresholds={"cloud": 0.99}, **how).ucl
    assert (strict == CloudClass.CLOUD).sum() < (indexed(cube, "june") == CloudClass.CLOUD).sum()


def test_masks_of_another_scale_are_computed(cube: Cube) -> None:
    how: dict[str, Any] = {"datasets": of_home(cube), "like": HOME, "measurements": "ucl"}
    dark = load(cube.dc, scale=np.float32(2e-5), **how)
    xr.testing.assert_equal(dark, load(cube.dc, scale=2e-5, ucl="computed", **how))
    assert (dark.ucl != load(cube.dc, **how).ucl).any()
    for scale in (0, -1e-4, float("nan")):
        with pytest.raises(CleansatError, match="not above 0"):
            load(cube.dc, scale=scale, **how)


def test_an_offset_of_the_caller_s(cube: Cube) -> None:
    how = {"datasets": of_home(cube)[1:], "like": HOME, "measurements": ["red", "ucl"]}
    raw, shifted = (load(cube.dc, offset=o, harmonized=True, **how) for o in (0, -100))
    assert raw.offset.item() == 0
    red = raw.red.values.astype(int)
    np.testing.assert_array_equal(shifted.red, np.where(red == 0, 0, np.maximum(red - 100, 1)))
    assert (shifted.ucl != raw.ucl).any(), (
        "the indexed mask, made with another offset, is not taken"
    )


def test_of_listed_scenes_only_masks_of_their_times_are_searched(
    cube: Cube, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive may have a hundred thousand others."""
    found: list[Dataset] = []
    search = cube.dc.find_datasets

    def find(**query: object) -> list[Dataset]:
        found.extend(search(**query))
        return found

    monkeypatch.setattr(cube.dc, "find_datasets", find)
    loaded = load(cube.dc, datasets=[cube.scenes["july"]], like=HOME, measurements=["ucl"])
    assert found == [cube.masks["july"]]
    np.testing.assert_array_equal(loaded.ucl.values[0], indexed(cube, "july"))


def test_masks_as_fine_as_their_scl_are_found(cube: Cube, tmp_path: Path) -> None:
    scene = SimulatedScene(shape=(300, 300), seed=5).write(tmp_path / "scene")
    with rasterio.open(scene / "SCL.tif") as file:
        codes, profile = file.read(1).repeat(2, axis=0).repeat(2, axis=1), file.profile
    profile |= {"height": 300, "width": 300, "transform": profile["transform"] * Affine.scale(0.5)}
    (scene / "SCL.tif").unlink()
    with rasterio.open(scene / "SCL.tif", "w", **profile) as file:
        file.write(codes, 1)
    dataset = read_scene(str(scene)).dataset
    mask = read_scene(str(MaskJob(dataset, tmp_path / "masks").run())).dataset
    assert native_grids(mask.metadata_doc)["default"].resolution.x == 10
    (found,) = look_up([dataset], [mask], MaskOptions(), masked=True)
    assert found.mask is mask


def test_masks_made_otherwise_are_told_of(cube: Cube, tmp_path: Path) -> None:
    june = cube.scenes["june"]
    how: dict[str, Any] = {"datasets": [june], "like": HOME, "measurements": "ucl"}
    says = "1 of 1 scenes have masks by .* made with the offset -990 and not -1000; pass offset="
    other = add_dataset(cube.dc, MaskJob(june, tmp_path, offset=-990).run())
    try:
        mine = load(cube.dc, ucl="indexed", offset=-990, **how)
        assert (mine.ucl > 0).any()
        twice = [other, cube.masks["june"]]
        with pytest.warns(ModelWarning, match="several masks by .* the offsets -1000, -990"):
            found = recall(cube.dc, datasets=twice)
        np.testing.assert_array_equal(found.ucl, mine.ucl)  # the one made last
        cube.dc.index.datasets.archive([cube.masks["june"].id])
        with pytest.warns(ModelWarning, match=says):
            load(cube.dc, **how)
    finally:
        cube.dc.index.datasets.restore([cube.masks["june"].id])
        cube.dc.index.datasets.purge([other.id], allow_delete_active=True)


def test_masks_by_the_former_default_are_told_of(cube: Cube, tmp_path: Path) -> None:
    june = cube.scenes["june"]
    how: dict[str, Any] = {"datasets": [june], "like": HOME, "measurements": "ucl"}
    says = f"The default model was once {FORMER[0]}, and is {DEFAULTS[0]} now. Pass model='{FORMER[0]}'"
    with masked_before(cube.dc, june, tmp_path) as old:
        when: dict[str, Any] = {"time": "2024-06", "like": HOME}
        with pytest.raises(
            CubeError, match=rf"choose with model=: {FORMER[0]}, .* is {DEFAULTS[0]}\."
        ):
            recall(cube.dc, **when)
        cube.dc.index.datasets.archive([cube.masks["june"].id])
        try:
            with pytest.warns(ModelWarning, match=f"1 of 1 scenes .* by {FORMER[0]}, .*{says}"):
                computed = load(cube.dc, **how)
            with pytest.warns(ModelWarning, match=f"1 of 1 masks are not by the default .*{says}"):
                recalled = recall(cube.dc, **when)
            with pytest.warns(ModelWarning, match=says):
                assert not list(refine_jobs(cube.dc, "s2_l2a", tmp_path, terms={"time": "2024-06"}))
            with warnings.catch_warnings(action="error", category=ModelWarning):
                kept = load(cube.dc, model=FORMER[0], ucl="indexed", **how)
                same = recall(cube.dc, model=FORMER[0], **when)
                given = recall(cube.dc, datasets=[old], like=HOME)
        finally:
            cube.dc.index.datasets.restore([cube.masks["june"].id])
    np.testing.assert_array_equal(computed.ucl[0], indexed(cube, "june"))
    assert (kept.ucl != computed.ucl).any()
    for each in (recalled, same, given):
        np.testing.assert_array_equal(each.ucl, kept.ucl)


def test_unknown_model(cube: Cube) -> None:
    with pytest.raises(ModelError, match="no model 'x'"):
        load(cube.dc, "s2_l2a", model="x", like=HOME)


def test_masks_made_before_there_was_light_stay_found(cube: Cube) -> None:
    """Where there is none that is refined; and whoever wants the network's own answer gets no other."""
    scene, refined = of_home(cube)[0], cube.masks["june"]
    model = get_model(MaskOptions().on_demand(SceneFiles.of_dataset(scene)).model)
    grids = native_grids(refined.metadata_doc)
    pixel = abs(next(iter(grids.values())).resolution.x)
    offset = refined.metadata_doc["properties"]["cleansat:offset"]
    own = str(mask_id(scene.id, model, pixel, offset, refine=False))
    plain = Dataset(refined.product, {**refined.metadata_doc, "id": own}, uri=refined.uri)

    def taken(masks: list[Dataset], **how: bool) -> Dataset | None:
        return look_up([scene], masks, MaskOptions(**how), masked=True)[0].mask

    assert taken([plain, refined]) == refined
    assert taken([plain]) == plain
    assert taken([plain, refined], refine=False) == plain
    assert taken([refined], refine=False) is None
    with pytest.raises(CleansatError, match="refine"):
        MaskOptions(refine="yes")  # type: ignore[arg-type]
