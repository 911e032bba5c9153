"""The map of the pages: what it shows as data, what people draw and pick as answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ..review.tiles import COMPOSITIONS, OTHER, Bounds, legend
from .routes import place_address, swipe_address, tile_address

if TYPE_CHECKING:
    from .service import Service


NAMES = {
    "colour": "True colour",
    "infrared": "Infrared",
    "swir": "Shortwave infrared",
    "ucl": "UCL",
    "scl": "SCL",
    "confidence": "Confidence of the UCL",
    "disagreement": "Where they differ",
}
"""Names of the layers for people."""

OPACITY = {"ucl": 0.6, "scl": 0.6, "confidence": 0.7, "disagreement": 0.8}
"""Opacity of layers over true colour; others hide what is below."""

OTHERS = 0.6
"""Opacity of masks by others."""

SHOWN = ("colour", "ucl")
"""Layers that are shown at first."""


@dataclass(frozen=True)
class Pane:
    """One of the maps side by side: a scene, and one of its masks."""

    scene: UUID
    """Id of the scene's dataset."""

    mask: UUID | None
    """Id of the mask; None if there is none."""

    bounds: Bounds
    """West, south, east and north of the scene, degrees."""

    title: str = ""
    """Which scene it is; empty where only one is shown."""


@dataclass
class MapData:
    """What a map shows, as the script in the browser reads it."""

    panes: list[dict[str, Any]]
    """Each with a title, layers, and the addresses of values and shares."""

    library: str
    """Address of the map library."""

    styles: str
    """Address of its style sheet."""

    height: int = 480
    """Pixels."""

    basemap: dict[str, str] | None = None
    """Tiles below everything, and their credit."""

    bounds: Bounds | None = None
    """What is seen at first."""

    fit: str = ""
    """When it changes, the map moves to `bounds`."""

    footprints: dict[str, Any] | None = None
    """GeoJSON features with a ``name`` and whether they are ``chosen``."""

    area: dict[str, Any] | None = None
    """GeoJSON geometry that is drawn."""

    draw: bool = False
    """Whether an area can be drawn."""

    swipe: str | None = None
    """Address of the swipe viewer."""


def make_map(
    service: Service, key: str, panes: Sequence[Pane] = (), stretch: str = "", **shown: Any
) -> MapData:
    """Return the data of a map.

    Parameters
    ----------
    service
        Whose tiles are shown.
    key
        Opens the tiles.
    panes
        Scenes side by side; without any the map is empty, but for footprints and an area.
    stretch
        Reflectances that are drawn dark and bright, with a comma between; empty for those of each scene.
    **shown
        Further fields of :class:`MapData`.
    """
    settings = service.settings
    basemap = None
    if settings.basemap:
        basemap = {"tiles": settings.basemap, "credit": settings.basemap_credit}
    pairs: list[tuple[UUID, UUID | None]] = [(each.scene, each.mask) for each in panes if each.mask]
    return MapData(
        [_pane(service, key, each, stretch) for each in panes]
        or [{"title": "", "layers": [], "values": None, "shares": None, "bounds": None}],
        "map/maplibre-gl.js",
        "map/maplibre-gl.css",
        basemap=basemap,
        swipe=swipe_address(pairs, key=key) if pairs else None,
        **shown,
    )


def _pane(service: Service, key: str, pane: Pane, stretch: str) -> dict[str, Any]:
    look = {"stretch": stretch} if stretch else {}
    tiles = service.tiles(pane.scene, pane.mask)
    return {
        "title": pane.title,
        "bounds": pane.bounds,
        "values": place_address("values", pane.scene, pane.mask, key=key),
        "shares": place_address("shares", pane.scene, pane.mask, key=key) if pane.mask else None,
        "layers": [
            {
                "kind": kind,
                "name": NAMES.get(kind) or tiles.beside[kind][0],
                "tiles": tile_address(
                    kind, pane.scene, pane.mask, key=key, **(look if kind in COMPOSITIONS else {})
                ),
                "opacity": OPACITY.get(kind, OTHERS if kind.startswith(OTHER) else 1.0),
                "shown": kind in SHOWN,
                "classes": kind not in COMPOSITIONS,
                "legend": [
                    {"name": each.name, "colour": each.colour} for each in legend(kind, usual=True)
                ],
            }
            for kind in tiles.kinds
        ],
    }


def show_map(data: MapData, name: str) -> Any:
    """Show a map; the result has what was ``drawn`` and which footprints were ``picked`` just now, or None.

    Parameters
    ----------
    data
        What it shows.
    name
        Tells this map from others of the page.
    """
    import streamlit as st

    package = resources.files(__package__)
    html = '<link rel="stylesheet" href="map/maplibre-gl.css"><div class="scene-map">The map is being loaded …</div>'
    component = st.components.v2.component(
        "odc_cleansat_map",
        html=html,
        css=package.joinpath("map.css").read_text("utf-8"),
        js=package.joinpath("map.js").read_text("utf-8"),
    )
    return component(
        key=name,
        data=asdict(data),
        on_drawn_change=lambda: None,
        on_picked_change=lambda: None,
    )
