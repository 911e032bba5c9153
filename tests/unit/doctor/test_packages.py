"""Python and packages: missing, too old, too new, in part, and those that cannot be imported."""

from __future__ import annotations

import platform
import re
from importlib import metadata

import pytest
from packaging.version import Version
from tested import PAIRED, needed

from odc_cleansat.doctor import packages
from odc_cleansat.doctor.apart import ApartError
from odc_cleansat.doctor.finding import Finding


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The packages that were imported apart; none is really."""
    names: list[str] = []

    def pretend(code: str, seconds: float) -> str:
        if code == packages._RASTERS:
            return ""
        found = re.search(r"import_module\('(\w+)'\)", code)
        assert found is not None
        names.append(found[1])
        return ""

    monkeypatch.setattr(packages, "run_apart", pretend)
    return names


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions that some packages have in place of their own; ``""`` is not installed."""
    changed: dict[str, str] = {}
    own = metadata.version

    def version(name: str) -> str:
        if (found := changed.get(name, own(name) if name not in changed else "")) == "":
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)
    return changed


def look() -> list[Finding]:
    return [each for each in packages.probe(30) if each.state != "ok"]


def test_a_sound_environment(imported: list[str]) -> None:
    found = list(packages.probe(30))
    assert [each for each in found if each.state == "wrong"] == []
    assert f"Python {platform.python_version()}" in found[0].what
    assert f"datacube {metadata.version('datacube')}" in found[1].what
    assert imported == list(packages.COMPILED)


def test_a_package_that_is_missing(versions: dict[str, str], imported: list[str]) -> None:
    versions["rasterio"] = ""
    (found,) = [each for each in look() if each.state == "wrong"]
    assert found.what == "rasterio is not installed"
    assert re.fullmatch(r"Run: pip install 'rasterio[>=<.,\d]+'", found.mend)
    assert "rasterio" not in imported


def test_a_package_that_is_too_old_or_newer_than_tested(
    versions: dict[str, str], imported: list[str]
) -> None:
    versions.update(numpy="1.2.0", xarray="2999.1")
    found = {each.what.split()[0]: each for each in look()}
    assert found["numpy"].state == "wrong"
    assert "has to be >=2" in found["numpy"].what
    assert found["xarray"].state == "warning"
    assert f"pip install 'xarray=={packages.tested()['xarray']}'" in found["xarray"].mend


def test_a_newer_last_number_is_no_news(versions: dict[str, str], imported: list[str]) -> None:
    major, minor = Version(packages.tested()["numpy"]).release[:2]
    versions["numpy"] = f"{major}.{minor}.99"
    assert [each for each in look() if "numpy" in each.what] == []


def test_extras(versions: dict[str, str], imported: list[str]) -> None:
    versions.update({"s3fs": "", "planetary-computer": ""})
    found = list(packages.probe(30))
    (part,) = [each for each in found if "of the extra" in each.what]
    assert (part.state, part.what) == ("warning", "of the extra s3, s3fs is missing")
    (extras,) = [each for each in found if each.what.startswith("extras")]
    assert "without pc; add one by pip install 'odc-cleansat[pc]'" in extras.what


def test_a_python_that_is_not_supported(
    monkeypatch: pytest.MonkeyPatch, imported: list[str]
) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    found = next(packages.probe(30))
    assert found.state == "wrong"
    assert "Python 3.99.0 is not supported" in found.what


def test_a_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(code: str, seconds: float) -> str:
        if "rasterio" in code:
            raise ApartError("it crashed (SIGSEGV)")
        return "OSError: libgomp.so.1" if "'openvino'" in code else ""

    monkeypatch.setattr(packages, "run_apart", crash)
    first, second = (each for each in look() if each.state == "wrong")
    assert first.what == "rasterio is installed and cannot be imported: it crashed (SIGSEGV)"
    assert "libgomp.so.1" in second.what


def test_a_package_is_imported_really() -> None:
    assert list(packages._import("shapely", 60)) == []
    (found,) = packages._import("no_such_package", 60)
    assert "ModuleNotFoundError" in found.what


def test_gdal_and_proj_are_really_asked() -> None:
    assert list(packages._rasters(60)) == []


def test_a_source_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "DISTRIBUTION", "no-such-distribution")
    (found,) = packages.probe(30)
    assert found.state == "warning"


def test_the_list_of_tested_versions_is_whole() -> None:
    """Each requirement of the package has a tested version, and one that is allowed."""
    assert packages.tested().keys() == needed().keys() | set(PAIRED)
    for name, version in packages.tested().items():
        assert name in PAIRED or needed()[name].specifier.contains(version), name
