"""Refuse answers of which no working package can be made."""

import json
import keyword
import math
import re
import sys

ANSWERS = json.loads(r"""{{ cookiecutter | jsonify }}""")

BANDS = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09",
    "cirrus", "swir16", "swir22",
)  # fmt: skip


def check(answers):
    """Yield one sentence for each answer that is of no use."""
    package, bands = answers["package"], answers["__bands"].split(", ")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package) or keyword.iskeyword(package):
        yield (
            f"The package cannot be called {package!r}: use lower-case letters, digits and underscores, "
            "a letter first, e.g. my_cloud_model."
        )
    elif package in {*sys.stdlib_module_names, "odc", "odc_cleansat", "tests"}:
        yield f"The package cannot be called {package!r}, which is the name of another one."
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", answers["name"]):
        yield (
            f"The model cannot be called {answers['name']!r}: use letters, digits, dots, hyphens and "
            "underscores, e.g. my-cloud-model."
        )
    if not answers["author"].strip() or not answers["author"].isprintable():
        yield f"The author {answers['author']!r} should be one line of text."
    if not re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", answers["licence"]):
        yield (
            f"The licence {answers['licence']!r} should be as SPDX writes it, e.g. CC-BY-4.0, or "
            "LicenseRef-NAME where SPDX has none."
        )
    if unknown := [band for band in bands if band not in BANDS]:
        yield f"There is no band {unknown[0]!r}; use {', '.join(BANDS)}."
    elif len(set(bands)) < len(bands):
        yield f"The bands {', '.join(bands)} should name each but once."
    elif "cirrus" in bands and answers["level"] == "L2A":
        yield "L2A has no cirrus: leave that band out, or choose L1C."
    if not is_above_zero(answers["resolution"]):
        yield f"The resolution {answers['resolution']!r} should be a number of metres, e.g. 30."
    if not answers["architecture"].isidentifier():
        yield f"The network {answers['architecture']!r} should be the name of a class, e.g. Unet."
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", answers["encoder"]):
        yield f"The encoder {answers['encoder']!r} should be the name of one, e.g. mobilenet_v2."


def is_above_zero(text):
    """Whether a text is a number of use as a length."""
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit("\n".join(check(ANSWERS)) or None)
