"""The topics that are asked for, in their order, and what they load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Fresh

from odc_cleansat.doctor import TOPICS, Questions, examine
from odc_cleansat.doctor import examine as module
from odc_cleansat.doctor.finding import Finding


def test_topics_come_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("packages", "machine"):
        monkeypatch.setattr(
            f"odc_cleansat.doctor.{name}.probe",
            lambda seconds, name=name: [Finding({"packages": "python"}.get(name, name), "ok", "")],
        )
    monkeypatch.setattr(
        "odc_cleansat.doctor.network.probe_stac", lambda api: [Finding("network", "ok", api)]
    )
    config = (str(tmp_path / "none.conf"),)
    asked = Questions(
        config=config, stores=(str(tmp_path),), online=True, stac_api="here", seconds=60
    )
    found = list(examine(asked))
    assert list(dict.fromkeys(each.topic for each in found)) == list(TOPICS)
    assert found[-1].what == "here"
    some = Questions(topics=("folders",), stores=(str(tmp_path),), seconds=60)
    assert {each.topic for each in examine(some)} == {"folders"}
    assert callable(module)


def test_a_topic_loads_what_it_needs(fresh: Fresh) -> None:
    heavy = (
        "torch",
        "openvino",
        "datacube",
        "s3fs",
        "requests",
        "distributed",
    )
    said = fresh(
        "import json, sys\n"
        "from odc_cleansat.doctor import Questions, examine\n"
        "found = [each.state for each in examine(Questions(topics=('folders',)))]\n"
        f"print(json.dumps([found, [each for each in {heavy} if each in sys.modules]]))"
    )
    found, loaded = json.loads(said)
    assert len(found) == 4
    assert loaded == []
