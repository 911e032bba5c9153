"""What MkDocs does beside its plugins: the version, pages made from other files, executed notebooks, links.

MkDocs calls the functions by their names; `mkdocs.yml` names this file. ``python docs/hooks.py FOLDER`` writes the
same pages for Zensical, which calls no hooks.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import nbformat
from bs4 import BeautifulSoup

sys.path.insert(0, str(Path(__file__).parent))

import messages
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, ExecutePreprocessor

from odc_cleansat import __version__
from odc_cleansat.cli.main import main
from odc_cleansat.settings import BUCKET_KEYS, FILE_VARIABLE, OTHERS, SETTINGS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CACHE = ROOT / "build" / "docs"
"""Executed notebooks, by the sha256 of their source, so that `make docs-serve` executes each once."""

COPIED = {"changes.md": ROOT / "CHANGELOG.md", "contributing.md": ROOT / "CONTRIBUTING.md"}
"""Pages that stand at the top of the project, where people look for them."""

FOUND_LAST = "---\nsearch:\n  boost: 0.1\n---\n\n"
"""Begins a page that has words of all kinds, so that a search shows it below the others."""

WEIGHTS = {"start/": 3, "how-to/": 2, "concepts/": 1.5, "reference/python/": 0.01}
"""How much a word counts to a search in the pages of a folder. One word of a reader often is the name of an attribute."""


def on_config(config: Any) -> Any:
    """Put the version beside the name, in the header of each page."""
    config.site_name = f"{config.site_name} {__version__}"
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made."""
    for uri, content in made_pages().items():
        if isinstance(content, Path):
            files.append(File.generated(config, uri, abs_src_path=str(content)))
        else:
            files.append(File.generated(config, uri, content=content))
    return files


def made_pages() -> dict[str, str | bytes | Path]:
    """Return the pages and pictures that are made, by address: copies, drawings, messages and notebooks."""
    made: dict[str, str | bytes | Path] = {}
    for uri, source in COPIED.items():
        text = source.read_text("utf-8")
        links = re.sub(r"\]\((?![a-z]+:)", "](../", text).replace("](../docs/", "](")
        made[uri] = f"{FOUND_LAST}{links}"
    for path in drawings():
        made[f"drawn/{path.name}"] = path
    for topic, text in messages.pages().items():
        made[f"troubleshooting/{topic}.md"] = text
    for path in sorted((DOCS / "tutorials").glob("*.ipynb")):
        text, pictures = as_page(executed(path))
        made[f"tutorials/{path.stem}.md"] = text
        made |= {f"tutorials/{name}": content for name, content in pictures.items()}
    return made


def drawings() -> list[Path]:
    """Return the pictures that the site draws; they are drawn once for each version of the script."""
    source = (DOCS / "drawn.py").read_bytes()
    place = CACHE / hashlib.sha256(source + __version__.encode()).hexdigest()[:16]
    if not (place / "complete").exists():
        subprocess.run([sys.executable, DOCS / "drawn.py", place], check=True)
        (place / "complete").touch()
    return sorted(each for each in place.iterdir() if each.suffix in (".png", ".html"))


def option_table() -> str:
    """Return every option of every command, with the commands that have it."""
    rows: dict[tuple[str, str], list[str]] = {}

    def collect(command: click.Command, name: str) -> None:
        for param in command.params:
            if isinstance(param, click.Option) and not param.hidden:
                options = " ".join(f"`{each}`" for each in (*param.opts, *param.secondary_opts))
                rows.setdefault((options, param.help or ""), []).append(f"`{name}`")
        if isinstance(command, click.Group):
            context = click.Context(command)
            for sub in command.list_commands(context):
                each = command.get_command(context, sub)
                assert each is not None
                collect(each, f"{name} {sub}".removeprefix("cleansat "))

    collect(main, "cleansat")
    lines = [
        f"| {options} | {messages.cell(text)} | {', '.join(names)} |"
        for (options, text), names in sorted(
            rows.items(), key=lambda row: row[0][0].lstrip("`-").lower()
        )
    ]
    return "| option | what it does | commands |\n|---|---|---|\n" + "\n".join(lines)


