"""Verdicts: what people say of masks, kept beside them.

A verdict is a small file of its own in the folder of the product, on this machine as on S3. It is never
changed or overwritten. Whoever thinks otherwise adds another verdict, and whoever errs adds a withdrawal. So
several people can review at once, and it stays known who said what and when. The file names begin with
the time, which orders them.
"""

from __future__ import annotations

import getpass
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from .._version import __version__
from ..addresses import without_secrets
from ..errors import CleansatError, OutputError, first_line, is_full
from ..storage.folder import Folder, split_file
from ..storage.reader import DocumentError, parse_json
from ..storage.validators import shortened
from .product import MaskProduct
from .search import find_product

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


KINDS = ("accept", "reject", "flag", "withdraw")
"""What a verdict can say. A flag is a remark: what was accepted or rejected before stays so.

A withdrawal takes back the latest verdict of its author that still stands."""

STATES = ("accepted", "rejected", "unreviewed")
"""States of review that a mask can be in."""

SUFFIX = ".verdict.json"
"""How the names of verdict files end."""

THREADS = 32
"""Folders of a store that are read at a time."""

_STAMP = "%Y%m%dT%H%M%S%fZ"
_STATE = {"accept": "accepted", "reject": "rejected"}


@dataclass(frozen=True)
class Verdict:
    """What somebody said of a mask."""

    mask: UUID
    """Id of the mask's dataset."""

    verdict: str
    """One of :data:`KINDS`."""

    note: str
    """The reason; may be empty."""

    by: str
    """Who said it."""

    when: datetime
    """When it was said: UTC, by the clock of that machine."""

    version: str
    """Version of this package at that time."""

    def to_json(self) -> str:
        """Return the verdict as it is written to a file and printed for programs."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def as_dict(self) -> dict[str, str]:
        """Return the verdict as a document for JSON."""
        return {**asdict(self), "mask": str(self.mask), "when": self.when.isoformat()}

    @staticmethod
    def from_json(text: str | bytes) -> Verdict:
        """Parse what :meth:`to_json` gives.

        Raises
        ------
        ValueError
            If it is something else.
        """
        try:
            document = parse_json(text, "the verdict")
        except DocumentError as error:
            raise ValueError(error.reason) from error
        try:
            kind, when = document["verdict"], datetime.fromisoformat(document["when"])
            if kind not in KINDS:
                raise ValueError(f"the verdict {shortened(kind)} is unknown")
            note, by, version = (str(document[key]) for key in ("note", "by", "version"))
            return Verdict(UUID(document["mask"]), kind, note, by, when, version)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no verdict: {error!r}") from error


# Giving verdicts


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
        A dataset of a datacube; or path or URL of the product's folder or document. With `dc` also
        its id, the first digits of its id, or its label.
    note
        The reason.
    by
        Who says so; by default the user of this machine.
    dc
        The datacube in which ids and labels are looked up.

    Returns
    -------
    Verdict
        The verdict as it was written.

    Raises
    ------
    CubeError
        If the datacube has no such mask, or several.
    OutputError
        If there is no mask product at that place, or the verdict cannot be written there.
    """
    return _give("accept", mask, note, by, dc)


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
    return _give("reject", mask, note, by, dc)


def flag(
    mask: Dataset | Path | str | UUID,
    note: str = "",
    by: str | None = None,
    *,
    dc: Datacube | None = None,
) -> Verdict:
    """Add a remark to a mask, for others to see. What was accepted or rejected stays so.

    See :func:`accept`.
    """
    return _give("flag", mask, note, by, dc)


def withdraw(
    mask: Dataset | Path | str | UUID,
    note: str = "",
    by: str | None = None,
    *,
    dc: Datacube | None = None,
) -> Verdict:
    """Take back your latest verdict on a mask that still stands. The state is then what it was without it.

    The verdict stays in its file, and a withdrawal is written beside it. See :func:`accept`.

    Raises
    ------
    CleansatError
        If there is no verdict to take back.
    """
    return _give("withdraw", mask, note, by, dc)


