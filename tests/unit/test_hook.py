"""The transform is known by its bare name in fresh processes, whatever is imported first."""

from __future__ import annotations

import sys

import pytest
from conftest import Fresh

from odc_cleansat import _hook

NAMED = (
    "r = v.construct(transform='unet_mask', input={'product': 'x'}); assert 'UNetMask' in repr(r)"
)


@pytest.mark.parametrize(
    "imports",
    [
        "import odc_cleansat; import datacube.virtual as v",
        "import datacube.virtual as v; import odc_cleansat",
        "import odc_cleansat, datacube; from datacube import virtual as v",
        "import odc_cleansat.virtual; import datacube.virtual as v",
    ],
)
def test_the_bare_name(fresh: Fresh, imports: str) -> None:
    fresh(f"{imports}; {NAMED}")


def test_the_path_of_the_package(fresh: Fresh) -> None:
    code = "import datacube.virtual as v; " + NAMED.replace("unet_mask", "odc_cleansat.UNetMask", 1)
    fresh(code)


def test_importing_the_package_imports_nothing_heavy(fresh: Fresh) -> None:
    code = (
        "import odc_cleansat, sys; print([m for m in sys.modules if m.split('.')[0] == 'datacube'])"
    )
    assert fresh(code).strip() == "[]"


def test_it_is_installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "datacube.virtual", raising=False)
    _hook.install()
    _hook.install()
    (finder,) = sys.meta_path
    assert finder.find_spec("json", None) is None
