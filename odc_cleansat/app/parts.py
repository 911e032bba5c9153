"""Parts that several pages show."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from typing import TYPE_CHECKING
from uuid import UUID

from ..classes import CloudClass
from ..errors import CleansatError
from ..review.tiles import legend
from .service import Service, chosen_mask
from .words import in_words, plain

if TYPE_CHECKING:
    import pandas as pd
    from odc.geo.geom import Geometry

    from ..cube.scene_list import SceneRow


@contextlib.contextmanager
def failing_in_words() -> Iterator[None]:
    """Show an error of the block in words, with a button to try again."""
    import streamlit as st
    from streamlit.runtime.scriptrunner_utils.exceptions import RerunException, StopException

    try:
        yield
    except (RerunException, StopException):
        raise
    except Exception as error:
        text = in_words(error)
        st.error(plain(text[:1].upper() + text[1:]))
        st.button("Try again")


def open_page(title: str, **query: str | None) -> None:
    """Go to a page, with a query in its address."""
    import streamlit as st

    given = {name: value for name, value in query.items() if value}
    st.switch_page(st.session_state.pages[title], query_params=given)


def link_page(title: str, label: str = "", **query: str) -> None:
    """Show a link to a page, by default with its title. A part that runs again and again needs one: a button there may open a blank page."""
    import streamlit as st

    st.page_link(st.session_state.pages[title], label=label or title, query_params=query)


def kept_query(name: str) -> str:
    """Return what the address says under a name; if it says nothing, what it said before on this page."""
    import streamlit as st

    said = st.query_params.get(name) or str(st.session_state.get(f"kept_{name}", ""))
    st.session_state[f"kept_{name}"] = said
    if said and name not in st.query_params:
        st.query_params[name] = said
    return said


def choose(label: str, options: Mapping[str, str], name: str, about: str | None = None) -> str:
    """Ask for one of some options; the address says its own value under the name, unless it is the first.

    Parameters
    ----------
    label
        What is asked for.
    options
        Value to words for people.
    name
        In the address, and the key of the widget.
    about
        Help, for those who point at the question mark.
    """
    import streamlit as st

    first, said = next(iter(options)), st.query_params.get(name)
    if name not in st.session_state:
        st.session_state[name] = said if said in options else first
    if said is not None and said not in options:
        st.warning(plain(f"{name}={said:.40} is none of {', '.join(options)}; {first} is taken."))
    found = str(
        st.selectbox(label, list(options), format_func=options.__getitem__, key=name, help=about)
    )
    if found != st.query_params.get(name, first):
        st.query_params[name] = found
    return found


def read_id(text: str) -> UUID:
    """Return an id of an address.

    Raises
    ------
    CleansatError
        If it is none.
    """
    try:
        return UUID(text.strip())
    except ValueError:
        raise CleansatError(
            f"{text[:60]!r} is no id of a scene or mask; choose scenes on the page Scenes."
        ) from None


def opens(row: SceneRow) -> str:
    """Return how a scene and its mask stand in the address of a view."""
    mask = chosen_mask(row)
    return f"{row.id}.{mask.id if mask else '-'}"


def cloud_chart(frame: pd.DataFrame, key: str) -> list[int]:
    """Draw cloud cover by SCL and by UCL over time; return the rows of points that were just clicked.

    Parameters
    ----------
    frame
        Columns ``time``, ``tile``, ``scl`` and ``ucl``, in percent.
    key
        Key of the chart.
    """
    import altair as alt
    import streamlit as st

    points = frame[["time", "tile", "scl", "ucl"]].reset_index(names="row")
    points = points.melt(["row", "time", "tile"], ["scl", "ucl"], "by", "cloud").dropna()
    points["by"] = points["by"].str.upper()
    if points.empty:
        st.info("No scene says how cloudy it is; mask some to see their cloud cover over time.")
        return []
    pick = alt.selection_point(fields=["row"], name="pick")
    chart = (
        alt.Chart(points)
        .mark_point(size=70, filled=True)
        .encode(
            x=alt.X(
                "time:T",
                title=None,
                axis=alt.Axis(format="%Y-%m-%d", tickCount=4),
                scale=alt.Scale(padding=12),  # points at the edge are whole
            ),
            y=alt.Y("cloud:Q", title="Cloud cover, %", scale=alt.Scale(domain=[0, 100])),
            color=alt.Color(
                "by:N",
                title=None,
                legend=alt.Legend(orient="top"),
                scale=alt.Scale(domain=["SCL", "UCL"], range=["#8a949c", CloudClass.CLOUD.colour]),
            ),
            shape=alt.Shape(
                "by:N",
                title=None,
                scale=alt.Scale(domain=["SCL", "UCL"], range=["circle", "triangle-up"]),
            ),
            opacity=alt.condition(pick, alt.value(1.0), alt.value(0.35)),
            tooltip=["time:T", "tile:N", "by:N", alt.Tooltip("cloud:Q", format=".1f")],
        )
        .add_params(pick)
        .properties(height=380)
    )
    event = st.altair_chart(
        chart, key=key, on_select="rerun", alt="Cloud cover of the scenes by SCL and UCL over time."
    )
    picked = [int(each["row"]) for each in event.selection.get("pick", [])]
    if picked == st.session_state.get(f"{key}_picked", []):
        return []
    st.session_state[f"{key}_picked"] = picked
    return picked


@contextlib.contextmanager
def progress_bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs; the value is called with what is done and all there is."""
    import streamlit as st

    bar = st.progress(0.0, text=text)

    def count(done: int, total: int) -> None:
        bar.progress(min(done / total, 1.0) if total else 0.0, text=f"{text}: {done} of {total}")

    try:
        yield count
    finally:
        bar.empty()


