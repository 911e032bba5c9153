"""Messages name arguments in Python, and options on the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import click
import pytest
from house import PACKAGE, modules, parsed

from odc_cleansat.cli.main import COMMANDS, main
from odc_cleansat.cli.wording import OPTIONS, WORDS, in_options

SAID = {
    "pass offset=-1000 for baseline 04.00.": "pass --offset -1000 for baseline 04.00.",
    "pass offset=-0.1 if it has": "pass --offset -0.1 if it has",
    "pass output_crs= and resolution=.": "pass --crs and --resolution.",
    "group_by='solar_day' puts": "--group-by solar_day puts",
    "overwrite=True replaces it; leave out index=False.": "--overwrite replaces it; leave out --no-index.",
    "scale=1/10000 or geobox=, dask_chunks={'y': 2048}.":
        "a scale of 1/10000 (in Python) or a grid (in Python), smaller chunks (in Python).",
    "say so: scene.where(scene != 255), or band.attrs['nodata'] = 255.": "say so: gdal_edit.py -a_nodata 255 FILE.",
    "Declare it: band.attrs['nodata'] = -0.5, or -0.5 as nodata of the files.": "Declare it: gdal_edit.py -a_nodata -0.5 FILE.",
    "https://host/x?time=2024&model=a": "https://host/x?time=2024&model=a",
    "s3://masks/product=ucl/time=2024/a": "s3://masks/product=ucl/time=2024/a",
    "cleansat mask --model=a": "cleansat mask --model=a",
    "best_time=3, x.offset=3": "best_time=3, x.offset=3",
}  # fmt: skip


@pytest.mark.parametrize("said", SAID)
def test_a_message_names_options(said: str) -> None:
    assert in_options(said) == SAID[said]
    assert in_options(SAID[said]) == SAID[said]


def texts(*without: str) -> Iterator[tuple[str, str]]:
    """Where and what: the texts in the source with a blank, without docstrings and rooms; values are {}."""
    for path in modules():
        if any(path.is_relative_to(PACKAGE / room) for room in ("cli", *without)):
            continue
        tree = parsed(path)
        passed = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        parts = [v for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values]
        passed |= {id(part) for part in parts}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant | ast.JoinedStr) or id(node) in passed:
                continue
            values = node.values if isinstance(node, ast.JoinedStr) else [node]
            said = "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in values)
            if " " in said.strip():
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", said


def test_every_argument_in_a_message_has_its_words() -> None:
    """A new one needs a line in OPTIONS or WORDS. The application shows code and HTML, and prints neither."""
    call = r"\w+\.\w+\(.*\)"  # code of other libraries, as in scene.assign_coords(band=[...])
    found = {
        (where, name)
        for where, said in texts("app")
        for name in re.findall(r"(?<![\w.?&/`-])([a-z_]+|\{\})=(?!=)", re.sub(call, "", said))
    }
    assert len(found) > 30
    assert {each for each in found if each[1] not in {*OPTIONS, *WORDS}} == set()


def test_no_option_is_in_a_message_of_python() -> None:
    """Unless within a whole command, such as ``cleansat models import --template``."""
    command = r"\b(cleansat|rio|gdal_translate|gdal_edit\.py|pip|datacube|aws) [^;`]*"
    found = [
        (where, said)
        for where, said in texts()
        if re.search(r"(?<![\w-])--[a-z]|(?<![\w-])-[a-zA-Z]\b", re.sub(command, "", said))
    ]
    assert found == []


def options(command: click.Command) -> Iterator[str]:
    for param in command.params:
        yield from param.opts
    for each in getattr(command, "commands", {}).values():
        yield from options(each)


def test_every_option_in_the_table_is_one() -> None:
    context = click.Context(main)
    commands = [main.get_command(context, name) for name in COMMANDS]
    known = {option for each in commands if each for option in options(each)}
    assert set(OPTIONS.values()) - known == set()
