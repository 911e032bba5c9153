"""Labels and predictions from files, in blocks: memory does not grow with the rasters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..classes import CloudClass
from ..errors import SceneError
from ..grids.centres import Roi, tiles
from .counting import Counts, Protocol, count
from .rasters import Case, Layer, check_grids, opened
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
    """Judge classified rasters by labels, scene by scene.

    Predictions on other grids are brought to the label's, by nearest neighbour. Files are read in
    blocks with as much of their surroundings as the protocol needs, so that the result does
    not depend on the blocks.

    Parameters
    ----------
    cases
        The scenes. All have predictions of the same names, with the same mappings.
    protocol
        How pixels near edges are dealt with.
    common
        Count only pixels that all predictions have data for; else each is judged where it has data
        itself.
    block
        Side of the blocks, pixels of the label.
    progress
        Called with the number of scenes done and the number there are.

    Raises
    ------
    SceneError
        If there are no scenes, a file cannot be read or has no code that its mapping knows, or
        a prediction does not overlap its label.
    """
    protocol = protocol or Protocol()
    cases = list(cases)
    _check(cases)
    counts: dict[str, list[Counts]] = {name: [] for name in cases[0].predictions}
    for i, case in enumerate(cases, start=1):
        for name, found in _count_case(case, protocol, common, block).items():
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
    )


def _check(cases: Sequence[Case]) -> None:
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


def _count_case(case: Case, protocol: Protocol, common: bool, block: int) -> dict[str, Counts]:
    total = [Counts.zero(protocol) for _ in case.predictions]
    met = np.zeros(len(total), dtype=bool)
    labelled = False
    with contextlib.ExitStack() as stack:
        label = stack.enter_context(opened(case.label))
        layers = [stack.enter_context(opened(each)) for each in case.predictions.values()]
        for layer in layers:
            check_grids(label, layer)
        rows, columns = label.grid.shape
        for row in tiles((rows, columns), block, block):
            for inside in row:
                around, middle = _around(inside, protocol.margin, (rows, columns))
                truth = label.read(*around)
                found = [layer.onto(label.grid, around) for layer in layers]
                met |= [bool(codes.any()) for codes in found]
                labelled |= bool(truth.any())
                if common:
                    truth[np.any([c == CloudClass.NODATA for c in found], axis=0)] = 0
                parts = count(truth, found, protocol, middle)
                total = [a + b for a, b in zip(total, parts, strict=True)]
        _check_counts(label, layers, met, labelled)
    return dict(zip(case.predictions, total, strict=True))


def _around(inside: Roi, margin: int, shape: tuple[int, int]) -> tuple[Roi, Roi]:
    """A block with its surroundings, and where it stands in them."""
    around, middle = [], []
    for span, size in zip(inside, shape, strict=True):
        start, stop = max(span.start - margin, 0), min(span.stop + margin, size)
        around.append(slice(start, stop))
        middle.append(slice(span.start - start, span.stop - start))
    return (around[0], around[1]), (middle[0], middle[1])


def _check_counts(label: Layer, layers: Sequence[Layer], met: np.ndarray, labelled: bool) -> None:
    """Nothing to count is a mistake in the call, and not a score of NaN."""
    for layer, has_data in zip(layers, met, strict=True):
        if not has_data:
            raise SceneError(
                f"{layer.raster.uri} has no class anywhere on {label.raster.uri}: either they do not "
                f"overlap, or its codes are not those of the mapping {layer.raster.mapping.name}."
            )
    if not labelled:
        mapping = label.raster.mapping
        raise SceneError(
            f"{label.raster.uri} has no pixel with a code of the mapping {mapping.name} "
            f"({', '.join(f'{k}={c.label}' for k, c in mapping.codes.items())}); "
            "name the mapping of its codes."
        )
