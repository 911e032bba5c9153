"""Folders for products, on this machine or behind a URL such as ``s3://bucket/prefix``.

Files are written and listed through fsspec, pixels are read through GDAL. Both take their settings from the
``AWS_*`` environment variables, but not all under the same names: :func:`s3_options` and
:func:`prepare_gdal` are the one place where they are made to agree.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from .errors import CleansatError, OutputError

ATTEMPTS = 5
"""How often a request to a store is tried, unless ``AWS_MAX_ATTEMPTS`` says otherwise."""

CONNECT_TIMEOUT, READ_TIMEOUT = 5, 30
"""Seconds of silence after which a request to a store has failed."""

MULTIPART = 16 * 2**20
"""Files of twice this many bytes are uploaded in parts of this many."""

_READS = 3  # for what botocore does not try again: connections that break off in an answer
_ROUNDS = 3  # uploads of a product, should another program write the same one at that moment
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=://)", re.IGNORECASE)
_WORK = "cleansat-"


class Folder:
    """A folder that may not be there yet, and the little that products need of it.

    Parameters
    ----------
    place
        A path, or a URL that fsspec knows: ``s3://bucket/prefix``, ``file:///data``.

    Raises
    ------
    OutputError
        If no installed package serves such URLs.
    """

    def __init__(self, place: Folder | Path | str) -> None:
        text = str(place)
        scheme = _SCHEME.match(text)
        self.path: Path | None = None
        """Where it is, if on this machine."""
        if scheme is None:
            self.path = Path(text)
        elif scheme[0].lower() == "file":
            self.path = Path(url2pathname(urlsplit(text).path))
        self._text = text.rstrip("/") if self.path is None else str(self.path)
        self._files: Any = None if self.path is not None else _filesystem(self._text)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Folder({self._text!r})"

    def __truediv__(self, part: Path | str) -> Folder:
        if self.path is not None:
            return Folder(self.path / part)
        return Folder(f"{self._text}/{Path(part).as_posix()}")

    def file(self, name: str) -> Path | str:
        """Path or URL of a file in it."""
        return f"{self._text}/{name}" if self.path is None else self.path / name

    def files(self) -> dict[str, int]:
        """Names and sizes of the files in it; none if it is not there."""
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                return {p.name: p.stat().st_size for p in self.path.iterdir() if p.is_file()}
            return {}
        with _store(self._text), contextlib.suppress(FileNotFoundError):
            found = self._files.ls(self._text, detail=True, refresh=True)
            return {
                each["name"].rsplit("/", 1)[-1]: each["size"]
                for each in found
                if each["type"] == "file"
            }
        return {}

    def exists(self) -> bool:
        """Whether there is anything in it."""
        return self.path.exists() if self.path is not None else bool(self.files())

    def check(self) -> None:
        """Refuse a bucket that is not there or not ours, and names that cannot be written, before work is put into
        what it should hold.

        Raises
        ------
        OutputError
            Saying which.
        """
        self.check_name()
        if not hasattr(self._files, "call_s3"):
            return
        bucket = urlsplit(self._text).netloc
        with _store(self._text):
            try:
                self._files.call_s3("head_bucket", Bucket=bucket)
            except FileNotFoundError as error:
                raise OutputError(f"{self}: there is no bucket {bucket}; make it first.") from error

    def check_name(self) -> None:
        """Refuse a name that those who read and write it take for the beginning of something else.

        Raises
        ------
        OutputError
            Saying which character it is.
        """
        # eodatasets3 makes a URL of a path, and rasterio leaves out what follows in a URL.
        for character in "#?" if self.path is not None else "#":
            if character in self._text:
                raise OutputError(
                    f"{self}: masks cannot be kept below a name with {character!r}; take another."
                )

    def read(self, name: str) -> bytes:
        """What is in a file."""
        if self.path is not None:
            return (self.path / name).read_bytes()
        with _store(self._text):
            content: bytes = self._files.cat_file(f"{self._text}/{name}")
            return content

    def write(self, name: str, content: bytes) -> None:
        """Add a small file with a name of its own: complete or absent."""
        if self.path is None:
            with _store(self._text):
                self._files.pipe_file(f"{self._text}/{name}", content)
            return
        draft = self.path / f".{name}.draft"
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self.path / name)
        finally:
            draft.unlink(missing_ok=True)

    def sha1(self, name: str) -> str:
        """Checksum of a file, hexadecimal."""
        digest = hashlib.sha1()
        if self.path is None:
            digest.update(
                self.read(name)
            )  # of a store: whole, so that it is tried again if it breaks off
        else:
            with (self.path / name).open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        return digest.hexdigest()

    def find(self, suffixes: tuple[str, ...]) -> list[Folder]:
        """Itself and all folders below that hold a file whose name ends so; hidden folders are passed over."""
        if self.path is not None:
            top = len(self.path.parts)
            below = {p.parent for suffix in suffixes for p in self.path.rglob(f"*{suffix}")}
            return [Folder(p) for p in sorted(below) if not any(s[0] == "." for s in p.parts[top:])]
        with _store(self._text):
            paths = self._files.find(self._text)
        scheme = self._text.split("://", 1)[0]
        found = {path.rsplit("/", 1)[0] for path in paths if path.endswith(suffixes)}
        return [Folder(f"{scheme}://{path.split('://')[-1]}") for path in sorted(found)]

    def deliver(self, source: Path, last: Sequence[str]) -> None:
        """Take the files of a finished local folder.

        On this machine the folder is renamed, in one step; if something stands there already, each file
        is. A store gets file after file.

        Parameters
        ----------
        source
            The folder; on the same file system, if this one is local.
        last
            Names of the files that come last, in this order. Until the first of them is replaced, it is
            missing from a store, so that a product in the making does not look whole.

        Raises
        ------
        OutputError
            If a store does not take them. What is there then lacks the last of them, or it was there before.
        """
        names = sorted_last((p.name for p in source.iterdir()), last)
        if self.path is None:
            self._upload(source, names, last)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.rename(self.path)
        except OSError:
            if not self.path.is_dir():
                raise
            # Files of two writers, mixed, would be no product.
            with _locked(self.path, wait=True):
                for name in names:
                    os.replace(source / name, self.path / name)

    def _upload(self, source: Path, names: list[str], last: Sequence[str]) -> None:
        sizes = {name: (source / name).stat().st_size for name in names}
        with _store(self._text):
            for _ in range(_ROUNDS):
                there = self.files()
                if last[0] in there:
                    self._files.rm_file(f"{self._text}/{last[0]}")
                if there.keys() & sizes.keys():
                    self._abort_uploads()
                for name in names:
                    self._files.put_file(
                        str(source / name), f"{self._text}/{name}", chunksize=MULTIPART
                    )
                there = self.files()
                if all(there.get(name) == size for name, size in sizes.items()) and all(
                    self.read(name) == (source / name).read_bytes() for name in last
                ):
                    return
        raise OutputError(
            f"{self} was written {_ROUNDS} times and is not as written: another program writes there "
            "too. Run again when it is done."
        )

    def _abort_uploads(self) -> None:
        """Let the store forget parts of files that an interrupted run has left; nobody sees them, but they are paid for."""
        bucket, key = urlsplit(self._text).netloc, urlsplit(self._text).path.lstrip("/")
        call = getattr(self._files, "call_s3", None)
        if call is None:
            return
        pending = call("list_multipart_uploads", Bucket=bucket, Prefix=f"{key}/")
        for each in pending.get("Uploads", ()):
            call(
                "abort_multipart_upload", Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"]
            )


def split_file(place: Path | str) -> tuple[Folder, str]:
    """The folder and the name of a file's path or URL."""
    if isinstance(place, Path) or not _SCHEME.match(place):
        path = Path(place)
        return Folder(path.parent), path.name
    folder, _, name = place.rpartition("/")
    return Folder(folder), name


