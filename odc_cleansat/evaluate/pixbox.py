"""The benchmark of PixBox-S2-CMIX: single pixels of 29 scenes of Sentinel-2 that people have classified.

Labels and scenes: doi:10.5281/zenodo.5036991. One of the scenes, 872013732, is not in the archive there, so that 16,801
of the 17,351 pixels can be counted.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from ..classes import CLOUDS, CloudClass
from ..errors import SceneError
from ..masks.classify import classify
from ..models.model import Model
from ..scenes.band_folder import band_files
from .confusion import Confusion, Question
from .published import Row

_LABELS = "pixbox_sentinel2_cmix_*.csv"

_CLOUD = (2, 3, 4, 5, 6, 8, 9, 10, 11, 12)
"""Values of CLOUD_CHARACTERISTICS_ID that are cloud: so the published counts of 8,169 pixels come about."""

_SEMI_TRANSPARENT = (3, 4, 5, 6)
"""Those of semi-transparent cloud of any thickness."""

_CLOUD_SHADOW = 3
"""Value of SHADOW_ID for shadow of cloud. Shadow of mountains, and shadow on cloud, are none."""

_METRES = 10
"""Size of the pixels that the labels count, metres."""

SCENES = {
    5472572: "S2A_MSIL1C_20171205T143751_N0206_R096_T19KEU_20171205T180316",
    183807605: "S2A_MSIL1C_20170929T211511_N0205_R143_T06VWN_20170929T211510",
    273136892: "S2A_MSIL1C_20180126T182631_N0206_R127_T11SPC_20180126T201415",
    433871481: "S2A_MSIL1C_20180303T140051_N0206_R067_T19FDV_20180303T202004",
    522655885: "S2A_MSIL1C_20171107T150421_N0206_R125_T22WES_20171107T165127",
    623596858: "S2A_MSIL1C_20170629T103021_N0205_R108_T31TFJ_20170629T103020",
    701404038: "S2A_MSIL1C_20170908T100031_N0205_R122_T32SPJ_20170908T100655",
    784585929: "S2B_MSIL1C_20170731T102019_N0205_R065_T33VVE_20170731T102348",
    872013732: "S2A_MSIL1C_20180223T092031_N0206_R093_T36VUM_20180223T113049",
    885047116: "S2B_MSIL1C_20171210T060229_N0206_R091_T42RUN_20171210T071154",
    960993216: "S2A_MSIL1C_20180106T032121_N0206_R118_T48NUG_20180106T083912",
    1041598282: "S2A_MSIL1C_20180222T012651_N0206_R074_T54TWN_20180222T031349",
    1126775487: "S2B_MSIL1C_20170725T183309_N0205_R127_T11SPC_20170725T183309",
    1211409580: "S2A_MSIL1C_20170209T154541_N0204_R111_T17PPK_20170209T154543",
    1248336059: "S2A_MSIL1C_20170725T142751_N0205_R053_T19GBQ_20170725T143854",
    1309065466: "S2B_MSIL1C_20170712T113319_N0205_R080_T28PCV_20170712T114542",
    1386821964: "S2A_MSIL1C_20170726T102021_N0205_R065_T33VVE_20170726T102259",
    1407300752: "S2A_MSIL1C_20170113T072241_N0204_R006_T40UEE_20170113T072238",
    1470797653: "S2A_MSIL1C_20180217T053911_N0206_R005_T44SKJ_20180217T082149",
    1559102360: "S2A_MSIL1C_20170917T052641_N0205_R105_T48XWG_20170917T052642",
    1650478641: "S2A_MSIL1C_20170916T143741_N0205_R096_T19KEU_20170916T143942",
    1727138395: "S2A_MSIL1C_20170620T181921_N0205_R127_T11SPC_20170620T182846",
    1727140056: "S2A_MSIL1C_20180302T142851_N0206_R053_T19GBQ_20180302T192732",
    1821333386: "S2B_MSIL1C_20180302T150259_N0206_R125_T22WES_20180302T183800",
    1832501017: "S2B_MSIL1C_20170728T101029_N0205_R022_T32TPS_20170728T101024",
    1892503998: "S2B_MSIL1C_20170916T101019_N0205_R022_T32SPJ_20170916T101354",
    1899752240: "S2A_MSIL1C_20170712T071621_N0205_R006_T40UEE_20170712T071617",
    2019111565: "S2A_MSIL1C_20170706T051651_N0205_R062_T48XWG_20170706T051649",
    2065997836: "S2A_MSIL1C_20180102T140051_N0206_R067_T21LXK_20180102T154324",
}
"""Name of the product of each PRODUCT_ID, which the table of labels does not have."""


@dataclass(frozen=True, eq=False)
class _Pixels:
    """The labelled pixels of a scene, each array ``(N,)``."""

    rows: np.ndarray
    """int64: rows from 0 at 10 m."""

    columns: np.ndarray
    """int64: columns from 0 at 10 m."""

    cloud: np.ndarray
    """bool: cloud of any kind."""

    semi_transparent: np.ndarray
    """bool: cloud through which the ground is seen."""

    shadow: np.ndarray
    """bool: shadow of cloud. A pixel may be both cloud and shadow."""


def evaluate_pixbox(
    folder: Path,
    model: Model,
    *,
    cloud_alone: bool = False,
    engine: str | None = None,
    precision: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Row], str]:
    """Mask the scenes, and compare the masks with the labelled pixels.

    Parameters
    ----------
    folder
        Folder with the table of labels, and with the scenes as ``.SAFE`` folders or ``.zip`` files anywhere below.
        For a model of L2A, the L2A products of the same scenes.
    model
        The model to measure.
    cloud_alone
        Ask for cloud only, once with semi-transparent cloud and once without its pixels.
    engine, precision
        See :func:`~odc_cleansat.models.engines.get_engine`.
    progress
        Called with the number of scenes done and the number there are.

    Returns
    -------
    rows : list of Row
        Scores over all pixels.
    counted : str
        What was counted, and how many pixels were not.

    Raises
    ------
    SceneError
        If labels or all scenes are missing, or a scene cannot be read.
    """
    labels = _read_labels(folder)
    places = {number: place for number in labels if (place := _find(folder, number, model.level))}
    if not places:
        raise SceneError(
            f"{folder} has none of the scenes of PixBox of level {model.level}, such as "
            f"{_product(next(iter(labels)), model.level)}. They are in the record 10.5281/zenodo.5036991 as L1C."
        )
    pixels, codes = [], []
    for done, (number, place) in enumerate(places.items(), 1):
        pixels.append(labels[number])
        codes.append(_codes(place, labels[number], model, engine, precision))
        if progress is not None:
            progress(done, len(places))
    joined = _joined(pixels)
    found = np.concatenate(codes)
    rows = _rows(joined, found, model, cloud_alone)
    left_out = sum(len(each.rows) for number, each in labels.items() if number not in places)
    counted = (
        f"PixBox {model.level}, {len(places)} of {len(labels)} scenes: {np.count_nonzero(found):,} pixels counted, "
        f"{left_out:,} of scenes that are not there, {np.count_nonzero(found == 0):,} without data"
    )
    return rows, counted


def _read_labels(folder: Path) -> dict[int, _Pixels]:
    """Return the labelled pixels by PRODUCT_ID."""
    path = next(iter(sorted(folder.rglob(_LABELS))), None)
    if path is None:
        raise SceneError(
            f"{folder} has no table of labels, {_LABELS}; it is in PixBox-S2-CMIX.zip of the record "
            "10.5281/zenodo.5036991."
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            sample = file.read(4096)
            file.seek(0)
            rows = list(csv.DictReader(file, delimiter=";" if ";" in sample else ","))
        wanted = ("PRODUCT_ID", "PIXEL_Y", "PIXEL_X", "CLOUD_CHARACTERISTICS_ID", "SHADOW_ID")
        table = np.array([[int(float(row[name])) for name in wanted] for row in rows])
    except (OSError, UnicodeDecodeError, csv.Error, ValueError, TypeError) as error:
        raise SceneError(f"cannot read the labels {path}: {error}.") from error
    except KeyError as error:
        raise SceneError(f"the labels {path} have no column {error}.") from error
    if not len(table):
        raise SceneError(f"the labels {path} have no pixels.")
    if unknown := set(table[:, 0].tolist()) - set(SCENES):
        raise SceneError(
            f"the labels {path} name scenes that PixBox does not have: {sorted(unknown)[:3]}."
        )
    return {
        number: _pixels(table[table[:, 0] == number]) for number in sorted({*table[:, 0].tolist()})
    }


def _pixels(table: np.ndarray) -> _Pixels:
    _, rows, columns, cloud, shadow = table.T
    return _Pixels(
        rows, columns, np.isin(cloud, _CLOUD), np.isin(cloud, _SEMI_TRANSPARENT), shadow == _CLOUD_SHADOW
    )  # fmt: skip


def _joined(pixels: list[_Pixels]) -> _Pixels:
    return _Pixels(
        *(
            np.concatenate([getattr(each, name) for each in pixels])
            for name in _Pixels.__annotations__
        )
    )


# --- the scenes -----------------------------------------------------------------------


def _product(number: int, level: str) -> str:
    """Return the beginning of the name of a product, which is the same for all that was made of one scene."""
    satellite, _, moment, _, orbit, tile, _ = SCENES[number].split("_")
    return f"{satellite}_MSI{level}_{moment}_*_{orbit}_{tile}_*"


def _find(folder: Path, number: int, level: str) -> Path | None:
    """Return the product of a scene, a folder or a zip file; None if it is not there."""
    found = sorted(folder.rglob(_product(number, level)))
    return next((p for p in found if p.suffix.upper() in (".SAFE", ".ZIP")), None)


def _codes(
    place: Path, pixels: _Pixels, model: Model, engine: str | None, precision: str | None
) -> np.ndarray:
    """Mask a scene, and return the classes of its labelled pixels, ``(N,)`` uint8."""
    files = _band_files(place)
    if missing := [band for band in model.bands if band not in files]:
        raise SceneError(f"{place} has no pictures of {', '.join(missing)}.")
    bands = {band: _open_band(files[band]) for band in model.bands}
    finest = min(bands.values(), key=lambda band: abs(band.odc.geobox.resolution.x)).odc.geobox
    grid = finest.zoom_to(resolution=_METRES)
    masked = classify(
        bands, model=model, geobox=grid, scale=1e-4, offset=0, engine=engine, precision=precision, refine=False
    )  # fmt: skip
    # Only the blocks in which pixels lie are computed.
    y, x = (xr.DataArray(each, dims="pixel") for each in (pixels.rows, pixels.columns))
    found: np.ndarray = masked.ucl.isel(y=y, x=x).values
    return found


def _band_files(place: Path) -> Mapping[str, str]:
    """Return the path of each band's picture for GDAL, by canonical name."""
    if place.is_dir():
        paths = {str(p): p for p in place.rglob("IMG_DATA/**/*.jp2")}
    else:
        try:
            with zipfile.ZipFile(place) as archive:
                inside = [n for n in archive.namelist() if "IMG_DATA" in n and n.endswith(".jp2")]
        except (OSError, zipfile.BadZipFile) as error:
            raise SceneError(f"{place} cannot be read as a zip file: {error}.") from error
        paths = {f"/vsizip/{place.absolute()}/{name}": Path(name) for name in inside}
    by_path = {path: uri for uri, path in paths.items()}
    return {band: by_path[path] for band, path in band_files(by_path).items()}


