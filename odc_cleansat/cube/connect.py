"""Connect to a datacube that is configured, with errors that say what to look at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CubeError

if TYPE_CHECKING:
    from datacube import Datacube


def connect(
    config: Sequence[str] = (),
    env: str | None = None,
    app: str = "cleansat",
    catalog: Path | str | None = None,
) -> Datacube:
    """Connect to a datacube, or to a catalogue in place of one.

    Parameters
    ----------
    config
        Configurations of datacube; of several, the first that exists. By default that of datacube itself.
    env
        Environment in the configuration.
    app
        Name under which the database lists the connection.
    catalog
        Path or URL of a catalogue; then the other parameters do not count.

    Raises
    ------
    CubeError
        If it cannot be reached; or if there is no catalogue, or one by a newer version of this package.
    OutputError
        If the catalogue cannot be read.
    """
    if catalog is not None:
        from ..catalog.index import open_index

        found = open_index(catalog)
        if not list(found.index.products.get_all()):
            raise CubeError(
                f"there is no catalogue in {found.index.url}. Mask scenes into it, or if masks lie there: "
                "cleansat catalog update"
            )
        return found
    from datacube import Datacube

    try:
        return Datacube(config=list(config) or None, env=env, app=app)
    except Exception as error:  # of datacube and SQLAlchemy
        lines = [line for line in str(error).splitlines() if line.strip()]
        why = (lines or [type(error).__name__])[0].strip()
        if isinstance(error, TypeError) and "ODC_CONFIG" in os.environ:
            why = "ODC_CONFIG holds the text of a configuration, and not that; ODC_CONFIG_PATH is for its path"
        raise CubeError(
            f"the datacube cannot be reached: {why.rstrip('.')}. Look at "
            "`datacube system check`; config= names its configuration, env= the environment."
        ) from error


def check_datacube(dc: Any) -> None:
    """Raise if something is no datacube.

    Raises
    ------
    CubeError
        Saying what to pass.
    """
    if not (hasattr(dc, "index") and hasattr(dc, "find_datasets")):
        raise CubeError(f"dc is {dc!r:.100}; pass a datacube.Datacube.")
