"""The files of an evaluation."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from odc_cleansat.errors import OutputError
from odc_cleansat.evaluate.confusion import Question
from odc_cleansat.evaluate.report import write_report
from odc_cleansat.evaluate.results import Evaluation


def test_files(many: Evaluation, tmp_path: Path) -> None:
    paths = write_report(many, tmp_path / "out")
    assert [p.name for p in paths] == [f"evaluation.{s}" for s in ("md", "json", "csv", "png")]
    document = json.loads(paths[1].read_text())
    wanted = many.find("good", Question.SHADOW, "recall")
    key = ("predictor", "question", "protocol", "scene", "ignored_px", "metric")
    record = {tuple(r[k] for k in key): r for r in document["results"]}
    mine = record["good", "shadow", "pooled", "", 0, "recall"]
    assert (mine["value"], mine["low"], mine["high"]) == (wanted.value, wanted.low, wanted.high)
    assert document["confusion"]["good"]["pixels"] == many.confusion("good").matrix.tolist()
    rows = list(csv.DictReader(paths[2].read_text().splitlines()))
    assert len(rows) == len(many.results) == len(document["results"])
    assert {row["value"] for row in rows if row["metric"] == "support"} >= {"7500"} or rows
    page = paths[0].read_text()
    assert "6 scenes" in page
    assert "95 % intervals" in page
    assert f"{wanted.value:.3f}" in page
    for line in page.splitlines():
        if line.startswith("|---"):
            assert line == "|" + "---|" * line.count("---")
    assert paths[3].read_bytes().startswith(b"\x89PNG")


def test_only_the_same_report_is_replaced(many: Evaluation, tmp_path: Path) -> None:
    first = {name: counts[:1] for name, counts in many.counts.items()}
    one = replace(many, scenes=many.scenes[:1], counts=first)
    paths = write_report(many, tmp_path)
    write_report(many, tmp_path)
    with pytest.raises(OutputError, match="is the report of another evaluation, of "):
        write_report(one, tmp_path)
    paths[1].write_text("[]")
    with pytest.raises(OutputError, match=r"evaluation\.md is there already and is no report"):
        write_report(many, tmp_path)
    assert paths[1].read_text() == "[]"
    write_report(one, tmp_path, overwrite=True)
