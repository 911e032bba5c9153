"""Do the tests bite? Change the code a little, run its tests, and count how often they notice.

``python tests/mutants.py [--minutes 20] [MODULE ...]`` takes a random sample of mutants for each module of
`TESTS`, always the same one for a seed, and writes their rows in ``tests/mutants.md``. The changes are those of cosmic-ray.
Its own runner starts pytest anew for each of them, which here takes ten seconds before the first test. So this
one loads the libraries once, and forks a process for each mutant, in which only the package is imported.
Nothing is written into the source: the process imports the changed module from memory.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib.abc
import importlib.util
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "tests" / "mutants.md"
LEAST = 85
"""Percent of the mutants that the tests must notice."""

UNIT = "tests/unit"
TESTS = {
    "grids.windows": [f"{UNIT}/grids/test_windows.py"],
    "grids.grid": [f"{UNIT}/grids/test_grid.py"],
    "scenes.offset": [f"{UNIT}/scenes/test_offset.py"],
    "products.identity": [f"{UNIT}/products/test_identity.py"],
    "products.verdict_files": [f"{UNIT}/products/test_verdict_files.py"],
    "products.verdict_filter": [f"{UNIT}/products/test_verdict_filter.py"],
    "masks.classify": [
        f"{UNIT}/masks/test_classify.py",
        f"{UNIT}/masks/test_canonical.py::test_every_chunk_is_read_once",
    ],
    "masks.tasks": [f"{UNIT}/masks/test_tasks.py", f"{UNIT}/masks/test_classify.py"],
    "masks.light": [f"{UNIT}/masks/test_light.py"],
    "masks.time_rules": [f"{UNIT}/masks/test_time_rules.py"],
    "masks.refine": [f"{UNIT}/masks/test_refine.py"],
    "masks.composite": [
        f"{UNIT}/masks/test_composite.py::test_never_clear_is_nodata",
        f"{UNIT}/masks/test_composite.py::test_no_data_is_not_an_observation",
        f"{UNIT}/masks/test_composite.py::test_what_counts_as_clear",
        f"{UNIT}/masks/test_composite.py",
    ],
    "masks.reduce": [f"{UNIT}/masks/test_reduce.py"],
    "cube.recall": [f"{UNIT}/cube/test_recall.py", f"{UNIT}/cube/test_output_grid.py"],
    "cube.sample": [f"{UNIT}/cube/test_sample.py"],
}
"""The modules, and the tests that should notice when one is changed; the quickest first."""

LIBRARIES = (
    "numpy", "scipy.ndimage", "xarray", "dask.array", "rasterio", "odc.geo.xr", "odc.loader", "odc.stac",
    "odc.algo", "datacube", "eodatasets3", "pystac", "torch", "openvino", "matplotlib", "pytest",
    "click.testing", "hypothesis", "zarr", "xdist",
)  # fmt: skip
"""Imported once, before the processes are forked."""

NO_REASON = "**why is this harmless?**"


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    module: str
    """Name within the package, such as ``grids.grid``."""

    line: int
    """Where the change is, counted from 1."""

    before: str
    """The lines as they are, without indentation."""

    after: str
    """The lines as they were made."""

    source: str
    """The whole changed module."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same when lines move."""
        return self.module, self.before, self.after


def file_of(module: str) -> Path:
    """Return the file of a module of the package."""
    return ROOT / "odc_cleansat" / (module.replace(".", "/") + ".py")


# --- what is changed ---


def ignored(source: str) -> set[int]:
    """Return the lines whose change nobody can notice, or whose change is no mistake that is made.

    These are annotations (they are not evaluated), what only type checkers see, decorators and docstrings.
    """
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        spans: list[ast.AST | None] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            spans.append(node.annotation)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            spans += node.decorator_list
            spans.append(getattr(node, "returns", None))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            spans.append(node)
        for each in filter(None, spans):
            assert isinstance(each, ast.expr | ast.stmt)
            assert each.end_lineno is not None
            lines |= set(range(each.lineno, each.end_lineno + 1))
    return lines


