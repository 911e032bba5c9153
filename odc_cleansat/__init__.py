"""Cloud and cloud-shadow masks for Sentinel-2 in the Open Data Cube.

The public names are imported when first used: ``import odc_cleansat`` alone
loads neither torch nor datacube.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import _hook
from ._version import __version__

if TYPE_CHECKING:
    from .classes import CloudClass
    from .cube.catalog import open_catalog
    from .cube.driver import with_ucl
    from .cube.load import load
    from .cube.recall import recall
    from .errors import CleansatError
    from .masks.classify import classify
    from .masks.composite import composite
    from .masks.hide import mask_clouds
    from .masks.presets import apply_preset
    from .masks.refine import refine
    from .models import Model, get_model, list_models
    from .products import verify
    from .virtual import UNetMask

__all__ = [
    "CleansatError",
    "CloudClass",
    "Model",
    "UNetMask",
    "__version__",
    "apply_preset",
    "classify",
    "composite",
    "get_model",
    "list_models",
    "load",
    "mask_clouds",
    "open_catalog",
    "recall",
    "refine",
    "verify",
    "with_ucl",
]

_HOME = {
    "CleansatError": "errors",
    "CloudClass": "classes",
    "Model": "models",
    "UNetMask": "virtual",
    "apply_preset": "masks.presets",
    "classify": "masks.classify",
    "composite": "masks.composite",
    "get_model": "models",
    "list_models": "models",
    "load": "cube.load",
    "mask_clouds": "masks.hide",
    "open_catalog": "cube.catalog",
    "recall": "cube.recall",
    "refine": "masks.refine",
    "verify": "products",
    "with_ucl": "cube.driver",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_hook.install()
