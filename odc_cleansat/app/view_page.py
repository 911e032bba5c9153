"""The page to look at scenes and their masks: layers, swipe, several dates side by side, verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from ..errors import CleansatError, OutputError
from ..grids.footprint import lonlat_footprint
from ..models.registry import DEFAULTS
from ..storage.eo3 import acquisition_time
from .map import Pane, make_map, show_map
from .parts import choose, failing_in_words, kept_query, look_again, open_page, read_id
from .queue_page import EVERY, offer_withdrawal, progress_text, sentence
from .refining import (
    ABOUT_DATES,
    BY_DATES,
    DATES,
    ask_light,
    best_mask,
    name_of,
    need_new,
    say_former,
)
from .service import Service, get_service
from .verdicts import ask_verdict
from .words import in_words, plain

if TYPE_CHECKING:
    from datacube.model import Dataset

    from ..batch.jobs import Job
    from ..cube.scene_list import MaskRow


MOST = 4
"""Most scenes side by side."""

REFINING = "refining"
"""Key in the session: the refined masks that somebody waits for here, by scene."""


@dataclass(frozen=True)
class Shown:
    """A scene that is looked at, and its mask."""

    scene: Dataset
    """The scene."""

    mask: UUID | None
    """Id of its mask; None if it has none."""

    masks: tuple[MaskRow, ...] = ()
    """All masks that the datacube has of it."""

    job: Job | None = None
    """The mask that is being made of it; :attr:`mask` may be a part of that."""

    @property
    def maker(self) -> str | None:
        """Name of the model that made the mask; None if it is a default one, or there is no mask."""
        made = next((mask.model for mask in self.masks if mask.id == self.mask), None)
        return None if made in DEFAULTS else made

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
    with failing_in_words():
        text = kept_query("show")
        if not text.strip():
            st.info("No scene is chosen. Choose one on the page Scenes, and press Look.")
            if st.button("Go to Scenes", type="primary"):
                open_page("Scenes")
            return
        shown = _read(service, text)
        _take_refined(service, shown)
        _ask_models(shown)
        stretch = _ask_stretch()
        panes = [
            Pane(
                each.scene.id,
                each.mask,
                _bounds(service, each),
                each.title if len(shown) > 1 else "",
            )
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
        for text in dict.fromkeys(t for p in panes for t in service.tiles(p.scene, p.mask).gaps):
            st.warning(plain(sentence(text)))
        _offer_masks(service, shown)
        if jobs := [each.job for each in shown if each.job is not None] + _refining(service, shown):
            st.fragment(_follow)(service, jobs)
        _offer_dates(service, shown)
        for each in shown:
            if each.mask is not None and each.job is None:
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
    jobs = [job for job in service.queue.jobs() if job.scene == dataset.id]
    if made := next((job for job in jobs if job.document), None):
        return Shown(dataset, made.mask, masks)
    job = next((job for job in jobs if not job.is_over), None)
    return Shown(dataset, job.part_id if job and job.part else None, masks, job)


def _ask_models(shown: Sequence[Shown]) -> None:
    """Where a scene has masks by several models, ask which is shown; the address names it."""
    import streamlit as st

    chosen = [each.mask for each in shown]
    for i, each in enumerate(shown):
        models = {mask.id: name_of(mask) for mask in each.masks}
        if len(models) > 1 and each.mask in models:
            chosen[i] = st.selectbox(
                f"Mask of {each.title}",
                list(models),
                index=list(models).index(each.mask),
                format_func=models.__getitem__,
                key=f"model_{each.scene.id}_{each.mask}",  # another address shows another mask
            )
    if chosen != [each.mask for each in shown]:
        _show_masks(shown, chosen)


def _show_masks(shown: Sequence[Shown], masks: Sequence[UUID | None]) -> None:
    """Show other masks of the same scenes; the address names them."""
    import streamlit as st

    pairs = zip(shown, masks, strict=True)
    st.query_params["show"] = ",".join(f"{each.scene.id}.{mask or '-'}" for each, mask in pairs)
    st.rerun()


def _bounds(service: Service, shown: Shown) -> tuple[float, float, float, float]:
    """Return the bounds of a scene, or of the part that is masked as yet."""
    outline = shown.scene.extent
    if shown.job is not None and shown.mask is not None:
        outline = service.mask(shown.mask).grid.extent
    west, south, east, north = lonlat_footprint(outline).geom.bounds
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
    """Offer to mask the scenes that have no mask, or one by a model that was the default once alone."""
    import streamlit as st

    old = [each for each in shown if need_new(each.masks)]
    missing = [each for each in shown if each.mask is None and each.job is None] + old
    if not missing:
        return
    if old:
        st.caption(say_former(each.masks for each in old))
    light = ask_light()
    if st.button(
        "Mask this scene" if len(missing) == 1 else f"Mask {len(missing)} scenes", type="primary"
    ):
        service.ask([each.scene.id for each in missing], st.session_state.person, light=light)
        open_page("Queue")


def _offer_dates(service: Service, shown: Sequence[Shown]) -> None:
    """Offer to have the masks that are shown refined by other dates."""
    import streamlit as st

    stored = {each.scene.id: each.maker for each in shown if each.masks}
    if not stored:
        return
    with st.expander("Refine by other dates"):
        st.caption(f"{ABOUT_DATES} It gives one more mask of each scene, which is stored too.")
        by = choose("Compare with", DATES, "dates")
        if fault := service.store_fault():
            st.warning(plain(f"No mask can be made now. {in_words(OutputError(fault))}"))
        wanted = st.button("Refine", disabled=bool(fault))
    if wanted:
        person = st.session_state.person
        jobs = [
            service.refine(scene, person, hindsight=by == "time", model=model)
            for scene, model in stored.items()
        ]
        st.session_state[REFINING] = {job.scene: job.mask for job in jobs}
        st.rerun()


def _refining(service: Service, shown: Sequence[Shown]) -> list[Job]:
    """Return the jobs that refine masks of the scenes that are shown, whoever asked for them."""
    scenes = {each.scene.id for each in shown}
    return [
        job for job in service.queue.jobs() if job.dates and job.scene in scenes and not job.is_over
    ]


def _take_refined(service: Service, shown: Sequence[Shown]) -> None:
    """Show the refined masks that somebody waits for here, once they are there, or say why they are not."""
    import streamlit as st

    wanted: dict[UUID, UUID] = st.session_state.get(REFINING, {})
    jobs = [
        (each, service.queue.job(wanted[each.scene.id]))
        for each in shown
        if each.scene.id in wanted
    ]
    made = {}
    for each, job in jobs:
        if job is not None and job.state == "failed":
            st.error(f"{plain(each.title)}: {sentence(job.reason)}")
        elif job is None or job.is_over:
            del wanted[each.scene.id]
            if job is not None and job.document is not None:
                made[each.scene.id] = job.mask
    if made:
        _show_masks(shown, [made.get(each.scene.id, each.mask) for each in shown])


def _follow(service: Service, jobs: Sequence[Job]) -> None:
    """Tell how far masks are that are being made, and show the page anew when there is more to see."""
    import streamlit as st

    look_again(EVERY)
    for before in jobs:
        job = service.queue.job(before.mask)
        if job is None or job.is_over or job.part != before.part:
            st.rerun()
        what = "The area that was asked for is shown; the whole scene" if job.part else "The mask"
        doing = f"refined {BY_DATES[job.dates]}" if job.dates else "made"
        bar, button = st.columns([5, 1], vertical_alignment="center")
        bar.progress(
            job.done / job.total if job.total else 0.0,
            text=f"{what} is being {doing}: {progress_text(job)}.",
        )
        with button:
            offer_withdrawal(service, job)
