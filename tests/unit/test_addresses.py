"""Addresses and messages without secrets, whatever form the secret has."""

from __future__ import annotations

import base64
import time

import pytest

from odc_cleansat.addresses import (
    has_secret,
    public_address,
    public_values,
    without_places,
    without_secrets,
)
from odc_cleansat.errors import LOG, SceneError

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


LOGIN = base64.b64encode(f"me:{SECRET}".encode()).decode()

TOLD = {
    # commands
    f"curl -u me:{SECRET} https://host/a": "curl -u *** https://host/a",
    f"curl -u 'me:{SECRET} x' https://host/a": "curl -u *** https://host/a",
    f"curl -ume:{SECRET} -o a https://host/a": "curl -u*** -o a https://host/a",
    f"curl --user me:{SECRET} https://host/a": "curl --user *** https://host/a",
    f"curl --user=me:{SECRET} https://host/a": "curl --user=*** https://host/a",
    f"curl --proxy-user me:{SECRET} -U me:{SECRET}": "curl --proxy-user *** -U ***",
    f"curl -b 'session={SECRET}' https://host/a": "curl -b *** https://host/a",
    f"curl --oauth2-bearer {SECRET} https://host/a": "curl --oauth2-bearer *** https://host/a",
    f"wget --user me --password {SECRET} https://host/a": "wget --user me --password *** https://host/a",
    f"wget --http-passwd='{SECRET}' x": "wget --http-passwd=*** x",
    f"gdalinfo --config AWS_SECRET_ACCESS_KEY {SECRET} x.tif": "gdalinfo --config AWS_SECRET_ACCESS_KEY *** x.tif",
    f"gdalinfo --config GDAL_HTTP_USERPWD me:{SECRET} x.tif": "gdalinfo --config GDAL_HTTP_USERPWD *** x.tif",
    f"PGPASSWORD={SECRET} psql -h host": "PGPASSWORD=*** psql -h host",
    f"export AWS_SECRET_ACCESS_KEY='{SECRET}' && run": "export AWS_SECRET_ACCESS_KEY=*** && run",
    f"rsync me:{SECRET}@host a": "rsync ***@host a",
    f"machine host login me password {SECRET}": "machine host login me password ***",
    # headers
    f"Authorization: Basic {LOGIN}": "Authorization: ***",
    f"curl -H 'Authorization: Basic {LOGIN}' https://host/a": "curl -H 'Authorization: ***' https://host/a",
    f'Authorization: Digest username="me", response="{SECRET}"': "Authorization: ***",
    f"Authorization: AWS4-HMAC-SHA256 Credential=a/{SECRET}, Signature={SECRET}": "Authorization: ***",
    f"Authorization%3A%20Bearer%20{SECRET}": "Authorization%3A%20***",
    f"Proxy-Authorization: Basic {LOGIN}": "Proxy-Authorization: ***",
    f"X-Amz-Security-Token: {SECRET}": "X-Amz-Security-Token: ***",
    f"Ocp-Apim-Subscription-Key: {SECRET}": "Ocp-Apim-Subscription-Key: ***",
    f"Set-Cookie: a={SECRET}; HttpOnly": "Set-Cookie: ***",
    f"'Cookie': 'a={SECRET}; b=2'": "'Cookie': '***'",
    # queries without an address
    f"sv=1&sig={SECRET}&se=2": "sv=1&sig=***&se=2",
    f"X-Amz-Signature={SECRET}&X-Amz-Date=1": "X-Amz-Signature=***&X-Amz-Date=1",
    f"X-Amz-Credential={SECRET}%2F2024": "X-Amz-Credential=***",
    f"password%3D{SECRET}": "password%3D***",
    f"DefaultEndpointsProtocol=https;AccountKey={SECRET}==": "DefaultEndpointsProtocol=https;AccountKey=***",
    # documents and code
    f'{{"user": "me", "password": "{SECRET} 2"}}': '{"user": "me", "password": ***}',
    f"{{'password': '{SECRET}'}}": "{'password': ***}",
    f'{{\\"password\\": \\"{SECRET}\\"}}': '{\\"password\\": ***\\"}',
    f'{{"auths": {{"host": {{"auth": "{LOGIN}"}}}}}}': '{"auths": {"host": {"auth": ***}}}',
    f"requests.get(url, auth=('me', '{SECRET}'))": "requests.get(url, auth=(***))",
    f"HTTPBasicAuth('me', '{SECRET}')": "HTTPBasicAuth(***)",
    f"('Authorization', 'Basic {LOGIN}')": "('Authorization', ***')",
    f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----":
        "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
    f"its password is {SECRET}.": "its password is ***",
}  # fmt: skip
"""A text with a secret to the text as others may see it."""


@pytest.mark.parametrize(("text", "shown"), TOLD.items(), ids=range(len(TOLD)))
def test_what_is_left_of_a_text(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    assert str(SceneError(text)) == shown
    for published in (public_values(text), without_places(text)):
        assert SECRET not in published
        assert LOGIN not in published


def test_the_log_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    for text in TOLD:
        LOG.warning("it said %s", text)
    assert SECRET not in caplog.text
    assert LOGIN not in caplog.text
    assert len(caplog.records) == len(TOLD)


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
        "docker run -u 1000:1000 --user 1000:1000 image:tag@sha256:0123456789abcdef",
        "sort -u a:b, chown -u root:root, python -u script.py:main",
        "the token has expired, the password is wrong, and the signature does not match the request",
        "password: none is set; authorization: the server wants a login; a cookie: none was sent",
        "--user is no option, and --password needs a value",
        "pass --offset 0 at 10:30, key: value, code=3, compass=3, monkey=1, tokens: 3 of 5",
        "session = Session(device), or mailto:me@host.org",
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
        "curl -u ",
        "--user a:",
        "--password ",
        "auth=(a",
        "('password', '",
        "a:bcdef@",
        "-----BEGIN PRIVATE KEY-----",
        "authorization: digest ",
        "login a password ",
    )
    begun = time.process_time()
    for each in texts:
        without_secrets(each * (20_000 // len(each)))
        without_secrets("https://host" + each * (20_000 // len(each)))
    assert time.process_time() - begun < 5
