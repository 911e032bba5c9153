"""The radiometric offset, from metadata and from pixels."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
from conftest import read_folder

from odc_cleansat import classify
from odc_cleansat.errors import ReflectanceWarning, SceneError
from odc_cleansat.scenes.baseline import processing_level
from odc_cleansat.scenes.offset import Offset, OffsetCheck, resolve_offset


@pytest.mark.parametrize(
    ("properties", "explicit", "value"),
    [
        ({"s2:processing_baseline": "05.10"}, None, -1000),
        ({"s2:processing_baseline": "04.00"}, None, -1000),
        ({"s2:processing_baseline": "03.01"}, None, 0),
        ({"s2:processing_baseline": "02.12"}, None, 0),
        ({"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": True}, None, 0),
        ({"s2:processing_baseline": "05.10", "earthsearch:boa_offset_applied": False}, None, -1000),
        ({"s2:processing_baseline": "05.10"}, 0, 0),
        ({}, -1000, -1000),
    ],
)
def test_the_first_source_that_answers_wins(
    properties: dict[str, object], explicit: float | None, value: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        offset = resolve_offset(properties, explicit)
    assert offset.value == value
    assert offset.source


def test_no_answer_is_a_warning() -> None:
    with pytest.warns(ReflectanceWarning, match="offset=-1000") as caught:
        assert resolve_offset({}) == Offset(0, "assumed: the metadata does not tell")
    assert [warning.filename for warning in caught] == [__file__]  # the caller's line


def test_a_broken_baseline_is_an_error() -> None:
    with pytest.raises(SceneError, match=r"'five'.*05\.10"):
        resolve_offset({"s2:processing_baseline": "five"})


def test_add_offset_as_a_fraction_of_reflectance() -> None:
    assert resolve_offset({}, add_offset=-0.1, scale_factor=0.0001).value == -1000
    assert resolve_offset({}, add_offset=-0.1).value == -1000
    assert resolve_offset({}, add_offset=-1000, scale_factor=0.0001).value == -1000


def test_floating_point_bands_have_no_offset() -> None:
    properties = {"s2:processing_baseline": "05.10"}
    assert resolve_offset(properties, dtype="float32").value == 0
    assert resolve_offset(properties, dtype="uint16").value == -1000


def test_an_offset_above_0_is_a_slip() -> None:
    with pytest.raises(SceneError, match="pass -1000 or 0"):
        resolve_offset({}, 1000)


@pytest.mark.parametrize("offset", [-999.5, -1000.25, 0.5, -1.5, float("nan"), float("-inf")])
def test_an_offset_is_a_whole_number(offset: float) -> None:
    with pytest.raises(SceneError, match="is not a whole number of digital numbers"):
        resolve_offset({}, offset)


L1C, L2A = "S2A_MSIL1C_20240101_N0510_R1", "S2A_MSIL2A_20240101T000000_N0301_R1"


@pytest.mark.parametrize(
    ("properties", "others", "value", "source"),
    [
        ({}, {"explicit": -1000.0}, -1000, "argument"),
        ({}, {"explicit": -0.1}, -0.1, "argument"),
        ({}, {"explicit": 0.0}, 0, "argument"),
        ({}, {"dtype": "float64", "add_offset": -1000}, 0, "the values are reflectance (float64)"),
        ({"sentinel:boa_offset_applied": True}, {"dtype": "int16", "add_offset": -1000}, 0,
         "sentinel:boa_offset_applied is true"),
        ({}, {"add_offset": -1000, "raster_bands": {"offset": 0}}, -1000, "add_offset of the product is -1000"),
        ({}, {"add_offset": 0, "raster_bands": {"offset": -0.1}}, 0, "add_offset of the product is 0"),
        ({}, {"add_offset": -0.75}, -7500, "add_offset of the product is -0.75"),
        ({}, {"add_offset": -0.1, "scale_factor": 0.0002}, -500, "add_offset of the product is -0.1"),
        ({}, {"add_offset": -1}, -1, "add_offset of the product is -1"),
        ({"s2:product_uri": L1C}, {"raster_bands": {"offset": -0.75}}, -7500, "raster:bands offset is -0.75"),
        ({}, {"raster_bands": {"offset": -0.1, "scale": 0.0002}}, -500, "raster:bands offset is -0.1"),
        ({"s2:product_uri": L1C, "s2:processing_baseline": "05.10"}, {"raster_bands": {"scale": 0.0001}}, 0,
         "s2:product_uri is L1C, so this is not ESA's L2A"),
        ({"sentinel:processing_baseline": "04.00"}, {}, -1000,
         "sentinel:processing_baseline is 04.00"),
        ({"s2:processing_baseline": "03.99"}, {}, 0, "s2:processing_baseline is 03.99"),
        ({"s2:processing_baseline": "4"}, {}, -1000, "s2:processing_baseline is 4"),
        ({"sentinel:product_id": L2A}, {}, 0, "baseline 03.01 in sentinel:product_id"),
        ({"sentinel:product_name": L2A.replace("0301", "0400")}, {}, -1000, "baseline 04.00 in sentinel:product_name"),
    ],
)  # fmt: skip
def test_each_source_in_its_turn(
    properties: dict[str, object], others: dict[str, Any], value: float, source: str
) -> None:
    """In digital numbers, rounded; the sources that come later would give another offset."""
    assert resolve_offset(properties, **others) == Offset(value, source)


@pytest.mark.parametrize(
    ("properties", "level"),
    [
        ({}, ""),
        ({"s2:product_type": "S2MSI2A"}, "L2A"),
        ({"s2:product_type": "S2MSI1C"}, "L1C"),
        ({"processing:level": "L2A"}, "L2A"),
        ({"processing:level": "L1C", "s2:product_uri": L2A}, "L1C"),
        ({"sentinel:product_name": L2A}, "L2A"),
        ({"s2:product_uri": L1C}, ""),  # other surface reflectance may name its source
        ({"processing:level": "L3"}, ""),
    ],
)
def test_processing_level(properties: dict[str, str], level: str) -> None:
    assert processing_level(properties) == level


# --- real documents -------------------------------------------------------------------

APPLIED = "the provider removed the offset and says so"
BEFORE = "processed before baseline 04.00"
SINCE = "baseline 04.00 or later, offset still in the numbers"
NOT_ESA = "another producer's surface reflectance from L1C"


REAL_DOCUMENTS = {
    # Earth Search v1: raster:bands still says -0.1 although it has been applied.
    "eodm/S2A_39QTA_20230628_0_L2A.json": (0, APPLIED),
    "eodm/S2A_39QUA_20230628_0_L2A.json": (0, APPLIED),
    "eodm/S2B_39QTA_20230623_0_L2A.json": (0, APPLIED),
    # Earth Search v1 of old products: not applied, because there was none.
    "odc-tools/S2A_28QCH_20200714_0_L2A.json": (0, BEFORE),
    "odc-tools/S2B_31QGB_20200831_0_L2A.json": (0, BEFORE),
    "rio-tiler-pds/S2A_29RKH_20200219_0_L2A.json": (0, BEFORE),
    # Earth Search v0: the baseline stands in the product's name only, or beside the flag.
    "odc-stac/S2A_28QCH_20200714_0_L2A.json": (0, BEFORE),
    "odc-tools/S2A_28QCH_20200714_0_L2A_old.json": (0, BEFORE),
    "odc-tools/S2A_28QCH_20200714_0_L2A.odc-metadata.json": (0, BEFORE),
    "odc-tools/S2B_42TUM_20220107_0_L2A.json": (0, BEFORE),
    "rio-tiler-pds/S2A_31NBJ_20190524_0_L2A.json": (0, BEFORE),
    "odc-tools/S2A_17SPR_20221106_0_L2A.json": (0, APPLIED),
    "datacube-core/s2_africa_dataset.yaml": (0, APPLIED),
    # Collection 1: offset left in, raster:bands right.
    "odc-tools/S2B_T37MGP_20240710T073012_L2A_C1.json": (-1000, SINCE),
    "odc-tools/S2B_T37MGP_20240710T073012_L2A_C1_rel_links.json": (-1000, SINCE),
    "odc-tools/S2B_T37MGP_20240710T073012_L2A_C1-odc-metadata.yaml": (-1000, SINCE),
    "odc-tools/S2B_T37MGP_20240710T073012_L2A_C1_rel_links-odc-metadata.yaml": (-1000, SINCE),
    # Planetary Computer: the baseline, no raster scale.
    "odc-stac/S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531.json": (0, BEFORE),
    "odc-stac/S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531_raster_ext.json": (0, BEFORE),
    # stactools from SAFE.
    "stactools-sentinel2/S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.json": (0, BEFORE),
    "stactools-sentinel2/S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157.json": (-1000, SINCE),
    "stactools-sentinel2/S2A_OPER_MSI_L2A_TL_2APS_20240108T121951_A044635_T34VEL.json": (-1000, SINCE),
    "stactools-sentinel2/S2A_T60CWS_20240109T203651_L2A.json": (-1000, SINCE),
    "stactools-sentinel2/S2B_MSIL2A_20220413T150759_N0400_R025_T33XWJ_20220414T082126.json": (-1000, SINCE),
    # Geoscience Australia's ARD, one of them from an L1C of baseline 05.00.
    "odc-tools/ga_s2am_ard_3-2-1_49JFM_2016-12-14_final.stac-item.json": (0, NOT_ESA),
    "odc-tools/ga_s2am_ard_3-2-1_49JFM_2016-12-14_final.odc-metadata.yaml": (0, NOT_ESA),
    "datacube-core/ga_s2am_ard_3_final.yaml": (0, NOT_ESA),
    "datacube-core/ga_s2am_ard_3_interim.yaml": (0, NOT_ESA),
}  # fmt: skip


def read_all(path: Path) -> list[Any]:
    """The documents in a file of JSON or YAML."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return [json.loads(text)]
    # Python's own loader takes seconds.
    return list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def first_raster_band(document: dict[str, Any]) -> dict[str, Any] | None:
    for name in ("blue", "B02"):
        if bands := document.get("assets", {}).get(name, {}).get("raster:bands"):
            return dict(bands[0])
    return None


