"""`cleansat evaluate`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..classes import CloudClass
from .console import Console
from .named_masks import Named, named_masks
from .names import Choice
from .options import check_label, json_option, overwrite_option

if TYPE_CHECKING:
    from ..evaluate.counting import Protocol
    from ..evaluate.mappings import ClassMapping
    from ..evaluate.results import Evaluation


@click.command(
    "evaluate",
    epilog="""\b
Examples:
  cleansat evaluate --label label.tif --pred UCL=ucl.tif --pred SCL=SCL.tif:scl
  cleansat evaluate --label 'scenes/{scene}/shadow.tif' --label-mapping 0=clear,1=shadow \\
      --pred 'UCL=masks/**/*{scene}*_ucl.tif' \\
      --pred 'SCL=scenes/{scene}/SCL.tif:scl' -o out
  cleansat evaluate --label CLOUDSEN12/high --layout cloudsen12 --pred UCL=masks \\
      --pred 'Sen2Cor=CLOUDSEN12/high/{scene}/labels/sen2cor.tif:scl' -o out
  cleansat evaluate --points pixels.csv --pred UCL=ucl.tif --pred SCL=SCL.tif:scl

\b
Known mappings: ucl, scl, fmask, fmask4, hls-fmask, cloudsen12, omnicloudmask,
s2cloudless, dea-s2cloudless, probability, clp, cld, qa60, ukis-csmask, on-cloud-n,
shadow-label; or codes and classes as above, of clear, cloud, shadow, snow, water,
thin_cloud and nodata; or a JSON or YAML file of them. A code may also be a bit, as
in bit3=shadow, or a range, as in 0..40=clear,40..100=cloud. Values that a mapping
does not name are no data, and a warning names them.

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.option(
    "--label",
    metavar="PATH",
    help="Labels: a raster, a folder of rasters, or a pattern with {scene}, and *, ? or **.",
)
@click.option(
    "--layout",
    type=Choice(["cloudsen12", "on-cloud-n"]),
    help="--label is a folder of this dataset, as its makers publish it.",
)
@click.option(
    "--label-mapping",
    metavar="MAPPING",
    help="Mapping of the codes of labels or points. Default: ucl, or that of the layout.",
)
@click.option(
    "--points",
    type=click.Path(path_type=Path),
    help="CSV of classified pixels, instead of --label.",
)
@click.option(
    "--points-crs",
    metavar="EPSG:CODE",
    help="Coordinate system of x and y in the points. Default: EPSG:4326.",
)
@click.option(
    "--pred",
    "predictions",
    metavar="NAME=PATH[:MAPPING]",
    multiple=True,
    required=True,
    help="A prediction; repeat the option for others. PATH as for --label, one file a scene.",
)
@click.option(
    "--mapping",
    default="ucl",
    show_default=True,
    metavar="MAPPING",
    help="Mapping of predictions that name none.",
)
@click.option(
    "--ignore",
    default="0,1,2,5",
    show_default=True,
    metavar="PX,...",
    help="Distances: count also without the pixels this near to edges of the label.",
)
@click.option(
    "--boundary",
    type=click.IntRange(0, 100),
    default=2,
    show_default=True,
    metavar="PX",
    help="Width of the boundary of the boundary IoU; 0 for none.",
)
@click.option(
    "--dilate",
    type=click.IntRange(0, 100),
    default=0,
    show_default=True,
    metavar="PX",
    help="Widen cloud and shadow in labels and predictions first.",
)
@click.option(
    "--common", is_flag=True, help="Count only pixels for which all predictions have data."
)
@click.option(
    "--draws",
    metavar="N",
    type=click.IntRange(100, 100_000),
    default=1000,
    show_default=True,
    help="Draws of the bootstrap.",
)
@click.option(
    "--seed", type=int, metavar="N", default=0, show_default=True, help="Seed of the bootstrap."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for evaluation.md, .json, .csv and .png.",
)
@overwrite_option
@json_option("of all scores")
def command(
    label: str | None,
    layout: str | None,
    label_mapping: str | None,
    points: Path | None,
    points_crs: str | None,
    predictions: tuple[str, ...],
    mapping: str,
    ignore: str,
    boundary: int,
    dilate: int,
    common: bool,
    draws: int,
    seed: int,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure masks against labels.

    The questions are where cloud is, where shadow is, where either is (contaminated), and where it is clear. A
    label that knows only cloud or only shadow answers only that. The tables show the scores over all pixels with
    95 % intervals (bootstrap over scenes), the median of the scenes, and the scores at edges. Predictions on
    another grid are brought to the grid of the label by nearest neighbour.
    """
    from ..evaluate.counting import Protocol
    from ..evaluate.mappings import get_mapping
    from ..evaluate.pairing import LAYOUTS
    from ..evaluate.report import as_dict, as_text, write_report

    if (label is None) == (points is None):
        raise click.UsageError("give --label or --points.")
    if points is not None and (layout or dilate):
        raise click.UsageError("--layout and --dilate are for --label.")
    if points_crs is not None and points is None:
        raise click.UsageError("--points-crs is for --points.")
    named = named_masks(predictions, mapping, "--pred")
    known = LAYOUTS[layout].mapping if layout and label_mapping is None else None
    truth = known or get_mapping(label_mapping or "ucl")
    if points is not None:
        found = _by_points(points, points_crs, truth, named, common, as_json)
    else:
        assert label is not None
        protocol = Protocol(_distances(ignore), boundary, dilate)
        found = _by_rasters(label, layout, truth, named, protocol, common, as_json)
    if label is not None and label_mapping is None and layout is None:
        totals = [found.confusion(name).matrix for name in found.predictors]
        check_label({c for c in CloudClass if any(matrix[c].any() for matrix in totals)})
    found = dataclasses.replace(found, draws=draws, seed=seed)
    click.echo(json.dumps(as_dict(found)) if as_json else as_text(found))
    if out is not None:
        files = write_report(found, out, overwrite=overwrite)
        if not as_json:
            click.echo("\n" + "\n".join(map(str, files)))


def _by_rasters(
    label: str,
    layout: str | None,
    mapping: ClassMapping,
    predictions: Named,
    protocol: Protocol,
    common: bool,
    quiet: bool,
) -> Evaluation:
    from ..evaluate.pairing import find_labels, find_layout, pair
    from ..evaluate.streaming import evaluate_rasters

    labels = find_layout(label, layout) if layout else find_labels(label)
    cases = pair(labels, mapping, predictions)
    if quiet:
        return evaluate_rasters(cases, protocol, common=common)
    with Console().step(f"Comparing {len(cases)} scene{'s' * (len(cases) != 1)}") as progress:
        return evaluate_rasters(cases, protocol, common=common, progress=progress)


def _by_points(
    path: Path,
    crs: str | None,
    mapping: ClassMapping,
    predictions: Named,
    common: bool,
    quiet: bool,
) -> Evaluation:
    from ..evaluate.pairing import find_predictions
    from ..evaluate.points import evaluate_points, read_points

    points = read_points(path, mapping, crs)
    # Rows and columns say where in a scene, but not in which.
    anywhere = all(each.crs is not None for each in points.values())
    rasters = find_predictions(points, predictions, mosaics=anywhere)
    if quiet:
        return evaluate_points(points, rasters, mapping=mapping, common=common)
    with Console().step(f"Comparing points of {len(points)} scene(s)") as progress:
        return evaluate_points(points, rasters, mapping=mapping, common=common, progress=progress)


def _distances(text: str) -> tuple[int, ...]:
    """Return the pixels of a text like ``0,1,2,5``."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a list of pixels, like 0,1,2,5.", param_hint="--ignore"
        ) from None
