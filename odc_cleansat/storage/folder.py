"""Folders for products, on this machine or behind a URL such as ``s3://bucket/prefix``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..addresses import public_address
from ..errors import OutputError
from .atomic import locked, sorted_last
from .failures import store_errors
from .reader import LARGEST, DocumentError, check_regular, read_file
from .settings import URL_SCHEME, open_filesystem

MULTIPART = 16 * 2**20
"""Size of the parts of an upload, bytes. Files of twice this size or more are uploaded in parts."""

LARGEST_LAYER = 2**31
"""Most bytes of a file of a product in a store."""

_ROUNDS = 3
"""Number of times that a product is uploaded if another program writes the same one at that moment."""


class Folder:
    """A folder for products, which need not exist yet.

    Parameters
    ----------
    place
        A path, or a URL that fsspec knows, such as ``s3://bucket/prefix`` or ``file:///data``.

    Raises
    ------
    OutputError
        If no installed package serves such URLs.
    """

    def __init__(self, place: Folder | Path | str) -> None:
        text = place._text if isinstance(place, Folder) else str(place)
        scheme = URL_SCHEME.match(text)
        self._text: str
        self.path: Path | None = None
        """Path on this machine, or None for a store."""
        if scheme is None:
            self.path = Path(text)
        elif scheme[0].lower() == "file":
            self.path = Path(url2pathname(urlsplit(text).path))
        self._text = text.rstrip("/") if self.path is None else str(self.path)
        self._files: Any = None if self.path is not None else open_filesystem(self._text)

    def __str__(self) -> str:
        """Return the path or the public address; see :mod:`odc_cleansat.addresses`."""
        return public_address(self._text)

    def __repr__(self) -> str:
        return f"Folder({str(self)!r})"

    def __truediv__(self, part: Path | str) -> Folder:
        if self.path is not None:
            return Folder(self.path / part)
        return Folder(f"{self._text}/{Path(part).as_posix()}")

    def file(self, name: str) -> Path | str:
        """Return the path or URL of a file in the folder."""
        return f"{self._text}/{name}" if self.path is None else self.path / name

    def files(self) -> dict[str, int]:
        """Return names and sizes, bytes, of the files in the folder; none if it does not exist.

        Raises
        ------
        OutputError
            If a store cannot be listed.
        """
        if self.path is not None:
            found: dict[str, int] = {}
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for path in self.path.iterdir():
                    with contextlib.suppress(FileNotFoundError):  # it has gone since
                        if path.is_file():
                            found[path.name] = path.stat().st_size
            return found
        with store_errors(self._text), contextlib.suppress(FileNotFoundError):
            listed = self._files.ls(self._text, detail=True, refresh=True)
            return {
                each["name"].rsplit("/", 1)[-1]: each["size"]
                for each in listed
                if each["type"] == "file"
            }
        return {}

    def entries(self) -> set[str]:
        """Return the names of all that is in the folder: files, folders and links; none if it does not exist.

        Raises
        ------
        OutputError
            If a store cannot be listed.
        """
        if self.path is not None:
            return set(os.listdir(self.path)) if self.path.is_dir() else set()
        with store_errors(self._text), contextlib.suppress(FileNotFoundError):
            found = self._files.ls(self._text, detail=False, refresh=True)
            return {each.rstrip("/").rsplit("/", 1)[-1] for each in found}
        return set()

    def leaves(self, name: str) -> bool:
        """Return whether a name in a folder on this machine is, or passes through, a link to a file elsewhere.

        Parameters
        ----------
        name
            Name of a file in the folder, or its path.
        """
        return self.path is not None and not (self.path / name).resolve().is_relative_to(
            self.path.resolve()
        )

    def exists(self) -> bool:
        """Return whether the folder exists; in a store, whether it holds a file."""
        return self.path.exists() if self.path is not None else bool(self.files())

    def check_usable(self) -> None:
        """Raise if a bucket is missing or not accessible, or the name cannot be used.

        Call it before work whose result the folder should hold.

        Raises
        ------
        OutputError
            With the reason.
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

    def check_writable(self) -> None:
        """Raise if nothing can be written to the folder; it does not ask for rights, it tries, and leaves nothing behind.

        A bucket is asked to begin an upload in parts, which is given up at once: no object comes of it.

        Raises
        ------
        OutputError
            With the reason, as for :meth:`check_usable`.
        """
        self.check_usable()
        if self.path is not None:
            place = next(each for each in (self.path, *self.path.parents) if each.exists())
            try:
                with tempfile.TemporaryFile(dir=place):
                    return
            except OSError as error:
                raise OutputError(
                    f"{self} cannot be written: {error.strerror or error}. Give this program the right to write there, or "
                    "choose another folder."
                ) from error
        if hasattr(self._files, "call_s3"):
            where = {"Bucket": urlsplit(self._text).netloc}
            where["Key"] = f"{urlsplit(self._text).path}/.cleansat-check".lstrip("/")
            with store_errors(self._text):
                begun = self._files.call_s3("create_multipart_upload", **where)
                with contextlib.suppress(Exception):  # who may write, may not be allowed to give up
                    self._files.call_s3(
                        "abort_multipart_upload", UploadId=begun["UploadId"], **where
                    )

    def check_name(self) -> None:
        """Raise if a name has a character that other libraries read as the end of a path.

        Raises
        ------
        OutputError
            With the character.
        """
        # eodatasets3 makes a URL of a path, and rasterio ignores what follows these in a URL.
        for character in "#?" if self.path is not None else "#":
            if character in self._text:
                raise OutputError(
                    f"{self}: masks cannot be kept below a name with {character!r}; take another."
                )

    def read(self, name: str, largest: int = LARGEST) -> bytes:
        """Return the contents of a small file, such as a document.

        Parameters
        ----------
        name
            Name of a file in this folder.
        largest
            Most bytes that it may have.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        DocumentError
            If it is larger, or is no file.
        OutputError
            If a store cannot be read.
        """
        _check_inside(name, self)
        if self.path is not None:
            return read_file(self.path / name, largest)
        with store_errors(self._text):
            # One byte more than allowed: a request for the size would cost as much again.
            content: bytes = self._files.cat_file(f"{self._text}/{name}", end=largest + 1)
        if len(content) > largest:
            raise DocumentError(f"{self}/{name} is larger than {largest} bytes, so it is not read.")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a small new file, whole or not at all.

        Raises
        ------
        OSError
            If a file on this machine cannot be written.
        OutputError
            If a store does not take the file.
        """
        if self.path is None:
            with store_errors(self._text):
                self._files.pipe_file(f"{self._text}/{name}", content)
            return
        draft = self.path / f".{name}.draft"
        with draft.open("xb") as file:  # one that is there already is another's, and stays
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                draft.rename(self.path / name)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise

    def remove(self, names: Iterable[str]) -> None:
        """Delete files of this folder, if they are there.

        Raises
        ------
        OSError
            If a file on this machine cannot be deleted.
        OutputError
            If a store does not delete it.
        """
        for name in names:
            _check_inside(name, self)
            if self.path is not None:
                (self.path / name).unlink(missing_ok=True)
                continue
            with store_errors(self._text), contextlib.suppress(FileNotFoundError):
                self._files.rm_file(f"{self._text}/{name}")

    def sha1(self, name: str) -> str:
        """Return the SHA-1 checksum of a file in this folder, hexadecimal.

        Raises
        ------
        OSError
            If it is missing or cannot be read.
        OutputError
            If it is elsewhere or no file, or a store cannot be read.
        """
        _check_inside(name, self)
        digest = hashlib.sha1()
        if self.path is None:
            # Read whole, so that a connection that breaks off is tried again.
            digest.update(self.read(name, LARGEST_LAYER))
        else:
            check_regular(self.path / name, self.path / name)
            with (self.path / name).open("rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        return digest.hexdigest()

    def find(self, suffixes: tuple[str, ...]) -> list[Folder]:
        """Return this folder and those below it that hold a file with one of the suffixes.

        Hidden folders are left out.

        Parameters
        ----------
        suffixes
            Ends of file names.

        Raises
        ------
        OutputError
            If a store cannot be listed.
        """
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
        """Move the files of a finished local folder to this folder.

        On this machine the folder is renamed in one step; if the target exists, its files are replaced one by one.
        A store gets one file after another.

        Parameters
        ----------
        source
            The finished folder; on the same file system, if this one is local.
        last
            Names of the files that come last, in this order. A store lacks the first of them until it is replaced.
            So an unfinished product does not look whole.

        Raises
        ------
        OSError
            If a folder on this machine cannot be written.
        OutputError
            If the folder is a link, through which nothing is written; or if a store does not take the files. Its
            folder then lacks the last of them, or is as it was.
        """
        names = sorted_last((p.name for p in source.iterdir()), last)
        if self.path is None:
            self._upload(source, names, last)
            return
        if self.path.is_symlink():
            raise OutputError(
                f"{self} is a link to another folder, and masks are not written through links; remove it."
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.rename(self.path)
        except OSError:
            if not self.path.is_dir():
                raise
            # The lock keeps the files of two writers from being mixed.
            with locked(self.path, wait=True):
                for name in names:
                    os.replace(source / name, self.path / name)

    def _upload(self, source: Path, names: list[str], last: Sequence[str]) -> None:
        """Upload files until the store holds them as they are here.

        The last of them are written only when all others have the size that they have here. If one turns out
        short in the end, everything is withdrawn: no document stays that tells of files which are not whole.
        """
        sizes = {name: (source / name).stat().st_size for name in names}
        first = [name for name in names if name not in last]
        short: list[str] = first
        with store_errors(self._text):
            for _ in range(_ROUNDS):
                there = self.files()
                if last[0] in there:
                    self.remove([last[0]])
                if there.keys() & sizes.keys():
                    self._abort_uploads()
                self._put(source, first)
                if short := self._short(sizes, first):
                    continue
                self._put(source, last)
                if not (short := self._short(sizes, names)) and self._holds(source, last):
                    return
            if short:
                self.remove([*reversed(last), *first])
                raise OutputError(
                    f"{self} does not hold {', '.join(short)} as written, though it was written {_ROUNDS} times; "
                    "all of it was withdrawn. Look at the store, and run again."
                )
        raise OutputError(
            f"{self} was written {_ROUNDS} times and is not as written: another program writes there "
            "too. Run again when it is done."
        )

    def _put(self, source: Path, names: Sequence[str]) -> None:
        for name in names:
            self._files.put_file(str(source / name), f"{self._text}/{name}", chunksize=MULTIPART)

    def _short(self, sizes: Mapping[str, int], names: Iterable[str]) -> list[str]:
        """Return the files that the store lacks, or has in another size."""
        there = self.files()
        return [name for name in names if there.get(name) != sizes[name]]

    def _holds(self, source: Path, names: Iterable[str]) -> bool:
        """Return whether the store has the contents of some files."""
        try:
            return all(self.read(name) == (source / name).read_bytes() for name in names)
        except FileNotFoundError:  # another program has just deleted it
            return False

    def _abort_uploads(self) -> None:
        """Delete parts of files that an interrupted run has left: nobody sees them, but they cost money."""
        bucket, key = urlsplit(self._text).netloc, urlsplit(self._text).path.lstrip("/")
        call = getattr(self._files, "call_s3", None)
        if call is None:
            return
        pending = call("list_multipart_uploads", Bucket=bucket, Prefix=f"{key}/")
        for each in pending.get("Uploads", ()):
            call(
                "abort_multipart_upload", Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"]
            )


def _check_inside(name: str, folder: Folder) -> None:
    """Raise if a name leads out of the folder, as a document of a stranger may try."""
    if name in ("", ".", "..") or re.search(r"[/\\\0]", name):
        raise DocumentError(f"{name!r} is no name of a file in {folder}; it is not read.")


def split_file(place: Path | str) -> tuple[Folder, str]:
    """Return the folder and the name of a file, from its path or URL."""
    if isinstance(place, Path) or not URL_SCHEME.match(place):
        path = Path(place)
        return Folder(path.parent), path.name
    folder, _, name = place.rpartition("/")
    return Folder(folder), name


def as_uri(place: Path | str) -> str:
    """Return the URL of a file, which is ``file:///...`` for a path."""
    if isinstance(place, Path) or not URL_SCHEME.match(place):
        return Path(place).resolve().as_uri()
    return place
