"""Settings and credentials of S3 and GDAL.

Files are written and listed through fsspec; pixels are read through GDAL. Both take their settings from the
``AWS_*`` environment variables, but under different names. :func:`s3_options` and :func:`prepare_gdal` make
the two agree. What ``cleansat.toml`` says of a bucket counts for that bucket, before the environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..errors import OutputError
from ..settings import Bucket, bucket_of, buckets
from ..threads import no_fork

ATTEMPTS = 5
"""Number of times that a request to a store is tried, without ``AWS_MAX_ATTEMPTS``."""

CONNECT_TIMEOUT, READ_TIMEOUT = 5, 30
"""Seconds of silence after which a request to a store has failed."""

_READS = 3
"""Number of times that a read is tried if the connection breaks off in an answer, which botocore does not retry."""

CACHE_VARIABLE, CACHE = "GDAL_CACHEMAX", "128"
"""Name of GDAL's variable for the MB of files that it keeps in memory, and what the application and workers have.

By default it is 5 % of the memory in each process: over 1 GB on a machine with 24. A mask reads what it needs once, and
people who pan read the same blocks again."""

_WINDOWS = 256 * 2**20
"""Bytes of files that GDAL keeps in memory while windows of a scene are read: the blocks that two windows share."""

URL_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=://)", re.IGNORECASE)
"""Matches the scheme at the beginning of a URL."""


def s3_options(url: str = "") -> dict[str, Any]:
    """Return options for `s3fs.S3FileSystem`, from the environment and from :func:`rio_options`.

    botocore itself reads ``AWS_PROFILE``, ``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` and more. This adds
    the variables that only GDAL and the ODC know: ``AWS_S3_ENDPOINT`` with ``AWS_HTTPS``, ``AWS_REGION``,
    ``AWS_NO_SIGN_REQUEST`` or ``AWS_UNSIGNED``, and ``AWS_REQUEST_PAYER``.

    Parameters
    ----------
    url
        Address in the bucket that is asked; what ``cleansat.toml`` says of this bucket counts before the rest.
    """
    gdal = rio_options()
    aws = gdal.pop("_aws", None) or {}
    options: dict[str, Any] = {"use_listings_cache": False}
    if endpoint := _endpoint(aws, gdal):
        options["endpoint_url"] = endpoint
    unsigned = aws.get("aws_unsigned")
    if unsigned is None:
        unsigned = _is_true(_setting(gdal, "AWS_NO_SIGN_REQUEST", "AWS_UNSIGNED") or "NO")
    options["anon"] = bool(unsigned)
    if aws.get("requester_pays") or _setting(gdal, "AWS_REQUEST_PAYER") == "requester":
        options["requester_pays"] = True
    if region := aws.get("region_name") or _setting(gdal, "AWS_REGION", "AWS_DEFAULT_REGION"):
        options["client_kwargs"] = {"region_name": region}
    names = {
        "profile": "profile_name",
        "key": "aws_access_key_id",
        "secret": "aws_secret_access_key",
        "token": "aws_session_token",
    }
    options |= {ours: aws[theirs] for ours, theirs in names.items() if aws.get(theirs)}
    options["config_kwargs"] = {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": READ_TIMEOUT,
        "retries": {
            "mode": os.environ.get("AWS_RETRY_MODE", "standard"),
            "total_max_attempts": int(os.environ.get("AWS_MAX_ATTEMPTS", ATTEMPTS)),
        },
    }
    bucket = bucket_of(url)
    return options if bucket is None else _for_bucket(options, bucket)


def _for_bucket(options: dict[str, Any], bucket: Bucket) -> dict[str, Any]:
    """Return options in which what is known of a bucket has taken the place of what counts for all."""
    options["anon"] = bucket.unsigned
    options.pop("requester_pays", None)
    if bucket.requester_pays:
        options["requester_pays"] = True
    if bucket.profile or bucket.unsigned:
        for name in ("profile", "key", "secret", "token"):
            options.pop(name, None)
    if bucket.profile:
        options["profile"] = bucket.profile
    if bucket.endpoint:
        options["endpoint_url"] = bucket.endpoint
    if bucket.region:
        options["client_kwargs"] = {"region_name": bucket.region}
    return options


def _setting(gdal: Mapping[str, Any], *names: str) -> str | None:
    """Return the first setting among some names, each from GDAL's options or else the environment."""
    values = (gdal.get(name) or os.environ.get(name) for name in names)
    return next((str(value) for value in values if value), None)


def _endpoint(aws: Mapping[str, Any], gdal: Mapping[str, Any]) -> str | None:
    """Return the URL of the store, if it is not that of Amazon."""
    endpoint = (
        aws.get("endpoint_url")
        or _setting(gdal, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
        or _setting(gdal, "AWS_S3_ENDPOINT")
    )
    if not endpoint or "://" in endpoint:
        return endpoint
    scheme = "https" if _is_true(_setting(gdal, "AWS_HTTPS") or "YES") else "http"
    return f"{scheme}://{endpoint}"


def prepare_gdal() -> None:
    """Copy the settings of botocore and the ODC to the names that GDAL reads, in the environment.

    GDAL knows ``AWS_S3_ENDPOINT`` but not ``AWS_ENDPOINT_URL``, and by default does not retry. The
    environment reaches every thread, every reader of datacube and odc-loader, and child processes. Variables that
    are set already stay. What ``cleansat.toml`` says of buckets is told to GDAL for these alone.
    """
    env = os.environ
    if url := env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL"):
        parts = urlsplit(url)
        if "AWS_S3_ENDPOINT" not in env:
            env["AWS_S3_ENDPOINT"] = parts.netloc + parts.path.rstrip("/")
            env.setdefault("AWS_HTTPS", "NO" if parts.scheme == "http" else "YES")
    if "AWS_S3_ENDPOINT" in env and not env["AWS_S3_ENDPOINT"].endswith("amazonaws.com"):
        env.setdefault("AWS_VIRTUAL_HOSTING", "FALSE")
    if _is_true(env.get("AWS_UNSIGNED", "NO")):
        env.setdefault("AWS_NO_SIGN_REQUEST", "YES")
    if "AWS_SHARED_CREDENTIALS_FILE" in env:
        env.setdefault("CPL_AWS_CREDENTIALS_FILE", env["AWS_SHARED_CREDENTIALS_FILE"])
    if "AWS_REGION" in env:
        env.setdefault("AWS_DEFAULT_REGION", env["AWS_REGION"])
    if signer := env.get("PC_SDK_SAS_URL"):
        env.setdefault("VSICURL_PC_SAS_TOKEN_URL", f"{signer.rstrip('/')}/")
    env.setdefault("GDAL_HTTP_MAX_RETRY", str(ATTEMPTS - 1))
    env.setdefault("GDAL_HTTP_RETRY_DELAY", "0.5")
    # GDAL closes a connection that gives less than one byte per second for this time.
    env.setdefault("GDAL_HTTP_CONNECTTIMEOUT", str(CONNECT_TIMEOUT))
    env.setdefault("GDAL_HTTP_LOW_SPEED_LIMIT", "1")
    env.setdefault("GDAL_HTTP_LOW_SPEED_TIME", str(READ_TIMEOUT))
    _tell_gdal_of(buckets())


@functools.lru_cache(maxsize=1)
def _tell_gdal_of(known: tuple[Bucket, ...]) -> None:
    """Give GDAL options that count for one bucket each, in all threads and before all others.

    rasterio has no function for that. So GDAL's own is called in the library that rasterio has loaded.
    """
    if not known and _tell_gdal_of.cache_info().currsize == 0:
        return  # there never was one, and rasterio need not be imported
    import rasterio._env

    gdal = ctypes.CDLL(rasterio._env.__file__)
    gdal.VSIClearPathSpecificOptions(None)
    for bucket in known:
        for name, value in _gdal_options(bucket).items():
            gdal.VSISetPathSpecificOption(
                f"/vsis3/{bucket.name}/".encode(), name.encode(), value.encode()
            )


def _gdal_options(bucket: Bucket) -> dict[str, str]:
    """Return GDAL's options for a bucket."""
    options = {
        "AWS_NO_SIGN_REQUEST": "YES" if bucket.unsigned else "NO",
        "AWS_REQUEST_PAYER": "requester" if bucket.requester_pays else "",
    }
    if bucket.profile:
        # Empty, or those of the environment would come before the profile.
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        options |= {"AWS_PROFILE": bucket.profile, **dict.fromkeys(keys, "")}
    if bucket.endpoint:
        parts = urlsplit(bucket.endpoint)
        options["AWS_S3_ENDPOINT"] = parts.netloc + parts.path.rstrip("/")
        options["AWS_HTTPS"] = "NO" if parts.scheme == "http" else "YES"
        options["AWS_VIRTUAL_HOSTING"] = str(parts.netloc.endswith("amazonaws.com")).upper()
    if bucket.region:
        options |= {"AWS_REGION": bucket.region, "AWS_DEFAULT_REGION": bucket.region}
    return options


@contextlib.contextmanager
def gdal_settings(uri: str) -> Iterator[None]:
    """Open a raster in this context; a remote one with :func:`credentials` and without a search for side-cars.

    Parameters
    ----------
    uri
        Path or URL of the raster.
    """
    scheme = URL_SCHEME.match(uri)
    if scheme is None or scheme[0].lower() == "file":
        yield
        return
    import rasterio
    from rasterio.session import DummySession

    prepare_gdal()
    with credentials(), rasterio.Env(DummySession(), GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        yield


class _Cache:
    """Bounds GDAL's cache of blocks while anyone wants that. There is one for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    @contextlib.contextmanager
    def bounded(self) -> Iterator[None]:
        import rasterio._env
        from rasterio.env import getenv, hasenv

        chosen = CACHE_VARIABLE in os.environ or (hasenv() and CACHE_VARIABLE in getenv())
        if chosen:
            yield
            return
        gdal = ctypes.CDLL(rasterio._env.__file__)
        gdal.GDALGetCacheMax64.restype = ctypes.c_int64
        gdal.GDALSetCacheMax64.argtypes = [ctypes.c_int64]
        # A process that is forked while a lock is held, here or in GDAL, would wait for ever.
        with no_fork(), self._lock:
            if not self._inside:
                self._before = gdal.GDALGetCacheMax64()
                gdal.GDALSetCacheMax64(min(self._before, _WINDOWS))
            self._inside += 1
        try:
            yield
        finally:
            with no_fork(), self._lock:
                self._inside -= 1
                if not self._inside:
                    gdal.GDALSetCacheMax64(self._before)


_CACHE = _Cache()


def small_cache() -> contextlib.AbstractContextManager[None]:
    """Let GDAL keep 256 MB of files at most in this context, unless the user has chosen how much.

    By default it keeps 5 % of the memory: over 1 GB on a machine with 24, for blocks that nobody reads again.
    """
    return _CACHE.bounded()


def rio_options() -> dict[str, Any]:
    """Return what the user passed to `configure_rio` or `configure_s3_access`.

    These functions of odc-loader, odc-stac and datacube set the options of their readers.

    Returns
    -------
    dict
        GDAL's options, and ``_aws``: arguments of `rasterio.session.AWSSession`, or None. What odc-loader got
        overrides what datacube got. Empty if neither got anything.
    """
    from datacube.utils.rio import _rio
    from odc.loader import RioDriver

    options = RioDriver().capture_env()
    if options.get("_aws") is None and _rio._CFG.aws is not None:
        aws = {} if _rio._CFG.aws == "auto" else _rio._CFG.aws
        options["_aws"] = {k: v for k, v in aws.items() if (k, v) != ("region_name", "auto")}
    options = {**_rio._CFG.kwargs, **options}
    return {k: v for k, v in options.items() if k == "_aws" or k.startswith("AWS_")}


@contextlib.contextmanager
def credentials(options: dict[str, Any] | None = None) -> Iterator[None]:
    """Read remote rasters with the user's credentials in this context, in one thread.

    Parameters
    ----------
    options
        Result of :func:`rio_options` in the process that planned the work; by default that of this process.
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
    """Return a session; it is cached, because a new one may have to request its credentials."""
    from rasterio.session import AWSSession

    return AWSSession(**dict(arguments))


def _is_true(text: str) -> bool:
    """Return whether a setting means yes, as GDAL reads it."""
    return text.strip().upper() in ("YES", "Y", "TRUE", "T", "ON", "1")


def open_filesystem(url: str) -> Any:
    """Return the fsspec file system of a URL; fsspec caches it per process and settings.

    Raises
    ------
    OutputError
        If no installed package serves such URLs.
    """
    import fsspec

    scheme = url.split("://", 1)[0].lower()
    is_s3 = scheme in ("s3", "s3a")
    try:
        files = fsspec.filesystem(scheme, **(s3_options(url) if is_s3 else {}))
    except ImportError as error:
        extra = "pip install 'odc-cleansat[s3]'" if is_s3 else str(error)
        raise OutputError(
            f"{url}: nothing installed reads and writes {scheme}://; {extra}."
        ) from error
    except ValueError as error:
        raise OutputError(f"{url}: {error}; use a path or s3://bucket/prefix.") from error
    if hasattr(files, "retries"):
        files.retries = _READS
    return files