def _give(
    kind: str, mask: Dataset | Path | str | UUID, note: str, by: str | None, dc: Datacube | None
) -> Verdict:
    product = find_product(mask, dc)
    who = _user() if by is None else by.strip()
    if not who:
        raise CleansatError("by is empty; say who gives the verdict.")
    now = datetime.now(UTC)
    said, who = without_secrets(note.strip(), mark=""), without_secrets(who, mark="")
    given = Verdict(product.id, kind, said, who, now, __version__)
    if kind == "withdraw":
        _check_withdrawal(product, who)
    try:
        content = (given.to_json() + "\n").encode()
        product.folder.write(_new_file(product.folder, product.id, now), content)
    except OSError as error:
        advice = (
            "make room there, and give it again."
            if is_full(error)
            else "give a copy of them that you may write to, or ask for permission."
        )
        raise OutputError(
            f"cannot write the verdict to {product.folder}: {error.strerror or error}. Verdicts are "
            f"kept with the masks; {advice}"
        ) from error
    return given


def _check_withdrawal(product: MaskProduct, who: str) -> None:
    said, _ = read_each(product.folder, [product.id])
    if all(each.by != who for each in standing_verdicts(said[product.id])):
        raise CleansatError(
            f"there is no verdict by {who!r} on {product.label} to withdraw; name who gave it with by."
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise CleansatError("this machine does not tell who you are; say it with by.") from error


def _new_file(folder: Folder, mask: UUID, now: datetime) -> str:
    """A name behind those of all verdicts that are there, even if another machine's clock is ahead."""
    last = max((name.partition("_")[0] for name in _files(folder, [mask])), default="")
    stamp = now.strftime(_STAMP)
    if stamp <= last:
        stamp = (datetime.strptime(last, _STAMP) + timedelta(microseconds=1)).strftime(_STAMP)
    return f"{stamp}_{_short(mask)}_{secrets.token_hex(4)}{SUFFIX}"


# Reading verdicts


def verdicts(mask: Dataset | Path | str | UUID, *, dc: Datacube | None = None) -> list[Verdict]:
    """Read all verdicts on a mask, the latest last; see :func:`accept` for parameters.

    Raises
    ------
    CubeError
        If the datacube has no such mask, or several.
    OutputError
        If there is no mask product at that place, or one of the verdicts cannot be read.
    """
    product = find_product(mask, dc)
    return read_folder(product.folder, [product.id])[product.id]


def verdict(mask: Dataset | Path | str | UUID, *, dc: Datacube | None = None) -> Verdict | None:
    """Read the verdict that counts: the latest that accepts or rejects and stands; see :func:`verdicts`."""
    return current_verdict(verdicts(mask, dc=dc))


def standing_verdicts(given: Sequence[Verdict]) -> list[Verdict]:
    """Return, of all verdicts on a mask, those that were not withdrawn, without the withdrawals."""
    stand: list[Verdict] = []
    for each in given:
        if each.verdict != "withdraw":
            stand.append(each)
        elif own := [i for i, other in enumerate(stand) if other.by == each.by]:
            del stand[own[-1]]
    return stand


def current_verdict(given: Sequence[Verdict]) -> Verdict | None:
    """Return, of all verdicts on a mask, the latest that accepts or rejects and was not withdrawn."""
    stand = standing_verdicts(given)
    return next((each for each in reversed(stand) if each.verdict in _STATE), None)


def review_state(given: Sequence[Verdict]) -> str:
    """Return the state, one of :data:`STATES`, of a mask with these verdicts."""
    current = current_verdict(given)
    return _STATE[current.verdict] if current else "unreviewed"


def open_remarks(given: Sequence[Verdict]) -> list[Verdict]:
    """Return the flags since the verdict that counts, which has not settled them."""
    stand = standing_verdicts(given)
    kinds = [each.verdict in _STATE for each in stand]
    since = len(kinds) - kinds[::-1].index(True) if True in kinds else 0
    return stand[since:]


def read_folder(folder: Folder, masks: Sequence[UUID]) -> dict[UUID, list[Verdict]]:
    """Read the verdicts on the masks in one folder.

    Returns
    -------
    dict
        Id of the mask to its verdicts, the latest last.

    Raises
    ------
    OutputError
        If one of the verdicts cannot be read.
    """
    found, unread = read_each(folder, masks)
    for error in unread.values():
        raise error
    return found


def read_each(
    folder: Folder, masks: Sequence[UUID]
) -> tuple[dict[UUID, list[Verdict]], dict[UUID, OutputError]]:
    """Read the verdicts on the masks in one folder one by one: a file that cannot be read hides no other.

    Returns
    -------
    dict
        Id of the mask to the verdicts that can be read, the latest last.
    dict
        Id of the mask to an error that names the files with verdicts on it that cannot be read.

    Raises
    ------
    OSError, OutputError
        If the folder cannot be listed.
    """
    found: dict[UUID, list[Verdict]] = {mask: [] for mask in masks}
    unread: dict[UUID, OutputError] = {}
    for name in _files(folder, masks):
        try:
            given = Verdict.from_json(folder.read(name))
        except (ValueError, OSError) as error:
            reason = _unreadable(folder.file(name), error)
            for mask in (mask for mask in masks if _short(mask) == name.split("_")[1]):
                unread[mask] = OutputError(f"{unread[mask]} {reason}") if mask in unread else reason
            continue
        if given.mask in found:
            found[given.mask].append(given)
    return found, unread


def _unreadable(file: Path | str, error: Exception) -> OutputError:
    if isinstance(error, OutputError):
        return error
    reason = OutputError(
        f"{file} cannot be read as a verdict: {first_line(error)}. Take it away, and give the verdict again."
    )
    reason.__cause__ = error
    return reason


def read_many(
    masks: Mapping[UUID, Folder | None],
) -> tuple[dict[UUID, list[Verdict]], dict[UUID, str]]:
    """Read the verdicts on many masks; several folders of a store at a time.

    Parameters
    ----------
    masks
        Id of the mask to its folder; None where the folder is not known.

    Returns
    -------
    dict
        Id to the verdicts on the mask, the latest last.
    dict
        Id to the reason why verdicts on a mask cannot be read. Those count as none; others on it count.
    """
    together: dict[str, tuple[Folder, list[UUID]]] = {}
    for mask, folder in masks.items():
        if folder is not None:
            together.setdefault(str(folder), (folder, []))[1].append(mask)
    found: dict[UUID, list[Verdict]] = {mask: [] for mask in masks}
    unread: dict[UUID, str] = {}
    local = [place for place in together.values() if place[0].path is not None]
    remote = [place for place in together.values() if place[0].path is None]
    results = [_read_or_reason(place) for place in local]
    if remote:
        with ThreadPoolExecutor(THREADS) as pool:
            results += pool.map(_read_or_reason, remote)
    for verdicts_there, reasons in results:
        found |= verdicts_there
        unread |= reasons
    return found, unread


def _read_or_reason(
    place: tuple[Folder, list[UUID]],
) -> tuple[dict[UUID, list[Verdict]], dict[UUID, str]]:
    try:
        found, unread = read_each(*place)
    except (CleansatError, OSError) as error:
        return {}, dict.fromkeys(place[1], without_secrets(str(error)))
    return found, {mask: str(error) for mask, error in unread.items()}


def folder_of(document: Path | str | None) -> Folder | None:
    """Return the folder of a document, given by path or URL, as :func:`read_many` takes it."""
    return None if document is None else split_file(document)[0]


def _short(mask: UUID) -> str:
    return str(mask)[:8]


def _files(folder: Folder, masks: Iterable[UUID]) -> list[str]:
    """Names of the files with verdicts on these masks, in order. Other masks may share the folder."""
    wanted = {_short(mask) for mask in masks}
    return sorted(
        name
        for name in folder.files()
        if name.endswith(SUFFIX)
        and len(parts := name.removesuffix(SUFFIX).split("_")) == 3
        and parts[1] in wanted
    )
