"""The place for masks, a folder or a bucket: may one list, write, read and delete there?

What is written has a name that is hidden and ours, and is deleted again. Nothing else is touched.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..storage.atomic import working_folder
from ..storage.failures import store_advice, store_errors
from ..storage.folder import Folder
from ..storage.settings import CONNECT_TIMEOUT, READ_TIMEOUT, s3_options
from .finding import OK, WARNING, WRONG, Finding
from .folders import look_at

TOPIC = "store"

MARK = b"Written by `cleansat doctor`, which deletes it at once. It may be deleted.\n"
"""Contents of the object that is written."""

PREFIX = ".cleansat-doctor-"
"""Beginning of the name of the folder that holds it."""

SKEW = 60.0
"""Seconds that clocks may differ without a warning. Stores refuse requests from 15 minutes."""

_OLD = 86400.0
"""Seconds after which an unfinished upload is a leftover."""


def probe(place: str) -> Iterator[Finding]:
    """Look at a place for masks.

    Parameters
    ----------
    place
        A path or a URL.
    """
    folder = Folder(place)  # its error says which extra is missing
    folder.check_name()
    if folder.path is not None:
        yield from _local(folder.path)
    elif urlsplit(place).scheme.lower() in ("s3", "s3a"):
        if find_spec("boto3") is None:
            said = f"{folder}: nothing is known of it, because boto3 is not installed"
            yield Finding(TOPIC, WRONG, said, "Run: pip install 'odc-cleansat[s3]'")
            return
        with store_errors(str(folder)):
            bucket = _Bucket(place)
        yield from bucket.look()
    else:
        said = f"{folder}: only folders and s3:// are looked at, so nothing is known of it"
        yield Finding(
            TOPIC, WARNING, said, "Mask one scene into it and run `cleansat verify` on that."
        )


def _local(path: Path) -> Iterator[Finding]:
    found = look_at(
        TOPIC, "masks", path, WRONG, "Choose another folder, or have its owner let you write."
    )
    yield found
    if found.state == WRONG or not path.is_dir():
        return
    before = len(list(path.glob(".cleansat-*")))
    try:
        with working_folder(path) as work:
            (work / "probe").write_bytes(MARK)
            same = (work / "probe").read_bytes() == MARK
    except OSError as error:
        said = f"{path}: a file cannot be written and read: {error.strerror or error}"
        yield Finding(TOPIC, WRONG, said, "Look at the disk and its mount.")
        return
    if not same:
        yield Finding(
            TOPIC, WRONG, f"{path} does not give back what is written", "Look at the disk."
        )
    left = len(list(path.glob(".cleansat-*")))
    if before > left:
        yield Finding(
            TOPIC, OK, f"{before - left} working folders that killed runs left are deleted"
        )
    if left:
        yield Finding(
            TOPIC, OK, f"{left} working folders of runs under way, or of other programs, stay"
        )


class _Bucket:
    """A prefix of a bucket, asked by boto3 with the settings that writing has."""

    def __init__(self, url: str) -> None:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        options = s3_options(url)
        region = options.get("client_kwargs", {}).get("region_name")
        self._session = boto3.Session(
            profile_name=options.get("profile"),
            aws_access_key_id=options.get("key"),
            aws_secret_access_key=options.get("secret"),
            aws_session_token=options.get("token"),
            region_name=region,
        )
        self._anonymous: bool = options["anon"]
        self._endpoint: str | None = options.get("endpoint_url")
        self._config = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=min(READ_TIMEOUT, 10),
            retries={"mode": "standard", "total_max_attempts": 2},
            signature_version=UNSIGNED if self._anonymous else None,
        )
        self._payer = {"RequestPayer": "requester"} if options.get("requester_pays") else {}
        self._client = self._session.client("s3", endpoint_url=self._endpoint, config=self._config)
        self._bucket = urlsplit(url).netloc
        self._top = urlsplit(url).path.strip("/")
        self._prefix = f"{self._top}/" if self._top else ""
        self._name = f"s3://{self._bucket}/{self._top}".rstrip("/")

    def look(self) -> Iterator[Finding]:
        """Yield what there is to say; the rest is left out if the bucket cannot be listed."""
        yield from self._who()
        answer, error = self._ask(
            "list_objects_v2", Prefix=f"{self._prefix}{PREFIX}", MaxKeys=100, **self._payer
        )
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        yield from _clock(headers.get("date", ""))
        if error:
            yield self._wrong("cannot be listed", error)
            return
        if "Name" not in answer:
            said = f"{self._name}: what answers is no store of the S3 protocol"
            mend = "Correct AWS_ENDPOINT_URL; a proxy or a page for signing in may answer in its place."
            yield Finding(TOPIC, WRONG, said, mend)
            return
        yield Finding(TOPIC, OK, f"{self._name} can be listed")
        yield from self._region()
        yield from self._write()
        yield from self._uploads()
        if left := [each["Key"] for each in answer.get("Contents", ())]:
            said = f"{self._name}: {len(left)} objects of examinations that were broken off, such as {left[0]}"
            yield Finding(
                TOPIC, WARNING, said, "Delete what begins with this name; nobody needs it."
            )

    def _ask(self, call: str, **arguments: Any) -> tuple[dict[str, Any], Exception | None]:
        """Return the answer to a request and its error; if the store refused, the answer still has its headers."""
        try:
            answer: dict[str, Any] = getattr(self._client, call)(Bucket=self._bucket, **arguments)
        except Exception as error:  # of botocore: one class for each way to fail
            response = getattr(error, "response", None)
            return (response if isinstance(response, dict) else {}), error
        return answer, None

    def _wrong(self, what: str, error: Exception, state: str = WRONG, need: str = "") -> Finding:
        advice = store_advice(error) or f"{type(error).__name__}: {error}"
        reason, _, mend = advice.partition("; ")
        mend = mend[:1].upper() + mend[1:] if mend else "Ask whoever keeps the store."
        if region := _region_of(error):
            mend = mend.replace("AWS_DEFAULT_REGION", f"AWS_DEFAULT_REGION={region}")
        return Finding(
            TOPIC, state, f"{self._name} {what}: {reason}", f"{need}{mend}".rstrip(".") + "."
        )

    def _who(self) -> Iterator[Finding]:
        """Yield as whom requests are signed: the identity if the service for that answers, else the source."""
        if self._anonymous:
            yield Finding(
                TOPIC,
                WARNING,
                "requests are not signed, so hardly any bucket takes masks",
                "Remove AWS_NO_SIGN_REQUEST and AWS_UNSIGNED, or give this bucket a profile in cleansat.toml.",
            )
            return
        credentials = self._session.get_credentials()
        if credentials is None:
            yield Finding(
                TOPIC,
                WRONG,
                "there are no credentials",
                "Give this machine a role, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret.",
            )
            return
        said = f"credentials come from {credentials.method}"
        with contextlib.suppress(Exception):
            # A store that is not Amazon's has no such service, or at the same address.
            sts = self._session.client("sts", endpoint_url=self._endpoint, config=self._config)
            said += f", and are those of {sts.get_caller_identity()['Arn']}"
        yield Finding(TOPIC, OK, said)

    def _region(self) -> Iterator[Finding]:
        answer, error = self._ask("head_bucket")
        if error:
            need = "Allow s3:ListBucket on the bucket without a condition on the prefix. "
            yield self._wrong("cannot be asked for, as `cleansat run` does", error, need=need)
            return
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        there, here = headers.get("x-amz-bucket-region", ""), self._client.meta.region_name
        if there and there != here:
            yield Finding(
                TOPIC,
                WARNING,
                f"{self._name} is in region {there}, and the settings say {here}",
                f"Set AWS_DEFAULT_REGION={there}. Across regions reading is slower and costs money.",
            )
        elif there:
            yield Finding(TOPIC, OK, f"{self._name} is in region {there}")

    def _write(self) -> Iterator[Finding]:
        """Write a small object, read it, break off an upload in parts, and delete the object."""
        key = f"{self._prefix}{PREFIX}{uuid.uuid4().hex[:8]}/probe"
        _, error = self._ask("put_object", Key=key, Body=MARK)
        if error:
            yield self._wrong("cannot be written", error, need="Writing needs s3:PutObject. ")
            return
        answer, error = self._ask("get_object", Key=key, **self._payer)
        try:
            same = error is None and answer["Body"].read() == MARK
        except Exception as broken:  # a connection that ends in the answer
            error, same = broken, False
        _, left = self._ask("delete_object", Key=key)
        if error:
            yield self._wrong(
                "can be written and not read", error, need="Reading needs s3:GetObject. "
            )
        elif not same:
            said = f"{self._name} does not give back what is written"
            yield Finding(TOPIC, WRONG, said, "Ask whoever keeps the store, and use another.")
        if left:
            need = "Deleting needs s3:DeleteObject; without it a mask is never replaced. "
            yield self._wrong(
                f"takes objects and does not delete them, so {key} stays", left, need=need
            )
        if same and not left:
            said = f"an object was written to {self._name}, read and deleted"
            yield Finding(TOPIC, OK, said)

    def _uploads(self) -> Iterator[Finding]:
        """Yield leftovers of uploads in parts, and whether one may break them off."""
        key = f"{self._prefix}{PREFIX}{uuid.uuid4().hex[:8]}/probe"
        begun, error = self._ask("create_multipart_upload", Key=key)
        if error is None:
            _, error = self._ask("abort_multipart_upload", Key=key, UploadId=begun["UploadId"])
        if error:
            need = "Large files are uploaded in parts, which needs s3:PutObject and s3:AbortMultipartUpload. "
            yield self._wrong("does not let an upload in parts be broken off", error, WARNING, need)
        listed, error = self._ask("list_multipart_uploads", Prefix=self._prefix)
        if error:
            need = "That needs s3:ListBucketMultipartUploads. "
            yield self._wrong("does not list unfinished uploads", error, WARNING, need)
            return
        now = datetime.now(UTC)
        ages = [(now - each["Initiated"]).total_seconds() for each in listed.get("Uploads", ())]
        if old := [age for age in ages if age > _OLD]:
            yield Finding(
                TOPIC,
                WARNING,
                f"{self._name} holds {len(old)} unfinished uploads, the oldest {max(old) / 86400:.0f} days old; "
                "nobody sees them, but they cost money",
                "Give the bucket a lifecycle rule that aborts incomplete multipart uploads after a day.",
            )
        else:
            under_way = f"; {len(ages)} are under way" if ages else ""
            yield Finding(TOPIC, OK, f"{self._name} has no old unfinished uploads{under_way}")


def _region_of(error: Exception) -> str:
    """Return the region that a store asks for in an error, or ``""``."""
    answer = getattr(error, "response", None) or {}
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(answer.get("Error", {}).get("Region") or headers.get("x-amz-bucket-region", ""))


def _clock(date: str) -> Iterator[Finding]:
    """Yield how far the clock of this machine is from that of the store, if the store told its time."""
    try:
        # Some proxies add a date of their own behind that of the store.
        theirs = parsedate_to_datetime(date.partition(" GMT")[0]).replace(tzinfo=UTC)
    except (TypeError, ValueError):
        return
    skew = abs((datetime.now(UTC) - theirs).total_seconds())
    if skew <= SKEW:
        yield Finding(TOPIC, OK, "the clocks of this machine and of the store agree")
        return
    yield Finding(
        TOPIC,
        WRONG if skew > 600 else WARNING,
        f"the clocks of this machine and of the store differ by {skew:.0f} s; from 15 minutes requests are refused",
        "Set the clock, for instance with chrony or systemd-timesyncd.",
    )
