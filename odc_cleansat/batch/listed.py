"""What there is to do of a list of STAC items, for which no datacube is asked.

Which masks are there, the catalogue of the store tells. A scene that it does not know is handed to a worker, who opens
its files, and finds its mask or makes it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING
from uuid import UUID

from ..cube.item_file import ItemFile, Wanted
from ..errors import SceneError
from ..progress import Count, count_nothing
from ..scenes.eopf import with_stored_values
from ..scenes.files import SceneFiles
from ..scenes.stac import choose_assets
from .records import Failure, Request, dataset_id
from .survey import SurveyedScene, folders_of_masks, made_with, mask_id_of, states_of, written
from .worker import collected_warnings

if TYPE_CHECKING:
    from datacube.model import Dataset

    from ..cube.catalog import Catalog
    from ..cube.stac_list import StacRow

_PAGE = 500
"""Scenes that are looked up together."""


def survey_list(
    items: ItemFile,
    request: Request,
    catalog: Catalog,
    *,
    among: Collection[UUID] | None = None,
    verdicts: bool = False,
    count: Count = count_nothing,
) -> Iterator[SurveyedScene]:
    """Look up the scenes of a list and their masks, page by page. No file of a scene is opened.

    Parameters
    ----------
    items
        The list.
    request
        Which masks are wanted.
    catalog
        That of the store in which the masks are.
    among
        Only the scenes with these ids, in random order within a page; by default all, in the order of the list.
    verdicts
        Also look up the state of review of the masks that are there.
    count
        Is told how many rows of the list are read.

    Yields
    ------
    SurveyedScene
        Without the id of a mask where the catalogue does not know the scene.
    """
    rows = items.rows(wanted_items(request), count)
    if among is not None:
        rows = (row for row in rows if row.id in among)
    while page := list(islice(rows, _PAGE)):
        if among is not None:
            random.shuffle(page)
        yield from _looked_up(page, request, catalog, verdicts)


def wanted_items(request: Request) -> Wanted:
    """Return which items of a list a request is about."""
    return Wanted(request.query, request.max_cloud, request.has if request.part else None)


def _looked_up(
    page: Sequence[StacRow], request: Request, catalog: Catalog, verdicts: bool
) -> Iterator[SurveyedScene]:
    """The scenes of a page with what is known of their masks."""
    known = {each.id: each for each in catalog.dc.index.datasets.bulk_get([row.id for row in page])}
    found = [_identified(row, known.get(row.id), request) for row in page]
    there = written(
        request, [each._replace(scene=known[dataset_id(each.scene)]) for each in found if each.mask]
    )
    states = states_of(folders_of_masks(there)) if verdicts else {}
    for each in found:
        mask = there.get(each.mask)
        if isinstance(mask, Exception):
            yield each._replace(failure=Failure.of(each.scene, each.mask, "plan", mask))
        else:
            yield each._replace(masked=mask is not None, state=states.get(each.mask))


def _identified(row: StacRow, scene: Dataset | None, request: Request) -> SurveyedScene:
    """A row with the id of its mask, if the catalogue knows the scene; or with the reason why it can have none."""
    try:
        with collected_warnings() as texts:
            if row.item is None or row.problem:
                raise SceneError(row.problem)
            files = SceneFiles.of_item(with_stored_values(choose_assets(row.item)))
            made_with(files, request)
            mask = None if scene is None else mask_id_of(files, scene, request)
    except Exception as error:
        return SurveyedScene(row, failure=Failure.of(row, None, "plan", error))
    return SurveyedScene(row, mask, warnings=tuple(texts))
