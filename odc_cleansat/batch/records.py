"""What a run is asked, what it plans, and what it reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from uuid import UUID

from ..addresses import public_address, without_secrets
from ..cube.scene_list import SceneRow
from ..errors import CleansatError, CubeError
from ..models.former import about_former
from ..models.model import Model
from ..storage.reader import parse_json, read_file

if TYPE_CHECKING:
    from datacube.model import Dataset

    from ..cube.item_file import ItemFile


@dataclass(frozen=True)
class Request:
    """Which masks are wanted of which scenes, and where.

    Raises
    ------
    CubeError
        If options contradict each other, or there is no such part.

    Examples
    --------
    >>> Request("s2_l2a", root="masks", query={"time": "2024-06"}).limit
    """

    product: str | None
    """Product of Sentinel-2 L2A scenes; None with a list of `items`."""

    root: str | Path
    """Folder, or ``s3://bucket/prefix``, under which masks are kept."""

    model: str | Model | None = None
    """A model or its name; by default the best for each scene's bands."""

    offset: float | None = None
    """Radiometric offset, digital numbers; by default the metadata of each scene decide."""

    index: bool = True
    """Whether masks are looked for and put in the index; if not, only their files count."""

    only_accepted: bool = False
    """Whether no mask is made, and those masks are indexed that are written and that reviewers have accepted."""

    limit: int | None = None
    """Make at most so many masks; by default all."""

    query: Mapping[str, Any] = field(default_factory=dict)
    """Search terms as for `dc.find_datasets`: ``time``, ``x``, ``y``, ``crs``, ``geopolygon``, ..."""

    refine: bool = True
    """Whether light refines the masks; else they are the network's own answer, as all masks were once."""

    part: tuple[int, int] | None = None
    """K and N: only the K-th of N parts of the scenes, counted from 1. The id of a scene decides its part."""

    items: str | Path | None = None
    """Path or URL of a stac-geoparquet file whose items are the scenes, in place of a product. It goes with ``index=False``:
    masks are entered in the catalogue of the store."""

    max_cloud: float | None = None
    """Greatest cloud cover of a scene, percent, as its provider gives it. Scenes without a figure are masked too."""

    @property
    def source(self) -> str:
        """What the scenes are of, for people."""
        return public_address(str(self.items)) if self.items is not None else str(self.product)

    def is_clear_enough(self, cover: float | None) -> bool:
        """Return whether a scene with so much cloud, percent, is wanted."""
        return self.max_cloud is None or cover is None or cover <= self.max_cloud

    def has(self, scene: UUID) -> bool:
        """Return whether a scene is in the part that is asked for."""
        return self.part is None or scene.int % self.part[1] == self.part[0] - 1

    def __post_init__(self) -> None:
        if self.part is not None and not 1 <= self.part[0] <= self.part[1]:
            raise CubeError(f"part={self.part} is no part; pass K and N, with K from 1 to N.")
        if (self.items is None) == (self.product is None):
            raise CubeError(
                "scenes are of a product or of a list; pass one of product= and items=."
            )
        if self.items is not None and self.index:
            raise CubeError(
                "masks of a list are entered in the catalogue of their store, and in no datacube; pass index=False."
            )
        if self.only_accepted and not self.index:
            raise CubeError("only_accepted is about what is indexed; leave out index=False.")


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

    @classmethod
    def of(
        cls,
        scene: Dataset | SceneRow,
        mask: UUID | None,
        stage: str,
        error: BaseException,
        attempts: int = 1,
    ) -> Failure:
        """Describe an error in words: the errors of some libraries cannot be sent between processes."""
        reason = without_secrets(" ".join(str(error).split()))
        if not isinstance(error, CleansatError | OSError):
            first = (str(error).strip().splitlines() or ["no message"])[0]
            reason = f"unexpected {type(error).__name__}: {without_secrets(first)}"
        name = type(error).__name__
        return cls(dataset_id(scene), dataset_label(scene), mask, stage, name, reason, attempts)

    def to_json(self) -> str:
        """Return the failure as one line of JSON."""
        return json.dumps(asdict(self), default=str)


