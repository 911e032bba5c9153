"""Choose among several masks of one scene: by model, by version, by order."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import CubeError, ModelError, ModelWarning
from ..models.model import Model
from ..models.registry import get_model
from ..models.weights import known_sha256

if TYPE_CHECKING:
    from datacube.model import Dataset


def _model(dataset: Dataset) -> str:
    return str(dataset.metadata_doc.get("properties", {}).get("cleansat:model", "an unknown model"))


def of_one_model(datasets: Sequence[Dataset], model: str | Model | None) -> list[Dataset]:
    """The masks by a model; all if none is named, unless there are several of one scene.

    Raises
    ------
    CubeError
        If a scene has masks by several models and none is named, or there are none by the one that is.
    """
    found = list(datasets) if model is None else _made_by(model, datasets)
    _check_models(found)
    return _of_one_version(found)


def _made_by(model: str | Model, datasets: Sequence[Dataset]) -> list[Dataset]:
    name = model.name if isinstance(model, Model) else model
    found = [each for each in datasets if _model(each) == name]
    if not found:
        raise CubeError(
            f"there is no mask by the model {name!r} in the area and time; there are masks by "
            f"{', '.join(sorted({_model(each) for each in datasets}))}."
        )
    return found


def _check_models(datasets: Sequence[Dataset]) -> None:
    """Refuse to choose between masks of one scene by several models."""
    makers: dict[Hashable, set[str]] = {}
    for each in datasets:
        makers.setdefault(_scene(each), set()).add(_model(each))
    if rivals := {name for names in makers.values() if len(names) > 1 for name in names}:
        raise CubeError(
            "there are masks of the same scene by several models; choose with model=: "
            f"{', '.join(sorted(rivals))}."
        )


def _of_one_version(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Of a scene's masks by one model, those by the weights that the model has here, if there are any.

    Warns
    -----
    ModelWarning
        If a scene still has several, of which the one made last will be taken.
    """
    scenes: dict[Hashable, list[Dataset]] = {}
    for each in datasets:
        scenes.setdefault(_scene(each), []).append(each)
    rivals = [masks for masks in scenes.values() if len(masks) > 1]
    here = {name: _sha256(name) for name in {_model(each) for masks in rivals for each in masks}}
    several, left = [], set()
    for masks in rivals:
        present = [m for m in masks if _said(m, "weights_sha256") == here[_model(m)]]
        kept = present or masks
        left |= {each.id for each in masks if each not in kept}
        if len({(_said(each, "weights_sha256"), _said(each, "offset")) for each in kept}) > 1:
            several.append(_in_order(kept))
    if several:
        first = several[0][0]
        offsets = sorted({float(_said(each, "offset") or 0) for masks in several for each in masks})
        made = (
            f"with the offsets {', '.join(f'{offset:g}' for offset in offsets)}"
            if len(offsets) > 1
            else "by several weights"
        )
        warnings.warn(
            f"{len(several)} of {len(scenes)} scenes have several masks by {_model(first)}, made {made}; those made "
            "last are taken. Archive the others (datacube dataset archive), or pass datasets=.",
            ModelWarning,
            stacklevel=4,
        )
    return [each for each in datasets if each.id not in left]


def _said(dataset: Dataset, key: str) -> Any:
    return dataset.metadata_doc.get("properties", {}).get(f"cleansat:{key}")


def _sha256(name: str) -> str | None:
    """Of the weights that a model has here; None where there is no such model, or it was never fetched."""
    try:
        return known_sha256(get_model(name)) or None
    except ModelError:
        return None


def _scene(dataset: Dataset) -> Hashable:
    """What the masks of one scene have in common; a search gives no lineage."""
    region = dataset.metadata_doc.get("properties", {}).get("odc:region_code")
    return dataset.center_time, region or str(dataset.extent)


def _in_order(group: Iterable[Dataset]) -> list[Dataset]:
    """The earliest first; masks of one time, the one made last first."""
    newest = sorted(group, key=lambda each: str(each.id))
    newest.sort(key=_processed, reverse=True)
    return sorted(newest, key=lambda each: each.center_time)


def _processed(dataset: Dataset) -> datetime.datetime:
    from datacube.utils.dates import normalise_dt

    made = dataset.metadata_doc.get("properties", {}).get("odc:processing_datetime")
    when: datetime.datetime = normalise_dt(made or "1970-01-01")
    return when
