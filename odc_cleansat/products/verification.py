"""`verify`: check that a mask product is what it says it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..addresses import without_secrets
from ..errors import OutputError, fault_of
from . import check_refined
from .check_documents import look_at_documents, look_at_files, look_at_identity
from .check_layers import look_at_layers
from .check_pixels import look_at_pixels
from .evidence import Evidence, UnprovenError, WrongError
from .product import MaskProduct, MaskProductError
from .refined import Dates

_CHECKS: dict[str, Callable[[Evidence], str]] = {
    "files": look_at_files,
    "documents": look_at_documents,
    "identity": look_at_identity,
    "layers": look_at_layers,
    "pixels": look_at_pixels,
}
"""Each returns what is right, or raises what is not."""

_CHECKS_OF_REFINED = {
    **_CHECKS,
    "documents": check_refined.look_at_documents,
    "identity": check_refined.look_at_identity,
    "layers": check_refined.look_at_layers,
    "pixels": check_refined.look_at_pixels,
}

CHECKS = tuple(_CHECKS)
"""Names of the checks, in their order."""


@dataclass(frozen=True)
class Check:
    """The result of one check of a product."""

    name: str
    """One of :data:`CHECKS`."""

    right: bool | None
    """True if it is proved that nothing is wrong, False if something is; None where that is not known."""

    detail: str
    """What was found, for people."""

    asked: bool = True
    """Whether the check was asked for."""


@dataclass(frozen=True)
class Verification:
    """The results of all checks of one product."""

    product: str
    """Path or URL of its folder."""

    checks: tuple[Check, ...]
    """In the order of :data:`CHECKS`."""

    equal: float | None = None
    """Share of the pixels that came out equal when the mask was made again, 0 to 1; else None."""

    @property
    def right(self) -> bool | None:
        """True if all checks that were asked for are right, False if one is wrong; else None.

        It is None if nothing is known to be wrong, but something could not be checked.
        """
        found = {check.right for check in self.checks if check.asked}
        return False if False in found else None if None in found else True

    def as_dict(self) -> dict[str, Any]:
        """Return the results as a document for JSON."""
        return {"right": self.right, **asdict(self)}


def verify(
    place: MaskProduct | Path | str,
    *,
    pixels: bool = True,
    fetch_scenes: bool = False,
    dates: Callable[[Mapping[str, Any]], Dates] | None = None,
) -> Verification:
    """Check that a mask product is whole and true.

    All that can be derived is derived again and compared. The files are those of a product, and no others.
    EO3, STAC and the processing record follow from each other, the model and the grid. The id follows from
    the record; percentages, footprint, overviews and thumbnail follow from the pixels. Classes and confidence
    are made again from the scene. Nothing that the product says of itself makes a check more lenient.

    Parameters
    ----------
    place
        The product, or path or URL of its folder or document.
    pixels
        Whether to make the mask again, which takes as long as the first time.
    fetch_scenes
        Whether to open the scene's files wherever the product says that they are. Otherwise they are opened only
        near the mask, on its host, or where a datacube knows the scene.
    dates
        Finds the scenes and masks of all dates of a mask that others have refined, as
        :class:`odc_cleansat.cube.refining.RecordedDates` does in a datacube. Without, the documents and the pixels of
        such masks are not checked.

    Returns
    -------
    Verification
        One :class:`Check` for each of :data:`CHECKS`.

    Raises
    ------
    OutputError
        If a store cannot be reached.
    """
    product = place if isinstance(place, MaskProduct) else MaskProduct(place)
    evidence = Evidence(product, fetch_scenes=fetch_scenes, dates=dates)
    checks = [
        _run_check(name, evidence)
        if pixels or name != "pixels"
        else Check(name, None, "not asked for", asked=False)
        for name in CHECKS
    ]
    return Verification(str(product.folder), tuple(checks), evidence.equal)


def _run_check(name: str, evidence: Evidence) -> Check:
    """Return the result of a check. What it quotes of documents is without secrets."""
    right: bool | None = False
    try:
        checks = _CHECKS_OF_REFINED if check_refined.is_refined(evidence.product) else _CHECKS
        right, said = True, checks[name](evidence)
    except (WrongError, MaskProductError) as error:
        said = str(error)
    except UnprovenError as error:
        right, said = None, str(error)
    except OutputError:
        raise
    except Exception as error:  # a document with unexpected content can raise any error
        said = f"a document is not as it should be: {fault_of(error)}"
    return Check(name, right, without_secrets(said))
