"""A product that is changed in ways that leave it whole and consistent as far as a forger can make it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from PIL import Image, ImageOps

from odc_cleansat.classes import CloudClass
from odc_cleansat.products.provenance import pixel_properties
from odc_cleansat.products.write import thumbnail, write_layer
from unit.products.helpers import one


class Forger:
    """Changes a product, and its checksums with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.eo3 = yaml.load(one(folder, "*.odc-metadata.yaml").read_text(), yaml.CSafeLoader)
        self.item = json.loads(one(folder, "*.stac-item.json").read_text())
        self.record = yaml.load(one(folder, "*.proc-info.yaml").read_text(), yaml.CSafeLoader)
        self.own = self.record["cleansat"]

    @property
    def properties(self) -> dict[str, Any]:
        found: dict[str, Any] = self.eo3["properties"]
        return found

    def file(self, end: str) -> Path:
        return one(self.folder, f"*{end}")

    def say(self, **values: Any) -> None:
        """Say something in EO3 and STAC alike; names with two underscores for the colon."""
        names = {"eo:gsd": "gsd", "odc:processing_datetime": "created"}
        for name, value in values.items():
            key = name.replace("__", ":")
            self.properties[key] = self.item["properties"][names.get(key, key)] = value

    def rename(self, label: str) -> None:
        """Give all files another name, and say so everywhere."""
        old = self.eo3["label"]
        for path in list(self.folder.iterdir()):
            path.rename(self.folder / path.name.replace(old, label))
        self.eo3, self.item = (
            json.loads(json.dumps(each, default=str).replace(old, label))
            for each in (self.eo3, self.item)
        )

    def draw(self, codes: np.ndarray, confidence: np.ndarray) -> None:
        """Write other pixels, and all that follows from them."""
        with rasterio.open(self.file("_ucl.tif")) as file:
            grid = GeoBox.from_rio(file)
        for name, values, nodata in (("ucl", codes, 0), ("ucl_confidence", confidence, 255)):
            path = self.file(f"_{name}.tif")
            path.unlink()
            write_layer(wrap_xr(values, grid, nodata=nodata), path)
            self.say(**{f"cleansat__{name}_bytes": path.stat().st_size})
        shares = pixel_properties(codes, [CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW])
        self.say(**{name.replace(":", "__"): value for name, value in shares.items()})
        Image.fromarray(np.moveaxis(thumbnail(codes), 0, -1)).save(self.file("_thumbnail.png"))

    def layers(self) -> tuple[np.ndarray, np.ndarray]:
        with (
            rasterio.open(self.file("_ucl.tif")) as one,
            rasterio.open(self.file("_ucl_confidence.tif")) as two,
        ):
            return one.read(1), two.read(1)

    def finish(self) -> None:
        """Write the documents and the checksums."""
        self.file(".odc-metadata.yaml").write_text(yaml.dump(self.eo3, Dumper=yaml.CSafeDumper))
        self.file(".stac-item.json").write_text(json.dumps(self.item))
        self.file(".proc-info.yaml").write_text(yaml.dump(self.record, Dumper=yaml.CSafeDumper))
        sums = self.file(".sha1")
        listed = [line.split("\t")[1] for line in sums.read_text().splitlines()]
        paths = [path for name in listed if (path := self.folder / Path(name).name).is_file()]
        sums.write_text(
            "".join(f"{hashlib.sha1(p.read_bytes()).hexdigest()}\t{p.name}\n" for p in paths)
        )


Tampering = Callable[[Forger], None]

CASES: dict[str, Tampering] = {}
"""What a forger may do, by name. He writes documents and checksums anew afterwards."""

PIXEL_CASES: dict[str, Tampering] = {}
"""What shows only when the mask is made again."""

CASES_AFTER: dict[str, Callable[[Forger], None]] = {}
"""What he may do to the files, after which he writes no checksums."""


def _case(cases: dict[str, Tampering]) -> Callable[[Tampering], Tampering]:
    def keep(change: Tampering) -> Tampering:
        cases[change.__name__] = change
        return change

    return keep


# Statements that are made in EO3 and STAC alike

