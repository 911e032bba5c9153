"""What confidence means: `python benchmarks/calibration.py MODEL ...`.

Takes names of models, or paths of model documents. Each gets a table of which share of the pixels is right, by the
confidence that the network gives without calibration. From it come curves for the model's document (`calibration:`).
Each curve is the mean of the places that have labels, so a place of few pixels counts as much as others. The last table
has the error of confidence at one place before and after, with the curve of the other places. A class gets a curve only if
that makes the mean of the places better. The scenes are not part of the project (../shared/data).
"""

from __future__ import annotations

import argparse
import itertools
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import evaluation
import numpy as np
import xarray as xr
from students import model_of

from odc_cleansat import CloudClass, classify
from odc_cleansat.classes import CLOUDS
from odc_cleansat.evaluate.tables import markdown_table
from odc_cleansat.masks.light import Light
from odc_cleansat.models.model import Model
from odc_cleansat.synthetic.scene import SimulatedScene

EDGES = (0, 50, 60, 70, 80, 90, 95, 99, 101)
"""Of the bins, percent."""
KNOTS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Of the curves."""
KINDS = {"clear": (CloudClass.CLEAR,), "cloud": CLOUDS, "shadow": (CloudClass.SHADOW,)}


class Judged(NamedTuple):
    """The pixels of one place that a model gives one class."""

    place: str
    percent: np.ndarray
    right: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="names, or paths of documents")
    parser.add_argument(
        "--docs", type=Path, help="write the tables of the first model into this page"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for i, name in enumerate(options.models):
        model = model_of(name)
        judged = {kind: judge(model, kind) for kind in KINDS}
        tables = {
            "reliability": reliability(judged),
            "calibration-error": errors(judged),
        }
        print(f"\n{model.name}\n\ncalibration:")
        for kind, places in judged.items():
            before, after = np.mean([both(each, places) for each in places], axis=0)
            if after < before:
                points = ", ".join(f"[{x:g}, {y:.3f}]" for x, y in curve(places))
                print(f"  {kind}: [{points}]")
        for title, lines in tables.items():
            print(f"\n{title}\n", *lines, sep="\n")
        if options.docs and i == 0:
            evaluation.fill(options.docs, tables)


# --- masks and labels -------------------------------------------------------------------


def judge(model: Model, kind: str) -> list[Judged]:
    return [place(replace(model, calibration=()), kind) for place in PLACES[kind]]


def judged(place: str, kind: str, pairs: list[tuple[xr.Dataset, np.ndarray]]) -> Judged:
    """Pool the masks of a place; each with where the label has the class, where it has another, and NaN elsewhere."""
    percent, right = [], []
    for mask, label in pairs:
        here = np.isin(mask.ucl.values, KINDS[kind]) & np.isfinite(label)
        percent.append(mask.ucl_confidence.values[here])
        right.append(label[here] == 1)
    return Judged(place, np.concatenate(percent), np.concatenate(right))


def calgary(model: Model, kind: str) -> Judged:
    """Painted shadow, after light. The label knows shadow alone."""
    model = with_four(model)
    pairs = []
    for folder in sorted(
        p.parent for p in (evaluation.DATA / "calgary").glob("*/shadow_label.tif")
    ):
        scene = {
            name: evaluation.band(folder / f"{name}.tif") for name in ("B02", "B03", "B04", "B08")
        }
        light: Light = evaluation.calgary_light(folder.name)
        mask = classify(scene, model=model, confidence=True, precision="f32", refine=light)
        label = evaluation.band(folder / "shadow_label.tif").values
        pairs.append((mask, (label == (kind == "shadow")).astype("float32")))
    return judged("Calgary", kind, pairs)


def oncloudn(model: Model, kind: str) -> Judged:
    """A cloud label that is generous. It knows cloud alone."""
    folder = evaluation.DATA / "oncloudn" / "chip_3"
    scene = {name: evaluation.band(folder / f"{name}.tif") for name in ("B02", "B03", "B04", "B08")}
    mask = classify(scene, model=with_four(model), confidence=True, resolution=20)
    label = (
        evaluation.band(folder / "label.tif")
        .odc.reproject(mask.odc.geobox, resampling="nearest")
        .values
    )
    right = np.where(label == 255, np.nan, label == (kind == "cloud"))
    return judged("On Cloud N", kind, [(mask, right)])


def simulated(model: Model, kind: str) -> Judged:
    """The scenes of docs/accuracy/index.md."""
    pairs = []
    for seed in evaluation.SEEDS:
        scene = SimulatedScene(seed=seed, cloud_cover=0.1 + 0.05 * (seed % 8)).to_xarray(20)
        scene = scene.isel(time=0)
        mask = classify(scene, model=model, confidence=True, offset=-1000)
        truth = scene.truth.values
        others = [c for each in KINDS.values() for c in each if each != KINDS[kind]]
        ours = (
            np.isin(truth, others, invert=True) if kind == "clear" else np.isin(truth, KINDS[kind])
        )
        pairs.append((mask, np.where(truth == CloudClass.NODATA, np.nan, ours)))
    return judged("simulated", kind, pairs)


def with_four(model: Model) -> Model:
    """The model of the same family that needs no short-wave infrared, without its curves."""
    return model if len(model.bands) == 4 else replace(model_of(f"{model.name}-4b"), calibration=())


PLACES: dict[str, list[Callable[[Model, str], Judged]]] = {
    "clear": [calgary, oncloudn, simulated],
    "cloud": [oncloudn, simulated],
    "shadow": [calgary, simulated],
}
"""The label of Calgary knows no cloud, and that of On Cloud N no shadow."""


# --- figures ------------------------------------------------------------------------------


def bins(judged: Judged) -> list[np.ndarray]:
    """Which pixels are in each bin."""
    found = np.digitize(judged.percent, EDGES) - 1
    return [found == i for i in range(len(EDGES) - 1)]


def curve(places: list[Judged]) -> list[tuple[float, float]]:
    """The mean of the places at each knot, which never falls."""
    shares = []
    for each in places:
        filled = [here for here in bins(each) if here.sum() >= 100]
        x = [each.percent[here].mean() / 100 for here in filled]
        y = [each.right[here].mean() for here in filled]
        shares.append(np.interp(KNOTS, [*x, 1.0], [*y, 1.0]))
    rising = np.maximum.accumulate(np.mean(shares, axis=0))
    return list(zip(KNOTS, rising.tolist(), strict=True))


def error(judged: Judged, percent: np.ndarray) -> float:
    """Mean difference of confidence and the share that is right, over the bins, weighted by pixels; percent."""
    total = sum(
        abs(percent[here].mean() - 100 * judged.right[here].mean()) * here.sum()
        for here in bins(judged)
        if here.any()
    )
    return float(total / max(1, len(percent)))


def reliability(judged: dict[str, list[Judged]]) -> list[str]:
    rows = [
        [
            "class",
            "place",
            *(f"{a}-{min(b, 100)} %" for a, b in itertools.pairwise(EDGES)),
        ]
    ]
    for kind, places in judged.items():
        for each in places:
            shares = (
                f"{100 * each.right[here].mean():.0f}" if here.sum() >= 100 else ""
                for here in bins(each)
            )
            rows.append([kind, each.place, *shares])
    return markdown_table(rows)


def both(judged: Judged, places: list[Judged]) -> tuple[float, float]:
    """The error of confidence at one place as it is, and with the curve of the others."""
    points = curve([other for other in places if other is not judged])
    after = 100 * np.interp(judged.percent / 100, *np.array(points).T)
    return error(judged, judged.percent.astype(float)), error(judged, after)


def errors(judged: dict[str, list[Judged]]) -> list[str]:
    rows = [["class", "place", "without calibration", "with the curve of the other places"]]
    for kind, places in judged.items():
        for each in places:
            rows.append([kind, each.place, *(f"{found:.1f}" for found in both(each, places))])
    return markdown_table(rows)


if __name__ == "__main__":
    main()
