"""Choose among several masks of one scene: by verdict, by model, by version, by order."""

from __future__ import annotations

import datetime
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..arguments import fault_of_flags
from ..errors import CubeError, ModelError, ModelWarning, warn_caller
from ..models.former import FORMER, about_former
from ..models.model import Model
from ..models.registry import DEFAULTS, get_model
from ..models.weights import known_sha256

if TYPE_CHECKING:
    from datacube.model import Dataset


def check_flags(only_accepted: bool, include_rejected: bool, **others: bool) -> None:
    """Raise if one of some options is neither true nor false, or the two about reviewers contradict each other.

    Raises
    ------
    CubeError
        If so.
    """
    if fault := fault_of_flags(
        only_accepted=only_accepted, include_rejected=include_rejected, **others
    ):
        raise CubeError(fault)
    if only_accepted and include_rejected:
        raise CubeError(
            "only_accepted and include_rejected contradict each other; pass one of them."
        )


def mask_property(mask: Dataset, name: str) -> Any:
    """Return a property ``cleansat:...`` of a mask's document; None if it is not there."""
    return mask.metadata_doc.get("properties", {}).get(f"cleansat:{name}")


def of_one_model(masks: Sequence[Dataset], model: str | Model | None) -> list[Dataset]:
    """Keep the masks by one model, and of those the ones by its present weights.

    Parameters
    ----------
    masks
        The masks.
    model
        The model or its name; None if each scene has masks by one model only.

    Raises
    ------
    CubeError
        If a scene has masks by several models and none is named, or there are none by the one that is.

    Warns
    -----
    ModelWarning
        If a scene has several masks by one model; the one made last will be taken.
    """
    found = list(masks) if model is None else made_by(model, masks)
    _check_models(found)
    return _of_one_version(found)


def made_by(model: str | Model, masks: Sequence[Dataset]) -> list[Dataset]:
    """Keep the masks that a model made.

    Raises
    ------
    CubeError
        If there are none.
    """
    name = model.name if isinstance(model, Model) else model
    found = [each for each in masks if _model(each) == name]
    if not found:
        raise CubeError(
            f"there is no mask by the model {name!r} in the area and time; there are masks by "
            f"{', '.join(sorted({_model(each) for each in masks}))}."
        )
    return found


def in_order(masks: Iterable[Dataset]) -> list[Dataset]:
    """Sort masks by time; of masks of one time, the one made last comes first."""
    newest = sorted(masks, key=lambda each: str(each.id))
    newest.sort(key=_made_at, reverse=True)
    return sorted(newest, key=lambda each: each.center_time)


def _check_models(masks: Sequence[Dataset]) -> None:
    """Raise if a scene has masks by several models."""
    makers: dict[Hashable, set[str]] = {}
    for each in masks:
        makers.setdefault(_scene(each), set()).add(_model(each))
    if rivals := {name for names in makers.values() if len(names) > 1 for name in names}:
        defaults = " or ".join(name for name in DEFAULTS if name in rivals)
        raise CubeError(
            "there are masks of the same scene by several models; choose with model=: "
            f"{', '.join(sorted(rivals))}." + (f" The default is {defaults}." if defaults else "")
        )


def warn_of_former(masks: Sequence[Dataset]) -> None:
    """Warn if masks are by models that the default makes no longer.

    Parameters
    ----------
    masks
        The masks that are taken, although no model was named.

    Warns
    -----
    ModelWarning
        Naming the models, and how to go on.
    """
    makers = [_model(each) for each in masks]
    if how := about_former(makers):
        count = sum(maker in FORMER for maker in makers)
        warn_caller(
            f"{count} of {len(masks)} masks are not by the default model. {how}", ModelWarning
        )


def _of_one_version(masks: Sequence[Dataset]) -> list[Dataset]:
    """Of a scene's masks by one model, keep those by its present weights and refined by light, if there are any."""
    scenes: dict[Hashable, list[Dataset]] = {}
    for each in masks:
        scenes.setdefault(_scene(each), []).append(each)
    rivals = [each for each in scenes.values() if len(each) > 1]
    present = {name: _sha256(name) for name in {_model(mask) for each in rivals for mask in each}}
    several, left_out = [], set()
    for each in rivals:
        kept = [m for m in each if mask_property(m, "weights_sha256") == present[_model(m)]] or each
        kept = [m for m in kept if mask_property(m, "light")] or kept
        left_out |= {mask.id for mask in each if mask not in kept}
        versions = {(mask_property(m, "weights_sha256"), mask_property(m, "offset")) for m in kept}
        if len(versions) > 1:
            several.append(kept)
    if several:
        _warn_of_several(several, len(scenes))
    return [each for each in masks if each.id not in left_out]


def _warn_of_several(several: Sequence[Sequence[Dataset]], scenes: int) -> None:
    """Warn of scenes that have several masks by one model."""
    offsets = sorted({float(mask_property(m, "offset") or 0) for masks in several for m in masks})
    made = (
        f"with the offsets {', '.join(f'{offset:g}' for offset in offsets)}"
        if len(offsets) > 1
        else "by several weights"
    )
    warn_caller(
        f"{len(several)} of {scenes} scenes have several masks by {_model(several[0][0])}, made {made}; those made "
        "last are taken. Archive the others (datacube dataset archive), or pass datasets=.",
        ModelWarning,
    )


def _model(mask: Dataset) -> str:
    return str(mask_property(mask, "model") or "an unknown model")


def _sha256(name: str) -> str | None:
    """Return the checksum of a model's weights; None if there is no such model, or it was never fetched."""
    try:
        return known_sha256(get_model(name)) or None
    except ModelError:
        return None


def _scene(mask: Dataset) -> Hashable:
    """Return what the masks of one scene have in common; a search gives no lineage."""
    region = mask.metadata_doc.get("properties", {}).get("odc:region_code")
    return mask.center_time, region or mask_property(mask, "scene") or str(mask.extent)


def _made_at(mask: Dataset) -> datetime.datetime:
    from datacube.utils.dates import normalise_dt

    made = mask.metadata_doc.get("properties", {}).get("odc:processing_datetime")
    when: datetime.datetime = normalise_dt(made or "1970-01-01")
    return when
