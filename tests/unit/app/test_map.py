"""The map: its data name layers that there are, behind addresses with a key."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from conftest import Cube

from odc_cleansat.app.map import NAMES, Pane, make_map
from odc_cleansat.app.service import Service
from odc_cleansat.evaluate.mappings import get_mapping
from odc_cleansat.review.other_masks import OtherMask
from odc_cleansat.review.tiles import KINDS


def test_every_kind_has_a_name() -> None:
    assert set(NAMES) == set(KINDS)


def test_panes_of_a_masked_scene_and_of_another(service: Service, cube: Cube) -> None:
    june, west = cube.scenes["june"].id, cube.scenes["west"].id
    mask = cube.masks["june"].id
    bounds = (13.0, 47.0, 14.0, 48.0)
    panes = [Pane(june, mask, bounds, "June"), Pane(west, None, bounds, "West")]
    data = make_map(service, "KEY", panes, "0.02,0.30", bounds=bounds, fit="x")
    text = json.dumps(asdict(data))  # as the browser gets it
    assert str(cube.folder) not in text
    masked, bare = data.panes
    assert {each["kind"] for each in masked["layers"]} == set(KINDS)
    assert "ucl" not in {each["kind"] for each in bare["layers"]}
    assert bare["shares"] is None
    for layer in masked["layers"]:
        assert "key=KEY" in layer["tiles"]
        assert layer["tiles"].count("{") == 3
        assert ("stretch=" in layer["tiles"]) != layer["classes"]
    assert [each["name"] for each in masked["layers"][3]["legend"]] == [
        "clear",
        "cloud",
        "thin cloud",
        "cloud shadow",
    ]
    assert data.swipe is not None
    assert f"{june}.{mask}" in data.swipe
    assert str(west) not in data.swipe


def test_masks_by_others_are_layers(service: Service, cube: Cube) -> None:
    other = OtherMask("Fmask", "scl", get_mapping("scl"))
    beside = Service(replace(service.settings, others=(other,)))
    try:
        june, mask = cube.scenes["june"].id, cube.masks["june"].id
        data = make_map(beside, "KEY", [Pane(june, mask, (13.0, 47.0, 14.0, 48.0))])
        (layer,) = (each for each in data.panes[0]["layers"] if each["kind"] == "other0")
    finally:
        beside.close()
    assert layer["name"] == "Fmask"
    assert layer["classes"]
    assert "cloud" in {each["name"] for each in layer["legend"]}


def test_a_map_without_scenes(service: Service) -> None:
    data = make_map(service, "KEY", draw=True)
    assert data.panes[0]["layers"] == []
    assert data.swipe is None
    assert data.basemap is None
