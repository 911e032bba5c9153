"""Many scenes: find those without a mask, make the masks on a dask cluster, and index them.

The unit of work is a scene. Workers read its files and write its mask; they know no database. The process
that calls :func:`execute` searches, hands out scenes as workers get free, and indexes each mask when it
is written. So it may be killed at any moment: what is indexed is complete, and the next run does the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

from cachetools import LRUCache, cached

from .cluster import THREADS_VARIABLE, ClusterError, Stop, dask_client, describe, work_through
from .eo3 import read_document
from .errors import (
    CleansatError,
    CubeError,
    GapWarning,
    ModelError,
    OutputError,
    ReflectanceWarning,
)
from .index import MASK_PRODUCT, add_dataset
from .masking import MaskJob, mask_grid
from .models import Model, get_model
from .product import document_in, mask_folder, mask_id
from .recalling import check_longitudes
from .reflectance import names_of
from .review.verdicts import STATES, folder_of, read_many, state
from .sources import BandFile, SceneFiles, offset_hints
from .storage import Folder

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset, Product
    from odc.geo.geom import Geometry

UNWRITTEN = 5
"""Masks that cannot be written, one after the other, after which no more are made."""

RETRIES = 2
"""How often a scene is tried again."""

_PAGE = 200
_LONGEST_PAUSE = 60.0


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


class Watcher(Protocol):
    """Is told how a run goes on."""

    def say(self, text: str) -> None:
        """Take note of something that a person should know."""

    def scene(self, done: int, total: int, failure: Failure | None) -> None:
        """Take note that one more scene is over, well or not."""


def run(
    dc: Datacube,
    product: str,
    *,
    root: str | Path,
    model: str | Model | None = None,
    offset: float | None = None,
    index: bool = True,
    only_accepted: bool = False,
    limit: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    retries: int = RETRIES,
    watcher: Watcher | None = None,
    **query: Any,
) -> Report:
    """Mask all scenes of a query that have no mask yet: :func:`plan` and :func:`execute`.

    See these two for parameters and errors.

    Examples
    --------
    >>> report = run(dc, "s2_l2a", root="masks", time="2024-06", workers=4)  # doctest: +SKIP
    """
    found = plan(
        dc,
        product,
        root=root,
        model=model,
        offset=offset,
        index=index,
        only_accepted=only_accepted,
        limit=limit,
        **query,
    )
    return execute(
        dc, found, workers=workers, scheduler=scheduler, retries=retries, watcher=watcher
    )


# --- what there is to do --------------------------------------------------------------


def plan(
    dc: Datacube,
    product: str,
    *,
    root: str | Path,
    model: str | Model | None = None,
    offset: float | None = None,
    index: bool = True,
    only_accepted: bool = False,
    verdicts: bool = False,
    limit: int | None = None,
    **query: Any,
) -> Plan:
    """Find the scenes of a query and which of them have their mask already.

    The id of a mask follows from its scene, the model and the parameters, so all masks of a page of
    scenes are looked up at once. Nothing is read but the index, with ``index=False`` the masks, and verdicts
    where they are asked for.

    Parameters
    ----------
    dc
        The datacube.
    product
        A product of Sentinel-2 L2A scenes.
    root
        Folder, or ``s3://bucket/prefix``, under which masks are kept.
    model
        A model or its name; by default the best for each scene's bands.
    offset
        Radiometric offset in digital numbers; by default the metadata of each scene decide.
    index
        Whether masks count, and will be put, in the index; else only their files count.
    only_accepted
        Plan to make nothing, and to index the masks that are written and that reviewers have accepted.
    verdicts
        Count the verdicts on the masks that there are, too.
    limit
        Make at most so many masks.
    **query
        Search terms as for `dc.find_datasets`: ``time``, ``x``, ``y``, ``crs``, ``geopolygon``, ...

    Raises
    ------
    CubeError
        If a product is not in the index, the query cannot be understood, or ``only_accepted`` goes
        with ``index=False``.
    ModelError
        If there is no such model.

    Warns
    -----
    ReflectanceWarning
        Once, if the offset of some scenes is a guess.
    GapWarning
        If verdicts cannot be read.
    """
    if only_accepted and not index:
        raise CubeError("only_accepted is about what is indexed; leave out index=False.")
    if model is not None:
        get_model(model)
    request = Request(product, root, model, offset, index, only_accepted)
    _check_products(dc, request)
    ids, area = _search(dc, product, query)
    scenes = masked = 0
    states: Counter[str] = Counter()
    missing: list[UUID] = []
    failures: list[Failure] = []
    guesses: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    for seen in _survey(dc, request, ids, area, verdicts=verdicts):
        scenes += 1
        guesses.update(seen.warnings)
        if seen.failure:
            failures.append(seen.failure)
        elif seen.done:
            masked += 1
            states[seen.state or ""] += 1
        elif seen.state in (None, "accepted"):
            missing.append(_id(seen.scene))
        else:
            waiting[seen.state or ""] += 1
    for text, count in guesses.items():
        warnings.warn(f"{count} of {scenes} scenes: {text}", ReflectanceWarning, stacklevel=2)
    now = missing[:limit]
    return Plan(
        request,
        scenes,
        masked,
        tuple(now),
        len(missing) - len(now),
        tuple(failures),
        waiting["rejected"],
        waiting["unreviewed"],
        {name: states[name] for name in STATES} if verdicts else None,
    )


def preview(dc: Datacube, found: Plan, count: int) -> list[str]:
    """Names of the first scenes whose masks will be made."""
    return [_label(scene) for scene in _scenes(dc, found.missing[:count], None)]


def _check_products(dc: Datacube, request: Request) -> None:
    known = sorted(each.name for each in dc.index.products.get_all())
    if request.product not in known:
        listed = f"it has {', '.join(known)}" if known else "it has none yet"
        raise CubeError(f"the index has no product {request.product!r}; {listed}.")
    if request.index and MASK_PRODUCT not in known:
        raise CubeError(
            f"the index has no product {MASK_PRODUCT} for the masks; add it with: cleansat product add"
        )


def _search(
    dc: Datacube, product: str, query: Mapping[str, Any]
) -> tuple[list[UUID], Geometry | None]:
    """Ids of scenes in the order of time, and the area in which to look again, if the index has only boxes.

    Only ids: a client of Postgres holds a whole answer in memory, and documents are large.
    """
    from datacube.api.query import Query

    check_longitudes(query)
    asked = {key: value for key, value in query.items() if value is not None}
    try:
        parsed = Query(dc.index, product=product, **asked)
        rows = [
            (str(row.time and row.time.lower), row.id)
            for row in dc.index.datasets.search_returning(["id", "time"], **parsed.search_terms)
        ]
    except (LookupError, TypeError, ValueError) as error:
        detail = " ".join(str(each) for each in error.args)
        raise CubeError(f"the query cannot be understood: {detail}") from error
    ids = [each for _, each in sorted(rows)]
    return ids, None if dc.index.supports_spatial_indexes else parsed.geopolygon


class _Seen(NamedTuple):
    """A scene, and what is known of its mask."""

    scene: Dataset
    mask: UUID | None = None
    done: bool = False
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    state: str | None = None
    """What reviewers have made of the mask, where that was looked up."""


def _survey(
    dc: Datacube,
    request: Request,
    ids: Sequence[UUID],
    area: Geometry | None,
    *,
    verdicts: bool = False,
) -> Iterator[_Seen]:
    """Look at scenes and their masks, page by page; with `verdicts` at those on masks that there are."""
    for start in range(0, len(ids), _PAGE):
        page: list[_Seen] = []
        for scene in _scenes(dc, ids[start : start + _PAGE], area):
            with _heard() as said:
                try:
                    page.append(_Seen(scene, _mask_id(scene, request), warnings=()))
                except Exception as error:
                    yield _Seen(scene, failure=_failure(scene, None, "plan", error))
                    continue
            page[-1] = page[-1]._replace(warnings=tuple(said))
        done = _indexed(dc, page) if request.index else _written(request, page)
        asked = _locations(done) if verdicts else {}
        if request.only_accepted:
            asked |= _targets(request, [seen for seen in page if seen.mask not in done])
        states = _states(asked)
        for seen in page:
            found = done.get(seen.mask)
            if isinstance(found, Exception):
                failure = _failure(seen.scene, seen.mask, "plan", found)
                yield seen._replace(failure=failure)
            else:
                yield seen._replace(done=found is not None, state=states.get(seen.mask))


def _scenes(dc: Datacube, ids: Sequence[UUID], area: Geometry | None) -> list[Dataset]:
    """The scenes with these ids, in this order, as small as they can be."""
    from datacube.api.core import select_datasets_inside_polygon

    found = {each.id: each for each in dc.index.datasets.bulk_get(ids)}
    scenes: Iterable[Dataset] = (found[each] for each in ids if each in found)
    if area is not None:
        scenes = select_datasets_inside_polygon(scenes, area)
    return [_lean(each) for each in scenes]


def _lean(scene: Dataset) -> Dataset:
    """The dataset without the index's search fields, which are slow to read and not for other machines."""
    from datacube.model import Dataset as DatasetClass

    return DatasetClass(_lean_product(scene.product), scene.metadata_doc, uri=scene.uri)


