"""The rules of the house, for every module of the package; tests/house.py measures them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from pathlib import Path

import house
import pytest

UNIT = Path(__file__).parent
MOST_NAMES = 120
"""Most names that all rooms promise together, each object counted once."""

BEING_CLEANED: set[str] = set()
"""Rooms whose modules still break rules since the package was regrouped; to be empty."""

BEING_SPLIT: set[str] = set()
"""Rooms whose tests do not stand yet by their modules since the package was regrouped; to be empty."""

BEING_NAMED: set[str] = set()
"""Rooms that have not yet an `__all__` that follows the rules; to be empty."""

BEING_WRITTEN: set[str] = set()
"""Pages whose sentences are still too long; to be empty."""

PAGES = [
    *(house.ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((house.ROOT / "docs").rglob("*.md")),
]

TESTED_ELSEWHERE = {
    "stats": "needs odc-stats, so tests/integration/test_stats.py runs it in another environment",
}


def room_of(path: Path) -> str:
    """Return the room of a module, or its own name where it stands beside the rooms."""
    return path.relative_to(house.PACKAGE).with_suffix("").parts[0]


def named(path: Path) -> str:
    """Return the id of the test of a module."""
    return path.relative_to(house.PACKAGE).as_posix()


def expect_failure(room: str, those: set[str], request: pytest.FixtureRequest) -> None:
    """Let the test fail for a room that is not clean yet."""
    if room in those:
        request.applymarker(pytest.mark.xfail(reason=f"{room} is being cleaned", strict=False))


@pytest.mark.parametrize("path", house.modules(), ids=named)
def test_a_module_follows_the_rules(path: Path, request: pytest.FixtureRequest) -> None:
    """Sizes, docstrings, sentences and names; CONTRIBUTING.md says what the limits are."""
    expect_failure(room_of(path), BEING_CLEANED, request)
    offences = [offence for rule in house.RULES for offence in rule(path)]
    assert not offences, "\n".join(["", *offences])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(house.ROOT).as_posix())
def test_a_page_has_short_sentences(page: Path, request: pytest.FixtureRequest) -> None:
    """Pages are in plain English."""
    expect_failure(page.name, BEING_WRITTEN, request)
    offences = [*house.wordy(page)]
    assert not offences, "\n".join(["", *offences])


@pytest.mark.parametrize(
    "name", ["CONTRIBUTING.md", "docs/decisions/index.md", "docs/decisions/masks.md"]
)
def test_a_page_about_the_house_names_files_that_exist(name: str) -> None:
    """A stranger looks for what the map names. Words in capitals stand for what he chooses."""
    words = re.findall(r"`([a-z0-9_./-]+)`", (house.ROOT / name).read_text("utf-8"))
    files = [word for word in words if re.search(r"\w\.(py|html|toml|yaml|yml|txt|md|cfg)$", word)]
    examples = {"room/module.py", "tests/unit/room/test_module.py", "cleansat.toml"}
    places = (house.ROOT, house.PACKAGE)
    missing = {each for each in {*files} - examples if not any((p / each).exists() for p in places)}
    assert not missing


@pytest.mark.parametrize(
    "path", [path for path in house.modules() if not path.stem.startswith("__")], ids=named
)
def test_a_module_has_tests_of_its_own(path: Path, request: pytest.FixtureRequest) -> None:
    """``room/module.py`` is tested in ``tests/unit/room/test_module.py``."""
    if path.stem == "_version":
        pytest.skip("a number only")
    if path.stem in TESTED_ELSEWHERE and path.parent == house.PACKAGE:
        pytest.skip(TESTED_ELSEWHERE[path.stem])
    expect_failure(room_of(path), BEING_SPLIT, request)
    folder = UNIT / path.parent.relative_to(house.PACKAGE)
    expected = folder / f"test_{path.stem.lstrip('_')}.py"
    assert expected.is_file(), f"write {expected.relative_to(UNIT.parents[1])}"


@pytest.mark.parametrize("room", house.rooms())
def test_a_room_promises_names_that_exist(room: str, request: pytest.FixtureRequest) -> None:
    """`__all__` is sorted, and each of its names can be imported and has a docstring."""
    expect_failure(room, BEING_NAMED, request)
    names = house.promised(room)
    assert names is not None, f"odc_cleansat/{room}/__init__.py has no __all__"
    assert names == sorted(names), "sort __all__"
    module = importlib.import_module(f"odc_cleansat.{room}".rstrip("."))
    missing = [name for name in names if not hasattr(module, name)]
    assert not missing, f"{room} promises {missing}, which cannot be imported from it"
    silent = [n for n, where in house.surface()[room].items() if not house.docstring(*where)]
    assert not silent, f"{silent} of {room} have no docstring"


SCRIPTS = sorted(
    path
    for folder in ("benchmarks", "docs", "training", "product_definitions")
    for path in (house.ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.relative_to(house.ROOT).as_posix())
def test_a_script_imports_names_that_exist(path: Path) -> None:
    """Scripts beside the package run seldom, so a name that has moved would be noticed late."""
    for node in ast.walk(house.parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("odc_cleansat"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_the_surface_is_small() -> None:
    """A name that is promised has to be kept; promise what users call, and no more."""
    objects = {where for names in house.surface().values() for where in names.values()}
    assert len(objects) <= MOST_NAMES


@pytest.mark.xfail(bool(BEING_NAMED), reason="rooms are being named", strict=False)
def test_the_page_of_names_is_up_to_date() -> None:
    """``docs/reference/names.md`` lists every promised name with the first sentence about it."""
    script = house.ROOT / "docs" / "reference.py"
    spec = importlib.util.spec_from_file_location("reference", script)
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    stale = [
        path.name for path, text in reference.pages().items() if path.read_text("utf-8") != text
    ]
    assert not stale, (
        "names or docstrings have changed: run `python docs/reference.py` and commit docs/reference"
    )
