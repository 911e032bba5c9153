"""The page to look at scenes and their masks: layers, swipe, several dates side by side, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ..errors import CleansatError
from ..grids.footprint import lonlat_footprint
from ..storage.eo3 import acquisition_time
from .map import Pane, make_map, show_map
from .parts import failing_in_words, kept_query, open_page, read_id
from .service import Service, get_service
from .verdicts import ask_verdict

if TYPE_CHECKING:
    from datacube.model import Dataset


MOST = 4
"""Most scenes side by side."""


@dataclass(frozen=True)
class Shown:
    """A scene that is looked at, and its mask."""

    scene: Dataset
    """The scene."""

    mask: UUID | None
    """Id of its mask; None if it has none."""

    @property
    def title(self) -> str:
        """Time and tile, for people."""
        properties = self.scene.metadata_doc["properties"]
        moment = acquisition_time(properties)
        time = "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
        return f"{time} {properties.get('odc:region_code', '')}".strip()


def show() -> None:
    """Show the page."""
    import streamlit as st

    service = get_service()
    st.title("Look")
    with failing_in_words():
        text = kept_query("show")
        if not text.strip():
            st.info("No scene is chosen. Choose one on the page Scenes, and press Look.")
            if st.button("Go to Scenes", type="primary"):
                open_page("Scenes")
            return
        shown = _read(service, text)
        stretch = _ask_stretch()
        panes = [
            Pane(each.scene.id, each.mask, _bounds(each), each.title if len(shown) > 1 else "")
            for each in shown
        ]
        key = service.door.key(st.session_state.person)
        if len(shown) == 1:
            st.subheader(shown[0].title)
        show_map(
            make_map(
                service, key, panes, stretch, bounds=panes[0].bounds, fit=text,
                height=560 if len(panes) == 1 else 420,
            ),
            "view_map",
        )  # fmt: skip
        _offer_masks(service, shown)
        for each in shown:
            if each.mask is not None:
                ask_verdict(service, each.mask, each.title)


def _read(service: Service, text: str) -> list[Shown]:
    """Return the scenes that an address names."""
    pairs = [part.strip().partition(".") for part in text.split(",") if part.strip()]
    if len(pairs) > MOST:
        raise CleansatError(f"{len(pairs)} scenes are too many side by side; choose up to {MOST}.")
    return [
        Shown(service.scene(read_id(scene)), _mask(service, scene, mask))
        for scene, _, mask in pairs
    ]


def _mask(service: Service, scene: str, mask: str) -> UUID | None:
    """Return the mask that an address names, or else the one that the scene got since."""
    if mask not in ("", "-"):
        return read_id(mask)
    job = next((job for job in service.queue.jobs() if job.scene == read_id(scene)), None)
    return job.mask if job is not None and job.state in ("done", "found") else None


def _bounds(shown: Shown) -> tuple[float, float, float, float]:
    west, south, east, north = lonlat_footprint(shown.scene.extent).geom.bounds
    return west, south, east, north


def _ask_stretch() -> str:
    """Ask for the reflectances that are drawn dark and bright; return them with a comma between, or nothing."""
    import streamlit as st

    with st.expander("Stretch of the pictures"):
        by_hand = st.toggle("Choose it by hand", key="stretched", bind="query-params")
        low, high = st.slider(
            "Reflectance drawn dark, and bright", 0.0, 1.0, (0.02, 0.3), 0.01, key="stretch",
            disabled=not by_hand, bind="query-params",
            help="Dates side by side compare best with one stretch.",
        )  # fmt: skip
    return f"{low:.2f},{high:.2f}" if by_hand and low < high else ""


def _offer_masks(service: Service, shown: Sequence[Shown]) -> None:
    """Offer to mask the scenes that have no mask."""
    import streamlit as st

    missing = [each for each in shown if each.mask is None]
    if missing and st.button(
        "Mask this scene" if len(missing) == 1 else f"Mask {len(missing)} scenes", type="primary"
    ):
        service.ask([each.scene.id for each in missing], st.session_state.person)
        open_page("Queue")
