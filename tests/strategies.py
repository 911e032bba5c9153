"""Strategies of Hypothesis for what nobody should pass: odd values, odd arrays, and documents with faults.

The rule that they try: each outcome is a result or a `CleansatError`, whatever is passed. In the suite there are few
examples, always the same. ``CLEANSAT_EXAMPLES=100`` tries a hundred times as many, others at each run.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import os
import warnings
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import xarray as xr
from affine import Affine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from odc_cleansat.errors import CleansatError

TIMES = int(os.environ.get("CLEANSAT_EXAMPLES", "1"))

randoms = st.randoms(use_true_random=False)
"""A source of chance that Hypothesis controls, so that it finds the smallest example that fails."""


def tried(examples: int) -> settings:
    """So many examples of a test, the same in each run of the suite."""
    return settings(
        max_examples=examples * TIMES,
        derandomize=TIMES == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """Let a result or an error of ours pass, and nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(CleansatError):
            yield


# Values

NUMBERS = [0, 1, -1, 2, 0.5, -0.0, 1e308, -1e308, 1e-320, 2**31, 10**19, float("nan"), float("inf"), -float("inf")]  # fmt: skip
TEXTS = ["", " ", "x", "0", "nan", "é\u2028", "../x", "/etc/passwd", "http://127.0.0.1:1/x", "EPSG:4326", "epsg:0"]  # fmt: skip
TEXTS += ["2024-06-15T10:10:31Z", "2024-13-45", "9999-12-31", "x" * 5000, "[1, 2]"]
NESTED = [
    [],
    {},
    [[]],
    [None],
    ["x"],
    [1, 2],
    [0] * 6,
    [float("nan")] * 9,
    {"x": 1},
    {"a": {"b": {}}},
    {1: 2},
]
PLAIN: list[Any] = [None, True, False, *NUMBERS, *TEXTS, *NESTED]
PLAIN += [datetime.datetime(2024, 1, 1), datetime.date(1, 1, 1), datetime.datetime.max]
"""What a document in YAML may hold."""

ODD: list[Any] = [*PLAIN, b"x", (), 1j, object(), float, range(3), slice(1), {1}, len, 10**400]
ODD += [np.array(3), np.array([1, 2]), np.array("x"), np.datetime64("NaT", "ns"), np.ma.masked]
ODD += [xr.DataArray(1), xr.DataArray([1, 2])]
"""What a caller may pass in Python."""


# Documents


