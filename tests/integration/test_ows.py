"""The style for datacube-ows, by datacube-ows' own check and its own rendering."""

from __future__ import annotations

import json
from dataclasses import dataclass
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


def configuration(path: Path, **layer: object) -> Path:
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
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


CHECK_AND_RENDER = """
import json
import sys
import numpy as np
import xarray as xr
from click.testing import CliRunner
from datacube_ows.cfg_parser_impl import main
from datacube_ows.styles.api import StandaloneStyle, apply_ows_style
from odc_cleansat.product_definitions import ows_ucl_style as styles

def check(path):
    result = CliRunner().invoke(main, ["check", "--styles", path])
    assert result.exit_code == 0, result.output
    return result.output

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

def render(style):
    image = apply_ows_style(StandaloneStyle(style), scene)
    return [image[c].values.ravel().tolist() for c in ("red", "green", "blue", "alpha")]

checks = [check(path) for path in sys.argv[1:]]
print(json.dumps([checks, [render(style) for style in (styles.ucl, styles.ucl_confidence)]]))
"""


@dataclass(frozen=True)
class Answers:
    """What datacube-ows says and draws, all in one process because it is slow to start."""

    check: str
    """Of the command ``datacube-ows-cfg check``, on a configuration with the style."""

    mistake: str
    """The same where a band is missing."""

    images: list[list[tuple[int, ...]]]
    """RGBA of the codes 0 to 6, and of confidences from 0 to 100."""


@pytest.fixture(scope="module")
def answers(cube: Cube, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    folder = tmp_path_factory.mktemp("ows")
    paths = (
        configuration(folder / "right.json"),
        configuration(folder / "wrong.json", bands={"ucl_confidence": []}),
    )
    python = program("datacube-ows-cfg").with_name("python")
    config = cube.folder / "datacube.conf"
    said = run(python, "-W", "ignore", "-c", CHECK_AND_RENDER, *paths, config=config)
    (check, mistake), images = json.loads(said.splitlines()[-1])
    return Answers(check, mistake, [list(zip(*image, strict=True)) for image in images])


def test_the_check_of_datacube_ows(answers: Answers) -> None:
    """Against the index too: product and bands are those of the product definition."""
    assert "Could not parse" not in answers.check
    assert "s2_l2a_ucl [s2_l2a_ucl]" in answers.check
    assert ". ucl\n" in answers.check
    assert ". ucl_confidence\n" in answers.check


def test_that_the_check_sees_mistakes(answers: Answers) -> None:
    says = "Could not parse layer (s2_l2a_ucl): Unknown band name/alias: ucl"
    assert says in answers.mistake


def test_the_colours(answers: Answers) -> None:
    drawn = answers.images[0]
    for c in CloudClass:
        red, green, blue, alpha = drawn[c]
        if c is CloudClass.NODATA:
            assert alpha == 0
        else:
            assert f"#{red:02x}{green:02x}{blue:02x}" == c.colour
            assert alpha == 255


def test_confidence_grows_brighter(answers: Answers) -> None:
    brightness = [sum(pixel[:3]) for pixel in answers.images[1]]
    assert brightness == sorted(brightness)
    assert brightness[0] < brightness[-1]
