"""Collect the masks to review: from folders, stores and datacubes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CleansatError, OutputError, first_line
from ..products.product import MaskProduct
from ..products.search import Unreadable, indexed_products

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


THREADS = 32
"""Documents that are read at a time."""


@dataclass(frozen=True)
class Collection:
    """The masks to review."""

    products: tuple[MaskProduct, ...]
    """Each mask once, with its document read."""

    unreadable: tuple[Unreadable, ...]
    """The places without a mask that can be read."""

    def __len__(self) -> int:
        return len(self.products) + len(self.unreadable)


def collect(
    masks: Path | str | Iterable[Path | str | Dataset],
    dc: Datacube | None,
    model: str | None = None,
) -> Collection:
    """Collect masks, each once.

    Parameters
    ----------
    masks
        Path or URL of a mask product or of a folder with products below; or several of these, or
        datasets of masks.
    dc
        The datacube of the datasets, in which their scenes are looked up.
    model
        Take only the masks by this model.

    Raises
    ------
    OutputError
        If there is nothing at a place, nothing by the model, or a store cannot be read.
    """
    given = [masks] if isinstance(masks, (Path, str)) else list(masks)
    found = _stored([each for each in given if isinstance(each, (Path, str))])
    found += indexed_products(dc, [each for each in given if not isinstance(each, (Path, str))])
    products = {each.id: each for each in found if isinstance(each, MaskProduct)}
    unreadable = {each.place: each for each in found if isinstance(each, Unreadable)}
    chosen = [each for each in products.values() if model in (None, each.model)]
    if found and not chosen and model is not None:
        models = ", ".join(sorted({each.model for each in products.values()})) or "none"
        raise OutputError(f"there is no mask by the model {model!r}; there are masks by {models}.")
    return Collection(tuple(chosen), tuple(unreadable.values()))


def _stored(places: Sequence[Path | str]) -> list[MaskProduct | Unreadable]:
    products = [product for place in places for product in MaskProduct.find(place)]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(_with_document, products))


def _with_document(product: MaskProduct) -> MaskProduct | Unreadable:
    try:
        _ = product.document
    except (CleansatError, OSError) as error:
        return Unreadable(str(product.folder), first_line(error))
    return product
