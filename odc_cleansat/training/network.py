"""The network that is trained: its first weights, and its normalisation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..classes import CloudClass
from ..errors import ModelError
from ..models.networks import build_network, torch_network
from ..models.places import is_offline
from .narrowing import WIDTHS, narrowed
from .recipe import Recipe

if TYPE_CHECKING:
    import torch

_RARER = 3.0
"""By how much less the logit of thin cloud is than that of cloud before it is learnt."""


_PHOTOGRAPH = ("red", "green", "blue")
"""Channels of a photograph, in the order of encoders that were trained on photographs."""

_NO_WEIGHTS = "file:none.safetensors"
"""Weights of a model whose architecture alone is needed. A model has to name a format."""


def first_network(recipe: Recipe) -> torch.nn.Module:
    """Return the network with which a run begins.

    Its weights are those of the model that the recipe starts with, or random; the encoder may be a trained one.

    Raises
    ------
    ModelError
        If there is no such architecture, or the weights cannot be read or fetched.
    """
    if recipe.start is not None:
        network = torch_network(recipe.start)
        same = (recipe.start.classes, recipe.start.architecture)
        return network if same == (recipe.classes, recipe.architecture) else _grown(network, recipe)
    return _with_trained_encoder(recipe) if recipe.encoder_weights else untrained_network(recipe)


def untrained_network(recipe: Recipe) -> torch.nn.Module:
    """Return the recipe's network with random weights.

    Raises
    ------
    ModelError
        If there is no such architecture.
    """
    return build_network(recipe.to_model(_NO_WEIGHTS))


def _grown(start: torch.nn.Module, recipe: Recipe) -> torch.nn.Module:
    """Return the recipe's network with the weights of one that knows fewer classes or has a wider decoder.

    Thin cloud begins as a rarer kind of cloud, and other classes with random weights.
    """
    import torch

    network = untrained_network(recipe)
    widths = dict(recipe.architecture.options).get(WIDTHS)
    had = narrowed(start.state_dict(), widths) if widths else start.state_dict()
    classes, count = recipe.classes, len(recipe.start.classes) if recipe.start else 0
    with torch.no_grad():
        for name, values in network.state_dict().items():
            if values.shape == had[name].shape:
                values.copy_(had[name])
                continue
            values[:count] = had[name]
            if {CloudClass.CLOUD, CloudClass.THIN_CLOUD} <= set(classes):
                thin = classes.index(CloudClass.THIN_CLOUD)
                values[thin] = values[classes.index(CloudClass.CLOUD)]
                if values.ndim == 1:
                    values[thin] -= _RARER
    return network


def _with_trained_encoder(recipe: Recipe) -> torch.nn.Module:
    """Return the recipe's network with a trained encoder and other weights random."""
    import huggingface_hub

    wanted = f"the weights {recipe.encoder_weights!r} for the encoder {recipe.architecture.encoder}"
    # CLEANSAT_OFFLINE forbids this package to fetch, but not the library that fetches these weights.
    if is_offline() and not huggingface_hub.constants.HF_HUB_OFFLINE:
        raise ModelError(
            f"{wanted} may not be fetched, as CLEANSAT_OFFLINE is set. If they are in Hugging Face's cache already, "
            "set HF_HUB_OFFLINE=1 too; or leave out encoder_weights."
        )
    try:
        network = build_network(recipe.to_model(_NO_WEIGHTS), recipe.encoder_weights)
    except ModelError as error:
        endpoint = os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT
        raise ModelError(
            f"{wanted} cannot be had: {error} They come from {endpoint}, and are kept in "
            f"{huggingface_hub.constants.HF_HUB_CACHE}."
        ) from error
    _assign_first_layer(network, recipe.bands)
    return network


def _assign_first_layer(network: torch.nn.Module, bands: Sequence[str]) -> None:
    """Give red, green and blue their weights of the first layer, and all other bands the mean of these.

    segmentation_models_pytorch repeats the three channels in turn until there are enough, and divides them so that the
    sum stays. That they are divided is kept.
    """
    import torch

    count = len(bands)
    if count < len(_PHOTOGRAPH):
        return
    layer = next(m for m in network.encoder.modules() if isinstance(m, torch.nn.Conv2d))
    with torch.no_grad():
        known = dict(zip(_PHOTOGRAPH, layer.weight[:, :3].unbind(1), strict=True))
        mean = layer.weight[:, :3].mean(dim=1)
        layer.weight.copy_(torch.stack([known.get(band, mean) for band in bands], dim=1))


class NormalisedNetwork:
    """A network with its normalisation, which takes reflectance of all bands or of the first few.

    Parameters
    ----------
    module
        Normalised reflectance ``(N, C, H, W)`` in, logits ``(N, K, H, W)`` out.
    mean, std
        Mean and standard deviation of reflectance for each of the C bands.
    device
        Where the module is.
    half
        Whether it computes in bf16.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        half: bool,
    ) -> None:
        import torch

        self.module = module
        self._device = device
        self._half = half
        self._mean, self._std = (
            torch.tensor(values, device=device, dtype=torch.float32).view(-1, 1, 1)
            for values in (mean, std)
        )

    def __call__(self, reflectance: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
        """Return the logits of N images.

        Parameters
        ----------
        reflectance
            N arrays ``(c, H, W)`` float32 of all bands, or of the first few.

        Returns
        -------
        torch.Tensor
            ``(N, K, H, W)`` float32.
        """
        import torch

        inputs = self._inputs(reflectance)
        with torch.autocast(self._device.type, torch.bfloat16, self._half):
            logits: torch.Tensor = self.module(inputs)
        return logits.float()

    def _inputs(self, reflectance: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
        """Return normalised ``(N, C, H, W)`` float32. Bands that are missing are at their mean, which is 0."""
        import torch

        size = reflectance[0].shape[1:]
        shape = (len(reflectance), len(self._mean), *size)
        inputs = torch.zeros(shape, device=self._device)
        for i, image in enumerate(reflectance):
            count = len(image)
            values = torch.from_numpy(image).to(self._device)
            inputs[i, :count] = (values - self._mean[:count]) / self._std[:count]
        return inputs.to(memory_format=torch.channels_last)

    def best_channels(self, batch: np.ndarray) -> np.ndarray:
        """Return the channel with the highest logit for each pixel, in evaluation mode.

        Parameters
        ----------
        batch
            ``(1, c, H, W)`` float32 reflectance of all bands, or of the first few.

        Returns
        -------
        numpy.ndarray
            ``(H, W)`` int64.
        """
        import torch

        was_training = self.module.training
        self.module.eval()
        with torch.inference_mode():
            logits: np.ndarray = self(batch)[0].cpu().numpy()
        self.module.train(was_training)
        best: np.ndarray = logits.argmax(axis=0)
        return best
