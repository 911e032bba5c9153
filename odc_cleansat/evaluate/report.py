"""An evaluation as text for people, and as files for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from .._version import __version__
from ..classes import CloudClass
from ..errors import OutputError
from ..storage.reader import DocumentError, parse_json
from ..storage.replace import check_free
from .confusion import Question
from .figure import draw_figure
from .mappings import ClassMapping
from .results import Evaluation, Result
from .tables import (
    NA,
    aligned_table,
    markdown_table,
    matrix_tables,
    scene_tables,
    score_tables,
)

FILES = ("evaluation.md", "evaluation.json", "evaluation.csv", "evaluation.png")
"""The files of a report."""


def as_text(evaluation: Evaluation) -> str:
    """Return an evaluation as tables for the terminal."""
    lines = [_summary(evaluation)]
    for title, table in score_tables(evaluation):
        lines += ["", title, *aligned_table(table)]
    return "\n".join([*lines, "", *_notes(evaluation)])


def as_markdown(evaluation: Evaluation) -> str:
    """Return an evaluation as a page: the tables of the terminal, each scene, and the full matrices."""
    tables = [*score_tables(evaluation), *scene_tables(evaluation), *matrix_tables(evaluation)]
    lines = ["# Masks against labels", "", _summary(evaluation), ""]
    for title, table in tables:
        lines += [f"## {title}", "", *markdown_table(table), ""]
    return "\n".join([*lines, *(f"- {note}" for note in _notes(evaluation)), ""])


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return everything of an evaluation for JSON, with None for NaN."""
    names = [c.label for c in CloudClass]
    return {
        "version": __version__,
        "scenes": list(evaluation.scenes),
        "unit": evaluation.unit,
        "label": _mapping_as_dict(evaluation.label),
        "predictors": {name: _mapping_as_dict(m) for name, m in evaluation.mappings.items()},
        "protocol": {
            "ignored_px": list(evaluation.protocol.ignored),
            "boundary_px": evaluation.protocol.boundary,
            "dilation_px": evaluation.protocol.dilation,
            "common": evaluation.common,
            "resampled_scenes": dict(evaluation.resampled),
            "bootstrap": {"draws": evaluation.draws, "seed": evaluation.seed},
        },
        "results": [_result_as_dict(result) for result in evaluation.results],
        "confusion": {
            name: {
                "label": names,
                "prediction": names,
                "pixels": evaluation.confusion(name).matrix.tolist(),
                "unanswered": _none_for_nan(evaluation.confusion(name).unanswered),
            }
            for name in evaluation.predictors
        },
    }


def write_report(
    evaluation: Evaluation, folder: str | Path, *, overwrite: bool = False
) -> list[Path]:
    """Write ``evaluation.md``, ``.json``, ``.csv`` and ``.png`` into a folder, which is made if missing.

    Parameters
    ----------
    evaluation
        What is written.
    folder
        The folder. Files of these names are replaced if they are of the same scenes and predictors.
    overwrite
        Replace whatever files of these names are there.

    Returns
    -------
    list of pathlib.Path
        The files.

    Raises
    ------
    OutputError
        If they cannot be written, or other files of these names are there.
    """
    folder = Path(folder)
    for name in FILES:
        check_free(folder / name, lambda there: _difference(there, evaluation), overwrite)
    contents = {
        "evaluation.md": as_markdown(evaluation),
        "evaluation.json": json.dumps(as_dict(evaluation), indent=1) + "\n",
        "evaluation.csv": _as_csv(evaluation),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="utf-8")
        draw_figure(evaluation, folder / "evaluation.png")
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}.") from error
    return [folder / name for name in FILES]


def _difference(path: Path, evaluation: Evaluation) -> str:
    """Return how the report beside a file differs from that of an evaluation; "" if it is the same."""
    try:
        there = parse_json((path.parent / "evaluation.json").read_bytes(), "the report", nan=True)
        known = there["version"], sorted(there["predictors"]), sorted(there["scenes"])
    except (OSError, DocumentError, KeyError, TypeError):
        return "is no report that this package wrote"
    same = known[1:] == (sorted(evaluation.predictors), sorted(evaluation.scenes))
    return "" if same else f"is the report of another evaluation, of {', '.join(known[1])}"


# --- for people -----------------------------------------------------------------------


def _summary(evaluation: Evaluation) -> str:
    n = len(evaluation.scenes)
    labelled = max(evaluation.confusion(name).labelled for name in evaluation.predictors)
    widened = evaluation.protocol.dilation
    return (
        f"{n} scene{'s' * (n != 1)}, {labelled:,} {evaluation.unit}s with a label ({evaluation.label.name})"
        + (" for which all predictions have data." if evaluation.common else ".")
        + (f" Both sides widened by {widened} px." if widened else "")
    )


def _notes(evaluation: Evaluation) -> list[str]:
    """Return what a reader must know of the tables."""
    n = len(evaluation.scenes)
    if n < 2:
        notes = ["One scene: no intervals, they need two or more."]
    else:
        rough = ", so few that they are rough." if n < 20 else "."
        notes = [
            f"Brackets: 95 % intervals, {evaluation.draws} bootstrap draws of {n} scenes{rough}"
        ]
    if _supports_differ(evaluation):
        notes.append(
            f"Each prediction counts where it has data itself, and so not all on the same {evaluation.unit}s: see "
            f"label {evaluation.unit}s and no answer. The option `common` counts only those that all have."
        )
    notes.append(f"{NA}: not defined, as the class is absent.")
    for name, count in evaluation.resampled.items():
        often = "" if n == 1 else f" in {count} of {n} scenes"
        notes.append(f"{name} was brought to the grid of the label by nearest neighbour{often}.")
    unknown = [q.value for q in Question if q not in evaluation.questions]
    if unknown:
        notes.append(f"Not asked, as label or predictions do not know it: {', '.join(unknown)}.")
    return notes


def _supports_differ(evaluation: Evaluation) -> bool:
    """Return whether predictors are scored on different pixels."""
    return any(
        len(
            {
                evaluation.find(name, question, "support").value
                for name in evaluation.predictors
                if question in evaluation.answered(name)
            }
        )
        > 1
        for question in evaluation.questions
    )


# --- for programs ---------------------------------------------------------------------


def _result_as_dict(result: Result) -> dict[str, Any]:
    return {
        "predictor": result.predictor,
        "question": result.question.value,
        "protocol": result.aggregation,
        "scene": result.scene,
        "ignored_px": result.ignored,
        "metric": result.metric,
        "value": _none_for_nan(result.value),
        "low": _none_for_nan(result.low),
        "high": _none_for_nan(result.high),
    }


def _none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def _mapping_as_dict(mapping: ClassMapping) -> dict[str, Any]:
    return {
        "mapping": mapping.name,
        "codes": mapping.rules,
        "questions": sorted(q.value for q in mapping.questions),
    }


def _as_csv(evaluation: Evaluation) -> str:
    columns = [
        "predictor", "question", "protocol", "scene", "ignored_px", "metric", "value", "low", "high",
    ]  # fmt: skip
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for result in evaluation.results:
        record = _result_as_dict(result)
        writer.writerow({key: NA if value is None else value for key, value in record.items()})
    return out.getvalue()