def places(document: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The keys that lead to each value of a document."""
    found = [above] if above else []
    items: Any = ()
    if isinstance(document, dict):
        items = document.items()
    elif isinstance(document, list):
        items = enumerate(document)
    for key, value in items:
        found += places(value, (*above, key))
    return found


def with_faults(document: Any, random: Random) -> Any:
    """A copy of a document with one to three faults."""
    found = copy.deepcopy(document)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        there = places(found)
        if not there or random.random() < 0.02:
            return random.choice(PLAIN)
        depth = random.choice(sorted({len(each) for each in there}))
        *above, key = random.choice([each for each in there if len(each) == depth])
        part = found
        for each in above:
            part = part[each]
        _spoil(part, key, random)
    return found


def _spoil(part: Any, key: Any, random: Random) -> None:
    value = part[key]
    fault = random.randrange(8)
    if fault == 0:
        del part[key]
    elif fault == 1:
        part[key] = [value]
    elif fault == 2:
        part[key] = {"x": value}
    elif fault == 3:
        part[key] = str(value)
    elif fault == 4 and isinstance(value, str):
        part[key] = random.choice([value[:-1], value * 40, value.swapcase(), value[::-1]])
    elif fault == 4 and isinstance(value, (int, float)):
        part[key] = random.choice([-value, value * 1e10, value + 0.5, value * 0])
    else:
        part[key] = copy.deepcopy(random.choice(PLAIN))


@st.composite
def documents(draw: Callable[..., Any], whole: Any) -> Any:
    """A document with faults."""
    return with_faults(whole, draw(randoms))


# Arrays

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")
TYPES = (
    "uint16",
    "int16",
    "uint8",
    "int32",
    "uint64",
    "float32",
    "float64",
    "float16",
    "longdouble",
    "bool",
)
TYPES += ("complex64", "object", "<U5", "datetime64[ns]", "timedelta64[ns]", ">u2")
SYSTEMS = ("EPSG:4326", "EPSG:3857", "EPSG:4978", "EPSG:32761", "EPSG:5773", "EPSG:6933")
SCALARS = ("offset", "s2:processing_baseline", "raster:bands", "platform", "processing:level", "id")


def a_grid(random: Random, odd: float) -> GeoBox:
    """A grid, with some chance an odd one."""
    pixel, crs, corner = 20.0, "EPSG:32633", (399960.0, 5300040.0)
    if random.random() < odd:
        pixel = random.choice([1e-9, 1e9, -20, 1e-300, 1e300, 0.0002, 60])
    if random.random() < odd:
        crs = random.choice(SYSTEMS)
    if random.random() < odd:
        corner = random.choice([(0, 0), (1e15, 1e15), (179.999, -89.9), (13, 47)])
    skew = 0.3 * pixel if random.random() < odd else 0
    shape = random.choice([(16, 24), (16, 24), (1, 1), (1, 7)])
    return GeoBox(shape, Affine(pixel, skew, corner[0], 0, -pixel, corner[1]), crs)


def some_values(shape: tuple[int, ...], random: Random, odd: float) -> np.ndarray:
    """Pixels, with some chance of an odd type or size."""
    values = np.random.default_rng(random.randrange(2**32)).integers(0, 9000, shape)
    kind = random.choice(TYPES) if random.random() < odd else random.choice(["uint16", "float32"])
    if kind == "float32":
        factor = 1e-4 if random.random() > odd else random.choice([1e30, 1e-30, np.nan, np.inf])
        with np.errstate(all="ignore"):
            return (values * factor).astype("float32")
    with np.errstate(all="ignore"):
        return values.astype(kind)


def a_coordinate(size: int, step: float, random: Random) -> np.ndarray:
    """Coordinates that are no even places."""
    even = step * np.arange(size, dtype=float)
    choices = [even[::-1], even**2, even * np.nan, even * 0, even.astype(str), even.astype(object)]
    choices += [even * 1e300, even.astype("datetime64[s]"), even.astype("complex64")]
    return random.choice(choices)


def a_band(grid: GeoBox, dates: int | None, random: Random, odd: float) -> xr.DataArray:
    """A band on a grid, with some chance of odd coordinates, attributes and encodings."""
    shape = (*grid.shape,) if dates is None else (dates, *grid.shape)
    coords = dict(xr_coords(grid)) if grid.crs is None or _has_dims(grid) else {}
    dims = tuple(grid.dimensions) if coords else ("y", "x")
    if random.random() < odd:
        name = random.choice(dims)
        coords[name] = (name, a_coordinate(grid.shape[dims.index(name)], 20, random))
    if dates is not None:
        dims = ("time", *dims)
        times: list[Any] = [np.datetime64("2024-06-01", "ns"), np.datetime64("2024-06-11", "ns")]
        coords["time"] = ("time", times[:dates] if random.random() > odd else [None] * dates)
    band = xr.DataArray(some_values(shape, random, odd), dims=dims, coords=coords)
    for name in (
        "nodata",
        "scale_factor",
        "add_offset",
        "grid_mapping",
        "crs",
        "spec",
        "long_name",
    ):
        if random.random() < odd / 3:
            band.attrs[name] = random.choice(ODD)
    for name in ("_FillValue", "scale_factor", "grid_mapping"):
        if random.random() < odd / 3:
            band.encoding[name] = random.choice(ODD)
    for name in SCALARS:
        if random.random() < odd / 3:
            cell = np.empty((), dtype=object)
            cell[()] = random.choice(PLAIN)
            with contextlib.suppress(OverflowError):  # pandas looks at it
                band = band.assign_coords({name: ((), cell)})
    return band


def _has_dims(grid: GeoBox) -> bool:
    return bool(grid.crs.geographic or grid.crs.projected)


@st.composite
def scenes(draw: Callable[..., Any], *, series: bool = False) -> Any:
    """A scene in one of the forms that `classify` takes, or nearly; a series has dates and a UCL."""
    random = draw(randoms)
    odd = random.choice([0.02, 0.02, 0.15])
    if random.random() < odd / 5:
        return random.choice(ODD)
    dates = 2 if series else random.choice([None, None, 1])
    names = [*BANDS] if random.random() > odd / 2 else random.sample(BANDS, 3)
    band = a_band(a_grid(random, odd), dates, random, odd)
    found = {name: band.copy() for name in (names[:2] if series else names)}
    if series:
        codes = np.random.default_rng(1).integers(0, 7, band.shape)
        kind = "uint8" if random.random() > odd else random.choice(TYPES)
        found["ucl"] = band.copy(data=codes.astype(kind))
    form = random.randrange(4)
    with contextlib.suppress(Exception):  # not all odd bands fit together
        if form == 0 and not series:
            joined = xr.concat(list(found.values()), "band", coords="minimal", compat="override")
            return joined.assign_coords(band=names) if random.random() > odd else joined
        if form == 1:
            return xr.Dataset(found).chunk(dict.fromkeys(band.dims[-2:], 9))
        return xr.Dataset(found)
    return found


@st.composite
def arguments(draw: Callable[..., Any], usual: dict[str, list[Any]]) -> dict[str, Any]:
    """Some arguments of a function by name, each with a usual value or an odd one."""
    random = draw(randoms)
    names = random.sample(sorted(usual), random.choice([0, 1, 1, 2]))
    return {
        name: random.choice([*usual[name], random.choice(ODD), random.choice(ODD)])
        for name in names
    }
