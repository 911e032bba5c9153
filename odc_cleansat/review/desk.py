"""What a server of reviews knows: masks, their rows and pictures, and what people say of them.

Nothing here knows of the web. Masks have ids, and whoever asks names no place.
"""

from __future__ import annotations

import threading
import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cachetools import LRUCache

from ..addresses import without_places
from ..errors import LOG, CleansatError, first_line
from ..products import verdict_files
from ..products.product import MaskProduct, MaskProductError
from ..products.search import Unreadable
from ..products.verdict_files import KINDS, read_many
from .collection import Collection
from .comparison import compare
from .datasets import layer_names, mask_dataset
from .inspection import SIDE
from .other_masks import OtherMask, read_others
from .page_rows import mask_row, review_row, unreadable_row, waiting_row
from .swipe import swipe_page

EVERY = 5.0
"""Seconds after which verdicts are read anew."""

SHARE = 0.1
"""Most of the time that is spent with reading verdicts: with many masks they are read less often."""

LONGEST_NOTE, LONGEST_NAME = 2000, 100
"""Most characters of a note and of a name."""

PICTURES = 64_000_000
"""Bytes of pictures that are kept. Others are made anew when they are asked for."""

SWIPES = 4
"""Pages to swipe that are kept."""

THREADS = 2
"""Masks that are inspected, and pages to swipe that are made, at a time."""

WRITERS = 8
"""Verdicts that are written at a time."""

GONE = "this mask is not among those that are served any more. Reload the page."
"""What is said of an id that is not known."""


class UnknownMaskError(CleansatError):
    """A mask that is not, or not any more, among those that are served."""


@dataclass
class _Entry:
    """A mask, and what is shown of it."""

    product: MaskProduct
    row: dict[str, Any]
    review: dict[str, Any]
    row_changed: int
    review_changed: int


