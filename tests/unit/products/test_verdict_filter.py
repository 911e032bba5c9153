"""What verdicts leave out."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from odc_cleansat.errors import CubeError, GapWarning
from odc_cleansat.products.verdict_files import accept, reject, withdraw
from odc_cleansat.products.verdict_filter import filter_by_verdict
from odc_cleansat.storage.folder import Folder
from unit.products.helpers import Masks


@pytest.fixture
def masks(tmp_path: Path) -> Masks:
    return Masks(Folder(tmp_path / "masks"))


def left(masks: list[Any], *, only_accepted: bool) -> tuple[list[int], list[str]]:
    """The places of the items that are kept, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        items = list(range(len(masks)))
        kept = filter_by_verdict(items, masks, "scenes", only_accepted=only_accepted)
    assert {(each.category, each.filename) for each in caught} <= {(GapWarning, __file__)}
    return kept, [str(each.message) for each in caught]


def test_what_verdicts_leave_out(masks: Masks) -> None:
    items = [*masks.datasets(), None]
    nobody = "none of the 4 scenes is left: 4 not accepted by anyone; `cleansat review` shows"
    assert left(items, only_accepted=False) == ([0, 1, 2, 3], [])
    with pytest.raises(CubeError, match=nobody):
        left(items, only_accepted=True)
    reject(masks.folders[0], by="me")
    rejected = "1 of 4 scenes are left out: 1 rejected by reviewers."
    assert left(items, only_accepted=False) == ([1, 2, 3], [rejected])
    with pytest.raises(CubeError, match="1 rejected by reviewers, 3 not accepted by anyone; "):
        left(items, only_accepted=True)
    with pytest.raises(CubeError, match="none of the 1 scenes is left: 1 rejected by reviewers; "):
        left(items[:1], only_accepted=False)
    accept(masks.folders[1], by="me")
    both = "3 of 4 scenes are left out: 1 rejected by reviewers, 2 not accepted by anyone."
    assert left(items, only_accepted=True) == ([1], [both])
    assert left(items[1:2], only_accepted=True) == ([0], [])
    assert left([], only_accepted=True) == ([], [])
    withdraw(masks.folders[0], by="me")
    assert left(items, only_accepted=False) == ([0, 1, 2, 3], [])


def test_verdicts_that_cannot_be_read_count_as_none(masks: Masks) -> None:
    accept(masks.folders[0], by="me")
    for i in (1, 2):
        reject(masks.folders[i], by="me")
        masks.files(i)[0].write_text("{")
    first = f"{masks.files(1)[0]} cannot be read as a verdict: "
    kept, messages = left([*masks.datasets(), None], only_accepted=False)
    assert kept == [0, 1, 2, 3]
    (message,) = messages
    start = "the verdicts on 2 of 3 masks cannot be read, and count as none: "
    assert message.startswith(start + first)
