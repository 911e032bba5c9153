"""Connect to a datacube that is configured, with errors that say what to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import CubeError

if TYPE_CHECKING:
    from datacube import Datacube


def connect(config: Sequence[str] = (), env: str | None = None, app: str = "cleansat") -> Datacube:
    """Connect to a datacube.

    Parameters
    ----------
    config
        Configurations of datacube; of several, the first that exists. By default that of datacube itself.
    env
        Environment in the configuration.
    app
        Name under which the database lists the connection.

    Raises
    ------
    CubeError
        If it cannot be reached.
    """
    from datacube import Datacube

    try:
        return Datacube(config=list(config) or None, env=env, app=app)
    except Exception as error:  # of datacube and SQLAlchemy
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise CubeError(
            f"the datacube cannot be reached: {(lines or [type(error).__name__])[0].strip()}. Look at "
            "`datacube system check`; config= names its configuration, env= the environment."
        ) from error
