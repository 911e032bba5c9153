"""Run modules of ours as soon as the modules they extend are imported, and not before.

The transform `unet_mask` belongs to `datacube.virtual`, which has no entry point for transforms. The accessor
`cleansat` belongs to xarray, which has none for accessors. Importing them here would cost every program a second.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_EXTENSIONS = {"datacube.virtual": "odc_cleansat.virtual", "xarray": "odc_cleansat.accessor"}
"""Modules of others, and the module of ours that extends each."""


class _Watcher(MetaPathFinder):
    """Finds no module itself, but imports ours right after one that is watched."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _EXTENSIONS:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (f.find_spec(name, path, target) for f in others)), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                import_module(_EXTENSIONS[name])

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Import our extensions of what is imported already, and those of the rest when that is."""
    waiting = [name for name in _EXTENSIONS if name not in sys.modules]
    for name in _EXTENSIONS.keys() - waiting:
        import_module(_EXTENSIONS[name])
    if waiting and not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())
