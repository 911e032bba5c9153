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
from .service import Service, best_mask, get_service
from .verdicts import ask_verdict
from .words import plain

if TYPE_CHECKING:
    from datacube.model import Dataset

    from ..cube.catalogue import MaskRow


MOST = 4
"""Most scenes side by side."""


@dataclass(frozen=True)
class Shown:
    """A scene that is looked at, and its mask."""

    scene: Dataset
    """The scene."""

    mask: UUID | None
    """Id of its mask; None if it has none."""

    masks: tuple[MaskRow, ...] = ()
    """All masks that the datacube has of it."""

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
        _ask_models(shown)
        stretch = _ask_stretch()
        panes = [
            Pane(each.scene.id, each.mask, _bounds(each), each.title if len(shown) > 1 else "")
            for each in shown
        ]
        key = service.door.key(st.session_state.person)
        if len(shown) == 1:
            st.subheader(plain(shown[0].title), anchor=False)
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
    return [_shown(service, scene, mask) for scene, _, mask in pairs]


def _shown(service: Service, scene: str, mask: str) -> Shown:
    """Return a scene with the mask that an address names, or else with the one that it got since."""
    dataset = service.scene(read_id(scene))
    masks = service.masks_of(dataset)
    if mask not in ("", "-"):
        return Shown(dataset, read_id(mask), masks)
    if best := best_mask(masks):
        return Shown(dataset, best.id, masks)
    made = [job.mask for job in service.queue.jobs() if job.scene == dataset.id and job.document]
    return Shown(dataset, made[0] if made else None, masks)


def _ask_models(shown: Sequence[Shown]) -> None:
    """Where a scene has masks by several models, ask which is shown; the address names it."""
    import streamlit as st

    chosen = [each.mask for each in shown]
    for i, each in enumerate(shown):
        models = {mask.id: mask.model or str(mask.id)[:8] for mask in each.masks}
        if len(models) > 1 and each.mask in models:
            chosen[i] = st.selectbox(
                f"Mask of {each.title} by",
                list(models),
                index=list(models).index(each.mask),
                format_func=models.__getitem__,
                key=f"model_{each.scene.id}",
            )
    if chosen != [each.mask for each in shown]:
        pairs = zip(shown, chosen, strict=True)
        st.query_params["show"] = ",".join(f"{each.scene.id}.{mask or '-'}" for each, mask in pairs)
        st.rerun()


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