class Desk:
    """The masks to review, inspected in the background, and the verdicts on them.

    Parameters
    ----------
    source
        Gives the masks. It is asked again now and then, so that new masks appear.
    fetch_scenes
        See :func:`~odc_cleansat.review.inspect_mask`.
    words
        Says what is wrong in the words of whoever serves the masks.
    others
        Masks by others that stand beside each mask.
    """

    def __init__(
        self,
        source: Callable[[], Collection],
        *,
        fetch_scenes: bool = False,
        words: Callable[[str], str] = str,
        others: Sequence[OtherMask] = (),
    ) -> None:
        self._source = source
        self._fetch_scenes = fetch_scenes
        self._words = words
        self._others = others
        self._entries: dict[UUID, _Entry] = {}
        self._unreadable: tuple[Unreadable, ...] = ()
        self._pictures: LRUCache[UUID, Mapping[str, tuple[bytes, str]]] = LRUCache(
            PICTURES, getsizeof=lambda found: sum(len(each[0]) for each in found.values())
        )
        self._swipes: LRUCache[UUID, str] = LRUCache(SWIPES)
        self._changes = 0
        self._due = 0.0
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._drawing = threading.Semaphore(THREADS)
        self._pool = ThreadPoolExecutor(THREADS, "review")

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop inspecting masks."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # What is shown

    def refresh(self) -> None:
        """Look for new masks and new verdicts, unless that was done a moment ago or is being done.

        Raises
        ------
        CleansatError, OSError
            If the masks cannot be listed.
        """
        if time.monotonic() < self._due or not self._reading.acquire(blocking=False):
            return
        try:
            begun = time.monotonic()
            found = self._source()
            self._take(found)
            self._read_verdicts(self._entries)
            now = time.monotonic()
            self._due = now + max(EVERY, (now - begun) / SHARE)
        finally:
            self._reading.release()

    def since(self, version: int) -> dict[str, Any]:
        """Return what changed since a version, as a document for JSON.

        Parameters
        ----------
        version
            What this gave as ``version`` before; 0 for all.

        Returns
        -------
        dict
            ``version``; ``rows`` that are new or were inspected since; the ``reviews`` of others, by id; and
            ``waiting``, how many masks are to be inspected.
        """
        with self._lock:
            entries = self._entries
            if version > self._changes:  # of a server before this one
                version = 0
            rows = {
                str(mask): {**each.row, **each.review}
                for mask, each in entries.items()
                if each.row_changed > version
            }
            reviews = {
                str(mask): each.review
                for mask, each in entries.items()
                if each.review_changed > version and str(mask) not in rows
            }
            lost = (
                []
                if version
                else [_shown(unreadable_row(each), [each.place]) for each in self._unreadable]
            )
            return {
                "version": self._changes,
                "waiting": sum("waiting" in each.row for each in entries.values()),
                "rows": [*rows.values(), *lost],
                "reviews": reviews,
            }

    def picture(self, mask: UUID, name: str) -> tuple[bytes, str]:
        """Return a picture of a mask, and its media type.

        Parameters
        ----------
        mask
            Id of the mask.
        name
            ``rgb``, ``ucl``, ``scl``, or ``other0`` and so on.

        Raises
        ------
        UnknownMaskError
            If there is no such mask or no such picture.
        """
        entry = self._entry(mask)
        with self._lock:
            found = self._pictures.get(mask)
        if found is None:
            with self._drawing:
                found = self._inspect(mask, entry.product)
        if name not in found:
            raise UnknownMaskError("there is no such picture of this mask.")
        return found[name]

    def swipe(self, mask: UUID) -> str:
        """Return a page (HTML) to swipe between the layers of a mask and its scene.

        Raises
        ------
        CleansatError, OSError
            If there is no such mask, or it or its scene cannot be read.
        """
        product = self._entry(mask).product
        with self._drawing:
            with self._lock:
                page = self._swipes.get(mask)
            if page is None:
                data = mask_dataset(product, fetch_scenes=self._fetch_scenes)
                files = None if product.scene is None else product.scene.files
                panels = compare(
                    data,
                    others=read_others(self._others, data, files, LOG.warning),
                    confidence="ucl_confidence" in data,
                    names=layer_names(data),
                    title=str(data.attrs.get("title", "")),
                )
                page = swipe_page(panels)
                with self._lock:
                    self._swipes[mask] = page
        return page

    # What people say

    def give(
        self, kind: str, masks: Sequence[UUID], note: str, by: str
    ) -> dict[str, dict[str, Any]]:
        """Write a verdict on each of several masks.

        Parameters
        ----------
        kind
            One of :data:`~odc_cleansat.products.verdict_files.KINDS`.
        masks
            Ids of the masks.
        note
            The reason. A flag needs one.
        by
            Who gives the verdict.

        Returns
        -------
        dict
            ``reviews``: what people said of each mask, by id. ``failed``: why no verdict was written, by id.

        Raises
        ------
        CleansatError
            If the kind, the note or the name cannot be taken. Nothing is written then.
        """
        note, by = _printable(note).strip(), by.strip()
        _check(kind, note, by)
        wanted = list(dict.fromkeys(masks))
        with ThreadPoolExecutor(WRITERS) as pool:
            results = pool.map(lambda mask: self._write(kind, mask, note, by), wanted)
        reasons = dict(zip(wanted, results, strict=True))
        known = {mask: self._entries[mask] for mask in wanted if mask in self._entries}
        self._read_verdicts(known)
        return {
            "reviews": {str(mask): each.review for mask, each in known.items()},
            "failed": {str(mask): reason for mask, reason in reasons.items() if reason},
        }

    def _write(self, kind: str, mask: UUID, note: str, by: str) -> str:
        """Write a verdict; return why it cannot be written, or an empty text."""
        entry = self._entries.get(mask)
        if entry is None:
            return GONE
        try:
            getattr(verdict_files, kind)(entry.product.document_file, note, by)
        except MaskProductError:
            return (
                "the files of this mask are not there any more, or cannot be read; nothing was written. "
                "Look for it in the store."
            )
        except (CleansatError, OSError) as error:
            return self.reason(error, entry.product)
        return ""

    def reason(self, error: Exception, product: MaskProduct | None = None) -> str:
        """Return what went wrong, in words that name no place of this machine or store.

        Parameters
        ----------
        error
            The error.
        product
            The product that it is about.
        """
        what = str(error) if isinstance(error, CleansatError) else first_line(error)
        return self._words(without_places(what, _places(product)))

    # Inside

    def _entry(self, mask: UUID) -> _Entry:
        entry = self._entries.get(mask)
        if entry is None:
            raise UnknownMaskError(GONE)
        return entry

    def _take(self, found: Collection) -> None:
        """Keep the masks that are there, inspect new ones, and forget others."""
        products = {each.id: each for each in found.products}
        with self._lock:
            self._unreadable = found.unreadable
            kept = {mask: self._entries[mask] for mask in products if mask in self._entries}
            new = {mask: each for mask, each in products.items() if mask not in kept}
            if new:
                self._changes += 1
            for mask, product in new.items():
                row = _shown(waiting_row(product), _places(product))
                kept[mask] = _Entry(product, row, {}, self._changes, self._changes)
            self._entries = kept
        for mask, product in new.items():
            self._pool.submit(self._inspect_row, mask, product)

    def _inspect_row(self, mask: UUID, product: MaskProduct) -> None:
        try:
            self._inspect(mask, product)
        except Exception:
            LOG.exception("%s cannot be inspected", product.label)
            row = waiting_row(product) | {"gaps": ["it cannot be inspected; the log says why"]}
            del row["waiting"]
            self._set_row(mask, _shown(row, _places(product)))

    def _inspect(self, mask: UUID, product: MaskProduct) -> Mapping[str, tuple[bytes, str]]:
        row = mask_row(product, SIDE, fetch_scenes=self._fetch_scenes, others=self._others)
        row["gaps"] = [self._words(gap) for gap in row["gaps"]]
        pictures = {
            name: _decoded(uri) for name, uri in row.pop("pictures", {}).items() if uri is not None
        }
        row = _shown(row, _places(product))
        if pictures:
            row["pictures"] = {name: f"masks/{mask}/{name}" for name in pictures}
        with self._lock:
            if sum(len(each[0]) for each in pictures.values()) <= PICTURES:
                self._pictures[mask] = pictures
        self._set_row(mask, row)
        return pictures

    def _set_row(self, mask: UUID, row: dict[str, Any]) -> None:
        with self._lock:
            entry = self._entries.get(mask)
            if entry is not None:
                self._changes += 1
                entry.row, entry.row_changed = row, self._changes

    def _read_verdicts(self, entries: Mapping[UUID, _Entry]) -> None:
        said, unread = read_many({mask: each.product.folder for mask, each in entries.items()})
        with self._lock:
            for mask, entry in entries.items():
                review = review_row(said[mask])
                if mask in unread:
                    reason = without_places(unread[mask], _places(entry.product))
                    # What was read before is nearer to the truth than nothing.
                    review = {**(entry.review or review), "unread": reason}
                if review != entry.review:
                    self._changes += 1
                    entry.review, entry.review_changed = review, self._changes


