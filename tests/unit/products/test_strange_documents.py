"""Whatever stands in a stranger's documents, the outcome is a result or an error of ours."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from datacube.model import Dataset
from fakes import brightness_engine
from hypothesis import given
from hypothesis import strategies as st
from strategies import ODD, documents, ours, tried, with_faults

from odc_cleansat import load, recall
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.evaluate.mappings import get_mapping
from odc_cleansat.models.model import BUILTIN
from odc_cleansat.models.registry import read_model
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import DOCUMENT, ITEM, RECORD, MaskProduct
from odc_cleansat.products.verdict_files import accept, read_many, verdicts
from odc_cleansat.products.verification import verify
from odc_cleansat.review.collection import collect
from odc_cleansat.review.datasets import is_mask, mask_dataset
from odc_cleansat.review.inspection import inspect_mask
from odc_cleansat.review.page_rows import mask_row
from odc_cleansat.scenes.band_folder import open_scene, write_scene_document
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.storage.folder import Folder
from odc_cleansat.synthetic.scene import SimulatedScene


class Small:
    """A small scene and its mask, in files and in a datacube in memory."""

    def __init__(self, folder: Path) -> None:
        from datacube import Datacube

        self.folder = folder
        self.bands = SimulatedScene(shape=(60, 48), seed=1).write(folder / "june")
        self.scene = write_scene_document(open_scene(self.bands), folder / "scenes")
        with brightness_engine():
            document = MaskJob.of_scene(read_scene(str(self.scene)), folder / "masks").run()
        self.mask = Path(document).parent
        self.dc = Datacube(raw_config={"default": {"index_driver": "memory"}})
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(self.dc, product_definition(product))
        self.indexed = [add_dataset(self.dc, each) for each in (self.scene, document)]
        self.parts = {end: self.read(end) for end in (DOCUMENT, RECORD, ITEM)}

    def read(self, end: str) -> Any:
        (path,) = self.mask.glob(f"*{end}")
        return yaml.load(path.read_text(), yaml.CSafeLoader)

    def product_with(self, end: str, document: Any, *, signed: bool) -> Path:
        """A copy of the mask with another document, whose checksum may be right."""
        copied = self.folder / "copy" / MASK_PRODUCT / self.mask.name
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        shutil.copytree(self.mask, copied)
        (path,) = copied.glob(f"*{end}")
        write(document, path)
        (sums,) = copied.glob("*.sha1")
        if signed:
            names = [line.split("\t")[1] for line in sums.read_text().splitlines()]
            lines = [f"{hashlib.sha1((copied / n).read_bytes()).hexdigest()}\t{n}\n" for n in names]
            sums.write_text("".join(lines))
        return copied


def write(document: Any, path: Path) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps(document, default=str))
    else:
        path.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(tmp_path_factory.mktemp("small"))


def all_of(product: MaskProduct) -> None:
    for name in ("id", "label", "properties", "model", "day", "grid", "own_record", "stac_item"):
        with ours():
            getattr(product, name)
    with ours():
        product.is_intact()


LOOKS: dict[str, Callable[[Path], Any]] = {
    "verify": lambda place: json.dumps(verify(place, pixels=False).as_dict()),
    "verify with pixels": lambda place: verify(place),
    "inspect": lambda place: inspect_mask(MaskProduct(place)),
    "row": lambda place: json.dumps(mask_row(MaskProduct(place), 64)),
    "compare": mask_dataset,
    "is it a mask": lambda place: [is_mask(each) for each in place.glob(f"*{DOCUMENT}")],
    "list": lambda place: [(each.day, each.label) for each in collect(place, None).products],
    "is it a scene": lambda place: [read_scene(str(each)) for each in place.glob(f"*{DOCUMENT}")],
    "verdicts": verdicts,
    "read": lambda place: all_of(MaskProduct(place)),
}
"""What is done with products of strangers."""


@pytest.mark.usefixtures("fast_network")
@pytest.mark.parametrize("look", LOOKS)
@tried(8)
@given(random=st.randoms(use_true_random=False))
def test_products(small: Small, look: str, random: Any) -> None:
    end = random.choice([*small.parts])
    spoilt = with_faults(small.parts[end], random)
    place = small.product_with(end, spoilt, signed=random.random() < 0.5)
    with ours():
        LOOKS[look](place)


def item_of(small: Small) -> dict[str, Any]:
    """A STAC item of the scene."""
    values = {"nodata": 0, "data_type": "uint16", "scale": 1e-4, "offset": -0.1}
    assets = {
        path.stem: {"href": str(path), "type": "image/tiff", "raster:bands": [values]}
        for path in small.bands.glob("*.tif")
    }
    ring = [[13, 47], [14, 47], [14, 48], [13, 47]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2B_MSIL2A_20240615T100031_N0510_R122_T33UVP_20240615T120000",
        "collection": "sentinel-2-l2a",
        "properties": {
            "datetime": "2024-06-15T10:10:31Z",
            "platform": "sentinel-2b",
            "instruments": ["msi"],
            "s2:processing_baseline": "05.10",
        },
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [13, 47, 14, 48],
        "links": [],
        "assets": assets,
    }


@pytest.mark.usefixtures("fast_network")
@pytest.mark.parametrize("form", ["item.json", "scene.odc-metadata.yaml", "scene.json"])
@tried(20)
@given(random=st.randoms(use_true_random=False))
def test_scenes(small: Small, form: str, random: Any) -> None:
    there = small.folder / "strange"
    if form == "scene.json":
        shutil.copytree(small.bands, there, dirs_exist_ok=True)
        whole = json.loads((small.bands / form).read_text())
    else:
        there.mkdir(exist_ok=True)
        whole = item_of(small) if form == "item.json" else yaml.safe_load(small.scene.read_text())
    path = write(with_faults(whole, random), there / form)
    with ours():
        scene = read_scene(str(there if form == "scene.json" else path))
        scene.files.offset()
        MaskJob.of_scene(scene, small.folder / "out").run()


@pytest.mark.usefixtures("fast_network")
@tried(25)
@given(random=st.randoms(use_true_random=False))
def test_indexed_datasets(small: Small, random: Any) -> None:
    which = random.randrange(2)
    found = small.indexed[which]
    spoilt = with_faults(dict(found.metadata_doc), random)
    if not isinstance(spoilt, dict):
        return
    odd = Dataset(found.product, spoilt, uri=found.uri)
    grid = {"output_crs": "EPSG:32633", "resolution": 20}
    with ours():
        if which == 0:
            load(small.dc, datasets=[odd], measurements=["red", "ucl"], **grid).load()
        else:
            recall(small.dc, datasets=[odd, found], how=random.choice(["nearest", "mode"])).load()


MODELS = [yaml.safe_load(path.read_text()) for path in sorted(BUILTIN.glob("*.yaml"))]


@tried(40)
@given(document=st.sampled_from(MODELS).flatmap(documents))
def test_models(small: Small, document: Any) -> None:
    path = write(document, small.folder / "model.yaml")
    with ours():
        model = read_model(path)
        model.parameters()
        hash(model)


@tried(20)
@given(random=st.randoms(use_true_random=False))
def test_verdicts(small: Small, random: Any) -> None:
    place = small.folder / "judged" / small.mask.name
    if not place.is_dir():
        shutil.copytree(small.mask, place)
        accept(place, "looked at", by="A. Name")
    (path,) = place.glob("*.verdict.json")
    whole = json.loads(path.read_text())
    write(with_faults(copy.deepcopy(whole), random), path)
    product = MaskProduct(place)
    found, _ = read_many({product.id: Folder(place)})
    assert [*found] == [product.id], "one odd verdict stops nobody"
    with ours():
        verdicts(place)
    write(whole, path)


@tried(30)
@given(
    mapping=st.one_of(st.sampled_from(ODD), st.text(alphabet="0=clear,1shadow :-\n", max_size=12))
)
def test_mappings(mapping: Any) -> None:
    with ours():
        get_mapping(mapping)