def changes(source: str) -> dict[tuple[int, int], list[tuple[str, int]]]:
    """Return for each place, a line and a column, the operators of cosmic-ray with their occurrence."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    passed = ignored(source)
    nodes = list(ast_nodes(get_ast(source)))
    found: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for name in sorted(operator_names()):  # their own order is that of the disk
        kind = get_operator(name)
        if kind.arguments() or name.endswith("RemoveDecorator"):
            continue
        operator = kind()
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (start, _) in enumerate(places):
            if start[0] not in passed:
                found.setdefault(start, []).append((name, occurrence))
    return found


def compiles(source: str) -> bool:
    """Return whether Python reads the source; cosmic-ray takes the stars of ``**more`` for operators."""
    try:
        compile(source, "changed", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def mutants(module: str, most: int, seed: int) -> Iterator[Mutant]:
    """Return a random sample of the mutants of a module: at most one for each place."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = file_of(module).read_text(encoding="utf-8")
    found = changes(source)
    chance = random.Random(f"{module} {seed}")
    for place in chance.sample(sorted(found), min(most, len(found))):
        name, occurrence = chance.choice(found[place])
        changed = mutate_code(source, get_operator(name)(), occurrence)
        if changed is None or not compiles(changed):
            continue
        pair = [
            [
                line[1:].strip()
                for line in difflib.ndiff(source.splitlines(), changed.splitlines())
                if line[0] == sign
            ]
            for sign in "-+"
        ]
        yield Mutant(module, place[0], " ".join(pair[0]), " ".join(pair[1]), changed)


# --- running the tests ---


