"""Build the network that is trained: from nothing, from another model, or from a trained encoder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..models.networks import build_network
from ..models.places import is_offline
from .recipe import Recipe

if TYPE_CHECKING:
    import torch


PHOTOGRAPH = ("red", "green", "blue")
"""The channels of a photograph, in the order of the weights."""


def with_trained_encoder(recipe: Recipe) -> torch.nn.Module:
    """The recipe's network with a trained encoder, and all else of random weights.

    Raises
    ------
    ModelError
        If there is no such architecture, or the weights cannot be had.
    """
    import huggingface_hub

    what = f"the weights {recipe.encoder_weights!r} for the encoder {recipe.architecture.encoder}"
    # Whoever forbids it to us has not yet forbidden it to the library that fetches them.
    if is_offline() and not huggingface_hub.constants.HF_HUB_OFFLINE:
        raise ModelError(
            f"{what} may not be fetched, as CLEANSAT_OFFLINE is set. If they are in Hugging Face's cache already, set "
            "HF_HUB_OFFLINE=1 too; or leave out encoder_weights."
        )
    try:
        network = build_network(recipe.model("file:none.safetensors"), recipe.encoder_weights)
    except ModelError as error:
        endpoint = os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT
        raise ModelError(
            f"{what} cannot be had: {error} They come from {endpoint}, and are kept in {huggingface_hub.constants.HF_HUB_CACHE}."
        ) from error
    lay_first_layer(network, recipe.bands)
    return network


def lay_first_layer(network: torch.nn.Module, bands: Sequence[str]) -> None:
    """Give what the first layer knows of red, green and blue to these bands, and their mean to all others.

    Parameters
    ----------
    network
        Of segmentation_models_pytorch, with a trained encoder. That repeats the three channels in turn until there are
        enough, and divides them so that the sum stays.
    bands
        By canonical name.
    """
    import torch

    count = len(bands)
    if count < len(PHOTOGRAPH):
        return
    layer = next(m for m in network.encoder.modules() if isinstance(m, torch.nn.Conv2d))
    with torch.no_grad():
        known = dict(zip(PHOTOGRAPH, layer.weight[:, :3].unbind(1), strict=True))
        mean = layer.weight[:, :3].mean(dim=1)
        layer.weight.copy_(torch.stack([known.get(band, mean) for band in bands], dim=1))


def build(recipe: Recipe) -> torch.nn.Module:
    """The recipe's network, of random weights.

    Raises
    ------
    ModelError
        If there is no such architecture.
    """
    from ..models.networks import build_network

    # Weights are of no account yet, but a model has to say their format.
    return build_network(recipe.model("file:none.safetensors"))


def first_network(recipe: Recipe) -> torch.nn.Module:
    """The recipe's network, of random weights, those of the model that it starts with, or with a trained encoder.

    Raises
    ------
    ModelError
        If there is no such architecture, or the weights cannot be read or fetched.
    """
    from ..models.networks import torch_network

    if recipe.start is not None:
        return torch_network(recipe.start)
    return with_trained_encoder(recipe) if recipe.encoder_weights else build(recipe)
