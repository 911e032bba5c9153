"""Addresses and messages without secrets, whatever form the secret has."""

from __future__ import annotations

import time

import pytest

from odc_cleansat.addresses import (
    has_secret,
    public_address,
    public_values,
    without_places,
    without_secrets,
)

SECRET = "s3cr3t-Kq9"

PLANTED = {
    f"https://user:{SECRET}@host/a.tif": "https://host/a.tif",
    f"https://{SECRET}@host/a.tif": "https://host/a.tif",
    f"https://user:p@{SECRET}@host/a.tif": "https://host/a.tif",
    f"https://user:pa/{SECRET}@host/b/a.tif": "https://host/b/a.tif",
    f"https://user%3A{SECRET}%40host/a.tif": "https://host/a.tif",
    f"s3://key:{SECRET}@bucket/a.tif": "s3://bucket/a.tif",
    f"https:\\\\user:{SECRET}@host/a.tif": "https:\\\\host/a.tif",
    f"postgresql://me:{SECRET}@host:5432/cube": "postgresql://host:5432/cube",
    f"https://host/a.tif?sig={SECRET}&versionId=7": "https://host/a.tif?versionId=7",
    f"https://host/a.tif?X-Amz-Signature={SECRET}&X-Amz-Credential={SECRET}": "https://host/a.tif",
    f"https://host/a.tif?sv=2022&se=2030&sp=r&sig={SECRET}%3D": "https://host/a.tif",
    f"https://host/a.tif?unheard-of={SECRET}": "https://host/a.tif",
    f"https://host/a.tif?%73ig={SECRET}": "https://host/a.tif",
    f"https://host/a.tif?limit=1;token={SECRET}": "https://host/a.tif?limit=1",
    f"https://host/a.tif?limit=%26sig={SECRET}": "https://host/a.tif",
    f"https://host/a.tif?time=https://u:{SECRET}@other": "https://host/a.tif",
    f"https://host/a.tif#access_token={SECRET}": "https://host/a.tif",
    f"https://host/a.tif;jsessionid={SECRET}": "https://host/a.tif",
    f"https://host/a.tif%3Fsig%3D{SECRET}": "https://host/a.tif",
    f"https://host/a.tif%253Fsig%253D{SECRET}": "https://host/a.tif",
    f"https%3A%2F%2Fu%3A{SECRET}%40host%2Fa.tif%3Fsig%3D{SECRET}": "https://host/a.tif",
    f"https://proxy/https://u:{SECRET}@host/a.tif?sig={SECRET}": "https://proxy/https://host/a.tif",
    f"/vsicurl/https://u:{SECRET}@host/a.tif?token={SECRET}": "https://host/a.tif",
    f"/vsicurl_streaming/https://host/a.tif?sig={SECRET}": "https://host/a.tif",
    f"/vsicurl?header.X-Key={SECRET}&url=https://host/a.tif": "https://host/a.tif",
    f"/vsicurl/?url=https%3A%2F%2Fhost%2Fa.tif%3Fsig%3D{SECRET}&header.Authorization=Bearer%20{SECRET}": "https://host/a.tif",
    f"/vsiaz/box/a.tif?sig={SECRET}": "az://box/a.tif",
    f"/vsizip//vsicurl/https://u:{SECRET}@host/a.zip/b.tif": "/vsizip//vsicurl/https://host/a.zip/b.tif",
    f"vrt:///vsicurl/https://host/a.tif?sig={SECRET}&bands=1": "vrt:///vsicurl/https://host/a.tif?bands=1",
    f'NETCDF:"https://u:{SECRET}@host/a.nc?token={SECRET}":v': 'NETCDF:"https://host/a.nc":v',
    f"cleansat://driver/ucl?{SECRET}#needs-driver": "cleansat://driver/ucl",
    f"data:image/png;base64,{SECRET}": "data:image/png",
}  # fmt: skip
"""Address with a secret to the address as others may see it."""


