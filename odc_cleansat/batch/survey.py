"""Scenes and what is known of their masks, looked up in a datacube page by page."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from cachetools import LRUCache, cached

from ..cube.query import inside_area
from ..cube.scene_list import CLOUD_COVER, percent_of
from ..cube.stac_list import StacRow
from ..errors import CubeError, GapWarning
from ..models.former import former_default
from ..models.model import Model
from ..models.registry import get_model
from ..products.identity import mask_folder, mask_id
from ..products.job import mask_grid
from ..products.product import MaskProduct
from ..products.verdict_files import folder_of, read_many, review_state
from ..scenes.bands import names_of
from ..scenes.files import BandFile, SceneFiles
from ..scenes.packing import offset_hints
from ..storage.eo3 import MASK_PRODUCT, read_document
from ..storage.folder import Folder
from .records import Failure, Request, dataset_id
from .tasks import small_dataset
from .worker import collected_warnings

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset, Product
    from odc.geo.geom import Geometry


PAGE = 200
"""Scenes that are looked up together."""

_LOOKED_AT = 20
"""Scenes of a page whose masks by other models are looked for in a store."""


class SurveyedScene(NamedTuple):
    """A scene, and what is known of its mask."""

    scene: Dataset | StacRow
    """As small as it can be, see :func:`read_scenes`; or its row in a list."""

    mask: UUID | None = None
    """Id of its mask; None if it can have none, or if the id is not known before its files are opened."""

    masked: bool = False
    """Whether the mask is there."""

    failure: Failure | None = None
    """Why it can have no mask."""

    warnings: tuple[str, ...] = ()
    """What was said of its reflectance."""

    state: str | None = None
    """The state of review of the mask, where that was looked up."""

    former: str = ""
    """The model, once the default, that has made a mask of it where the default has not."""


def survey(
    dc: Datacube,
    request: Request,
    ids: Sequence[UUID],
    area: Geometry | None = None,
    *,
    verdicts: bool = False,
) -> Iterator[SurveyedScene]:
    """Look up scenes and their masks, page by page.

    Parameters
    ----------
    dc
        The datacube.
    request
        Which masks are wanted.
    ids
        Of the scenes.
    area
        Scenes outside it are left out.
    verdicts
        Also look up the state of review of the masks that are there.

    Yields
    ------
    SurveyedScene
        In the order of `ids`, but failures first in each page.
    """
    for start in range(0, len(ids), PAGE):
        page: list[SurveyedScene] = []
        for scene in read_scenes(dc, ids[start : start + PAGE], area):
            if not request.is_clear_enough(
                percent_of(scene.metadata_doc["properties"], CLOUD_COVER)
            ):
                continue
            found = _identified(scene, request)
            if found.failure:
                yield found
            else:
                page.append(found)
        yield from _looked_up(dc, request, page, verdicts)


def _identified(scene: Dataset, request: Request) -> SurveyedScene:
    """A scene with the id of its mask, or with the reason why it can have none."""
    try:
        with collected_warnings() as texts:
            mask = expected_mask_id(scene, request)
    except Exception as error:
        return SurveyedScene(scene, failure=Failure.of(scene, None, "plan", error))
    return SurveyedScene(scene, mask, warnings=tuple(texts))


def _looked_up(
    dc: Datacube, request: Request, page: Sequence[SurveyedScene], verdicts: bool
) -> Iterator[SurveyedScene]:
    """The scenes of a page with what is known of their masks."""
    there = _indexed(dc, page) if request.index else written(request, page)
    folders = folders_of_masks(there) if verdicts else {}
    if request.only_accepted:
        folders |= {
            found.mask: _folder(found, request)
            for found in page
            if found.mask is not None and found.mask not in there
        }
    states = states_of(folders)
    former = _by_former_defaults(dc, request, [each for each in page if each.mask not in there])
    for found in page:
        mask = there.get(found.mask)
        if isinstance(mask, Exception):
            yield found._replace(failure=Failure.of(found.scene, found.mask, "plan", mask))
        else:
            yield found._replace(
                masked=mask is not None,
                state=states.get(found.mask),
                former=former.get(found.mask, ""),
            )


def _by_former_defaults(
    dc: Datacube, request: Request, page: Sequence[SurveyedScene]
) -> dict[UUID | None, str]:
    """Return for masks that are missing the model that was once the default, if it has made one of the scene.

    Without an index only the first scenes of a page are looked at, since a store takes time to answer.
    """
    if request.model is not None:
        return {}
    old = []
    for found in page if request.index else page[:_LOOKED_AT]:
        assert not isinstance(found.scene, StacRow)
        if model := former_default(_unread(found.scene).files):
            for refine in (True, False):
                asked = replace(request, model=model, refine=refine)
                with collected_warnings():  # which were told of the scene already
                    mask = expected_mask_id(found.scene, asked)
                old.append((found, model.name, found._replace(mask=mask)))
    masks = [each for _, _, each in old]
    there = _indexed(dc, masks) if request.index else written(request, masks)
    return {
        found.mask: model
        for found, model, each in old
        if each.mask in there and not isinstance(there[each.mask], Exception)
    }


def read_scenes(dc: Datacube, ids: Sequence[UUID], area: Geometry | None = None) -> list[Dataset]:
    """Return the scenes with these ids, in this order, as small as they can be.

    They lack the index's search fields, which are slow to read and of no use to other machines.
    """
    found = {each.id: each for each in dc.index.datasets.bulk_get(ids)}
    scenes = [found[each] for each in ids if each in found]
    if area is not None:
        scenes = inside_area(scenes, area)
    return [small_dataset(scene) for scene in scenes]


def expected_mask_id(scene: Dataset, request: Request) -> UUID:
    """Return the id that :class:`~odc_cleansat.products.job.MaskJob` gives the mask of a scene.

    It does without the paths of the bands, for which datacube takes much longer.
    """
    return mask_id_of(_unread(scene), scene, request)


def mask_id_of(files: SceneFiles, scene: Dataset, request: Request) -> UUID:
    """Return the id of the mask of a scene, from what is said of its files.

    Raises
    ------
    SceneError
        If the scene lacks a band, or its offset is not clear.
    """
    model, offset = made_with(files, request)
    return mask_id(dataset_id(scene), model, _pixel(scene), offset, refine=request.refine)


def made_with(files: SceneFiles, request: Request) -> tuple[Model, float]:
    """Return the model and the offset, digital numbers, with which a mask is made; errors as of :func:`mask_id_of`."""
    model = get_model(request.model, bands=files.files)
    files.wanted(model.bands)
    return model, files.offset(request.offset).value


def _unread(scene: Dataset) -> SceneFiles:
    """A scene whose bands have names, and no paths."""
    document = scene.metadata_doc
    names = measurement_names(scene.product, document["measurements"])
    unread = {name: BandFile(name, 1, None) for name in names}
    return SceneFiles(unread, document.get("properties", {}), f"dataset {document['id']}", names)


def measurement_names(product: Product, present: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the names and aliases of a scene's measurements, with what the product says of their offset."""
    found = {}
    for measurement in product.definition["measurements"]:
        if measurement["name"] in present:
            for name in names_of(measurement["name"], measurement.get("aliases", ())):
                found[name] = offset_hints(measurement)
    return found


