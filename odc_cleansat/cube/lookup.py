"""Find the mask of each scene: in the index, or how to compute it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..arguments import fault_of_flags, meant
from ..errors import CubeError, ModelWarning, SceneError, warn_caller
from ..masks.on_demand import OnDemandMask, on_demand_mask
from ..models.former import about_former
from ..models.registry import get_model
from ..products.identity import mask_id
from ..scenes.files import SceneFiles
from ..storage.eo3 import MASK_PRODUCT, native_grids
from .choose import mask_property
from .query import Query, UnsupportedError, search

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


UCL_FROM = ("auto", "indexed", "computed")
"""Where the masks of `load` may come from."""


@dataclass(frozen=True)
class MaskOptions:
    """Which masks are taken, and how those are made that are computed."""

    ucl: str = "auto"
    """One of :data:`UCL_FROM`."""

    model: str | None = None
    """Name of the model; None for the best of the default models whose bands a scene has."""

    thresholds: Mapping[str, float] | None = None
    """Least probability, 0 to 1, by class label."""

    offset: float | None = None
    """Radiometric offset, digital numbers; None for what the metadata of each scene says."""

    scale: float | None = None
    """Reflectance per digital number; None for the default."""

    refine: bool = True
    """Whether light refines the masks. A stored mask without is taken where there is none with."""

    def __post_init__(self) -> None:
        if self.ucl not in UCL_FROM:
            raise CubeError(
                f"ucl={self.ucl!r} is unknown; choose from {', '.join(UCL_FROM)}.{meant(self.ucl, UCL_FROM)}"
            )
        if fault := fault_of_flags(refine=self.refine):
            raise CubeError(fault)
        if self.model is not None:
            get_model(self.model)

    @property
    def from_index(self) -> bool:
        """Whether masks of the index are taken, which are made without thresholds and with the default scale."""
        return self.ucl != "computed" and not self.thresholds and self.scale is None

    def on_demand(self, files: SceneFiles) -> OnDemandMask:
        """Return how the mask of a scene is computed; for errors see :func:`on_demand_mask`."""
        return on_demand_mask(
            files, self.model, self.thresholds, self.offset, self.scale, self.refine
        )


@dataclass(frozen=True)
class MaskedScene:
    """A scene and its mask."""

    scene: Dataset
    """The scene."""

    files: SceneFiles
    """Its files."""

    on_demand: OnDemandMask | None = None
    """How its mask is computed; None if that is not needed, or cannot be."""

    mask: Dataset | None = None
    """Its mask in the index, if there is one by the same model and made in the same way."""

    error: SceneError | None = None
    """Why its mask cannot be computed."""


def search_masks_of(dc: Datacube, scenes: Sequence[Dataset], query: Query) -> list[Dataset]:
    """Find all indexed masks in the area of a query, from the time of the first scene to that of the last.

    Raises
    ------
    CubeError
        If the query cannot be understood.
    """
    if dc.index.products.get_by_name(MASK_PRODUCT) is None:
        return []
    # A mask has its scene's time, but not always to the microsecond.
    second = datetime.timedelta(seconds=1)
    times = [scene.time for scene in scenes]
    time = min(each.begin for each in times) - second, max(each.end for each in times) + second
    try:
        return search(dc, Query(MASK_PRODUCT, query.area, {"time": time}))
    except UnsupportedError:
        # Datacube's index in memory cannot search by ranges. Without, masks of other scenes are found as well. They
        # do no harm: a mask is taken by its id, which follows from its scene.
        return search(dc, Query(MASK_PRODUCT, query.area))


def look_up(
    scenes: Iterable[Dataset],
    masks: Sequence[Dataset],
    options: MaskOptions,
    *,
    masked: bool,
    patch: Callable[[str], str] | None = None,
) -> list[MaskedScene]:
    """Find the mask of each scene by the chosen model.

    Parameters
    ----------
    scenes
        The scenes.
    masks
        Indexed masks, of these scenes or of others.
    options
        The model, and how it is used.
    masked
        Whether masks are needed that are not indexed, too.
    patch
        Called with the address of each file; returns the one that is to be read.
    """
    by_id = {mask.id: mask for mask in masks}
    pixels = {
        abs(grid.resolution.x)
        for mask in masks
        for grid in native_grids(mask.metadata_doc).values()
    }
    found = []
    for scene in scenes:
        files = SceneFiles.of_dataset(scene)
        if patch is not None:
            files = files.patched(patch)
        if not (masked or masks):
            found.append(MaskedScene(scene, files))
            continue
        try:
            on_demand = options.on_demand(files)
        except SceneError as error:
            found.append(MaskedScene(scene, files, error=error))
            continue
        model = get_model(on_demand.model)
        ids = [
            mask_id(scene.id, model, pixel, on_demand.offset, refine=refined)
            for refined in ((True, False) if options.refine else (False,))
            for pixel in pixels
        ]
        mask = next((by_id[each] for each in ids if each in by_id), None)
        found.append(MaskedScene(scene, files, on_demand, mask))
    return found


def warn_of_other_masks(
    scenes: Sequence[MaskedScene], masks: Iterable[Dataset], options: MaskOptions
) -> None:
    """Warn if scenes have masks, but none that is taken.

    Warns
    -----
    ModelWarning
        If no model is named and masks are by others than the default, or if masks were made with another
        offset, other weights or other windows. Whoever asks for the network's own answer knows that refined masks are
        not taken.
    """
    makers = _makers(each for each in masks if options.refine or not mask_property(each, "light"))
    by_others: list[set[str]] = []
    otherwise: list[tuple[OnDemandMask, set[float]]] = []
    for each in scenes:
        if each.mask is None and each.on_demand:
            offsets = makers.get(str(each.scene.id), {})
            if each.on_demand.model in offsets:
                otherwise.append((each.on_demand, offsets[each.on_demand.model]))
            elif offsets:
                by_others.append(set(offsets))
    if by_others and options.model is None:
        others = set().union(*by_others)
        how = about_former(others) or "Pass model= to take those."
        warn_caller(
            f"{len(by_others)} of {len(scenes)} scenes have masks in the index, by {', '.join(sorted(others))}, but none by "
            f"the default model. {how}",
            ModelWarning,
        )
    if otherwise and options.offset is None:
        on_demand, made_with = otherwise[0]
        why = (
            f"the offset {', '.join(f'{each:g}' for each in sorted(made_with))} and not "
            f"{on_demand.offset:g}; pass offset= to take those"
            if on_demand.offset not in made_with
            else "weights or windows of another version; make them again, or archive those"
        )
        warn_caller(
            f"{len(otherwise)} of {len(scenes)} scenes have masks by {on_demand.model} in the index that are not "
            f"taken: they were made with {why}.",
            ModelWarning,
        )


def _makers(masks: Iterable[Dataset]) -> dict[str, dict[str, set[float]]]:
    """Return for the id of each scene the models that made its masks, and with which offsets."""
    makers: dict[str, dict[str, set[float]]] = {}
    for mask in masks:
        of_scene = makers.setdefault(str(mask_property(mask, "scene")), {})
        offsets = of_scene.setdefault(str(mask_property(mask, "model")), set())
        offsets.add(float(mask_property(mask, "offset") or 0))
    return makers
