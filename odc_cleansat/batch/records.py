"""What a run is asked, what it plans, and what it reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from ..errors import CleansatError
from ..models.model import Model

if TYPE_CHECKING:
    from datacube.model import Dataset


@dataclass(frozen=True)
class Failure:
    """A scene whose mask could not be made or indexed."""

    scene: UUID
    """Id of its dataset."""

    label: str
    """Its name for people."""

    mask: UUID | None
    """Id that its mask would have, if that much is known."""

    stage: str
    """``plan``, ``mask`` or ``index``. After ``index``, the mask is written and whole."""

    error: str
    """Name of the error's class."""

    reason: str
    """What the error says, in one line."""

    attempts: int = 1
    """How often it was tried."""

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), default=str)


@dataclass(frozen=True)
class Request:
    """Which masks are wanted of scenes, and where."""

    product: str
    """Of the scenes."""

    root: str | Path
    """Under which masks are kept."""

    model: str | Model | None = None
    """A model or its name; by default the best for each scene's bands."""

    offset: float | None = None
    """Radiometric offset, digital numbers; by default the metadata of each scene decide."""

    index: bool = True
    """Whether masks are looked for and put in the index, or only in files."""

    only_accepted: bool = False
    """Whether nothing is made, and only masks that are written and that reviewers have accepted are indexed."""


@dataclass(frozen=True)
class Plan:
    """What there is to do."""

    request: Request
    """Which masks are wanted."""

    scenes: int
    """How many scenes match the query."""

    masked: int
    """How many of them have their mask."""

    missing: tuple[UUID, ...]
    """The scenes whose masks will be made, or with `only_accepted` indexed, in the order of time."""

    postponed: int
    """How many more have no mask, beyond the limit."""

    failures: tuple[Failure, ...]
    """Scenes that cannot have a mask, for instance for want of a band."""

    rejected: int = 0
    """With `only_accepted`, how many more have a mask that is written but was rejected."""

    unreviewed: int = 0
    """With `only_accepted`, how many more have a mask that nobody has accepted or rejected, or none."""

    verdicts: Mapping[str, int] | None = None
    """How many of the masks that there are were accepted, rejected and not reviewed, if that was asked for."""


@dataclass(frozen=True)
class Report:
    """What a run has done."""

    plan: Plan
    """What there was to do."""

    masked: int
    """Scenes whose masks this run has made, or, of those that reviewers have accepted, indexed."""

    meanwhile: int
    """Scenes whose masks were there already when their turn came: by another run, by one that ended before it indexed
    them, or by a worker that died."""

    failures: tuple[Failure, ...]
    """Scenes that failed, those of the plan included."""

    interrupted: bool
    """Whether it was stopped before the end."""

    seconds: float
    """How long it took, without planning."""

    rejected: int = 0
    """Scenes whose masks are written and were not indexed, for reviewers have rejected them."""

    @property
    def left(self) -> int:
        """Scenes of the plan that were not tried."""
        done = self.masked + self.meanwhile + self.rejected
        tried = done + len(self.failures) - len(self.plan.failures)
        return max(0, len(self.plan.missing) - tried)


def _id(scene: Dataset) -> UUID:
    return UUID(str(scene.metadata_doc["id"]))


def _label(scene: Dataset) -> str:
    """A name for people: the label in the document, else the name of its file."""
    if label := scene.metadata_doc.get("label"):
        return str(label)
    name = (scene.uri or "").rstrip("/").rpartition("/")[2]
    return name.partition(".odc-metadata")[0] or str(_id(scene))


def _failure(
    scene: Dataset, mask: UUID | None, stage: str, error: BaseException, attempts: int = 1
) -> Failure:
    reason = " ".join(str(error).split())
    if not isinstance(error, CleansatError | OSError):
        first = (str(error).strip().splitlines() or ["no message"])[0]
        reason = f"unexpected {type(error).__name__}: {first}"
    return Failure(_id(scene), _label(scene), mask, stage, type(error).__name__, reason, attempts)


# --- reports --------------------------------------------------------------------------


def read_failures(path: Path) -> list[Failure]:
    """The failures that a run has written, one line of JSON each; none if there is no such file.

    Raises
    ------
    CleansatError
        If it is not such a file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            document = json.loads(line)
            mask = document["mask"]
            found.append(
                Failure(
                    **{
                        **document,
                        "scene": UUID(document["scene"]),
                        "mask": UUID(mask) if mask else None,
                    }
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CleansatError(
                f"{path} is not a list of failures as `cleansat run` writes it."
            ) from error
    return found
