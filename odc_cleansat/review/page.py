"""A page over many masks: what to look at first, what people said, and the commands to say more."""

from __future__ import annotations

import html
import io
import json
import math
import shlex
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._version import __version__
from ..classes import CloudClass
from ..errors import CleansatError, OutputError
from ..products.product import Mask, masks_at
from ..products.verdicts import Verdict, remarks, standing, state
from ..storage.atomic import write_file
from .figure import true_colour
from .hot_spots import HotSpots, cell_size
from .look import (
    Look,
    cloud_percent,
    describe_grid,
    indexed_masks,
    look,
    native_grid,
    scl_percent,
    verdicts_on,
)

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


LARGEST = 14_000_000
"""Characters that a page has at most, unless there are so many masks that their figures alone are more."""

THREADS = 8
"""Masks that are read at a time."""

QUALITY = 75
"""Of true colour, WebP's 0 to 100."""

_SIDES = ((60, 512), (250, 256), (600, 180))
"""For up to so many masks, pictures have about so many pixels along a side."""

_SMALLEST = 128


def page(
    masks: Path | str | Iterable[Path | str | Dataset],
    out: Path | str,
    *,
    dc: Datacube | None = None,
    model: str | None = None,
    title: str = "Masks to review",
    command: str = "cleansat review VERDICT",
    threads: int = THREADS,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a page (HTML) to review many masks: one file, which opens offline.

    A table with pictures, figures, automatic flags and verdicts, where UCL and SCL disagree most first; and cloud
    cover over time by both. What cannot be read of a scene is left out, and its row says so.

    Parameters
    ----------
    masks
        Path or URL of a mask product or of a folder with products below, such as the output of a run; or
        several of these, or datasets of masks from a datacube.
    out
        The file. What is there is replaced; folders are made.
    dc
        The datacube that the datasets are from, in which their scenes are looked up.
    model
        Only the masks that this model made.
    title
        At the top.
    command
        How the commands begin that give a verdict; VERDICT stands for it.
    threads
        How many masks are read at a time.
    progress
        Called with the number of masks done and the number there are.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If there is no mask, or the page cannot be written.
    """
    found = collect(masks, dc, model)
    if not found:
        raise OutputError("there is no mask to review; give mask products, or datasets of them.")
    rows = _rows(found, _side(len(found)), threads, progress)
    rows.sort(key=_order)
    _bound(rows, LARGEST)
    data = {
        "command": command,
        "classes": _legend(rows),
        "written": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "version": __version__,
        "rows": rows,
    }
    # No tag can end the element that holds it.
    text = json.dumps(data, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    head, tail = template.replace("__TITLE__", html.escape(title)).split("__DATA__")
    return _write(Path(out), head + text + tail)


def collect(
    masks: Path | str | Iterable[Path | str | Dataset],
    dc: Datacube | None,
    model: str | None = None,
) -> list[Mask | tuple[str, str]]:
    """All masks that are meant, or those of them by one model, each once; and what is none, with why.

    Raises
    ------
    OutputError
        If there is nothing at a place, nothing by the model, or a store cannot be read.
    """
    given = [masks] if isinstance(masks, (Path, str)) else list(masks)
    places = [each for each in given if isinstance(each, (Path, str))]
    datasets = [each for each in given if not isinstance(each, (Path, str))]
    found = [each for place in places for each in masks_at(place)]
    found += indexed_masks(dc, datasets)
    unique = {each.id if isinstance(each, Mask) else each[0]: each for each in found}
    kept = [each for each in unique.values() if model in (None, getattr(each, "model", model))]
    if unique and not any(isinstance(each, Mask) for each in kept) and model is not None:
        makers = {each.model for each in unique.values() if isinstance(each, Mask)}
        raise OutputError(
            f"there is no mask by the model {model!r}; there are masks by {', '.join(sorted(makers)) or 'none'}."
        )
    return kept


def _side(count: int) -> int:
    return next((side for most, side in _SIDES if count <= most), _SMALLEST)


def _rows(
    masks: Sequence[Mask | tuple[str, str]],
    side: int,
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(_row, each, side) for each in masks]
        for done, _ in enumerate(as_completed(waiting), start=1):
            if progress is not None:
                progress(done, len(waiting))
    return [each.result() for each in waiting]


def _row(mask: Mask | tuple[str, str], side: int) -> dict[str, Any]:
    """All that the page says of a mask, ready for JSON; what is unknown is None."""
    if not isinstance(mask, Mask):
        place, why = mask
        return {"label": place, "target": shlex.quote(place), "state": "unreviewed", "gaps": [why]}
    try:
        found = look(mask)
    except (CleansatError, OSError) as error:
        verdicts, gaps = verdicts_on(mask)
        said = {"id": str(mask.id), "label": mask.label, "day": mask.day, "target": _target(mask)}
        return {**said, **_said(verdicts), "gaps": [" ".join(str(error).split()), *gaps]}
    rows, columns = found.grid.shape
    step = max(1, round(max(rows, columns) / side))
    return {
        "id": str(mask.id),
        "label": mask.label,
        "region": str(mask.properties.get("odc:region_code") or ""),
        "model": mask.model,
        "day": mask.day,
        "target": _target(mask),
        **_said(found.verdicts),
        "ucl": _numbers(found.percent),
        "ucl_cloud": _number(cloud_percent(found.percent)),
        "scl": None if found.scl is None else _numbers(scl_percent(found.scl)),
        "scl_cloud": None if found.scl is None else _number(cloud_percent(scl_percent(found.scl))),
        "agreement": _numbers(found.agreement) or None,
        "data": _number(found.data_percent),
        "flags": [{"name": each.name, "text": each.text} for each in found.flags],
        "gaps": found.gaps,
        "hot": _hot(found, found.spots),
        "made": _made(found),
        "size": [-(-columns // step), -(-rows // step)],
        "pictures": _pictures(found, step),
    }


def _said(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    counts = standing(verdicts)
    return {
        "state": state(verdicts),
        "by": counts.by if counts else "",
        "remarks": len(remarks(verdicts)),
        "verdicts": [
            {"verdict": v.verdict, "by": v.by, "when": f"{v.when:%Y-%m-%d %H:%M}", "note": v.note}
            for v in reversed(verdicts)
        ],
    }


def _order(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    """Where UCL and SCL disagree most first; what could not be compared last."""
    hot = (row.get("hot") or {}).get("score")
    return hot is None, -(hot or 0), row.get("day", "")


def _target(mask: Mask) -> str:
    """What the command line calls it."""
    if mask.indexed:
        return str(mask.id)
    return shlex.quote(_place(mask))


def _place(mask: Mask) -> str:
    """Path or URL of its folder."""
    path = mask.folder.path
    return str(mask.folder if path is None else path.absolute())


def _hot(found: Look, spots: HotSpots | None) -> dict[str, Any] | None:
    if spots is None or math.isnan(spots.score):
        return None
    rows, columns = found.grid.shape
    return {
        "score": _number(spots.score),
        "side": spots.side,
        "columns": spots.columns,
        "grid": [columns, rows],
        "percent": spots.percent,
        "size": cell_size(found.grid, spots.side),
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


def _made(found: Look) -> list[tuple[str, str]]:
    """How a mask was made, as names and values."""
    said, record = found.mask.properties, found.record
    scene = record.get("scene", {})
    lines = {
        "Model": f"{said.get('cleansat:model', '')} {said.get('cleansat:model_version', '')}",
        "Radiometric offset": f"{said.get('cleansat:offset', '')} "
        f"({said.get('cleansat:offset_source', 'no reason is recorded')})",
        "Run with": f"{said.get('cleansat:engine', '')}, {said.get('cleansat:precision', '')}; "
        f"odc-cleansat {said.get('odc:dataset_version', '')}",
        "Made": str(said.get("odc:processing_datetime", "")),
        "Scene": " ".join(
            str(part) for part in (scene.get("label") or "", said.get("cleansat:scene", "")) if part
        ),
        "Grid": describe_grid(native_grid(found.mask)),
        "Mask": str(found.mask.id),
        "Where": _place(found.mask),
    }
    return [(name, value.strip()) for name, value in lines.items() if value.strip(" ,;")]


def _number(value: float | None) -> float | None:
    """To a hundredth; NaN is None."""
    return None if value is None or not math.isfinite(value) else round(float(value), 2)


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _legend(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The classes that occur."""
    present = {
        name
        for row in rows
        for shares in (row.get("ucl"), row.get("scl"))
        for name, value in (shares or {}).items()
        if value
    }
    return [
        {
            "name": c.label,
            "text": c.description,
            "short": c.label.replace("_", " "),
            "colour": c.colour,
        }
        for c in (*_ORDER, CloudClass.NODATA)
        if c.label in present or c in (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW)
    ]


_ORDER = (
    CloudClass.CLEAR,
    CloudClass.CLOUD,
    CloudClass.THIN_CLOUD,
    CloudClass.SHADOW,
    CloudClass.SNOW,
    CloudClass.WATER,
)


# --- pictures -------------------------------------------------------------------------


def _pictures(found: Look, step: int) -> dict[str, str | None]:
    rgb = None if found.rgb is None else _webp(_shrunk(true_colour(found.rgb), step))
    scl = None if found.scl is None else _png(found.scl[::step, ::step])
    return {"rgb": rgb, "ucl": _png(found.ucl[::step, ::step]), "scl": scl}


def _shrunk(picture: np.ndarray, step: int) -> np.ndarray:
    """Means of blocks."""
    rows, columns = (-(-size // step) * step for size in picture.shape[:2])
    missing = ((0, rows - picture.shape[0]), (0, columns - picture.shape[1]), (0, 0))
    blocks = np.pad(picture, missing, mode="edge").reshape(rows // step, step, columns // step, step, 3)  # fmt: skip
    means: np.ndarray = blocks.mean(axis=(1, 3))
    return means


def _webp(picture: np.ndarray) -> str:
    from PIL import Image

    return _uri(Image.fromarray(np.round(picture * 255).astype("uint8")), "webp", quality=QUALITY)


def _png(codes: np.ndarray) -> str:
    """Indexed: each class in its colour."""
    from PIL import Image

    colours = {int(c): c.colour for c in CloudClass}
    image = Image.fromarray(np.ascontiguousarray(codes))
    image.putpalette(b"".join(bytes.fromhex(colours[i][1:]) for i in range(len(colours))))
    return _uri(image, "png", optimize=True)


def _uri(image: Any, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode('ascii')}"


def _bound(rows: Sequence[dict[str, Any]], largest: int) -> None:
    """Take away pictures until a page is no larger: true colour first, and first where there is least to see."""
    size = sum(len(json.dumps(row)) for row in rows)
    for name, what in (("rgb", "true colour"), ("scl", "SCL"), ("ucl", "UCL")):
        for row in reversed(rows):
            if size <= largest:
                return
            picture = row.get("pictures", {}).get(name)
            if picture:
                row["pictures"][name] = None
                row["gaps"].append(f"picture of {what}: left out, to keep the page small")
                size -= len(picture)


def _write(path: Path, text: str) -> Path:
    write_file(path, text.encode("utf-8"))
    return path