def _open_band(uri: str) -> xr.DataArray:
    import rioxarray

    opened = rioxarray.open_rasterio(uri, chunks={"x": 2048, "y": 2048})
    assert isinstance(opened, xr.DataArray)
    band: xr.DataArray = opened.squeeze("band", drop=True)
    return band.assign_attrs(nodata=0)


# --- the scores -----------------------------------------------------------------------


def _rows(pixels: _Pixels, codes: np.ndarray, model: Model, cloud_alone: bool) -> list[Row]:
    known = set(model.classes)
    rows = []
    if known.intersection(CLOUDS):
        rows.append(_row(model, Question.CLOUD, pixels.cloud, codes))
    if cloud_alone:
        opaque = np.where(pixels.semi_transparent, np.uint8(CloudClass.NODATA), codes)
        name = f"{model.name}, no semi-transparent"
        return [*rows, replace(_row(model, Question.CLOUD, pixels.cloud, opaque), maker=name)]
    if CloudClass.SHADOW in known:
        rows.append(_row(model, Question.SHADOW, pixels.shadow, codes))
        if known.intersection(CLOUDS):
            rows.append(_row(model, Question.CLEAR, ~(pixels.cloud | pixels.shadow), codes))
    return rows


def _row(model: Model, question: Question, yes: np.ndarray, codes: np.ndarray) -> Row:
    """Score one question. Each has its own label, since a pixel may be both cloud and shadow."""
    positive = question.classes[0]
    negative = CloudClass.CLOUD if question is Question.CLEAR else CloudClass.CLEAR
    truth = np.where(yes, np.uint8(positive), np.uint8(negative))
    scores = Confusion.of(truth, codes).scores(question)
    return Row(
        model.name, model.level, question,
        boa=scores["boa"], pa=scores["recall"], ua=scores["precision"], oa=scores["oa"],
    )  # fmt: skip
