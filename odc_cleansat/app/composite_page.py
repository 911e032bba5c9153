"""The page to make a picture without clouds, once by the UCL and once by the SCL, and to see the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from ..cube.load import load
from ..errors import CubeError
from ..review.figure import stretch_limits
from .downloads import (
    Download,
    Grid,
    check_size,
    colour_picture,
    composite_files,
    make_composite,
    reflectance,
    size_text,
)
from .indexing import cube_in_python
from .parts import choose, failing_in_words, in_turn, progress_bar
from .refining import ABOUT_DATES, ABOUT_LIGHT, DATES, REFINE, argument, ask_model
from .service import Service, get_service
from .where import read_grid_fields

if TYPE_CHECKING:
    import xarray as xr

    from ..cube.scene_list import SceneRow

COMPUTED = "the default; scenes without its mask are masked now"
"""What it means to take masks by the default model, in words."""


@dataclass(frozen=True)
class Composites:
    """Composites that were made on this page."""

    request: str
    """What was asked for."""

    by: dict[str, xr.Dataset]
    """The composite by ``UCL``, and by ``SCL`` if that was asked for; dims ``(y, x)``."""

    files: dict[str, Download]
    """The same as files."""


METHODS = {
    "median": "median of each band",
    "best": "the best date of each pixel",
    "geomedian": "geometric median of all bands",
}
"""Ways to combine dates, in words."""


def show() -> None:
    """Show the page."""
    import streamlit as st

    service = get_service()
    st.caption("One picture of the ground from several dates, without cloud and shadow.")
    with failing_in_words():
        grid = read_grid_fields(service)
        method = choose("Combine by", METHODS, "method")
        about = f"{ABOUT_LIGHT} {ABOUT_DATES}"
        refine = choose("Refine masks by", REFINE, "refine", about)
        both = st.toggle(
            "Also by the SCL, to compare", value=True, key="by_scl", bind="query-params"
        )
        if grid is None:
            st.info("Choose an area: type it here, or draw it on the page Scenes.")
            return
        rows = service.find(grid.area, grid.time or None)
        chosen, days, some = _ask_dates(rows)
        if not chosen:
            st.info("Choose one date at least.")
            return
        grid.check(service.settings.limits, len(days))
        how = {"refine": argument(refine), "model": ask_model(rows, COMPUTED)}
        scenes = _load(service, grid, chosen, both, how)
        st.write(
            f"That is {check_size(scenes, service.settings.limits)}, of {scenes.sizes['time']} dates."
        )
        if left_out := len(days) - scenes.sizes["time"]:
            st.warning(
                f"{left_out} of the {len(days)} dates left out, because reviewers have rejected the masks."
            )
        st.code(_lines(service, grid, method, days if some else None, how), language="python")
        request = (
            f"{grid.lines()}, method={method!r}, refine={refine!r}, model={how['model']!r}, "
            f"scenes={sorted(map(str, chosen))}, scl={both}"
        )
        if st.button("Make it", type="primary"):
            st.session_state.pop("composite", None)
            with in_turn(service):
                st.session_state.composite = _make(scenes, method, both, request)
        made: Composites | None = st.session_state.get("composite")
        if made is not None and made.request == request:
            _show(made.by, made.files)


def _ask_dates(rows: Sequence[SceneRow]) -> tuple[list[UUID], list[str], bool]:
    """Ask which dates are used; return the ids of their scenes, the dates, and whether some are left out."""
    import streamlit as st

    days = sorted({f"{row.time:%Y-%m-%d}" for row in rows})
    if not days:
        raise CubeError("there is no scene in this area at this time; choose another area or time.")
    picked = st.multiselect("Dates", days, default=days, help="Leave out dates that are no good.")
    chosen = [row.id for row in rows if f"{row.time:%Y-%m-%d}" in picked]
    return chosen, picked, len(picked) < len(days)


def _load(
    service: Service, grid: Grid, scenes: Sequence[UUID], both: bool, how: dict[str, Any]
) -> xr.Dataset:
    """Return the scenes with their masks, lazily."""
    terms = grid.terms()
    datasets = list(service.dc.index.datasets.bulk_get(list(scenes)))
    if how["refine"] in DATES:  # dates that are left out are compared with, too
        terms["product"] = service.settings.product
    else:
        terms["datasets"] = datasets
        terms.pop("time", None)
    found: xr.Dataset = load(
        service.dc,
        measurements=["red", "green", "blue", "ucl", *(["scl"] if both else [])],
        harmonized=True,
        group_by="solar_day",
        dask_chunks={"time": 1, "x": 1024, "y": 1024},
        resampling={"*": "average", "scl": "nearest"},
        **how,
        **terms,
    )
    days = {f"{each.center_time:%Y-%m-%d}" for each in datasets}
    return found.sel(time=found.time.dt.strftime("%Y-%m-%d").isin(sorted(days)))


def _make(scenes: xr.Dataset, method: str, both: bool, request: str) -> Composites:
    import streamlit as st

    made: dict[str, xr.Dataset] = {}
    files: dict[str, Download] = {}
    with st.spinner("Reading the scenes; those without a mask are masked now, which takes longer"):
        here = scenes.compute()
    for by in ("UCL", "SCL") if both else ("UCL",):
        with st.spinner(f"Combining by the {by}"):
            made[by] = make_composite(here, by, method)
        with progress_bar(f"Writing the one by the {by}") as progress:
            number = scenes.sizes["time"]
            files[by] = composite_files(made[by], number, f"{request}, by {by}", progress)
    return Composites(request, made, files)


def _show(made: dict[str, xr.Dataset], files: dict[str, Download]) -> None:
    """Show the composites side by side, with one stretch, and the numbers of clear observations."""
    import streamlit as st

    limits = stretch_limits([reflectance(each) for each in made.values()])
    for place, (by, each) in zip(st.columns(len(made)), made.items(), strict=True):
        with place:
            st.subheader(f"By the {by}")
            st.image(colour_picture(each, limits), width="stretch")
            counts = each.clear_count.values
            none = 100 * float(np.mean(counts == 0))
            st.write(
                f"Clear observations: {np.median(counts):.0f} at the median, {counts.min()} to {counts.max()}; "
                f"{none:.1f} % of the area has none."
            )
            top = max(int(each.observation_count.max()), 1)
            grey = np.round(255 * counts / top).astype("uint8")
            st.image(
                grey, caption=f"Clear observations: black is none, white is {top}.", width="stretch"
            )
            file = files[by]
            st.download_button(
                f"Download by the {by} ({size_text(len(file.content))})", file.content,
                f"composite_{by.lower()}.zip", file.kind, on_click="ignore", width="stretch",
            )  # fmt: skip
    if len(made) == 2:
        _difference(made["UCL"], made["SCL"], limits)


def _difference(one: xr.Dataset, other: xr.Dataset, limits: tuple[float, float]) -> None:
    """Say how far the two composites differ."""
    import streamlit as st

    difference = np.abs(reflectance(one) - reflectance(other)).max(axis=-1)
    if not np.isfinite(difference).any():
        return
    share = 100 * float(np.nanmean(difference > 0.02))
    st.write(
        f"The two differ by more than 0.02 of reflectance on {share:.1f} % of the pixels that both have."
    )
    shown = np.where(np.isfinite(difference), np.clip(difference / limits[1], 0, 1), 0)
    st.image(
        np.round(255 * shown).astype("uint8"), caption="Where they differ: the brighter, the more."
    )


def _lines(
    service: Service, grid: Grid, method: str, days: Sequence[str] | None, how: dict[str, Any]
) -> str:
    some = ""
    given = {name: value for name, value in how.items() if value not in (None, True)}
    options = "".join(f"{name}={value!r}, " for name, value in given.items())
    if days is not None:
        some = (
            f"scenes = scenes.sel(time=scenes.time.dt.strftime('%Y-%m-%d').isin({list(days)!r}))\n"
        )
    imported, cube = cube_in_python(service.settings)
    return (
        f"{imported}\nfrom odc_cleansat import composite, load\n\n"
        f"scenes = load({cube}, {service.settings.product!r}, "
        "measurements=['red', 'green', 'blue', 'ucl'],\n"
        "              harmonized=True, group_by='solar_day', resampling={'*': 'average'},\n"
        f"              {options}{grid.lines()})\n"
        f"{some}clean = composite(scenes, method={method!r})"
    )