STATEMENTS = {
    "cleansat:scene": "00000000-0000-0000-0000-000000000000", "cleansat:model": "unet-mobilenetv2-l2a",
    "cleansat:model_version": "9", "cleansat:weights_sha256": "0" * 64, "cleansat:engine": "torch",
    "cleansat:precision": "bf16", "cleansat:offset": 0, "cleansat:offset_source": "argument",
    "cleansat:light": "argument", "cleansat:data_percent": 100.0, "cleansat:cloud_percent": 0.0, "cleansat:clear_percent": 100.0,
    "cleansat:shadow_percent": 1.0, "eo:cloud_cover": 0.0, "eo:gsd": 10.0, "odc:producer": "esa.int",
    "odc:product_family": "level2", "odc:file_format": "NetCDF", "odc:dataset_version": "9.9.9",
    "odc:processing_datetime": "2124-01-01T00:00:00Z", "datetime": "2020-06-15T10:10:31Z",
    "odc:region_code": "33UWP", "s2:processing_baseline": "02.14", "s2:product_uri": "S2A_MSIL2A_20200101T100031_N0213_R122_T33UWP_20200101T110000.SAFE",
    "cleansat:ucl_bytes": 7, "cleansat:run": "another", "cleansat:note": "checked by hand", "fmask:cloud": 0.0, "anything": 1,
}  # fmt: skip
for _key, _value in STATEMENTS.items():
    CASES[f"both say {_key}"] = lambda f, k=_key, v=_value: f.say(**{k.replace(":", "__"): v})  # type: ignore[misc]


# One document alone


def _set(document: str, path: str, value: Any) -> Tampering:
    """Change a value, or with None delete it."""

    def change(forger: Forger) -> None:
        *parents, last = [int(p) if p.isdigit() else p for p in path.split("/")]
        place = getattr(forger, document)
        for each in parents:
            place = place[each]
        if value is None:
            del place[last]
        else:
            assert isinstance(place, list) or place.get(last) != value
            place[last] = value

    return change