@pytest.mark.parametrize("name", REAL_DOCUMENTS)
def test_real_documents(shared: Path, name: str) -> None:
    """The right offset from the properties alone, and from the whole document."""
    (document,) = read_all(shared / "metadata" / name)
    expected, why = REAL_DOCUMENTS[name]
    raster = first_raster_band(document)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for bands in (None, raster):
            offset = resolve_offset(document["properties"], raster_bands=bands)
            assert offset.value == expected, (why, offset)
            assert offset.rival is None


def test_no_real_document_is_left_out(shared: Path) -> None:
    """Every dataset or item there has a row above; the rest are products and a collection."""
    found = set()
    for path in (shared / "metadata").rglob("*"):
        if path.suffix in (".json", ".yaml") and "product" not in path.name:
            documents = read_all(path)
            if len(documents) == 1 and "properties" in documents[0]:
                found.add(str(path.relative_to(shared / "metadata")))
    assert found == set(REAL_DOCUMENTS)


def test_many_real_documents_in_one_file(shared: Path) -> None:
    """Samples of Digital Earth Africa: of 2016 to 2020, all processed before 04.00."""
    path = shared / "metadata" / "datacube-explorer" / "s2_l2a-sample.yaml"
    for document in read_all(path):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReflectanceWarning)  # some name no product
            assert resolve_offset(document["properties"]).value == 0


