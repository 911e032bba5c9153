"""Settings of S3 and GDAL."""

from __future__ import annotations

import os

import pytest
from s3_server import Proxy, client

from odc_cleansat.storage.folder import Folder
from odc_cleansat.storage.settings import prepare_gdal, s3_options

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