def _printable(note: str) -> str:
    """A note without characters that would steer the terminal of whoever lists verdicts."""
    return "".join(each if each.isprintable() or each in "\n\t" else " " for each in note)


def _check(kind: str, note: str, by: str) -> None:
    """Raise if a verdict cannot be taken.

    Raises
    ------
    CleansatError
        If the kind, the note or the name cannot be taken.
    """
    if kind not in KINDS:
        raise CleansatError(f"there is no verdict {kind[:20]!r}; give one of {', '.join(KINDS)}.")
    if not by:
        raise CleansatError("nobody's name was given; say who you are, and try again.")
    if len(by) > LONGEST_NAME or not by.isprintable():
        raise CleansatError(
            f"that is no name: give at most {LONGEST_NAME} characters, on one line."
        )
    if len(note) > LONGEST_NOTE:
        raise CleansatError(
            f"the note has {len(note)} characters; {LONGEST_NOTE} are allowed. Shorten it."
        )
    if kind == "flag" and not note:
        raise CleansatError("a flag is a remark; write a note that says what.")


def _places(product: MaskProduct | None) -> list[str]:
    """The places that a message on a product may name."""
    if product is None:
        return []
    path = product.folder.path
    folders = [] if path is None else [path, path.absolute(), path.resolve()]
    return [str(product.folder), *map(str, folders)]


def _shown(row: dict[str, Any], places: Sequence[str]) -> dict[str, Any]:
    """Return a row as browsers get it: without places, and without what goes into commands."""

    def shown(value: Any) -> Any:
        if isinstance(value, str):
            return without_places(value, places)
        if isinstance(value, dict):
            return {key: shown(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [shown(each) for each in value]
        return value

    said = {key: shown(value) for key, value in row.items() if key not in ("target", "verdicts")}
    if "made" in said:
        said["made"] = [pair for pair in said["made"] if pair[0] != "Where"]
    return said


def _decoded(uri: str) -> tuple[bytes, str]:
    """Content and media type of a ``data:`` URL."""
    head, _, content = uri.partition(",")
    return b64decode(content), head.removeprefix("data:").partition(";")[0]
