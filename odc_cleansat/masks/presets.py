"""Presets: a stored mask made stricter or more lenient when it is loaded, without the network.

Stored masks keep the likeliest class and its confidence. A preset changes the class of pixels whose
confidence is low, and widens cloud and shadow. The few labelled scenes on which its numbers were
chosen are named in docs/accuracy/presets.md. The table there says what each preset does to recall and
precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arguments import fault_of_metres, is_number, meant
from ..classes import CLOUDS, CloudClass
from ..errors import CleansatError, SceneError
from ..grids.grid import unevenness
from .dilate import dilate

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Preset:
    """How a mask is made stricter or more lenient.

    Raises
    ------
    CleansatError
        If a confidence is not 0 to 100 percent, or a dilation no number of metres from 0.
    """

    name: str
    """Name by which it is found."""

    title: str
    """What it is for, one line."""

    least_clear: int = 0
    """Least confidence of clear, percent; clear pixels below it become cloud."""

    least_cloud: int = 0
    """Least confidence of thick and thin cloud, percent; cloud below it becomes clear."""

    least_shadow: int = 0
    """Least confidence of shadow, percent; shadow below it becomes clear."""

    cloud_dilation: float = 0
    """Metres on the ground by which cloud then grows into clear pixels."""

    shadow_dilation: float = 0
    """Metres on the ground by which shadow then grows; pixels that both reach become cloud."""

    @property
    def reach(self) -> float:
        """Greatest distance, metres, at which a pixel changes another."""
        return max(self.cloud_dilation, self.shadow_dilation)

    def __post_init__(self) -> None:
        for percent in (self.least_clear, self.least_cloud, self.least_shadow):
            if not is_number(percent) or not 0 <= percent <= 100:
                raise CleansatError(
                    f"preset {self.name}: a confidence of {percent!r} is not percent; pass 0 to 100."
                )
        metres = {"cloud": self.cloud_dilation, "shadow": self.shadow_dilation}
        if fault := fault_of_metres(metres, ("cloud", "shadow")):
            raise CleansatError(f"preset {self.name}: {fault}")


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "balanced",
            "as few wrong pixels as possible, of either kind",
            least_shadow=40,
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
            least_cloud=70,
            least_shadow=50,
        ),
    )
}
"""The named presets; none is applied unless asked for."""


def get_preset(name: str | Preset) -> Preset:
    """Return the preset of a name; return a :class:`Preset` unchanged.

    Raises
    ------
    CleansatError
        If there is no preset of that name.
    """
    if isinstance(name, Preset):
        return name
    if not isinstance(name, str) or name not in PRESETS:
        raise CleansatError(
            f"there is no preset {name!r}; choose from {', '.join(PRESETS)}.{meant(name, PRESETS)}"
        )
    return PRESETS[name]


def apply_preset(mask: xr.Dataset, preset: str | Preset) -> xr.Dataset:
    """Change the classes of a mask as a preset says.

    Pixels without data stay without data. Cloud and shadow grow neither into them, nor into snow or water.

    Parameters
    ----------
    mask
        ``ucl``, uint8 :class:`CloudClass` codes, dims ``([time,] y, x)`` with an odc-geo geobox, and
        ``ucl_confidence``, uint8 percent, if the preset uses it. Other variables are kept as they are.
    preset
        Name or :class:`Preset`.

    Returns
    -------
    xarray.Dataset
        The mask with another ``ucl``, whose attribute ``preset`` names the preset; lazy if `mask` is.
        ``ucl_confidence`` stays the confidence of the class that the network gave.

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
    codes = _dilate(_replace_uncertain(mask, chosen), chosen)
    changed: xr.Dataset = mask.assign(ucl=codes.assign_attrs(mask.ucl.attrs, preset=chosen.name))
    return changed


def _replace_uncertain(mask: xr.Dataset, preset: Preset) -> xr.DataArray:
    """Return the codes, with another class where the confidence is too low."""
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


def _dilate(codes: xr.DataArray, preset: Preset) -> xr.DataArray:
    """Return the codes with cloud and shadow grown."""
    if not (preset.cloud_dilation or preset.shadow_dilation):
        return codes
    if reason := unevenness(codes):
        raise SceneError(f"{reason}.")
    grid = codes.odc.geobox
    if grid is None or grid.crs is None:
        raise SceneError(
            "the mask has no coordinate system, so that metres mean nothing; give it one, e.g. "
            "mask.odc.assign_crs('EPSG:32633')."
        )
    metres = {"cloud": preset.cloud_dilation, "shadow": preset.shadow_dilation}
    return dilate(codes, metres, grid)
