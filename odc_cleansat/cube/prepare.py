"""Prepare scenes for the reader driver: copies with the address of each one's mask."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import xarray as xr

from ..errors import GapWarning, warn_caller
from ..scenes.files import SceneFiles
from .driver import BANDS, with_measurements, with_paths
from .lookup import MaskedScene, MaskOptions
from .mixture import reflective_measurements, shifted_paths
from .special_addresses import MASK_LAYER, NO_MASK, file_address

if TYPE_CHECKING:
    from datacube.model import Dataset, Product


@dataclass(frozen=True)
class PreparedScenes:
    """Scenes that the reader driver can load with their masks."""

    groups: xr.DataArray
    """Dims ``(time)``, object: for each time a tuple of datasets."""

    product: Product
    """The product of the first one, with the layers of the mask."""

    offsets: Mapping[UUID, float]
    """Radiometric offset of each scene that has reflectance bands, digital numbers."""

    fused: bool
    """Whether a time has several scenes."""


def prepare(
    scenes: Sequence[MaskedScene],
    groups: xr.DataArray,
    options: MaskOptions,
    *,
    masked: bool,
    harmonized: bool,
) -> PreparedScenes:
    """Make copies of scenes that have the address of the mask, and that of each band.

    Parameters
    ----------
    scenes
        The scenes and their masks.
    groups
        Dims ``(time)``, dtype object: for each time a tuple of the scenes' datasets.
    options
        Which masks are taken.
    masked
        Whether masks are loaded at all.
    harmonized
        Whether the radiometric offset is taken off the bands.

    Raises
    ------
    SceneError
        If none of the scenes can be masked.

    Warns
    -----
    GapWarning
        If some of the scenes cannot be masked, or have no mask in the index and none is to be computed.
    """
    masks = [_mask_addresses(each, options) if masked else {} for each in scenes]
    if masked:
        _check_gaps(scenes, masks)
    fused = {each.id for group in groups.values if len(group) > 1 for each in group}
    products: dict[str, Product] = {}
    copies: dict[UUID, Dataset] = {}
    offsets: dict[UUID, float] = {}
    for each, mask in zip(scenes, masks, strict=True):
        scene, bands = each.scene, reflective_measurements(each.scene)
        if bands:
            offsets[scene.id] = float(each.files.offset(options.offset).value)
        paths = mask or dict.fromkeys(BANDS, _no_mask(each, bands, scene.id in fused))
        if harmonized and bands:
            paths |= shifted_paths(each.files, bands, offsets[scene.id])
        if scene.product.name not in products:
            products[scene.product.name] = with_measurements(scene.product)
        copies[scene.id] = with_paths(scene, products[scene.product.name], paths)
    prepared = np.empty(groups.shape, dtype=object)
    for i, group in enumerate(groups.values):
        prepared[i] = tuple(copies[each.id] for each in group)
    product = copies[scenes[0].scene.id].product
    return PreparedScenes(groups.copy(data=prepared), product, offsets, fused=bool(fused))


def _check_gaps(scenes: Sequence[MaskedScene], masks: Sequence[Mapping[str, str]]) -> None:
    """Warn of scenes without a mask; raise if none of them can have one."""
    failed = [each.error for each in scenes if each.error]
    if len(failed) == len(scenes):
        raise failed[0]
    if failed:
        warn_caller(
            f"no data in ucl where {len(failed)} of {len(scenes)} scenes cannot be masked: {failed[0]}",
            GapWarning,
        )
    without = sum(not mask for mask in masks) - len(failed)
    if without:
        warn_caller(
            f"no data in ucl where {without} of {len(scenes)} scenes have no indexed mask; pass ucl='auto' to "
            "compute them",
            GapWarning,
        )


def _mask_addresses(scene: MaskedScene, options: MaskOptions) -> dict[str, str]:
    """Return the address of each layer of a scene's mask; nothing if it has none."""
    if scene.on_demand is None:
        return {}
    if scene.mask is not None and options.from_index:
        stored = SceneFiles.of_dataset(scene.mask).files
        return {name: file_address(MASK_LAYER, stored[name]) for name in BANDS}
    if options.ucl == "indexed":
        return {}
    return {name: scene.on_demand.address(name) for name in BANDS}


def _no_mask(scene: MaskedScene, bands: Collection[str], fused: bool) -> str:
    """Return the address that stands for the mask of a scene without one.

    A scene that is fused with others says where it has data. So the pixels that are taken from it do not
    get a class from the mask of another scene.
    """
    if not fused or not bands:
        return NO_MASK
    return file_address(NO_MASK, scene.files.files[next(iter(bands))])