@pytest.mark.parametrize(("address", "public"), PLANTED.items(), ids=range(len(PLANTED)))
def test_what_is_left_of_an_address(address: str, public: str) -> None:
    assert public_address(address) == public
    assert SECRET not in without_secrets(
        f"cannot open '{address}', nor ({address}), nor {address}."
    )
    assert public_values({"a": [address], "b": (f"see {address}",)}) == {
        "a": [public], "b": (f"see {public}",),
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"{{'Authorization': 'Basic {SECRET}'}}",
        f"GDAL_HTTP_HEADERS=Authorization: Bearer {SECRET}",
        f"GDAL_HTTP_USERPWD=me:{SECRET}",
        f'{{"aws_secret_access_key": "{SECRET}"}}',
        f"AWS_SESSION_TOKEN = {SECRET}",
        f"it sent bearer {SECRET}{SECRET}",
        f"Bearer: {SECRET}{SECRET}",
        f"Set-Cookie: theme=dark; session={SECRET}; Path=/",
        f"Cookie: a=1; b={SECRET}",
        f"PRIVATE_KEY={SECRET}",
        f"passphrase: {SECRET}",
        f"user=ann pass={SECRET}",
        f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi{SECRET}.abc",
        f"ghp_0123456789abcdef{SECRET}",
        "it sent Basic " + "bWU6czNjcjN0LUtxOQ==",
        f"wrong password={SECRET}, try again",
        f"//me:{SECRET}@host/a",
        f"https:/me:{SECRET}@host/a",
        f"https:\\/\\/me:{SECRET}@host\\/a",
    ],
)
def test_headers_and_logins_go_from_any_text(text: str) -> None:
    shown = without_secrets(text)
    assert SECRET not in shown
    assert "bWU6" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "harmless",
    [
        "s3://bucket/a@2x.tif",
        "http://localhost:8000/a@b.tif",
        "http://[::1]:9000/a.tif",
        "https://host/items?collections=a,b&limit=10&datetime=2024-01-01/2024-02-01",
        "https://host/path/a%23b.tif",
        "file:///data/a%3Fb/c.tif",
        "/data/x?y#z/a.tif",
        "/vsizip/a.zip/b.tif",
        "me@host is no address, nor is key=1, and basic information is none.",
    ],
)
def test_what_is_no_secret_stays(harmless: str) -> None:
    assert public_address(harmless) == without_secrets(harmless) == harmless


def test_secrets_of_the_environment_go_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("GDAL_HTTP_HEADERS", "X-Own: other-s3cr3t")
    assert without_secrets(f"<{SECRET}> <other-s3cr3t>") == "<***> <***>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/masks/a_ucl.tif is missing; give a mask.", "a_ucl.tif is missing; give a mask."),
        ("cannot write to s3://bucket/a/b: no.", "cannot write to b: no."),
        ("[Errno 2] No such file: '/data/with blanks/a b.tif'", "[Errno 2] No such file: a b.tif"),
        ("(/a/b), ~/c/d. file:///e/f/", "(b), d. f"),
        ("https://u:p@host/a/b.tif?sig=1 failed", "b.tif failed"),
        ("A / B, and/or 1/2, 10 m/pixel, 2024-06/07, n/a", "A / B, and/or 1/2, 10 m/pixel, 2024-06/07, n/a"),
        ("/my own/store/x is full", "x is full"),
    ],
)  # fmt: skip
def test_people_elsewhere_see_no_places(text: str, shown: str) -> None:
    assert without_places(text, ["/my own", "", "/my own/store/x"]) == shown


def test_values_of_secret_keys_go() -> None:
    assert public_values({"Authorization": SECRET, "sig": SECRET, "n": 1, "x": None}) == {
        "Authorization": "", "sig": "", "n": 1, "x": None,
    }  # fmt: skip
    assert public_values({"token": [SECRET, {"a": SECRET, "n": 1}]}) == {
        "token": ["", {"a": "", "n": 1}]
    }


def test_keys_are_public_too() -> None:
    assert public_values({f"https://u:{SECRET}@host/a": 1, 2: 3}) == {"https://host/a": 1, 2: 3}


def test_an_address_that_must_not_be_kept_is_known() -> None:
    assert has_secret("https://u:p@host/a.onnx")
    assert has_secret("https://host/a.onnx?download=1&access_token=1")
    assert not has_secret("https://host/a.onnx?download=1&id=7")


def test_no_text_takes_long() -> None:
    texts = (
        "x",
        "token",
        "//a:",
        "https://",
        "https://a@",
        "/vsizip/",
        "/vsicurl?url=",
        "%25",
        ":",
        ";a=b",
        "sig='",
    )
    begun = time.process_time()
    for each in texts:
        without_secrets(each * (20_000 // len(each)))
        without_secrets("https://host" + each * (20_000 // len(each)))
    assert time.process_time() - begun < 5
