"""Which mask a person means: by a place, by a dataset, by an id or by a label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from ..errors import CleansatError, CubeError, OutputError, first_line
from ..scenes.files import SceneFiles
from ..storage.eo3 import MASK_PRODUCT
from .product import DOCUMENT, MaskProduct

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


@dataclass(frozen=True)
class Unreadable:
    """A place that should hold a mask product and holds none that can be read."""

    place: str
    """Path or URL, or the id of a dataset."""

    reason: str
    """Why it cannot be read."""


FEWEST_DIGITS = 4
"""Digits of an id that are needed at least to find a mask."""


def is_place(text: str) -> bool:
    """Return whether a text is the path or URL of a mask, and not an id or a label."""
    return "/" in text or text.endswith(DOCUMENT) or Path(text).exists()


def indexed_products(
    dc: Datacube | None, datasets: Sequence[Dataset]
) -> list[MaskProduct | Unreadable]:
    """Return the products of indexed masks, with the files of their scenes where the datacube knows these.

    Parameters
    ----------
    dc
        The datacube of the masks, in which their scenes are looked up.
    datasets
        The masks.
    """
    scenes = {each.id: _id_of_scene(each) for each in datasets}
    wanted = [scene for scene in scenes.values() if scene is not None]
    known = dc.index.datasets.bulk_get(wanted) if dc is not None and wanted else ()
    by_id = {scene.id: scene for scene in known if scene.uri is not None}
    found: list[MaskProduct | Unreadable] = []
    for each in datasets:
        scene = by_id.get(scenes[each.id])
        try:
            files = SceneFiles.of_dataset(scene) if scene is not None else None
            found.append(MaskProduct.of_dataset(each, files))
        except CleansatError as error:
            found.append(Unreadable(str(each.id), first_line(error)))
    return found


def _id_of_scene(mask: Dataset) -> UUID | None:
    """Return the id of a mask's scene; None if the mask names none."""
    try:
        return UUID(str(mask.metadata_doc["properties"]["cleansat:scene"]))
    except (KeyError, TypeError, ValueError):
        return None


def find_product(mask: Dataset | Path | str | UUID, dc: Datacube | None = None) -> MaskProduct:
    """Find the product of a mask.

    Parameters
    ----------
    mask
        A dataset of a datacube; or path or URL of the product's folder or document. With `dc` also
        its id, the first digits of its id, or its label.
    dc
        The datacube in which ids and labels are looked up.

    Raises
    ------
    CubeError
        If the datacube has no such mask, or several; or if `dc` is needed and missing.
    OutputError
        If the files of the dataset are not there.
    """
    if isinstance(mask, Path) or (isinstance(mask, str) and is_place(mask)):
        return MaskProduct(mask)
    if isinstance(mask, (str, UUID)):
        if dc is None:
            raise CubeError(
                f"{mask} is no product's folder or document here; give one, or the datacube that "
                "knows the id."
            )
        mask = find_indexed_mask(dc, str(mask))
    product = MaskProduct.of_dataset(mask)
    if not product.has_document():
        raise OutputError(f"{mask.uri} is not there; give a mask whose files are there.")
    return product


def find_indexed_mask(dc: Datacube, text: str) -> Dataset:
    """Find an indexed mask by its id, the first digits of its id, or its label.

    Raises
    ------
    CubeError
        If there is none, or several.
    """
    try:
        whole = UUID(text)
    except ValueError:
        pass
    else:
        dataset: Dataset | None = dc.index.datasets.get(whole)
        if dataset is None:
            raise CubeError(f"the datacube has no dataset {whole}.")
        return dataset
    if dc.index.products.get_by_name(MASK_PRODUCT) is None:
        raise CubeError(f"the datacube has no product {MASK_PRODUCT}, so no mask {text!r}.")
    found = _ids(dc, text)
    if len(found) == 1:
        only: Dataset = dc.index.datasets.get(found[0])
        return only
    if found:
        listed = ", ".join(str(each) for each in sorted(found)[:5])
        raise CubeError(f"{text!r} is {len(found)} masks: {listed}; give more digits of the id.")
    raise CubeError(
        f"the datacube has no mask {text!r}; give its id, the first {FEWEST_DIGITS} or more digits "
        "of its id, or its label; or the path or URL of the product."
    )


def _ids(dc: Datacube, text: str) -> list[UUID]:
    """Ids of the masks with a label, or else of those whose id begins with these digits."""
    search = dc.index.datasets.search_returning
    found = [row.id for row in search(["id"], product=MASK_PRODUCT, label=text)]
    digits = text.lower()
    if not found and len(digits) >= FEWEST_DIGITS and not digits.strip("0123456789abcdef-"):
        ids = (row.id for row in search(["id"], product=MASK_PRODUCT))
        found = [each for each in ids if str(each).startswith(digits)]
    return found
