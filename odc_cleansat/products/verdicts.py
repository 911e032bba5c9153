"""Verdicts: what people say of masks, kept beside them.

A verdict is a small file of its own in the folder of the product, on this machine as on S3. Nothing is ever
changed or overwritten: whoever thinks otherwise adds another verdict. So several people can review at once, and what
was said, by whom and when, stays. The names of the files begin with the time, so that their order is that of the names.
"""

from __future__ import annotations

import getpass
import json
import secrets
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from .._version import __version__
from ..errors import CleansatError, CubeError, GapWarning, OutputError
from ..scenes.files import local_path
from ..storage.eo3 import MASK_PRODUCT
from ..storage.folder import Folder, split_file
from .product import THREADS, _at, is_place

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


T = TypeVar("T")

KINDS = ("accept", "reject", "flag")
"""What a verdict can say. A flag is a remark: it leaves it at what was accepted or rejected before."""

STATES = ("accepted", "rejected", "unreviewed")
"""What verdicts make of a mask."""

SUFFIX = ".verdict.json"
"""How the names of their files end."""

_STAMP = "%Y%m%dT%H%M%S%fZ"
_FEWEST_DIGITS = 4  # of an id that is cut short
_STATE = {"accept": "accepted", "reject": "rejected"}


@dataclass(frozen=True)
class Verdict:
    """What somebody said of a mask."""

    mask: UUID
    """Id of the mask's dataset."""

    verdict: str
    """One of :data:`KINDS`."""

    note: str
    """Why; may be empty."""

    by: str
    """Who said it."""

    when: datetime
    """UTC, by the clock of whoever said it."""

    version: str
    """Of this package, at that time."""

    def to_json(self) -> str:
        """As it is written to a file, and printed for programs."""
        document = {**asdict(self), "mask": str(self.mask), "when": self.when.isoformat()}
        return json.dumps(document, ensure_ascii=False)

    @staticmethod
    def from_json(text: str | bytes) -> Verdict:
        """The reverse of :meth:`to_json`.

        Raises
        ------
        ValueError
            If it is something else.
        """
        document = json.loads(text)
        try:
            kind, when = document["verdict"], datetime.fromisoformat(document["when"])
            if kind not in KINDS:
                raise ValueError(f"the verdict {kind!r} is unknown")
            note, by, version = (str(document[key]) for key in ("note", "by", "version"))
            return Verdict(UUID(document["mask"]), kind, note, by, when, version)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no verdict: {error!r}") from error


# --- what is said ---------------------------------------------------------------------


def accept(
    mask: Dataset | Path | str | UUID,
    note: str = "",
    by: str | None = None,
    *,
    dc: Datacube | None = None,
) -> Verdict:
    """Accept a mask: it is good enough to be used.

    Parameters
    ----------
    mask
        A dataset of a datacube; path or URL of the product's folder or document; or, with `dc`, its id, the
        first digits of it, or its label.
    note
        Why.
    by
        Who says so; by default the user of this machine.
    dc
        The datacube in which ids and labels are looked up.

    Returns
    -------
    Verdict
        As it was written.

    Raises
    ------
    CubeError
        If the datacube has no such mask, or several.
    OutputError
        If there is no mask product at that place, or the verdict cannot be written there.
    """
    return _say("accept", mask, note, by, dc)


def reject(
    mask: Dataset | Path | str | UUID,
    note: str = "",
    by: str | None = None,
    *,
    dc: Datacube | None = None,
) -> Verdict:
    """Reject a mask: `load` and `recall` leave it out, and `cleansat run` does not index it.

    See :func:`accept`.
    """
    return _say("reject", mask, note, by, dc)


def flag(
    mask: Dataset | Path | str | UUID,
    note: str = "",
    by: str | None = None,
    *,
    dc: Datacube | None = None,
) -> Verdict:
    """Remark something about a mask, for others to see. What was accepted or rejected stays so.

    See :func:`accept`.
    """
    return _say("flag", mask, note, by, dc)


def verdicts(mask: Dataset | Path | str | UUID, *, dc: Datacube | None = None) -> list[Verdict]:
    """All that was said of a mask, the latest last; see :func:`accept` for parameters.

    Raises
    ------
    CubeError
        If the datacube has no such mask, or several.
    OutputError
        If there is no mask product at that place, or one of the verdicts cannot be read.
    """
    folder, found = _place(mask, dc)
    return _read(folder, [found])[found]


