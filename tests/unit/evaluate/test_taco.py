"""Files of CloudSEN12+, as the writer of its makers makes them, and such as are no such files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from benchmark_data import a_scene, labels_of, write_pile, write_taco

from odc_cleansat.errors import SceneError
from odc_cleansat.evaluate.taco import read_taco


@pytest.fixture(scope="module")
def taco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taco")
    return write_taco(
        folder / "cloudsen12-l2a.taco", [a_scene(1), a_scene(2)], splits=["train", "test"]
    )


def test_pictures_and_labels_are_read_in_place(taco: Path) -> None:
    first, second = read_taco(taco)
    assert (first.site, first.split, first.quality, first.side) == (
        "ROI_00000",
        "train",
        "high",
        509,
    )
    assert second.name == "ROI_00001/20200211T000000_T33TUM"
    for patch, seed in ((first, 1), (second, 2)):
        data = a_scene(seed).to_xarray(10).isel(time=0)
        with rasterio.open(patch.image) as image, rasterio.open(patch.label) as label:
            assert (image.count, label.count) == (14, 1)
            np.testing.assert_array_equal(image.read(2)[:509, 3:], data.B02.values[:509, :509])
            np.testing.assert_array_equal(
                label.read(1)[:509, 3:], labels_of(data.truth.values)[:509, :509]
            )


def test_what_is_no_such_file(tmp_path: Path, taco: Path) -> None:
    other = tmp_path / "x.taco"
    with pytest.raises(SceneError, match="cannot read"):
        list(read_taco(other))
    other.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(SceneError, match="no TACO file of the first generation"):
        list(read_taco(other))
    content = taco.read_bytes()
    other.write_bytes(content[: len(content) // 2])
    with pytest.raises(SceneError, match="lies beyond its end"):
        list(read_taco(other))
    damaged = bytearray(content)
    damaged[-50:] = bytes(50)
    other.write_bytes(damaged)
    with pytest.raises(SceneError, match="its table cannot be read"):
        list(read_taco(other))
    # The longest table that can be said, in a file that is as long as it has to be.
    damaged = bytearray(content)
    damaged[10:18] = (2**40).to_bytes(8, "little")
    other.write_bytes(damaged)
    with pytest.raises(SceneError, match="lies beyond its end"):
        list(read_taco(other))


def test_piles_of_other_data(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    flat = write_pile(
        tmp_path / "flat.taco", {"id": "a", "file_format": "BYTES", "path": tmp_path / "a.txt"}
    )
    with pytest.raises(SceneError, match="no TACO file of the first generation"):
        list(read_taco(flat))
    outer = write_pile(
        tmp_path / "outer.taco", {"id": "b", "file_format": "TORTILLA", "path": flat}
    )
    with pytest.raises(SceneError, match="no picture and label"):
        list(read_taco(outer))
