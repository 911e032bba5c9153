"""Which of several masks of one scene is taken."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from conftest import Cube
from datacube.model import Dataset

from odc_cleansat import get_model
from odc_cleansat.cube.choose import of_one_model
from odc_cleansat.cube.recall import recall
from odc_cleansat.errors import (
    CubeError,
)

from .mask_archive import MaskArchive, codes_of


def test_masks_by_the_weights_that_are_here_are_recalled(cube: Cube) -> None:
    present = cube.masks["june"]
    later = {"cleansat:weights_sha256": "0" * 64, "odc:processing_datetime": "2099-01-01T00:00:00Z"}
    properties = {**present.metadata_doc["properties"], **later}
    document = {**present.metadata_doc, "id": str(uuid4()), "properties": properties}
    rival = Dataset(present.product, document, uri=present.uri)
    assert of_one_model([rival, present], None) == [present]
    properties["cleansat:model"] = "nobody-has-it"
    assert of_one_model([rival], None) == [rival]


def test_of_one_scene_the_mask_made_last_wins(archive: MaskArchive) -> None:
    found = recall(archive.dc, "again_ucl").ucl[0].values
    new, old, older = (codes_of(archive, name) for name in ("new", "old", "older"))
    np.testing.assert_array_equal(found, np.where(new, new, np.where(old, old, older)))


def test_masks_by_several_models(archive: MaskArchive) -> None:

    with pytest.raises(CubeError, match=r"model=: unet-a, unet-b"):
        recall(archive.dc, "two_models_ucl")
    for name in ("a", "b"):
        found = recall(archive.dc, "two_models_ucl", model=f"unet-{name}")
        np.testing.assert_array_equal(found.ucl[0], codes_of(archive, name))
    with pytest.raises(CubeError, match=r"no mask by the model 'unet-c'.*unet-a, unet-b"):
        recall(archive.dc, "two_models_ucl", model="unet-c")
    with pytest.raises(CubeError, match=get_model().name):
        recall(archive.dc, "two_models_ucl", model=get_model())


def test_of_two_masks_the_refined_one_is_recalled(cube: Cube) -> None:
    refined = cube.masks["june"]
    properties = {**refined.metadata_doc["properties"], "odc:processing_datetime": "2099-01-01T00:00:00Z"}  # fmt: skip
    del properties["cleansat:light"]
    document = {**refined.metadata_doc, "id": str(uuid4()), "properties": properties}
    plain = Dataset(refined.product, document, uri=refined.uri)
    assert of_one_model([plain, refined], None) == [refined]
    assert of_one_model([plain], None) == [plain]
