"""Many scenes: find those without a mask, make the masks on a dask cluster, and index them.

The unit of work is a scene. Workers read its files and write its mask; they know no database. The process
that calls :func:`execute` searches, hands out scenes as workers get free, and indexes each mask when it
is written. So it may be killed at any moment: what is indexed is complete, and the next run does the rest.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from cachetools import LRUCache, cached

from ..cube.query import check_longitudes
from ..errors import CubeError, GapWarning, ReflectanceWarning
from ..models.model import Model
from ..models.registry import get_model
from ..products.identity import mask_folder, mask_id
from ..products.job import mask_grid
from ..products.product import document_in
from ..products.verdicts import STATES, folder_of, read_many, state
from ..scenes.bands import names_of
from ..scenes.files import BandFile, SceneFiles, offset_hints
from ..storage.eo3 import MASK_PRODUCT, read_document
from ..storage.folder import Folder
from .records import Failure, Plan, Request, _failure, _id, _label

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset, Product
    from odc.geo.geom import Geometry


_PAGE = 200


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


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """Within this nothing is said aloud; the list has, at the end, what was said of reflectance, each once."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    texts = (str(each.message) for each in caught if each.category is ReflectanceWarning)
    said.extend(dict.fromkeys(texts))
