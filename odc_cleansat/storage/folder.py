"""Folders for products, on this machine or behind a URL such as ``s3://bucket/prefix``.

Files are written and listed through fsspec, pixels are read through GDAL. Both take their settings from the
``AWS_*`` environment variables, but not all under the same names: :func:`s3_options` and
:func:`prepare_gdal` are the one place where they are made to agree.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..errors import OutputError
from .atomic import locked, sorted_last
from .settings import URL_SCHEME, open_filesystem, store_errors

MULTIPART = 16 * 2**20
"""Files of twice this many bytes are uploaded in parts of this many."""
_ROUNDS = 3  # uploads of a product, should another program write the same one at that moment


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
        scheme = URL_SCHEME.match(text)
        self.path: Path | None = None
        """Where it is, if on this machine."""
        if scheme is None:
            self.path = Path(text)
        elif scheme[0].lower() == "file":
            self.path = Path(url2pathname(urlsplit(text).path))
        self._text = text.rstrip("/") if self.path is None else str(self.path)
        self._files: Any = None if self.path is not None else open_filesystem(self._text)

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
        with store_errors(self._text), contextlib.suppress(FileNotFoundError):
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
        with store_errors(self._text):
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
        with store_errors(self._text):
            content: bytes = self._files.cat_file(f"{self._text}/{name}")
            return content

    def write(self, name: str, content: bytes) -> None:
        """Add a small file with a name of its own: complete or absent."""
        if self.path is None:
            with store_errors(self._text):
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
        with store_errors(self._text):
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
            with locked(self.path, wait=True):
                for name in names:
                    os.replace(source / name, self.path / name)

    def _upload(self, source: Path, names: list[str], last: Sequence[str]) -> None:
        sizes = {name: (source / name).stat().st_size for name in names}
        with store_errors(self._text):
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
    if isinstance(place, Path) or not URL_SCHEME.match(place):
        path = Path(place)
        return Folder(path.parent), path.name
    folder, _, name = place.rpartition("/")
    return Folder(folder), name


def as_uri(place: Path | str) -> str:
    """A file's URL: ``file:///...`` for a path."""
    if isinstance(place, Path) or not URL_SCHEME.match(place):
        return Path(place).resolve().as_uri()
    return place
