"""What README and docs say: every Python block runs, tables agree with the code, links lead somewhere."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import nbformat
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import Copy
from stac_server import StacServer, serving, write_item

from odc_cleansat import CloudClass
from odc_cleansat.cli.main import main
from odc_cleansat.cube.embedded import stop_cube
from odc_cleansat.settings import FILE_VARIABLE, OTHERS, SETTINGS, read_settings
from odc_cleansat.synthetic import SimulatedScene

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONTENTS = (ROOT / "mkdocs.yml").read_text("utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_python_blocks_run(
    page: Path,
    initialised: Copy,
    example: Copy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "example_cube(" in page.read_text("utf-8"):
        whole = 'example_cube("cleansat-cube")' in page.read_text("utf-8")
        (example if whole else initialised)(tmp_path / "cleansat-cube")
    names: dict[str, Any] = {}
    text = page.read_text("utf-8")
    asks = "earth-search" in text
    try:
        with earth_search(tmp_path) if asks else nullcontext("") as address:
            for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
                code = block.replace("https://earth-search.aws.element84.com/v1", address)
                exec(compile(code, str(page), "exec"), names)
    finally:
        stop_cube(tmp_path / "cleansat-cube")
    if page.name == "README.md":
        ucl = names["scenes"].ucl
        hidden = ucl.isin([CloudClass.CLOUD, CloudClass.SHADOW])
        assert 0.05 < hidden.sum() / (ucl != CloudClass.NODATA).sum() < 0.95
        assert names["clear"].red.where(hidden, drop=True).isnull().all()


@contextmanager
def earth_search(folder: Path) -> Iterator[str]:
    """Two dates of a simulated scene in an API on loopback, with names of bands as Earth Search has them."""
    names = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "B12": "swir22"}  # fmt: skip
    with serving(StacServer()) as api:
        for i, day in enumerate(["2024-06-15", "2024-06-20"]):
            bands = SimulatedScene(shape=(240, 240), seed=i).write(folder / day)
            item = write_item(folder / f"S2A_33TVN_{day}.json", bands, datetime=f"{day}T10:10:31Z")
            made = json.loads(item.read_text())
            assets = {names[key]: made["assets"][key] for key in names}
            item.write_text(json.dumps(made | {"assets": assets}))
            api.folders[day] = bands
            api.add(item, day, bbox=[13.5, 47.5, 15.1, 48.7])
        yield api.url


def test_polygons_become_a_label(tmp_path: Path) -> None:
    import geopandas
    import rasterio
    from shapely.geometry import box

    page = (ROOT / "docs" / "how-to" / "evaluate.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n([^`]*def rasterize_labels.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "evaluate.md", "exec"), names)
    mask, label = tmp_path / "ucl.tif", tmp_path / "label.tif"
    grid = rasterio.transform.from_origin(400_000, 5_300_000, 20, 20)
    form = {"width": 8, "height": 6, "count": 1, "dtype": "uint8", "nodata": 0}
    with rasterio.open(mask, "w", driver="GTiff", crs="EPSG:32633", transform=grid, **form) as file:
        file.write(np.ones((1, 6, 8), "uint8"))
    squares = [box(400_000, 5_299_940, 400_040, 5_300_000), box(400_080, 5_299_880, 400_160, 5_299_900)]  # fmt: skip
    drawn = geopandas.GeoDataFrame({"code": [2, 3]}, geometry=squares, crs="EPSG:32633")
    drawn.to_crs("EPSG:4326").to_file(tmp_path / "labels.gpkg")
    names["rasterize_labels"](tmp_path / "labels.gpkg", mask, label)
    with rasterio.open(label) as file:
        assert file.nodata == 0
        codes = file.read(1)
    assert np.array_equal(np.argwhere(codes == 2), [(y, x) for y in range(3) for x in range(2)])
    assert np.array_equal(np.argwhere(codes == 3), [(5, x) for x in range(4, 8)])


@pytest.mark.parametrize(
    "page",
    [*PAGES, *sorted(DOCS.glob("tutorials/*.ipynb"))],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_rio_is_imported_where_it_is_used(page: Path) -> None:
    """`.rio` is there only after `import rioxarray`, which another test of the same process may have done."""
    text = page.read_text("utf-8")
    assert ".rio." not in text or "import rioxarray" in text


def test_get_started_word_for_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scene that the page makes, and the commands that mask it and draw it."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/start/index.md").read_text("utf-8")
    first, *_ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(first, "start", "exec"), {})
    lines = [line for line in page.splitlines() if line.startswith("cleansat ")]
    local = [line for line in lines if "--bbox" not in line]  # the others need the internet
    assert len(local) >= 2
    for line in local:
        done = CliRunner().invoke(main, line.split()[1:])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "scene.png").exists()
    assert "<html" in (tmp_path / "scene.html").read_text("utf-8")
    assert [*tmp_path.glob("masks/**/*_ucl.tif")]


def test_the_table_of_codes() -> None:
    text = (DOCS / "concepts/classes.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d) \| (\w+) \|", text, re.MULTILINE)
    assert rows == [(str(int(c)), c.label) for c in CloudClass]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        place = (page.parent / target).resolve()
        # Some pages are made when the site is built, which looks at their links too.
        made = place.is_relative_to(DOCS) and place.relative_to(DOCS).as_posix() in CONTENTS
        made |= place.parent == DOCS / "drawn" and place.name in (DOCS / "drawn.py").read_text(
            "utf-8"
        )
        assert place.exists() or made, target


def test_every_page_is_in_the_contents() -> None:
    """A page that is left out fails a strict build, which the tests do not run."""
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert {page for page in pages if page not in CONTENTS} == set()


def test_commands_and_options_exist() -> None:
    """Every `cleansat` command line in the docs is one that the program knows."""
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}
    for name, group in list(commands.items()):
        if isinstance(group, click.Group):
            commands |= {f"{name} {sub}": each for sub, each in group.commands.items()}
    known = {
        name: {"--help", *(o for p in c.params for o in (*p.opts, *p.secondary_opts))}
        for name, c in commands.items()
    }
    for page in PAGES:
        for line in re.findall(
            r"^\S*cleansat (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            name, *rest = line.split()
            if rest and f"{name} {rest[0]}" in known:
                name = f"{name} {rest.pop(0)}"
            if name in known:
                assert {word for word in rest if word.startswith("--")} <= known[name], line


def test_every_variable_of_the_environment_is_listed() -> None:
    rows = [name for row in OTHERS for name in re.findall(r"`(\w+)`", row[0])]
    page = {FILE_VARIABLE, *(each.variable for each in SETTINGS.values()), *rows}
    source = "".join(p.read_text("utf-8") for p in (ROOT / "odc_cleansat").rglob("*.py"))
    names = set(re.findall(r'"((?:CLEANSAT|HF|AWS|GDAL)_[A-Z_]+)"', source))
    assert len(names) > 20
    inner = {"CLEANSAT_REQUEST", "GDAL_HTTP_"}  # a tag in files, and how names of GDAL begin
    assert {name for name in names - inner if name not in page} == set()


def test_comments_that_the_build_fills_stand_on_one_page() -> None:
    """On another page, a comment of this name would become a table of the environment."""
    filled = re.compile("<!-- (settings|buckets|options) -->")
    found = {page.name for page in PAGES if filled.search(page.read_text("utf-8"))}
    assert found == {"settings.md"}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    for name in ("bs4", "mkdocs", "nbconvert"):
        pytest.importorskip(name, reason="the extra docs is not installed")
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_picture_has_a_caption(hooks: ModuleType) -> None:
    """Its words for those who do not see it, unless one is there, or a notebook drew it."""
    picture = '<p><img alt="A mask" src="mask.png" /></p>'
    own = f"{picture}\n<p><em>Another one.</em></p>"
    for uri, html, captions in (
        ("a.md", picture, 1),
        ("a.md", own, 0),
        ("tutorials/a.md", picture, 0),
    ):
        page = SimpleNamespace(file=SimpleNamespace(src_uri=uri))
        shown = hooks.on_page_content(html, page, None, None)
        assert shown.count("<figcaption>A mask</figcaption>") == captions
        assert 'href="mask.png"' in shown


def test_a_date_stays_in_one_line(hooks: ModuleType) -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="a.md"))
    html = "<td>2024-06-15</td><td>2024-06-15 and later</td>"
    shown = hooks.on_page_content(html, page, None, None)
    assert shown == '<td class="date">2024-06-15</td><td>2024-06-15 and later</td>'


def test_a_line_never_ends_within_a_percentage_or_an_option(hooks: ModuleType) -> None:
    html = "<td>97 % of 3</td><code>cleansat mask --bbox 1,2 --time 2024-06</code><p>x --bbox</p><code>f(a - b)</code>"
    option = '<span class="option">{}</span>'.format
    assert hooks.kept_together(html) == (
        f"<td>97\u00a0% of 3</td><code>cleansat mask {option('--bbox')} 1,2 {option('--time')} {option('2024-06')}</code>"
        "<p>x --bbox</p><code>f(a - b)</code>"
    )


def test_no_gap_in_what_a_notebook_prints(hooks: ModuleType) -> None:
    cell = nbformat.v4.new_code_cell("import os\n\n\nprint(1)")
    cell.outputs = [
        nbformat.v4.new_output("stream", text="1\n\n"),
        nbformat.v4.new_output("execute_result", data={"text/plain": "2"}),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), cell])
    text, _ = hooks.as_page(notebook)
    assert "import os\n\n\nprint(1)" in text
    assert "    1\n\n    2" in text


def test_a_dataset_is_shown_as_text(hooks: ModuleType) -> None:
    shown = {"text/html": "<div class='xr-wrap'>", "text/plain": "<xarray.Dataset>"}
    table = {"text/html": "<table>", "text/plain": "rows"}
    outputs = [{"data": shown}, {"data": table}, {"name": "stdout"}]
    hooks.unfolded(SimpleNamespace(cells=[{"outputs": outputs}, {}]))
    assert [*shown] == ["text/plain"]
    assert [*table] == ["text/html", "text/plain"]


def test_the_file_of_settings_on_its_page(tmp_path: Path) -> None:
    text = (DOCS / "reference/settings.md").read_text("utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert {f"<!-- {name} -->" for name in ("settings", "buckets", "options")} <= set(
        text.splitlines()
    )
    (tmp_path / "cleansat.toml").write_text(shown)
    done = CliRunner().invoke(
        main, ["--settings", str(tmp_path / "cleansat.toml"), "run", "--help"]
    )
    assert done.exit_code == 0, done.output
    found = read_settings(tmp_path / "cleansat.toml")
    assert [*found.buckets] == ["sentinel-cogs", "our-masks"]
    assert found.settings["threads"] == 4


def test_make_targets_exist() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in PAGES:
        for target in re.findall(
            r"\bmake ([a-z-]+)[ `]*(?:$|ARGS|#)", page.read_text("utf-8"), re.MULTILINE
        ):
            assert target in targets, page.name
