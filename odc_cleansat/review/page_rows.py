"""The rows of a page over many masks, ready for JSON."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from ..addresses import public_values
from ..classes import CloudClass
from ..errors import CleansatError, first_line
from ..grids.grid import crs_name
from ..products.product import MaskProduct
from ..products.search import Unreadable
from ..products.verdict_files import (
    Verdict,
    current_verdict,
    open_remarks,
    review_state,
    standing_verdicts,
)
from .figure import true_colour
from .hot_spots import HotSpots, cell_size
from .images import png_uri, webp_uri
from .inspection import (
    Inspection,
    cloud_percent,
    inspect_mask,
    percent_by_label,
    read_verdicts,
)
from .other_masks import OtherMask

QUALITY = 75
"""WebP quality of true colour, 0 to 100."""

_COLOURS = {int(c): c.colour for c in CloudClass}


def unreadable_row(place: Unreadable) -> dict[str, Any]:
    """Return the row of a place where no mask can be read."""
    row = {
        "label": place.place,
        "target": shlex.quote(place.place),
        "state": "unreviewed",
        "gaps": [place.reason],
    }
    return public_row(row)


def mask_row(
    product: MaskProduct,
    side: int,
    *,
    fetch_scenes: bool = False,
    others: Sequence[OtherMask] = (),
) -> dict[str, Any]:
    """Inspect a mask and return its row. What is unknown is None.

    Parameters
    ----------
    product
        The mask.
    side
        About how many pixels the pictures have along their longer side.
    fetch_scenes, others
        See :func:`~odc_cleansat.review.inspect_mask`.
    """
    row = _heading(product)
    try:
        found = inspect_mask(product, fetch_scenes=fetch_scenes, others=others)
        row |= _inspected(found, side) | review_row(found.verdicts)
        shown = pictures(found, _step(found, side))
    except (
        Exception
    ) as error:  # any, of documents of strangers; the other masks still have their rows
        verdicts, gaps = read_verdicts(product)
        reason = f"{type(error).__name__}: " * (not isinstance(error, CleansatError | OSError))
        return public_row(
            {**row, **review_row(verdicts), "gaps": [reason + first_line(error), *gaps]}
        )
    return {**public_row(row), "pictures": shown}


def waiting_row(product: MaskProduct) -> dict[str, Any]:
    """Return the row of a mask that nothing but its document was read of yet."""
    return public_row({**_heading(product), **review_row(()), "waiting": True, "gaps": []})


def _heading(product: MaskProduct) -> dict[str, Any]:
    return {
        "id": str(product.id),
        "label": product.label,
        "day": product.day,
        "target": _target(product),
    }


def public_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without secrets."""
    public: dict[str, Any] = public_values(row)
    return public


