"""How masks are refined, as people choose it: by light, by other dates of the place, or not at all."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..cube.refining import RefinedMask, refine_jobs
from ..cube.scene_list import MaskRow
from ..errors import CubeError
from ..models.former import FORMER
from ..models.registry import DEFAULTS

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset

    from ..cube.scene_list import SceneRow


DATES = {
    "time": "the other dates of the place, 45 days before and after",
    "earlier": "the earlier dates alone, as on the day itself",
}
"""By which dates masks are refined, in words; the names are those of `load`."""

REFINE = {
    "light": "light: shadow stays only where a cloud can cast it",
    "plain": "nothing: the network's own answer",
    **{name: f"light and {words}" for name, words in DATES.items()},
}
"""Ways to refine the masks of scenes that are loaded, in words."""

BY_DATES = {"hindsight": "by other dates", "earlier": "by earlier dates"}
"""How a mask is refined, in words; the names are those of its property ``cleansat:refined``."""

STORED = {"stored": "nothing more: as they are stored", **DATES}
"""Ways to refine masks that are stored, in words."""

ABOUT_LIGHT = (
    "Where sun and satellite stood says where a cloud can cast its shadow. Shadow elsewhere, such as a dark field or a "
    "lake, is taken back, and white cores of clouds are filled. Without, you get the network's own answer. It is "
    "stored as a mask of its own."
)

ABOUT_DATES = (
    "The network sees one date. Other dates of the same place tell a shadow from a dark field, and a cloud from a white "
    "roof. Dates need masks of their own to count, and it takes longer."
)


def ask_light() -> bool:
    """Ask whether light refines the masks that are made; it does unless somebody says otherwise."""
    import streamlit as st

    return bool(
        st.toggle(
            "Refine by light", value=True, key="light", bind="query-params",
            persist_state="session", help=ABOUT_LIGHT,
        )
    )  # fmt: skip


def argument(by: str) -> bool | str:
    """Return what `load` calls one of :data:`REFINE`."""
    return {"light": True, "plain": False}.get(by, by)


def name_of(mask: MaskRow) -> str:
    """Return how a mask was made, for people."""
    light = "refined by light" if mask.light else "the network's own answer"
    dates = f", then {BY_DATES.get(mask.dates, 'by other dates')}" if mask.dates else ""
    return f"{mask.model or str(mask.id)[:8]}, {light}{dates}"


def best_mask(masks: Iterable[MaskRow]) -> MaskRow | None:
    """Return the mask that is shown of several: by the best of the default models of today, then of before, and refined by
    light; None if there is none.
    """
    order = {name: i for i, name in enumerate((*DEFAULTS, *FORMER))}
    return min(
        masks,
        key=lambda mask: (order.get(mask.model, len(order)), bool(mask.dates), not mask.light),
        default=None,
    )


def need_new(masks: Iterable[MaskRow]) -> bool:
    """Return whether masks are by models that were the default once, and none by the default or one that was chosen."""
    makers = {mask.model for mask in masks}
    return bool(makers) and makers <= {*FORMER}


def say_former(scenes: Iterable[Sequence[MaskRow]]) -> str:
    """Return in words which scenes :func:`need_new` masks, and how to get them or to go on; empty if none does.

    Parameters
    ----------
    scenes
        The masks of each scene that is shown.
    """
    old = [masks for masks in scenes if need_new(masks)]
    if not old:
        return ""
    makers = {mask.model for masks in old for mask in masks}
    names = " and ".join(name for name in FORMER if name in makers)
    number = "1 scene here has masks" if len(old) == 1 else f"{len(old)} scenes here have masks"
    return (
        f"{number} by {names} alone, once the default. Mask makes new ones by the default of today beside them. "
        "`cleansat run --model` with that name goes on with the old ones."
    )


def ask_model(rows: Iterable[SceneRow], default: str = "") -> str | None:
    """Ask by which model masks are taken, where there are masks by others than the default.

    Parameters
    ----------
    rows
        The scenes with their masks.
    default
        What taking those of the default means, if that can be chosen although there are none.

    Returns
    -------
    str or None
        Name of the model; None for the default.
    """
    import streamlit as st

    makers = {mask.model for row in rows for mask in row.masks}
    others = sorted(makers - {*DEFAULTS}, key=lambda name: (name not in FORMER, name))
    if not others:
        return None
    words = {name: f"{name}, once the default" if name in FORMER else name for name in others}
    words = {**({"": default} if default else {n: n for n in DEFAULTS if n in makers}), **words}
    chosen = st.selectbox(
        "Masks by", list(words), format_func=words.__getitem__, key="masks_by",
        help="Scenes here have masks by other models than the default of today.",
    )  # fmt: skip
    return chosen or None


def refined_by_dates(
    dc: Datacube, scene: Dataset, store: str, *, hindsight: bool, model: str | None = None
) -> RefinedMask:
    """Return what it takes to refine the stored mask of a scene by other dates.

    Parameters
    ----------
    dc
        The datacube.
    scene
        The scene, which has a mask.
    store
        Where masks are kept.
    hindsight
        Whether later dates count too.
    model
        Whose masks are refined; None for the default.

    Raises
    ------
    CubeError
        If it has no mask in the datacube.
    """
    second = datetime.timedelta(seconds=1)
    span = (scene.center_time - second, scene.center_time + second)
    terms = {"time": span, "geopolygon": scene.extent}
    jobs = refine_jobs(dc, scene.product.name, store, model=model, hindsight=hindsight, terms=terms)
    job = next((each for each in jobs if each.asked.scene.id == scene.id), None)
    if job is None or job.asked.mask is None:
        raise CubeError("the scene has no mask in the datacube to refine; mask it first.")
    return job