@contextlib.contextmanager
def in_turn(service: Service) -> Iterator[None]:
    """Let one person after the other have a result made, for each may fill a good part of the memory."""
    import streamlit as st

    place = st.empty()
    while not service.turns.acquire(timeout=0.5):
        place.info("Something is being made for somebody else; yours comes next.")
    try:
        place.empty()
        yield
    finally:
        service.turns.release()


def look_again(seconds: float) -> None:
    """Run the fragment that this is called in again and again, but not while somebody clicks or types.

    Streamlit has ``run_every`` for that. But a run that is due between a click and the page that it opens leaves a blank page.
    """
    import streamlit as st

    script = resources.files(__package__).joinpath("again.js").read_text("utf-8")
    component = st.components.v2.component("odc_cleansat_again", js=script, html="<i></i>")
    component(key="again", data={"seconds": seconds}, height=1, on_again_change=lambda: None)


def run_part_again() -> None:
    """Run the fragment that this is called in anew; or the page, if a click comes just while that is run as a whole."""
    import streamlit as st
    from streamlit.errors import StreamlitAPIException

    try:
        st.rerun(scope="fragment")
    except StreamlitAPIException:
        st.rerun()


def show_legend(kind: str) -> None:
    """Show the colours of a layer, with their names."""
    import streamlit as st

    square = "display:inline-block;width:0.9em;height:0.9em;border:1px solid #52606d;background:"
    st.html(
        "<div style='display:flex;flex-wrap:wrap;gap:0.2rem 0.8rem'>"
        + "".join(
            f"<span><i style='{square}{each.colour}'></i> {each.name}</span>"
            for each in legend(kind, usual=True)
        )
        + "</div>"
    )


def utm_of(area: Geometry) -> str:
    """Return the UTM zone of the middle of an area."""
    from odc.geo.crs import CRS

    lon, lat = area.centroid.coords[0]
    return str(CRS(f"EPSG:{(32700 if lat < 0 else 32600) + int((lon + 180) // 6) % 60 + 1}"))