def verdict(mask: Dataset | Path | str | UUID, *, dc: Datacube | None = None) -> Verdict | None:
    """The verdict that counts: the latest that accepts or rejects; see :func:`verdicts`."""
    return standing(verdicts(mask, dc=dc))


def standing(said: Sequence[Verdict]) -> Verdict | None:
    """Of all that was said of a mask, the verdict that counts: the latest that accepts or rejects."""
    return next((each for each in reversed(said) if each.verdict in _STATE), None)


def state(said: Sequence[Verdict]) -> str:
    """What verdicts make of a mask, one of :data:`STATES`."""
    found = standing(said)
    return _STATE[found.verdict] if found else "unreviewed"


def remarks(said: Sequence[Verdict]) -> list[Verdict]:
    """The flags since the verdict that counts: what it has not settled."""
    kinds = [each.verdict in _STATE for each in said]
    since = len(kinds) - kinds[::-1].index(True) if True in kinds else 0
    return list(said[since:])


def _say(
    kind: str, mask: Dataset | Path | str | UUID, note: str, by: str | None, dc: Datacube | None
) -> Verdict:
    folder, found = _place(mask, dc)
    who = _user() if by is None else by.strip()
    if not who:
        raise CleansatError("by is empty; say who gives the verdict.")
    now = datetime.now(timezone.utc)
    said = Verdict(found, kind, note.strip(), who, now, __version__)
    # Behind all that could be seen when it was said, even if another machine's clock is ahead.
    last = max((name.partition("_")[0] for name in _files(folder, [found])), default="")
    stamp = now.strftime(_STAMP)
    if stamp <= last:
        stamp = (_moment(last) + timedelta(microseconds=1)).strftime(_STAMP)
    name = f"{stamp}_{_short(found)}_{secrets.token_hex(4)}{SUFFIX}"
    try:
        folder.write(name, (said.to_json() + "\n").encode())
    except OSError as error:
        raise OutputError(
            f"cannot write the verdict to {folder}: {error.strerror or error}. Verdicts are kept with "
            "the masks; give a copy of them that you may write to, or ask for permission."
        ) from error
    return said


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise CleansatError("this machine does not tell who you are; say it with by.") from error


def _moment(stamp: str) -> datetime:
    return datetime.strptime(stamp, _STAMP)


# --- where it is kept -----------------------------------------------------------------


def _short(mask: UUID) -> str:
    return str(mask)[:8]


def _files(folder: Folder, masks: Iterable[UUID]) -> list[str]:
    """Names of the files with verdicts on these masks, which may be in a folder with others, in order."""
    wanted = {_short(mask) for mask in masks}
    return sorted(
        name
        for name in folder.files()
        if name.endswith(SUFFIX)
        and len(parts := name.removesuffix(SUFFIX).split("_")) == 3
        and parts[1] in wanted
    )


def _read(folder: Folder, masks: Sequence[UUID]) -> dict[UUID, list[Verdict]]:
    found: dict[UUID, list[Verdict]] = {mask: [] for mask in masks}
    for name in _files(folder, masks):
        try:
            said = Verdict.from_json(folder.read(name))
        except (ValueError, OSError) as error:
            if isinstance(error, CleansatError):
                raise
            raise OutputError(
                f"{folder.file(name)} cannot be read as a verdict: {error}. Take it away, and give "
                "the verdict again."
            ) from error
        if said.mask in found:
            found[said.mask].append(said)
    return found


def folder_of(document: Path | str | None) -> Folder | None:
    """The folder of a document, path or URL, as :func:`read_many` takes it."""
    return None if document is None else split_file(local_path(str(document)))[0]


def read_many(
    masks: Mapping[UUID, Folder | None],
) -> tuple[dict[UUID, list[Verdict]], dict[UUID, str]]:
    """What was said of many masks; stores are asked for several at a time.

    Parameters
    ----------
    masks
        Id to the folder; None where it is not known.

    Returns
    -------
    dict, dict
        The verdicts on each, the latest last; and why those of some cannot be read, which count as none.
    """
    together: dict[str, tuple[Folder, list[UUID]]] = {}
    for mask, folder in masks.items():
        if folder is not None:
            together.setdefault(str(folder), (folder, []))[1].append(mask)
    found: dict[UUID, list[Verdict]] = {mask: [] for mask in masks}
    unread: dict[UUID, str] = {}

    def look(place: tuple[Folder, list[UUID]]) -> None:
        folder, inside = place
        try:
            found.update(_read(folder, inside))
        except (CleansatError, OSError) as error:
            unread.update(dict.fromkeys(inside, str(error)))

    remote = [place for place in together.values() if place[0].path is None]
    for place in together.values():
        if place[0].path is not None:
            look(place)
    if remote:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(look, remote))
    return found, unread