ELSEWHERE = "../elsewhere_ucl.tif"
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
WORLD = {"type": "Polygon", "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]}  # fmt: skip
for _document, _path, _value in (
    ("eo3", "$schema", "https://example.org"),
    ("eo3", "label", "another"),
    ("eo3", "product", {"name": "s2_l2a"}),
    ("eo3", "product/href", "https://example.org"),
    ("eo3", "crs", "epsg:32634"),
    ("eo3", "geometry", None),
    ("eo3", "geometry", SQUARE),
    ("eo3", "grids/default/shape", [180, 151]),
    ("eo3", "grids/default/transform/2", 0.0),
    ("eo3", "grids/default/more", 1),
    ("eo3", "geometry/more", 1),
    ("eo3", "geometry/coordinates/0/0", None),
    ("eo3", "grids/fine", {"shape": [1, 1], "transform": [1, 0, 0, 0, 1, 0, 0, 0, 1]}),
    ("eo3", "measurements/ucl/path", ELSEWHERE),
    ("eo3", "measurements/ucl/path", "/etc/hostname"),
    ("eo3", "measurements/ucl/band", 2),
    ("eo3", "measurements/ucl_confidence", None),
    ("eo3", "measurements/more", {"path": ELSEWHERE}),
    ("eo3", "accessories/thumbnail/path", "https://example.org/x.png"),
    ("eo3", "accessories/checksum:sha1", None),
    ("eo3", "lineage/level2", ["00000000-0000-0000-0000-000000000000"]),
    ("eo3", "lineage/ard", ["00000000-0000-0000-0000-000000000000"]),
    ("eo3", "location", "s3://elsewhere/x"),
    ("eo3", "properties/cleansat:model", None),
    ("eo3", "properties/cleansat:cloud_percent", None),
    ("eo3", "properties/odc:processing_datetime", None),
    ("item", "id", "00000000-0000-0000-0000-000000000000"),
    ("item", "type", "FeatureCollection"),
    ("item", "stac_version", "1.0.0"),
    ("item", "stac_extensions", []),
    ("item", "stac_version", None),
    ("item", "stac_extensions/0", "https://example.org/eo/v1.1.0/schema.json"),
    ("item", "stac_extensions/1", None),
    ("item", "geometry", WORLD),
    ("item", "geometry/more", 1),
    ("item", "geometry/coordinates/0/0", None),
    ("item", "geometry", None),
    ("item", "bbox", [-180, -90, 180, 90]),
    ("item", "properties/proj:code", "EPSG:32634"),
    ("item", "properties/proj:transform/2", 0.0),
    ("item", "properties/datetime", "2020-01-01T00:00:00Z"),
    ("item", "properties/created", "2020-01-01T00:00:00Z"),
    ("item", "properties/odc:product", "s2_l2a"),
    ("item", "properties/mlm:name", "another"),
    ("item", "properties/mlm:input/0/value_scaling/0/mean", 0.0),
    ("item", "properties/processing:software/openvino", "1.0"),
    ("item", "properties/title", "another"),
    ("item", "collection", "another"),
    ("item", "links/0/href", "https://example.org"),
    ("item", "assets/ucl/href", ELSEWHERE),
    ("item", "assets/ucl/proj:shape", [1, 1]),
    ("item", "assets/ucl/classification:classes/1/name", "cloud"),
    ("item", "assets/ucl/classification:classes/1/value", 2),
    ("item", "assets/ucl/raster:bands/0/nodata", 1),
    ("item", "assets/ucl/raster:bands/0/scale", 2),
    ("item", "assets/ucl_confidence/raster:bands/0/unit", "metre"),
    ("item", "assets/ucl_confidence", None),
    ("item", "assets/model/title", "another network"),
    ("item", "assets/more", {"href": ELSEWHERE}),
    ("own", "algorithm/name", "another"),
    ("own", "algorithm/version", "0"),
    ("own", "algorithm/overlap", 0),
    ("own", "algorithm/more", 1),
    ("own", "algorithm/light", None),
    ("own", "algorithm/light", "0"),
    ("own", "light", None),
    ("own", "light/sun_azimuth", 10.0),
    ("own", "light/source", "time and place"),
    ("eo3", "properties/cleansat:light", None),
    ("eo3", "properties/cleansat:reflectance_doubt", "none"),
    ("own", "complaint", "the values look wrong"),
    ("own", "complaint", ["the values look wrong"]),
    ("own", "offset/doubt", "the pixels do not tell"),
    ("own", "scene/id", "00000000-0000-0000-0000-000000000000"),
    ("own", "scene/bands", {}),
    ("own", "scene/bands/blue", None),
    ("own", "scene/bands/blue/more", 1),
    ("own", "scene/label", "S2A_MSIL2A_20200101T100031_N0213_R122_T33UWP_20200101T110000"),
    ("own", "model/name", "another"),
    ("own", "model/sha256", "0" * 64),
    ("own", "model/licence", "MIT"),
    ("own", "model/citation", "me"),
    ("own", "model/classes", ["clear", "cloud", "snow"]),
    ("own", "model/bands", ["blue"]),
    ("own", "engine/precision", "f8"),
    ("own", "offset/value", 0),
    ("own", "grid/resolution", 10.0),
    ("own", "python", "forty"),
    ("own", "python", "3.11.7x"),
    ("own", "more", 1),
    ("own", "run", "with a blank"),
    ("record", "more", 1),
    ("record", "cleansat", None),
    ("record", "software_versions/3/version", "1.0"),
    ("record", "software_versions/0/version", "latest"),
    ("record", "software_versions/7/version", "1.9.9x"),
    ("record", "software_versions/0/url", "https://example.org/odc-cleansat/"),
    ("record", "software_versions/7/url", None),
    ("record", "software_versions/1/more", 1),
    ("record", "software_versions/2", None),
):  # fmt: skip
    _name = f"{_document} {_path} {'' if _value is None else str(_value)[:20]}"
    assert _name not in CASES
    CASES[_name] = _set(_document, _path, _value)


# Several parts together


@_case(CASES)
def an_engine_that_there_is_not_everywhere(forger: Forger) -> None:
    forger.say(cleansat__precision="f8")
    forger.own["engine"]["precision"] = "f8"


@_case(CASES)
def a_scene_whose_label_is_a_list(forger: Forger) -> None:
    forger.own["scene"]["label"] = [forger.own["scene"]["label"]]


@_case(CASES)
def a_scene_whose_product_is_a_list(forger: Forger) -> None:
    forger.own["scene"]["product"] = [forger.own["scene"]["product"]]


@_case(CASES)
def a_model_version_everywhere(forger: Forger) -> None:
    forger.say(cleansat__model_version="9")
    forger.own["model"]["version"] = "9"


@_case(CASES)
def another_day_with_names_to_match(forger: Forger) -> None:
    forger.say(datetime="2021-02-03T10:10:31Z", s2__product_uri=STATEMENTS["s2:product_uri"])
    forger.rename(re.sub(r"\d{4}-\d\d-\d\d", "2021-02-03", forger.eo3["label"]))


@_case(CASES)
def a_footprint_as_wide_as_the_grid(forger: Forger) -> None:
    from odc.geo.geom import Geometry, box

    from odc_cleansat.grids.footprint import geojson_bbox, lonlat_footprint

    west, south, east, north = Geometry(forger.eo3["geometry"], "EPSG:32633").boundingbox
    wide = box(west, south, east + 240, north, "EPSG:32633")
    lonlat = lonlat_footprint(wide)
    forger.eo3["geometry"] = json.loads(json.dumps(wide.json))
    forger.item |= {"geometry": lonlat.json, "bbox": geojson_bbox(lonlat)}


@_case(CASES)
def another_thumbnail(forger: Forger) -> None:
    path = forger.file("_thumbnail.png")
    with Image.open(path) as picture:
        ImageOps.invert(picture).save(path)


def _tagged(**tags: Any) -> Tampering:
    def change(forger: Forger) -> None:
        with rasterio.open(forger.file("_ucl.tif"), "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            for name, value in tags.items():
                if name == "tags":
                    file.update_tags(**value)
                else:
                    setattr(file, name, value)

    return change


CASES["a scale"] = _tagged(scales=(2.0,))
CASES["a tag"] = _tagged(tags={"offset": "1"})
CASES["a description"] = _tagged(descriptions=("scl",))


@_case(CASES)
def overviews_in_another_file(forger: Forger) -> None:
    with rasterio.open(forger.file("_ucl.tif"), "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE="/vsicurl/http://127.0.0.1:1/x.tif")


@_case(CASES)
def layers_that_are_swapped(forger: Forger) -> None:
    one, two = forger.file("_ucl.tif"), forger.file("_ucl_confidence.tif")
    content = one.read_bytes()
    shutil.copy(two, one)
    two.write_bytes(content)


@_case(CASES)
def codes_of_another_class(forger: Forger) -> None:
    codes, confidence = forger.layers()
    forger.draw(np.where(codes == 2, 4, codes).astype("uint8"), confidence)


@_case(CASES)
def nothing_at_all(forger: Forger) -> None:
    codes, confidence = forger.layers()
    forger.draw(np.zeros_like(codes), np.full_like(confidence, 255))


# Files


@_case(CASES_AFTER)
def a_file_too_much(forger: Forger) -> None:
    (forger.folder / "notes.txt").write_text("x")


@_case(CASES_AFTER)
def a_sidecar_of_gdal(forger: Forger) -> None:
    path = forger.file("_ucl.tif")
    path.with_name(f"{path.name}.aux.xml").write_text("<PAMDataset></PAMDataset>")


@_case(CASES_AFTER)
def a_folder_inside(forger: Forger) -> None:
    (forger.folder / "more").mkdir()


@_case(CASES_AFTER)
def a_file_less(forger: Forger) -> None:
    forger.file("_thumbnail.png").unlink()


@_case(CASES_AFTER)
def a_changed_byte(forger: Forger) -> None:
    with forger.file("_ucl.tif").open("ab") as file:
        file.write(b"x")


@_case(CASES_AFTER)
def a_link_to_elsewhere(forger: Forger) -> None:
    path = forger.file("_ucl.tif")
    shutil.move(path, forger.folder.parent / "elsewhere.tif")
    path.symlink_to(forger.folder.parent / "elsewhere.tif")


@_case(CASES_AFTER)
def checksums_of_the_document_alone(forger: Forger) -> None:
    sums = forger.file(".sha1")
    sums.write_text(sums.read_text().splitlines(keepends=True)[0])


@_case(CASES_AFTER)
def no_checksum_of_one_file(forger: Forger) -> None:
    sums = forger.file(".sha1")
    sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:-1]))
    a_changed_byte(forger)


