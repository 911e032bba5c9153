"""Areas: what is understood, how large it is, and what is refused with what to do."""

from __future__ import annotations

import json
import math

import pytest

from odc_cleansat.app.areas import AreaError, area_text, read_area, square_km

LARGE = 1e6


def polygon(*corners: tuple[float, float]) -> str:
    return json.dumps({"type": "Polygon", "coordinates": [[*corners, corners[0]]]})


TRIANGLE = polygon((13, 47), (14, 47), (14, 48))


def test_a_box_has_its_size() -> None:
    area = read_area("13.6,47.7,13.8,47.9", LARGE)
    # 0.2 by 0.2 degrees at 47.8 degrees north.
    assert square_km(area) == pytest.approx(333, rel=0.01)
    assert area_text(area) == "13.60000,47.70000,13.80000,47.90000"


@pytest.mark.parametrize(
    "text",
    [
        "13,47;14,47;14,48",
        TRIANGLE,
        json.dumps({"type": "Feature", "properties": {}, "geometry": json.loads(TRIANGLE)}),
    ],
)
def test_forms_of_one_triangle(text: str) -> None:
    area = read_area(text, LARGE)
    assert area_text(area) == "13.00000,47.00000;14.00000,47.00000;14.00000,48.00000"
    assert read_area(area_text(area), LARGE) == area


def test_an_area_of_several_parts_survives_the_address() -> None:
    parts = [[[[x, 0], [x + 1, 0], [x + 1, 1], [x, 0]]] for x in (0, 5)]
    area = read_area(json.dumps({"type": "MultiPolygon", "coordinates": parts}), LARGE)
    assert read_area(area_text(area), LARGE) == area


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "draw one"),
        ("somewhere", "no area"),
        ("1,2,3", "four numbers"),
        ("14,47,13,48", "west must be below east"),
        ("13,48,14,47", "south below north"),
        ("179,-17,-179,-16", "180° meridian"),
        ("170,0;190,0;190,1", "180° meridian"),
        ("13,89;14,89;14,91", "latitude"),
        ("500000,5200000;510000,5200000;510000,5210000", "not in degrees"),
        (polygon((0, 0), (1, 1), (1, 0), (0, 1)), "cross"),
        (polygon((0, 0), (1, 1), (2, 2)), "cross"),
        ('{"type": "Point", "coordinates": [1, 2]}', "no width or no height"),
        ('{"type": "LineString", "coordinates": [[1, 2], [2, 3]]}', "no inside"),
        ('{"type": "Polygon", "coordinates": []}', "empty"),
        ('{"type": "Polygon"}', "cannot be understood"),
        ('{"kind": "Polygon"}', "no GeoJSON"),
        ("{", "as GeoJSON"),
        ('{"type": "FeatureCollection", "features": []}', "empty"),
        ("0,0,60,60", "at most"),
        (";".join(f"{math.cos(x / 1000)},{math.sin(x / 1000)}" for x in range(6000)), "corners"),
        ("nan,0,1,1", "no area"),
        ("0,0,inf,1", "no area"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(AreaError, match=words):
        read_area(text, 100_000)


def test_words_are_for_people_who_draw() -> None:
    with pytest.raises(AreaError, match="upload one as GeoJSON") as told:
        read_area('{"type": "Feature", "geometry": null}', 1000)
    assert "geopolygon" not in str(told.value)
    with pytest.raises(AreaError, match="upload one as GeoJSON") as told:
        read_area("400000,5200000,410000,5210000", 1000)
    assert "crs=" not in str(told.value)
