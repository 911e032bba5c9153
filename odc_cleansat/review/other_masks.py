"""Masks by others beside a UCL: files, or measurements of the scene, with the mapping of their values."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ..addresses import without_places
from ..classes import CloudClass
from ..errors import CleansatError, GapWarning, SceneError, first_line
from ..evaluate.mappings import UNKNOWN, ClassMapping, get_mapping
from ..evaluate.rasters import ClassRaster, open_raster, warn_of_gap
from ..grids.centres import reach
from ..grids.grid import ground_resolution
from ..scenes.days import check_days
from ..scenes.files import BandFile, SceneFiles
from ..storage.eo3 import acquisition_time

RESAMPLED = "resampled"
"""Attribute of an array of classes that was brought to another grid: the pixels of its own, for people."""

Other = xr.DataArray | str | tuple[xr.DataArray | str, str | ClassMapping]
"""An array of codes or the name of one; with the mapping of its values as a pair."""

LOOK = 256
"""Pixels along a side on which a mask is looked at from afar."""

PLACES = ("{scene}", "{tile}", "{date}")
"""What stands in a path for the name, the tile and the day of a scene."""


@dataclass(frozen=True)
class SceneName:
    """What names of files tell of a scene."""

    label: str
    """Its name."""

    day: date | None
    """When it was acquired, UTC; None if that is not known."""

    tile: str
    """Its tile, such as ``33UVP``; may be empty."""

    @classmethod
    def of(cls, label: str, properties: Mapping[str, Any]) -> SceneName:
        """Return the name of a scene, by the properties of its document or of that of its mask."""
        moment = acquisition_time(properties)
        tile = str(properties.get("odc:region_code") or "")
        return cls(label, None if moment is None else moment.date(), tile)


@dataclass(frozen=True)
class OtherMask:
    """A mask by others of one scene or of many."""

    name: str
    """Name for people."""

    place: str
    """Path or URL, in which :data:`PLACES` and the wildcards ``*``, ``?`` and ``**`` may stand; or the name of a
    measurement of the scene."""

    mapping: ClassMapping
    """What its values mean."""

    @property
    def is_measurement(self) -> bool:
        """Whether the place is the name of a measurement, and no path."""
        return self.place.isidentifier()

    def find(self, scene: SceneName, files: Mapping[str, BandFile] | None = None) -> ClassRaster:
        """Return the file of a scene.

        Parameters
        ----------
        scene
            What is known of it.
        files
            The measurements of the scene, if there are any.

        Raises
        ------
        SceneError
            If there is none, there are several, or it is named after another day.
        """
        if self.is_measurement and files and self.place in files:
            file = files[self.place]
            return ClassRaster(file.uri, self.mapping, file.band)
        days = _spellings(scene.day) if "{date}" in self.place else [""]
        pattern = self.place.replace("{scene}", scene.label).replace("{tile}", scene.tile)
        wanted = [pattern.replace("{date}", day) for day in days]
        found = sorted({each for path in wanted for each in _there(path)})
        if len(found) != 1:
            problem = f"{len(found)} files match" if found else "no file matches"
            raise SceneError(f"{self.name}: {problem} {' or '.join(wanted)}.")
        check_days(found[0], set() if scene.day is None else {scene.day})
        return ClassRaster(found[0], self.mapping)


def _spellings(day: date | None) -> list[str]:
    """Return how files are named after a day."""
    return ["*"] if day is None else [f"{day:%Y-%m-%d}", f"{day:%Y%m%d}"]


def _there(path: str) -> list[str]:
    """Return the files that a path with wildcards names; a URL is taken as it is."""
    if "://" in path:
        return [path]
    if glob.has_magic(path):
        return [each for each in glob.glob(path, recursive=True) if Path(each).is_file()]
    return [path] if Path(path).is_file() else []


def find_rasters(
    others: Sequence[OtherMask], scene: SceneFiles, grid: GeoBox
) -> tuple[dict[str, ClassRaster], list[str]]:
    """Find masks by others of a scene, and look at each of them from afar.

    Parameters
    ----------
    others
        The masks.
    scene
        The scene.
    grid
        Its grid.

    Returns
    -------
    dict
        The files of those that can be shown, by name.
    list of str
        What is wrong with others, and what values their mappings do not name. It tells no places.
    """
    name = SceneName.of(str(scene.properties.get("label") or ""), scene.properties)
    small = grid.zoom_out(max(1, max(grid.shape) / LOOK))
    found: dict[str, ClassRaster] = {}
    said: list[str] = []
    for each in others:
        try:
            raster = each.find(name, scene.files)
            read_classes(each.name, raster, small, tell=said.append)
            found[each.name] = raster
        except Exception as error:  # the scene is shown without it
            said.append(first_line(error))
    return found, [without_places(text) for text in said]


def read_others(
    others: Sequence[OtherMask],
    data: xr.Dataset,
    files: Mapping[str, BandFile] | None = None,
    tell: Callable[[str], object] | None = None,
) -> dict[str, Other]:
    """Read masks by others for :func:`~odc_cleansat.review.compare`.

    Parameters
    ----------
    others
        The masks.
    data
        A scene with ``ucl``, dims ``(y, x)``, uint8 codes, as :func:`~odc_cleansat.review.mask_dataset` gives it.
    files
        The measurements of the scene, if there are any.
    tell
        Called with what is wrong with a mask, which is then left out; by default that is an error.

    Returns
    -------
    dict
        By name, the classes on the grid of the scene and their mapping.

    Raises
    ------
    SceneError
        If a mask is not found, cannot be read, or is of another place or day.
    """
    moment = data.coords.get("time")
    day = None if moment is None else moment.values.astype("datetime64[D]").item()
    scene = SceneName(str(data.attrs["title"]), day, str(data.attrs.get("tile", "")))
    found: dict[str, Other] = {}
    for each in others:
        try:
            raster = each.find(scene, files)
            classes = read_classes(
                each.name, raster, data.odc.geobox, data.ucl.values, tell or warn_of_gap
            )
        except CleansatError as error:
            if tell is None:
                raise
            tell(str(error))
            continue
        found[each.name] = classes, each.mapping.of_classes
    return found


def read_classes(
    name: str,
    raster: ClassRaster,
    grid: GeoBox,
    ucl: np.ndarray | None = None,
    tell: Callable[[str], object] = warn_of_gap,
    *,
    anywhere: bool = False,
) -> xr.DataArray:
    """Read a mask by others on a grid, each pixel from the one in which its centre lies.

    Parameters
    ----------
    name
        Name of the mask in messages.
    raster
        The file.
    grid
        The grid.
    ucl
        ``grid.shape`` uint8 :class:`CloudClass` codes. A mask whose mapping knows no value for no data has none where
        this has none: it says clear there.
    tell
        Called if it holds values that the mapping does not name; by default it warns.
    anywhere
        Whether it may lie elsewhere; it then has no data.

    Returns
    -------
    xarray.DataArray
        Dims ``(y, x)``, uint8 :class:`CloudClass` codes, nodata 0. The attribute :data:`RESAMPLED` tells the pixels
        of the file if its grid is another.

    Raises
    ------
    SceneError
        If the file cannot be read, has no coordinate system, or lies elsewhere.
    """
    with open_raster(raster, tell) as opened:
        own = opened.grid
        if own.crs is None:
            raise SceneError(
                f"{name}: {raster.uri} has no coordinate system, so that nobody knows where it lies; set it, e.g. with "
                "`rio edit-info --crs EPSG:32633 FILE`."
            )
        if not anywhere and reach(own, grid) is None:
            raise SceneError(
                f"{name}: {raster.uri} lies elsewhere than the scene: none of its pixels is in it."
            )
        codes = opened.read_onto(grid, (slice(0, grid.shape[0]), slice(0, grid.shape[1])))
    if ucl is not None:
        codes = without_gaps(codes, raster.mapping, ucl)
    attrs = {} if own == grid else {RESAMPLED: pixels_of(own)}
    found: xr.DataArray = wrap_xr(codes, grid, nodata=int(CloudClass.NODATA), **attrs)
    return found


def find_other(
    name: str, given: Other, arrays: Mapping[Any, xr.DataArray]
) -> tuple[xr.DataArray, ClassMapping]:
    """Return a mask by others as classes, and the mapping that they come from.

    Parameters
    ----------
    name
        Name of the mask in messages.
    given
        An array of codes, or the name of one; or a pair of that and its mapping.
    arrays
        What is in the scene by name.

    Returns
    -------
    xarray.DataArray
        Dims as given, uint8 :class:`CloudClass` codes, nodata 0, and
        :data:`~odc_cleansat.evaluate.mappings.UNKNOWN` for values that the mapping does not name.
    ClassMapping
        The mapping.

    Raises
    ------
    SceneError
        If the scene has no such array.
    CleansatError
        If there is no such mapping.
    """
    array, spec = given if isinstance(given, tuple) else (given, "ucl")
    mapping = get_mapping(spec)
    if isinstance(array, str):
        if array not in arrays:
            raise SceneError(
                f"{name}: the scene has no {array!r}; it has {', '.join(map(str, arrays)) or 'nothing'}. Load it too, "
                "or pass it as an array."
            )
        array = arrays[array]
    declared = array.attrs.get("nodata")

    def translated(values: np.ndarray) -> np.ndarray:
        classes = mapping.translate(values)
        if declared is not None:
            classes[(classes == UNKNOWN) & (values == declared)] = CloudClass.NODATA
        return classes

    classes: xr.DataArray = xr.apply_ufunc(
        translated, array, dask="parallelized", output_dtypes=["uint8"], keep_attrs=True
    )
    return classes.assign_attrs(nodata=int(CloudClass.NODATA)), mapping


def shown_classes(
    name: str, codes: np.ndarray, mapping: ClassMapping, ucl: np.ndarray
) -> np.ndarray:
    """Return the classes of a mask by others as they are shown.

    Parameters
    ----------
    name
        Name of the mask in messages.
    codes
        Same shape as `ucl`, uint8, as :func:`find_other` gives it.
    mapping
        What the codes come from.
    ucl
        uint8 :class:`CloudClass` codes.

    Returns
    -------
    numpy.ndarray
        Same shape, uint8 :class:`CloudClass` codes, nodata 0.

    Warns
    -----
    GapWarning
        If there are values that the mapping does not name.
    """
    unknown = codes == UNKNOWN
    if unknown.any():
        warnings.warn(
            f"{name} has values in {100 * unknown.mean():.2g} % of its pixels that the mapping {mapping.name} does not "
            "name; these pixels count as no data.",
            GapWarning,
            stacklevel=2,
        )
        codes = np.where(unknown, np.uint8(CloudClass.NODATA), codes)
    return without_gaps(codes, mapping, ucl)


def without_gaps(codes: np.ndarray, mapping: ClassMapping, ucl: np.ndarray) -> np.ndarray:
    """Return classes with no data where a UCL has none, if the mapping knows no value for no data.

    Parameters
    ----------
    codes, ucl
        Same shape, uint8 :class:`CloudClass` codes.
    mapping
        What `codes` come from.

    Returns
    -------
    numpy.ndarray
        Same shape, uint8 codes.
    """
    if mapping.nodata:
        return codes
    return np.where(ucl == CloudClass.NODATA, np.uint8(CloudClass.NODATA), codes)


def pixels_of(grid: GeoBox) -> str:
    """Return the size of the pixels of a grid, e.g. ``60 m``."""
    return f"{max(ground_resolution(grid)):.0f} m"
