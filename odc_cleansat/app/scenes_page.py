"""The page to find scenes: on a map, over time and in a table; and to have them masked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..batch.jobs import QueueFullError
from ..errors import OutputError
from .areas import area_text, check_geometry
from .downloads import Grid
from .indexing import cube_in_python
from .map import make_map, show_map
from .parts import cloud_chart, failing_in_words, look_again, open_page, opens
from .queue_page import EVERY
from .refining import ask_light, need_new, say_former
from .routes import picture_address
from .scene_lists import SceneLists
from .service import Service, chosen_mask, get_service
from .where import read_area_field
from .words import in_words, plain

if TYPE_CHECKING:
    import pandas as pd
    from odc.geo.geom import Geometry

    from ..cube.scene_list import SceneRow


CUBE, STAC = "the datacube", "the STAC API"
"""Where scenes come from."""

TABLE = "scene_table"
"""Key of the table in the session."""

ROW, HEAD = 56, 38
"""Heights of a row of the table and of what is above the rows, pixels."""

MOST_JUDGED = 200
"""Most masks that are judged together."""

LOOKED_AT = 4
"""Most scenes side by side."""


def show() -> None:
    """Show the page."""
    import streamlit as st

    service = get_service()
    if st.session_state.pop("asked", False):
        open_page("Queue")
    for text in st.session_state.pop("refused", []):
        st.error(plain(text))
    with failing_in_words():
        area = read_area_field(service)
        rows = _find(service, area)
        if not rows:
            _draw_map(service, area, [])
            st.info(plain(_nothing(service, area)))
            return
        pictures, above, count = st.container(), st.container(), st.container()
        with above:
            light = ask_light()
        rows = [_preferring(row, light) for row in rows]
        frame = _frame(service, rows)
        _take_picks(frame)
        left, right = pictures.columns([3, 2])
        with left:
            _draw_map(service, area, rows)
        with right:
            picked = cloud_chart(frame, "cloud_chart")
        if picked:
            _choose(frame, picked)
        chosen = _table(frame)
        # Above the table, whose tools would else lie upon the buttons.
        count.caption(_counted(frame, chosen))
        if said := say_former(row.masks for row in rows):
            count.caption(said)
        with above:
            _actions(service, [rows[i] for i in chosen], area, light)
        _show_lines(service, area, light)


def _preferring(row: SceneRow, light: bool) -> SceneRow:
    """Return a scene with the masks alone that were made as is wished, if it has such."""
    if len(row.masks) < 2:
        return row
    wished = tuple(mask for mask in row.masks if mask.light == light)
    return replace(row, masks=wished or row.masks)


def _find(service: Service, area: Geometry | None) -> Sequence[SceneRow]:
    import streamlit as st

    time = st.session_state.time.strip() or None
    if _ask_source(service) == STAC:
        return service.find(area, time, stac=True)
    lists: SceneLists = st.session_state.setdefault("scene_lists", SceneLists())
    query = (st.session_state.area, time)
    rows, are_all = lists.get(
        query, service.changes, lambda limit: service.find(area, time, limit=limit)
    )
    if not are_all:
        st.fragment(_await_others)(lists, query, len(rows))
    return rows


def _await_others(lists: SceneLists, query: Hashable, count: int) -> None:
    """Show the page anew once all scenes are listed."""
    import streamlit as st

    look_again(EVERY)
    if lists.is_made(query):
        st.rerun()
    st.caption(f"These are the latest {count:,} scenes; the others are being listed.")


def _ask_source(service: Service) -> str:
    """Ask where scenes come from, if there is a choice."""
    import streamlit as st

    sources = [CUBE] if service.settings.with_datacube else []
    sources += [STAC] if service.stac is not None else []
    if len(sources) == 1:
        return sources[0]
    return str(
        st.segmented_control(
            "Scenes of",
            sources,
            default=sources[0],
            required=True,
            key="source",
            bind="query-params",
        )
    )


def _nothing(service: Service, area: Geometry | None) -> str:
    where = "in this area" if area is not None else "at all"
    return (
        f"The datacube has no scene of {service.settings.product} {where} at this time. Choose a larger area or "
        "another time."
    )


def _frame(service: Service, rows: Sequence[SceneRow]) -> pd.DataFrame:
    """Return what the table and the chart show: one line for each scene, in the same order."""
    import pandas as pd
    import streamlit as st

    key = service.door.key(st.session_state.person)
    states = service.review_states(rows)
    masks = [chosen_mask(row) for row in rows]
    return pd.DataFrame(
        {
            "picture": [
                picture_address("colour", row.id, mask.id if mask else None, key=key)
                for row, mask in zip(rows, masks, strict=True)
            ],
            "time": [row.time for row in rows],
            "tile": [row.region for row in rows],
            "scl": [row.cloud_cover for row in rows],
            "ucl": [mask.cloud_cover if mask else None for mask in masks],
            "state": [states[row.id] for row in rows],
            "name": [row.label for row in rows],
            "id": [str(row.id) for row in rows],
        }
    )


def _take_picks(frame: pd.DataFrame) -> None:
    """Choose the scenes that were clicked on the map just now."""
    import streamlit as st

    if picked := st.session_state.pop("picked", None):
        _choose(frame, frame.index[frame.tile.isin(picked) | frame.id.isin(picked)])


def _choose(frame: pd.DataFrame, rows: Iterable[int]) -> None:
    import streamlit as st

    st.session_state[TABLE] = {
        "selection": {"rows": [int(i) for i in rows][:500], "columns": [], "cells": []}
    }


def _draw_map(service: Service, area: Geometry | None, rows: Sequence[SceneRow]) -> None:
    """Draw footprints and the area; take what is drawn or picked."""
    import streamlit as st

    footprints = _footprints(rows)
    bounds = area.geom.bounds if area is not None else _bounds(rows)
    drawn = show_map(
        make_map(
            service,
            service.door.key(st.session_state.person),
            footprints=footprints,
            area=None if area is None else area.geom.__geo_interface__,
            bounds=bounds,
            fit=str(bounds),
            draw=True,
            height=420,
        ),
        "scenes_map",
    )
    if drawn.drawn is not None:
        geometry = drawn.drawn["geometry"]
        if geometry is None:
            st.session_state.new_area = ""
        else:
            found = check_geometry(geometry, service.settings.limits.area)
            st.session_state.new_area = area_text(found)
        st.rerun()
    if drawn.picked is not None:
        st.session_state.picked = drawn.picked
        st.rerun()


def _footprints(rows: Sequence[SceneRow]) -> dict[str, Any]:
    """Return the largest outline of each tile: thousands of scenes lie on few of them."""
    by_size = sorted(rows, key=lambda row: float(row.footprint.area))
    by_tile = {row.region or str(row.id): row for row in by_size}
    features = [
        {
            "type": "Feature",
            "properties": {"name": name, "chosen": False},
            "geometry": row.footprint.__geo_interface__,
        }
        for name, row in by_tile.items()
    ]
    return {"type": "FeatureCollection", "features": features}


def _bounds(rows: Sequence[SceneRow]) -> tuple[float, float, float, float] | None:
    found = [row.footprint.bounds for row in rows]
    if not found:
        return None
    west, south, east, north = zip(*found, strict=True)
    return min(west), min(south), max(east), max(north)


def _table(frame: pd.DataFrame) -> list[int]:
    """Show the table; return the rows that are chosen."""
    import streamlit as st

    column = st.column_config
    event = st.dataframe(
        frame,
        key=TABLE,
        on_select="rerun",
        selection_mode="multi-row",
        hide_index=True,
        row_height=ROW,
        height=min(420, HEAD + ROW * len(frame)),
        placeholder="",
        column_order=["picture", "time", "tile", "state", "scl", "ucl", "name"],
        column_config={
            "picture": column.ImageColumn("Picture", width="small"),
            "time": column.DatetimeColumn("Time (UTC)", format="YYYY-MM-DD HH:mm"),
            "tile": column.TextColumn("Tile", width="small"),
            "state": column.TextColumn("State"),
            "scl": column.NumberColumn("Cloud by SCL, %", format="%.0f"),
            "ucl": column.NumberColumn("Cloud by UCL, %", format="%.0f"),
            "name": column.TextColumn("Scene"),
        },
        alt="Scenes with their time, tile, state and cloud cover.",
    )
    return [i for i in event.selection.rows if i < len(frame)]


def _counted(frame: pd.DataFrame, chosen: Sequence[int]) -> str:
    return (
        f"{len(frame):,} scene{'s' * (len(frame) != 1)}, {int((frame.state == 'not masked').sum()):,} of them not masked; "
        f"{len(chosen)} chosen. Choose rows by their boxes, a point of the chart, or a tile of the map."
    )


def _actions(
    service: Service, rows: Sequence[SceneRow], area: Geometry | None, light: bool
) -> None:
    """Buttons for the scenes that are chosen."""
    import streamlit as st

    missing = [
        row
        for row in rows
        if need_new(made := [mask for mask in row.masks if mask.light == light]) or not made
    ]
    masks = [mask for mask in map(chosen_mask, rows) if mask is not None]
    if fault := service.store_fault():
        st.warning(plain(f"No mask can be made now. {in_words(OutputError(fault))}"))
    mask, look, judge, recall, composite = st.columns(5)
    limit = service.settings.limits.jobs
    mask.button(
        "Mask"
        if not missing
        else "Mask 1 scene"
        if len(missing) == 1
        else f"Mask {len(missing)} scenes",
        type="primary",
        disabled=bool(not missing or fault),
        width="stretch",
        help=f"In the background, up to {limit} at a time. Scenes that have such a mask are passed over.",
        on_click=_ask,
        args=(service, missing, area),
    )
    if look.button(
        "Look", disabled=not 0 < len(rows) <= LOOKED_AT, width="stretch",
        help=f"One scene, or up to {LOOKED_AT} side by side.",
    ):  # fmt: skip
        open_page("Look", show=",".join(opens(row) for row in rows))
    if judge.button("Judge", disabled=not masks, width="stretch", help="Accept or reject."):
        open_page("Judge", masks=",".join(str(mask.id) for mask in masks[:MOST_JUDGED]))
    # Area and time go along by themselves: their fields belong to all pages.
    if recall.button("Recall", width="stretch", help="The masks on any grid, to download."):
        open_page("Recall")
    if composite.button("Composite", width="stretch", help="One picture without clouds."):
        open_page("Composite")


def _show_lines(service: Service, area: Geometry | None, light: bool) -> None:
    """Show the lines that mask all scenes of the area and time from Python."""
    import streamlit as st

    if not service.settings.with_datacube:
        return
    time = st.session_state.time.strip()
    terms = Grid(area, time).lines() if area is not None else f"time={time!r}" if time else ""
    plain_masks = "" if light else ", refine=False"
    imported, cube = cube_in_python(service.settings)
    with st.expander("Mask all of these from Python"):
        st.code(
            f"{imported}\nfrom odc_cleansat.batch import Request, run\n\n"
            f"query = dict({terms})\n"
            f"run({cube}, Request({service.settings.product!r}, root='masks', query=query{plain_masks}))",
            language="python",
        )


def _ask(service: Service, rows: Sequence[SceneRow], area: Geometry | None) -> None:
    """Have scenes masked. It runs before the page is drawn again, so that the queue is seen at once."""
    import streamlit as st

    state, refused = st.session_state, []
    light = bool(state.light)  # which may have been switched after the button was drawn
    for row in rows:
        try:
            service.ask([row.id], state.person, area, light=light)
            state.asked = True
        except QueueFullError as error:
            refused.append(str(error))
            break
        except Exception as error:
            refused.append(f"{row.label}: {in_words(error)}")
    state.refused = refused