def as_uri(place: Path | str) -> str:
    """A file's URL: ``file:///...`` for a path."""
    if isinstance(place, Path) or not _SCHEME.match(place):
        return Path(place).resolve().as_uri()
    return place


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; its folder is made if missing.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with working_folder(path.parent) as folder:
            draft = folder / path.name
            draft.write_bytes(content)
            draft.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}. Check the folder and the space there."
        ) from error


@contextlib.contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A folder of this process's own, gone at the end; those that killed processes have left go too."""
    for left in parent.glob(f".{_WORK}*"):
        with contextlib.suppress(OSError), _locked(left, wait=False):
            shutil.rmtree(left)
    with contextlib.ExitStack() as stack:
        while True:
            work = Path(tempfile.mkdtemp(prefix=f".{_WORK}", dir=parent))
            with contextlib.suppress(FileNotFoundError):
                stack.enter_context(_locked(work, wait=True))
                if work.exists():  # not taken for left over before it was locked
                    break
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        yield work


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock that the system lifts when the process ends, however it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            if not wait:
                raise
            # A file system without locks: then nobody will take the folder for left over.
        yield
    finally:
        os.close(handle)


# --- settings -------------------------------------------------------------------------


def s3_options() -> dict[str, Any]:
    """Options for `s3fs.S3FileSystem`, from the environment and what is :func:`configured`.

    botocore reads ``AWS_PROFILE``, ``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL`` and more by itself. Added
    is what only GDAL and the ODC know: ``AWS_S3_ENDPOINT`` with ``AWS_HTTPS``, ``AWS_NO_SIGN_REQUEST`` or
    ``AWS_UNSIGNED``, ``AWS_REQUEST_PAYER``, and ``AWS_REGION``.
    """
    gdal = configured()
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
    scheme = _SCHEME.match(uri)
    if scheme is None or scheme[0].lower() == "file":
        yield
        return
    import rasterio
    from rasterio.session import DummySession

    prepare_gdal()
    with credentials(), rasterio.Env(DummySession(), GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        yield


def configured() -> dict[str, Any]:
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
        As :func:`configured` gave them where the work was asked for; by default those of this process.
    """
    import rasterio
    from rasterio.session import DummySession

    options = options or configured()
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


def _filesystem(url: str) -> Any:
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


def advice(error: BaseException) -> str | None:
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
def _store(url: str) -> Iterator[None]:
    """Say of errors of a store what they mean. That something is not there is left as it is."""
    try:
        yield
    except CleansatError:
        raise
    except Exception as error:  # of fsspec, botocore and aiohttp, each with its own
        known = advice(error)
        if isinstance(error, FileNotFoundError) and "bucket" not in (known or ""):
            raise
        if known is None and not isinstance(error, OSError):
            known = f"{type(error).__name__}: {error}"
        raise OutputError(f"{url}: {known or error}.") from error


def sorted_last(names: Iterable[str], last: Sequence[str]) -> list[str]:
    """Names in order, some of them at the end."""
    return [*sorted(set(names) - set(last)), *last]
