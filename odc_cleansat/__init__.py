"""Cloud and cloud-shadow masks for Sentinel-2 in the Open Data Cube.

The public names are imported when first used: ``import odc_cleansat`` alone
loads neither torch nor datacube.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .classes import CloudClass
    from .classification import classify
    from .errors import CleansatError
    from .models import Model, get_model, list_models

__all__ = [
    "CleansatError",
    "CloudClass",
    "Model",
    "__version__",
    "classify",
    "get_model",
    "list_models",
]

_HOME = {
    "CleansatError": "errors",
    "CloudClass": "classes",
    "Model": "models",
    "classify": "classification",
    "get_model": "models",
    "list_models": "models",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
