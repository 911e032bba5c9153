"""Write ``docs/reference.md``: every name that the package promises, with one line about it.

``python docs/reference.py`` writes the page anew from the `__all__` of the rooms and the docstrings.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference.md"
sys.path.insert(0, str(ROOT / "tests"))

import house  # noqa: E402

HEAD = """\
# Names of the Python package

Made from the docstrings by `python docs/reference.py`; change those, and run it again.
Each room of the package promises the names in its `__all__`. All other names may change
without notice. `help(name)` shows parameters, results and errors.
"""


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring as one line of Markdown."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    line = re.split(r"(?<=[.!?]) (?=[A-Z`])", paragraph)[0]
    line = re.sub(r":\w+:`~?\.?([^`]*)`", r"`\1`", line).replace("``", "`")
    return line.replace("|", r"\|").rstrip(".")


def page() -> str:
    """Return the text of the page: a table for each room."""
    parts = [HEAD]
    for room, names in house.surface().items():
        if not names:
            continue
        init = house.PACKAGE / room / "__init__.py"
        about = first_sentence(ast.get_docstring(house.parsed(init)) or "")
        rows = [
            f"| `{n}` | {first_sentence(house.docstring(*where))} |" for n, where in names.items()
        ]
        title = f"odc_cleansat.{room}" if room else "odc_cleansat"
        parts.append(
            f"## {title}\n\n{about}.\n\n| name | what it is |\n|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE} is written.")