def setting_table() -> str:
    """Return every variable of the environment, with its key in the file of settings if it has one."""
    lines = ["| variable | key | what it does | without it |", "|---|---|---|---|"]
    for each in SETTINGS.values():
        key = f"`{each.name}`" if each.in_file else ""
        lines.append(f"| `{each.variable}` | {key} | {each.does} | {each.without} |")
    where = "the places above"
    lines.append(f"| `{FILE_VARIABLE}` | | the file of settings | {where} |")
    lines += [f"| {variables} | | {does} | {without} |" for variables, does, without in OTHERS]
    return "\n".join(lines)


def bucket_table() -> str:
    """Return every key of a bucket in the file of settings."""
    lines = [f"| `{key}` | {does} |" for key, (_, does) in BUCKET_KEYS.items()]
    return "\n".join(["| key | what it does |", "|---|---|", *lines])


TABLES = {"options": option_table, "settings": setting_table, "buckets": bucket_table}
"""What stands in place of a comment on a page."""


def executed(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with its outputs; it is executed in a folder of its own, unless that was done before."""
    source = path.read_bytes()
    place = CACHE / hashlib.sha256(source + __version__.encode()).hexdigest()[:16]
    kept = place / path.name
    if kept.exists():
        return nbformat.read(kept, as_version=4)
    place.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("TQDM_DISABLE", "1")
    notebook = nbformat.read(path, as_version=4)
    ExecutePreprocessor(
        timeout=600, kernel_name="python3", extra_arguments=["--log-level=ERROR"]
    ).preprocess(notebook, {"metadata": {"path": str(place)}})
    nbformat.write(notebook, kept)
    return notebook


def as_page(notebook: nbformat.NotebookNode) -> tuple[str, dict[str, bytes]]:
    """Return the Markdown of an executed notebook, and its pictures by name."""
    title = re.sub(r"\W+", "-", notebook.cells[0].source.splitlines()[0]).strip("-").lower()
    exporter = MarkdownExporter()
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    text, resources = exporter.from_notebook_node(
        unfolded(notebook), {"unique_key": title, "output_files_dir": title}
    )
    return described(re.sub(r"\n(?: *\n){3,}", "\n\n", text)), resources["outputs"]


def unfolded(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a notebook that shows datasets of xarray as text; what unfolds in Jupyter has no style on a page."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "xr-wrap" in output.get("data", {}).get("text/html", ""):
                del output["data"]["text/html"]
    return notebook


def described(text: str) -> str:
    """Give each picture of a notebook the heading above it as its text, for those who do not see it."""
    heading, lines = "", []
    for line in text.splitlines():
        if found := re.fullmatch(r"#+ (.+)", line):
            heading = found[1]
        lines.append(re.sub(r"^!\[png\]\(", lambda _, words=heading: f"![{words}](", line))
    return "\n".join(lines)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Put in the tables that are made, and follow the links that MkDocs cannot follow."""
    for folder, boost in WEIGHTS.items():
        if page.file.src_uri.startswith(folder):
            page.meta.setdefault("search", {"boost": boost})
    base = config.edit_uri.removesuffix("docs/") if config.edit_uri else ""
    return completed(markdown, page.file.src_uri, base)


def completed(markdown: str, uri: str, base: str = "") -> str:
    """Return a page with its tables, and links to other files leading to the repository, or being plain text."""
    for name, table in TABLES.items():
        if (comment := f"<!-- {name} -->") in markdown:
            markdown = markdown.replace(comment, table())
    folder = (DOCS / uri).parent

    def led(link: re.Match[str]) -> str:
        label, target = link.groups()
        full = Path(os.path.normpath(folder / target.partition("#")[0]))
        for uri, source in COPIED.items():
            if full == source:
                return f"[{label}]({os.path.relpath(DOCS / uri, folder)})"
        if full.is_relative_to(DOCS) and full.suffix == ".ipynb":
            return f"[{label}]({target.replace('.ipynb', '.md')})"
        if full.is_relative_to(DOCS) or not full.exists():
            return link.group()
        return f"[{label}]({base}{full.relative_to(ROOT).as_posix()})" if base else label

    return re.sub(r"(?<!!)\[([^\]]+)\]\((?![a-z]+:|#)([^)\s]+)\)", led, markdown)


def write_pages(folder: Path) -> None:
    """Write all pages as Markdown with a configuration, for a builder that calls no hooks."""
    sources = (path for path in DOCS.rglob("*") if path.suffix in (".md", ".css", ".js", ".png"))
    pages: dict[str, str | bytes | Path] = {
        path.relative_to(DOCS).as_posix(): path for path in sources
    }
    for uri, content in (pages | made_pages()).items():
        data = content.read_bytes() if isinstance(content, Path) else content
        if uri.endswith(".md"):
            data = completed(data if isinstance(data, str) else data.decode(), uri)
        target = folder / "pages" / uri
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    for words, instead in (
        ("site_name: odc-cleansat", f"site_name: odc-cleansat {__version__}"),
        ("docs_dir: docs", "docs_dir: pages"),
        ("hooks: [docs/hooks.py]", ""),
    ):
        settings = settings.replace(words, instead)
    (folder / "mkdocs.yml").write_text(settings, "utf-8")


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Show names in docstrings as code, no default where there is none, what belongs together in one line, and captions."""
    html = html.replace("<code>Sentinel.UNSET</code>", "")
    html = re.sub(
        r":(?:func|class|data|meth|mod|attr):<code>~?\.*([^<]*)</code>", r"<code>\1</code>", html
    )
    READ[page.file.src_uri] = words(html)
    html = re.sub(r'<img\b[^>]*?\bsrc="([^"]+)"[^>]*>', ENLARGED, html)
    html = kept_together(html)
    return html if page.file.src_uri.startswith("tutorials/") else CAPTIONED.sub(CAPTION, html)


def kept_together(html: str) -> str:
    """Let no line end within a date or a percentage of a table, or within an option or a date of a command."""
    html = re.sub(r"<td>(?=\d{4}-\d\d-\d\d</td>)", '<td class="date">', html)
    html = re.sub(r"<td>[^<]*</td>", lambda cell: PERCENT.sub("\u00a0", cell.group()), html)
    marked = r'<span class="option">\g<0></span>'
    return re.sub(
        r"<code>.*?</code>", lambda code: OPTION.sub(marked, code.group()), html, flags=re.DOTALL
    )


PERCENT = re.compile(r"(?<=\d) (?=%)")
OPTION = re.compile(r"(?<=[\s>|\[(])(?:--?[a-z][a-z-]*|\d{4}-\d\d(?:-\d\d)?)(?=[\s=<,|\])])")
"""An option or a date in code. It begins after a blank, a bracket or a tag, so that nothing within a tag is meant."""


ENLARGED = r'<a href="\1" title="Show it in full size">\g<0></a>'
"""A picture of a page: pressed, it is shown as large as it is."""


CAPTIONED = re.compile(r'<p>(<a [^>]*><img alt="([^"]+)"[^>]*></a>)</p>(?!\s*<p><em>)')
"""A picture in a paragraph of its own, without a caption below it."""

CAPTION = r"<figure>\1<figcaption>\2</figcaption></figure>"
"""What is said to those who do not see a picture is said to all, below it."""


LOG = logging.getLogger("mkdocs.hooks")
"""Whatever is said here fails a strict build."""

READ: dict[str, str] = {}
"""The words of each page as people read them, without code."""


def words(html: str) -> str:
    """Return the words of a page, without code."""
    page = BeautifulSoup(html, "html.parser")
    for each in page.find_all(["code", "pre", "script", "style", "svg"]):
        each.replace_with(" ")
    return page.get_text("\n")


def on_post_build(config: Any) -> None:
    """Warn of misspelt words, which fails a strict build; README, which is no page, is read too."""
    with tempfile.TemporaryDirectory() as folder:
        for uri, text in READ.items():
            path = Path(folder, uri)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        found = subprocess.run(
            [Path(sys.executable).with_name("typos"), "--config", DOCS / "typos.toml", "--format",
             "brief", folder, ROOT / "README.md"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    for line in (found.stdout + found.stderr).splitlines():
        LOG.warning(line.removeprefix(f"{folder}/"))


LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*?\bsrc=["']?https?:|<link\b[^>]*?stylesheet[^>]*?href=["']?https?:"""
)
"""What a browser would load from elsewhere; links that people click do not count."""


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Fail where a page would load something from elsewhere."""
    if found := LOADED.search(output):
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found.group()}")
    return output


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
