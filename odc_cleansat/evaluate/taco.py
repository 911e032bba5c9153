"""Read TACO files of the first generation, in which CloudSEN12+ is published.

Such a file is a pile of files with a table of them at its end, in Parquet. Each patch is a pile again: a picture and
its label, which GDAL reads in place.

Source: https://tacofoundation.github.io, and the writer `pytortilla`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import SceneError, first_line

_MAGIC = (b"#y", b"WX")
"""First bytes of a pile, and of one with a description of the dataset."""

_HEADER = 18
"""Bytes before the data that tell where the table is: the first bytes, its place and its length."""

_LONGEST_TABLE = 2**28
"""Bytes of a table beyond which a file is refused."""


@dataclass(frozen=True)
class TacoPatch:
    """A labelled patch of CloudSEN12+ within a TACO file."""

    name: str
    """Region of interest and scene, with a slash between."""

    site: str
    """Region of interest."""

    split: str
    """``train``, ``validation`` or ``test``."""

    quality: str
    """Kind of label: ``high``, ``scribble`` or ``nolabel``."""

    side: int
    """Pixels along a side that were labelled, 509 or 2000; the picture is filled up to a larger one."""

    image: str
    """Path of the picture for GDAL: a band for each of Sentinel-2, 10000 times reflectance, 0 for no data."""

    label: str
    """Path of the label for GDAL: 0 clear, 1 cloud, 2 thin cloud, 3 shadow, 99 not known."""


def read_taco(path: Path) -> Iterator[TacoPatch]:
    """Yield the patches of a file, in its order.

    Parameters
    ----------
    path
        A TACO file of CloudSEN12+, such as ``cloudsen12-l2a.0000.part.taco``.

    Raises
    ------
    SceneError
        If it is no such file, or not whole.
    """
    try:
        with path.open("rb") as file:
            for row in _table(file, 0, path):
                start = int(row["tortilla:offset"])
                parts = _table(file, start, path)
                if row["tortilla:file_format"] != "TORTILLA" or len(parts) < 2:
                    raise SceneError(
                        f"{path}: the patch {row['tortilla:id']} has no picture and label."
                    )
                image, label = (
                    f"/vsisubfile/{start + int(p['tortilla:offset'])}_{int(p['tortilla:length'])},{path}"
                    for p in parts[:2]
                )
                yield TacoPatch(
                    name=f"{row['roi_id']}/{row['s2_id']}",
                    site=str(row["roi_id"]),
                    split=str(row["tortilla:data_split"]),
                    quality=str(row["label_type"]),
                    side=int(row["real_proj_shape"]),
                    image=image,
                    label=label,
                )
    except (OSError, TypeError) as error:
        raise SceneError(f"cannot read {path}: {first_line(error)}.") from error
    except KeyError as error:
        raise SceneError(
            f"{path} is a TACO file, but not of CloudSEN12+: its table has no column {error}."
        ) from error


def _table(file: BinaryIO, start: int, path: Path) -> list[dict[str, Any]]:
    """Return the rows of the pile that begins at a byte of a file."""
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    file.seek(start)
    header = file.read(_HEADER)
    if header[:2] not in _MAGIC or len(header) < _HEADER:
        raise SceneError(
            f"{path} is no TACO file of the first generation. CloudSEN12+ is published as such files, for instance "
            "cloudsen12-l2a.0000.part.taco."
        )
    at, length = (int.from_bytes(header[i : i + 8], "little") for i in (2, 10))
    if length > _LONGEST_TABLE or start + at + length > path.stat().st_size:
        raise SceneError(f"{path} is not whole: its table lies beyond its end. Fetch it again.")
    file.seek(start + at)
    try:
        rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(file.read(length))).to_pylist()
    except ArrowException as error:
        raise SceneError(
            f"{path} is not whole: its table cannot be read. Fetch it again."
        ) from error
    return rows
