"""`cleansat compare`."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from .console import Console
from .named_masks import others_option
from .names import Choice
from .options import (
    check_label,
    connected,
    datacube_options,
    fetch_scenes_option,
    grid_options,
    grid_query,
    json_option,
    overwrite_option,
    source_options,
)

if TYPE_CHECKING:
    import xarray as xr
    from datacube import Datacube

    from ..review.comparison import Comparison
    from ..review.layers import Frame
    from ..review.other_masks import OtherMask


CHUNK = 2048
"""Pixels along a side of the blocks in which a scene of a datacube is read."""


@click.command(
    "compare",
    epilog="""\b
Examples:
  cleansat compare products/s2_l2a_ucl/33UVP/2024/06/15/NAME -o compare.html
  cleansat compare S2B_MSIL2A_20240710T071619_N0510_R006_T37MGP_20240710T103747.SAFE \\
      --bbox 38.1,-3.2,38.3,-3.0 --agreement -o compare.png -o compare.html
  cleansat compare FOLDER_OF_BANDS --label shadow.tif --label-mapping shadow-label \\
      --agreement shadow --style outlines -o compare.pdf
  cleansat compare MASK --other fmask=ga_s2bm_fmask.tif:fmask \\
      --other CLD=MSK_CLDPRB_20m.jp2:cld --agreement cloud -o compare.html
  cleansat compare --product s2_l2a --time 2024-06 --bbox 13.6,47.7,13.8,47.9 \\
      --crs EPSG:32633 --resolution 20 -o june.png

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.argument("source", required=False)
@click.option(
    "-o",
    "--out",
    "outputs",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    required=True,
    help="File NAME.png or NAME.pdf, or NAME.html, a page to swipe between layers. May be given several times.",
)
@overwrite_option
@click.option(
    "--product", metavar="NAME", help="Product of scenes in the datacube, instead of SOURCE."
)
@grid_options
@click.option(
    "--ucl", metavar="FILE", help="Mask of the scene SOURCE. Default: the mask is computed."
)
@click.option(
    "--scl", metavar="FILE", help="Sen2Cor's scene classification. Default: that of the scene."
)
@click.option("--label", metavar="FILE", help="Also show a label, drawn by hand.")
@click.option(
    "--label-mapping",
    metavar="MAPPING",
    help="Meaning of the codes of the label, as in `cleansat evaluate`.  [default: ucl]",
)
@others_option
@click.option("--confidence", is_flag=True, help="Also show how sure the UCL is.")
@click.option(
    "--agreement",
    type=Choice(["contaminated", "cloud", "shadow"]),
    is_flag=False,
    flag_value="contaminated",
    help="Also show where the UCL agrees with SCL, label and others. Without a value: on cloud or shadow.",
)
@click.option(
    "--style",
    type=Choice(["panels", "outlines"]),
    default="panels",
    show_default=True,
    help="Classes as filled panels, or as outlines over true colour.",
)
@source_options
@fetch_scenes_option
@json_option("for each date")
@datacube_options
def command(
    source: str | None,
    outputs: tuple[Path, ...],
    overwrite: bool,
    product: str | None,
    ucl: str | None,
    scl: str | None,
    label: str | None,
    label_mapping: str | None,
    others: list[OtherMask],
    confidence: bool,
    agreement: str | None,
    style: str,
    model: str | None,
    offset: float | None,
    moment: str | None,
    fetch_scenes: bool,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
    **grid: Any,
) -> None:
    """Show true colour, SCL (cloud classes only) and UCL side by side.

    UCL are the classes of a mask, SCL those of Sen2Cor, which come with the scene.

    SOURCE is a mask product (its folder or its document), or a scene as for `cleansat mask`: a STAC item or
    an EO3 document, a SAFE folder, or a folder with one file for each band. --bbox shows a part of it.
    A mask names the files of its scene, which are opened near the mask and on its host.

    With --product the scenes come from the datacube, one row for each date. Their masks come from the
    index, or are computed.

    The command prints how far UCL and SCL agree, and so for the masks of --other. These are brought to the grid of the
    picture by nearest neighbour. A mask of another place or day is refused.
    """
    from ..review.comparison import check_output, compare
    from ..review.datasets import layer_names
    from ..review.other_masks import read_others

    for path in outputs:
        check_output(path, overwrite)
    _check_usage(source, product, {"ucl": ucl, "scl": scl, "datetime": moment}, grid)
    _check_others(product, others)
    query = grid_query(**grid)
    console = Console(to_stderr=as_json)
    drawn = None if label is None else _read_label(label, label_mapping, agreement)
    with contextlib.ExitStack() as stack:
        if source is not None:
            part = {"bbox": grid["bbox"], "scl": scl}
            masking = {"model": model, "offset": offset, "ucl": ucl, "moment": moment}
            data = _from_files(source, part, masking, fetch_scenes, console)
            beside = read_others(others, data)
        else:
            dc = stack.enter_context(connected(config, env))
            beside = {each.name: (each.place, each.mapping) for each in others}
            data = _from_cube(dc, str(product), others, (model, offset), query, console)
        with console.step("Comparing"):
            comparison = compare(
                data,
                label=drawn,
                others=beside,
                confidence=confidence,
                agreement=agreement,
                offset=offset,
                style=style,
                names=layer_names(data, model),
                title=data.attrs.get("title", product or ""),
            )
        _draw(comparison, outputs, overwrite, console)
    for frame in comparison.frames:
        click.echo(_json_line(frame, outputs) if as_json else _text(frame))


