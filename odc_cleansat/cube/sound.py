"""Indexed datasets whose documents can be used: one that is odd is left out, named, and stops no other."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..arguments import is_number
from ..errors import CleansatError, CubeError, GapWarning, first_line, warn_caller
from ..storage.eo3 import native_grids
from ..storage.reader import strange_values

if TYPE_CHECKING:
    from datacube.model import Dataset

_TEXTS = (
    "odc:region_code",
    "cleansat:scene",
    "cleansat:model",
    "cleansat:weights_sha256",
)
"""Properties that are compared, and so have to be text."""


def given_datasets(datasets: Any) -> tuple[Dataset, ...]:
    """Return the datasets that a caller passes, one or several; not yet looked at.

    Raises
    ------
    CubeError
        If there cannot be any in it.
    """
    if hasattr(datasets, "metadata_doc"):
        return (datasets,)
    try:
        return tuple(datasets)
    except TypeError as error:
        raise CubeError(
            f"datasets= is {datasets!r:.100}; pass a dataset of a datacube, or several."
        ) from error


def sound(datasets: Iterable[Dataset], *, needed: bool = False) -> list[Dataset]:
    """Leave out the datasets whose documents cannot be used.

    Parameters
    ----------
    datasets
        Scenes or masks of an index.
    needed
        Whether it is an error if none is left.

    Raises
    ------
    CubeError
        If one is no dataset, or none is left though one is needed.

    Warns
    -----
    GapWarning
        If some are left out.
    """
    found, why = [], {}
    for each in datasets:
        if not hasattr(each, "metadata_doc"):
            raise CubeError(f"datasets= holds {each!r:.100}, which is no dataset of a datacube.")
        if fault := fault_of_dataset(each):
            why[_name(each)] = fault
        else:
            found.append(each)
    if why:
        listed = "; ".join(f"{name} ({reason})" for name, reason in [*why.items()][:5])
        listed += f" and {len(why) - 5} more" if len(why) > 5 else ""
        if needed and not found:
            raise CubeError(
                f"none of the {len(why)} datasets can be used: {listed}. Index them anew from whole documents, or "
                "archive them."
            )
        warn_caller(
            f"{len(why)} of {len(why) + len(found)} datasets cannot be used and are left out: {listed}.",
            GapWarning,
        )
    return found


def fault_of_dataset(dataset: Dataset) -> str | None:
    """Say why the document of an indexed dataset cannot be used; None if it can.

    What is looked at is what is read of documents later: times, places, grids, and what is compared.
    """
    try:
        with strange_values("its document"):
            time = dataset.time
            _ = dataset.id, time.begin, time.end, dataset.transform, dataset.extent
            native_grids(dataset.metadata_doc)
            _check_values(dataset)
    except (CleansatError, OSError) as error:
        return first_line(error)
    return None


def _check_values(dataset: Dataset) -> None:
    from datacube.utils.dates import normalise_dt

    document = dataset.metadata_doc
    if not isinstance(dataset.center_time, datetime):
        raise ValueError("it has no time")
    for name, each in document["measurements"].items():
        if not isinstance(each.get("path", ""), str):
            raise ValueError(f"the path of {name} is no text")
    properties = document.get("properties", {})
    normalise_dt(properties.get("odc:processing_datetime") or "1970-01-01")
    for name in _TEXTS:
        if not isinstance(properties.get(name, ""), str):
            raise ValueError(f"{name} is no text")
    if not is_number(properties.get("cleansat:offset", 0)):
        raise ValueError("cleansat:offset is no number")


def _name(dataset: Dataset) -> str:
    """Return the id of a dataset, or what stands in its place."""
    return str(dataset.metadata_doc.get("id", "one without an id"))[:100]
