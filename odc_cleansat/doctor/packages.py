"""Python and the packages that this one needs: there, fit to be imported, and not newer than what was tested."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata, resources

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from .apart import ApartError, run_apart
from .finding import OK, WARNING, WRONG, Finding

TOPIC = "python"
DISTRIBUTION = "odc-cleansat"
SHOWN = ("datacube", "numpy", "xarray", "rasterio", "openvino", "torch")
"""Packages whose versions are shown even if nothing is wrong with them."""

COMPILED = ("numpy", "pyproj", "shapely", "rasterio", "openvino")
"""Packages of compiled code, which may not load on a machine though they are installed."""

_IMPORT = """
import importlib, json
sys.modules["openvino_telemetry"] = None
try:
    importlib.import_module({name!r})
    print(json.dumps(""))
except Exception as error:
    print(json.dumps(f"{{type(error).__name__}}: {{error}}"))
"""

_RASTERS = """
import json
import rasterio
from rasterio.warp import transform
try:
    with rasterio.Env() as gdal:
        lacking = [each for each in ("GTiff", "COG", "JP2OpenJPEG") if each not in gdal.drivers()]
        (x,), _ = transform("EPSG:32633", "EPSG:4326", [500_000], [0])
    print(json.dumps(f"it has no {' and no '.join(lacking)}" if lacking else "" if abs(x - 15) < 1e-6 else f"15 degrees are {x}"))
except Exception as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""
"""Asks GDAL for the formats of scenes and masks, and PROJ for a point of UTM zone 33."""


def probe(seconds: float) -> Iterator[Finding]:
    """Look at Python and at the packages.

    Parameters
    ----------
    seconds
        Most time for the import of one package.
    """
    try:
        about = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield Finding(
            TOPIC,
            WARNING,
            f"{DISTRIBUTION} is used without being installed, so the packages that it needs are not known",
            "Run: pip install --editable . in the folder of its source.",
        )
        return
    yield _python(str(about["Requires-Python"] or ""))
    requirements = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    needed = [each for each in requirements if not _extra(each) and _applies(each)]
    offences = [found for each in needed for found in _look_at(each)]
    if not any(found.state == WRONG for found in offences):
        shown = ", ".join(f"{name} {version}" for name in SHOWN if (version := installed(name)))
        yield Finding(TOPIC, OK, f"all {len(needed)} packages that are needed are there: {shown}")
    yield from offences
    yield from _extras(requirements)
    for name in COMPILED:
        if installed(name):
            found = list(_import(name, seconds))
            yield from found
            if name == "rasterio" and not found:
                yield from _rasters(seconds)


def _python(supported: str) -> Finding:
    version = platform.python_version()
    if Version(version) in SpecifierSet(supported, prereleases=True):
        return Finding(TOPIC, OK, f"Python {version}")
    return Finding(
        TOPIC,
        WRONG,
        f"Python {version} is not supported, but {supported}",
        f"Make an environment with a Python of {supported}, and install {DISTRIBUTION} there.",
    )


def installed(name: str) -> str:
    """Return the version of a package that is installed, or ``""``."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


@lru_cache(maxsize=1)
def tested() -> dict[str, str]:
    """Return the newest version of each package that the tests of this release ran with."""
    text = resources.files(__package__).joinpath("tested.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if "==" in line and not line.startswith("#")]
    return dict(line.strip().split("==") for line in lines)


def _extra(requirement: Requirement) -> str:
    """Return the extra that a requirement belongs to, or ``""``."""
    marker = str(requirement.marker or "")
    return marker.rpartition("extra == ")[2].strip("\"'() ") if "extra ==" in marker else ""


def _applies(requirement: Requirement) -> bool:
    """Return whether a requirement is one of this Python and system."""
    marker = requirement.marker
    return marker is None or marker.evaluate({"extra": _extra(requirement)})


def _look_at(requirement: Requirement) -> Iterator[Finding]:
    """Yield what is wrong with a package, if something is."""
    name, version = requirement.name, installed(requirement.name)
    wanted = f"'{name}{requirement.specifier}'"
    if not version:
        yield Finding(TOPIC, WRONG, f"{name} is not installed", f"Run: pip install {wanted}")
    elif not requirement.specifier.contains(version, prereleases=True):
        said = f"{name} is {version}, and has to be {requirement.specifier}"
        yield Finding(TOPIC, WRONG, said, f"Run: pip install {wanted}")
    elif _is_newer(version, known := tested().get(name, "")):
        yield Finding(
            TOPIC,
            WARNING,
            f"{name} {version} is newer than {known}, with which this release was tested",
            f"If something fails, run: pip install '{name}=={known}'",
        )


def _is_newer(version: str, known: str) -> bool:
    """Return whether a version is newer than the tested one, by more than its last number."""
    try:
        return bool(known) and Version(version).release[:2] > Version(known).release[:2]
    except InvalidVersion:
        return False


def _extras(requirements: list[Requirement]) -> Iterator[Finding]:
    """Yield one line for the extras of users, and one for each that is there only in part."""
    members: dict[str, list[Requirement]] = {}
    for each in requirements:
        if (extra := _extra(each)) in ("app", "demo", "metrics", "pc", "s3", "safe"):
            members.setdefault(extra, []).append(each)
    whole: list[str] = []
    missing: list[str] = []
    for extra, those in sorted(members.items()):
        those = [each for each in those if _applies(each)]
        lacking = [each.name for each in those if not installed(each.name)]
        if lacking and len(lacking) < len(those):
            yield Finding(
                TOPIC,
                WARNING,
                f"of the extra {extra}, {', '.join(lacking)} is missing",
                f"Run: pip install '{DISTRIBUTION}[{extra}]'",
            )
        else:
            (missing if lacking else whole).append(extra)
    hint = f"; add one by pip install '{DISTRIBUTION}[{missing[0]}]'" if missing else ""
    without = f"; without {', '.join(missing)}{hint}" if missing else ""
    yield Finding(TOPIC, OK, f"extras that are there: {', '.join(whole) or 'none'}{without}")


def _import(name: str, seconds: float) -> Iterator[Finding]:
    """Yield what goes wrong when a package is imported, if something does."""
    try:
        problem = run_apart(_IMPORT.format(name=name), seconds)
    except ApartError as error:
        problem = str(error)
    if problem:
        yield Finding(
            TOPIC,
            WRONG,
            f"{name} is installed and cannot be imported: {problem}",
            f"If a library of the system is named, install it. Else run: pip install --force-reinstall {name}",
        )


def _rasters(seconds: float) -> Iterator[Finding]:
    """Yield what GDAL and PROJ cannot do that scenes and masks need, if there is something."""
    try:
        problem = run_apart(_RASTERS, seconds)
    except ApartError as error:
        problem = str(error)
    if problem:
        named = [each for each in sorted(os.environ) if each.startswith(("GDAL_", "PROJ_", "CPL_"))]
        remove = f"Remove from the environment what is wrong of {', '.join(named)}. Else run" if named else "Run"  # fmt: skip
        said = f"GDAL cannot do all that scenes, masks and grids need: {problem}"
        yield Finding(TOPIC, WRONG, said, f"{remove}: pip install --force-reinstall rasterio")
