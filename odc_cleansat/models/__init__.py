"""Models: networks that find clouds, their documents, their weights, and the engines that run them.

``get_model`` looks a model up by name. ``get_engine`` loads its network, which turns reflectance into
probabilities of classes. Weights are fetched on demand, and used only if they are what they should be.
"""

from __future__ import annotations

from .documents import write_model
from .engines import get_engine
from .ensembles import ensemble
from .install import import_model, try_model
from .model import Architecture, Model
from .networks import read_state_dict
from .registry import find_models, get_model, list_models, read_model
from .weights import fetch_weights, verify_weights, weights_path

__all__ = [
    "Architecture",
    "Model",
    "ensemble",
    "fetch_weights",
    "find_models",
    "get_engine",
    "get_model",
    "import_model",
    "list_models",
    "read_model",
    "read_state_dict",
    "try_model",
    "verify_weights",
    "weights_path",
    "write_model",
]
