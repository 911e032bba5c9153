"""How good a mask is, and how far two of them agree, in figures.

Everything rests on one table of counts, :class:`Confusion`; the rest says which pixels are
counted, and from which files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..classes import CloudClass, scl_to_ucl
from ..errors import SceneError
from .confusion import Confusion, Question
from .counting import three_classes

if TYPE_CHECKING:
    import xarray as xr

    from ..models.model import Model


def agreement(ucl: np.ndarray, scl: np.ndarray) -> dict[str, float]:
    """How far a UCL and an SCL say the same of the same pixels.

    Parameters
    ----------
    ucl
        uint8 :class:`CloudClass` codes.
    scl
        Same shape, Sen2Cor's codes.

    Returns
    -------
    dict
        Percent of the pixels with data in both that agree on ``cloud`` (thin or thick or
        not), on ``shadow``, on ``clear``, and on all three at once (``overall``); NaN
        where no pixel has data in both.
    """
    both = Confusion.of(three_classes(scl_to_ucl(scl)), three_classes(ucl))
    if not both.pixels:
        return dict.fromkeys(("overall", "cloud", "shadow", "clear"), float("nan"))

    def same(question: Question) -> float:
        yes = question.members
        no = ~yes
        yes[CloudClass.NODATA] = no[CloudClass.NODATA] = False
        agreed = both.matrix[np.ix_(yes, yes)].sum() + both.matrix[np.ix_(no, no)].sum()
        return 100 * float(agreed) / both.pixels

    asked = (Question.CLOUD, Question.SHADOW, Question.CLEAR)
    return {"overall": 100 * (1 - both.changed), **{q.value: same(q) for q in asked}}


def accuracy(predicted: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """Cloud and shadow against known truth.

    Parameters
    ----------
    predicted, truth
        Same shape, uint8 :class:`CloudClass` codes. Pixels that are nodata in either do not count.

    Returns
    -------
    dict
        For ``cloud`` and ``shadow``: ``precision``, ``recall`` and ``f1``, between 0 and
        1. NaN is the recall without the class in the truth, the precision without it in the prediction, F1
        without it in either.
    """
    confusion = Confusion.of(truth, predicted)
    return {
        question.value: {
            name: confusion.scores(question)[name] for name in ("precision", "recall", "f1")
        }
        for question in (Question.CLOUD, Question.SHADOW)
    }


def seams(scene: xr.Dataset, *, model: str | Model | None = None, **how: Any) -> float:
    """Share of the pixels whose class changes when the cuts between windows move by half a stride.

    Where a scene fits into one window nothing is cut, and nothing changes.

    Parameters
    ----------
    scene
        As for :func:`~odc_cleansat.classify`, in a UTM zone: the scene is classified again as if it
        lay half a stride to the south-east.
    model
        Name or model; by default the best whose bands the scene has.
    how
        Other arguments of `classify`, such as ``offset``.

    Returns
    -------
    float
        0 to 1, NaN without data.

    Raises
    ------
    SceneError
        If the scene is not in a UTM zone, or cannot be classified.
    """
    from ..grids.grid import model_grid
    from ..masks.classify import classify
    from ..models.registry import get_model

    grid = scene.odc.geobox
    chosen = get_model(model, bands=scene.data_vars)
    if grid is None or grid.crs is None or model_grid(grid, chosen.resolution)[0] != grid.crs:
        raise SceneError(
            "seams are measured on scenes in a UTM zone; reproject the scene to its own."
        )
    down, right = (stride // 2 * chosen.resolution for stride in chosen.tiling.stride)
    y, x = grid.dimensions
    moved = scene.assign_coords({x: scene[x] + right, y: scene[y] - down})
    first, second = (classify(each, model=chosen, **how).ucl.values for each in (scene, moved))
    return Confusion.of(first, second).changed
