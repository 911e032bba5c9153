"""A mask product on this machine: whole or absent, what it says of itself, and `verify`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pystac
import pytest
import rasterio
import yaml
from click.testing import CliRunner
from datacube import Datacube
from datacube.model import Dataset
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rio_cogeo import cog_validate

from odc_cleansat import CloudClass
from odc_cleansat.cli.main import main
from odc_cleansat.cube.index import add_dataset, add_product
from odc_cleansat.errors import OutputError
from odc_cleansat.products import verification as verifying
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import DOCUMENT, MaskProduct
from odc_cleansat.products.verification import CHECKS, verify
from odc_cleansat.products.write import write_layer
from odc_cleansat.scenes.band_folder import open_band_folder, write_scene_document
from odc_cleansat.storage.atomic import working_folder
from odc_cleansat.storage.cog import Raster, write_cogs
from odc_cleansat.storage.eo3 import MASK_PRODUCT, product_definition
from odc_cleansat.storage.folder import Folder
from odc_cleansat.synthetic.scene import SimulatedScene


@pytest.fixture(scope="module")
def dc() -> Iterator[Datacube]:
    with Datacube(raw_config={"default": {"index_driver": "memory"}}) as dc:
        for product in ("s2_l2a", MASK_PRODUCT):
            add_product(dc, product_definition(product))
        yield dc


@pytest.fixture(scope="module")
def scene(dc: Datacube, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("scene")
    simulated = SimulatedScene(shape=(1200, 420), seed=1, swath_edge=True)
    return add_dataset(
        dc, write_scene_document(open_band_folder(simulated.write(folder / "june")), folder)
    )


@pytest.fixture(scope="module")
def written(scene: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished product, only to be read."""
    document = MaskJob(scene, tmp_path_factory.mktemp("products")).run()
    assert isinstance(document, Path)
    return document.parent


@pytest.fixture
def product(written: Path, tmp_path: Path) -> Path:
    """A copy that may be harmed."""
    return Path(shutil.copytree(written, tmp_path / "root" / written.name))


