"""A distilled model beside its teachers: `python benchmarks/students.py unet-mobilenetv2-l2a --docs PAGE...`.

Takes names of models, or paths of model documents. Each is measured beside the teacher of its bands. They are judged on what the recipe
holds out, on simulated scenes that neither has seen, on labels, and by speed. The real scenes are not part of the
project (../shared/data).
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import rioxarray
import xarray as xr
from evaluation import fill_pages
from scipy import ndimage

from odc_cleansat import CloudClass, classify, get_model
from odc_cleansat.classes import CLOUDS
from odc_cleansat.evaluate.confusion import Confusion, Question
from odc_cleansat.evaluate.counting import three_classes
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.evaluate.tables import format_score, markdown_table
from odc_cleansat.grids.windows import prepare_window
from odc_cleansat.models.engines import get_engine
from odc_cleansat.models.model import Model
from odc_cleansat.models.registry import read_model
from odc_cleansat.models.weights import weights_path
from odc_cleansat.synthetic.scene import SimulatedScene
from odc_cleansat.training import Recipe, read_recipe
from odc_cleansat.training.gather import gather
from odc_cleansat.training.patches import Patch

ROOT = Path(__file__).parents[1]
SEEDS = range(300, 306)
SHOWN = (CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW)
Pair = tuple[Model, Model]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="names, or paths of documents")
    parser.add_argument("--recipe", type=Path, default=ROOT / "training/unet-mobilenetv2-l2a.yaml")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--size", type=int, default=2048, help="side of the array for speed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--docs", type=Path, nargs="+", default=[], help="write the tables into these pages"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    recipe = read_recipe(options.recipe)
    pairs = [(student, teacher_of(student, recipe)) for student in map(model_of, options.models)]
    tables = {"students-truth": truth(pairs)}
    if options.data.is_dir():
        groups = gather(recipe, options.data).held_out
        tables |= agreement(pairs, groups, recipe)
        tables["students-looks"] = spoilt(pairs, groups, recipe)
        tables["students-calgary"] = calgary(pairs, options.data / "calgary")
        tables["students-oncloudn"] = oncloudn(pairs, options.data / "oncloudn" / "chip_3")
    # At the end, when the models have been compiled and are in the cache.
    tables["students-speed"] = speed(pairs, options.models, options.size, options.rounds)
    for name, lines in tables.items():
        print(f"\n{name}\n", *lines, sep="\n")
    if options.docs:
        fill_pages(options.docs, tables)


def model_of(text: str) -> Model:
    return read_model(text) if text.endswith(".yaml") else get_model(text)


def teacher_of(student: Model, recipe: Recipe) -> Model:
    return recipe.teachers[student.level, len(student.bands)]


def distinct(pairs: Iterable[Pair]) -> list[Model]:
    """Each teacher with its students behind it, none twice."""
    return list(dict.fromkeys(m for student, teacher in pairs for m in (teacher, student)))


# --- against the teacher --------------------------------------------------------------


def codes(model: Model, pixels: np.ndarray) -> np.ndarray | None:
    """Classes of ``(C, h, w)`` reflectance at the model's resolution, nodata 0; None without data."""
    batch = prepare_window(pixels)
    if batch is None:
        return None
    valid = np.isfinite(pixels).all(axis=0)
    best = get_engine(model)(batch)[0].argmax(axis=0)[: valid.shape[0], : valid.shape[1]]
    found = np.array(model.classes, dtype="uint8")[best]
    return np.where(valid, found, np.uint8(0))


