"""Records: requests, reports and lists of failures."""

from __future__ import annotations

import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from odc_cleansat.batch import Failure, Plan, Report, Request, read_failures
from odc_cleansat.batch.records import FailureLog, dataset_label
from odc_cleansat.errors import CleansatError, CubeError


def test_a_report_counts_what_is_left() -> None:
    found = Plan(Request("s2_l2a", ""), 4, 1, tuple(uuid.uuid4() for _ in range(3)), 0, ())
    assert Report(found, 1, 1, (), True, 1.0).left == 1


def test_nothing_is_indexed_without_an_index() -> None:
    with pytest.raises(CubeError, match="leave out index=False"):
        Request("s2_l2a", "", index=False, only_accepted=True)


def scene(**document: object) -> SimpleNamespace:
    return SimpleNamespace(metadata_doc={"id": str(uuid.UUID(int=1)), **document}, uri=None)


def test_names_for_people() -> None:
    named = scene(label="S2A_x")
    assert dataset_label(named) == "S2A_x"  # type: ignore[arg-type]
    of_a_file = scene()
    of_a_file.uri = "s3://bucket/s2/scene.odc-metadata.yaml"
    assert dataset_label(of_a_file) == "scene"  # type: ignore[arg-type]
    assert dataset_label(scene()) == str(uuid.UUID(int=1))  # type: ignore[arg-type]


def test_failures_are_listed_at_once_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "failures.jsonl"
    failures = [
        Failure.of(scene(), None, "plan", CubeError("no band,\n or none that is known")),  # type: ignore[arg-type]
        Failure.of(scene(), uuid.UUID(int=2), "index", KeyError("x"), 3),  # type: ignore[arg-type]
    ]
    with FailureLog(path) as log:
        assert read_failures(path) == []
        log.write(failures[0])
        assert read_failures(path) == failures[:1]
        log.write(failures[1])
    assert read_failures(path) == failures
    assert failures[0].reason == "no band, or none that is known"
    assert failures[1].reason == "unexpected KeyError: 'x'"
    with FailureLog(path):
        pass
    assert not path.exists(), "nothing has failed this time"


def test_a_file_that_is_another_is_not_deleted(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    for content in ("my thesis", "my thesis\n", '{"scene": 1}\n'):
        path.write_text(content)
        with (
            pytest.raises(CleansatError, match="no list of failures, so it is not replaced"),
            FailureLog(path),
        ):
            pass
        assert path.read_text() == content


def test_a_line_that_a_killed_run_has_not_finished_is_left_out(tmp_path: Path) -> None:
    failure = Failure.of(scene(), None, "plan", CubeError("no band"))  # type: ignore[arg-type]
    (tmp_path / "list").write_text(failure.to_json() + "\n" + failure.to_json()[:20])
    assert read_failures(tmp_path / "list") == [failure]


def test_secrets_are_not_listed() -> None:
    secret = scene()
    secret.uri = "https://u:s3cr3t@host/scene.json?sig=s3cr3t"
    for error in (
        OSError("https://u:s3cr3t@host"),
        KeyError("?sig=s3cr3t"),
        CubeError("token=s3cr3t"),
    ):
        assert "s3cr3t" not in Failure.of(secret, None, "plan", error).to_json()  # type: ignore[arg-type]


def test_what_is_no_list_of_failures(tmp_path: Path) -> None:
    path = tmp_path / "list"
    for text in ("no list", "{}", '{"scene": "x", "mask": null}', "[1]"):
        path.write_text(text)
        with pytest.raises(CleansatError, match="is not a list of failures"):
            read_failures(path)
