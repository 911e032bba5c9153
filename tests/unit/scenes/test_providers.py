"""Each row of the table of providers, on a server that answers with items and files of the provider's form."""

from __future__ import annotations

import copy
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import house
import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
import yaml
from affine import Affine
from click.testing import CliRunner
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from stac_server import StacServer

from odc_cleansat.cli.main import main
from odc_cleansat.cube.driver import with_ucl
from odc_cleansat.errors import CleansatError, SceneError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.scenes import providers
from odc_cleansat.scenes.providers import PROVIDERS, choose_collections, find_provider
from odc_cleansat.scenes.search import search
from odc_cleansat.scenes.stac import item_scene

from .helpers import ITEMS, masked

pytestmark = pytest.mark.usefixtures("fast_network")

PAGE = house.ROOT / "docs" / "how-to" / "providers.md"
BOX = [13.0, 47.0, 14.0, 48.0]
C1 = "odc-tools/S2B_T37MGP_20240710T073012_L2A_C1.json"
REFLECTIVE = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]


# --- files of each form ---------------------------------------------------------------


def converted(source: Path, target: Path, nodata: int, metres: int | None = None) -> Path:
    """The bands as int16 with another value for no data, which the first rows and columns have."""
    target.mkdir()
    for name in REFLECTIVE:
        with rasterio.open(source / f"{name}.tif") as file:
            profile, size = file.profile, file.transform.a
            shape = tuple(round(n * size / (metres or size)) for n in file.shape)
            values = file.read(1, out_shape=shape, resampling=Resampling.average).astype("int16")
            scale = file.transform * Affine.scale(file.width / shape[1], file.height / shape[0])
        edge = 600 // round(scale.a)
        values[:edge] = values[:, :edge] = nodata
        profile |= {"dtype": "int16", "nodata": nodata, "height": shape[0], "width": shape[1]}
        with rasterio.open(target / f"{name}.tif", "w", **{**profile, "transform": scale}) as file:
            file.write(values, 1)
    return target


