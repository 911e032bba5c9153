"""Scores of arrays in memory: how good a mask is, and how far two masks agree."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import xarray as xr

from ..classes import CloudClass, scl_to_ucl
from ..errors import SceneError
from ..grids.grid import model_grid
from ..masks.classify import classify
from ..models.model import Model
from ..models.registry import get_model
from .confusion import Confusion, Question
from .counting import three_classes


def agreement(ucl: np.ndarray, scl: np.ndarray) -> dict[str, float]:
    """Measure how far a UCL and an SCL agree.

    Parameters
    ----------
    ucl
        Any shape, uint8 :class:`CloudClass` codes, nodata 0.
    scl
        Same shape, integer codes of Sen2Cor, nodata 0.

    Returns
    -------
    dict
        Percent of the pixels with data in both that agree on ``cloud`` of any kind, on ``shadow``, on
        ``clear``, and on all three at once (``overall``). NaN if no pixel has data in both.

    Raises
    ------
    SceneError
        If the shapes differ.
    """
    return class_agreement(ucl, scl_to_ucl(scl))


def class_agreement(
    ucl: np.ndarray, other: np.ndarray, questions: Collection[Question] = tuple(Question)
) -> dict[str, float]:
    """Measure how far a UCL and another mask agree.

    Parameters
    ----------
    ucl, other
        Same shape, uint8 :class:`CloudClass` codes, nodata 0.
    questions
        What the other mask can answer. ``overall`` is left out if that is not everything.

    Returns
    -------
    dict
        See :func:`agreement`, percent.

    Raises
    ------
    SceneError
        If the shapes differ.
    """
    both = Confusion.of(three_classes(other), three_classes(ucl))
    asked = [q for q in (Question.CLOUD, Question.SHADOW, Question.CLEAR) if q in questions]
    names = [*(["overall"] if len(asked) == 3 else []), *(q.value for q in asked)]
    if not both.pixels:
        return dict.fromkeys(names, float("nan"))
    found = {q.value: _percent_same(both, q) for q in asked}
    return {name: found.get(name, 100 * (1 - both.changed)) for name in names}


def _percent_same(both: Confusion, question: Question) -> float:
    """Return the percent of the pixels with data in both for which both answer yes, or both no."""
    yes = question.members
    no = ~yes
    yes[CloudClass.NODATA] = no[CloudClass.NODATA] = False
    agreed = both.matrix[np.ix_(yes, yes)].sum() + both.matrix[np.ix_(no, no)].sum()
    return 100 * float(agreed) / both.pixels


def accuracy(predicted: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """Score cloud and shadow of a mask against known truth.

    Parameters
    ----------
    predicted, truth
        Same shape, uint8 :class:`CloudClass` codes. Pixels that are nodata in either do not count.

    Returns
    -------
    dict
        For ``cloud`` and ``shadow``: ``precision``, ``recall`` and ``f1``, 0 to 1. Recall is NaN if the
        truth lacks the class, precision if the prediction lacks it, and F1 if both do.

    Raises
    ------
    SceneError
        If the shapes differ, or there are other codes.
    """
    confusion = Confusion.of(truth, predicted)
    return {
        question.value: {
            name: confusion.scores(question)[name] for name in ("precision", "recall", "f1")
        }
        for question in (Question.CLOUD, Question.SHADOW)
    }


def seams(scene: xr.Dataset, *, model: str | Model | None = None, **options: Any) -> float:
    """Measure how many pixels change class when the cuts between windows move by half a stride.

    The scene is classified again as if it lay half a stride to the south-east. If it fits into one window,
    nothing is cut and nothing changes.

    Parameters
    ----------
    scene
        Bands with dims ``(y, x)`` in a UTM zone, digital numbers or reflectance; see
        :func:`~odc_cleansat.classify`.
    model
        Name or model; by default the best model whose bands the scene has.
    **options
        Other arguments of `classify`, such as ``offset``. The network's own answer is measured, unless ``refine``
        is among them: at the other place, the sun would stand a little elsewhere.

    Returns
    -------
    float
        Share of the pixels with data, 0 to 1; NaN without data.

    Raises
    ------
    SceneError
        If the scene is not in a UTM zone, or cannot be classified.
    """
    grid = scene.odc.geobox
    chosen = get_model(model, bands=scene.data_vars)
    if grid is None or grid.crs is None or model_grid(grid, chosen.resolution)[0] != grid.crs:
        raise SceneError(
            "seams are measured on scenes in a UTM zone; reproject the scene to its own."
        )
    down, right = (stride // 2 * chosen.resolution for stride in chosen.tiling.stride)
    y, x = grid.dimensions
    options = {"refine": False, **options}
    moved = scene.assign_coords({x: scene[x] + right, y: scene[y] - down})
    first, second = (classify(each, model=chosen, **options).ucl.values for each in (scene, moved))
    return Confusion.of(first, second).changed