def one(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- complete or absent ---------------------------------------------------------------


def test_a_product_is_made_once(scene: Dataset, written: Path) -> None:
    before = content(written)
    job = MaskJob(scene, written.parents[5])
    assert job.document == one(written, "*.odc-metadata.yaml")
    assert job.run() == job.document, "another program's is as good"
    assert content(written) == before


def test_every_kind_of_damage_is_seen_and_mended(
    scene: Dataset, tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = MaskJob(scene, tmp_path)
    monkeypatch.setattr("odc_cleansat.products.job.classify", lambda *_, **__: stored(written))
    job.run()
    folder = job.folder.path
    assert folder is not None
    for damage in ("*_ucl.tif", "*.sha1", "*.odc-metadata.yaml", "*.stac-item.json"):
        one(folder, damage).unlink()
        assert job.document is None
        job.run()
        assert job.document is not None
    path = one(folder, "*_ucl.tif")
    path.write_bytes(path.read_bytes()[:-1])
    assert job.document is None
    job.run()
    assert MaskProduct(folder).is_intact()
    assert [p.name for p in tmp_path.iterdir()] == [MASK_PRODUCT], "nothing is left beside"


def stored(folder: Path):  # type: ignore[no-untyped-def]
    """A written mask as `classify` gives it."""
    import xarray as xr

    layers = {}
    for name in ("ucl", "ucl_confidence"):
        with rasterio.open(one(folder, f"*_{name}.tif")) as file:
            layers[name] = wrap_xr(file.read(1), GeoBox.from_rio(file), nodata=file.nodata)
    return xr.Dataset(layers)


def test_a_damaged_product_stays_until_the_new_one_is_there(
    scene: Dataset, product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever moment it is killed in, no more is lost than was."""
    one(product, "*_ucl.tif").write_bytes(b"damaged")
    damaged = content(product)
    new = tmp_path / "new"
    shutil.copytree(product, new)
    for path in new.iterdir():
        path.write_bytes(b"new " + path.name.encode())
    wanted = content(new)
    replaced: list[str] = []
    real = os.replace

    def watched(source: Path, target: Path) -> None:
        real(source, target)
        replaced.append(target.name)
        left = {n: wanted[n] if n in replaced else damaged[n] for n in damaged}
        assert content(product) == left

    monkeypatch.setattr("odc_cleansat.storage.atomic.os.replace", watched)
    last = [one(product, "*.sha1").name, one(product, "*.odc-metadata.yaml").name]
    Folder(product).deliver(new, last)
    assert replaced[-2:] == last
    assert content(product) == wanted


WRITE = """
import sys, time
from pathlib import Path
from odc_cleansat.storage.atomic import working_folder
with working_folder(Path(sys.argv[1])) as work:
    (work / "half.tif").write_bytes(b"x")
    print(work, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_left_is_cleared_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    def start() -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    (killed, left), (living, kept) = start(), start()
    try:
        killed.kill()
        assert killed.wait() == -signal.SIGKILL
        assert left.is_dir()
        with working_folder(tmp_path) as work:
            assert not left.exists()
            assert kept.is_dir()
            assert work.is_dir()
        assert not work.exists()
    finally:
        for process in (killed, living):
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]


FULL = """
import resource, sys, warnings
from pathlib import Path
import pickle
source, mask, model, offset, dataset_id = pickle.load(open(sys.argv[1], "rb"))
from odc_cleansat.storage.eo3 import read_document
from odc_cleansat.products.provenance import Provenance
from odc_cleansat.products.write import write_mask
provenance = Provenance(read_document(source), model, offset, "x", "f32")
for limit in sys.argv[3:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    try:
        print("written", write_mask(mask, provenance, dataset_id, sys.argv[2]))
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_a_full_disk(scene: Dataset, written: Path, tmp_path: Path) -> None:
    """Files that cannot grow beyond a limit stand for a disk without space."""
    import pickle

    job = MaskJob(scene, tmp_path)
    rng = np.random.default_rng(0)
    mask = stored(written)
    mask["ucl_confidence"] = mask.ucl_confidence.copy(
        data=rng.integers(34, 100, mask.ucl.shape, dtype="uint8")
    )
    parts = (scene.metadata_doc, mask, job.model, job.offset, job.id)
    (tmp_path / "mask.pickle").write_bytes(pickle.dumps(parts))
    out = tmp_path / "out"
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FULL, tmp_path / "mask.pickle", out, "1000", "20000", "70000"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert len(said) == 3
    for line in said:
        assert line.startswith("OutputError cannot write the mask to")
        assert "Check the space" in line
    assert [p for p in out.rglob("*") if p.is_file()] == []
    assert not list(out.glob(".cleansat-*"))


def test_a_layer_that_the_disk_did_not_take_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = wrap_xr(np.ones((70, 90), "uint8"), GeoBox((70, 90), grid().affine, "EPSG:32633"), nodata=0)  # fmt: skip
    import rasterio.shutil

    real = rasterio.shutil.copy

    def other(source: str, target: Path, **how: object) -> None:
        real(source, target, **how)
        with rasterio.open(target, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            file.write(np.zeros((1, 1), "uint8"), 1, window=((3, 4), (5, 6)))

    monkeypatch.setattr("rasterio.shutil.copy", other)
    with pytest.raises(OSError, match="not written whole"):
        write_layer(layer, tmp_path / "x.tif")


def grid() -> GeoBox:
    return GeoBox.from_bbox((0, 0, 20, 20), "EPSG:32633", resolution=20)


def test_a_folder_without_permission(scene: Dataset, written: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("odc_cleansat.products.job.classify", lambda *_, **__: stored(written))
    with pytest.raises(OutputError, match=r"/proc/.*Check the space and the permissions"):
        MaskJob(scene, Path("/proc/masks")).run()


# --- what it says of itself -----------------------------------------------------------


def test_provenance_is_all_there(scene: Dataset, written: Path) -> None:
    document = yaml.safe_load(one(written, "*.odc-metadata.yaml").read_text())
    record = yaml.safe_load(one(written, "*.proc-info.yaml").read_text())
    assert document["lineage"] == {"level2": [str(scene.id)]}
    assert record["cleansat"]["scene"]["id"] == str(scene.id)
    bands = record["cleansat"]["scene"]["bands"]
    assert list(bands) == ["blue", "green", "red", "nir", "swir16", "swir22"]
    assert record["cleansat"]["scene"]["scl"]["uri"].endswith("SCL.tif")
    assert all(Path(each["uri"].removeprefix("file://")).is_file() for each in bands.values())
    assert set(record["cleansat"]["algorithm"]) == {"name", "version", "resolution", "stride", "overlap", "whole"}  # fmt: skip
    assert len(record["cleansat"]["model"]["sha256"]) == 64
    assert set(record["cleansat"]["engine"]) == {"name", "precision"}
    assert record["cleansat"]["offset"] == {"value": -1000, "source": "s2:processing_baseline is 05.10"}  # fmt: skip
    versions = {each["name"] for each in record["software_versions"]}
    assert versions >= {"odc-cleansat", "openvino", "numpy", "rasterio", "eodatasets3"}
    said = document["properties"]
    with rasterio.open(one(written, "*_ucl.tif")) as file:
        codes = file.read(1)
    assert said["cleansat:data_percent"] == pytest.approx(100 * np.mean(codes > 0), abs=0.006)
    for c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW):
        share = 100 * np.mean(codes[codes > 0] == c)
        assert said[f"cleansat:{c.label}_percent"] == pytest.approx(share, abs=0.006)


def test_keys_in_the_addresses_of_a_scene_are_not_written_down(written: Path) -> None:
    from odc_cleansat.products.provenance import without_query

    assert without_query("https://x.org/a/B02.tif?sig=secret#x") == "https://x.org/a/B02.tif"
    assert without_query("s3://x/B02.tif") == "s3://x/B02.tif"


def test_the_stac_item_and_its_extensions(written: Path) -> None:
    from pystac.extensions.classification import ClassificationExtension
    from pystac.extensions.mlm import MLMExtension
    from pystac.extensions.projection import ProjectionExtension
    from pystac.extensions.raster import RasterExtension

    document = json.loads(one(written, "*.stac-item.json").read_text())
    item = pystac.Item.from_dict(document)
    names = {url.split("/")[3] for url in item.stac_extensions}
    assert names >= {"projection", "raster", "classification", "mlm", "processing"}
    item.stac_extensions = []  # their schemas are not installed; the item's own is
    item.validate()
    item = pystac.Item.from_dict(document)
    assert ProjectionExtension.ext(item).epsg == 32633
    (band,) = RasterExtension.ext(item.assets["ucl_confidence"]).bands or []
    assert (band.nodata, band.unit, band.spatial_resolution) == (255, "percent", 20)
    classes = ClassificationExtension.ext(item.assets["ucl"]).classes or []
    assert [(c.value, c.name) for c in classes] == [(0, "nodata"), (1, "clear"), (2, "cloud"), (3, "shadow")]  # fmt: skip
    model = MLMExtension.ext(item)
    assert model.mlm_name == "unet-efficientnetb4-l2a-6b"
    assert model.input[0].input.shape[1] == 6
    assert item.assets["model"].roles == ["mlm:model", "mlm:weights"]
    assert item.assets["thumbnail"].media_type == "image/png"
    assert item.properties["odc:product"] == MASK_PRODUCT
    for asset in item.assets.values():
        assert asset.href.startswith("https://") or (written / asset.href).is_file()


def test_overviews_are_by_mode(tmp_path: Path) -> None:
    """They hold no class that is not there, and a class on a third of the pixels in specks is lost."""
    rng = np.random.default_rng(0)
    cloud = np.zeros((1600, 1600), dtype=bool)
    for y, x in rng.integers(0, 1597, (90_000, 2)):
        cloud[y : y + 3, x : x + 3] = True
    codes = np.where(cloud, 3, 1).astype("uint8")
    gbox = GeoBox((1600, 1600), grid().affine, "EPSG:32633")
    write_layer(wrap_xr(codes, gbox, nodata=0), tmp_path / "x.tif")
    valid, _, warned = cog_validate(tmp_path / "x.tif", strict=True)
    assert valid
    assert not warned
    with rasterio.open(tmp_path / "x.tif") as file:
        assert file.overviews(1) == [2, 4, 8]
        assert file.compression.name == "deflate"
        assert file.block_shapes == [(512, 512)]
    with rasterio.open(tmp_path / "x.tif", overview_level=0) as file:
        small = file.read(1)
    assert set(np.unique(small)) == {1, 3}
    blocks = codes.reshape(800, 2, 800, 2).transpose(0, 2, 1, 3).reshape(800, 800, 4) == 3
    majority = blocks.sum(-1)
    assert (small[majority > 2] == 3).all()
    assert (small[majority < 2] == 1).all()


# --- verify ---------------------------------------------------------------------------


def test_a_good_product_is_right(written: Path) -> None:
    report = verify(written)
    assert [check.name for check in report.checks] == list(CHECKS)
    assert [check.right for check in report.checks] == [True] * 5
    assert report.right
    assert report.equal == 1
    assert "in the same way" in report.checks[-1].detail


def test_of_another_precision_only_sure_pixels_have_to_be_the_same(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In haze bf16 turns some hundredths of the pixels, all of them unsure ones."""
    codes, sure = (
        rasterio.open(one(written, f"*_{name}.tif")).read(1) for name in ("ucl", "ucl_confidence")
    )
    other = {"name": "openvino", "precision": "of another machine", "version": "0"}

    def pixels(made: np.ndarray) -> verifying.Check:
        monkeypatch.setattr(verifying, "_make_again", lambda _: (made, other))
        return verify(written).checks[-1]

    turned = np.where((codes > 0) & (sure < verifying.SURE), codes % 3 + 1, codes)
    assert (turned != codes).mean() > 0.005
    found = pixels(turned)
    assert found.right
    assert "100.0000 % of those of which it is at least 70 % sure" in found.detail
    turned = codes.copy()
    turned[(sure >= verifying.SURE) & (sure <= 100) & (np.indices(codes.shape)[0] % 50 == 0)] = 6
    found = pixels(turned)
    assert found.right is False
    assert "less than 99.5 %" in found.detail


def failed(folder: Path) -> dict[str, str]:
    return {c.name: c.detail for c in verify(folder, pixels=False).checks if c.right is False}


def change(folder: Path, pattern: str, old: str, new: str) -> None:
    path = one(folder, pattern)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_changed_and_missing_files(product: Path) -> None:
    one(product, "*_thumbnail.png").unlink()
    path = one(product, "*.proc-info.yaml")
    path.write_text(path.read_text() + "\n")
    said = failed(product)["files"]
    assert f"missing: {product.name}_thumbnail.png" in said
    assert f"not as written: {path.name}" in said


def test_no_checksums_at_all(product: Path) -> None:
    one(product, "*.sha1").unlink()
    assert ".sha1 is missing" in failed(product)["files"]


def test_an_unfinished_product(product: Path) -> None:
    one(product, "*.odc-metadata.yaml").unlink()
    assert "missing" in failed(product)["files"]
    assert "missing" in failed(product)["documents"]


def test_documents_that_disagree(product: Path) -> None:
    change(product, "*.stac-item.json", '"cleansat:offset": -1000', '"cleansat:offset": 0')
    assert "cleansat:offset is -1000 in EO3, 0 in STAC" in failed(product)["documents"]


def test_another_offset_than_that_of_the_id(product: Path) -> None:
    change(product, "*.proc-info.yaml", "value: -1000", "value: 0")
    said = failed(product)
    assert "from scene, model and parameters follows" in said["identity"]
    assert "cleansat:offset" in said["documents"]


def test_an_id_of_its_own(product: Path) -> None:
    document = yaml.safe_load(one(product, "*.odc-metadata.yaml").read_text())
    change(product, "*.odc-metadata.yaml", document["id"], str(uuid4()))
    assert set(failed(product)) == {"files", "documents", "identity"}


def test_pixels_that_were_changed(product: Path) -> None:
    path = one(product, "*_ucl.tif")
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
        codes = file.read(1)
        codes[codes == 2] = 1
        file.write(codes, 1)
    assert "cleansat:clear_percent is" in failed(product)["layers"]
    with rasterio.open(path) as file:
        values, profile = file.read(1), file.profile
    path.unlink()
    with rasterio.open(path, "w", **profile) as file:
        file.write(values, 1)
    assert "no cloud-optimised GeoTIFF" in failed(product)["layers"]
    codes_again = wrap_xr(codes, GeoBox((600, 210), grid().affine, "EPSG:32633"), nodata=0)
    write_layer(codes_again, path)
    assert "not on the grid" in failed(product)["layers"]
    with rasterio.open(one(product, "*_confidence.tif")) as file:
        gbox = GeoBox.from_rio(file)
    write_layer(wrap_xr(codes, gbox, nodata=0), path)
    assert "cleansat:clear_percent" in failed(product)["layers"]
    report = verify(product)
    assert report.equal is not None
    assert 0.5 < report.equal < 0.99
    assert "the scene has changed since" in report.checks[-1].detail


def test_documents_that_are_not_what_they_should_be(product: Path) -> None:
    one(product, "*.stac-item.json").write_text("{")
    assert "cannot be read" in failed(product)["documents"]
    one(product, "*.proc-info.yaml").write_text("cleansat: {}")
    assert "not as it should be" in failed(product)["identity"]
    change(product, f"*{DOCUMENT}", f"id: {uuid_of(product)}", "id: abc")
    assert "not as it should be" in failed(product)["documents"]


def test_a_scene_that_is_gone_is_no_fault(product: Path) -> None:
    change(product, "*.proc-info.yaml", "/june/", "/elsewhere/")
    report = verify(product)
    assert report.checks[-1].right is None
    assert "cannot be made again here" in report.checks[-1].detail
    assert report.equal is None


def test_another_version_or_precision_is_held_to_less(product: Path) -> None:
    """Classes in single and in half precision differ in one pixel of a thousand."""
    record = yaml.safe_load(one(product, "*.proc-info.yaml").read_text())
    own = record["cleansat"]["engine"]["precision"]
    for version in record["software_versions"]:
        if version["name"] == "openvino":
            version["version"] = "2020.1"
    record["cleansat"]["engine"]["precision"] = "f32"
    one(product, "*.proc-info.yaml").write_text(yaml.safe_dump(record))
    report = verify(product)
    assert report.checks[-1].right is True
    assert "with openvino in f32" in report.checks[-1].detail
    assert report.equal is not None
    assert report.equal == 1 if own == "f32" else 0.995 < report.equal < 1
    record["cleansat"]["engine"]["precision"] = "of another processor"
    one(product, "*.proc-info.yaml").write_text(yaml.safe_dump(record))
    assert verify(product).equal == 1


def test_the_command(written: Path, product: Path) -> None:
    run = CliRunner().invoke
    good = run(main, ["verify", str(written.parents[5])])
    assert good.exit_code == 0, good.output
    assert "1 product(s): 1 right, 0 wrong" in good.output
    one(product, "*_thumbnail.png").unlink()
    bad = run(main, ["verify", "--no-pixels", str(product.parent), str(written)])
    assert bad.exit_code == 1
    assert "files      WRONG       missing: " in bad.output
    assert "2 product(s): 1 right, 1 wrong" in bad.output
    as_json = json.loads(run(main, ["verify", "--no-pixels", "--json", str(product)]).output)
    assert as_json["right"] is False
    assert [c["name"] for c in as_json["products"][0]["checks"] if c["right"] is False] == ["files"]
    nothing = run(main, ["verify", str(product.parent.parent / "nowhere")])
    assert nothing.exit_code == 1
    assert "there is no mask product" in nothing.output
    assert run(main, ["verify"]).exit_code == 2


def test_products_are_found_below(product: Path, written: Path) -> None:
    hidden = product.parent / ".cleansat-x"
    shutil.copytree(product, hidden / product.name)
    assert [each.folder.path for each in MaskProduct.find(product.parent)] == [product]
    document = one(product, "*.odc-metadata.yaml")
    assert [each.document_file for each in MaskProduct.find(document)] == [document]
    assert verify(document, pixels=False).right


def uuid_of(product: Path) -> str:
    return str(yaml.safe_load(one(product, f"*{DOCUMENT}").read_text())["id"])


@pytest.mark.parametrize("code", ["epsg:32633", "EPSG:32633"])
def test_the_footprint_is_the_scene_s(scene: Dataset, tmp_path: Path, code: str) -> None:
    """However its document writes the coordinate system."""
    document = {**scene.metadata_doc, "crs": code}
    made = MaskJob(Dataset(scene.product, document, uri=scene.uri), tmp_path).run()
    assert read_yaml(made)["geometry"]["coordinates"] == document["geometry"]["coordinates"]


def test_regions_of_any_name(scene: Dataset, tmp_path: Path) -> None:
    properties = {**scene.metadata_doc["properties"], "odc:region_code": "../51 P\u00fc#S"}
    document = {**scene.metadata_doc, "properties": properties}
    made = Path(MaskJob(Dataset(scene.product, document, uri=scene.uri), tmp_path).run())
    assert made.relative_to(tmp_path).parts[1] == "-51-P-S"
    assert MaskProduct(made.parent).is_intact()


@pytest.mark.parametrize("name", ["a#b", "a?b"])
def test_names_that_are_cut_are_refused(scene: Dataset, tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="take another"):
        MaskJob(scene, tmp_path / name).run()
    assert not (tmp_path / name).exists()


def read_yaml(path: Path | str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(path).read_text())
    return found


def test_other_files_in_the_making_are_left_alone(tmp_path: Path) -> None:
    """A mask that is written sweeps away what killed programs have left, and no more."""
    grid = GeoBox.from_bbox((0, 0, 6000, 6000), "EPSG:32633", resolution=10)
    band = wrap_xr(np.ones(grid.shape, "uint8"), grid).chunk({"y": 300, "x": 300})

    def meanwhile(*_: int) -> None:
        with working_folder(tmp_path):
            pass

    write_cogs({tmp_path / "composite.tif": Raster({"red": band}, 0)}, progress=meanwhile)
    with rasterio.open(tmp_path / "composite.tif") as file:
        assert (file.read(1) == 1).all()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from odc_cleansat.errors import OutputError
from odc_cleansat.storage.cog import Raster, write_cogs

grid = GeoBox.from_bbox((0, 0, 10240, 10240), "EPSG:32633", resolution=10)
noise = np.random.default_rng(0).integers(0, 60000, grid.shape).astype("uint16")
target = Path(sys.argv[1]) / "red.tif"
files = {target: Raster({"red": wrap_xr(noise, grid)}, 0)}
write_cogs(files)
size, before = target.stat().st_size, target.read_bytes()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for missing in (1, 50, 2000, size // 2):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - missing, resource.RLIM_INFINITY))
    try:
        write_cogs(files)
    except OutputError as error:
        print(error)
    assert target.read_bytes() == before, missing
"""


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Check the space there") == 4
