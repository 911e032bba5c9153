"""Settings of S3 and GDAL."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from s3_server import Proxy, client

from odc_cleansat.errors import OutputError
from odc_cleansat.settings import Bucket
from odc_cleansat.storage.folder import Folder
from odc_cleansat.storage.settings import (
    _gdal_options,
    gdal_settings,
    prepare_gdal,
    s3_options,
    small_cache,
)

# Sockets that botocore and its event loops leave to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # fmt: skip


def test_settings_reach_both_sides(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_gdal()
    assert os.environ["AWS_S3_ENDPOINT"] == proxy.url.removeprefix("http://")
    assert os.environ["AWS_HTTPS"] == "NO"
    assert os.environ["AWS_VIRTUAL_HOSTING"] == "FALSE"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert s3_options()["endpoint_url"] == proxy.url, "from GDAL's names as well"
    assert not s3_options()["anon"]
    monkeypatch.setenv("AWS_UNSIGNED", "yes")
    monkeypatch.setenv("AWS_REQUEST_PAYER", "requester")
    monkeypatch.setenv("AWS_REGION", "af-south-1")
    options = s3_options()
    assert options["anon"]
    assert options["requester_pays"]
    assert options["client_kwargs"] == {"region_name": "af-south-1"}
    prepare_gdal()
    assert os.environ["AWS_NO_SIGN_REQUEST"] == "YES"


def test_configure_rio_is_respected(bucket: str, moto: int, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, forgotten: None) -> None:  # fmt: skip
    from odc.loader import configure_rio

    client(moto).put_object(Bucket=bucket, Key="x", Body=b"x", ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    host = proxy.url.removeprefix("http://")
    configure_rio(aws={"aws_unsigned": True, "endpoint_url": host}, AWS_HTTPS="NO")
    assert s3_options()["anon"]
    assert s3_options()["endpoint_url"] == proxy.url
    assert Folder(f"s3://{bucket}").read("x") == b"x"


@pytest.fixture
def stores(
    proxy: Proxy, moto: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Proxy, Proxy]]:
    """Two stores: one answers only what is not signed, one only one key; the environment has neither right."""
    public, private = Proxy(moto), Proxy(moto)
    public.unsigned, private.key = True, "writer/"
    profiles = tmp_path / "aws"
    profiles.write_text("[writer]\naws_access_key_id = writer\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profiles))
    monkeypatch.setenv("CPL_AWS_CREDENTIALS_FILE", "x")  # it goes at the end
    monkeypatch.delenv("CPL_AWS_CREDENTIALS_FILE")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    file = tmp_path / "cleansat.toml"
    file.write_text(
        f'[buckets.two-scenes]\nunsigned = true\nendpoint = "{public.url}"\n'
        f'[buckets.two-masks]\nprofile = "writer"\nendpoint = "{private.url}"\nregion = "eu-west-1"\n'
    )
    monkeypatch.setenv("CLEANSAT_SETTINGS", str(file))
    yield public, private
    monkeypatch.setenv("CLEANSAT_SETTINGS", "")
    prepare_gdal()  # forgets the buckets
    public.close()
    private.close()


@pytest.mark.parametrize("general", [{}, {"AWS_NO_SIGN_REQUEST": "YES"}])
def test_each_bucket_has_its_own_store_and_credentials(
    stores: tuple[Proxy, Proxy], moto: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, general: dict[str, str]
) -> None:  # fmt: skip
    for name, value in general.items():
        monkeypatch.setenv(name, value)
    scenes, masks = f"s3://two-scenes/{len(general)}", f"s3://two-masks/{len(general)}"
    for name in ("two-scenes", "two-masks"):
        client(moto).create_bucket(Bucket=name)
    raster = tmp_path / "a.tif"
    form = {"driver": "GTiff", "width": 8, "height": 8, "count": 1, "dtype": "uint8"}
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning), rasterio.open(raster, "w", **form) as file:  # fmt: skip
        file.write(np.full((1, 8, 8), 7, "uint8"))
    Folder(masks).write("a.tif", raster.read_bytes())
    client(moto).put_object(Bucket="two-scenes", Key=f"{len(general)}/a.tif", Body=raster.read_bytes(), ACL="public-read")  # fmt: skip
    assert Folder(scenes).read("a.tif") == raster.read_bytes()
    for folder in (scenes, masks):
        with pytest.warns(rasterio.errors.NotGeoreferencedWarning), gdal_settings(folder), rasterio.open(f"{folder}/a.tif") as file:  # fmt: skip
            assert (file.read() == 7).all()
    for store in stores:
        assert any(method == "GET" for method, _ in store.seen)
    with pytest.raises(OutputError, match="cannot be reached"):
        Folder("s3://two-other").files()  # of which the file says nothing


def test_no_bucket_leaves_gdal_as_it_was(proxy: Proxy) -> None:
    prepare_gdal()
    assert _gdal_options(Bucket("x", region="eu-west-1")) == {
        "AWS_NO_SIGN_REQUEST": "NO",
        "AWS_REQUEST_PAYER": "",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    assert _gdal_options(Bucket("x", endpoint="https://s3.us-west-2.amazonaws.com"))["AWS_VIRTUAL_HOSTING"] == "TRUE"  # fmt: skip


def cache_size() -> int:
    gdal = ctypes.CDLL(rasterio._env.__file__)
    gdal.GDALGetCacheMax64.restype = ctypes.c_int64
    return int(gdal.GDALGetCacheMax64())


def test_gdal_keeps_little_while_a_scene_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GDAL_CACHEMAX", raising=False)
    gdal = ctypes.CDLL(rasterio._env.__file__)
    gdal.GDALSetCacheMax64.argtypes = [ctypes.c_int64]
    before = cache_size()
    try:
        gdal.GDALSetCacheMax64(10**9)
        with small_cache():
            assert cache_size() == 256 * 2**20
            with small_cache():
                assert cache_size() == 256 * 2**20
            assert cache_size() == 256 * 2**20, "somebody is still reading"
        assert cache_size() == 10**9
        monkeypatch.setenv("GDAL_CACHEMAX", "700")
        with small_cache():
            assert cache_size() == 10**9, "the user has chosen"
        monkeypatch.delenv("GDAL_CACHEMAX")
        with rasterio.Env(GDAL_CACHEMAX=800_000_000), small_cache():
            assert cache_size() == 800_000_000
        gdal.GDALSetCacheMax64(10**6)
        with small_cache():
            assert cache_size() == 10**6, "less stays"
    finally:
        gdal.GDALSetCacheMax64(before)