@dataclass(frozen=True)
class Plan:
    """Which scenes of a request have their mask, and which lack one."""

    request: Request
    """Which masks are wanted."""

    scenes: int
    """How many scenes match the query."""

    masked: int
    """How many of them have their mask."""

    missing: tuple[UUID, ...]
    """The scenes whose masks will be made, or with `only_accepted` indexed, in the order of time or of the list."""

    postponed: int
    """How many more have no mask, beyond the limit."""

    failures: tuple[Failure, ...]
    """Scenes that cannot have a mask, for instance because a band is missing."""

    rejected: int = 0
    """With `only_accepted`, how many more have a mask that is written but was rejected."""

    unreviewed: int = 0
    """With `only_accepted`, how many more have no mask, or one that nobody has accepted or rejected."""

    verdicts: Mapping[str, int] | None = None
    """How many of the `masked` were accepted, rejected and not reviewed; None if that was not asked for."""

    former: Mapping[str, int] = field(default_factory=dict)
    """Models that were the default once, and how many scenes without their mask have one by it; without an index at least
    as many."""

    items: ItemFile | None = field(default=None, compare=False, repr=False)
    """The list of items, to be read again."""

    @property
    def about_former(self) -> str:
        """What to say of masks by models that were the default once; empty if there are none."""
        if not self.former:
            return ""
        least = "" if self.request.index else "at least "
        return (
            f"{least}{sum(self.former.values())} of the scenes without a mask by the default model have one by another. "
            f"{about_former(self.former)}"
        )


@dataclass(frozen=True)
class Report:
    """What a run has done."""

    plan: Plan
    """What there was to do."""

    masked: int
    """Scenes whose masks this run has made; with `only_accepted`, has indexed."""

    meanwhile: int
    """Scenes whose masks were there when their turn came: another run, an earlier one or a dead worker made them."""

    failures: tuple[Failure, ...]
    """Scenes that failed, those of the plan included."""

    interrupted: bool
    """Whether it was stopped before the end."""

    seconds: float
    """How long it took, without planning."""

    rejected: int = 0
    """Scenes whose masks are written and were not indexed, because reviewers have rejected them."""

    run_id: str = ""
    """Id of the run, which stands in its masks too."""

    @property
    def left(self) -> int:
        """Scenes of the plan that were not tried."""
        done = self.masked + self.meanwhile + self.rejected
        tried = done + len(self.failures) - len(self.plan.failures)
        return max(0, len(self.plan.missing) - tried)


class FailureLog:
    """Lists failures in a file as they come, one line of JSON each, so that they survive a kill.

    A list of an earlier run is replaced, and any other file is left alone. There is no file as long as nothing failed.

    Parameters
    ----------
    path
        The file; None lists nowhere.

    Raises
    ------
    CleansatError
        If there is a file that is no list of failures.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> FailureLog:
        if self._path and self._path.exists():
            try:
                read_failures(self._path)
            except (CleansatError, OSError) as error:
                raise CleansatError(
                    f"{self._path} is there already and is no list of failures, so it is not replaced; name another "
                    "file for the failures."
                ) from error
            self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def write(self, failure: Failure) -> None:
        """Add a failure."""
        if self._path is None:
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("w", encoding="utf-8", buffering=1)
        self._file.write(failure.to_json() + "\n")


def read_failures(path: Path) -> list[Failure]:
    """Return the failures that a run has listed in a file; none if there is no such file.

    A last line that a killed run has not finished is left out.

    Raises
    ------
    CleansatError
        If the file is not such a list.
    OSError
        If it cannot be read.
    """
    try:
        *lines, unfinished = read_file(path).split(b"\n")
    except FileNotFoundError:
        return []
    try:
        if unfinished and not lines:
            lines = [unfinished]
        return [_read_failure(parse_json(line, str(path))) for line in lines]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CleansatError(
            f"{path} is not a list of failures as `cleansat run` writes it."
        ) from error


def _read_failure(document: dict[str, Any]) -> Failure:
    mask = document["mask"]
    ids = {"scene": UUID(document["scene"]), "mask": UUID(mask) if mask else None}
    failure = Failure(**{**document, **ids})
    if not all(
        isinstance(getattr(failure, key), str) for key in ("label", "stage", "error", "reason")
    ):
        raise TypeError("a field is no text")
    return failure


def dataset_id(scene: Dataset | SceneRow) -> UUID:
    """Return the id in a dataset's document, or of a row."""
    if isinstance(scene, SceneRow):
        return scene.id
    return UUID(str(scene.metadata_doc["id"]))


def dataset_label(scene: Dataset | SceneRow) -> str:
    """Return a name for people: the label in the document, else the name of its file."""
    if isinstance(scene, SceneRow):
        return without_secrets(scene.label)
    if label := scene.metadata_doc.get("label"):
        return without_secrets(str(label))
    name = public_address(scene.uri or "").rstrip("/").rpartition("/")[2]
    return name.partition(".odc-metadata")[0] or str(dataset_id(scene))
