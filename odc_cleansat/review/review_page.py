"""Write a page over many masks: what to look at first, what people said, and the commands to say more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..classes import CloudClass
from ..errors import OutputError
from ..storage.atomic import write_file
from ..storage.replace import check_free, mark_difference
from .collection import Collection, collect
from .other_masks import OtherMask
from .page_rows import mask_row, unreadable_row
from .templates import fill_template

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset

    from ..products.product import MaskProduct


LARGEST = 14_000_000
"""Characters that a page may have before pictures are left out of it."""

THREADS = 8
"""Masks that are read at a time."""

_SIDES = ((60, 512), (250, 256), (600, 180))
"""Number of masks up to which pictures have about so many pixels along a side."""

_MARK = "odc_cleansat page of masks"
"""What tells that a file is such a page, of whatever masks."""

_SMALLEST = 128
"""Pixels along a side of a picture if there are more masks."""


@dataclass(frozen=True)
class PageText:
    """What a page shows that depends on who writes it."""

    title: str = "Masks to review"
    """Title of the page."""

    command: str = "cleansat review VERDICT"
    """How the commands begin that give a verdict; VERDICT stands for its kind."""

    words: Callable[[str], str] = str
    """Says a gap in the words of whoever writes the page."""

    others: Sequence[OtherMask] = ()
    """Masks by others that stand beside each mask."""


def page(
    masks: Path | str | Iterable[Path | str | Dataset],
    out: Path | str,
    *,
    dc: Datacube | None = None,
    model: str | None = None,
    text: PageText | None = None,
    threads: int = THREADS,
    fetch_scenes: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a page (HTML) to review many masks: one file, which opens offline.

    It has a table with pictures, percentages, automatic flags and verdicts. The masks that are most in doubt
    come first; see :mod:`~odc_cleansat.review.doubt`. A chart shows cloud cover over time by both. If something of a scene
    cannot be read, the row of its mask says so.

    Parameters
    ----------
    masks
        Path or URL of a mask product or of a folder with products below, such as the output of a run; or
        several of these, or datasets of masks from a datacube.
    out
        The file to write. An existing one is replaced if it is such a page, and folders are made.
    dc
        The datacube that the datasets are from, in which their scenes are looked up.
    model
        Show only the masks that this model made.
    text
        What the page shows that depends on who writes it.
    threads
        How many masks are read at a time.
    fetch_scenes
        Whether to open the files of scenes wherever the masks say that they are. Otherwise they are opened only
        near a mask, on its host, or where the datacube knows the scene. What is not opened is a gap.
    progress
        Called with the number of masks done and the number of all masks.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If there is no mask, another file is there, or the page cannot be written.
    """
    out, text = Path(out), text or PageText()
    check_free(out, lambda there: mark_difference(there, _MARK), overwrite=None)
    collection = collect(masks, dc, model)
    if not collection:
        raise OutputError("there is no mask to review; give mask products, or datasets of them.")
    make_row = partial(
        mask_row,
        side=picture_side(len(collection)),
        fetch_scenes=fetch_scenes,
        others=text.others,
    )
    rows = _rows(collection, make_row, threads, progress)
    for row in rows:
        row["gaps"] = [text.words(gap) for gap in row["gaps"]]
    rows.sort(key=_order)
    drop_pictures(rows, LARGEST)
    data = {
        "command": text.command,
        "classes": LEGEND,
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "version": __version__,
        "rows": rows,
    }
    write_file(out, fill_template("page.html", text.title, data, _MARK).encode("utf-8"))
    return out


def _rows(
    collection: Collection,
    make_row: Callable[[MaskProduct], dict[str, Any]],
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any]]:
    rows = [unreadable_row(each) for each in collection.unreadable]
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(make_row, each) for each in collection.products]
        for done, _ in enumerate(as_completed(waiting), start=len(rows) + 1):
            if progress is not None:
                progress(done, len(collection))
    return rows + [each.result() for each in waiting]


def picture_side(count: int) -> int:
    """Return about how many pixels along a side a picture has on a page over `count` masks."""
    return next((side for most, side in _SIDES if count <= most), _SMALLEST)


def _order(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    """What is most in doubt first; what could not be looked at last."""
    score = (row.get("doubt") or {}).get("score")
    return score is None, -(score or 0), row.get("day", "")


LEGEND = tuple(
    {
        "name": c.label,
        "text": c.description,
        "short": c.label.replace("_", " "),
        "colour": c.colour,
    }
    for c in (
        CloudClass.CLEAR,
        CloudClass.CLOUD,
        CloudClass.THIN_CLOUD,
        CloudClass.SHADOW,
        CloudClass.SNOW,
        CloudClass.WATER,
        CloudClass.NODATA,
    )
)
"""The classes in the order of the legend, which leaves out unusual ones that do not occur."""


def drop_pictures(rows: Sequence[dict[str, Any]], largest: int) -> None:
    """Leave pictures out of the last rows until the page is small enough: others first, UCL last.

    Parameters
    ----------
    rows
        Rows of the page, the most important first; they are changed.
    largest
        Characters that all rows may have.
    """
    size = sum(len(json.dumps(row)) for row in rows)
    others = {
        f"other{i}": each["name"] for row in rows for i, each in enumerate(row.get("others", ()))
    }
    for name, what in {**others, "rgb": "true colour", "scl": "SCL", "ucl": "UCL"}.items():
        for row in reversed(rows):
            if size <= largest:
                return
            picture = row.get("pictures", {}).get(name)
            if picture:
                row["pictures"][name] = None
                row["gaps"].append(f"picture of {what}: left out, to keep the page small")
                size -= len(picture)