def agreement(
    pairs: list[Pair], groups: dict[str, list[Patch]], recipe: Recipe
) -> dict[str, list[str]]:
    """On each group that is held out, and by scene; the teacher is that of the patches' own level.

    Beside it how far the teacher agrees with itself when the scene is turned and mirrored, which changes
    nothing but where the sun stands: what comes near it cannot be told from the teacher's own whims.
    """
    rows = [
        [
            "held out",
            "patches",
            "bands",
            "student",
            "agreement",
            "cloud F1",
            "shadow F1",
            "teacher, scene turned",
        ]
    ]
    matrices = [["held out", "student", "teacher says", *(f"student: {c.label}" for c in SHOWN)]]
    scenes = defaultdict(list)
    for name, teacher, student, patches in contests(pairs, groups, recipe):
        places = defaultdict(list)
        for patch in patches:
            places[patch.site].append(patch)
        each = [
            Scene(
                place,
                sum((compared(teacher, student, patch) for patch in these), Confusion.zero()),
                sum((compared_turned(teacher, patch) for patch in these), Confusion.zero()),
            )
            for place, these in places.items()
        ]
        found = sum((scene.found for scene in each), Confusion.zero())
        itself = sum((scene.itself for scene in each), Confusion.zero())
        if not name.startswith(MADE):
            scenes[student.name] += [scene for scene in each if scene.found.pixels]
        f1 = [format_score(found.scores(q)["f1"]) for q in (Question.CLOUD, Question.SHADOW)]
        place = [name, str(len(patches)), str(len(teacher.bands)), student.name]
        rows.append([*place, percent(found), *f1, percent(itself)])
        matrices += [
            [name, student.name, cls.label, *shares(found.matrix[cls], found.pixels)]
            for cls in SHOWN
        ]
    return {
        "students-agreement": markdown_table(rows),
        "students-scenes": by_scene(scenes),
        "students-confusion": markdown_table(matrices),
    }


MADE = ("simulated", "l1c-surface")
"""What the names of groups begin with that are not real scenes, or not as they were recorded."""


class Scene(NamedTuple):
    """One that is held out: a site, or one date of a place that has large ones."""

    name: str
    found: Confusion
    """The teacher's classes and the student's."""

    itself: Confusion
    """The teacher's, upright and turned."""


def by_scene(scenes: Mapping[str, list[Scene]]) -> list[str]:
    """Each scene counts once, however large it is."""
    rows = [
        [
            "student",
            "scenes",
            "agreement, mean",
            "median",
            "of all pixels",
            "teacher, scene turned, mean",
            "below 95 %",
            "the lowest",
        ]
    ]
    for student, these in scenes.items():
        same = np.array([agreed(scene.found) for scene in these])
        turned = np.array([agreed(scene.itself) for scene in these])
        pooled = percent(sum((scene.found for scene in these), Confusion.zero()))
        lowest = [f"{these[i].name} {same[i]:.1f} ({turned[i]:.1f})" for i in same.argsort()[:3]]
        means = [f"{same.mean():.2f} %", f"{np.median(same):.2f} %", pooled]
        below = str((same < 95).sum())
        rows.append(
            [student, str(len(these)), *means, f"{turned.mean():.2f} %", below, ", ".join(lowest)]
        )
    return markdown_table(rows)


def contests(
    pairs: list[Pair], groups: dict[str, list[Patch]], recipe: Recipe
) -> Iterator[tuple[str, Model, Model, list[Patch]]]:
    """Each group of patches with its teacher and a student of as many bands."""
    for name, patches in groups.items():
        count = len(patches[0].bands)
        teacher = recipe.teachers.get(patches[0].kind)
        if teacher is not None:
            yield from (
                (name, teacher, student, patches)
                for student, _ in pairs
                if len(student.bands) == count
            )


def spoilt(pairs: list[Pair], groups: dict[str, list[Patch]], recipe: Recipe) -> list[str]:
    """Agreement on the same patches when they come otherwise. The teacher sees them so too, but for those that are
    blurred, where what it says is wrong: it is asked about the sharp ones, and how it does itself stands beside.
    """
    rows = [["held out", "student", *LOOKS, "blurred", "its teacher, blurred"]]
    for name, teacher, student, patches in contests(pairs, groups, recipe):
        trials = [(student, look, look) for look in LOOKS.values()]
        trials += [(each, Patch.at, blurred) for each in (student, teacher)]
        found = [
            sum((compared(teacher, who, patch, *looks) for patch in patches), Confusion.zero())
            for who, *looks in trials
        ]
        rows.append([name, student.name, *map(percent, found)])
    return markdown_table(rows)


