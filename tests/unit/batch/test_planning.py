"""Planning: which scenes of a request have no mask yet."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from odc.geo.geom import Geometry, box

from odc_cleansat.batch import Plan, Request, plan
from odc_cleansat.batch.planning import preview
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.errors import CubeError, ModelError, ReflectanceWarning
from odc_cleansat.models.former import FORMER
from odc_cleansat.products.job import MaskJob
from unit.archive import Archive, request


def test_what_is_planned(archive: Archive) -> None:
    month, scenes = archive.scenes(4)
    root = archive.folder / "planned"
    add_dataset(archive.dc, MaskJob(scenes[1], root).run())

    def find(place: dict[str, object] | None = None, **settings: Any) -> Plan:
        query = {"time": month, **(place or {})}
        return plan(archive.dc, Request("s2_l2a", root, query=query, **settings))

    found = find()
    assert (found.scenes, found.masked, found.postponed) == (4, 1, 0)
    assert found.missing == (scenes[0].id, scenes[2].id, scenes[3].id)
    assert preview(archive.dc, found, 2) == [f"{month}-01", f"{month}-03"]
    assert find(offset=0).masked == 0  # another mask
    first = find(limit=1)
    assert (first.missing, first.postponed) == ((scenes[0].id,), 2)
    edges = scenes[2].extent.to_crs("EPSG:4326").boundingbox
    place = {"x": (edges.left, edges.right), "y": (edges.bottom, edges.top)}
    assert find(place).missing == (scenes[2].id,)
    files = find(index=False)
    assert (files.masked, files.missing) == (1, found.missing)
    assert plan(archive.dc, request("1999", root)).scenes == 0


@pytest.mark.parametrize("refine", [True, False], ids=["by light", "plain"])
def test_masks_by_the_former_default_are_told_of(archive: Archive, refine: bool) -> None:
    month, scenes = archive.scenes(3)
    root = archive.folder / f"former-{month}"
    old = add_dataset(archive.dc, MaskJob(scenes[0], root, FORMER[0], refine=refine).run())
    add_dataset(archive.dc, MaskJob(scenes[1], root).run())
    for index, words in ((True, "1 of the scenes"), (False, "at least 1 of the scenes")):
        found = plan(archive.dc, request(month, root, index=index))
        assert (found.masked, len(found.missing), found.former) == (1, 2, {FORMER[0]: 1})
        assert found.about_former.startswith(f"{words} without a mask by the default model")
        assert f"model={FORMER[0]!r}" in found.about_former
    named = plan(archive.dc, request(month, root, model=FORMER[0], refine=refine))
    assert (named.masked, named.former, named.about_former) == (1, {}, "")
    archive.dc.index.datasets.archive([old.id])
    assert plan(archive.dc, request(month, root)).former == {}


def test_scenes_with_less_cloud(archive: Archive) -> None:
    month, scenes = archive.scenes(3)
    for scene, cover in zip(scenes[:2], (20, 60), strict=True):
        document = {**scene.metadata_doc, "id": str(uuid.uuid4()), "label": f"cloud-{cover}"}
        document["properties"] = document["properties"] | {"eo:cloud_cover": cover}
        document.pop("grid_spatial", None)
        path = archive.folder / f"{document['id']}.yaml"
        document["properties"]["datetime"] = str(document["properties"]["datetime"])
        path.write_text(yaml.safe_dump(document))
        add_dataset(archive.dc, path)
    every = plan(archive.dc, request(month))
    fewer = plan(archive.dc, request(month, max_cloud=30))
    assert (every.scenes, fewer.scenes) == (5, 4)  # those without a figure are masked too
    assert "cloud-20" in preview(archive.dc, fewer, 9)
    assert "cloud-60" not in preview(archive.dc, fewer, 9)


def test_a_datacube_is_needed_for_a_product() -> None:
    with pytest.raises(CubeError, match="dc is None; pass a datacube"):
        plan(None, Request("s2_l2a", ""))


def test_an_area_is_taken_as_it_is_and_not_as_its_box(archive: Archive) -> None:
    month, scenes = archive.scenes(3)
    first, _, last = (scene.extent.to_crs("EPSG:4326") for scene in scenes)
    ends = first | last  # its box holds the one between

    def find(area: Geometry) -> Plan:
        return plan(archive.dc, Request("s2_l2a", "", query={"time": month, "geopolygon": area}))

    found = find(ends)
    assert found.missing == (scenes[0].id, scenes[2].id)
    assert find(box(0, 0, 1, 1, 4326)).scenes == 0


def test_what_cannot_be_planned(archive: Archive) -> None:
    with pytest.raises(CubeError, match="no product 's3'; it has s2_l2a"):
        plan(archive.dc, Request("s3", ""))
    with pytest.raises(CubeError, match="Unknown arguments"):
        plan(archive.dc, Request("s2_l2a", "", query={"cloudiness": 3}))
    across = Request("s2_l2a", "", query={"x": (179, -179), "y": (0, 1)})
    assert plan(archive.dc, across).scenes == 0
    with pytest.raises(ModelError, match="tomorrow"):
        plan(archive.dc, Request("s2_l2a", "", model="unet-of-tomorrow"))


def test_scenes_that_do_not_tell_their_offset_are_named_once(archive: Archive) -> None:
    month, scenes = archive.scenes(3)
    for scene in scenes:
        document = {**scene.metadata_doc, "id": str(uuid.uuid4())}
        document["properties"] = {
            key: value
            for key, value in document["properties"].items()
            if key != "s2:processing_baseline"
        }
        path = archive.folder / f"{document['id']}.yaml"
        document.pop("grid_spatial", None)
        path.write_text(yaml.safe_dump(document))
        add_dataset(archive.dc, path)
    with pytest.warns(ReflectanceWarning, match="^3 of 6 scenes: .*does not say") as caught:
        found = plan(archive.dc, request(month, ""))
    assert len(caught) == 1
    assert len(found.missing) == 6


def test_parts_are_all_scenes_and_none_twice(archive: Archive) -> None:
    month, _ = archive.scenes(4)
    whole = plan(archive.dc, request(month))
    parts = [plan(archive.dc, replace(request(month), part=(k, 3))) for k in (1, 2, 3)]
    assert sorted(id_ for part in parts for id_ in part.missing) == sorted(whole.missing)
    assert sum(part.scenes for part in parts) == whole.scenes == 4


def test_a_million_scenes_in_a_hundred_parts_of_one_size() -> None:
    """Ids of scenes follow from names, so their last digits are as good as drawn."""
    ids = [uuid.uuid5(uuid.NAMESPACE_URL, str(i)).int for i in range(1_000_000)]
    counts = np.bincount(np.array([each % 100 for each in ids]), minlength=100)
    assert counts.sum() == 1_000_000
    assert counts.min() > 9_500
    assert counts.max() < 10_500
    third = Request("s2_l2a", "", part=(3, 100))
    assert [third.has(uuid.UUID(int=each)) for each in ids[:1000]] == [
        each % 100 == 2 for each in ids[:1000]
    ]


@pytest.mark.parametrize("part", [(0, 3), (4, 3), (1, 0), (-1, 3)])
def test_no_such_part(part: tuple[int, int]) -> None:
    with pytest.raises(CubeError, match="is no part"):
        Request("s2_l2a", "", part=part)