@cached(LRUCache(64), key=lambda product: (product.name, product.id, len(product.measurements)))
def _lean_product(product: Product) -> Product:
    from datacube.model import MetadataType, Product

    return Product(MetadataType(product.metadata_type.definition), product.definition)


def _id(scene: Dataset) -> UUID:
    return UUID(str(scene.metadata_doc["id"]))


def _label(scene: Dataset) -> str:
    """A name for people: the label in the document, else the name of its file."""
    if label := scene.metadata_doc.get("label"):
        return str(label)
    name = (scene.uri or "").rstrip("/").rpartition("/")[2]
    return name.partition(".odc-metadata")[0] or str(_id(scene))


def _mask_id(scene: Dataset, request: Request) -> UUID:
    """The id that :class:`MaskJob` gives the mask; without its paths, which take datacube much longer."""
    document = scene.metadata_doc
    names = _names(scene.product, document["measurements"])
    properties = document.get("properties", {})
    files = SceneFiles(
        dict.fromkeys(names, _UNKNOWN), properties, f"dataset {document['id']}", names
    )
    model = get_model(request.model, bands=files.files)
    files.wanted(model.bands)
    return mask_id(_id(scene), model, _pixel(scene), files.offset(request.offset).value)


_UNKNOWN = BandFile("", 1, None)