@pytest.fixture(scope="session")
def forms(scenes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same scene as each provider writes it."""
    folder = tmp_path_factory.mktemp("forms")
    (folder / "jp2").mkdir()
    for path in scenes["shifted"].glob("[BS]*.tif"):
        with rasterio.open(path) as file:
            profile = {k: file.profile[k] for k in ("width", "height", "count", "dtype", "crs", "transform")}  # fmt: skip
            lossless = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}
            with rasterio.open(folder / f"jp2/{path.stem}.jp2", "w", **profile, **lossless) as out:
                out.write(file.read())
    return {
        "jp2": folder / "jp2",
        "ard": converted(scenes["plain"], folder / "ard", -999),
        "hls": converted(scenes["plain"], folder / "hls", -9999, 30),
    }


def made(name: str, collection: str, assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """An item of the layout of a provider, of whom no real one is at hand."""
    west, south, east, north = BOX
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection, "bbox": BOX, "links": [],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": "2024-06-15T10:05:49.024000Z", "eo:cloud_cover": 3, **properties},
        "assets": assets,
    }  # fmt: skip


def cdse_item() -> dict[str, Any]:
    """STAC 1.1: `bands` in place of `raster:bands`, several resolutions, JPEG 2000 in a bucket."""
    assets: dict[str, Any] = {"product": {"href": "https://download.dataspace.copernicus.eu/odata/v1/Products(1)/$value", "type": "application/zip"}}  # fmt: skip
    for band in (*REFLECTIVE, "SCL"):
        for metres in (10, 20, 60):
            values = {"nodata": 0, "data_type": "uint16", "raster:scale": 0.0001, "raster:offset": -0.1}  # fmt: skip
            assets[f"{band}_{metres}m"] = {
                "href": f"s3://eodata/{band}.jp2", "type": "image/jp2", "gsd": metres, "bands": [{"name": band}],
                "alternate": {"https": {"href": "https://download.dataspace.copernicus.eu/x"}},
                **(values if band != "SCL" else {"nodata": 0}),
            }  # fmt: skip
    item = made(
        "S2B_MSIL2A_20240615T100549_N0510_R022_T33TVN_20240615T134111", "sentinel-2-l2a", assets,
        **{"platform": "sentinel-2b", "grid:code": "MGRS-33TVN", "product:type": "S2MSI2A", "processing:version": "05.10"},
    )  # fmt: skip
    return item | {"stac_version": "1.1.0"}


def hls_item(name: str, collection: str, place: str) -> dict[str, Any]:
    names = (*REFLECTIVE, "B10", "Fmask", "SZA", "SAA")
    assets = {
        band: {"href": f"{place}/{band}.tif", "type": "image/tiff; application=geotiff; profile=cloud-optimized"}
        for band in names
    }  # fmt: skip
    return made(name, collection, assets)


def real_item(path: Path, folder: str, collection: str, box: list[float]) -> dict[str, Any]:
    """A real item at another place and time, its files in a folder."""
    item: dict[str, Any] = copy.deepcopy(json.loads(path.read_text(encoding="utf-8")))
    code = {f"band{n[1:].lower()}": n for n in REFLECTIVE} | {n: n for n in (*REFLECTIVE, "SCL")}
    for asset in item["assets"].values():
        stem = Path(asset["href"]).stem
        band = next((code[n] for n in code if stem.endswith((n, f"{n}_10m", f"{n}_20m", f"{n}_60m"))), None)  # fmt: skip
        tif = asset["href"].endswith(".tif")
        asset["href"] = f"{folder}/{band if tif and band else 'nothing'}.tif"
    item |= {"collection": collection, "bbox": box, "links": []}
    item["properties"]["datetime"] = "2024-06-15T10:05:49Z"
    return item


def containers(server: StacServer) -> tuple[str, str]:
    """Of Sentinel-2 and of HLS. GDAL remembers files and signatures, so each server has names of its own."""
    port = server.url.rpartition(":")[2]
    server.signed = (f"/sentinel2-l2-{port}/", f"/hls2-{port}/")
    azure = "blob.core.windows.net"
    return f"http://sentinel2l2a01.{azure}/sentinel2-l2-{port}", f"http://hls2euwest.{azure}/hls2-{port}"  # fmt: skip


def furnish(server: StacServer, name: str, metadata: Path, forms: dict[str, Path]) -> dict[str, Any]:  # fmt: skip
    """Give the server an item of a provider, its files, and what they ask for."""
    plain, shifted = server.folders["plain"], server.folders["shifted"]
    box = [-180.0, -90.0, 180.0, 90.0]
    hls = "HLS.S30.T33TVN.2024167T100549.v2.0"
    blob, other = containers(server)
    server.folders = {
        **server.folders, blob.rpartition("/")[2]: plain, other.rpartition("/")[2]: forms["hls"], "eodata": forms["jp2"], "dea-public-data": forms["ard"],
        "deafrica-sentinel-2-l2a-c1": shifted, "lp-prod-protected": forms["hls"],
    }  # fmt: skip
    server.logins |= {
        "/eodata/": "Credential=cdse-key/", "/lp-prod-protected/": "Bearer TOKEN", "/dea-public-data/": "",
        "/deafrica-sentinel-2-l2a-c1/": "",
    }  # fmt: skip
    item = {
        "earth-search": lambda: real_item(metadata / C1, f"{server.url}/shifted", "sentinel-2-c1-l2a", box),
        "planetary-computer": lambda: real_item(metadata / ITEMS["Planetary Computer"][0], blob, "sentinel-2-l2a", box),
        "cdse": cdse_item,
        "dea": lambda: real_item(metadata / ITEMS["Geoscience Australia"][0], "s3://dea-public-data", "ga_s2am_ard_3", box),
        "deafrica": lambda: real_item(metadata / C1, "s3://deafrica-sentinel-2-l2a-c1", "s2_l2a_c1", box),
        "hls": lambda: hls_item(hls, "hls2-s30", other),
        "hls-nasa": lambda: hls_item(hls, "HLSS30_2.0", f"{server.url}/lp-prod-protected"),
    }[name]()  # fmt: skip
    server.items.append(item)
    return item


@pytest.fixture
def stores(server: StacServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StacServer:
    """The server stands for all stores: that of Amazon, that of the Copernicus Data Space, and Azure's, behind a proxy."""
    settings = {
        "AWS_S3_ENDPOINT": server.url.partition("//")[2], "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_ACCESS_KEY_ID": "ours", "AWS_SECRET_ACCESS_KEY": "ours", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "aws"),
        "CLEANSAT_SETTINGS": str(tmp_path / "named.toml"),
        "GDAL_HTTP_PROXY": server.url, "PC_SDK_SAS_URL": f"{server.url}/sas",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for name in ("VSICURL_PC_SAS_TOKEN_URL", "CPL_AWS_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "aws").write_text("[cdse]\naws_access_key_id = cdse-key\naws_secret_access_key = s\n")  # fmt: skip
    toml = PAGE.read_text("utf-8").partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "named.toml").write_text(toml.replace("https://eodata.dataspace.copernicus.eu", server.url))  # fmt: skip
    monkeypatch.setattr(providers, "PROVIDERS", tuple(replace(p, api=server.url) for p in PROVIDERS))  # fmt: skip
    return server


# --- the table ------------------------------------------------------------------------


def rows() -> dict[str, list[str]]:
    """The cells of each row of the page, by the name of the provider."""
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0].split("`")[1]: row for row in cells}