def blurred(patch: Patch, resolution: float) -> np.ndarray:
    """As interpolation from another grid leaves it."""
    # What touches missing pixels is missing.
    return ndimage.gaussian_filter(patch.at(resolution), (0, BLUR, BLUR))


def clipped(patch: Patch, resolution: float) -> np.ndarray:
    """As imagery made to be looked at."""
    pixels = patch.at(resolution).copy()
    pixels[:3] = np.minimum(pixels[:3], CLIP)
    return pixels


BLUR = 0.8
"""Standard deviation, pixels."""
CLIP = np.float32(0.4)
"""Reflectance that blue, green and red end at, as those of Calgary do."""
Look = Callable[[Patch, float], np.ndarray]
LOOKS: dict[str, Look] = {"averaged": Patch.at, "sampled": Patch.nearest_at, "clipped": clipped}


def agreed(found: Confusion) -> float:
    return 100 * (1 - found.changed)


def percent(found: Confusion) -> str:
    return f"{agreed(found):.2f} %"


def compared(
    teacher: Model,
    student: Model,
    patch: Patch,
    to_teacher: Look = Patch.at,
    to_student: Look = Patch.at,
) -> Confusion:
    """What each says of the patch as it is shown to it. The teacher knows one kind of cloud, so thin cloud is cloud."""
    first = codes(teacher, to_teacher(patch, teacher.resolution))
    second = codes(student, to_student(patch, student.resolution))
    if first is None or second is None:
        return Confusion.zero()
    return Confusion.of(
        first, np.where(np.isin(second, CLOUDS), np.uint8(CloudClass.CLOUD), second)
    )


def compared_turned(model: Model, patch: Patch) -> Confusion:
    """A model with itself: the seven ways to turn and mirror a scene against north up."""
    pixels = patch.at(model.resolution)
    upright = codes(model, pixels)
    found = Confusion.zero()
    for turns, mirrored in list(itertools.product(range(4), (False, True)))[1:]:
        answer = codes(model, turn(pixels, turns, mirrored))
        if upright is not None and answer is not None:
            found += Confusion.of(turn(upright, turns, mirrored), answer)
    return found


