"""Models of the user's own are tried, copied and found again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from odc_cleansat import get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.models.documents import write_model
from odc_cleansat.models.install import (
    check_suffix,
    document_beside,
    files_of,
    find_own,
    import_model,
    try_model,
)
from odc_cleansat.models.model import Model
from odc_cleansat.models.weights import sha256_of
from unit.models.helpers import KERNEL, a_model, onnx_file

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def own(tmp_path: Path) -> Model:
    """A model whose weights and document lie in a folder of the user's."""
    folder = tmp_path / "work"
    folder.mkdir()
    model = a_model(onnx_file(folder / "a-model.onnx"))
    write_model(model, folder / "a-model.yaml")
    return model


def weights_of(model: Model) -> Path:
    return Path(model.weights.removeprefix("file:"))


def test_what_is_imported_is_the_same_model_in_another_place(
    own: Model, models_of_the_user: Path
) -> None:
    kept = import_model(weights_of(own).with_suffix(".yaml"))
    assert kept == get_model("a-model")
    assert weights_of(kept) == models_of_the_user / "a-model.onnx"
    assert kept.sha256 == sha256_of(own)
    assert replace(kept, weights=own.weights, sha256="") == own
    assert find_own("a-model") == models_of_the_user / "a-model.yaml"
    assert files_of(find_own("a-model")) == [find_own("a-model"), weights_of(kept)]
    with pytest.raises(ModelError, match="force=True replaces it"):
        import_model(weights_of(own).with_suffix(".yaml"))


def test_what_does_not_work_is_not_copied(own: Model, models_of_the_user: Path) -> None:
    onnx_file(weights_of(own), kernel=KERNEL * np.nan)
    for use in (lambda: try_model(own), lambda: import_model(weights_of(own).with_suffix(".yaml"))):
        with pytest.raises(ModelError, match="not finite"):
            use()
    assert not list(models_of_the_user.iterdir())


def test_the_document_of_weights_lies_beside_them(own: Model) -> None:
    weights = weights_of(own)
    assert document_beside(weights) == weights.with_suffix(".yaml")
    other = weights.rename(weights.with_name("b.onnx"))
    with pytest.raises(ModelError, match="needs a model document beside it"):
        document_beside(other)
    with pytest.raises(ModelError, match="neither a model document"):
        check_suffix(Path("notes.txt"))


def test_only_models_of_the_users_own_are_found() -> None:
    with pytest.raises(ModelError, match=r"not one of your own \(built-in\)"):
        find_own(get_model().name)
    with pytest.raises(ModelError, match="no model 'nobody'"):
        find_own("nobody")
