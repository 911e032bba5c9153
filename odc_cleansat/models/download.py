"""Downloads over bad lines: they are resumed, tried a few times, and leave a whole file or none."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .._version import __version__
from ..errors import ModelError, is_full

if TYPE_CHECKING:
    import requests
    from requests import Response


ATTEMPTS = 5
"""Number of tries. Each one continues where the last one broke off."""

WAIT = 1.0
"""Seconds before the second try. They double before each further try."""

TIMEOUT = 30.0
"""Seconds without a byte after which a try ends."""

LARGEST = 8 * 2**30
"""Most bytes of a file of weights."""

LONGEST = 6 * 3600.0
"""Most seconds that one try takes, for a server may send a byte now and then for ever."""

_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
"""Codes of HTTP after which it is worth to try again."""


def is_safe(url: str) -> bool:
    """Return whether nobody can read or forge the answer: the address is encrypted or of this machine."""
    address = urlsplit(url)
    return address.scheme == "https" or address.hostname in ("127.0.0.1", "::1", "localhost")


class _Interrupted(Exception):
    """A failure that the next try may not meet."""


def download(
    url: str,
    target: Path,
    check: Callable[[str, str], None],
    *,
    headers: Mapping[str, str] | None = None,
    progress: bool = True,
) -> None:
    """Download a file. It appears under its name when it is whole and has passed the check.

    An interrupted download is kept as ``.NAME.part``. The next call continues it, in any process, unless the
    server says that the file has changed.

    Parameters
    ----------
    check
        Called with two sha256: that of the downloaded file, and the published one or ``""``. Hugging Face
        publishes it in ``X-Linked-ETag``. If the function raises, the file is deleted.
    headers
        Headers of the request. ``Authorization`` is not sent on to other hosts.
    progress
        Whether to draw a progress bar.

    Raises
    ------
    ModelError
        If the file cannot be downloaded or written, or `check` refuses it.
    """
    part = target.with_name(f".{target.name}.part")
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(WAIT * 2 ** (attempt - 1))
        resumed = part.exists()
        try:
            published = _receive(url, part, headers or {}, progress)
            found = file_sha256(part)
            try:
                check(found, published)
            except ModelError as error:
                _discard(part)
                if not resumed:
                    raise
                raise _Interrupted(str(error)) from error  # perhaps the part was wrong already
            os.replace(part, target)
            _discard(part)
            return
        except _Interrupted as error:
            reason = str(error)
        except OSError as error:
            raise ModelError(
                f"cannot write {part}: {error.strerror or error}. "
                f"{'Make room there' if is_full(error) else 'Make it writable'}, or set CLEANSAT_WEIGHTS to another folder."
            ) from error
    later = ", and it goes on from where it broke off" if part.exists() else ""
    raise ModelError(f"cannot fetch {url}: {reason} ({ATTEMPTS} tries). Try again later{later}.")


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _receive(url: str, part: Path, headers: Mapping[str, str], progress: bool) -> str:
    """Download the rest of a part. Return the sha256 that the server publishes, or ``""``."""
    import requests

    start = part.stat().st_size if part.exists() else 0
    ask = {
        "User-Agent": f"odc-cleansat/{__version__}",
        "Accept-Encoding": "identity",
        **headers,
        **({"Range": f"bytes={start}-"} if start else {}),
    }
    try:
        with requests.get(url, headers=ask, stream=True, timeout=TIMEOUT) as response:
            _check_response(url, response, part)
            if not start or not _continues(response, part, start):
                start = 0
                _version_file(part).write_text(_version_of(response), encoding="utf-8")
            _write_part(response, part, start, progress)
            return _published_sha256(response)
    except requests.RequestException as error:
        raise _explain_failure(url, error) from error


def _explain_failure(url: str, error: requests.RequestException) -> Exception:
    """Return the error to raise: :class:`_Interrupted` if another try may succeed."""
    from requests.exceptions import InvalidSchema, InvalidURL, SSLError, TooManyRedirects

    if isinstance(error, SSLError):
        return ModelError(
            f"cannot fetch {url}: {_cause_of(error)}. Behind a proxy that opens encrypted traffic, let "
            "REQUESTS_CA_BUNDLE name its certificate."
        )
    if isinstance(error, InvalidURL | InvalidSchema | TooManyRedirects):
        return ModelError(f"cannot fetch {url}: {_cause_of(error)}. Look at the address.")
    return _Interrupted(_cause_of(error))


def _check_response(url: str, response: Response, part: Path) -> None:
    """Raise if the answer is not the file, or came over an open line."""
    status = response.status_code
    if status == 416:  # the server's file is not longer than the part, so it is another version
        _discard(part)
        raise _Interrupted("the server has no more of the file than has been fetched")
    if status in _TEMPORARY:
        raise _Interrupted(f"the server answers {status} {response.reason}")
    if status in (401, 403):
        raise ModelError(
            f"cannot fetch {url}: the server answers {status} {response.reason}. For a repository of "
            "Hugging Face that asks for a login, set HF_TOKEN."
        )
    if status not in (200, 206):
        raise ModelError(
            f"cannot fetch {url}: the server answers {status} {response.reason}. The file may have been "
            "moved or removed; see the model's card for where it is described."
        )
    for step in (*response.history, response):
        if url.startswith("https:") and not is_safe(step.url):
            raise ModelError(f"cannot fetch {url}: it leads to {step.url}, which is not encrypted.")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise ModelError(
            f"cannot fetch {url}: the answer is a web page and no weights. Look at it in a browser; a "
            "network that asks for a login does this."
        )


def _continues(response: Response, part: Path, start: int) -> bool:
    """Return whether the answer continues the part with the same version of the file."""
    if response.status_code != 206:
        return False
    begins = re.match(rf"bytes {start}-", response.headers.get("Content-Range", ""))
    version, file = _version_of(response), _version_file(part)
    if begins and version and file.exists() and file.read_text("utf-8") == version:
        return True
    _discard(part)
    raise _Interrupted("the file has changed while it was fetched")


def _write_part(response: Response, part: Path, start: int, progress: bool) -> None:
    from tqdm import tqdm

    begun = time.monotonic()
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdigit() else None
    with (
        open(part, "ab" if start else "wb") as file,
        tqdm(
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            disable=not progress,
            leave=False,
            desc=part.name[1:-5],
        ) as bar,
    ):
        for block in response.iter_content(2**16):
            if file.tell() > LARGEST or time.monotonic() - begun > LONGEST:
                raise ModelError(
                    f"the download of {response.url} is stopped: it is larger than {LARGEST // 2**30} GiB, or takes "
                    f"longer than {LONGEST // 3600:g} hours. Fetch the file by hand if it is right."
                )
            file.write(block)
            bar.update(len(block))
        size = file.tell()
    if total is not None and size != total:
        raise _Interrupted(f"the line broke after {size} of {total} bytes")


def _version_of(response: Response) -> str:
    return response.headers.get("ETag") or response.headers.get("Last-Modified") or ""


def _published_sha256(response: Response) -> str:
    for each in (*response.history, response):
        tag = each.headers.get("X-Linked-ETag", "").strip('"')
        if re.fullmatch(r"[0-9a-f]{64}", tag):
            return str(tag)
    return ""


def _version_file(part: Path) -> Path:
    """Return the file that names the version which the part belongs to."""
    return part.with_suffix(".etag")


def _discard(part: Path) -> None:
    for path in (part, _version_file(part)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _cause_of(error: Exception) -> str:
    """Return one phrase from the nested errors of `requests` and `urllib3`."""
    from requests.exceptions import ChunkedEncodingError

    if "timed out" in str(error).lower():
        return "no answer in time"
    if isinstance(error, ChunkedEncodingError):
        return "the line broke"
    cause = getattr(error.args[0], "reason", error) if error.args else error
    return str(cause).rpartition("): ")[2].rstrip(".") or type(error).__name__
