"""What docs/how-to/upgrade.md says of masks that an older version of the algorithm made."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Copy
from fakes import brightness_engine

from odc_cleansat import load, recall
from odc_cleansat.batch import Request, plan
from odc_cleansat.cube.embedded import embedded_cube
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.errors import ModelWarning
from odc_cleansat.products import identity, provenance
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.verification import verify
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.synthetic.scene import SimulatedScene


def test_masks_of_an_older_version(
    initialised: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded_cube(initialised(tmp_path / "cube")) as dc, brightness_engine():
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        opened = open_scene(SimulatedScene(shape=(180, 240), seed=1).write(tmp_path / "scene"))
        scene = add_dataset(dc, write_scene_document(opened, tmp_path / "scene"))
        request = Request("s2_l2a", tmp_path / "masks")

        with monkeypatch.context() as before:
            *others, _ = identity.derived_id.__defaults__ or ()
            before.setattr(identity.derived_id, "__defaults__", (*others, "1"))
            before.setattr(provenance, "ALGORITHM_VERSION", "1")
            old = MaskJob(scene, tmp_path / "masks")
            document = old.run()
            add_dataset(dc, document)
            assert plan(dc, request).missing == ()

        # The scene is missing, `load` tells of the old mask, and `recall` returns it.
        assert plan(dc, request).missing == (scene.id,)
        grid = {"output_crs": "EPSG:32633", "resolution": 20}
        with pytest.warns(ModelWarning, match="weights or windows of another version"):
            load(dc, product="s2_l2a", measurements=["ucl"], time="2024-06", **grid)
        query = {"product": MASK_PRODUCT, "time": "2024-06"}
        assert len(recall(dc, **query).time) == 1
        report = verify(document, fetch_scenes=True)
        assert report.right is None
        assert "version 1 of the algorithm" in str(report.checks)

        # A run makes the new one beside the old, which stays as it is.
        new = MaskJob(scene, tmp_path / "masks")
        assert new.id != old.id
        add_dataset(dc, new.run())
        assert old.document == document
        assert plan(dc, request).missing == ()
        assert len(recall(dc, **query).time) == 1

        dc.index.datasets.archive([old.id])
        assert [each.id for each in dc.find_datasets(product=MASK_PRODUCT)] == [new.id]
