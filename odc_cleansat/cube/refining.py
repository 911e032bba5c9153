"""Refine the indexed masks of a product by the other dates of each place, and store them as masks of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ..errors import CubeError, SceneError, first_line
from ..grids.cells import parts
from ..masks.time_rules import DAYS, SAME_DAY
from ..products.product import MaskProduct
from ..products.refined import Refinement, write_refined
from ..products.verdict_filter import filter_by_verdict
from ..scenes.files import SceneFiles
from ..storage.eo3 import (
    MASK_PRODUCT,
    REFINED_PRODUCT,
    native_grid,
    product_definition,
    read_document,
)
from ..storage.folder import Folder
from ..threads import compute
from .choose import mask_property
from .driver import BANDS
from .index import add_dataset, add_product
from .lookup import MaskedScene, MaskOptions, look_up, search_masks_of, warn_of_other_masks
from .over_time import PART, History, span_around
from .query import Query, find_scenes, grouping, search

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


Progress = Callable[[int, int], None]
"""Called with what is done and all there is. An error that it raises ends the work."""

STEPS = 100
"""Steps of progress for each part of a grid."""


@dataclass(frozen=True)
class RefinedMask:
    """The refined mask that a scene gets. No pixel is read before `masks`."""

    dc: Datacube
    """The datacube."""

    asked: MaskedScene
    """The scene and its mask."""

    around: Sequence[MaskedScene]
    """The scenes of other dates that it is compared with, and their masks."""

    options: MaskOptions
    """Which masks are taken."""

    hindsight: bool
    """Whether later dates count too."""

    @property
    def label(self) -> str:
        """What people call the scene."""
        label = self.asked.scene.metadata_doc.get("label")
        return str(label or self.asked.scene.id)

    @cached_property
    def how(self) -> Refinement:
        """Which mask is refined, and by what."""
        assert self.asked.mask is not None
        references = [(each.scene.id, each.mask.id) for each in self.around if each.mask]
        return Refinement(
            read_document(self.asked.scene.metadata_doc),
            self.asked.mask.metadata_doc,
            sorted(references, key=str),
            self.hindsight,
        )

    @property
    def grid(self) -> GeoBox:
        """The grid of the mask."""
        return native_grid(self.how.mask, "ucl")

    def check(self) -> None:
        """Raise if there is nothing to compare with.

        Raises
        ------
        SceneError
            If no other date has a mask.
        """
        if not self.around:
            raise SceneError(
                f"no other date within {DAYS:g} days has a mask to compare {self.label} with; mask more dates first."
            )

    def masks(self, progress: Progress | None = None) -> xr.Dataset:
        """Refine the mask.

        Parts of the mask are read and refined one after the other. So memory grows with the number of dates, and not
        with the scene.

        Parameters
        ----------
        progress
            Called with the number of steps done and of all steps.

        Returns
        -------
        xarray.Dataset
            ``ucl`` and ``ucl_confidence``, dims ``(y, x)``, uint8, in memory.

        Raises
        ------
        SceneError
            If there is nothing to compare with, or a file cannot be read.
        """
        (found,) = refined_masks([self], progress)
        return found


def refined_masks(
    dates: Sequence[RefinedMask], progress: Progress | None = None
) -> list[xr.Dataset]:
    """Refine masks of one grid.

    Parts of the grid are read and refined one after the other. So memory grows with the number of dates, and not
    with the scene.

    Parameters
    ----------
    dates
        Of one grid, compared with scenes of times that all differ; or a single one.
    progress
        Called with the number of steps done and of all steps.

    Returns
    -------
    list of xarray.Dataset
        For each date ``ucl`` and ``ucl_confidence``, dims ``(y, x)``, uint8, in memory.

    Raises
    ------
    SceneError
        If there is nothing to compare with, or a file cannot be read.
    """
    for each in dates:
        each.check()
    first, grid = dates[0], dates[0].grid
    every = scenes_of(dates)
    groups = first.dc.group_datasets([each.asked.scene for each in dates], grouping("time"))
    history = History(
        first.dc,
        Query(datasets=tuple(each.scene for each in every)),
        first.options,
        {"skip_broken_datasets": False},  # the lineage would name what was not read
        "time" if first.hindsight else "earlier",
        preset=None,
        only_accepted=False,
        include_rejected=True,
    )
    layers = {name: np.empty((len(dates), *grid.shape), "uint8") for name in BANDS}
    count = sum(1 for _ in parts(grid, PART))
    for i, (part, lazy) in enumerate(history.parts(groups, grid, every)):
        try:
            found = compute(lazy, progress and _within(progress, i, count))
        except OSError as error:  # rasterio's is one, too
            raise SceneError(f"a scene or a mask cannot be read: {first_line(error)}.") from error
        for name, values in layers.items():
            values[(slice(None), *part)] = found[name].values
    at = {scene.id: i for i, group in enumerate(groups.values) for scene in group}
    return [
        xr.Dataset(
            {
                name: wrap_xr(values[at[each.asked.scene.id]], grid, **found[name].attrs)
                for name, values in layers.items()
            }
        )
        for each in dates
    ]


def scenes_of(dates: Sequence[RefinedMask]) -> list[MaskedScene]:
    """Return the scenes of some dates, and all that they are compared with, once each."""
    found: dict[object, MaskedScene] = {}
    for date in dates:
        for each in (date.asked, *date.around):
            found.setdefault(each.scene.id, each)
    return list(found.values())


def _within(progress: Progress, part: int, parts: int) -> Progress:
    """Return the progress of one of several parts."""

    def told(done: int, total: int) -> None:
        progress(STEPS * part + STEPS * done // total, STEPS * parts)

    return told


@dataclass(frozen=True)
class RefineJob(RefinedMask):
    """A refined mask that is to be written."""

    root: Folder
    """Folder for products."""

    @property
    def folder(self) -> Folder:
        """Where the refined mask is written."""
        return self.root / self.how.folder

    @property
    def document(self) -> Path | str | None:
        """Path or URL of the document, if the refined mask is there and whole."""
        return MaskProduct(self.folder).intact_document()

    def run(self, progress: Progress | None = None) -> Path | str:
        """Refine the mask and write it, complete or not at all.

        Parameters
        ----------
        progress
            Called with the number of steps done and of all steps.

        Returns
        -------
        Path or str
            Path or URL of the EO3 document.

        Raises
        ------
        SceneError
            If there is nothing to compare with, or a file cannot be read.
        OutputError
            If the mask cannot be written.
        """
        self.root.check_name()
        return write_refined(self.masks(progress), self.how, self.root)


@dataclass(frozen=True)
class RecordedDates:
    """Finds the dates of refined masks in a datacube, for :func:`odc_cleansat.verify`."""

    dc: Datacube
    """The datacube."""

    def __call__(self, record: Mapping[str, Any]) -> RefinedMask:
        """Return the refined mask that a processing record tells of.

        Parameters
        ----------
        record
            The part ``cleansat`` of a processing record.

        Raises
        ------
        CubeError
            If the datacube does not know all of the scenes and masks, or knows a mask as that of another scene.
        SceneError
            If a scene cannot be masked.
        """
        references = [(UUID(each["scene"]), UUID(each["mask"])) for each in record["references"]]
        pairs = [(UUID(record["scene"]["id"]), UUID(record["mask"])), *references]
        wanted = sorted({each for pair in pairs for each in pair}, key=str)
        known = {each.id: each for each in self.dc.index.datasets.bulk_get(wanted)}
        if missing := [str(each) for each in wanted if each not in known]:
            raise CubeError(
                f"the datacube does not know {len(missing)} of its {len(wanted)} scenes and masks, such as {missing[0]}; "
                "index them."
            )
        for scene, mask in pairs:
            if str(mask_property(known[mask], "scene")) != str(scene):
                raise CubeError(f"the mask {mask} is not one of the scene {scene}.")
        options = MaskOptions("indexed", mask_property(known[pairs[0][1]], "model"))
        asked, *around = masked_scenes(((known[a], known[b]) for a, b in pairs), options)
        return RefinedMask(self.dc, asked, around, options, bool(record["algorithm"]["hindsight"]))


def masked_scenes(
    pairs: Iterable[tuple[Dataset, Dataset]], options: MaskOptions
) -> list[MaskedScene]:
    """Return scenes with masks that are known, without asking a datacube.

    Parameters
    ----------
    pairs
        Each scene and its mask.
    options
        How the masks were made.

    Raises
    ------
    SceneError
        If a scene lacks what its mask is made of.
    """
    found = []
    for scene, mask in pairs:
        files = SceneFiles.of_dataset(scene)
        found.append(MaskedScene(scene, files, options.on_demand(files), mask))
    return found


def refine_jobs(
    dc: Datacube,
    product: str,
    root: Folder | Path | str,
    *,
    model: str | None = None,
    hindsight: bool = True,
    terms: Mapping[str, Any] | None = None,
) -> Iterator[RefineJob]:
    """Return the jobs for the scenes of a query that have an indexed mask.

    Parameters
    ----------
    dc
        The datacube.
    product
        Name of the product of scenes.
    root
        Folder for products: a path, or a URL such as ``s3://bucket/prefix``.
    model
        Name of the model whose masks are refined; by default the best for each scene's bands.
    hindsight
        Whether later dates count too.
    terms
        Search terms.

    Raises
    ------
    CubeError
        If nothing matches the query, or reviewers leave nothing.

    Warns
    -----
    ModelWarning
        If no model is named, and scenes have masks by others than the default alone.
    """
    options = MaskOptions("indexed", model)
    query = Query.of(product, terms or {})
    chosen = find_scenes(dc, query)
    asked = {each.id for each in chosen}
    span = span_around(chosen, hindsight=hindsight)
    wide = replace(query, terms={**query.terms, "time": span})
    scenes = find_scenes(dc, wide)
    masks = search_masks_of(dc, scenes, wide)
    found = look_up(scenes, masks, options, masked=True)
    warn_of_other_masks(found, masks, options)
    found = [each for each in found if each.mask is not None]
    if found:
        found = filter_by_verdict(
            found, [each.mask for each in found], "masks", only_accepted=False
        )
    for each in sorted(found, key=lambda one: (one.scene.center_time, str(one.scene.id))):
        if each.scene.id in asked:
            around = [other for other in found if _is_around(each, other, hindsight)]
            yield RefineJob(dc, each, around, options, hindsight, Folder(root))


def _is_around(one: MaskedScene, other: MaskedScene, hindsight: bool) -> bool:
    """Whether a scene is of the same place and of another date near by."""
    days = (other.scene.center_time - one.scene.center_time).total_seconds() / 86400
    if not SAME_DAY < abs(days) <= DAYS or (days > 0 and not hindsight):
        return False
    here, there = one.scene.extent, other.scene.extent
    return bool(here.intersects(there.to_crs(here.crs)))


def index_mask(dc: Datacube, document: Path | str) -> None:
    """Index a mask that was just made, by one date or refined by others; its product is added if it is missing.

    Parameters
    ----------
    dc
        The datacube.
    document
        Path or URL of the EO3 document.

    Raises
    ------
    CubeError
        If the mask cannot be indexed.
    """
    if MaskProduct(document).document["product"]["name"] == REFINED_PRODUCT:
        index_refined(dc, document)
        return
    if dc.index.products.get_by_name(MASK_PRODUCT) is None:
        add_product(dc, product_definition(MASK_PRODUCT))
    add_dataset(dc, document)


def index_refined(dc: Datacube, document: Path | str) -> tuple[Dataset, list[Dataset]]:
    """Index a refined mask, and archive those of the same scene that were made from other dates.

    Parameters
    ----------
    dc
        The datacube. The product is added if it is missing.
    document
        Path or URL of the EO3 document.

    Returns
    -------
    Dataset
        The refined mask.
    list of Dataset
        Those that were archived.

    Raises
    ------
    CubeError
        If the mask cannot be indexed.
    """
    add_product(dc, product_definition(REFINED_PRODUCT))
    added = add_dataset(dc, document)
    keys = ("scene", "model", "refined")
    known = search(dc, Query(REFINED_PRODUCT, None, {"time": added.center_time}))
    old = [
        each
        for each in known
        if each.id != added.id
        and all(mask_property(each, key) == mask_property(added, key) for key in keys)
    ]
    if old:
        dc.index.datasets.archive([each.id for each in old])
    return added, old
