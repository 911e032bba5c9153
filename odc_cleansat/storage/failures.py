"""What went wrong in a store, and what to do about it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from ..errors import CleansatError, OutputError

_ADVICE: tuple[tuple[str, str], ...] = (
    (r"RequestTimeTooSkewed|difference between the request time",
     "the clock of this machine is not that of the store; set it, e.g. with NTP"),
    (r"NoSuchBucket|bucket does not exist|AWSBucketNotFound",
     "there is no such bucket; make it, or correct the address or AWS_ENDPOINT_URL"),
    (r"ExpiredToken|TokenRefreshRequired|token.*expired", "the credentials have expired; renew them"),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|access key id you provided",
     "the store does not know these credentials; check AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret"),
    (r"ConfigParseError", "a file of AWS's settings cannot be read; correct ~/.aws/config, or AWS_CONFIG_FILE"),
    (r"Invalid bucket name", "that is no name of a bucket; write the address as s3://bucket/prefix"),
    (r"ProfileNotFound|config profile",
     "this machine has no such profile; make it with aws configure, or correct AWS_PROFILE or [buckets] in cleansat.toml"),
    (r"Unable to locate credentials|NoCredentials|InvalidCredentials|No valid AWS credentials|and AWS_NO_SIGN_REQUEST",
     "there are no credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID, or AWS_NO_SIGN_REQUEST=YES for public data"),
    (r"AccessDenied|Access Denied|Forbidden|\b403\b|InvalidPayer",
     "no permission; check the credentials (AWS_PROFILE, or [buckets] in cleansat.toml), and set AWS_REQUEST_PAYER=requester if the requester pays"),
    (r"PermanentRedirect|AuthorizationHeaderMalformed|\b301\b",
     "the bucket is in another region; set AWS_DEFAULT_REGION"),
    (r"ProxyConnectionError|connect to proxy|Proxy Authentication Required|ProxyError|InvalidProxiesConfig",
     "the proxy does not let requests through; correct HTTPS_PROXY or HTTP_PROXY, or name the store in NO_PROXY"),
    (r"NoSuchKey|Not Found|\b404\b|does not exist", "it is not there"),
    (r"Could not connect|Connect timeout|ConnectionRefused|Couldn't connect|Failed to connect|resolve host",
     "the store cannot be reached; check the network and AWS_ENDPOINT_URL"),
    (r"SlowDown|InternalError|ServiceUnavailable|Internal Server Error|\b50[0-9]\b|reduce your request rate",
     "the store fails, again and again; try later"),
    (r"[Tt]ime(d )?out|Connection (was )?(closed|reset)|Operation too slow|IncompleteRead|PayloadError|disconnected",
     "the connection breaks off or stands still, again and again; try later"),
)  # fmt: skip
"""Pattern in the text of an error to its meaning and the way out. The first that matches counts."""


def store_advice(error: BaseException) -> str | None:
    """Return what an error of a store means and what to do about it, or None if that is not known."""
    texts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(texts) < 5:
        code = getattr(cause, "response", None)
        texts.append(f"{type(cause).__name__} {cause} {code if isinstance(code, dict) else ''}")
        cause = cause.__cause__
    text = " ".join(texts)
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, text)), None)


@contextlib.contextmanager
def store_errors(url: str) -> Iterator[None]:
    """Turn errors of a store in this context into messages with advice.

    A missing file stays a FileNotFoundError.

    Parameters
    ----------
    url
        Address that the messages name.

    Raises
    ------
    OutputError
        If fsspec, botocore or aiohttp raises an error in the block.
    """
    try:
        yield
    except CleansatError:
        raise
    except Exception as error:  # fsspec, botocore and aiohttp have kinds of their own
        known = store_advice(error)
        if isinstance(error, FileNotFoundError) and "bucket" not in (known or ""):
            raise
        if known is None and not isinstance(error, OSError):
            known = f"{type(error).__name__}: {error}"
        raise OutputError(f"{url}: {known or error}.") from error
