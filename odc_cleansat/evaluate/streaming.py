"""Compare rasters with labels in blocks, so that memory does not grow with the rasters."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..classes import CloudClass
from ..errors import SceneError
from ..grids.centres import Roi, tiles
from ..scenes.days import check_days, moments_in_name
from .counting import Counts, Protocol, count_pixels
from .rasters import Case, OpenRaster, open_raster, place_on_label
from .results import Evaluation

BLOCK = 1024
"""Side of a block, pixels of the label."""


def evaluate_rasters(
    cases: Iterable[Case],
    protocol: Protocol | None = None,
    *,
    common: bool = False,
    block: int = BLOCK,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compare classified rasters with labels, scene by scene.

    Predictions on other grids are brought to the label's grid by nearest neighbour. Each block is read with
    as much of its surroundings as the protocol needs, so the result does not depend on the blocks.

    Parameters
    ----------
    cases
        The scenes. All have predictions of the same names, with the same mappings.
    protocol
        How pixels near edges are counted.
    common
        Whether to count only pixels for which all predictions have data. Otherwise each prediction
        counts where it has data itself.
    block
        Side of the blocks, pixels of the label.
    progress
        Called with the number of scenes done and the number there are.

    Returns
    -------
    Evaluation
        The counts, and every score from them.

    Raises
    ------
    SceneError
        If there are no scenes or predictions, or their names differ between scenes. If a file cannot be
        read or has no code of its mapping, or a prediction does not overlap its label or is named after another day.

    Warns
    -----
    GapWarning
        If a raster holds values that its mapping does not name.
    """
    protocol = protocol or Protocol()
    cases = list(cases)
    _check_cases(cases)
    counts: dict[str, list[Counts]] = {name: [] for name in cases[0].predictions}
    resampled: Counter[str] = Counter()
    for i, case in enumerate(cases, start=1):
        for name, found in _count_case(case, protocol, common, block, resampled).items():
            counts[name].append(found)
        if progress is not None:
            progress(i, len(cases))
    first = cases[0]
    return Evaluation(
        scenes=tuple(case.name for case in cases),
        label=first.label.mapping,
        mappings={name: raster.mapping for name, raster in first.predictions.items()},
        counts={name: tuple(each) for name, each in counts.items()},
        protocol=protocol,
        common=common,
        resampled=dict(resampled),
    )


def _check_cases(cases: Sequence[Case]) -> None:
    if not cases:
        raise SceneError("there is nothing to evaluate: no scene has a label.")
    names = set(cases[0].predictions)
    if not names:
        raise SceneError("there is nothing to evaluate: name at least one prediction.")
    for case in cases:
        if set(case.predictions) != names:
            raise SceneError(
                f"{case.name} has predictions of {', '.join(case.predictions) or 'none'}, "
                f"{cases[0].name} of {', '.join(names)}; they must be the same."
            )
        for raster in case.predictions.values():
            check_days(raster.uri, moments_in_name(case.name) | moments_in_name(case.label.uri))


def _count_case(
    case: Case, protocol: Protocol, common: bool, block: int, resampled: Counter[str]
) -> dict[str, Counts]:
    """Return the counts of one scene by prediction; note which were on another grid than the label."""
    total = [Counts.zero(protocol) for _ in case.predictions]
    predicted = np.zeros(len(total), dtype=bool)
    labelled = False
    with contextlib.ExitStack() as stack:
        label = stack.enter_context(open_raster(case.label))
        predictions = [stack.enter_context(open_raster(p)) for p in case.predictions.values()]
        for prediction in predictions:
            place_on_label(label, prediction)
        resampled.update(
            name
            for name, prediction in zip(case.predictions, predictions, strict=True)
            if prediction.grid != label.grid
        )
        for inside in (roi for row in tiles(label.grid.shape, block, block) for roi in row):
            around, middle = _with_surroundings(inside, protocol.margin, label.grid.shape)
            truth = label.read(*around)
            codes = [prediction.read_onto(label.grid, around) for prediction in predictions]
            predicted |= [bool(each.any()) for each in codes]
            labelled |= bool(truth.any())
            if common:
                truth[np.any([each == CloudClass.NODATA for each in codes], axis=0)] = 0
            parts = count_pixels(truth, codes, protocol, middle)
            total = [a + b for a, b in zip(total, parts, strict=True)]
        _check_overlap(label, predictions, predicted)
        if not labelled:
            raise _no_known_code(label)
    return dict(zip(case.predictions, total, strict=True))


def _with_surroundings(inside: Roi, margin: int, shape: tuple[int, int]) -> tuple[Roi, Roi]:
    """Return a block with its surroundings, and the place of the block in them."""
    around, middle = [], []
    for span, size in zip(inside, shape, strict=True):
        start, stop = max(span.start - margin, 0), min(span.stop + margin, size)
        around.append(slice(start, stop))
        middle.append(slice(span.start - start, span.stop - start))
    return (around[0], around[1]), (middle[0], middle[1])


def _check_overlap(
    label: OpenRaster, predictions: Sequence[OpenRaster], predicted: np.ndarray
) -> None:
    """Raise if a prediction has no class on the label: that is a mistake, and not a score of NaN."""
    for prediction, has_data in zip(predictions, predicted, strict=True):
        if not has_data:
            raise SceneError(
                f"{prediction.raster.uri} has no class anywhere on {label.raster.uri}: either they do not "
                f"overlap, or its codes are not those of the mapping {prediction.raster.mapping.name}."
            )


def _no_known_code(label: OpenRaster) -> SceneError:
    mapping = label.raster.mapping
    return SceneError(
        f"{label.raster.uri} has no pixel with a code of the mapping {mapping.name} ({mapping.text}); "
        "name the mapping of its codes."
    )