@_case(CASES_AFTER)
def a_checksum_of_a_file_elsewhere(forger: Forger) -> None:
    (forger.folder.parent / "x").write_bytes(b"")
    with forger.file(".sha1").open("a") as file:
        file.write(f"{hashlib.sha1(b'').hexdigest()}\t../x\n")


@_case(CASES_AFTER)
def two_checksums_of_one_file(forger: Forger) -> None:
    sums = forger.file(".sha1")
    first = sums.read_text().splitlines()[0]
    sums.write_text(f"{'0' * 40}\t{first.split(chr(9))[1]}\n" + sums.read_text())


@_case(CASES_AFTER)
def checksums_in_the_lines_of_another_system(forger: Forger) -> None:
    sums = forger.file(".sha1")
    sums.write_bytes(sums.read_bytes().replace(b"\n", b"\r\n"))


@_case(CASES_AFTER)
def a_checksum_of_no_part(forger: Forger) -> None:
    (forger.folder / "x").write_bytes(b"")
    with forger.file(".sha1").open("a") as file:
        file.write(f"{hashlib.sha1(b'').hexdigest()}\tx\n")


@_case(CASES_AFTER)
def no_checksums(forger: Forger) -> None:
    forger.file(".sha1").write_text("")


# Pixels, with all that follows from them


