"""Models: what a network was trained on, where its weights are, and what its answers mean."""

from __future__ import annotations

from .documents import write_model
from .ensembles import ensemble
from .model import Architecture, Model
from .networks import read_onnx, read_state_dict, torch_network
from .registry import Entry, find_models, get_model, list_models, models_folder, read_model
from .torchscript import allow_torchscript, check_allowed, torchscript_on_trial
from .weights import sha256_of, weights_path

__all__ = [
    "Architecture",
    "Entry",
    "Model",
    "allow_torchscript",
    "check_allowed",
    "ensemble",
    "find_models",
    "get_model",
    "list_models",
    "models_folder",
    "read_model",
    "read_onnx",
    "read_state_dict",
    "sha256_of",
    "torch_network",
    "torchscript_on_trial",
    "weights_path",
    "write_model",
]
