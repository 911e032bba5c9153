"""A dataset whose document cannot be used is left out, named, and stops no other."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from datacube.model import Dataset

from odc_cleansat import recall
from odc_cleansat.cube.sound import fault_of_dataset, sound
from odc_cleansat.errors import CubeError, GapWarning

from .mask_archive import MaskArchive


def changed(mask: Dataset, *path: Any, value: Any) -> Dataset:
    """A mask whose document says something else; a value of `...` takes it out."""
    document = copy.deepcopy(mask.metadata_doc)
    *above, last = path
    part = document
    for key in above:
        part = part[key]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return Dataset(mask.product, document, uri=mask.uri)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("id",), {}),
        (("crs",), "nonsense"),
        (("crs",), ...),
        (("crs",), "EPSG:4978"),
        (("grids",), []),
        (("grids", "default", "shape"), ["a", "b"]),
        (("grids", "default", "shape"), [0, 10]),
        (("grids", "default", "shape"), [3]),
        (("grids", "default", "transform"), [0] * 6),
        (("grids", "default", "transform"), [float("nan")] * 9),
        (("grids", "default", "transform"), [20, 0, 0, {}]),
        (("grid_spatial", "projection", "spatial_reference"), "nonsense"),
        (("grid_spatial", "projection", "geo_ref_points"), "x"),
        (("measurements", "ucl", "path"), 1.5),
        (("measurements",), "ucl"),
        (("properties",), 5),
        (("properties", "datetime"), " "),
        (("properties", "datetime"), ...),
        (("properties", "odc:processing_datetime"), ["x"]),
        (("properties", "odc:region_code"), ["x"]),
        (("properties", "cleansat:offset"), "x"),
        (("properties", "cleansat:model"), 5),
    ],
    ids=str,
)
def test_one_odd_document_stops_no_other(
    archive: MaskArchive, path: tuple[str, ...], value: Any
) -> None:
    good = archive.masks["east"]
    assert fault_of_dataset(good) is None
    odd = changed(good, *path, value=value)
    with pytest.warns(GapWarning, match="1 of 2 datasets cannot be used and are left out"):
        found = recall(archive.dc, datasets=[odd, good])
    assert found.time.size == 1
    with pytest.raises(CubeError, match="none of the 1 datasets can be used"):
        recall(archive.dc, datasets=odd)


def test_good_ones_are_kept_in_their_order(archive: MaskArchive) -> None:
    masks = [*archive.masks.values()]
    assert sound(masks) == masks
    assert sound([]) == []


@pytest.mark.parametrize("datasets", [5, [5], "abcd", [None], [{}]], ids=str)
def test_what_is_no_dataset(archive: MaskArchive, datasets: Any) -> None:
    with pytest.raises(CubeError, match=r"datasets= (is|holds)"):
        recall(archive.dc, datasets=datasets)
