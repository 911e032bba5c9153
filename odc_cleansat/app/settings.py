"""The settings of the application, which whoever starts it decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..review.other_masks import OtherMask

PORT = 8501
"""Where the application listens by default."""


@dataclass(frozen=True)
class Limits:
    """What one person may ask for, so that one cannot take the machine from all."""

    area: float = 20_000.0
    """Largest area of a search, km2. A tile of Sentinel-2 has 12,000."""

    pixels: int = 50_000_000
    """Most pixels of a mask or composite that is made for a download, all layers together."""

    jobs: int = 20
    """Most scenes that one person has masked at a time."""

    scenes: int = 10_000
    """Most scenes of one search."""

    upload: int = 2
    """Largest file that may be uploaded, MB."""


@dataclass(frozen=True)
class AppSettings:
    """How the application is started."""

    store: str
    """Folder or ``s3://`` address under which masks are written."""

    product: str = "s2_l2a"
    """Product of scenes in the datacube."""

    config: tuple[str, ...] = ()
    """Configurations of the datacube; of several, the first that exists."""

    env: str | None = None
    """Environment in the configuration."""

    catalog: str | None = None
    """Path or URL of a catalogue, in place of a datacube."""

    host: str = "127.0.0.1"
    """Address on which it listens."""

    port: int = PORT
    """Port on which it listens."""

    allowed_hosts: tuple[str, ...] = ()
    """Names under which browsers reach it; empty for this machine's own."""

    user_header: str | None = None
    """Header of a trusted proxy that names who is signed in; None without such a proxy."""

    run_id: str | None = None
    """Id that stands in the masks that are made and in the lines of the log; None for a new one."""

    metrics_port: int | None = None
    """Port of this machine on which figures for Prometheus are served; None for none."""

    metrics_host: str = "127.0.0.1"
    """Address on which they are served."""

    sign_in: Path | None = None
    """TOML file with the section ``[auth]`` of Streamlit, by which people sign in; None without sign-in."""

    scheduler: str | None = None
    """Address of a dask scheduler; None for processes on this machine."""

    workers: int = 1
    """Scenes that are masked at a time on this machine."""

    basemap: str | None = None
    """Address of map tiles, with ``{z}``, ``{x}`` and ``{y}``; None for a graticule alone."""

    basemap_credit: str = ""
    """Who made the map tiles."""

    with_datacube: bool = True
    """Whether there is a datacube; without one scenes come from the STAC API alone, and masks are only written."""

    stac: str | None = None
    """Address of a STAC API whose scenes can be searched and masked too, or name of its provider."""

    stac_collection: str | None = None
    """Collection of that API; None for those that it has of Sentinel-2."""

    others: tuple[OtherMask, ...] = ()
    """Masks by others that are shown beside each scene."""

    limits: Limits = field(default_factory=Limits)
    """What one person may ask for."""
