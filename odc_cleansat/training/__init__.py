"""Training models: from labels, from the answers of a larger model, or from both.

A recipe says what; :func:`train` follows it and can be stopped at any time, and :func:`export` writes the model.
"""

from __future__ import annotations

from .export import export
from .recipe import Recipe, RecipeError, read_recipe
from .run import train

__all__ = ["Recipe", "RecipeError", "export", "read_recipe", "train"]
