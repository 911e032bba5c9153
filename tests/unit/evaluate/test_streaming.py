"""Rasters against labels, block by block."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat.errors import SceneError
from odc_cleansat.evaluate.counting import Protocol, count_pixels
from odc_cleansat.evaluate.mappings import get_mapping
from odc_cleansat.evaluate.rasters import Case, ClassRaster
from odc_cleansat.evaluate.report import as_dict, as_text
from odc_cleansat.evaluate.streaming import evaluate_rasters

from .helpers import GRID, blobs, evaluation, raster, save


@pytest.mark.parametrize("dilation", [0, 2])
@pytest.mark.parametrize("block", [32, 47, 1000])
def test_blocks_make_no_difference(tmp_path: Path, block: int, dilation: int) -> None:
    label, a, b = blobs(1), blobs(2), blobs(3)
    protocol = Protocol((0, 1, 2, 5), boundary=3, dilation=dilation)
    expected = count_pixels(label, [a, b], protocol)
    found = evaluation(tmp_path, label, a, b, protocol=protocol, block=block)
    for name, whole in zip(("p0", "p1"), expected, strict=True):
        np.testing.assert_array_equal(found.total(name).confusions, whole.confusions)
        np.testing.assert_array_equal(found.total(name).boundaries, whole.boundaries)


def test_a_part_of_the_label_without_prediction(tmp_path: Path) -> None:
    label = np.full((150, 200), 2, "uint8")
    part = GRID[:, :50]
    case = Case(
        "one",
        raster(save(tmp_path / "label.tif", label)),
        {
            "part": raster(save(tmp_path / "part.tif", label[:, :50], part)),
            "all": raster(save(tmp_path / "all.tif", label)),
        },
    )
    own = evaluate_rasters([case])
    assert own.confusion("part").unanswered == pytest.approx(0.75)
    assert own.confusion("all").pixels == label.size
    common = evaluate_rasters([case], common=True)
    assert common.confusion("all").pixels == common.confusion("part").pixels == 150 * 50
    assert "for which all predictions have data" in as_text(common)
    assert "for which all" not in as_text(own)
    assert "not all on the same pixels" in as_text(own)
    assert "not all on the same pixels" not in as_text(common)
    assert re.search(r"part .* 75\.0 %", as_text(own))
    assert [as_dict(each)["protocol"]["common"] for each in (own, common)] == [False, True]

    rest = raster(save(tmp_path / "rest.tif", label[:, 50:], GRID[:, 50:]))
    parted = Case("one", case.label, {**case.predictions, "rest": rest})
    with pytest.raises(SceneError, match="no pixel has a label and data of all predictions"):
        evaluate_rasters([parted], common=True)
    strange = get_mapping("7=cloud,9=clear")
    with pytest.raises(SceneError, match="no pixel with a code of the mapping"):
        evaluate_rasters([dataclasses.replace(case, label=ClassRaster(case.label.uri, strange))], common=True)  # fmt: skip
