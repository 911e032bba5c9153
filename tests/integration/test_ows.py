"""The style for datacube-ows, by datacube-ows' own check and its own rendering."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Cube
from environments import program, run

from odc_cleansat import CloudClass

STYLE = "odc_cleansat.product_definitions.ows_ucl_style"

LAYER = {
    "title": "Cloud and cloud shadow",
    "name": "s2_l2a_ucl",
    "abstract": "UNet classification layer of Sentinel-2 scenes",
    "product_name": "s2_l2a_ucl",
    "bands": {"ucl": ["UCL"], "ucl_confidence": []},
    "native_crs": "EPSG:3857",
    "native_resolution": [20, -20],
    "image_processing": {"include": f"{STYLE}.image_processing", "type": "python"},
    "styling": {"include": f"{STYLE}.styling", "type": "python"},
}


def configuration(folder: Path, **layer: object) -> str:
    web_mercator = {"geographic": False, "horizontal_coord": "x", "vertical_coord": "y"}
    document = {
        "global": {
            "title": "Masks",
            "allowed_urls": ["http://localhost:8000"],
            "info_url": "http://localhost",
            "published_CRSs": {"EPSG:3857": web_mercator},
            "services": {"wms": True},
        },
        "layers": [{**LAYER, **layer}],
    }
    path = folder / "ows.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def test_the_check_of_datacube_ows(cube: Cube, tmp_path: Path) -> None:
    """Against the index too: product and bands are those of the product definition."""
    said = run(
        program("datacube-ows-cfg"), "check", "--styles", configuration(tmp_path),
        config=cube.folder / "datacube.conf",
    )  # fmt: skip
    assert "Could not parse" not in said
    assert "s2_l2a_ucl [s2_l2a_ucl]" in said
    assert ". ucl\n" in said
    assert ". ucl_confidence\n" in said


def test_that_the_check_sees_mistakes(cube: Cube, tmp_path: Path) -> None:
    said = run(
        program("datacube-ows-cfg"), "check", configuration(tmp_path, bands={"ucl_confidence": []}),
        config=cube.folder / "datacube.conf",
    )  # fmt: skip
    assert "Could not parse layer (s2_l2a_ucl): Unknown band name/alias: ucl" in said


RENDER = """
import json
import numpy as np
import xarray as xr
from datacube_ows.styles.api import StandaloneStyle, apply_ows_style
from odc_cleansat.product_definitions import ows_ucl_style as styles

codes = np.arange(7, dtype="uint8").reshape(1, 1, 7)
dims = ("time", "y", "x")
coords = {"time": [np.datetime64("2024-06-15", "ns")], "y": [0.0], "x": np.arange(7.0)}
scene = xr.Dataset(
    {
        "ucl": xr.DataArray(codes, dims=dims, coords=coords, attrs={"nodata": 0}),
        "ucl_confidence": xr.DataArray(
            np.linspace(0, 100, 7).astype("uint8").reshape(1, 1, 7), dims=dims, coords=coords
        ),
    }
)
for style in (styles.ucl, styles.ucl_confidence):
    image = apply_ows_style(StandaloneStyle(style), scene)
    print(json.dumps([image[c].values.ravel().tolist() for c in ("red", "green", "blue", "alpha")]))
"""


@pytest.fixture(scope="module")
def images(cube: Cube) -> list[list[tuple[int, ...]]]:
    """What datacube-ows draws: RGBA of the codes 0 to 6, and of confidences from 0 to 100."""
    python = program("datacube-ows-cfg").with_name("python")
    said = run(python, "-W", "ignore", "-c", RENDER, config=cube.folder / "datacube.conf")
    lines = [line for line in said.splitlines() if line.startswith("[[")]
    return [list(zip(*json.loads(line), strict=True)) for line in lines]


def test_the_colours(images: list[list[tuple[int, ...]]]) -> None:
    drawn = images[0]
    for c in CloudClass:
        red, green, blue, alpha = drawn[c]
        if c is CloudClass.NODATA:
            assert alpha == 0
        else:
            assert f"#{red:02x}{green:02x}{blue:02x}" == c.colour
            assert alpha == 255


def test_confidence_grows_brighter(images: list[list[tuple[int, ...]]]) -> None:
    brightness = [sum(pixel[:3]) for pixel in images[1]]
    assert brightness == sorted(brightness)
    assert brightness[0] < brightness[-1]
