"""Make the transform `unet_mask` known as soon as `datacube.virtual` is imported, and not before.

Virtual products have no entry point for transforms. Importing `datacube.virtual` here would cost
every program a second and a deprecation warning.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_WATCHED = "datacube.virtual"


class _Watcher(MetaPathFinder):
    """Finds no module itself, but imports ours right after the watched one."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _WATCHED:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (f.find_spec(name, path, target) for f in others)), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                import_module("odc_cleansat.virtual")

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Register the transform now if `datacube.virtual` is imported already, else when it is."""
    if _WATCHED in sys.modules:
        import_module("odc_cleansat.virtual")
    elif not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())
