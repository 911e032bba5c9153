"""The benchmark of CloudSEN12+: patches with labels drawn by people, medians over the patches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ..classes import CloudClass
from ..errors import SceneError
from ..masks.classify import classify
from ..models.model import Model
from ..scenes.bands import S2_BANDS
from ..storage.rasters import open_file
from .confusion import Question
from .counting import Protocol, count_pixels
from .mappings import MAPPINGS, ClassMapping
from .published import Row
from .results import Evaluation
from .taco import TacoPatch, read_taco

MAPPING = MAPPINGS["cloudsen12"]
"""Codes of the labels. Pixels of 99 have none."""

BANDS = {
    "L1C": tuple(band for band in S2_BANDS if band != "scl"),
    "L2A": tuple(band for band in S2_BANDS if band not in ("scl", "cirrus")),
}
"""Canonical names of the bands of a picture by level, in their order. L2A has further layers behind them."""

_SIDE = 509
"""Pixels along a side of the patches that the published scores are about."""

_EVERY_PIXEL = Protocol(ignored=(0,), boundary=0)

_FOUR = (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.THIN_CLOUD, CloudClass.SHADOW)


def patches_of(folder: Path, level: str, split: str, quality: str = "high") -> Iterator[TacoPatch]:
    """Yield the patches of CloudSEN12+ in a folder.

    Parameters
    ----------
    folder
        Folder with files such as ``cloudsen12-l2a.0000.part.taco``.
    level
        ``L1C`` or ``L2A``, which stands in the names of the files.
    split
        ``train``, ``validation`` or ``test``.
    quality
        Kind of label: ``high``, ``scribble`` or ``nolabel``.

    Raises
    ------
    SceneError
        If there is no such file, it cannot be read, or no patch is of this split.
    """
    files = sorted(p for p in folder.rglob("*.taco") if level.lower() in p.name.lower())
    if not files:
        raise SceneError(
            f"{folder} has no file of CloudSEN12+ of level {level}, such as cloudsen12-{level.lower()}.0000.part.taco. "
            "Fetch them from the dataset tacofoundation/cloudsen12 of Hugging Face."
        )
    found = False
    for file in files:
        for patch in read_taco(file):
            if patch.split == split and patch.quality == quality:
                found = True
                yield patch
    if not found:
        raise SceneError(
            f"{folder} has no patch of the split {split} with labels of {quality} quality."
        )


def evaluate_cloudsen12(
    folder: Path,
    model: Model,
    *,
    engine: str | None = None,
    precision: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Row], str, dict[str, float]]:
    """Mask the test patches, and compare the masks with the labels.

    Returns
    -------
    rows : list of Row
        Medians over the patches for cloud, shadow, either, and clear, as far as the model knows them.
    counted : str
        What was counted.
    iou : dict
        Intersection over union of each of the four classes over all pixels, 0 to 1; empty if the model lacks one.

    Raises
    ------
    SceneError
        If the data are not there, or cannot be read.
    """
    patches = [p for p in patches_of(folder, model.level, "test") if p.side == _SIDE]
    if not patches:
        raise SceneError(f"{folder} has no test patch of {_SIDE} x {_SIDE} pixels.")
    counts = []
    for done, patch in enumerate(patches, 1):
        scene, truth = read_patch(patch, model.level)
        masked = classify(
            scene, model=model, scale=1e-4, offset=0, engine=engine, precision=precision, refine=False
        )  # fmt: skip
        counts += count_pixels(truth, [masked.ucl.values], _EVERY_PIXEL)
        if progress is not None:
            progress(done, len(patches))
    evaluation = Evaluation(
        scenes=tuple(patch.name for patch in patches),
        label=MAPPING,
        mappings={model.name: ClassMapping("ucl", {int(c): c for c in model.classes})},
        counts={model.name: tuple(counts)},
        protocol=_EVERY_PIXEL,
    )
    counted = f"CloudSEN12+ {model.level}, medians of {len(patches)} test patches of {_SIDE} x {_SIDE} pixels"
    rows = [_row(evaluation, model, question) for question in evaluation.questions]
    iou = _iou(evaluation.confusion(model.name).matrix) if set(_FOUR) <= set(model.classes) else {}
    return rows, counted, iou


def read_patch(patch: TacoPatch, level: str) -> tuple[xr.Dataset, np.ndarray]:
    """Read a patch.

    Returns
    -------
    scene : xarray.Dataset
        Its bands, ``(y, x)`` uint16, 10000 times reflectance, 0 for no data.
    truth : numpy.ndarray
        ``(y, x)`` uint8 :class:`~odc_cleansat.CloudClass` codes, nodata 0.

    Raises
    ------
    SceneError
        If picture and label do not fit, or cannot be read.
    """
    from rasterio.errors import RasterioError

    names = BANDS[level]
    try:
        with open_file(patch.image) as file:
            grid, pixels = GeoBox.from_rio(file), file.read()
        with open_file(patch.label) as file:
            label = file.read(1)
    except RasterioError as error:
        raise SceneError(f"the patch {patch.name} cannot be read: {error}.") from error
    if len(pixels) < len(names) or label.shape != pixels.shape[1:]:
        raise SceneError(
            f"the patch {patch.name} has {len(pixels)} bands of {pixels.shape[1:]} pixels and a label of {label.shape}; "
            f"{len(names)} bands of one size with the label are wanted."
        )
    bands = {
        name: wrap_xr(plane, grid, nodata=0)
        for name, plane in zip(names, pixels[: len(names)], strict=True)
    }
    return xr.Dataset(bands), MAPPING.apply(label)


def _row(evaluation: Evaluation, model: Model, question: Question) -> Row:
    def value(metric: str, aggregation: str = "median") -> float:
        return evaluation.find(model.name, question, metric, aggregation).value

    low_pa, high_pa, low_ua, high_ua = (
        value(name, "share") for name in ("recall_low", "recall_high", "precision_low", "precision_high")
    )  # fmt: skip
    return Row(
        model.name, model.level, question,
        boa=value("boa"), pa=value("recall"), ua=value("precision"), oa=value("oa"),
        shares=(low_pa, high_pa, low_ua, high_ua),
    )  # fmt: skip


def _iou(matrix: np.ndarray) -> dict[str, float]:
    """Return the intersection over union of each of the four classes; see :class:`~.confusion.Confusion`."""
    answered = matrix[1:, 1:]
    found = {}
    for c in _FOUR:
        both = answered[c - 1, c - 1]
        either = answered[c - 1].sum() + answered[:, c - 1].sum() - both
        found[c.label] = float(both / either) if either else float("nan")
    return found