def _names(product: Product, present: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Names and aliases of a scene's measurements, and what the product says of their offset."""
    found = {}
    for measurement in product.definition["measurements"]:
        if measurement["name"] in present:
            for name in names_of(measurement["name"], measurement.get("aliases", ())):
                found[name] = offset_hints(measurement)
    return found


def _pixels(scene: Dataset) -> str:
    """What decides the pixel size of a mask: it does not depend on where the scene is."""
    document = scene.metadata_doc
    sizes = {name: grid["transform"][0] for name, grid in document["grids"].items()}
    return repr((document["crs"], sizes, document["measurements"].get("scl")))


@cached(LRUCache(256), key=_pixels)
def _pixel(scene: Dataset) -> float:
    return abs(float(mask_grid(scene).resolution.x))


def _indexed(dc: Datacube, page: Sequence[_Seen]) -> dict[UUID | None, object]:
    """Which masks are in the index; an error for those that are there as something else."""
    found: dict[UUID | None, object] = {}
    for each in dc.index.datasets.bulk_get([seen.mask for seen in page]):
        if each.product.name != MASK_PRODUCT:
            found[each.id] = CubeError(
                f"its mask {each.id} is indexed under the product {each.product.name}, not "
                f"{MASK_PRODUCT}; archive and purge it there, or use another datacube."
            )
        elif not each.is_archived:
            found[each.id] = each
    return found


def _written(request: Request, page: Sequence[_Seen]) -> dict[UUID | None, object]:
    """Which masks have whole files."""
    found: dict[UUID | None, object] = {}
    for seen in page:
        try:
            if document := document_in(_folder(seen, request)):
                found[seen.mask] = document
        except Exception as error:
            found[seen.mask] = error
    return found


def _folder(seen: _Seen, request: Request) -> Folder:
    """Where :class:`MaskJob` keeps the mask; as for its id, without the paths of the bands."""
    assert seen.mask is not None
    return Folder(request.root) / mask_folder(seen.mask, read_document(seen.scene.metadata_doc))


def _locations(done: Mapping[UUID | None, object]) -> dict[UUID, Folder | None]:
    """Where the masks are that were found."""
    return {
        mask: folder_of(found if isinstance(found, (Path, str)) else found.uri)  # type: ignore[attr-defined]
        for mask, found in done.items()
        if mask is not None and not isinstance(found, Exception)
    }


def _targets(request: Request, page: Sequence[_Seen]) -> dict[UUID, Folder | None]:
    """Where masks would be."""
    return {seen.mask: _folder(seen, request) for seen in page if seen.mask is not None}


def _states(folders: Mapping[UUID, Folder | None]) -> dict[UUID | None, str]:
    """What reviewers have made of masks."""
    said, unread = read_many(folders)
    if unread:
        why = next(iter(unread.values()))
        text = f"the verdicts on {len(unread)} masks cannot be read, and count as none: {why}"
        warnings.warn(text, GapWarning, stacklevel=2)
    return {mask: state(each) for mask, each in said.items()}


def _failure(
    scene: Dataset, mask: UUID | None, stage: str, error: BaseException, attempts: int = 1
) -> Failure:
    reason = " ".join(str(error).split())
    if not isinstance(error, CleansatError | OSError):
        first = (str(error).strip().splitlines() or ["no message"])[0]
        reason = f"unexpected {type(error).__name__}: {first}"
    return Failure(_id(scene), _label(scene), mask, stage, type(error).__name__, reason, attempts)


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """Within this nothing is said aloud; the list has, at the end, what was said of reflectance, each once."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    texts = (str(each.message) for each in caught if each.category is ReflectanceWarning)
    said.extend(dict.fromkeys(texts))


# --- doing it -------------------------------------------------------------------------


def execute(
    dc: Datacube,
    found: Plan,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    retries: int = RETRIES,
    watcher: Watcher | None = None,
) -> Report:
    """Make the masks that a plan misses, on a dask cluster, and index each when it is written.

    If five masks one after the other cannot be written, no more are made: a disk is full, or a store does not answer.
    A mask that was written before and that reviewers have rejected is not indexed. A plan with
    `only_accepted` needs no cluster: its masks are written.

    On the first Ctrl-C, or SIGTERM, no more scenes are begun and those under way are finished; on the
    second, everything stops at once. Either way nothing half-made can be seen.

    Parameters
    ----------
    dc
        The datacube of the plan.
    found
        From :func:`plan`.
    workers
        Processes on this machine; by default as many as it has processors and memory for.
    scheduler
        Address of a dask scheduler, for instance ``tcp://host:8786``, in place of processes here. Its
        workers need this package, the scenes' files and, under the same name, the root.
    retries
        How often a scene is tried again, after pauses that double from one second.
    watcher
        Is told how it goes on.

    Returns
    -------
    Report
        What was made and what failed. Errors of single scenes are in there and are not raised.

    Raises
    ------
    OutputError
        If the root is in a bucket that is not there or not ours.
    ClusterError
        If the cluster cannot be started or reached, is lost, or has no `odc_cleansat`.
    """
    Folder(found.request.root).check()
    begun = time.monotonic()
    tally = _Tally(dc, found, retries, watcher)
    if found.request.only_accepted:
        with Stop(tally.say) as stop:
            for unit in tally.units():
                tally.finish(unit, find_mask(unit))
                if stop():
                    break
            tally.interrupted = stop() and tally.left > 0
    elif found.missing:
        with Stop(tally.say) as stop:
            try:
                with dask_client(workers, scheduler, len(found.missing)) as client:
                    tally.say(f"{len(found.missing)} scenes to mask on {describe(client)}.")
                    units = work_through(
                        client, make_mask, tally.units(), lambda: stop() or tally.stuck
                    )
                    for unit, outcome in units:
                        tally.finish(unit, outcome)
            except ClusterError:
                if not stop():  # else it was stopped while it came up, or went down
                    raise
            tally.interrupted = stop() and tally.left > 0
        if tally.left and tally.stuck:
            tally.say(
                f"The last {tally.unwritten} masks could not be written, so no more are made: "
                f"{tally.failures[-1].reason} When that is mended, the same command goes on; {tally.left} are left."
            )
    seconds = time.monotonic() - begun
    return Report(
        found,
        tally.masked,
        tally.meanwhile,
        tuple(tally.failures),
        tally.interrupted,
        seconds,
        tally.rejected,
    )


class Unit(NamedTuple):
    """One scene to mask: all that a worker needs to know, and small."""

    scene: Dataset
    mask: UUID
    root: str | Path
    model: str | Model | None
    offset: float | None
    retries: int

    @property
    def key(self) -> str:
        """Of its task. Dask takes what is between hyphens for words unless it is all one number."""
        return f"mask-{self.mask.hex}"


class Made(NamedTuple):
    """A mask that is written."""

    document: str | Path
    warnings: tuple[str, ...] = ()
    rejected: bool = False
    """Whether reviewers have rejected it; then it was there before."""

    found: bool = False
    """Whether it was there already, whole."""


def make_mask(unit: Unit) -> Made | Failure:
    """Make the mask of one scene, or find that it is written already; runs on a worker.

    An error comes back as a :class:`Failure`, in words: those of some libraries cannot be pickled.
    """
    _limit_threads()
    attempt = 0
    while True:
        attempt += 1
        try:
            with _heard():  # the plan has said it
                job = MaskJob(unit.scene, unit.root, unit.model, unit.offset)
            with _heard() as said:
                there = job.document
                document = there or job.run()
            rejected = _is_rejected(unit.mask, document)
        except Exception as error:
            if attempt > unit.retries or isinstance(error, ModelError):
                return _failure(unit.scene, unit.mask, "mask", error, attempt)
        else:
            return Made(document, tuple(said), rejected, there is not None)
        _pause(attempt)


def find_mask(unit: Unit) -> Made | Failure:
    """Find the mask of one scene, which should be written already."""
    try:
        with _heard():
            document = MaskJob(unit.scene, unit.root, unit.model, unit.offset).document
        if document is None:
            raise OutputError(
                "the mask is not whole; run without --only-accepted to make it again."
            )
        return Made(document, rejected=_is_rejected(unit.mask, document))
    except Exception as error:
        return _failure(unit.scene, unit.mask, "mask", error)


def _is_rejected(mask: UUID, document: str | Path) -> bool:
    said, unread = read_many({mask: folder_of(document)})
    if unread:
        raise OutputError(unread[mask])
    return state(said[mask]) == "rejected"


def _pause(attempt: int) -> None:
    """Before the next attempt: one second, two, four, and so on."""
    time.sleep(min(2.0 ** (attempt - 1), _LONGEST_PAUSE))


def _limit_threads() -> None:
    """Let the network use as many processors as the worker has threads, unless something else is set."""
    from distributed import get_worker

    with contextlib.suppress(ValueError):  # not on a worker
        os.environ.setdefault(THREADS_VARIABLE, str(get_worker().state.nthreads))


class _Tally:
    """Counts what is done, indexes it, and passes it on."""

    def __init__(self, dc: Datacube, found: Plan, retries: int, watcher: Watcher | None) -> None:
        self.dc = dc
        self.plan = found
        self.retries = retries
        self.watcher = watcher
        self.masked = self.meanwhile = self.rejected = 0
        self.unwritten = 0  # one after the other
        self.failures = list(found.failures)
        self.interrupted = False

    @property
    def done(self) -> int:
        done = self.masked + self.meanwhile + self.rejected
        return done + len(self.failures) - len(self.plan.failures)

    @property
    def left(self) -> int:
        return len(self.plan.missing) - self.done

    @property
    def stuck(self) -> bool:
        return self.unwritten >= UNWRITTEN

    def say(self, text: str) -> None:
        if self.watcher:
            self.watcher.say(text)

    def units(self) -> Iterator[Unit]:
        """Units of work, made as they are taken; scenes that were masked since the plan are passed over."""
        request = self.plan.request
        # So that two runners that began together do not do the same side by side.
        order = random.sample(self.plan.missing, len(self.plan.missing))
        for seen in _survey(self.dc, request, order, None):
            if seen.failure or seen.mask is None:
                self._count(seen.failure)
            elif seen.done:
                self.meanwhile += 1
                self._count(None)
            elif seen.state not in (None, "accepted"):
                self.rejected += 1
                self._count(None)
            else:
                yield Unit(
                    seen.scene,
                    seen.mask,
                    request.root,
                    request.model,
                    request.offset,
                    self.retries,
                )

    def finish(self, unit: Unit, outcome: Made | Failure | BaseException) -> None:
        """Index a mask that was made, or note why there is none."""
        failure: Failure | None = None
        if isinstance(outcome, Made) and outcome.rejected and self.plan.request.index:
            self.rejected += 1
            self._count(None)
            return
        if isinstance(outcome, Made):
            failure = self._index(unit, outcome) if self.plan.request.index else None
            for text in outcome.warnings:
                warnings.warn(f"{_label(unit.scene)}: {text}", ReflectanceWarning, stacklevel=2)
        elif isinstance(outcome, Failure):
            failure = outcome
        else:
            failure = _failure(unit.scene, unit.mask, "mask", _explained(outcome))
        if isinstance(outcome, Made) and outcome.found and failure is None:
            self.meanwhile += 1
        else:
            self.masked += failure is None
        full = failure is not None and failure.error == OutputError.__name__
        self.unwritten = self.unwritten + 1 if full else 0
        self._count(failure)

    def _index(self, unit: Unit, made: Made) -> Failure | None:
        attempt = 0
        while True:
            attempt += 1
            try:
                add_dataset(self.dc, made.document)
            except Exception as error:
                if attempt > self.retries or isinstance(error, CubeError):
                    return _failure(unit.scene, unit.mask, "index", error, attempt)
            else:
                return None
            _pause(attempt)

    def _count(self, failure: Failure | None) -> None:
        if failure:
            self.failures.append(failure)
        if self.watcher:
            self.watcher.scene(self.done, len(self.plan.missing), failure)


def _explained(error: BaseException) -> BaseException:
    """Say of dask's own errors what they mean."""
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return ClusterError(
            f"{error.allowed_failures + 1} workers died at it, most likely for want of memory: a whole "
            "tile takes 3 GB. Use fewer workers on a machine, or give them more memory."
        )
    return error


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
