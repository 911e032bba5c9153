"""Pictures of comparisons: colours, panels, outlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from odc.geo.geobox import GeoBox

from odc_cleansat import CloudClass
from odc_cleansat.errors import OutputError
from odc_cleansat.review.comparison import compare
from odc_cleansat.review.figure import true_colour
from unit.review.helpers import GRID, drawn, made_up, two_dates


def test_true_colour_keeps_water_and_cloud_apart() -> None:
    rgb = np.full((20, 20, 3), 0.05)
    rgb[:10] = 0.9
    rgb[15:] = 0.01
    rgb[19, 19] = np.nan
    picture = true_colour(rgb)
    assert picture[0, 0, 0] > 0.95
    assert 0.1 < picture[12, 0, 0] < 0.6
    assert picture[16, 0, 0] < picture[12, 0, 0]
    assert (picture[19, 19] == 1).all()
    assert (true_colour(np.full((2, 2, 3), np.nan)) == 1).all()


def test_true_colour_rises_without_a_step() -> None:
    """Also through its shoulder, so that bright cloud keeps its shape."""
    ramp = np.linspace(0.0, 0.9, 901)
    picture = true_colour(np.repeat(ramp[np.newaxis, :, np.newaxis], 3, axis=2), (0.0, 0.35))
    rise = np.diff(picture[0, :, 0])
    assert (rise > 0).all()
    assert rise[50:].max() < 0.01
    bend = np.diff(rise)[300:]
    assert np.abs(bend).max() < 1e-4


@pytest.mark.parametrize(
    ("crs", "suffix", "style"),
    [
        ("EPSG:32633", "png", "panels"),
        ("EPSG:4326", "pdf", "panels"),
        ("EPSG:3857", "png", "panels"),
        ("EPSG:4326", "png", "outlines"),
        ("EPSG:32633", "pdf", "outlines"),
    ],
)
def test_the_figure_is_drawn(tmp_path: Path, crs: str, suffix: str, style: str) -> None:
    grid = GeoBox.from_bbox(
        GRID.extent.to_crs(crs).boundingbox if crs != "EPSG:32633" else GRID.boundingbox,
        crs, shape=GRID.shape,
    )  # fmt: skip
    found = compare(made_up(grid), style=style, title="A scene")
    path = found.save(tmp_path / "new" / f"compare.{suffix}")
    assert path.stat().st_size > 10_000
    assert path.read_bytes()[:4] == {"png": b"\x89PNG", "pdf": b"%PDF"}[suffix]
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    found.save(path)
    with pytest.raises(OutputError, match="is there already and is another comparison"):
        compare(made_up(grid), style=style, title="Another scene").save(path)
    path.write_bytes(path.read_bytes()[:4])
    with pytest.raises(OutputError, match="is there already and is no comparison"):
        found.save(path)
    found.save(path, overwrite=True)


def test_the_figure_has_a_panel_for_each_layer() -> None:
    scene = made_up()
    assert len(compare(scene).figure().axes) == 3
    assert len(compare(scene.drop_vars("scl")).figure().axes) == 2
    everything = compare(scene, label=scene.ucl, confidence=True, agreement="cloud").figure()
    assert len(everything.axes) == 7
    figure = compare(two_dates(), agreement="cloud").figure()
    assert len(figure.axes) == 8
    texts = [ax.get_legend().get_title().get_text() for ax in figure.axes]
    assert texts[0] == "True colour, 2024-06-05 10:10 UTC"
    assert texts[4] == "True colour, 2024-06-15 10:10 UTC"
    assert texts[5] == "SCL (Sen2Cor), cloud classes only"
    entries = [text.get_text() for text in figure.axes[6].get_legend().get_texts()]
    assert "cloud: 100.0 %" in entries


def test_outlines_leave_the_ground_visible() -> None:
    ucl = np.ones(GRID.shape, "uint8")
    ucl[30:60, 30:60] = CloudClass.CLOUD
    scene = made_up(ucl=ucl).drop_vars("scl")
    filled, lines = (drawn(compare(scene, style=style)) for style in ("panels", "outlines"))
    colour = to_rgb(CloudClass.CLOUD.colour)
    count = [np.isclose(each, colour, atol=0.02).all(axis=-1).sum() for each in (filled, lines)]
    assert 0 < count[1] < 0.2 * count[0]


def test_each_class_is_painted_in_its_colour() -> None:
    shadow = np.full(GRID.shape, CloudClass.SHADOW, "uint8")
    picture = drawn(compare(made_up(ucl=shadow)))
    height, width, _ = picture.shape
    middle_of_ucl = picture[height // 2, int(width * 0.83)]
    np.testing.assert_allclose(middle_of_ucl, to_rgb(CloudClass.SHADOW.colour), atol=0.01)
