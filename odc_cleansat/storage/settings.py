"""Settings and credentials of S3 and GDAL."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ..errors import CleansatError, OutputError

ATTEMPTS = 5
"""How often a request to a store is tried, unless ``AWS_MAX_ATTEMPTS`` says otherwise."""

CONNECT_TIMEOUT, READ_TIMEOUT = 5, 30
"""Seconds of silence after which a request to a store has failed."""

_READS = 3  # for what botocore does not try again: connections that break off in an answer
URL_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=://)", re.IGNORECASE)


# --- settings -------------------------------------------------------------------------


def s3_options() -> dict[str, Any]:
    """Options for `s3fs.S3FileSystem`, from the environment and what is :func:`rio_options`.

    botocore reads ``AWS_PROFILE``, ``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` and more by itself. Added
    is what only GDAL and the ODC know: ``AWS_S3_ENDPOINT`` with ``AWS_HTTPS``, ``AWS_NO_SIGN_REQUEST`` or
    ``AWS_UNSIGNED``, ``AWS_REQUEST_PAYER``, and ``AWS_REGION``.
    """
    gdal = rio_options()
    aws = gdal.pop("_aws", None) or {}

    def setting(*names: str) -> str | None:
        return next((str(v) for n in names if (v := gdal.get(n) or os.environ.get(n))), None)

    options: dict[str, Any] = {"use_listings_cache": False}
    endpoint = (
        aws.get("endpoint_url")
        or setting("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        or setting("AWS_S3_ENDPOINT")
    )
    if endpoint:
        scheme = "https" if _is_true(setting("AWS_HTTPS") or "YES") else "http"
        options["endpoint_url"] = endpoint if "://" in endpoint else f"{scheme}://{endpoint}"
    unsigned = aws.get("aws_unsigned")
    if unsigned is None:
        unsigned = _is_true(setting("AWS_NO_SIGN_REQUEST", "AWS_UNSIGNED") or "NO")
    options["anon"] = bool(unsigned)
    if aws.get("requester_pays") or setting("AWS_REQUEST_PAYER") == "requester":
        options["requester_pays"] = True
    if region := aws.get("region_name") or setting("AWS_REGION", "AWS_DEFAULT_REGION"):
        options["client_kwargs"] = {"region_name": region}
    if profile := aws.get("profile_name"):
        options["profile"] = profile
    names = {
        "key": "aws_access_key_id",
        "secret": "aws_secret_access_key",
        "token": "aws_session_token",
    }
    options |= {ours: aws[theirs] for ours, theirs in names.items() if aws.get(theirs)}
    retries = {
        "mode": os.environ.get("AWS_RETRY_MODE", "standard"),
        "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", ATTEMPTS)),
    }
    options["config_kwargs"] = {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
        "retries": retries,
    }
    return options


def prepare_gdal() -> None:
    """Say in the environment, in GDAL's terms, what is said there in those of botocore and the ODC.

    GDAL knows ``AWS_S3_ENDPOINT`` but not ``AWS_ENDPOINT_URL``, and gives up after one failure unless told
    otherwise. In the environment it reaches every thread, every reader of datacube and
    odc-loader, and the processes that are started from here; whatever is set already stays.
    """
    said = os.environ
    if url := said.get("AWS_ENDPOINT_URL_S3") or said.get("AWS_ENDPOINT_URL"):
        parts = urlsplit(url)
        if "AWS_S3_ENDPOINT" not in said:
            said["AWS_S3_ENDPOINT"] = parts.netloc + parts.path.rstrip("/")
            said.setdefault("AWS_HTTPS", "NO" if parts.scheme == "http" else "YES")
    if "AWS_S3_ENDPOINT" in said and not said["AWS_S3_ENDPOINT"].endswith("amazonaws.com"):
        said.setdefault("AWS_VIRTUAL_HOSTING", "FALSE")
    if _is_true(said.get("AWS_UNSIGNED", "NO")):
        said.setdefault("AWS_NO_SIGN_REQUEST", "YES")
    if "AWS_REGION" in said:
        said.setdefault("AWS_DEFAULT_REGION", said["AWS_REGION"])
    said.setdefault("GDAL_HTTP_MAX_RETRY", str(ATTEMPTS - 1))
    said.setdefault("GDAL_HTTP_RETRY_DELAY", "0.5")
    # A connection that gives less than a byte a second for so long is cut.
    said.setdefault("GDAL_HTTP_CONNECTTIMEOUT", str(CONNECT_TIMEOUT))
    said.setdefault("GDAL_HTTP_LOW_SPEED_LIMIT", "1")
    said.setdefault("GDAL_HTTP_LOW_SPEED_TIME", str(READ_TIMEOUT))


@contextlib.contextmanager
def gdal_settings(uri: str) -> Iterator[None]:
    """Open a raster within this: if it is remote, with :func:`credentials` and no search for side-cars."""
    scheme = URL_SCHEME.match(uri)
    if scheme is None or scheme[0].lower() == "file":
        yield
        return
    import rasterio
    from rasterio.session import DummySession

    prepare_gdal()
    with credentials(), rasterio.Env(DummySession(), GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        yield


def rio_options() -> dict[str, Any]:
    """What `configure_rio` or `configure_s3_access` of odc-loader, odc-stac and datacube was told.

    Returns
    -------
    dict
        GDAL's options, and ``_aws``: arguments of `rasterio.session.AWSSession`, or None. What odc-loader was
        told comes before what datacube was. Empty if neither was told anything.
    """
    from datacube.utils.rio import _rio
    from odc.loader import RioDriver

    told = RioDriver().capture_env()
    if told.get("_aws") is None and _rio._CFG.aws is not None:
        aws = {} if _rio._CFG.aws == "auto" else _rio._CFG.aws
        told["_aws"] = {k: v for k, v in aws.items() if (k, v) != ("region_name", "auto")}
    told = {**_rio._CFG.kwargs, **told}
    return {k: v for k, v in told.items() if k == "_aws" or k.startswith("AWS_")}


@contextlib.contextmanager
def credentials(options: dict[str, Any] | None = None) -> Iterator[None]:
    """Read remote rasters within this, in one thread.

    Parameters
    ----------
    options
        As :func:`rio_options` gave them where the work was asked for; by default those of this process.
    """
    import rasterio
    from rasterio.session import DummySession

    options = options or rio_options()
    if not options:
        yield
        return
    aws = options.get("_aws")
    session = DummySession() if aws is None else _session(frozenset(aws.items()))
    with rasterio.Env(session, **{k: v for k, v in options.items() if k != "_aws"}):
        yield


@functools.lru_cache(maxsize=8)
def _session(arguments: frozenset[tuple[str, Any]]) -> Any:
    """Kept, for one may have to ask for its credentials."""
    from rasterio.session import AWSSession

    return AWSSession(**dict(arguments))


def _is_true(text: str) -> bool:
    return text.strip().upper() in ("YES", "Y", "TRUE", "T", "ON", "1")


def open_filesystem(url: str) -> Any:
    """The fsspec file system of a URL, made once per process and settings."""
    import fsspec

    scheme = url.split("://", 1)[0].lower()
    options = s3_options() if scheme in ("s3", "s3a") else {}
    try:
        files = fsspec.filesystem(scheme, **options)
    except ImportError as error:
        extra = "pip install 'odc-cleansat[s3]'" if scheme in ("s3", "s3a") else str(error)
        raise OutputError(
            f"{url}: nothing installed reads and writes {scheme}://; {extra}."
        ) from error
    except ValueError as error:
        raise OutputError(f"{url}: {error}; use a path or s3://bucket/prefix.") from error
    if hasattr(files, "retries"):
        files.retries = (
            3  # for what botocore does not try again: answers that break off in the middle
        )
    return files


# --- what can go wrong ----------------------------------------------------------------

_ADVICE: tuple[tuple[str, str], ...] = (
    (r"RequestTimeTooSkewed|difference between the request time",
     "the clock of this machine is not that of the store; set it, e.g. with NTP"),
    (r"NoSuchBucket|bucket does not exist|AWSBucketNotFound",
     "there is no such bucket; make it, or correct the address or AWS_ENDPOINT_URL"),
    (r"ExpiredToken|TokenRefreshRequired|token.*expired", "the credentials have expired; renew them"),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|access key id you provided",
     "the store does not know these credentials; check AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret"),
    (r"Unable to locate credentials|NoCredentials|InvalidCredentials|No valid AWS credentials",
     "there are no credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or AWS_NO_SIGN_REQUEST=YES for public data"),
    (r"AccessDenied|Access Denied|Forbidden|\b403\b|InvalidPayer",
     "no permission; check the credentials (AWS_PROFILE), and set AWS_REQUEST_PAYER=requester if the requester pays"),
    (r"PermanentRedirect|AuthorizationHeaderMalformed|\b301\b",
     "the bucket is in another region; set AWS_DEFAULT_REGION"),
    (r"NoSuchKey|Not Found|\b404\b|does not exist", "it is not there"),
    (r"Could not connect|Connect timeout|ConnectionRefused|Couldn't connect|Failed to connect|resolve host",
     "the store cannot be reached; check the network and AWS_ENDPOINT_URL"),
    (r"SlowDown|InternalError|ServiceUnavailable|Internal Server Error|\b50[0-9]\b|reduce your request rate",
     "the store fails, again and again; try later"),
    (r"[Tt]ime(d )?out|Connection (was )?(closed|reset)|Operation too slow|IncompleteRead|PayloadError|disconnected",
     "the connection breaks off or stands still, again and again; try later"),
)  # fmt: skip


def store_advice(error: BaseException) -> str | None:
    """What to do about an error of a store, as far as it is known."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(texts) < 5:
        code = getattr(cause, "response", None)
        texts.append(f"{type(cause).__name__} {cause} {code if isinstance(code, dict) else ''}")
        cause = cause.__cause__
    text = " ".join(texts)
    return next((say for pattern, say in _ADVICE if re.search(pattern, text)), None)


@contextlib.contextmanager
def store_errors(url: str) -> Iterator[None]:
    """Say of errors of a store what they mean. That something is not there is left as it is."""
    try:
        yield
    except CleansatError:
        raise
    except Exception as error:  # of fsspec, botocore and aiohttp, each with its own
        known = store_advice(error)
        if isinstance(error, FileNotFoundError) and "bucket" not in (known or ""):
            raise
        if known is None and not isinstance(error, OSError):
            known = f"{type(error).__name__}: {error}"
        raise OutputError(f"{url}: {known or error}.") from error