def test_the_offset_in_a_product_definition(shared: Path) -> None:
    path = shared / "metadata" / "digitalearthafrica-config" / "s2_l2a_c1.odc-product.yaml"
    product = yaml.safe_load(path.read_text())
    (blue,) = (m for m in product["measurements"] if m["name"] == "blue")
    offset = resolve_offset({}, add_offset=blue["add_offset"])
    assert (offset.value, "add_offset" in offset.source) == (-1000, True)


# --- does the data look right? --------------------------------------------------------


def complaint(reflectance: np.ndarray, offset: float) -> str | None:
    check = OffsetCheck()
    for piece in np.array_split(reflectance, 3, axis=1):
        check.add(piece)
    return check.complaint(offset)


def real_visible(shared: Path) -> dict[str, np.ndarray]:
    """Digital numbers of blue, green and red, the offset not in them, of all real scenes."""
    scenes = {}
    folders = [*(shared / "manila").iterdir(), *(shared / "calgary").iterdir(),
               shared / "oncloudn" / "chip_3"]  # fmt: skip
    for folder in folders:
        bands = read_folder(folder, "B02 B03 B04")
        scenes[str(folder.relative_to(shared))] = np.stack([b.values for b in bands.values()])
    with rasterio.open(shared / "bataan" / "bataan_12band_scl.tif") as file:
        scenes["bataan"] = file.read([2, 3, 4])
    return scenes


