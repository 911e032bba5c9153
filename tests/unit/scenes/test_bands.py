"""Names of bands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from odc_cleansat.errors import SceneError
from odc_cleansat.scenes.bands import find_bands, named_twice, names_of
from odc_cleansat.scenes.files import SceneFiles


@pytest.mark.parametrize(
    ("available", "blue", "nir"),
    [
        (["B02", "B08"], "B02", "B08"),
        (["b02", "b08"], "b02", "b08"),
        (["blue", "nir"], "blue", "nir"),
        (["nbart_blue", "nbart_nir_1"], "nbart_blue", "nbart_nir_1"),
        (["band_02", "band_8a"], "band_02", "band_8a"),
        (["B02", "B8A", "B08"], "B02", "B08"),
        (["B02", "B8A"], "B02", "B8A"),
    ],
)
def test_bands_under_any_name(available: list[str], blue: str, nir: str) -> None:
    assert find_bands(available, ("blue", "nir")) == {"blue": blue, "nir": nir}


def test_missing_bands_are_named_and_so_is_what_was_found() -> None:
    with pytest.raises(SceneError, match=r"lacks swir16 \(B11\), swir22 \(B12\).*it has B02, B03"):
        find_bands(["B02", "B03"], ("blue", "swir16", "swir22"))


@pytest.mark.parametrize("satellite", "abc")
def test_geoscience_australias_second_swir_band_is_band_11(shared: Path, satellite: str) -> None:
    """It has the alias swir_2, which elsewhere is band 12."""
    from datacube.index.abstract import default_metadata_type_docs
    from datacube.index.eo3 import prep_eo3
    from datacube.model import Dataset, MetadataType, Product

    from odc_cleansat.batch.survey import measurement_names

    metadata = shared / "metadata"
    kind = next(each for each in default_metadata_type_docs() if each["name"] == "eo3")
    path = metadata / "dea-config" / f"ga_s2{satellite}m_ard_3.odc-product.yaml"
    product = Product(MetadataType(kind), yaml.safe_load(path.read_text()))
    text = (metadata / "datacube-core/ga_s2am_ard_3_final.yaml").read_text()
    dataset = Dataset(product, prep_eo3(yaml.safe_load(text)), uri="file:///scene/x.yaml")
    bands = SceneFiles.of_dataset(dataset).wanted(["blue", "nir", "nir08", "swir16", "swir22"])
    names = measurement_names(product, dataset.measurements)
    codes = [re.findall(r"band(\w+)\.tif", file.uri) for file in bands.values()]
    assert codes == [["02"], ["08"], ["08a"], ["11"], ["12"]]
    assert names["nbart_swir_2"]
    assert "swir_2" not in names


def test_an_alias_of_another_band_is_left_out() -> None:
    assert names_of("nbart_swir_2", ["band11", "swir_2", "swir2"]) == ["nbart_swir_2", "band11"]
    assert names_of("B12", ["swir22", "swir_2"]) == ["B12", "swir22", "swir_2"]
    assert names_of("oa_fmask", ["fmask"]) == ["oa_fmask", "fmask"]
    # Without band 12 there is none, rather than band 11 twice.
    with pytest.raises(SceneError, match="lacks swir22"):
        find_bands(names_of("nbart_swir_2", ["swir_2"]), ["swir16", "swir22"])


def test_two_bands_at_one_place() -> None:
    assert named_twice({"red": "a", "nir": "b"}) is None
    assert named_twice({"red": "a", "blue": "b", "nir": "a"}) == "red and nir are both a"
