"""Area, time and grid, which several pages ask for.

The script of all pages draws their fields, so that they belong to every page. Streamlit forgets the fields that a page has
drawn itself when a step back in the browser shows another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .areas import area_text, read_area, square_km
from .downloads import Grid
from .parts import failing_in_words, utm_of
from .service import Service, get_service

if TYPE_CHECKING:
    from odc.geo.geom import Geometry

PIXEL = {"Recall": 0.0, "Composite": 20.0}
"""Pixel size that is offered, by the titles of the pages that ask for a grid; 0 is that of the masks."""

PLACED = ("Scenes", *PIXEL)
"""Titles of the pages that ask for area and time."""

OF_OTHERS = ("show", "masks")
"""What other pages have in their addresses."""

_SHARED: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}


def ask_where(title: str) -> None:
    """Draw the fields for area, time and grid that a page needs; the session has their values by the names of the address.

    Parameters
    ----------
    title
        Of the page.
    """
    import streamlit as st

    if title not in PLACED:
        return
    state = st.session_state
    kept = state.get("kept_where", {})
    if title == "Scenes":
        _fill_after_way_back(kept)
    if (given := state.pop("new_area", None)) is not None:
        state.area = given
    where, when, more = st.columns([3, 2, 1], vertical_alignment="bottom")
    where.text_input(
        "Area", key="area",
        placeholder="west,south,east,north in degrees; or draw it on the map; or GeoJSON",
        help="Empty for everywhere. A polygon is lon,lat;lon,lat;lon,lat.", on_change=_keep, **_SHARED,
    )  # fmt: skip
    when.text_input(
        "Time", key="time", placeholder="2024-06, or 2024-06-01/2024-07-15",
        help="A day, month or year, or two of them with a slash between. Empty for all.", on_change=_keep,
        **_SHARED,
    )  # fmt: skip
    with more, st.popover("Upload", width="stretch"):
        _take_upload()
    if title in PIXEL:
        _ask_pixels(PIXEL[title])
    else:
        _keep()


def _fill_after_way_back(kept: dict[str, str]) -> None:
    """Fill area and time if a step back in the browser led to an address without them: a bare one, or one of another page.

    In the run of such a step the address alone counts, so that they are filled in another one.
    """
    import streamlit as st

    state, query = st.session_state, st.query_params
    if (returned := state.pop("returned", None)) is not None:
        state.update(returned)
        return
    foreign = [name for name in OF_OTHERS if name in query]
    # Who empties the fields by hand empties what is kept.
    bare = any(kept.values()) and not any(name in query for name in kept)
    if foreign or bare:
        for name in foreign:
            del query[name]
        state.returned = kept
        st.rerun()


def _keep() -> None:
    """Keep area and time for a way back whose address lacks them."""
    import streamlit as st

    st.session_state.kept_where = {name: st.session_state[name] for name in ("area", "time")}


def _take_upload() -> None:
    import streamlit as st

    state = st.session_state
    file = st.file_uploader("An area as GeoJSON, in degrees", type=["geojson", "json"])
    if file is None or state.get("uploaded") == file.file_id:
        return
    with failing_in_words():
        text = file.getvalue().decode("utf-8", "replace")
        found = read_area(text, get_service().settings.limits.area)
        state.uploaded = file.file_id
        state.new_area = area_text(found)
        st.rerun()


def _ask_pixels(pixel: float) -> None:
    import streamlit as st

    system, size = st.columns(2)
    system.text_input(
        "Coordinate system", key="crs", placeholder="EPSG:32633; empty for that of the masks",
        **_SHARED,
    )  # fmt: skip
    size.number_input(
        "Pixel size, in its units", min_value=0.0, value=pixel, key="resolution",
        help="Metres, or degrees for EPSG:4326. 0 takes that of the masks.", **_SHARED,
    )  # fmt: skip


def read_area_field(service: Service) -> Geometry | None:
    """Return the area that is asked for, and tell its size; None for everywhere."""
    import streamlit as st

    text = st.session_state.area
    if not text.strip():
        return None
    area = read_area(text, service.settings.limits.area)
    st.caption(f"The area has {square_km(area):,.1f} km².")
    return area


def read_grid_fields(service: Service) -> Grid | None:
    """Return the grid that is asked for; None as long as there is no area.

    Parameters
    ----------
    service
        Whose limits hold.
    """
    import streamlit as st

    area = read_area_field(service)
    if area is None:
        return None
    state = st.session_state
    crs, pixel = state.crs.strip(), state.resolution
    if pixel and not crs:
        crs = utm_of(area)
    grid = Grid(area, state.time.strip(), crs or None, pixel or None)
    grid.check(service.settings.limits)
    return grid
