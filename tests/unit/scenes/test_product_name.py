"""Names of folders and files that tell what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from odc_cleansat.errors import ReflectanceWarning, SceneError
from odc_cleansat.scenes.product_name import said_by_names
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.synthetic.scene import SimulatedScene

L2A = "S2B_MSIL2A_20240401T021549_N0510_R003_T51PTS_20240401T050000"
FILES = [Path("B02.tif"), Path("B03.tif")]


def test_a_name_of_esa_tells_the_baseline(tmp_path: Path) -> None:
    """The folder has no other metadata: with none assumed, all of the scene would be too bright by 0.1."""
    folder = SimulatedScene(shape=(120, 120), seed=1).write(tmp_path / "scene")
    (folder / "scene.json").unlink()
    with pytest.warns(ReflectanceWarning, match="assuming none"):
        assert read_scene(str(folder)).files.offset().value == 0
    offset = read_scene(str(folder.rename(tmp_path / L2A))).files.offset()
    assert (offset.value, offset.source) == (-1000, "baseline 05.10 in s2:product_uri")


def test_names_of_files_count_too() -> None:
    assert said_by_names(Path("a"), [Path(f"{L2A}_B02.tif")]) == {"s2:product_uri": f"{L2A}.SAFE"}
    assert said_by_names(Path(f"my {L2A} cut"), FILES) == {"s2:product_uri": f"{L2A}.SAFE"}
    other = L2A.replace("N0510", "N0214")
    assert said_by_names(Path(L2A), [Path(f"{other}_B02.tif")]) == {}, (
        "two products, none is certain"
    )
    assert said_by_names(Path("T51PTS_20240401T021549"), FILES) == {}


@pytest.mark.parametrize(
    "name",
    [
        "LC08_L2SP_116050_20240401_20240402_02_T1",
        "HLS.L30.T51PTS.2024092T021549.v2.0",
        "S1A_IW_GRDH_1SDV_20240401T021549",
    ],
)
def test_another_satellite_is_refused(name: str) -> None:
    for folder, files in ((Path(name), FILES), (Path("a"), [Path(f"{name}_B02.tif")])):
        with pytest.raises(SceneError, match=rf"is not of Sentinel-2: its name is {name}"):
            said_by_names(folder, files)


def test_level_1c_is_refused() -> None:
    with pytest.raises(SceneError, match=r"is of level 1C by its name.*odc_cleansat\.classify"):
        said_by_names(Path(L2A.replace("L2A", "L1C")), FILES)