def turn(image: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    turned = np.rot90(image, turns, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)


def shares(row: np.ndarray, total: int) -> list[str]:
    return [f"{100 * row[each] / total:.2f} %" for each in SHOWN]


# --- against truth and labels ---------------------------------------------------------


def truth(pairs: list[Pair]) -> list[str]:
    """Simulated scenes of 12 km at 30 m, with seeds that were not trained on."""
    counts = {model: Confusion.zero() for model in distinct(pairs)}
    for seed in SEEDS:
        cover = 0.1 + 0.05 * (seed % 8)
        scene = SimulatedScene(seed=seed, cloud_cover=cover).to_xarray(30).isel(time=0)
        for model in counts:
            found = classify(scene, model=model, offset=-1000).ucl.values
            counts[model] += Confusion.of(scene.truth.values, three_classes(found))
    rows = [
        [
            "model",
            "cloud recall",
            "cloud precision",
            "cloud F1",
            "shadow recall",
            "shadow precision",
            "shadow F1",
        ]
    ]
    for model, found in counts.items():
        values = [found.scores(q) for q in (Question.CLOUD, Question.SHADOW)]
        rows.append(
            [
                model.name,
                *(format_score(v[m]) for v in values for m in ("recall", "precision", "f1")),
            ]
        )
    rows.append(["asked for", "", "", "0.95", "", "", "0.86"])
    return markdown_table(rows)


def calgary(pairs: list[Pair], folder: Path) -> list[str]:
    """Shadow over farmland, four bands, by date and pooled."""
    rows = [["date", "model", "recall", "precision", "F1", "IoU"]]
    models = [model for model in distinct(pairs) if len(model.bands) == 4]
    pooled = {model: Confusion.zero() for model in models}
    for date in sorted(path.parent for path in folder.glob("*/shadow_label.tif")):
        for model in models:
            found = on_label(date, date / "shadow_label.tif", "shadow-label", model)
            pooled[model] += found
            rows.append([date.name, model.name, *shadow_scores(found)])
    rows += [["all", model.name, *shadow_scores(found)] for model, found in pooled.items()]
    rows.append(["all", "asked for", "", "", "0.77", ""])
    return markdown_table(rows)


def shadow_scores(found: Confusion) -> list[str]:
    values = found.scores(Question.SHADOW)
    return [format_score(values[name]) for name in ("recall", "precision", "f1", "iou")]


def oncloudn(pairs: list[Pair], folder: Path) -> list[str]:
    """Cloud on a chip of 5 km, four bands."""
    rows = [["model", "cloud recall", "cloud precision", "cloud F1", "cloud IoU"]]
    for model in distinct(pairs):
        if len(model.bands) == 4 and folder.is_dir():
            values = on_label(folder, folder / "label.tif", "on-cloud-n", model).scores(
                Question.CLOUD
            )
            rows.append(
                [
                    model.name,
                    *(format_score(values[m]) for m in ("recall", "precision", "f1", "iou")),
                ]
            )
    return markdown_table(rows)


def read_bands(folder: Path, names: Iterable[str]) -> dict[str, xr.DataArray]:
    """Each on its own grid."""
    return {
        name: rioxarray.open_rasterio(folder / f"{name}.tif").squeeze("band", drop=True)
        for name in names
    }


def on_label(folder: Path, label: Path, mapping: str, model: Model) -> Confusion:
    scene = read_bands(folder, ("B02", "B03", "B04", "B08"))
    found = classify(xr.Dataset(scene), model=model, offset=0).ucl.values
    with rasterio.open(label) as file:
        truth = MAPPINGS[mapping].apply(file.read(1))
    return Confusion.of(truth, three_classes(found))


# --- cost -----------------------------------------------------------------------------


def speed(pairs: list[Pair], given: list[str], size: int, rounds: int) -> list[str]:
    """The networks alone, taking turns on one array, on the default engine; and what they take to load."""
    rng = np.random.default_rng(0)
    models = distinct(pairs)
    batches = {
        count: rng.uniform(0.02, 0.5, (1, count, size, size)).astype("float32")
        for count in {len(model.bands) for model in models}
    }
    runs: dict[Model, Callable[[], object]] = {
        model: (lambda m=model: get_engine(m)(batches[len(m.bands)])) for model in models
    }
    seconds: dict[Model, list[float]] = {model: [] for model in models}
    for turn in range(rounds + 1):
        for model, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:  # the first also loads
                seconds[model].append(time.perf_counter() - start)
            print(
                f"  {model.name}: {time.perf_counter() - start:.2f} s", file=sys.stderr, flush=True
            )
    median = {model: statistics.median(times) for model, times in seconds.items()}
    teachers = dict(pairs)
    rows = [
        ["model", "engine", "Mpx/s", "times the teacher", "weights, MB", "load from the cache, s"]
    ]
    for model in models:
        engine = get_engine(model)
        times = f"{median[teachers[model]] / median[model]:.2f}" if model in teachers else ""
        rows.append(
            [
                model.name,
                f"{engine.name}, {engine.precision}",
                f"{size**2 / median[model] / 1e6:.2f}",
                times,
                f"{weights_path(model).stat().st_size / 1e6:.1f}",
                f"{loading(model, given):.2f}",
            ]
        )
    rows.append(["asked for", "", "", "", "15", "0.3"])
    return markdown_table(rows)


def loading(model: Model, given: list[str]) -> float:
    """Seconds from the start of Python's imports to an engine that is ready, in fresh processes; median."""
    path = next((each for each in given if Path(each).name == f"{model.name}.yaml"), None)
    read = f"read_model({path!r})" if path else f"get_model({model.name!r})"
    program = (
        "import time; start = time.perf_counter()\n"
        "from odc_cleansat.models import get_model, read_model\n"
        "from odc_cleansat.models.engines import get_engine\n"
        f"get_engine({read}); print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    return statistics.median(float(each.stdout) for each in runs)


if __name__ == "__main__":
    main()