def test_the_page_has_each_provider_and_its_collections() -> None:
    table = rows()
    assert list(table) == [each.name for each in PROVIDERS]
    for each in PROVIDERS:
        named = table[each.name][1].split("`")[1::2]
        assert named == [*each.collections, *filter(None, [each.fallback])]
    said = " ".join(CliRunner().invoke(main, ["mask", "--help"]).output.split())
    assert all(each.name in said for each in PROVIDERS)


@pytest.mark.parametrize("name", [each.name for each in PROVIDERS])
def test_each_line_of_the_page(
    name: str,
    stores: StacServer,
    metadata: Path,
    forms: dict[str, Path],
    expected: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    item = furnish(stores, name, metadata, forms)
    words = shlex.split(rows()[name][4].strip("` "))
    while "=" in words[0]:
        variable, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(variable, value)
    words[words.index("masks")] = str(tmp_path / "masks")
    done = CliRunner().invoke(main, [*words[1:], "--plain"])
    assert done.exit_code == 0, done.output
    assert f"Found 1 scene: 1 of {item['collection']}." in done.output
    (path,) = (tmp_path / "masks").glob("**/*_ucl.tif")
    with rasterio.open(path) as file:
        codes, pixel = file.read(1), file.transform.a
    (document,) = path.parent.glob("*.odc-metadata.yaml")
    properties = yaml.safe_load(document.read_text("utf-8"))["properties"]
    has_offset = name in ("earth-search", "cdse", "deafrica")
    assert properties["cleansat:offset"] == (-1000 if has_offset else 0)
    assert "cleansat:reflectance_doubt" not in properties
    if name in ("dea", "hls", "hls-nasa"):
        edge = 600 // round(pixel)
        assert (codes[edge + 1 :, edge + 1 :] != 0).all()
        assert not codes[: edge - 1].any()
        assert not codes[:, : edge - 1].any()
    else:
        np.testing.assert_array_equal(codes, expected)
    assert properties["odc:region_code"] == {"dea": "49JFM", "planetary-computer": "06VVN"}.get(
        name, "37MGP" if name in ("earth-search", "deafrica") else "33TVN"
    )
    assert not stores.refused
    assert not [p for p in tmp_path.rglob("*.*") if p.is_file() and b"sig=secret" in p.read_bytes()]


BAND = {"earth-search": "red", "deafrica": "red", "cdse": "B04_10m", "dea": "nbart_red"}
LOGINS = {
    "dea": ("AWS_NO_SIGN_REQUEST", "YES"),
    "deafrica": ("AWS_NO_SIGN_REQUEST", "YES"),
    "hls-nasa": ("GDAL_HTTP_HEADERS", "Authorization: Bearer TOKEN"),
}


@pytest.mark.parametrize("name", [each.name for each in PROVIDERS])
def test_each_row_is_loaded_with_its_mask(
    name: str, stores: StacServer, metadata: Path, forms: dict[str, Path], expected: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    item = furnish(stores, name, metadata, forms)
    if name in LOGINS:
        monkeypatch.setenv(*LOGINS[name])
    with rasterio.open(stores.folders["plain"] / "SCL.tif") as file:
        grid = GeoBox.from_rio(file)
    place = grid.extent.to_crs("EPSG:4326")
    item |= {"geometry": place.json, "bbox": list(place.boundingbox)}
    for described in (item["properties"], *item["assets"].values()):
        for key in [key for key in described if key.startswith("proj:")]:
            del described[key]
    items = with_ucl(pystac.Item.from_dict(item), refine=False)
    bands = [BAND.get(name, "B04"), "ucl"]
    data = odc.stac.load(items, bands, driver="cleansat", fail_on_error=True, geobox=grid)
    codes = data.ucl.squeeze().values
    if name in ("dea", "hls", "hls-nasa"):  # the first 600 m have no data
        assert (codes[35:, 35:] != 0).all()
        assert not codes[:28].any()
    else:
        np.testing.assert_array_equal(codes, expected)
    assert data[bands[0]].max() > 1000


@pytest.mark.parametrize(
    ("name", "words"),
    [("cdse", "[buckets.eodata] of cleansat.toml"), ("hls-nasa", "token of Earthdata")],
)
def test_files_without_their_login_say_which(
    name: str, words: str, stores: StacServer, metadata: Path, forms: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("CLEANSAT_SETTINGS", "")
    item = furnish(stores, name, metadata, forms)
    for asset in item["assets"].values():
        asset["href"] = asset["href"].replace(f"{stores.url}/lp-prod-protected", "http://data.lpdaac.earthdatacloud.nasa.gov/lp-prod-protected")  # fmt: skip
    nasa = replace(providers.PROVIDERS[-1], asks="http://data.lpdaac.earthdatacloud.nasa.gov/")
    monkeypatch.setattr(providers, "PROVIDERS", (*providers.PROVIDERS[:-1], nasa))
    with pytest.raises(SceneError) as error:
        item_scene(pystac.Item.from_dict(item))
    assert words in str(error.value)


def test_a_signature_that_nobody_can_renew_is_told(server: StacServer, metadata: Path) -> None:
    item = server.add(metadata / ITEMS["Element 84, v1"][0], "plain")
    for asset in item["assets"].values():
        asset["href"] += "?X-Amz-Signature=abc"
    server.broken["/plain/"] = 403
    with pytest.raises(SceneError, match="the signature in its address has expired"):
        item_scene(pystac.Item.from_dict(item))


# --- signatures -----------------------------------------------------------------------


@pytest.mark.parametrize("signed", ["", "?st=1&sig=old"])
def test_a_signature_that_ends_in_the_midst_is_renewed(
    signed: str, stores: StacServer, metadata: Path, forms: dict[str, Path], expected: np.ndarray, tmp_path: Path
) -> None:  # fmt: skip
    stores.lifetime = 50.0  # GDAL takes another one a minute before the end
    item = furnish(stores, "planetary-computer", metadata, forms)
    for asset in item["assets"].values():
        asset["href"] += signed
    codes, document = masked(item_scene(pystac.Item.from_dict(item)), tmp_path)
    np.testing.assert_array_equal(codes, expected)
    used = {path.partition("?")[2] for path in stores.requests if ".tif" in path}
    assert len(used) > 2
    assert used <= set(stores.tokens)
    assert not stores.refused
    assert "sig=" not in yaml.safe_dump(document)


@pytest.fixture
def three(
    stores: StacServer, metadata: Path, forms: dict[str, Path], tmp_path: Path
) -> list[dict[str, Any]]:
    """Three scenes of Planetary Computer, each with files of its own, for GDAL remembers those that it has read."""
    first = furnish(stores, "planetary-computer", metadata, forms)
    container = containers(stores)[0].rpartition("/")[2]
    stores.folders[container] = tmp_path / "container"
    stores.folders[container].mkdir()
    stores.items = []
    for i in range(3):
        (stores.folders[container] / f"scene{i}").symlink_to(stores.folders["plain"])
        item = copy.deepcopy(first) | {"id": first["id"].replace("20190629", f"2024061{5 + i}")}
        item["properties"] |= {"datetime": f"2024-06-1{5 + i}T10:05:49Z", "s2:product_uri": None}
        for asset in item["assets"].values():
            asset["href"] = asset["href"].replace(container, f"{container}/scene{i}")
        stores.items.append(item)
    return stores.items


RUN = ["mask", "--plain", "--stac-api", "planetary-computer", "--bbox", "13.6,47.7,13.8,47.9", "--time", "2024-06"]  # fmt: skip


def masks_of_run(tmp_path: Path) -> tuple[int, str, list[np.ndarray]]:
    done = CliRunner().invoke(main, [*RUN, "-o", str(tmp_path / "masks")])
    found = []
    for path in sorted((tmp_path / "masks").glob("**/*_ucl.tif")):
        with rasterio.open(path) as file:
            found.append(file.read(1))
    return done.exit_code, " ".join(done.output.split()), found


def test_signatures_end_within_and_between_the_scenes_of_a_run(
    three: list[dict[str, Any]], stores: StacServer, expected: np.ndarray, tmp_path: Path
) -> None:
    stores.lifetime = 50.0  # GDAL takes another one a minute before the end, so for each request
    code, said, masks = masks_of_run(tmp_path)
    assert code == 0, said
    assert "3 masked, 0 there already, 0 failed." in said
    assert len(masks) == len(three)
    assert all(np.array_equal(each, expected) for each in masks)
    for i in range(3):
        used = {path.partition("?")[2] for path in stores.requests if f"/scene{i}/" in path}
        assert len(used) > 2, "within the scene"
    assert not stores.refused


def test_a_scene_whose_signature_is_not_renewed_fails_alone(
    three: list[dict[str, Any]], stores: StacServer, expected: np.ndarray, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The service of signatures is away in the midst of the second scene, until a request without a signature is refused."""
    stores.lifetime = 50.0
    answer = stores.answer

    def away(path: str, query: dict[str, Any]) -> Any:
        begun = any("scene1/SCL" in each for each in stores.requests)
        return None if path.startswith("/sas/") and begun and not stores.refused else answer(path, query)  # fmt: skip

    monkeypatch.setattr(stores, "answer", away)
    code, said, masks = masks_of_run(tmp_path)
    assert code == 3, said
    assert "2 masked, 0 there already, 1 failed." in said
    assert f"{three[1]['id']}: cannot read " in said
    assert "Probably Planetary Computer gave no signature, or refuses its own" in said
    assert len(masks) == 2
    assert all(np.array_equal(each, expected) for each in masks)


def test_addresses_signed_by_others_end_in_the_midst_of_a_run(
    three: list[dict[str, Any]], stores: StacServer, expected: np.ndarray, tmp_path: Path
) -> None:
    """Nobody can renew them: the scenes whose signature is good go on."""
    for i, item in enumerate(three):
        for asset in item["assets"].values():
            asset["href"] = asset["href"].replace("sentinel2l2a01", "others") + f"?sig=ours{i}"
    stores.tokens |= {"sig=ours0": 4e9, "sig=ours2": 4e9}
    refuses = stores.refuses

    def midway(path: str, query: str, login: str) -> int | None:
        if query == "sig=ours1":
            return 403 if "B0" in path else None  # good for the SCL, and then it ends
        return refuses(path, query, login)

    stores.refuses = midway  # type: ignore[method-assign]
    code, said, masks = masks_of_run(tmp_path)
    assert code == 3, said
    assert "the signature in its address has expired; search for the scene again" in said
    assert "ours1" not in said
    assert len(masks) == 2
    assert all(np.array_equal(each, expected) for each in masks)


def test_bands_that_are_loaded_are_signed_too(
    stores: StacServer, metadata: Path, forms: dict[str, Path]
) -> None:
    furnish(stores, "planetary-computer", metadata, forms)
    blob, _ = containers(stores)
    with rasterio.open(stores.folders["plain"] / "B04.tif") as file:
        red, place = file.read(1), GeoBox.from_rio(file).extent.to_crs("EPSG:4326")
        grid: dict[str, Any] = {"crs": file.crs.to_string(), "resolution": 10}
        left, bottom, right, top = file.bounds
    name = "S2B_MSIL2A_20240615T100549_N0300_R022_T33TVN_20240615T134111"
    assets = {b: {"href": f"{blob}/{b}.tif", "type": "image/tiff"} for b in (*REFLECTIVE, "SCL")}
    item = made(name, "sentinel-2-l2a", assets) | {"geometry": place.json}
    items = with_ucl(pystac.Item.from_dict(item))
    grid |= {"x": (left, right), "y": (bottom, top)}
    data = odc.stac.load(items, bands=["B04", "ucl"], driver="cleansat", fail_on_error=True, **grid)
    np.testing.assert_array_equal(data.B04.squeeze(), red)
    assert (data.ucl != 0).all()
    assert stores.tokens
    assert not stores.refused


# --- names and other APIs -------------------------------------------------------------


def test_a_provider_is_found_by_name_and_by_address() -> None:
    assert find_provider("DEA") is find_provider("https://explorer.dea.ga.gov.au/stac/")
    assert find_provider("https://stac.example.org") is None
    with pytest.raises(CleansatError, match=r"nor a provider; there are earth-search.* 'cdse'"):
        find_provider("cdes")


@pytest.mark.parametrize(
    ("available", "chosen"),
    [
        ({"sentinel-2-l2a", "sentinel-2-c1-l2a", "naip"}, (("sentinel-2-c1-l2a",), "sentinel-2-l2a")),
        ({"sentinel-2-l2a", "landsat"}, (("sentinel-2-l2a",), None)),
        ({"ga_s2am_ard_3", "ga_s2bm_ard_3"}, (("ga_s2am_ard_3", "ga_s2bm_ard_3"), None)),
        ({"s2_l2a"}, (("s2_l2a",), None)),
        ({"HLSS30_2.0", "HLSL30_2.0"}, (("HLSS30_2.0",), None)),
        (set(), (("sentinel-2-c1-l2a",), "sentinel-2-l2a")),
    ],
)  # fmt: skip
def test_an_api_that_is_not_known_is_asked_for_its_collections(
    available: set[str], chosen: tuple[tuple[str, ...], str | None]
) -> None:
    assert choose_collections(available) == chosen


# --- gaps -----------------------------------------------------------------------------


def scene_of(server: StacServer, name: str, collection: str, moment: str, **properties: Any) -> None:  # fmt: skip
    defaults = {"datetime": moment, "platform": "sentinel-2b", "grid:code": "MGRS-33TVN"}
    server.items.append(made(name, collection, {}, **(defaults | properties)))


@pytest.fixture
def gappy(server: StacServer) -> StacServer:
    """The newer collection lacks the scene of 12 June, and another tile."""
    new, old = "sentinel-2-c1-l2a", "sentinel-2-l2a"
    scene_of(server, "new-17", new, "2024-06-17T10:07:41.657000Z", **{"eo:cloud_cover": 80})
    scene_of(server, "new-07", new, "2024-06-07T10:07:40Z")
    scene_of(server, "old-17", old, "2024-06-17T10:07:41.024000Z", **{"eo:cloud_cover": 10})
    scene_of(server, "old-12", old, "2024-06-12T10:07:44Z", platform="sentinel-2a")
    scene_of(server, "old-07", old, "2024-06-07T10:07:39Z")
    scene_of(server, "old-07-other", old, "2024-06-07T10:07:38Z", **{"grid:code": "MGRS-33TVM"})
    return server


def found(server: StacServer, **more: Any) -> list[str]:
    box = (BOX[0], BOX[1], BOX[2], BOX[3])
    return [item.id for item in search(box, "2024-06", api=server.url, **more)]


def test_gaps_of_the_newer_collection_are_filled(gappy: StacServer) -> None:
    assert found(gappy) == ["new-17", "old-12", "new-07", "old-07-other"]
    assert found(gappy, limit=2) == ["new-17", "old-12"]
    assert found(gappy, collection="sentinel-2-c1-l2a") == ["new-17", "new-07"]
    assert found(gappy, collection="sentinel-2-l2a", limit=1) == ["old-17"]


def test_a_scene_that_is_too_cloudy_is_no_gap(gappy: StacServer) -> None:
    assert found(gappy, max_cloud=20) == ["old-12", "new-07", "old-07-other"]


# --- other trouble --------------------------------------------------------------------


def test_landsat_of_hls_is_refused(
    stores: StacServer, metadata: Path, forms: dict[str, Path]
) -> None:
    for collection in ("hls2-l30", "HLSL30_2.0"):
        item = hls_item("HLS.L30.T33TVN.2024167T100549.v2.0", collection, containers(stores)[1])
        with pytest.raises(SceneError, match="is not of Sentinel-2"):
            item_scene(pystac.Item.from_dict(item))


def test_missing_bands_are_named(
    stores: StacServer, metadata: Path, forms: dict[str, Path], tmp_path: Path
) -> None:
    item = furnish(stores, "hls", metadata, forms)
    item["assets"] = {key: item["assets"][key] for key in ("B04", "B03", "Fmask")}
    with pytest.raises(SceneError, match=r"lacks .*B02.*; it has green, red"):
        MaskJob.of_scene(item_scene(pystac.Item.from_dict(item)), tmp_path)
