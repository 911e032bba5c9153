"""Presets: a stored mask made stricter or more lenient when it is loaded, without the network.

Stored masks keep the likeliest class and its confidence. A preset changes the class of pixels whose
confidence is low, and widens cloud and shadow. Its numbers were chosen on the few labelled scenes
that docs/evaluation.md names, and the table there says what each does to recall and precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..classes import CLOUDS, CloudClass
from ..errors import CleansatError, SceneError

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Preset:
    """What is done to a mask. Confidence is percent, distances are metres on the ground."""

    name: str
    """By which it is found."""

    title: str
    """One line for people."""

    least_clear: int = 0
    """Clear pixels less certain than this become cloud."""

    least_cloud: int = 0
    """Pixels of cloud, thick or thin, less certain than this become clear."""

    least_shadow: int = 0
    """Pixels of shadow less certain than this become clear."""

    cloud_dilation: float = 0
    """How far cloud then grows into clear pixels."""

    shadow_dilation: float = 0
    """How far shadow does; where both reach, it becomes cloud."""

    @property
    def reach(self) -> float:
        """How far from a pixel it looks, metres."""
        return max(self.cloud_dilation, self.shadow_dilation)

    def __post_init__(self) -> None:
        for percent in (self.least_clear, self.least_cloud, self.least_shadow):
            if not 0 <= percent <= 100:
                raise CleansatError(
                    f"preset {self.name}: a confidence of {percent} is not percent; pass 0 to 100."
                )


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "balanced",
            "as few wrong pixels as possible, of either kind",
            least_shadow=80,
        ),
        Preset(
            "conservative",
            "miss as little cloud and shadow as possible, at the cost of clear pixels",
            cloud_dilation=60,
            shadow_dilation=20,
        ),
        Preset(
            "permissive",
            "keep as many clear pixels as possible, at the cost of faint cloud and shadow",
            least_cloud=80,
            least_shadow=90,
        ),
    )
}
"""Those that have a name; none is applied unless asked for."""


def get_preset(name: str | Preset) -> Preset:
    """Look a preset up; a :class:`Preset` is returned as it is.

    Raises
    ------
    CleansatError
        If there is none of that name.
    """
    if isinstance(name, Preset):
        return name
    if name not in PRESETS:
        raise CleansatError(f"there is no preset {name!r}; choose from {', '.join(PRESETS)}.")
    return PRESETS[name]


def apply_preset(mask: xr.Dataset, preset: str | Preset) -> xr.Dataset:
    """Change the classes of a mask as a preset says.

    Pixels without data stay without, and nothing grows into them, nor into snow or water.

    Parameters
    ----------
    mask
        ``ucl``, uint8 :class:`CloudClass` codes, dims ``([time,] y, x)`` with an odc-geo geobox, and
        ``ucl_confidence``, uint8 percent, if the preset looks at it. Other variables may be there.
    preset
        Name or :class:`Preset`.

    Returns
    -------
    xarray.Dataset
        The same with another ``ucl``, whose attribute ``preset`` names the preset; lazy if it was.
        ``ucl_confidence`` stays that of the class which the network gave.

    Raises
    ------
    CleansatError
        If there is no such preset.
    SceneError
        If the mask lacks a layer or a coordinate system, or has a preset already.
    """
    chosen = get_preset(preset)
    if "ucl" not in mask.data_vars:
        raise SceneError("the mask has no ucl; a preset changes the classes of that layer.")
    if already := mask.ucl.attrs.get("preset"):
        raise SceneError(
            f"the mask has the preset {already} already; apply {chosen.name} to the stored one."
        )
    codes = _widened(_sorted(mask, chosen), chosen)
    changed: xr.Dataset = mask.assign(ucl=codes.assign_attrs(mask.ucl.attrs, preset=chosen.name))
    return changed


def _sorted(mask: xr.Dataset, preset: Preset) -> xr.DataArray:
    """The classes, without those that are too uncertain."""
    rules = (
        ([CloudClass.CLEAR], preset.least_clear, CloudClass.CLOUD),
        (CLOUDS, preset.least_cloud, CloudClass.CLEAR),
        ([CloudClass.SHADOW], preset.least_shadow, CloudClass.CLEAR),
    )
    codes: xr.DataArray = mask.ucl
    if not any(least for _, least, _ in rules):
        return codes
    if "ucl_confidence" not in mask.data_vars:
        raise SceneError(
            f"the preset {preset.name} needs ucl_confidence; load the mask with its confidence."
        )
    for classes, least, instead in rules:
        if least:
            doubtful = mask.ucl.isin(classes) & (mask.ucl_confidence < least)
            codes = codes.where(~doubtful, np.uint8(instead))
    return codes


def _widened(codes: xr.DataArray, preset: Preset) -> xr.DataArray:
    if not (preset.cloud_dilation or preset.shadow_dilation):
        return codes
    from .dilate import dilate

    grid = codes.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the mask has no coordinate system, so that metres mean nothing; give it one, e.g. "
            "mask.odc.assign_crs('EPSG:32633')."
        )
    metres = {"cloud": preset.cloud_dilation, "shadow": preset.shadow_dilation}
    return dilate(codes, metres, grid)
