"""Which scenes of a request have no mask yet.

The unit of work is a scene. Workers read its files and write its mask; they know no database. The process
that calls :func:`~odc_cleansat.batch.execute` searches, hands out scenes, and indexes each mask when it
is written. So it may be killed at any moment: what is indexed is complete, and the next run does the rest.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from ..cube.catalog import open_catalog
from ..cube.connect import check_datacube
from ..cube.item_file import ItemFile
from ..cube.query import check_mask_product, check_product, find_ids
from ..errors import ReflectanceWarning
from ..models.registry import get_model
from ..products.verdict_files import STATES
from ..progress import SILENT, Reporter
from .listed import survey_list, wanted_items
from .records import Failure, Plan, Request, dataset_id, dataset_label
from .survey import PAGE, SurveyedScene, read_scenes, survey

if TYPE_CHECKING:
    from datacube import Datacube


def plan(
    dc: Datacube | None,
    request: Request,
    *,
    verdicts: bool = False,
    reporter: Reporter = SILENT,
) -> Plan:
    """Find the scenes of a request and which of them have their mask already.

    The id of a mask follows from its scene, the model and the parameters. So all masks of a page of
    scenes are looked up at once. Nothing is read but the index, with ``index=False`` the masks, and verdicts
    where they are asked for.

    Parameters
    ----------
    dc
        The datacube.
    request
        Which masks are wanted.
    verdicts
        Also count the verdicts on the masks that are there.

    Raises
    ------
    CubeError
        If a product is not in the index, the query cannot be understood, or the list of items cannot be read.
    ModelError
        If there is no such model.

    Warns
    -----
    ReflectanceWarning
        Once, if the offset of some scenes is a guess.
    GapWarning
        If verdicts cannot be read.
    """
    if request.model is not None:
        get_model(request.model)
    counts, items = _Counts(), None
    if request.items is not None:
        items = _read_list(request, counts, verdicts, reporter)
    else:
        for found in _in_datacube(dc, request, verdicts):
            counts.add(found)
    for text, count in counts.warnings.items():
        text = f"{count} of {counts.scenes} scenes: {text}"
        warnings.warn(text, ReflectanceWarning, stacklevel=2)
    missing = tuple(counts.missing[: request.limit])
    return Plan(
        request,
        counts.scenes,
        counts.masked.total(),
        missing,
        len(counts.missing) - len(missing),
        tuple(counts.failures),
        counts.waiting["rejected"],
        counts.waiting["unreviewed"],
        {name: counts.masked[name] for name in STATES} if verdicts else None,
        dict(counts.former),
        items,
    )


def _in_datacube(dc: Datacube | None, request: Request, verdicts: bool) -> Iterator[SurveyedScene]:
    check_datacube(dc)
    assert dc is not None
    assert request.product is not None
    check_product(dc, request.product)
    if request.index:
        check_mask_product(dc)
    ids, area = find_ids(dc, request.product, request.query)
    ids = [each for each in ids if request.has(each)]
    yield from survey(dc, request, ids, area, verdicts=verdicts)


def _read_list(request: Request, counts: _Counts, verdicts: bool, reporter: Reporter) -> ItemFile:
    assert request.items is not None
    with reporter.step(f"Opening the list {request.source}"):
        items = ItemFile(request.items)
    with reporter.step(f"Reading the list {request.source}", "item") as count:
        catalog = open_catalog(request.root)
        for found in survey_list(items, request, catalog, verdicts=verdicts, count=count):
            counts.add(found)
    return items


def preview(dc: Datacube | None, plan: Plan, count: int) -> list[str]:
    """Return the names of the first scenes whose masks will be made."""
    return [label for _, label in labels(dc, plan, plan.missing[:count])]


def labels(dc: Datacube | None, plan: Plan, ids: Sequence[UUID]) -> Iterator[tuple[UUID, str]]:
    """Yield ids and names of scenes of a plan, in the order of `ids` or of the list. A page is read at a time."""
    if plan.items is not None:
        yield from plan.items.labels(ids, wanted_items(plan.request))
        return
    assert dc is not None
    for start in range(0, len(ids), PAGE):
        for scene in read_scenes(dc, ids[start : start + PAGE]):
            yield dataset_id(scene), dataset_label(scene)


@dataclass
class _Counts:
    """What a plan says of the scenes, counted one by one."""

    scenes: int = 0
    missing: list[UUID] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    masked: Counter[str] = field(default_factory=Counter)
    """By the state of review of the mask, "" where that was not looked up."""

    waiting: Counter[str] = field(default_factory=Counter)
    """Scenes whose mask reviewers have not accepted, by the state of review."""

    warnings: Counter[str] = field(default_factory=Counter)
    """Of how many scenes each warning was told."""

    former: Counter[str] = field(default_factory=Counter)
    """Models that were the default once, and of how many scenes without their mask they have made one."""

    def add(self, found: SurveyedScene) -> None:
        self.scenes += 1
        self.warnings.update(found.warnings)
        if found.former:
            self.former[found.former] += 1
        if found.failure:
            self.failures.append(found.failure)
        elif found.masked:
            self.masked[found.state or ""] += 1
        elif found.state in (None, "accepted"):
            self.missing.append(dataset_id(found.scene))
        else:
            self.waiting[found.state] += 1