def _draw(
    comparison: Comparison, outputs: tuple[Path, ...], overwrite: bool, console: Console
) -> None:
    for path in outputs:
        with console.step(f"Drawing {path}"):
            comparison.save(path, overwrite=overwrite)


def _read_label(path: str, mapping: str | None, agreement: str | None) -> xr.DataArray:
    from ..review.datasets import class_file

    label = class_file(path, mapping or "ucl")
    _check_question(mapping or "ucl", agreement)
    if mapping is None:
        check_label(np.unique(label.values))
    return label


def _check_usage(
    source: str | None, product: str | None, files: Mapping[str, Any], grid: Mapping[str, Any]
) -> None:
    if (source is None) == (product is None):
        raise click.UsageError("give SOURCE, or --product for scenes in the datacube.")
    refused = {**grid, "bbox": None} if source is not None else files
    if given := [f"--{name}" for name, value in refused.items() if value is not None]:
        said = "for --product" if source is not None else "for SOURCE"
        raise click.UsageError(f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} {said}.")


def _check_others(product: str | None, others: Sequence[OtherMask]) -> None:
    if product is not None and (paths := [o.place for o in others if not o.is_measurement]):
        raise click.UsageError(
            f"--other {paths[0]} is no measurement; with --product name one of the product, as in "
            "--other fmask=oa_fmask:fmask."
        )


def _check_question(mapping: str, agreement: str | None) -> None:
    """Raise if the label does not know the classes that the agreement is about."""
    from ..evaluate.confusion import Question
    from ..evaluate.mappings import get_mapping

    known = get_mapping(mapping).questions
    if agreement is not None and Question(agreement) not in known:
        raise click.UsageError(
            f"the label cannot answer --agreement {agreement}: its codes know only "
            f"{', '.join(sorted(q.value for q in known)) or 'nothing of cloud'}."
        )


def _from_files(
    source: str,
    part: Mapping[str, Any],
    masking: dict[str, Any],
    fetch_scenes: bool,
    console: Console,
) -> xr.Dataset:
    from ..review.datasets import is_mask, mask_dataset, scene_dataset
    from ..scenes.band_folder import parse_moment

    if is_mask(source):
        if refused := [f"--{n}" for n in ("ucl", "model", "offset") if masking[n] is not None]:
            raise click.UsageError(f"{source} is a mask; {', '.join(refused)} would not change it.")
        with console.step(f"Reading the mask {source} and its scene"):
            data = mask_dataset(source, **part, fetch_scenes=fetch_scenes)
    else:
        if masking["moment"] is not None:
            masking["moment"] = parse_moment(masking["moment"])
        action = "Reading" if masking["ucl"] else "Masking"
        with console.step(f"{action} {source}", "window") as progress:
            data = scene_dataset(source, **part, **masking, progress=progress)
    if "scl" not in data:
        click.echo("There is no SCL beside the scene; --scl FILE names one.", err=True)
    return data


def _from_cube(
    dc: Datacube,
    product: str,
    others: Sequence[OtherMask],
    masking: tuple[str | None, float | None],
    query: dict[str, Any],
    console: Console,
) -> xr.Dataset:
    from ..cube.load import load

    model, offset = masking
    measurements = _measurements(dc, product)
    with console.step("Looking up scenes and masks"):
        return load(
            dc,
            product,
            measurements=measurements and [*measurements, *(each.place for each in others)],
            model=model,
            offset=offset,
            group_by="solar_day",
            dask_chunks={"time": 1, "x": CHUNK, "y": CHUNK},
            **query,
        )


def _measurements(dc: Datacube, product: str) -> list[str] | None:
    """The names to load; None for an unknown product, which `load` refuses."""
    from ..errors import CubeError, SceneError
    from ..scenes.bands import find_bands

    definition = dc.index.products.get_by_name(product)
    if definition is None:
        return None
    known = [
        n for m, each in definition.measurements.items() for n in (m, *each.get("aliases", ()))
    ]
    try:
        names = list(find_bands(known, ["red", "green", "blue"]).values())
    except SceneError as error:
        raise CubeError(f"{product} cannot be shown: {error}") from error
    with contextlib.suppress(SceneError):  # it may have none
        names += find_bands(known, ["scl"]).values()
    return [*names, "ucl", "ucl_confidence"]


def _json_line(frame: Frame, outputs: tuple[Path, ...]) -> str:
    """The numbers of a date for programs; null where no pixel has data."""
    percent = {
        layer.key: {c.name: _rounded(layer.percent[c.value]) for c in layer.categories}
        for layer in frame.layers
    }
    document = {
        "time": None if not frame.date else f"{frame.time!s:.19}Z",
        "percent": percent,
        "agreement": {n: _rounded(value) for n, value in frame.agreement.items()} or None,
        "others": {
            name: {n: _rounded(value) for n, value in agreed.items()}
            for name, agreed in frame.others.items()
        },
        "files": [str(path) for path in outputs],
    }
    return json.dumps(document, allow_nan=False)


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _text(frame: Frame) -> str:
    """The numbers of a date for people."""
    from ..review.figure import percent_text

    lines = [frame.date or "date unknown"]
    width = max(len(layer.name) for layer in frame.layers)
    for layer in frame.layers:
        shares = ", ".join(f"{c.name} {percent_text(layer.percent[c.value])}" for c in layer.listed)
        lines.append(f"  {layer.name:{width}}  {shares}")
    for other, agreed in {"SCL": frame.agreement, **frame.others}.items():
        if agreed:
            shares = ", ".join(f"{name} {percent_text(v)}" for name, v in agreed.items())
            lines.append(f"  {f'UCL and {other} agree':{width}}  {shares}")
    return "\n".join(lines)
