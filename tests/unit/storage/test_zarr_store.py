"""Arrays in Zarr stores: their addresses, their numbers by parts, and stores that cannot be read."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import eopf_product
import numpy as np
import pytest
import zarr

from odc_cleansat.errors import SceneError
from odc_cleansat.storage.zarr_store import (
    Pixels,
    Place,
    find_node,
    has_metadata,
    is_zarr,
    open_node,
    place_of,
    split_address,
    stamp_of,
)

BAND = "measurements/reflectance/r10m/b02"


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(eopf_product.write_product(tmp_path, "v2"))


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("/a/x.zarr", Place("/a/x.zarr", "")),
        ("/a/x.zarr/m/b02/", Place("/a/x.zarr", "m/b02")),
        ("file:///a%20b/x.zarr/m", Place("/a b/x.zarr", "m")),
        ("s3://bucket/x.ZARR/m/b02", Place("s3://bucket/x.ZARR", "m/b02")),
        ("https://host/old.zarr.d/x.zarr/m", Place("https://host/old.zarr.d/x.zarr", "m")),
        ("/a/x.zarr.zip", None),
        ("/a/b02.tif", None),
    ],
)
def test_an_address_names_a_store_and_a_path_in_it(address: str, place: Place | None) -> None:
    assert split_address(address) == place
    assert is_zarr(address) is (place is not None)


def test_a_file_below_a_folder_of_that_name_is_no_array() -> None:
    assert not is_zarr("/masks.zarr/33UVP/mask_ucl.tif")
    with pytest.raises(SceneError, match="is in no Zarr store"):
        place_of("/a/b02.tif")


def test_parts_of_an_array_are_its_numbers(store: str) -> None:
    pixels = Pixels(Place(store, BAND))
    whole = eopf_product.SCENE.read()["B02"]
    for rows, columns in ((slice(0, 240), slice(0, 300)), (slice(60, 70), slice(100, 131))):
        part = pixels.read(rows, columns)
        assert part.dtype == "uint16"
        np.testing.assert_array_equal(part, whole[rows, columns])


def test_small_chunks_are_read_together_and_across_their_borders(tmp_path: Path) -> None:
    values = np.arange(3000 * 1100, dtype="uint32").reshape(3000, 1100)
    zarr.create_array(tmp_path / "x.zarr" / "a", data=values, chunks=(700, 90), zarr_format=2)
    zarr.open_group(tmp_path / "x.zarr", mode="a", zarr_format=2)
    pixels = Pixels(Place(str(tmp_path / "x.zarr"), "a"))
    assert pixels.unit == (700, 990)
    part = pixels.read(slice(650, 2900), slice(950, 1100))
    np.testing.assert_array_equal(part, values[650:2900, 950:])


def test_a_chunk_that_is_not_there_is_no_data_and_a_broken_one_is_an_error(store: str) -> None:
    (Path(store) / BAND / "0.0").unlink()
    part = Pixels(Place(store, BAND)).read(slice(0, 240), slice(0, 300))
    assert not part[:64, :64].any()
    assert part[64:, 64:].all()
    (Path(store) / BAND.replace("b02", "b03") / "1.1").write_bytes(b"broken")
    with pytest.raises(SceneError, match=r"b03 as Zarr: .* Is it there, and whole\?"):
        Pixels(Place(store, BAND.replace("b02", "b03"))).read(slice(0, 240), slice(0, 300))


def test_a_store_that_is_written_anew_is_read_anew(store: str, tmp_path: Path) -> None:
    old = Pixels(Place(store, BAND)).read(slice(0, 9), slice(0, 9))
    before = stamp_of(Place(store, BAND))
    shutil.rmtree(store)
    scene = eopf_product.SimulatedScene(shape=(240, 300), seed=2)
    assert str(eopf_product.write_product(tmp_path, "v2", scene=scene)) == store
    assert stamp_of(Place(store, BAND)) > before
    new = Pixels(Place(store, BAND)).read(slice(0, 9), slice(0, 9))
    assert (new != old).any()


def test_what_is_no_band(store: str) -> None:
    with pytest.raises(SceneError, match="is a group of Zarr and no band"):
        Pixels(Place(store, "measurements"))
    with pytest.raises(SceneError, match=r"is no band: it has the shape \(300,\)"):
        Pixels(Place(store, "measurements/reflectance/r10m/x"))
    with pytest.raises(SceneError, match="lacks measurements/nothing"):
        open_node(Place(store, "measurements/nothing"))
    assert find_node(Place(store, "measurements/nothing")) is None


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"cannot read .*none.zarr as Zarr: .*Is it there"):
        open_node(Place(str(tmp_path / "none.zarr"), ""))
    assert not has_metadata(tmp_path)
    (tmp_path / "zarr.json").write_text("{")
    assert has_metadata(tmp_path)
    with pytest.raises(SceneError, match="as Zarr"):
        open_node(Place(str(tmp_path), ""))


def test_without_zarr_the_message_says_how_to_install_it(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(SceneError, match=r"pip install 'odc-cleansat\[zarr\]'"):
        open_node(Place(store, ""))


def test_zarr_2_is_not_enough(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr, "__version__", "2.18.7")
    with pytest.raises(SceneError, match="needs zarr 3"):
        open_node(Place(store, ""))
