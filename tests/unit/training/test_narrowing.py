"""Narrower decoders from trained ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from odc_cleansat.training.narrowing import narrowed
from odc_cleansat.training.network import first_network
from odc_cleansat.training.recipe_file import read_recipe
from unit.training.helpers import OWN, write

WIDE, NARROW = [16, 16, 8, 8, 8], [8, 12, 8, 4, 4]


def test_channels_that_say_nothing_can_be_left_out(tmp_path: Path) -> None:
    """In a network of which half of the channels give 0, the others answer alone."""
    import torch
    from segmentation_models_pytorch import Unet

    torch.manual_seed(0)
    wide = Unet(
        "mobilenet_v2", encoder_weights=None, in_channels=6, classes=3, decoder_channels=WIDE
    ).eval()
    silent = np.random.default_rng(0)
    with torch.no_grad():
        for block, (before, after) in enumerate(zip(WIDE, NARROW, strict=True)):
            for layer in ("conv1", "conv2"):
                norm = wide.decoder.blocks[block].get_submodule(layer)[1]
                off = torch.from_numpy(silent.permutation(before)[: before - after])
                norm.weight[off], norm.bias[off] = 0, 0
    narrow = Unet(
        "mobilenet_v2", encoder_weights=None, in_channels=6, classes=3, decoder_channels=NARROW
    ).eval()
    narrow.load_state_dict(narrowed(wide.state_dict(), NARROW))
    images = torch.randn(1, 6, 64, 64)
    with torch.inference_mode():
        assert wide(images).std() > 1e-4
        torch.testing.assert_close(narrow(images), wide(images), rtol=1e-4, atol=1e-5)


def test_the_network_of_our_own_recipe_begins_near_its_start() -> None:
    """It is narrower and knows thin cloud; it says much the same of a simulated scene."""
    import torch

    from odc_cleansat.models.networks import torch_network
    from odc_cleansat.training.network import NormalisedNetwork
    from odc_cleansat.training.sources import simulate_patch

    found = read_recipe(OWN)
    assert found.start is not None
    scene = simulate_patch(3, 256, found.bands, 30).pixels[None]
    before, after = (
        NormalisedNetwork(
            network.eval(), found.mean, found.std, torch.device("cpu"), False
        ).best_channels(scene)
        for network in (torch_network(found.start), first_network(found))
    )
    assert (before == after).mean() > 0.6


@pytest.mark.usefixtures("no_curves")
def test_a_run_with_a_narrower_decoder(tmp_path: Path) -> None:
    from unit.training.helpers import plan, run

    narrow = {"name": "Unet", "encoder": "mobilenet_v2", "decoder_channels": [32, 16, 16, 8, 8]}
    left_out = dict.fromkeys(("bands", "classes", "resolution"))
    path = write(
        tmp_path, start="unet-mobilenetv2-l2a", architecture=narrow, plan=plan(steps=2), **left_out
    )
    assert np.isfinite(run(read_recipe(path), tmp_path / "run")).all()
