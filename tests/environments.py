"""Programs of the Open Data Cube that tests run as a user would, and databases of their own."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

if TYPE_CHECKING:
    from conftest import Cube

ROOT = Path(__file__).parents[1]
DEFINITIONS = ROOT / "product_definitions"
ENVIRONMENT = "TESTS_STATS_ENV"
"""Variable that names the environment made by make_stats_env.sh. If it is set, nothing is skipped."""


def program(name: str) -> Path:
    """A program of this environment or of the one for odc-stats; skips the test if neither has it."""
    named = os.environ.get(ENVIRONMENT)
    for folder in (Path(sys.executable).parent, Path(named or ROOT / ".venv-stats") / "bin"):
        if (folder / name).is_file():
            return folder / name
    if named:
        pytest.fail(f"{ENVIRONMENT} is {named}, where there is no {name}")
    pytest.skip(
        f"{name} is not installed here; tests/make_stats_env.sh makes an environment for it"
    )


def postgis_programs() -> Path | None:
    """Postgres's programs with PostGIS, where Debian puts them."""
    found = sorted(Path("/usr/share/postgresql").glob("*/extension/postgis.control"))
    return Path("/usr/lib/postgresql") / found[-1].parents[1].name / "bin" if found else None


def run(
    command: Path, *arguments: object, config: Path, fails: bool = False, **variables: str
) -> str:
    """What a program writes to its output and error; it must succeed, or fail if that is expected.

    `config` is a configuration of datacube.
    """
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("DATACUBE", "AWS", "PYTHON"))
    }
    environment |= {"DATACUBE_CONFIG_PATH": str(config), **variables}
    result = subprocess.run(
        [command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=environment,
        cwd=config.parent,
        timeout=120,
    )
    assert (result.returncode != 0) is fails, result.stdout
    return result.stdout


@contextlib.contextmanager
def logging_kept() -> Iterator[None]:
    """Leave the root logger and datacube's as they were."""
    root, loggers = logging.getLogger(), [logging.getLogger(name) for name in ("", "datacube")]
    handlers, levels = list(root.handlers), [logger.level for logger in loggers]
    yield
    for handler in list(root.handlers):
        if handler not in handlers and not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def datacube(config: Path, *arguments: object) -> str:
    """What a command of datacube's writes, called in this process because its program is slow to start."""
    from datacube.scripts.cli_app import cli

    with logging_kept():
        said = CliRunner().invoke(cli, ["-C", str(config), *map(str, arguments)])
    assert said.exit_code == 0, said.output
    return said.output


def database(cube: Cube, name: str, folder: Path, template: str = "template0") -> Path:
    """The configuration of a new database beside that of a datacube: empty, or a copy of another."""
    import sqlalchemy

    own = (cube.folder / "datacube.conf").read_text(encoding="utf-8")
    parser = ConfigParser()
    parser.read_string(own)
    engine = sqlalchemy.create_engine(parser["default"]["db_url"], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"create database {name} template {template}"))
    engine.dispose()
    config = folder / "datacube.conf"
    # Rendered anew, the URL would escape the path of the socket, which datacube cannot read.
    config.write_text(own.replace(":@/postgres?", f":@/{name}?"), encoding="utf-8")
    return config
