"""The page to recall masks: on any grid, with the size told before, as COG, PNG, or lines of Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..cube.recall import recall
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
from .parts import ask_grid, choose, failing_in_words, in_turn, progress_bar, show_legend
from .service import Service, get_service
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
    """What was asked for."""

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
    st.title("Recall")
    st.caption("Masks that are indexed, on any grid. Rejected masks are left out.")
    with failing_in_words():
        grid = ask_grid(service)
        how = choose("What a pixel gets", HOW, "how")
        only_accepted = st.toggle("Only accepted masks", key="only_accepted", bind="query-params")
        if grid is None:
            st.info("Choose an area: type it here, or draw it on the page Scenes.")
            return
        options: dict[str, Any] = {"how": how}
        if only_accepted:
            options["only_accepted"] = True
        masks = recall(
            service.dc,
            MASK_PRODUCT,
            **options,
            dask_chunks={"x": CHUNK, "y": CHUNK},
            **grid.terms(),
        )
        st.write(f"That is {check_size(masks, service.settings.limits)}.")
        st.code(_lines(grid, options), language="python")
        request = f"{grid.lines()}, how={how!r}"
        if st.button("Make it", type="primary"):
            st.session_state.pop("recalled", None)
            with in_turn(service):
                st.session_state.recalled = _make(service, masks, grid, how, request)
        made: Recalled | None = st.session_state.get("recalled")
        if made is not None and made.request == request:
            _offer(made, how)


def _make(service: Service, masks: xr.Dataset, grid: Grid, how: str, request: str) -> Recalled:
    import streamlit as st

    with st.spinner("Reading masks"):
        gaps = service.gaps(grid.area, grid.time or None)
        here = masks.compute()
    with progress_bar("Writing") as progress:
        file = mask_files(here, how, request, progress)
    return Recalled(request, here, file, tuple(gaps))


def _lines(grid: Grid, options: dict[str, Any]) -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return (
        "from datacube import Datacube\nfrom odc_cleansat import recall\n\n"
        f"masks = recall(Datacube(), {MASK_PRODUCT!r}, {given},\n               {grid.lines()})"
    )


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
