"""Patches and weights in small files, for a training on another machine.

Reflectance is kept in steps of 0.0005, as differences from pixel to pixel, which compress well. A file takes a tenth of
what the patches take as they are published.
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..errors import ModelError, SceneError, first_line
from ..storage.reader import DocumentError, parse_json
from .patches import Patch

STEP = 0.0005
"""Step in which reflectance is kept. It is less than the noise of Sentinel-2."""

_NO_DATA = -(2**15)

_REST = ("bands", "resolution", "level", "site", "weight", "file")
"""Fields of a patch beside its arrays."""

_UNREADABLE = (
    OSError, lzma.LZMAError, EOFError, ValueError, KeyError, TypeError, BadZipFile, DocumentError,
)  # fmt: skip


def packed(patches: Sequence[Patch]) -> bytes:
    """Return the contents of a file of patches, which :func:`read_packed` reads.

    Parameters
    ----------
    patches
        Patches with reflectance from -16 to 16, NaN without data.
    """
    rest, streams, truths = [], [], []
    for patch in patches:
        numbers = np.clip(np.rint(patch.pixels.astype("float32") / STEP), -(2**15) + 1, 2**15 - 1)
        numbers = np.where(np.isfinite(numbers), numbers, _NO_DATA).astype("int16")
        # Small differences of either sign have small codes: 0, -1, 1, -2 become 0, 1, 2, 3.
        steps = np.diff(numbers, axis=-1, prepend=np.int16(0))
        streams.append(((steps << 1) ^ (steps >> 15)).view("uint16").ravel())
        if patch.truth is not None:
            truths.append(patch.truth.ravel())
        rest.append(
            {name: getattr(patch, name) for name in _REST}
            | {"shape": patch.pixels.shape, "truth": patch.truth is not None}
        )
    codes = np.concatenate(streams)
    file = io.BytesIO()
    np.savez(
        file,
        rest=np.frombuffer(json.dumps(rest).encode(), "uint8"),
        low=(codes & 255).astype("uint8"),
        high=(codes >> 8).astype("uint8"),
        truth=np.concatenate([np.empty(0, "uint8"), *truths]),
    )
    return lzma.compress(file.getvalue(), preset=6)


def read_packed(path: Path) -> list[Patch]:
    """Read the patches of a file of :func:`packed`.

    Raises
    ------
    SceneError
        If the file cannot be read.
    """
    try:
        with np.load(io.BytesIO(lzma.decompress(path.read_bytes()))) as file:
            codes = file["low"].astype("uint16") | (file["high"].astype("uint16") << 8)
            truth, rest = file["truth"], parse_json(file["rest"].tobytes(), "rest")
        return _patches_of(codes, truth, rest)
    except _UNREADABLE as error:
        raise SceneError(f"{path} is no file of packed patches: {first_line(error)}.") from error


def _patches_of(codes: np.ndarray, truth: np.ndarray, rest: list[dict[str, Any]]) -> list[Patch]:
    steps = ((codes >> 1) ^ (0 - (codes & 1))).view("int16")
    patches, at, seen = [], 0, 0
    for each in rest:
        shape, labelled = tuple(each.pop("shape")), each.pop("truth")
        size, area = int(np.prod(shape)), int(np.prod(shape[1:]))
        numbers = np.cumsum(steps[at : at + size].reshape(shape), axis=-1, dtype="int16")
        pixels = numbers.astype("float32") * np.float32(STEP)
        pixels[numbers == _NO_DATA] = np.nan
        each["bands"] = tuple(each["bands"])
        label = truth[seen : seen + area].reshape(shape[1:]) if labelled else None
        patches.append(Patch(pixels, truth=label, **each))
        at, seen = at + size, seen + area * labelled
    return patches


_LEVELS_OF_WEIGHTS = 63
"""Largest number that stands for a weight: 7 bits with the sign."""

_SMALL = 1000
"""Number of weights up to which a tensor is kept as it is."""


def packed_weights(state: Mapping[str, np.ndarray]) -> bytes:
    """Return the contents of a file of a network's weights, rounded, which :func:`read_packed_weights` reads.

    Each channel has 127 steps of its own from its least weight to its greatest. A file takes two fifths of half precision.

    Parameters
    ----------
    state
        Weights by the names of their parameters, any shape and dtype. Small tensors are kept as they are.
    """
    arrays: dict[str, Any] = {}
    for name, values in state.items():
        if values.ndim < 2 or values.size <= _SMALL:
            arrays[f"as it is/{name}"] = values
            continue
        rows = values.astype("float32").reshape(len(values), -1)
        step = np.abs(rows).max(axis=1, keepdims=True) / _LEVELS_OF_WEIGHTS
        numbers = np.rint(rows / np.where(step == 0, 1, step)).astype("int8")
        arrays[f"numbers/{name}"] = numbers.reshape(values.shape)
        arrays[f"step/{name}"] = step.ravel()
    file = io.BytesIO()
    np.savez(file, **arrays)
    return lzma.compress(file.getvalue(), preset=6)


def read_packed_weights(path: Path) -> dict[str, np.ndarray]:
    """Read the weights of a file of :func:`packed_weights`.

    Returns
    -------
    dict
        Arrays of any shape by the names of their parameters: rounded ones in float32, others in the dtype they had.

    Raises
    ------
    ModelError
        If the file cannot be read.
    """
    state = {}
    try:
        with np.load(io.BytesIO(lzma.decompress(path.read_bytes()))) as file:
            for key in file.files:
                kind, name = key.split("/", 1)
                if kind == "as it is":
                    state[name] = file[key]
                elif kind == "numbers":
                    numbers, step = file[key].astype("float32"), file[f"step/{name}"]
                    state[name] = numbers * step.reshape(-1, *[1] * (numbers.ndim - 1))
    except _UNREADABLE as error:
        raise ModelError(f"{path} is no file of packed weights: {first_line(error)}.") from error
    return state
