"""The loop in which a network learns: from its teachers, from labels, or from both."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..classes import CloudClass
from ..errors import ModelError
from ..models.engines import available_cpus
from .checkpoints import record, resume, save
from .judge import Judge, Network
from .patches import Patch
from .plans import Plan, Progress
from .summary import draw_curves
from .teachers import Teachers, teach
from .tiles import Tile, Tiles
from .truths import possible_channels

if TYPE_CHECKING:
    import torch


SAVE_EVERY = 300.0
"""Seconds between checkpoints: so much is lost when a run is killed."""


def fit(
    network: torch.nn.Module,
    tiles: Tiles,
    folder: Path,
    *,
    classes: Sequence[CloudClass],
    mean: Sequence[float],
    std: Sequence[float],
    plan: Plan,
    held_out: Mapping[str, Sequence[Patch]],
    teachers: Teachers | None = None,
    device: str | None = None,
    precision: str | None = None,
    seconds: float = math.inf,
    stop: Callable[[], bool] = lambda: False,
    watch: Callable[[Progress], None] = lambda _: None,
) -> torch.nn.Module:
    """Train a network; go on where an earlier session stopped.

    Parameters
    ----------
    network
        Normalised reflectance ``(N, C, H, W)`` in, logits ``(N, K, H, W)`` out. Bands that a tile lacks are
        0, which is their mean.
    tiles
        What to learn from.
    folder
        Where the checkpoint, the table of progress and its picture are kept.
    classes
        What the K channels mean.
    mean, std
        Reflectance per band, for the normalisation.
    plan
        How long, and with which settings.
    held_out
        Patches to judge by, in named groups.
    teachers
        A model for each level and number of bands of the tiles, or none at all.
    device, precision, seconds, stop, watch
        As for :func:`~odc_cleansat.training.run.train`.

    Returns
    -------
    torch.nn.Module
        The running average of the network.

    Raises
    ------
    ModelError
        If a teacher or the device is missing, the checkpoint belongs to another plan, or the loss is not
        finite; the last checkpoint then stays.
    """
    import torch
    from torch.optim.swa_utils import AveragedModel

    folder.mkdir(parents=True, exist_ok=True)
    teachers = teachers or {}
    place = find_device(device)
    if place.type == "cpu":
        torch.set_num_threads(available_cpus())
    half = (precision or best_precision(place.type)) == "bf16"
    network = network.to(place, memory_format=torch.channels_last).train()
    # The statistics of batch normalisations are averaged too, so that they belong to the average.
    averaged = AveragedModel(network, multi_avg_fn=_running(plan.average), use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.decay)
    parts = {"network": network, "averaged": averaged, "optimiser": optimiser}
    progress = resume(folder, plan, **parts)
    learner = Network(network, mean, std, place, half)
    pupil = Network(averaged.module, mean, std, place, half)
    judge = Judge(held_out, teachers, classes, tiles.resolution)
    table = torch.from_numpy(possible_channels(classes)).to(place)
    begun = saved = time.perf_counter()
    kept = progress.step
    before = progress.seconds

    def answers(drawn: list[Tile]) -> torch.Tensor | None:
        if not (teachers and plan.teacher):
            return None
        return torch.from_numpy(teach(drawn, teachers, classes)).to(place)

    with ThreadPoolExecutor(1, "tiles") as ahead:
        coming = ahead.submit(tiles.batch, progress.step, plan.batch)
        while progress.step < plan.steps:
            drawn = coming.result()
            coming = ahead.submit(tiles.batch, progress.step + 1, plan.batch)
            truth = torch.from_numpy(np.stack([tile.truth for tile in drawn])).to(place)
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * plan.share_of_rate(progress.step)
            taught = answers(drawn)
            # A network with dropout draws the same again after a stop.
            torch.manual_seed(((plan.seed << 32) + progress.step) % 2**63)
            logs = learner([tile.pixels for tile in drawn]).log_softmax(dim=1)
            loss = loss_of(logs, taught, table[truth.long()].permute(0, 3, 1, 2), plan)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            size = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            if not torch.isfinite(loss + size):
                raise ModelError(
                    f"the loss or its gradient is not finite at step {progress.step + 1}; lower the plan's rate, or "
                    "look for strange values in the data. The last checkpoint is kept."
                )
            optimiser.step()
            averaged.update_parameters(network)
            progress.step += 1
            progress.seconds = before + time.perf_counter() - begun
            progress.losses.append(float(loss.detach()))
            looked = progress.step % plan.check == 0 or progress.step == plan.steps
            if looked:
                progress.agreement = judge(pupil)
                record(folder, progress, progress.agreement)
            if looked or time.perf_counter() - saved > SAVE_EVERY:
                save(folder, plan, progress, **parts)
                saved, kept = time.perf_counter(), progress.step
            if looked:
                draw_curves(folder)
            watch(progress)
            if stop() or time.perf_counter() - begun > seconds:
                break
        coming.cancel()
    if kept != progress.step:
        save(folder, plan, progress, **parts)
    result: torch.nn.Module = averaged.module
    return result.eval()


def _running(decay: float) -> Callable[[Any, Any, Any], None]:
    """Update of a running average over ever more steps, until they are as many as `decay` stands for.

    With a decay that is the same from the start, the untrained weights would still be seen after hundreds
    of steps: after 600 steps with 0.998 they are 0.3 of the average, and its answers are useless.
    """

    def update(averaged: Any, current: Any, count: Any) -> None:
        import torch

        share = 1 - min(decay, (1 + int(count)) / (10 + int(count)))
        with torch.no_grad():
            for old, new in zip(averaged, current, strict=True):
                if old.is_floating_point():
                    old.lerp_(new.to(old.dtype), share)
                else:
                    old.copy_(new)

    return update


def loss_of(
    logs: torch.Tensor, taught: torch.Tensor | None, possible: torch.Tensor, plan: Plan
) -> torch.Tensor:
    """Mean over all pixels of what the teacher and what the labels object to.

    Parameters
    ----------
    logs
        Logarithms of the network's probabilities, ``(N, K, H, W)``.
    taught
        Those of the teacher, not logarithms; or None.
    possible
        Same shape, bool: the classes that a label leaves open, all where it is silent.
    plan
        Has the weights of the two.
    """
    from torch.nn import functional

    # It has a gradient even where nothing is known, and no weight takes part.
    loss = logs.new_zeros((), requires_grad=True)
    if taught is not None:
        distance = functional.kl_div(logs, taught, reduction="none").sum(dim=1).mean()
        loss = loss + plan.teacher * distance
    if plan.truth and not possible.all():
        # The network's probability of all that is possible together.
        known = logs.masked_fill(~possible, -math.inf).logsumexp(dim=1)
        loss = loss - plan.truth * known.mean()
    return loss


def find_device(name: str | None) -> torch.device:
    """``cuda`` or ``cpu``; by default the first where there is one.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("there is no CUDA device that torch can use; train on the cpu.")
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def best_precision(device: str) -> str:
    """``bf16`` where a device computes in it, ``f32`` elsewhere."""
    if device == "cuda":
        import torch

        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f32"
    import openvino

    found = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in found else "f32"