@_case(PIXEL_CASES)
def clouds_that_are_gone(forger: Forger) -> None:
    codes, confidence = forger.layers()
    forger.draw(np.where(codes == 2, 1, codes).astype("uint8"), confidence)


@_case(PIXEL_CASES)
def one_pixel_that_is_far_surer(forger: Forger) -> None:
    codes, confidence = forger.layers()
    row, column = np.argwhere((codes != 0) & (confidence < 80))[0]
    confidence[row, column] += 15
    forger.draw(codes, confidence)


@_case(PIXEL_CASES)
def one_pixel(forger: Forger) -> None:
    codes, confidence = forger.layers()
    row, column = np.argwhere(codes == 1)[0]
    codes[row, column] = 2
    forger.draw(codes, confidence)


@_case(PIXEL_CASES)
def more_confidence(forger: Forger) -> None:
    codes, confidence = forger.layers()
    forger.draw(codes, np.where(confidence <= 100, 99, confidence).astype("uint8"))


@_case(PIXEL_CASES)
def less_confidence_in_a_corner(forger: Forger) -> None:
    codes, confidence = forger.layers()
    corner = confidence[:20, :20]
    corner[corner <= 100] //= 2
    forger.draw(codes, confidence)


@_case(PIXEL_CASES)
def less_data(forger: Forger) -> None:
    from odc.geo.geom import Geometry

    from odc_cleansat.grids.footprint import data_footprint, geojson_bbox, lonlat_footprint

    codes, confidence = forger.layers()
    codes[:10], confidence[:10] = 0, 255
    with rasterio.open(forger.file("_ucl.tif")) as file:
        grid = GeoBox.from_rio(file)
    forger.draw(codes, confidence)
    place: Geometry = data_footprint(codes > 0, grid)
    lonlat = lonlat_footprint(place)
    forger.eo3["geometry"] = json.loads(json.dumps(place.json))
    forger.item |= {"geometry": lonlat.json, "bbox": geojson_bbox(lonlat)}


@_case(PIXEL_CASES)
def pixels_of_which_an_older_version_was_unsure(forger: Forger) -> None:
    """Whoever says that another engine made it is not held to less."""
    codes, confidence = forger.layers()
    codes[(codes == 2) & (np.indices(codes.shape).sum(0) % 3 == 0)] = 1
    forger.draw(codes, np.where(confidence <= 100, 60, confidence).astype("uint8"))
    forger.say(cleansat__precision="bf16")
    forger.own["engine"]["precision"] = "bf16"
    forger.record["software_versions"][3]["version"] = "2020.1"
    forger.item["properties"]["processing:software"]["openvino"] = "2020.1"


@_case(PIXEL_CASES)
def a_doubt_that_no_pixel_gives(forger: Forger) -> None:
    forger.own["complaint"] = "the values look wrong: blue is too bright."
    forger.say(cleansat__reflectance_doubt=forger.own["complaint"])


@_case(PIXEL_CASES)
def files_of_other_bands(forger: Forger) -> None:
    bands = forger.own["scene"]["bands"]
    bands["blue"], bands["swir22"] = bands["swir22"], bands["blue"]


@_case(PIXEL_CASES)
def files_that_are_not_there(forger: Forger) -> None:
    for band in forger.own["scene"]["bands"].values():
        band["uri"] = band["uri"].replace("/june/", "/nowhere/")


# What shows only in the scene's own document


def _record_scene(key: str, value: str) -> Tampering:
    def change(forger: Forger) -> None:
        assert forger.own["scene"][key] != value
        forger.own["scene"][key] = value

    return change


SCENE_CASES: dict[str, Tampering] = {
    "the label of the scene": _record_scene("label", "july"),
    "the product of the scene": _record_scene("product", "s2_l1c"),
}
"""What shows only beside the document of the scene."""


@_case(SCENE_CASES)
def nothing_is_simulated(forger: Forger) -> None:
    for properties in (forger.properties, forger.item["properties"]):
        del properties["cleansat:simulated"]


@_case(SCENE_CASES)
def a_view_from_elsewhere(forger: Forger) -> None:
    forger.say(view__off_nadir=3.0)
