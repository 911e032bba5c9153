"""Leave out the scenes and masks that reviewers rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from ..errors import CubeError, GapWarning, warn_caller
from .verdict_files import folder_of, read_many, review_state

if TYPE_CHECKING:
    from datacube.model import Dataset


T = TypeVar("T")


def filter_by_verdict(
    items: Sequence[T],
    masks: Sequence[Dataset | None],
    what: str,
    *,
    only_accepted: bool,
) -> list[T]:
    """Leave out what was rejected, or all that was not accepted, and warn of it.

    Parameters
    ----------
    items
        Scenes or masks.
    masks
        The mask of each item; None where it has none.
    what
        What the items are called in messages, such as "scenes".
    only_accepted
        Whether to leave out also the items whose mask nobody has accepted.

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
    given, unread = read_many(known)
    if unread:
        why = next(iter(unread.values()))
        warn_caller(
            f"the verdicts on {len(unread)} of {len(known)} masks cannot be read, and count as none: {why}",
            GapWarning,
        )
    states = [review_state(given[mask.id]) if mask is not None else "unreviewed" for mask in masks]
    wanted = ("accepted",) if only_accepted else ("accepted", "unreviewed")
    kept = [item for item, state in zip(items, states, strict=True) if state in wanted]
    rejected, waiting = states.count("rejected"), states.count("unreviewed")
    reasons = [f"{rejected} rejected by reviewers"] * bool(rejected)
    reasons += [f"{waiting} not accepted by anyone"] * bool(only_accepted and waiting)
    if reasons and not kept:
        raise CubeError(
            f"none of the {len(items)} {what} is left: {', '.join(reasons)}; "
            "`cleansat review` shows and takes verdicts."
        )
    if reasons:
        warn_caller(
            f"{len(items) - len(kept)} of {len(items)} {what} are left out: {', '.join(reasons)}.",
            GapWarning,
        )
    return kept
