"""Find the mask of each scene, and prepare both for the reader driver."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import GapWarning, ModelWarning, SceneError
from ..masks.on_demand import OnDemandMask, on_demand_mask
from ..models.registry import get_model
from ..products.identity import mask_id
from ..products.job import native_grids
from ..scenes.bands import is_reflective
from ..scenes.files import SceneFiles
from ..storage.eo3 import MASK_PRODUCT
from .driver import BANDS, MASK_LAYER, NO_MASK, SHIFTED, file_address, with_measurements, with_paths
from .query import PLACE

if TYPE_CHECKING:
    from uuid import UUID

    from datacube import Datacube
    from datacube.model import Dataset, Product


# --- masks ----------------------------------------------------------------------------


def _masks(
    dc: Datacube, scenes: Sequence[Dataset], like: Any, query: Mapping[str, Any]
) -> list[Dataset]:
    """All indexed masks of the place of the query, from the first of the scenes to the last."""
    if dc.index.products.get_by_name(MASK_PRODUCT) is None:
        return []
    where = {key: value for key, value in query.items() if key in PLACE}
    # A mask has its scene's time, but not always to the microsecond.
    second = datetime.timedelta(seconds=1)
    times = [scene.time for scene in scenes]
    time = min(each.begin for each in times) - second, max(each.end for each in times) + second
    find = partial(dc.find_datasets, product=MASK_PRODUCT, like=like, **where)
    try:
        found: list[Dataset] = find(time=time)
    except NotImplementedError:
        # Datacube's index in memory cannot search by ranges. Without, masks of other scenes are found as well, which
        # nobody asks for: a mask is taken by the scene that it names.
        found = find()
    return found


class _Scene(NamedTuple):
    """A scene, and how its mask is made or where it is."""

    scene: Dataset
    files: SceneFiles
    recipe: OnDemandMask | None
    mask: Dataset | None
    error: SceneError | None


def _look_up(
    scenes: Sequence[Dataset],
    masks: Sequence[Dataset],
    how: Mapping[str, Any],
    *,
    masked: bool,
    patch: Callable[[str], str] | None = None,
) -> list[_Scene]:
    """Each scene with its mask by the chosen model among those that are indexed."""
    by_id = {mask.id: mask for mask in masks}
    resolutions = {abs(native_grids(mask)["default"].resolution.x) for mask in masks}
    found = []
    for scene in scenes:
        files = SceneFiles.of_dataset(scene)
        if patch is not None:
            # Once for each file, which has several names: a patch may ask a service for a signature.
            new = {uri: patch(uri) for uri in {file.uri for file in files.files.values()}}
            patched = {name: f._replace(uri=new[f.uri]) for name, f in files.files.items()}
            files = replace(files, files=patched)
        recipe = mask = failed = None
        if masked or masks:
            try:
                recipe = on_demand_mask(files, **how)
            except SceneError as error:
                failed = error
            else:
                model = get_model(recipe.model)
                ids = [mask_id(scene.id, model, each, recipe.offset) for each in resolutions]
                mask = next((by_id[each] for each in ids if each in by_id), None)
        found.append(_Scene(scene, files, recipe, mask, failed))
    return found


def _tell_of_others(
    scenes: Sequence[_Scene], masks: Sequence[Dataset], *, named: bool, offset: float | None
) -> None:
    """Say if scenes have masks, but none that is taken: by other models, where none is named, or made otherwise."""
    makers: dict[str, list[tuple[str, float]]] = {}
    for mask in masks:
        said = mask.metadata_doc.get("properties", {})
        how = str(said.get("cleansat:model")), float(said.get("cleansat:offset") or 0)
        makers.setdefault(str(said.get("cleansat:scene")), []).append(how)
    others, otherwise = [], []
    for each in scenes:
        if each.mask is None and each.recipe:
            there = makers.get(str(each.scene.id), [])
            own = {made for model, made in there if model == each.recipe.model}
            if own:
                otherwise.append((each.recipe, own))
            elif there:
                others.append({model for model, _ in there})
    if others and not named:
        warnings.warn(
            f"{len(others)} of {len(scenes)} scenes have masks in the index, by "
            f"{', '.join(sorted(set().union(*others)))}, but none by the default model; pass model= to take those.",
            ModelWarning,
            stacklevel=3,
        )
    if otherwise and offset is None:
        recipe, own = otherwise[0]
        why = (
            f"the offset {', '.join(f'{each:g}' for each in sorted(own))} and not {recipe.offset:g}; pass offset= "
            "to take those"
            if recipe.offset not in own
            else "weights or windows of another version; make them again, or archive those"
        )
        warnings.warn(
            f"{len(otherwise)} of {len(scenes)} scenes have masks by {recipe.model} in the index that are not taken: "
            f"they were made with {why}.",
            ModelWarning,
            stacklevel=3,
        )


def _prepare(
    scenes: Sequence[_Scene],
    ucl: str,
    offset: float | None,
    *,
    masked: bool,
    indexed: bool,
    harmonized: bool,
    fused: Set[UUID],
) -> tuple[list[Dataset], dict[UUID, float]]:
    """Copies of the scenes with the address of each one's mask, and their radiometric offsets.

    Of scenes that are `fused` with others, those without a mask keep their pixels from the masks of the others.
    """
    products: dict[str, Product] = {}
    prepared, offsets, without = [], {}, 0
    failed = [each.error for each in scenes if each.error] if masked else []
    for scene, files, recipe, mask, _ in scenes:
        reflective = _reflective(scene)
        alone = scene.id not in fused or not reflective
        nothing = NO_MASK if alone else file_address(NO_MASK, files.files[reflective[0]])
        paths = dict.fromkeys(BANDS, nothing)
        if masked and recipe:
            if mask is not None and indexed:
                stored = SceneFiles.of_dataset(mask).files
                paths = {name: file_address(MASK_LAYER, stored[name]) for name in BANDS}
            elif ucl == "indexed":
                without += 1
            else:
                paths = {name: recipe.address(name) for name in BANDS}
        if reflective:
            offsets[scene.id] = float(files.offset(offset).value)
        if harmonized and offsets.get(scene.id):
            for name in reflective:
                paths[name] = file_address(SHIFTED, files.files[name], offsets[scene.id])
        if scene.product.name not in products:
            products[scene.product.name] = with_measurements(scene.product)
        prepared.append(with_paths(scene, products[scene.product.name], paths))
    if len(failed) == len(scenes):
        raise failed[0]
    gaps = (
        [f"{len(failed)} of {len(scenes)} scenes cannot be masked: {failed[0]}"] if failed else []
    )
    if without:
        gaps.append(
            f"{without} of {len(scenes)} scenes have no indexed mask; pass ucl='auto' to compute them"
        )
    for gap in gaps:
        warnings.warn(f"no data in ucl where {gap}", GapWarning, stacklevel=3)
    return prepared, offsets


def _reflective(scene: Dataset) -> list[str]:
    """The measurements of a scene that are reflectance bands."""
    return [
        name
        for name, measurement in scene.product.measurements.items()
        if name in scene.measurements
        and any(map(is_reflective, (name, *measurement.get("aliases", ()))))
    ]
