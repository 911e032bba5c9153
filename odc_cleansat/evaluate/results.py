"""What came out of a comparison with labels: scores over all pixels and by scene, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import SceneError
from .confusion import METRICS, Confusion, Question, scores
from .counting import QUESTIONS, Counts, Protocol
from .mappings import ClassMapping

LOW, HIGH = 0.1, 0.9
"""A scene is failed if its recall or precision is below the first, and solved if above the second."""

DRAWS = 1000
SEED = 0
_NONE = float("nan")


@dataclass(frozen=True)
class Result:
    """One figure."""

    predictor: str
    """What made the predictions."""

    question: Question
    """What was asked."""

    protocol: str
    """``pooled`` over the pixels of all scenes; ``median`` and ``share`` of the scenes; or ``scene``."""

    scene: str
    """For ``scene``, which; else empty."""

    ignored: int
    """Pixels along the edges of the label that were left out."""

    metric: str
    """One of :data:`METRICS`; ``boundary_iou``; ``support``, pixels (or points) where the label says yes;
    ``pixels``, those with label and prediction; for ``share`` ``recall_low`` and the like."""

    value: float
    """NaN where it is not defined."""

    low: float = _NONE
    """Lower end of the 95 % interval; NaN where there is none."""

    high: float = _NONE
    """Upper end."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Counts of all scenes and predictors, and every score from them.

    Raises
    ------
    SceneError
        If only what is `common` to all was counted, and that is nothing.
    """

    scenes: tuple[str, ...]
    """Names."""

    label: ClassMapping
    """What the label knows."""

    mappings: Mapping[str, ClassMapping]
    """What each predictor knows."""

    counts: Mapping[str, tuple[Counts, ...]]
    """Of each predictor, one a scene."""

    protocol: Protocol
    """How edges were dealt with."""

    unit: str = "pixel"
    """What was counted: pixels or points."""

    common: bool = False
    """Whether only those were counted that all predictions have data for."""

    draws: int = DRAWS
    """Samples of the bootstrap."""

    seed: int = SEED
    """Of its random numbers."""

    def __post_init__(self) -> None:
        if self.common and not any(self.confusion(name).labelled for name in self.predictors):
            raise SceneError(
                f"no {self.unit} has a label and data of all predictions: {', '.join(self.predictors)}. Count each "
                "where it has data itself, without `common`."
            )

    @property
    def predictors(self) -> tuple[str, ...]:
        """Names."""
        return tuple(self.counts)

    @property
    def questions(self) -> tuple[Question, ...]:
        """Those that the label and at least one predictor answer."""
        return tuple(
            q for q in QUESTIONS if any(q in self.answered(name) for name in self.predictors)
        )

    def answered(self, predictor: str) -> frozenset[Question]:
        """The questions that both the label and a predictor answer."""
        return self.label.questions & self.mappings[predictor].questions

    def total(self, predictor: str) -> Counts:
        """All scenes together."""
        return sum(self.counts[predictor], Counts.zero(self.protocol))

    def confusion(self, predictor: str) -> Confusion:
        """All scenes together, pixels near edges included."""
        return self.total(predictor).confusion

    @cached_property
    def results(self) -> list[Result]:
        """Every figure, in the order of predictors and questions.

        Intervals come from a bootstrap over scenes: scenes are drawn with replacement as often as there
        are, and 95 % of the draws' scores are between the two ends. Pixels of a scene are alike, so
        they are never drawn singly; with one scene there is no interval, and with a handful it is rough.
        """
        found = []
        for name in self.predictors:
            for question in QUESTIONS:
                if question in self.answered(name):
                    found += [
                        Result(name, question, *each) for each in self._figures(name, question)
                    ]
        return found

    def find(
        self,
        predictor: str,
        question: Question,
        metric: str,
        protocol: str = "pooled",
        ignored: int = 0,
        scene: str = "",
    ) -> Result:
        """One figure; a NaN if there is none such."""
        return self._by_key.get(
            (predictor, question, protocol, scene, ignored, metric),
            Result(predictor, question, protocol, scene, ignored, metric, _NONE),
        )

    @cached_property
    def _by_key(self) -> dict[tuple[str, Question, str, str, int, str], Result]:
        return {
            (r.predictor, r.question, r.protocol, r.scene, r.ignored, r.metric): r
            for r in self.results
        }

    @cached_property
    def _drawn(self) -> np.ndarray | None:
        """Which scenes each draw holds, ``(draws, scenes)``; None with fewer than two."""
        n = len(self.scenes)
        if n < 2:
            return None
        return np.random.default_rng(self.seed).integers(n, size=(self.draws, n))

    @cached_property
    def _weights(self) -> np.ndarray | None:
        """How often each draw holds each scene."""
        if self._drawn is None:
            return None
        weights = np.zeros(self._drawn.shape)
        np.add.at(weights, (np.arange(len(weights))[:, np.newaxis], self._drawn), 1)
        return weights

    def _figures(
        self, name: str, question: Question
    ) -> Iterator[tuple[str, str, int, str, float, float, float]]:
        counts = self.counts[name]
        matrices = np.stack([each.confusions for each in counts])
        for i, ignored in enumerate(self.protocol.ignored):
            value = scores(matrices[:, i].sum(axis=0), question)
            drawn = None
            if self._weights is not None:
                drawn = scores(np.tensordot(self._weights, matrices[:, i], 1), question)
            for metric in METRICS:
                ends = _interval(None if drawn is None else drawn[metric])
                yield "pooled", "", ignored, metric, float(value[metric]), *ends
            confusion = Confusion(matrices[:, i].sum(axis=0))
            yield "pooled", "", ignored, "support", confusion.support(question), _NONE, _NONE
            yield "pooled", "", ignored, "pixels", confusion.pixels, _NONE, _NONE
        if self.protocol.boundary:
            edges = np.stack([each.boundaries[QUESTIONS.index(question)] for each in counts])
            ends = _interval(None if self._weights is None else _quotient(self._weights @ edges))
            yield "pooled", "", 0, "boundary_iou", float(_quotient(edges.sum(axis=0))), *ends
        by_scene = scores(matrices[:, 0], question)
        for metric in METRICS:
            values = by_scene[metric]
            ends = _interval(None if self._drawn is None else _median(values[self._drawn]))
            yield "median", "", 0, metric, float(_median(values)), *ends
        for metric in ("recall", "precision"):
            known = by_scene[metric][~np.isnan(by_scene[metric])]
            for end, meets in (("low", known < LOW), ("high", known > HIGH)):
                share = float(meets.mean()) if known.size else _NONE
                yield "share", "", 0, f"{metric}_{end}", share, _NONE, _NONE
        for i, scene in enumerate(self.scenes):
            for metric in METRICS:
                yield "scene", scene, 0, metric, float(by_scene[metric][i]), _NONE, _NONE
            support = counts[i].confusion.support(question)
            yield "scene", scene, 0, "support", support, _NONE, _NONE


def _interval(values: np.ndarray | None) -> tuple[float, float]:
    """The middle 95 % of the draws for which there is a score."""
    if values is None or np.isnan(values).all():
        return _NONE, _NONE
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)


def _median(values: np.ndarray) -> np.ndarray:
    """Along the last axis, of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values).all(axis=-1)
    found = np.full(values.shape[:-1], np.nan)
    found[known] = np.nanmedian(values[known], axis=-1)
    return found


def _quotient(parts: np.ndarray) -> np.ndarray:
    """First over second along the last axis, NaN where the second is 0."""
    both, either = np.moveaxis(np.asarray(parts, dtype="float64"), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(either == 0, np.nan, both / either)
