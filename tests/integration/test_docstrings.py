"""Examples of docstrings that want a datacube: doctest alone skips them, and here they run on the simulated one."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Copy
from odc.geo.geobox import GeoBox

import odc_cleansat
from odc_cleansat.cube.embedded import stop_cube
from odc_cleansat.cube.index import add_dataset
from odc_cleansat.demo import example_cube
from odc_cleansat.errors import GapWarning

SKIPPED = "# doctest: +SKIP"
NAMES = (
    "cube.driver",
    "cube.load",
    "review.comparison",
    "masks.refine",
    "batch.runner",
    "batch.queue",
)


def examples() -> list[doctest.DocTest]:
    """The docstrings that have such examples, with all their examples."""
    found = []
    for info in pkgutil.walk_packages(odc_cleansat.__path__, "odc_cleansat."):
        path = Path(getattr(info.module_finder, "path", "")) / f"{info.name.rpartition('.')[2]}.py"
        if not path.is_file() or SKIPPED not in path.read_text("utf-8"):
            continue
        module = importlib.import_module(info.name)
        for name, each in vars(module).items():
            own = getattr(each, "__module__", None) == info.name
            if own and SKIPPED in (text := inspect.getdoc(each) or ""):
                text = text.replace(SKIPPED, "")
                parser = doctest.DocTestParser()
                found.append(
                    parser.get_doctest(text, dict(vars(module)), f"{info.name}.{name}", None, 0)
                )
    return found


EXAMPLES = examples()


def test_all_that_are_skipped_elsewhere_are_found() -> None:
    assert {each.name.removeprefix("odc_cleansat.").rpartition(".")[0] for each in EXAMPLES} == set(
        NAMES
    )
    package = Path(odc_cleansat.__file__).parent
    written = [path for path in package.rglob("*.py") if "+SKIP" in path.read_text("utf-8")]
    assert len(written) == len(NAMES)


@pytest.fixture(scope="module")
def names(example: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the examples take for granted: a datacube, one of its scenes without a mask, and grids."""
    folder = example(tmp_path_factory.mktemp("docstrings") / "cube")
    dc = example_cube(folder)
    datasets = dc.find_datasets(product="s2_l2a")
    area = GeoBox.from_bbox((399960, 5296000, 402360, 5299980), "EPSG:32633", resolution=20)
    yield {
        "dc": dc, "odc_cleansat": odc_cleansat, "dataset": datasets[0], "area": area,
        "add_dataset": add_dataset, "grid": {"output_crs": "EPSG:32633", "resolution": 60},
    }  # fmt: skip
    dc.close()
    stop_cube(folder)


@pytest.mark.parametrize("each", EXAMPLES, ids=lambda each: each.name.removeprefix("odc_cleansat."))
def test_an_example(
    each: doctest.DocTest, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    each.globs = {**each.globs, **names}
    said: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GapWarning)
        result = doctest.DocTestRunner(verbose=False).run(each, out=said.append)
    assert result.attempted > 0
    assert result.failed == 0, "".join(said)
