"""Write the pages of names: every name that the package promises, with one line about it.

``python docs/reference.py`` writes ``docs/reference/names.md`` anew from the `__all__` of the rooms and the
docstrings. For each room it also writes a page in ``docs/reference/python``, which the site fills with the docstrings.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "names.md"
ROOMS = ROOT / "docs" / "reference" / "python"
sys.path.insert(0, str(ROOT / "tests"))

import house  # noqa: E402

HEAD = """\
# Names of the Python package

Made from the docstrings by `python docs/reference.py`; change those, and run it again.
Each room of the package promises the names in its `__all__`. All other names may change
without notice. `help(name)` shows parameters, results and errors, and so do the pages that the names lead to.
"""


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring as one line of Markdown."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    line = re.split(r"(?<=[.!?]) (?=[A-Z`])", paragraph)[0]
    line = re.sub(r":\w+:`~?\.?([^`]*)`", r"`\1`", line).replace("``", "`")
    return line.replace("|", r"\|").rstrip(".")


def page() -> str:
    """Return the text of the page: a table for each room."""
    parts, at = [HEAD], {where: file for file, found in homes().items() for where in found}
    for room, names in house.surface().items():
        if not names:
            continue
        init = house.PACKAGE / room / "__init__.py"
        about = first_sentence(ast.get_docstring(house.parsed(init)) or "")
        title = f"odc_cleansat.{room}" if room else "odc_cleansat"
        rows = [
            f"| [`{n}`](python/{at[where]}#{dotted(*where)}) | {first_sentence(house.docstring(*where))} |"
            for n, where in names.items()
        ]
        parts.append(
            f"## {title}\n\n{about}.\n\n| name | what it is |\n|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


def dotted(path: Path, name: str) -> str:
    """Return the full name of an object, which is also its anchor."""
    return f"{house.module_of(path)}.{name}"


def homes() -> dict[str, list[tuple[Path, str]]]:
    """Return the objects that the page of each room describes: each object once, in the room that owns it."""
    found: dict[str, list[tuple[Path, str]]] = {}
    seen: set[tuple[Path, str]] = set()
    for room, names in sorted(house.surface().items(), key=lambda item: item[0] == ""):
        if not names:
            continue
        found[f"{room or 'odc_cleansat'}.md"] = [w for w in names.values() if w not in seen]
        seen |= {*names.values()}
    return found


def pages() -> dict[Path, str]:
    """Return the text of every page: the names, and the docstrings of each room."""
    found = {PAGE: page()}
    for file, objects in homes().items():
        title = (
            f"odc_cleansat.{file.removesuffix('.md')}" if file != "odc_cleansat.md" else file[:-3]
        )
        blocks = "".join(f"\n::: {dotted(*each)}\n" for each in objects)
        found[ROOMS / file] = f"# {title}\n{blocks}"
    return found


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"{path} is written.")