def _pixel_key(scene: Dataset) -> str:
    """What decides the pixel size of a mask: it does not depend on where the scene is."""
    document = scene.metadata_doc
    sizes = {name: grid["transform"][0] for name, grid in document["grids"].items()}
    return repr((document["crs"], sizes, document["measurements"].get("scl")))


@cached(LRUCache(256), key=_pixel_key)
def _pixel(scene: Dataset) -> float:
    return abs(float(mask_grid(scene).resolution.x))


def _indexed(dc: Datacube, page: Sequence[SurveyedScene]) -> dict[UUID | None, object]:
    """Which masks are in the index; an error for those that are there under another product."""
    there: dict[UUID | None, object] = {}
    for each in dc.index.datasets.bulk_get([found.mask for found in page]):
        if each.product.name != MASK_PRODUCT:
            there[each.id] = CubeError(
                f"its mask {each.id} is indexed under the product {each.product.name}, not "
                f"{MASK_PRODUCT}; archive and purge it there, or use another datacube."
            )
        elif not each.is_archived:
            there[each.id] = each
    return there


def written(request: Request, page: Sequence[SurveyedScene]) -> dict[UUID | None, object]:
    """Return which masks have whole files; an error for those that cannot be looked at."""
    there: dict[UUID | None, object] = {}
    for found in page:
        try:
            if document := MaskProduct(_folder(found, request)).intact_document():
                there[found.mask] = document
        except Exception as error:
            there[found.mask] = error
    return there


def _folder(found: SurveyedScene, request: Request) -> Folder:
    """Where the mask of a scene is kept, or would be."""
    assert found.mask is not None
    assert not isinstance(found.scene, StacRow)
    return Folder(request.root) / mask_folder(found.mask, read_document(found.scene.metadata_doc))


def folders_of_masks(there: Mapping[UUID | None, object]) -> dict[UUID, Folder | None]:
    """Return where the masks are that were found."""
    return {
        mask: folder_of(found if isinstance(found, (Path, str)) else found.uri)  # type: ignore[attr-defined]
        for mask, found in there.items()
        if mask is not None and not isinstance(found, Exception)
    }


def states_of(folders: Mapping[UUID, Folder | None]) -> dict[UUID | None, str]:
    """Return the state of review of masks, by where they are."""
    said, unread = read_many(folders)
    if unread:
        why = next(iter(unread.values()))
        text = f"the verdicts on {len(unread)} masks cannot be read, and count as none: {why}"
        warnings.warn(text, GapWarning, stacklevel=2)
    return {mask: review_state(each) for mask, each in said.items()}
