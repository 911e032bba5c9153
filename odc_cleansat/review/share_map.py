"""A picture of shares of dates: cloud, shadow and clear, by the UCL above and by the SCL below."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..storage.atomic import write_file
from ..storage.replace import check_free, mark_difference

LARGEST = 1200
"""Most pixels of a panel along a side."""

_LOOKS = {"cloud": "YlOrBr", "shadow": "Blues", "clear": "Greys_r"}


_MARK = "odc_cleansat map of shares"


def check_picture(path: Path, *, overwrite: bool = False) -> None:
    """Raise if something else than such a picture would be replaced.

    Parameters
    ----------
    path
        Where the picture is to be written.
    overwrite
        Replace whatever file is there.

    Raises
    ------
    OutputError
        If another file is there.
    """
    check_free(path, lambda there: mark_difference(there, _MARK), overwrite)


def draw_shares(file: Path, picture: Path) -> None:
    """Draw the shares of a file as a picture.

    Parameters
    ----------
    file
        GeoTIFF with bands such as ``cloud_share`` and ``scl_cloud_share``, of any size.
    picture
        The new file, ``.png``. One that is there is replaced.

    Raises
    ------
    OutputError
        If the picture cannot be written.
    """
    import rasterio
    from matplotlib.figure import Figure
    from rasterio.enums import Resampling

    with rasterio.open(file) as opened:
        step = max(*opened.shape, LARGEST) / LARGEST
        shape = tuple(max(round(side / step), 1) for side in opened.shape)
        values = opened.read(out_shape=(opened.count, *shape), resampling=Resampling.average)
        layers = dict(zip(opened.descriptions, values, strict=True))
        dates = opened.tags().get("OBSERVATIONS", "")
    sources = {"": "UCL", "scl_": "SCL"}
    rows = [prefix for prefix in sources if f"{prefix}cloud_share" in layers]
    tall = 4.2 * shape[0] / shape[1]
    figure = Figure(figsize=(13.5, len(rows) * (tall + 0.4) + 0.4), layout="compressed", dpi=110)
    axes = figure.subplots(len(rows), len(_LOOKS), squeeze=False)
    for prefix, row in zip(rows, axes, strict=True):
        for (name, look), axis in zip(_LOOKS.items(), row, strict=True):
            share = np.ma.masked_invalid(100 * layers[f"{prefix}{name}_share"])
            shown = axis.imshow(share, cmap=look, vmin=0, vmax=100, interpolation="nearest")
            axis.set_title(f"{name} by {sources[prefix]}", fontsize=10)
            axis.set_facecolor("#cfe8cf")
            axis.set_xticks([])
            axis.set_yticks([])
            figure.colorbar(shown, ax=axis, shrink=0.8, label="% of the dates with data")
    figure.suptitle(f"How often each pixel is masked, of {dates} times", fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": _MARK})
    write_file(picture, buffer.getvalue())