def heed(
    items: Sequence[T],
    masks: Sequence[Dataset | None],
    what: str,
    *,
    only_accepted: bool,
) -> list[T]:
    """Leave out what was rejected, or all that was not accepted, and say so.

    Parameters
    ----------
    items
        Scenes or masks.
    masks
        The mask of each, None where there is none.
    what
        What they are called.
    only_accepted
        Whether those that nobody has accepted are left out too.

    Raises
    ------
    CubeError
        If nothing is left.

    Warns
    -----
    GapWarning
        If something is left out, or verdicts cannot be read.
    """
    known = {mask.id: folder_of(mask.uri) for mask in masks if mask is not None}
    said, unread = read_many(known)
    if unread:
        why = next(iter(unread.values()))
        warnings.warn(
            f"the verdicts on {len(unread)} of {len(known)} masks cannot be read, and count as none: {why}",
            GapWarning,
            stacklevel=3,
        )
    states = [state(said[mask.id]) if mask is not None else "unreviewed" for mask in masks]
    wanted = ("accepted",) if only_accepted else ("accepted", "unreviewed")
    kept = [item for item, each in zip(items, states, strict=True) if each in wanted]
    rejected, waiting = states.count("rejected"), states.count("unreviewed")
    reasons = [f"{rejected} rejected by reviewers"] * bool(rejected)
    reasons += [f"{waiting} not accepted by any"] * bool(only_accepted and waiting)
    if reasons and not kept:
        advice = "`cleansat review` shows and takes verdicts"
        raise CubeError(f"none of the {len(items)} {what} is left: {', '.join(reasons)}; {advice}.")
    if reasons:
        text = (
            f"{len(items) - len(kept)} of {len(items)} {what} are left out: {', '.join(reasons)}."
        )
        warnings.warn(text, GapWarning, stacklevel=3)
    return kept


# --- which mask is meant --------------------------------------------------------------


def _place(mask: Dataset | Path | str | UUID, dc: Datacube | None) -> tuple[Folder, UUID]:
    """The folder of a mask, and its id."""
    if isinstance(mask, Path) or (isinstance(mask, str) and is_place(mask)):
        return _at(mask)
    if isinstance(mask, (str, UUID)):
        if dc is None:
            raise CubeError(
                f"{mask} is no product's folder or document here; give one, or the datacube that knows "
                "the id."
            )
        mask = find_mask(dc, str(mask))
    if mask.uri is None:
        raise CubeError(f"the dataset {mask.id} has no location, so no place for verdicts.")
    if "ucl" not in mask.measurements:
        raise CubeError(
            f"the dataset {mask.id} of {mask.product.name} is no mask: it has no measurement ucl."
        )
    folder, name = split_file(local_path(mask.uri))
    if name not in folder.files():
        raise OutputError(f"{mask.uri} is not there, so there is nothing to give a verdict on.")
    return folder, mask.id


def find_mask(dc: Datacube, text: str) -> Dataset:
    """An indexed mask by its id, the first digits of that, or its label.

    Raises
    ------
    CubeError
        If there is none, or several.
    """
    try:
        whole = UUID(text)
    except ValueError:
        pass
    else:
        dataset: Dataset | None = dc.index.datasets.get(whole)
        if dataset is None:
            raise CubeError(f"the datacube has no dataset {whole}.")
        return dataset
    if dc.index.products.get_by_name(MASK_PRODUCT) is None:
        raise CubeError(f"the datacube has no product {MASK_PRODUCT}, so no mask {text!r}.")
    search = dc.index.datasets.search_returning
    found = [row.id for row in search(["id"], product=MASK_PRODUCT, label=text)]
    digits = text.lower()
    if not found and len(digits) >= _FEWEST_DIGITS and not digits.strip("0123456789abcdef-"):
        ids = (row.id for row in search(["id"], product=MASK_PRODUCT))
        found = [each for each in ids if str(each).startswith(digits)]
    if len(found) == 1:
        only: Dataset = dc.index.datasets.get(found[0])
        return only
    if found:
        listed = ", ".join(str(each) for each in sorted(found)[:5])
        raise CubeError(f"{text!r} is {len(found)} masks: {listed}; give more digits of the id.")
    raise CubeError(
        f"the datacube has no mask {text!r}; give its id, the first {_FEWEST_DIGITS} or more digits of it, or "
        "its label; or the path or URL of the product."
    )
