"""The result of a comparison with labels: scores over all pixels and by scene, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from ..errors import SceneError
from .confusion import METRICS, Confusion, Question, scores
from .counting import QUESTIONS, Counts, Protocol
from .mappings import ClassMapping

LOW, HIGH = 0.1, 0.9
"""Bounds of recall and precision; shares of scenes below the first and above the second are reported."""

DRAWS = 1000
"""Default number of draws of the bootstrap."""

SEED = 0
"""Default seed of the bootstrap."""

_NAN = float("nan")


@dataclass(frozen=True)
class Result:
    """One score of one predictor."""

    predictor: str
    """Name of what made the predictions."""

    question: Question
    """The question that is scored."""

    aggregation: str
    """``pooled`` over the pixels of all scenes; ``median`` or ``share`` over the scenes; or ``scene``."""

    metric: str
    """One of :data:`METRICS`, or ``boundary_iou``; ``support``, pixels or points that the label answers with
    yes; ``pixels``, those with label and prediction; for ``share`` e.g. ``recall_low``."""

    value: float
    """The score; NaN where it is not defined."""

    low: float = _NAN
    """Lower end of the 95 % interval; NaN where there is none."""

    high: float = _NAN
    """Upper end of the 95 % interval; NaN where there is none."""

    scene: str = ""
    """Name of the scene, for ``scene``; else empty."""

    ignored: int = 0
    """Distance, pixels, within which pixels near edges of the label were left out."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Counts of all scenes and predictors, and every score from them.

    Raises
    ------
    SceneError
        If only pixels `common` to all predictions were counted, and there are none.
    """

    scenes: tuple[str, ...]
    """Names of the scenes."""

    label: ClassMapping
    """Mapping of the labels; it says which questions they answer."""

    mappings: Mapping[str, ClassMapping]
    """Mapping of each predictor; it says which questions it answers."""

    counts: Mapping[str, tuple[Counts, ...]]
    """Counts of each predictor, one for each scene."""

    protocol: Protocol
    """How pixels near edges were counted."""

    unit: str = "pixel"
    """What was counted: ``pixel`` or ``point``."""

    common: bool = False
    """Whether only pixels were counted for which all predictions have data."""

    resampled: Mapping[str, int] = field(default_factory=dict)
    """In how many scenes a predictor was brought to the grid of the label by nearest neighbour; of those for which it
    happened."""

    draws: int = DRAWS
    """Number of draws of the bootstrap."""

    seed: int = SEED
    """Seed of the bootstrap."""

    def __post_init__(self) -> None:
        if self.common and not any(self.confusion(name).labelled for name in self.predictors):
            raise SceneError(
                f"no {self.unit} has a label and data of all predictions: {', '.join(self.predictors)}. Count each "
                "where it has data itself, without `common`."
            )

    @property
    def predictors(self) -> tuple[str, ...]:
        """Names of what made the predictions."""
        return tuple(self.counts)

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions that the label and at least one predictor answer."""
        return tuple(
            q for q in QUESTIONS if any(q in self.answered(name) for name in self.predictors)
        )

    def answered(self, predictor: str) -> frozenset[Question]:
        """Return the questions that both the label and a predictor answer."""
        return self.label.questions & self.mappings[predictor].questions

    def total(self, predictor: str) -> Counts:
        """Return the counts of all scenes together."""
        return sum(self.counts[predictor], Counts.zero(self.protocol))

    def confusion(self, predictor: str) -> Confusion:
        """Return the confusion of all scenes together, with the pixels near edges."""
        return self.total(predictor).confusion

    @cached_property
    def results(self) -> list[Result]:
        """Every score, in the order of predictors and questions.

        Intervals come from a bootstrap over scenes: scenes are drawn with replacement as often as there
        are, and 95 % of the draws' scores are between the two ends. Single pixels are never drawn, for
        the pixels of a scene are alike. One scene has no interval, and few scenes have a rough one.
        """
        return [
            result
            for name in self.predictors
            for question in QUESTIONS
            if question in self.answered(name)
            for steps in (
                self._pooled_scores,
                self._boundary_score,
                self._median_scores,
                self._shares_of_scenes,
                self._scene_scores,
            )
            for result in steps(name, question)
        ]

    def find(
        self,
        predictor: str,
        question: Question,
        metric: str,
        aggregation: str = "pooled",
        ignored: int = 0,
        scene: str = "",
    ) -> Result:
        """Return one score; NaN if there is no such score."""
        return self._by_key.get(
            (predictor, question, aggregation, scene, ignored, metric),
            Result(predictor, question, aggregation, metric, _NAN, scene=scene, ignored=ignored),
        )

    @cached_property
    def _by_key(self) -> dict[tuple[str, Question, str, str, int, str], Result]:
        return {
            (r.predictor, r.question, r.aggregation, r.scene, r.ignored, r.metric): r
            for r in self.results
        }

    @cached_property
    def _drawn(self) -> np.ndarray | None:
        """Index of each scene of each draw, ``(draws, scenes)`` int64; None with fewer than two scenes."""
        n = len(self.scenes)
        if n < 2:
            return None
        return np.random.default_rng(self.seed).integers(n, size=(self.draws, n))

    @cached_property
    def _weights(self) -> np.ndarray | None:
        """How often each draw has each scene, ``(draws, scenes)`` float64."""
        if self._drawn is None:
            return None
        weights = np.zeros(self._drawn.shape)
        np.add.at(weights, (np.arange(len(weights))[:, np.newaxis], self._drawn), 1)
        return weights

    def _matrices(self, name: str) -> np.ndarray:
        """Return the confusion matrices ``(scenes, distances, 7, 7)`` of a predictor."""
        return np.stack([each.confusions for each in self.counts[name]])

    def _pooled_scores(self, name: str, question: Question) -> Iterator[Result]:
        matrices = self._matrices(name)
        for i, ignored in enumerate(self.protocol.ignored):
            result = partial(Result, name, question, "pooled", ignored=ignored)
            value = scores(matrices[:, i].sum(axis=0), question)
            drawn = None
            if self._weights is not None:
                drawn = scores(np.tensordot(self._weights, matrices[:, i], 1), question)
            for metric in METRICS:
                ends = _interval(None if drawn is None else drawn[metric])
                yield result(metric, float(value[metric]), *ends)
            confusion = Confusion(matrices[:, i].sum(axis=0))
            yield result("support", confusion.support(question))
            yield result("pixels", confusion.pixels)

    def _boundary_score(self, name: str, question: Question) -> Iterator[Result]:
        if self.protocol.boundary:
            row = QUESTIONS.index(question)
            edges = np.stack([each.boundaries[row] for each in self.counts[name]])
            ends = _interval(None if self._weights is None else _quotient(self._weights @ edges))
            value = float(_quotient(edges.sum(axis=0)))
            yield Result(name, question, "pooled", "boundary_iou", value, *ends)

    def _median_scores(self, name: str, question: Question) -> Iterator[Result]:
        by_scene = scores(self._matrices(name)[:, 0], question)
        for metric in METRICS:
            values = by_scene[metric]
            ends = _interval(None if self._drawn is None else _median(values[self._drawn]))
            yield Result(name, question, "median", metric, float(_median(values)), *ends)

    def _shares_of_scenes(self, name: str, question: Question) -> Iterator[Result]:
        by_scene = scores(self._matrices(name)[:, 0], question)
        for metric in ("recall", "precision"):
            known = by_scene[metric][~np.isnan(by_scene[metric])]
            for end, meets in (("low", known < LOW), ("high", known > HIGH)):
                share = float(meets.mean()) if known.size else _NAN
                yield Result(name, question, "share", f"{metric}_{end}", share)

    def _scene_scores(self, name: str, question: Question) -> Iterator[Result]:
        by_scene = scores(self._matrices(name)[:, 0], question)
        for i, scene in enumerate(self.scenes):
            result = partial(Result, name, question, "scene", scene=scene)
            for metric in METRICS:
                yield result(metric, float(by_scene[metric][i]))
            yield result("support", self.counts[name][i].confusion.support(question))


def _interval(values: np.ndarray | None) -> tuple[float, float]:
    """Return the ends of the middle 95 % of the draws that have a score."""
    if values is None or np.isnan(values).all():
        return _NAN, _NAN
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)


def _median(values: np.ndarray) -> np.ndarray:
    """Return the median along the last axis without NaN; NaN where all is NaN."""
    known = ~np.isnan(values).all(axis=-1)
    found = np.full(values.shape[:-1], np.nan)
    found[known] = np.nanmedian(values[known], axis=-1)
    return found


def _quotient(parts: np.ndarray) -> np.ndarray:
    """Return first over second along the last axis, NaN where the second is 0."""
    both, either = np.moveaxis(np.asarray(parts, dtype="float64"), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(either == 0, np.nan, both / either)