class Changed(importlib.abc.MetaPathFinder):
    """Has one module imported from the changed source."""

    def __init__(self, module: str, source: str) -> None:
        self.name = f"odc_cleansat.{module}"
        self.path = str(file_of(module))
        self.source = source

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        source = self.source

        class Loader(SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                return compile(source, self.path, "exec", dont_inherit=True)

        return importlib.util.spec_from_file_location(
            name, self.path, loader=Loader(name, self.path)
        )


def run_tests(module: str, source: str | None, log: Path) -> int:
    """Run the tests of a module, with its source changed, in this process; return pytest's exit code."""
    import pytest

    os.setsid()
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if source is not None:
        sys.meta_path.insert(0, Changed(module, source))
    tests = [test for test in TESTS[module] if (ROOT / test.split("::")[0]).exists()]
    options = [
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--hypothesis-seed=1",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    return int(pytest.main([*options, f"--basetemp={log.with_suffix('')}", *tests]))


class Child:
    """A forked process that runs the tests of a module."""

    def __init__(self, module: str, source: str | None, folder: Path, limit: float) -> None:
        self.log = folder / f"{module}-{time.monotonic_ns()}.log"
        self.began = time.monotonic()
        self.limit = limit
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                code = run_tests(module, source, self.log)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        """Return the exit code, -1 if the time was up, or `None` while the tests run."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - self.began < self.limit:
            return None
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return -1

    def wait(self) -> int:
        """Wait for the exit code."""
        while (code := self.poll()) is None:
            time.sleep(0.05)
        return code


def time_limits(modules: list[str], folder: Path) -> dict[str, float]:
    """Return the seconds that the tests of a mutant may take; the unchanged code must pass them.

    Raises
    ------
    SystemExit
        If tests of the unchanged code fail.
    """
    limits = {}
    for module in modules:
        began = time.monotonic()
        child = Child(module, None, folder, 600)
        if (code := child.wait()) != 0:
            print(child.log.read_text(encoding="utf-8", errors="replace")[-4000:])
            raise SystemExit(f"the tests of {module} do not pass without a change (exit {code})")
        seconds = time.monotonic() - began
        limits[module] = 5 * seconds + 20
        print(f"{module}: the tests take {seconds:.0f} s", flush=True)
    return limits


def run_all(
    queue: list[Mutant], limits: dict[str, float], folder: Path, jobs: int, end: float
) -> dict[Mutant, bool]:
    """Run the tests of one mutant after the other until the time is up; return which were noticed."""
    results: dict[Mutant, bool] = {}
    running: dict[Mutant, Child] = {}
    queue = list(queue)
    while running or (queue and time.monotonic() < end):
        while queue and len(running) < jobs and time.monotonic() < end:
            mutant = queue.pop(0)
            running[mutant] = Child(mutant.module, mutant.source, folder, limits[mutant.module])
        for mutant, child in list(running.items()):
            if (code := child.poll()) is None:
                continue
            del running[mutant]
            results[mutant] = code != 0
            word = "noticed" if code > 0 else "too slow" if code else "SURVIVED"
            print(
                f"{word:9} {mutant.module}:{mutant.line}  {mutant.before}  ->  {mutant.after}",
                flush=True,
            )
        time.sleep(0.05)
    return results


# --- the report ---


def known_reasons() -> dict[tuple[str, str, str], str]:
    """Return the reasons why survivors are harmless, as they stand on the page."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    rows = re.findall(
        r"^- `([\w.]+)`: `` (.*) `` became `` (.*) ``\n  (.*(?:\n  .*)*)$", text, re.MULTILINE
    )
    return {(module, before, after): reason for module, before, after, reason in rows}


@dataclass
class Row:
    """What the tests of one module noticed."""

    noticed: int
    of: int
    survivors: dict[tuple[str, str], str]
    """The reason of each change that stayed unnoticed, by the code before and after."""


def known_rows() -> dict[str, Row]:
    """Return what the page says of each module."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    counts = re.findall(r"^\| ([\w]+\.[\w.]+) \| (\d+) \| (\d+) \|", text, re.MULTILINE)
    rows = {module: Row(int(noticed), int(of), {}) for module, noticed, of in counts}
    for (module, before, after), reason in known_reasons().items():
        if module in rows:
            rows[module].survivors[before, after] = reason
    return rows


def new_rows(results: dict[Mutant, bool]) -> dict[str, Row]:
    """Return what a run found of each module; reasons are taken from the page."""
    reasons = known_reasons()
    rows: dict[str, Row] = {}
    for mutant, noticed in results.items():
        row = rows.setdefault(mutant.module, Row(0, 0, {}))
        row.of += 1
        row.noticed += noticed
        if not noticed:
            row.survivors[mutant.before, mutant.after] = reasons.get(mutant.key, NO_REASON)
    return rows


def report(rows: dict[str, Row], seed: int) -> tuple[str, bool]:
    """Return the page, and whether enough was noticed and every survivor has a reason."""
    lines = [
        "# Mutants",
        "",
        "`make mutants` writes this page. It changes the code at random places, one change at a time,",
        "and runs the tests of that module. The tests notice a change if one of them fails.",
        f"The sample has the seed {seed}. Slow tests get through fewer mutants until the time is up.",
        "The row of a module stays until it is run again.",
        "",
        "| module | noticed | of | percent |",
        "|---|---:|---:|---:|",
    ]
    rows = {module: rows[module] for module in TESTS if module in rows}
    everything = Row(
        sum(row.noticed for row in rows.values()), sum(r.of for r in rows.values()), {}
    )
    good = True
    for module, row in [*rows.items(), ("all", everything)]:
        percent = 100 * row.noticed / max(row.of, 1)
        good = good and percent >= LEAST
        lines.append(f"| {module} | {row.noticed} | {row.of} | {percent:.0f} |")
    lines += ["", "## Survivors", ""]
    for module, row in rows.items():
        for (before, after), reason in sorted(row.survivors.items()):
            good = good and reason != NO_REASON
            lines += [f"- `{module}`: `` {before} `` became `` {after} ``", f"  {reason}"]
    return "\n".join(lines) + "\n", good


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--minutes", type=float, default=20, help="stop after so long (20)")
    parser.add_argument("--most", type=int, default=40, help="mutants of a module (40)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another sample (1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (2)")
    parser.add_argument("--list", action="store_true", help="only show the mutants")
    options = parser.parse_args()
    modules = options.modules or list(TESTS)

    began = time.monotonic()
    samples = [list(mutants(module, options.most, options.seed)) for module in modules]
    if options.list:
        for mutant in (each for sample in samples for each in sample):
            print(f"{mutant.module}:{mutant.line}  {mutant.before}  ->  {mutant.after}")
        return
    # By turns, so that each module has its share when the time is up.
    queue = [sample[i] for i in range(options.most) for sample in samples if i < len(sample)]

    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")
        for library in LIBRARIES:
            importlib.import_module(library)
        limits = time_limits(modules, folder)
        results = run_all(queue, limits, folder, options.jobs, began + 60 * options.minutes)
    # Modules that were not asked for keep their rows.
    page, good = report(known_rows() | new_rows(results), options.seed)
    print(page)
    PAGE.write_text(page, encoding="utf-8")
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
