"""What the tests of composites share: a series of one place, and composites made by hand."""

from __future__ import annotations

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from scipy.ndimage import distance_transform_edt

from odc_cleansat.classes import ucl_attrs
from odc_cleansat.synthetic.scene import SimulatedScene

BANDS = ["B02", "B04", "B08", "B11"]


DATES = [f"2024-{month:02d}-{day}T10:10:31Z" for month in (6, 7, 8) for day in (11, 21)]


def simulate(date: str, **options: object) -> xr.Dataset:
    """The same land at 20 m, its east outside the swath, with the truth as its mask."""
    made = SimulatedScene(shape=(480, 600), seed=1, swath_edge=True, datetime=date, **options)  # type: ignore[arg-type]
    scene = made.to_xarray(20)
    return scene[["B02", "B03", "B04", "B08", "B11", "B12", "SCL"]].assign(
        ucl=scene.truth.assign_attrs(ucl_attrs())
    )


def join(scenes: list[xr.Dataset]) -> xr.Dataset:
    return xr.concat(scenes, "time", join="exact", combine_attrs="drop_conflicts")


def error(found: xr.Dataset, ground: xr.Dataset) -> float:
    """Mean difference from the ground, digital numbers, over the pixels with data."""
    differences = [
        np.abs(found[b].values.astype("float64") - ground[b].values)[
            (found[b].values != 0) & (ground[b].values != 0)
        ]
        for b in BANDS
    ]
    return float(np.mean(np.concatenate(differences)))


def little(
    codes: list[list[int]],
    values: list[list[float]],
    dtype: str = "uint16",
    nodata: float | None = 0,
    dates: list[str] | None = None,
) -> xr.Dataset:
    """A row of pixels, far apart, for each date: codes and values of one band."""
    grid = GeoBox((1, len(codes[0])), Affine(20, 0, 399960, 0, -20, 5300040), "EPSG:32633")
    coords = dict(xr_coords(grid))
    days = dates or [f"2024-06-{day:02d}" for day in range(1, len(codes) + 1)]
    coords["time"] = xr.DataArray(np.array(days, dtype="datetime64[ns]"), dims="time")
    dims = ("time", "y", "x")
    attrs = {"grid_mapping": "spatial_ref"} | ({} if nodata is None else {"nodata": nodata})
    band = np.array(values, dtype=dtype)[:, np.newaxis]
    ucl = np.array(codes, dtype="uint8")[:, np.newaxis]
    return xr.Dataset({"red": (dims, band, attrs), "ucl": (dims, ucl, ucl_attrs())}, coords=coords)


def by_hand(scene: xr.Dataset, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Which observations are used and which have data, with numpy and distances in pixels."""
    ucl = scene.ucl.values
    # A 0 in one of several bands is data.
    observed = (ucl != 0) & np.any([scene[b].values != 0 for b in scene if b[0] == "B"], axis=0)
    hidden = np.isin(ucl, (2, 3, 6))
    near = np.array([distance_transform_edt(~each) <= radius for each in hidden])
    return observed & ~near, observed
