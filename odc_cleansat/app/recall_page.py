"""The page to recall masks: on any grid, with the size told before, as COG, PNG, or lines of Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..cube.area import parse_crs
from ..cube.load import load
from ..cube.recall import recall
from ..errors import CubeError
from ..products.job import MASK_RESOLUTION
from ..storage.eo3 import MASK_PRODUCT
from .downloads import (
    Download,
    Grid,
    check_size,
    class_picture,
    mask_files,
    png,
    share_picture,
    size_text,
)
from .indexing import cube_in_python
from .parts import (
    choose,
    failing_in_words,
    in_turn,
    progress_bar,
    show_legend,
    utm_of,
)
from .refining import ABOUT_DATES, STORED, ask_model
from .service import Service, get_service
from .where import read_grid_fields
from .words import plain

if TYPE_CHECKING:
    import xarray as xr


HOW = {
    "nearest": "the nearest native pixel",
    "mode": "the most frequent class",
    "any_cloud": "the worst class: cloud before shadow before clear",
    "fraction": "the shares of cloud and shadow, 0 to 1",
}
"""Ways to recall, in words."""


@dataclass(frozen=True)
class Recalled:
    """Masks that were made on this page."""

    request: str
    """The call in Python that gives the same."""

    masks: xr.Dataset
    """Dims ``(time, y, x)``; see :func:`~odc_cleansat.recall`."""

    file: Download
    """The same as a file."""

    gaps: tuple[str, ...] = ()
    """What is missing, in words."""


CHUNK = 2048
"""Pixels along each side of what is computed at a time."""


def show() -> None:
    """Show the page."""
    import streamlit as st

    service = get_service()
    st.caption("Masks that are indexed, on any grid. Rejected masks are left out.")
    with failing_in_words():
        grid = read_grid_fields(service)
        refine = choose("Refine masks by", STORED, "refine", ABOUT_DATES)
        how = "nearest"
        if refine == "stored":
            how = choose("What a pixel gets", HOW, "how")
        only_accepted = st.toggle("Only accepted masks", key="only_accepted", bind="query-params")
        if grid is None:
            st.info("Choose an area: type it here, or draw it on the page Scenes.")
            return
        model = ask_model(service.find(grid.area, grid.time or None))
        grid, options = _options(grid, how, refine)
        if model is not None:
            options["model"] = model
        if only_accepted:
            options["only_accepted"] = True
        call: Callable[..., xr.Dataset] = recall
        product = MASK_PRODUCT
        if refine != "stored":
            call, product = load, service.settings.product
        masks = call(
            service.dc, product, **options, dask_chunks={"x": CHUNK, "y": CHUNK}, **grid.terms()
        )
        st.write(f"That is {check_size(masks, service.settings.limits)}.")
        imported, cube = cube_in_python(service.settings)
        request = _request(call.__name__, cube, product, grid, options)
        st.code(
            f"{imported}\nfrom odc_cleansat import {call.__name__}\n\nmasks = {request}",
            language="python",
        )
        if st.button("Make it", type="primary"):
            st.session_state.pop("recalled", None)
            with in_turn(service):
                st.session_state.recalled = _make(service, masks, grid, how, request)
        made: Recalled | None = st.session_state.get("recalled")
        if made is not None and made.request == request:
            _offer(made, how)


def _options(grid: Grid, how: str, refine: str) -> tuple[Grid, dict[str, Any]]:
    """Return the grid, which must be whole where masks are refined, and how masks are read."""
    if refine == "stored":
        return grid, {"how": how}
    if grid.resolution is None:
        crs = grid.crs or utm_of(grid.area)
        pixel = 0.0002 if parse_crs(crs).geographic else MASK_RESOLUTION
        grid = replace(grid, crs=crs, resolution=pixel)
    return grid, {"measurements": ["ucl"], "ucl": "indexed", "refine": refine}


def _make(service: Service, masks: xr.Dataset, grid: Grid, how: str, request: str) -> Recalled:
    import streamlit as st

    with st.spinner("Reading masks"):
        gaps = service.gaps(grid.area, grid.time or None)
        here = masks.compute()
        if "ucl" in here and how == "nearest":
            # Refined masks are searched for by their scenes, of which some have no mask.
            seen = (here.ucl != 0).any([name for name in here.ucl.dims if name != "time"])
            here = here.isel(time=seen.values)
    if not here.sizes["time"]:
        raise CubeError("no mask is stored of this area and time; mask scenes first.")
    with progress_bar("Writing") as progress:
        file = mask_files(here, how, request, progress)
    return Recalled(request, here, file, tuple(gaps))


def _request(call: str, cube: str, product: str, grid: Grid, options: dict[str, Any]) -> str:
    """Return the call in Python that gives the masks: all that decides their pixels."""
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return f"{call}({cube}, {product!r}, {given},\n    {grid.lines()})"


def _offer(made: Recalled, how: str) -> None:
    """Show the masks, and the downloads."""
    import streamlit as st

    for text in made.gaps:
        st.warning(plain(text))
    masks, file = made.masks, made.file
    times = [str(each)[:16].replace("T", " ") for each in masks.time.values.astype("datetime64[m]")]
    moment = st.select_slider("Time", times) if len(times) > 1 else times[0]
    one = masks.isel(time=times.index(moment))
    if how == "fraction":
        pixels, words = share_picture(one.cloud_fraction.values), "share of cloud"
    else:
        pixels, words = class_picture(one.ucl.values), "classes"
    st.image(pixels, caption=f"{moment}, {words}")
    if how != "fraction":
        show_legend("ucl")
    cog, picture = st.columns(2)
    cog.download_button(
        f"Download {file.name} ({size_text(len(file.content))})", file.content, file.name, file.kind,
        on_click="ignore", width="stretch", type="primary",
    )  # fmt: skip
    name = f"ucl_{moment.replace(' ', 'T').replace(':', '')}Z.png"
    picture.download_button(
        f"Download {name}", png(pixels), name, "image/png", on_click="ignore", width="stretch"
    )
