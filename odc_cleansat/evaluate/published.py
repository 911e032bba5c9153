"""What others have published for the benchmarks, with its sources."""

from __future__ import annotations

from dataclasses import dataclass

from .confusion import Question

UNKNOWN = float("nan")
"""A score that was not published, or is not defined."""


@dataclass(frozen=True)
class Row:
    """The scores of one mask for one question. All scores are 0 to 1, and NaN where nobody knows them."""

    maker: str
    """What made the mask: a model or a program."""

    level: str
    """Level of the data that it was made from: ``L1C`` or ``L2A``."""

    question: Question
    """What was asked of each pixel."""

    boa: float = UNKNOWN
    """Balanced overall accuracy: mean of the true positive and true negative rates."""

    pa: float = UNKNOWN
    """Producer's accuracy, recall."""

    ua: float = UNKNOWN
    """User's accuracy, precision."""

    oa: float = UNKNOWN
    """Overall accuracy."""

    shares: tuple[float, float, float, float] | None = None
    """Shares of the patches whose PA is below 0.1 and above 0.9, and whose UA is."""

    source: str = ""
    """Where it is published, and what differs there. Empty for what was measured here."""


_CLOUDSEN12 = "doi:10.1038/s41597-022-01878-2, medians over the test patches of CloudSEN12"
_OCM = "doi:10.1016/j.rse.2025.114694, table A.1, all 29 scenes"


def _median(
    maker: str, level: str, cloud: tuple[float, ...], shadow: tuple[float, ...]
) -> list[Row]:
    asked = ((Question.CLOUD, cloud), (Question.SHADOW, shadow))
    return [
        Row(maker, level, question, boa=found[0], pa=found[1], ua=found[2], source=_CLOUDSEN12)
        for question, found in asked
        if found
    ]


def _counted(maker: str, question: Question, tp: int, tn: int, fp: int, fn: int) -> Row:
    """Return the scores of published numbers of pixels."""
    return Row(
        maker, "L1C", question,
        boa=(tp / (tp + fn) + tn / (tn + fp)) / 2, pa=tp / (tp + fn), ua=tp / (tp + fp),
        oa=(tp + tn) / (tp + tn + fp + fn), source=_OCM,
    )  # fmt: skip


PUBLISHED: dict[str, list[Row]] = {
    "cloudsen12": [
        *_median("UNetMobV2", "L1C", (0.920, 0.949, 0.943), (0.890, 0.799, 0.888)),
        *_median("Fmask 4", "L1C", (0.841, 0.914, 0.893), (0.722, 0.496, 0.658)),
        *_median("s2cloudless", "L1C", (0.786, 0.834, 0.945), ()),
        *_median("Sen2Cor", "L2A", (0.710, 0.627, 0.994), (0.507, 0.014, 0.985)),
    ],
    "pixbox": [
        _counted("OmniCloudMask 1", Question.CLOUD, 7170, 8683, 499, 999),
        _counted("OmniCloudMask 1", Question.SHADOW, 778, 15860, 245, 468),
        _counted("OmniCloudMask 1", Question.CLEAR, 7791, 8186, 868, 506),
    ],
    "cmix": [],
}
"""Published rows by benchmark. Of CMIX (doi:10.1016/j.rse.2022.112990) none is known to us in numbers."""
