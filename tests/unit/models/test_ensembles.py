"""Ensembles of models."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from odc_cleansat import CloudClass, get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.models.documents import write_model
from odc_cleansat.models.ensembles import ensemble
from odc_cleansat.models.registry import find_models
from odc_cleansat.models.weights import sha256_of
from unit.models.helpers import (
    CSMASK,
)


def test_an_ensemble_takes_what_its_members_share() -> None:
    four, six = get_model(CSMASK[1]), get_model(CSMASK[0])
    both = get_model(f"{four.name}+{six.name}")
    assert both.members == (four, six)
    assert both.bands == six.bands
    assert (both.resolution, both.level, both.classes) == (30, "L2A", six.classes)
    assert both.licence == "Apache-2.0"
    assert len(sha256_of(both)) == 64
    assert sha256_of(both) not in (sha256_of(four), sha256_of(six), sha256_of(get_model(f"{six.name}+{four.name}")))  # fmt: skip
    assert get_model(both) is both


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 10.0}, "the resolution of the first is 30 m, of the second 10 m"),
        ({"level": "L1C"}, "level of the data of the first is L2A"),
        ({"classes": (CloudClass.CLEAR, CloudClass.CLOUD)}, "of the second clear, cloud"),
    ],
)
def test_models_that_do_not_go_together(changes: dict[str, object], message: str) -> None:
    other = dataclasses.replace(get_model(), name="other", **changes)
    with pytest.raises(ModelError, match=message):
        ensemble([get_model(), other])


def test_one_model_is_no_ensemble() -> None:
    with pytest.raises(ModelError, match="two models or more"):
        get_model(f"{CSMASK[0]}+{CSMASK[0]}")


def test_an_ensemble_of_a_document(models_of_the_user: Path) -> None:
    found = {"name": "both", "version": "1", "title": "Both", "members": CSMASK[:2]}
    path = models_of_the_user / "both.yaml"
    path.write_text(yaml.safe_dump(found))
    model = get_model("both")
    assert (model.name, model.title) == ("both", "Both")
    assert [member.name for member in model.members] == CSMASK[:2]
    write_model(model, models_of_the_user / "again.yaml")
    assert yaml.safe_load((models_of_the_user / "again.yaml").read_text()) == found


def test_an_ensemble_that_is_its_own_member(models_of_the_user: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        found = {"name": name, "version": "1", "title": "x", "members": [other, CSMASK[0]]}
        (models_of_the_user / f"{name}.yaml").write_text(yaml.safe_dump(found))
    with pytest.raises(ModelError, match="member of itself"):
        get_model("a")
    assert {each.name for each in find_models() if each.problem} == {"a", "b"}
