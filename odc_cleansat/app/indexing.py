"""The datacube of the application, or the catalogue in its place, and what is entered there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from ..cube.catalog import enter_scene
from ..cube.connect import connect
from ..cube.refining import index_mask
from ..errors import CubeError
from ..products.product import MaskProduct
from ..storage.settings import URL_SCHEME

if TYPE_CHECKING:
    from datacube import Datacube

    from .settings import AppSettings
    from .stac_scenes import StacScenes


def open_cube(settings: AppSettings) -> Datacube:
    """Return the datacube, or the catalogue in its place.

    A catalogue need not be there yet if scenes come from a STAC API: the first mask makes it.

    Raises
    ------
    CubeError
        If there is none, or it cannot be reached.
    """
    if not settings.with_datacube:
        raise CubeError("this application runs without a datacube, which that needs.")
    if settings.catalog is not None and settings.stac is not None:
        from ..catalog.index import open_index

        return open_index(settings.catalog)
    return connect(settings.config, settings.env, "cleansat app", settings.catalog)


def index_made(
    settings: AppSettings, dc: Datacube, document: Path | str, stac: StacScenes | None
) -> None:
    """Index a mask that was made here. A catalogue gets its scene too, if that came from a STAC API.

    Parameters
    ----------
    settings
        How the application was started.
    dc
        The datacube.
    document
        Path or URL of the mask's EO3 document.
    stac
        The scenes of the STAC API.

    Raises
    ------
    CubeError
        If the mask cannot be indexed.
    """
    if settings.catalog is not None and stac is not None:
        scene = MaskProduct(document).properties.get("cleansat:scene")
        if scene and (found := stac.get(UUID(str(scene)))):
            enter_scene(dc, found.dataset)
    index_mask(dc, document)


def cube_in_python(settings: AppSettings) -> tuple[str, str]:
    """Return the import, and the call, by which Python opens what the application shows.

    A folder is named by its last part: strangers shall not learn where it lies.
    """
    if settings.catalog is None:
        return "from datacube import Datacube", "Datacube()"
    place = settings.catalog.rstrip("/")
    if not URL_SCHEME.match(place):
        place = Path(place).name
    return "from odc_cleansat import open_catalog", f"open_catalog({place!r}).dc"