def _inspected(found: Inspection, side: int) -> dict[str, Any]:
    rows, columns = found.grid.shape
    step = _step(found, side)
    by_scl = None if found.scl is None else percent_by_label(found.scl)
    return {
        "region": str(found.product.properties.get("odc:region_code") or ""),
        "model": found.product.model,
        "ucl": _numbers(found.percent),
        "ucl_cloud": _number(cloud_percent(found.percent)),
        "scl": None if by_scl is None else _numbers(by_scl),
        "scl_cloud": None if by_scl is None else _number(cloud_percent(by_scl)),
        "agreement": _numbers(found.agreement) or None,
        "others": [
            {
                "name": each.name,
                "pixels": each.pixels,
                "percent": _numbers(percent_by_label(each.codes)),
                "agreement": _numbers(each.agreement),
            }
            for each in found.others
        ],
        "data": _number(found.data_percent),
        "flags": [{"name": each.name, "text": each.text} for each in found.flags],
        "gaps": found.gaps,
        "hot": _hot_spots(found.grid, found.spots),
        "doubt": None if found.doubt is None else _numbers(asdict(found.doubt)),
        "made": _provenance(found),
        "size": [-(-columns // step), -(-rows // step)],
    }


def _step(found: Inspection, side: int) -> int:
    """How many pixels become one in the pictures, in each direction."""
    rows, columns = found.grid.shape
    step: int = max(1, round(max(rows, columns) / side))
    return step


def review_row(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the part of a row that tells what people said of the mask, the latest first."""
    current, standing = current_verdict(verdicts), standing_verdicts(verdicts)
    return {
        "state": review_state(verdicts),
        "by": current.by if current else "",
        "remarks": len(open_remarks(verdicts)),
        "verdicts": [
            {
                "verdict": v.verdict,
                "by": v.by,
                "when": f"{v.when:%Y-%m-%d %H:%M}",
                "note": v.note,
                "stands": any(v is each for each in standing),
            }
            for v in reversed(verdicts)
        ],
    }


def _target(product: MaskProduct) -> str:
    """How the command line names the mask."""
    return str(product.id) if product.indexed else shlex.quote(_place(product))


def _place(product: MaskProduct) -> str:
    """Path or URL of the folder."""
    path = product.folder.path
    return str(product.folder if path is None else path.absolute())


def _hot_spots(grid: GeoBox, spots: HotSpots | None) -> dict[str, Any] | None:
    if spots is None or math.isnan(spots.score):
        return None
    rows, columns = grid.shape
    return {
        "score": _number(spots.score),
        "side": spots.side,
        "columns": spots.columns,
        "grid": [columns, rows],
        "percent": spots.percent,
        "size": cell_size(grid, spots.side),
        "spots": [
            {
                "cell": each.cell,
                "percent": _number(each.percent),
                "what": f"{each.ucl} by UCL, {each.scl} by SCL",
                "place": each.place,
            }
            for each in spots.spots
        ],
    }


def _provenance(found: Inspection) -> list[tuple[str, str]]:
    """How the mask was made, as names and values."""
    properties, scene = found.product.properties, found.record.get("scene")
    scene = scene if isinstance(scene, Mapping) else {}
    lines = {
        "Model": f"{properties.get('cleansat:model', '')} "
        f"{properties.get('cleansat:model_version', '')}",
        "Radiometric offset": f"{properties.get('cleansat:offset', '')} "
        f"({properties.get('cleansat:offset_source', 'no reason is recorded')})",
        "Run with": f"{properties.get('cleansat:engine', '')}, "
        f"{properties.get('cleansat:precision', '')}; "
        f"odc-cleansat {properties.get('odc:dataset_version', '')}",
        "Made": str(properties.get("odc:processing_datetime", "")),
        "Scene": " ".join(
            str(part) for part in (scene.get("label"), properties.get("cleansat:scene")) if part
        ),
        "Grid": _describe_grid(found.product.grid),
        "Mask": str(found.product.id),
        "Where": _place(found.product),
    }
    return [(name, value.strip()) for name, value in lines.items() if value.strip(" ,;")]


def _describe_grid(grid: GeoBox) -> str:
    """Size, pixels and coordinate system, for people."""
    rows, columns = grid.shape
    unit = "°" if grid.crs.geographic else " m"
    return f"{rows} x {columns} pixels of {abs(grid.resolution.x):g}{unit}, {crs_name(grid.crs)}"


def _number(value: float | None) -> float | None:
    """Rounded to a hundredth; None for NaN."""
    return None if value is None or not math.isfinite(value) else round(float(value), 2)


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def pictures(found: Inspection, step: int) -> dict[str, str | None]:
    """Return the pictures of a mask as ``data:`` URLs by name: ``rgb``, ``ucl``, ``scl``, and ``other0`` and so on.

    Parameters
    ----------
    found
        What was found of the mask.
    step
        How many pixels become one, in each direction.
    """
    rgb = (
        None if found.rgb is None else webp_uri(block_means(true_colour(found.rgb), step), QUALITY)
    )
    scl = None if found.scl is None else png_uri(found.scl[::step, ::step], _COLOURS)
    others = {
        f"other{i}": png_uri(each.codes[::step, ::step], _COLOURS)
        for i, each in enumerate(found.others)
    }
    return {"rgb": rgb, "ucl": png_uri(found.ucl[::step, ::step], _COLOURS), "scl": scl, **others}


def block_means(picture: np.ndarray, step: int) -> np.ndarray:
    """Return the means of blocks of `step` x `step` pixels.

    Parameters
    ----------
    picture
        ``(h, w, 3)`` floating-point. Blocks at the edge are filled up with the last pixels.

    Returns
    -------
    numpy.ndarray
        ``(ceil(h / step), ceil(w / step), 3)``, same dtype.
    """
    rows, columns = (-(-size // step) * step for size in picture.shape[:2])
    missing = ((0, rows - picture.shape[0]), (0, columns - picture.shape[1]), (0, 0))
    blocks = np.pad(picture, missing, mode="edge").reshape(rows // step, step, columns // step, step, 3)  # fmt: skip
    means: np.ndarray = blocks.mean(axis=(1, 3))
    return means
