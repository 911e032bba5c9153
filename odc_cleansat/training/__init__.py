"""Train models from labels that people have drawn, from the answers of larger models, or from both.

A recipe is a YAML file that says how. :func:`train` follows it and can be stopped at any time. :func:`export_model`
writes the model that has come of it so far.
"""

from __future__ import annotations

from .export import export_model
from .recipe import Recipe, RecipeError
from .recipe_file import read_recipe
from .run import train
from .schedule import Schedule

__all__ = ["Recipe", "RecipeError", "Schedule", "export_model", "read_recipe", "train"]