def test_the_check_on_real_scenes(shared: Path) -> None:
    for name, dn in real_visible(shared).items():
        right = np.where((dn == 0).all(axis=0), np.nan, dn) / 10000
        assert complaint(right, 0) is None, name
        assert complaint(right, -1000) is None, name
        assert "pass offset=-1000" in str(complaint(right + 0.1, 0)), name
        assert "pass offset=0" in str(complaint(right - 0.1, -1000)), name


def test_an_offset_above_0_is_told_where_nothing_is_dark() -> None:
    """As with the sign of -1000 forgotten; where 1000 had been taken off before, dark ground is dark again."""
    assert "pass offset=-1000 to take 0.1 off" in str(complaint(np.full((3, 120, 120), 0.22), 1000))
    assert complaint(np.full((3, 120, 120), 0.02), 1000) is None


def test_the_check_says_nothing_of_few_pixels() -> None:
    assert complaint(np.full((3, 90, 90), 0.12), 0) is None
    assert complaint(np.full((3, 120, 120), np.nan), 0) is None
    assert complaint(np.full((3, 120, 120), 0.12), 0) is not None


def test_the_check_counts_every_second_pixel_and_wants_2500() -> None:
    scene = np.full((3, 99, 100), 0.12)
    check = OffsetCheck()
    check.add(scene)  # 50 x 50 pixels
    assert check.complaint(0) is not None
    scene[1, 98, 98] = np.nan
    check = OffsetCheck()
    check.add(scene)
    assert check.complaint(0) is None


@pytest.mark.parametrize(
    ("lowest", "offset", "wrong"),
    [
        (0.0799, 0, False),
        (0.0801, 0, True),
        (0.1599, 0, True),
        (0.1601, 0, False),
        (0.12, -1000, False),
        (-0.0499, -1000, False),
        (-0.0501, -1000, True),
        (-0.0501, -1, True),
        (-0.0501, 0, False),
        (-3.0, -1000, True),
        (3.0, 0, False),
    ],
)
def test_where_the_check_begins_to_complain(lowest: float, offset: float, wrong: bool) -> None:
    """The dark end is rounded up to the next 0.005: from 0.085 to 0.16, or to -0.05, it is suspicious."""
    scene = np.full((3, 100, 100), 4.0)
    scene[2] = lowest
    check = OffsetCheck()
    check.add(scene)
    assert (check.complaint(offset) is not None) is wrong


def test_the_check_takes_a_thousandth_for_the_dark_end() -> None:
    scene = np.full((3, 200, 200), 0.118)
    scene[1, 0, :18:2] = 0.01  # 9 of 10,000 pixels
    check = OffsetCheck()
    check.add(scene)
    assert "darker than a reflectance of 0.12, as if" in str(check.complaint(0))
    scene[1, 0, 18] = 0.01
    check = OffsetCheck()
    check.add(scene)
    assert check.complaint(0) is None


@pytest.mark.parametrize(("dark", "below"), [(99, False), (100, True), (10_000, True)])
def test_a_hundredth_of_the_pixels_is_below_a_reflectance(dark: int, below: bool) -> None:
    scene = np.full((3, 200, 200), 0.2)
    scene[1, ::2, ::2].flat[:dark] = 0.03
    check = OffsetCheck()
    check.add(scene)
    assert check.is_below(0.05) is below
    assert not check.is_below(0.02)
    few = OffsetCheck()
    few.add(np.full((3, 99, 98), 0.03))
    assert not few.is_below(0.05)


@pytest.mark.parametrize(
    ("lowest", "right"), [(0.044, True), (0.052, False), (-0.008, True), (-0.016, False)]
)
def test_ground_too_dark_for_another_offset_confirms_none(lowest: float, right: bool) -> None:
    check = OffsetCheck()
    assert not check.confirms(0)
    check.add(np.full((3, 200, 200), lowest))
    assert check.confirms(0) is right
    assert not check.confirms(-1000)


def test_classify_warns_of_a_forgotten_offset(simulated: xr.Dataset, fast_network: None) -> None:
    with pytest.warns(ReflectanceWarning, match=r"offset 0 looks wrong.*offset=-1000"):
        classify(simulated)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classify(simulated, offset=-1000)
