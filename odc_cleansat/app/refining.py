"""How masks are refined, as people choose it: by light, by other dates of the place, or not at all."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..cube.catalogue import MaskRow
from ..cube.refining import index_refined, refine_jobs
from ..errors import CubeError
from ..models.registry import DEFAULTS
from ..storage.eo3 import native_grid
from .settings import Limits

if TYPE_CHECKING:
    from uuid import UUID

    from datacube import Datacube
    from datacube.model import Dataset


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
    dates = {"": "", "earlier": ", then by earlier dates"}.get(mask.dates, ", then by other dates")
    return f"{mask.model or str(mask.id)[:8]}, {light}{dates}"


def best_mask(masks: Iterable[MaskRow]) -> MaskRow | None:
    """Return the mask that is shown of several: by the best of the default models, and refined by light; None if there is none."""
    order = {name: i for i, name in enumerate(DEFAULTS)}
    return min(
        masks,
        key=lambda mask: (order.get(mask.model, len(order)), bool(mask.dates), not mask.light),
        default=None,
    )


def refine_by_dates(
    dc: Datacube, scene: Dataset, store: str, limits: Limits, *, hindsight: bool
) -> UUID:
    """Refine the stored mask of a scene by other dates, write and index it, or find that one; return its id.

    Parameters
    ----------
    dc
        The datacube.
    scene
        The scene, which has a mask.
    store
        Where masks are kept.
    limits
        What one person may ask for.
    hindsight
        Whether later dates count too.

    Raises
    ------
    CubeError
        If it has no mask in the datacube, or that is too much for a page.
    SceneError
        If there is no date to compare with.
    OutputError
        If the mask cannot be written.
    """
    second = datetime.timedelta(seconds=1)
    span = (scene.center_time - second, scene.center_time + second)
    terms = {"time": span, "geopolygon": scene.extent}
    jobs = refine_jobs(dc, scene.product.name, store, hindsight=hindsight, terms=terms)
    job = next((each for each in jobs if each.asked.scene.id == scene.id), None)
    if job is None or job.asked.mask is None:
        raise CubeError("the scene has no mask in the datacube to refine; mask it first.")
    rows, columns = native_grid(job.how.mask, "ucl").shape
    values = rows * columns * (1 + len(job.around))
    if values > limits.pixels:
        raise CubeError(
            f"the scene and its {len(job.around)} other dates have {values / 1e6:,.0f} million pixels, and at most "
            f"{limits.pixels / 1e6:,.0f} million are refined here. Take a smaller area on the page Recall, or have whoever "
            "runs this application run `cleansat refine`."
        )
    document = job.document or job.run()
    added, _ = index_refined(dc, document)
    found: UUID = added.id
    return found
