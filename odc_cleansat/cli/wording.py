"""Say messages of Python in the words of the command line.

The rule: below this room a message names arguments of Python, as in ``pass offset=0``. Whatever a command prints goes
through :func:`in_options`, which names the option instead: ``pass --offset 0``. No message below this room names an
option, unless within a whole command. A test reads all texts of the source, so that a new argument is not forgotten.
"""

from __future__ import annotations

import re

OPTIONS = {
    "agreement": "--agreement",
    "bands": "--bands",
    "bbox": "--bbox",
    "common": "--common",
    "config": "--config",
    "data": "--data",
    "env": "--env",
    "failures": "--failures",
    "fetch_scenes": "--fetch-scenes",
    "force": "--force",
    "group_by": "--group-by",
    "how": "--how",
    "index": "--index",
    "items": "--items",
    "label": "--label",
    "like": "--like",
    "method": "--method",
    "min_clear": "--min-clear",
    "model": "--model",
    "offset": "--offset",
    "only_accepted": "--only-accepted",
    "out": "--out",
    "output_crs": "--crs",
    "overwrite": "--overwrite",
    "part": "--part",
    "product": "--product",
    "resolution": "--resolution",
    "style": "--style",
    "time": "--time",
    "ucl": "--ucl",
}
"""Argument of Python to option."""

WORDS = {
    "crs": "a coordinate system",
    "dask_chunks": "smaller chunks",
    "datasets": "the datasets themselves",
    "geobox": "a grid",
    "geopolygon": "the area",
    "harmonized": "values without offsets",
    "refine": "a way to refine",
    "scale": "a scale",
}
"""Argument of Python that no command has, to words."""

_ARGUMENT = re.compile(
    rf"(?<![\w.?&/`-])(?P<name>{'|'.join([*OPTIONS, *WORDS])})=(?!=)"
    r"(?P<value>'[^']*'|\"[^\"]*\"|\{[^}]*\}|[-+]?\w+(?:[./:+-]\w+)*)?"
)


_NODATA = re.compile(
    r"(?:scene\.where\(scene != \S+\)|band\.attrs\['nodata'\] = \S+), or "
    r"(?:band\.attrs\['nodata'\] = )?(?P<value>[-+.\w]+?)(?: as nodata of the files)?(?=\.(?:\s|$))"
)
"""How nodata is declared in Python."""


def in_options(text: str) -> str:
    """Return a message that names options in place of arguments of Python.

    Parameters
    ----------
    text
        A message of an error, a warning or a report.
    """
    text = _NODATA.sub(r"gdal_edit.py -a_nodata \g<value> FILE", text)
    return _ARGUMENT.sub(_option, text)


def _option(found: re.Match[str]) -> str:
    name, value = found["name"], (found["value"] or "").strip("'\"")
    if name in WORDS:
        of = "" if value in ("", "True", "False") or value.startswith("{") else f" of {value}"
        return f"{WORDS[name]}{of} (in Python)"
    option = OPTIONS[name]
    if value == "False":
        return option.replace("--", "--no-", 1)
    return option if value in ("", "True") else f"{option} {value}"
