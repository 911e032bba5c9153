"""Where the sun and the satellite stand: what metadata say, and what follows from time and place."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from odc.geo.geom import Geometry

from odc_cleansat.scenes.angles import Angles, contradiction, find_angles, sun_at

NOON = "2020-06-15T18:29:00Z"
CALGARY = (-112.9, 51.0)
STATED = {"view:sun_azimuth": 158.7, "view:sun_elevation": 60.7}
VIEW = {"view:azimuth": 288.0, "view:incidence_angle": 3.9}


def test_the_computed_sun_is_that_of_metadata() -> None:
    """Tile 37MGP of 2024-07-10 as its item has it: azimuth 39.926, elevation 52.962."""
    sun = sun_at(datetime(2024, 7, 10, 7, 41, 33, tzinfo=UTC), 41.3, -5.9)
    assert sun.sun_azimuth == pytest.approx(39.926, abs=0.1)
    assert 90 - sun.sun_zenith == pytest.approx(52.962, abs=0.1)
    assert sun.view_zenith is None


@pytest.mark.parametrize(
    "stated",
    [
        STATED,
        {"eo:sun_azimuth": 158.7, "eo:sun_elevation": 60.7},
        {"s2:mean_solar_azimuth": 158.7, "s2:mean_solar_zenith": 29.3},
        {"sun_azimuth": "158.7", "sun_elevation": 60.7},
    ],
)
def test_metadata_come_first(stated: dict[str, Any]) -> None:
    for moment in (NOON, None, datetime(2020, 6, 15, 18, 29)):
        found = find_angles(stated | {"datetime": moment}, CALGARY)
        assert found.angles is not None
        assert not found.wrong
        assert found.angles.sun_azimuth == 158.7
        assert found.angles.sun_zenith == pytest.approx(29.3)
        assert found.angles.view_azimuth is None
        assert found.angles.source == ", ".join(stated)


@pytest.mark.parametrize(
    "view", [VIEW, {"eo:azimuth": 288.0, "view:incidence_angle": 3.9}, {"eo:azimuth": 288.0, "eo:off_nadir": 3.9}]
)  # fmt: skip
def test_the_satellite_is_known_only_from_metadata(view: dict[str, Any]) -> None:
    for properties in (STATED | view, view | {"datetime": NOON}):
        found = find_angles(properties, CALGARY).angles
        assert found is not None
        assert (found.view_azimuth, found.view_zenith) == (288.0, 3.9)
        assert found.source.endswith(", ".join(view))
    alone = find_angles(STATED | {"view:off_nadir": 0}, CALGARY).angles
    assert alone is not None
    assert alone.view_zenith is None


def test_time_and_place() -> None:
    found = find_angles({"datetime": NOON}, CALGARY)
    assert found.angles == sun_at(datetime(2020, 6, 15, 18, 29), *CALGARY)
    assert found.angles is not None
    assert found.angles.as_dict() == {
        "sun_azimuth": found.angles.sun_azimuth,
        "sun_zenith": found.angles.sun_zenith,
        "source": "time and place",
    }


@pytest.mark.parametrize(
    ("properties", "place", "reason"),
    [
        ({}, CALGARY, "neither angles nor a time"),
        ({"datetime": NOON}, None, "neither angles nor a time"),
        ({"datetime": "2020-06-15"}, CALGARY, "neither angles nor a time"),
        ({"datetime": "soon"}, CALGARY, "neither angles nor a time"),
        ({"datetime": NOON, "cleansat:datetime_placeholder": True}, CALGARY, "neither"),
        ({"datetime": "2020-06-15T06:00:00Z"}, CALGARY, "22 h of local time is not when"),
        ({"datetime": "2020-06-15T22:30:00Z"}, CALGARY, "15 h of local time is not when"),
        ({"datetime": "2020-12-15T10:00:00Z"}, (21.0, 70.0), "below the horizon"),
        ({"datetime": "2020-01-15T11:10:00Z"}, (15.0, 62.0), "too low"),
        (STATED | {"view:sun_elevation": 9.0}, CALGARY, "9 degrees high, too low"),
    ],
)
def test_what_is_not_known_is_said_and_no_error(
    properties: dict[str, Any], place: tuple[float, float] | None, reason: str
) -> None:
    found = find_angles(properties, place)
    assert found.angles is None
    assert not found.wrong
    assert reason in found.reason


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"view:sun_elevation": -5.0}, "below the horizon"),
        ({"view:sun_elevation": float("nan")}, "no number of degrees"),
        ({"view:sun_azimuth": 1000.0}, "no direction"),
        ({"view:sun_azimuth": float("inf")}, "no number of degrees"),
        ({"view:azimuth": 288.0, "view:incidence_angle": 60.0}, "never looks 60 degrees aside"),
        ({"view:azimuth": float("nan"), "view:incidence_angle": 3.0}, "no number of degrees"),
        ({"view:sun_azimuth": 338.7, "datetime": NOON}, "from where it stood at 2020-06-15 18:29"),
        ({"view:sun_elevation": 14.0, "datetime": NOON}, "from where it stood"),
    ],
)
def test_what_cannot_be_true_is_not_used(properties: dict[str, Any], reason: str) -> None:
    found = find_angles(STATED | properties, CALGARY)
    assert found.angles is None
    assert found.wrong
    assert reason in found.reason


def test_a_wrong_view_beside_a_computed_sun_is_told() -> None:
    found = find_angles(
        {"datetime": NOON, "view:azimuth": 4000, "view:incidence_angle": 5}, CALGARY
    )
    assert (found.angles, found.wrong) == (None, True)
    assert "no direction" in found.reason


def test_a_simulated_scene_has_a_sun_of_its_own() -> None:
    wrong = STATED | {"view:sun_azimuth": 338.7, "datetime": NOON}
    for name in ("cleansat:simulated", "simulated"):
        assert find_angles(wrong | {name: True}, CALGARY).angles is not None


def test_a_zenith_in_place_of_the_elevation_is_recognised() -> None:
    """Geoscience Australia writes it so."""
    turned = find_angles(STATED | {"view:sun_elevation": 29.3, "datetime": NOON}, CALGARY).angles
    assert turned is not None
    assert turned.sun_zenith == pytest.approx(29.3)
    assert "the elevation for the zenith" in turned.source


def test_real_documents_agree_with_time_and_place(shared: Path) -> None:
    """All that state a sun, but for one whose time is that of another scene, and one with hardly any sun."""
    stated = 0
    for path in sorted((shared / "metadata").rglob("*.*")):
        if path.suffix not in (".json", ".yaml") or "T34VEL" in path.name:
            continue
        document = json.loads(path.read_text()) if path.suffix == ".json" else None
        if document is None:
            documents = list(yaml.load_all(path.read_text(), yaml.CSafeLoader))
            document = documents[0] if len(documents) == 1 else None
        if not isinstance(document, dict) or "sun_" not in str(document.get("properties")):
            continue
        geometry = Geometry(document["geometry"], document.get("crs", "EPSG:4326"))
        if geometry.boundingbox.span_x > 180 and geometry.crs.geographic:
            continue  # across the antimeridian
        middle = geometry.to_crs("EPSG:4326").centroid.coords[0]
        found = find_angles(document["properties"], middle)
        if found.angles is None:
            assert "T60CWS" in path.name or "T01WCP" in path.name, (path.name, found)
            continue
        sun = sun_at(
            datetime.fromisoformat(str(document["properties"]["datetime"]).replace("Z", "+00:00")),
            *middle,
        )
        assert found.angles.sun_zenith == pytest.approx(sun.sun_zenith, abs=3), path.name
        stated += 1
    assert stated > 10


def test_angles_are_checked_whoever_passes_them() -> None:
    assert Angles(150, 45).fault() is None
    assert Angles(150, 95).fault()
    assert Angles(150, 45, 100, -1).fault()
    assert Angles(150, 45, 100).fault() is None


@pytest.mark.parametrize("odd", ["150", None, np.full((2, 2), 150.0), float("nan"), True])
def test_an_angle_is_one_number(odd: Any) -> None:
    assert "is no number of degrees" in str(Angles(odd, 45).fault())
    assert "is no number of degrees" in str(Angles(150, odd).fault())
    if odd is not None:
        assert "is no number of degrees" in str(Angles(150, 45, odd, odd).fault())


def test_angles_in_radians_are_none() -> None:
    """The sun of a summer's forenoon: azimuth 108, zenith 27 degrees."""
    assert "angles are in degrees" in str(Angles(1.89, 0.48).fault())
    stated = {"s2:mean_solar_azimuth": 1.89, "s2:mean_solar_zenith": 0.48}
    found = find_angles(stated)
    assert found.angles is None
    assert found.wrong


def test_angles_are_compared_with_time_and_place() -> None:
    known = {"datetime": NOON}
    right = find_angles(known, CALGARY).angles
    assert right is not None
    assert contradiction(right, known, CALGARY) is None
    turned = replace(right, sun_azimuth=right.sun_azimuth - 180)
    assert "from where it stood at 2020-06-15 18:29 UTC" in str(
        contradiction(turned, known, CALGARY)
    )
    for unknown in ({}, {"datetime": "2020-06-15"}, {"datetime": "2020-06-15T02:00:00Z"}):
        assert contradiction(turned, unknown, CALGARY) is None
    assert contradiction(turned, known, None) is None
    assert contradiction(turned, {**known, "cleansat:simulated": True}, CALGARY) is None
