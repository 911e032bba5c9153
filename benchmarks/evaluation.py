"""Every figure of two pages: `python benchmarks/evaluation.py --docs docs/accuracy/index.md docs/accuracy/presets.md`.

Masks are made as they are stored, put on disk, and judged by the functions behind
`cleansat evaluate`. The real scenes are not part of the project (../shared/data); their tables are left as
they are where the scenes are absent. `--search` prints what the presets were chosen from.
"""

from __future__ import annotations

import argparse
import itertools
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rioxarray
import xarray as xr
from scipy.ndimage import binary_dilation, binary_erosion

from odc_cleansat import classify, get_model, list_models, refine
from odc_cleansat.classes import CLOUDS, class_percent, scl_to_ucl
from odc_cleansat.evaluate.confusion import Confusion, Question
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.evaluate.rasters import Case, ClassRaster
from odc_cleansat.evaluate.report import write_report
from odc_cleansat.evaluate.results import Evaluation
from odc_cleansat.evaluate.scores import agreement
from odc_cleansat.evaluate.streaming import evaluate_rasters
from odc_cleansat.evaluate.tables import TITLES, format_score, markdown_table
from odc_cleansat.masks.light import Light
from odc_cleansat.masks.presets import PRESETS, Preset, apply_preset
from odc_cleansat.scenes.angles import Angles
from odc_cleansat.synthetic.scene import SimulatedScene

DATA = Path(__file__).parents[2] / "shared" / "data"
NAMES = {name: f"UCL, {len(get_model(name).bands)} bands" for name in list_models()}
SIX, FOUR = list_models()[:2]
SEEDS = range(8)
BATAAN = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "SCL"]
PLAIN = Preset("plain", "as stored")
LIGHT = "calgary-light"
"""Name of the table by date."""
CANDIDATES = [0, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95]
METRES = [0, 20, 40, 60, 80, 100]


@dataclass(frozen=True)
class Masked:
    """A scene with masks of it, on the grid of its label if it has one."""

    name: str
    masks: dict[str, xr.Dataset]
    """By model: ucl and ucl_confidence."""

    scl: np.ndarray | None = None
    """Sen2Cor's codes."""

    label: Path | None = None
    """File."""

    mapping: str = "ucl"
    """Of the label."""

    bare: dict[str, xr.Dataset] | None = None
    """By model: the network's own answer, where light refines the masks."""


def band(path: Path) -> xr.DataArray:
    return rioxarray.open_rasterio(path).squeeze("band", drop=True)


def masks_of(
    scene: dict[str, xr.DataArray], models: Iterable[str], **how: object
) -> dict[str, xr.Dataset]:
    return {name: classify(scene, model=name, confidence=True, **how) for name in models}


# --- scenes ---------------------------------------------------------------------------


def calgary() -> list[Masked]:
    """Four bands at 30 m with painted shadow."""
    found = []
    for folder in sorted(p.parent for p in (DATA / "calgary").glob("*/shadow_label.tif")):
        scene = {name: band(folder / f"{name}.tif") for name in ("B02", "B03", "B04", "B08")}
        scl = band(folder / "SCL.tif").values
        label = folder / "shadow_label.tif"
        masks, bare = (
            masks_of(scene, [FOUR], precision="f32", refine=refine)
            for refine in (calgary_light(folder.name), False)
        )
        found.append(Masked(folder.name, masks, scl, label, "shadow-label", bare))
    return found


def calgary_light(date: str) -> Light:
    """The means of the angles over a scene."""
    names = ("sunAzimuthAngles", "sunZenithAngles", "viewAzimuthMean", "viewZenithMean")
    folder = DATA / "calgary-angles" / date
    if not folder.is_dir():
        return Light()
    means = [float(band(folder / f"{name}.tif").mean()) for name in names]
    return Light(Angles(*means, "the grids of ESA"))


def oncloudn() -> list[Masked]:
    """Four bands at 10 m with a cloud label; the mask at 20 m, as it would be stored."""
    folder = DATA / "oncloudn" / "chip_3"
    if not folder.is_dir():
        return []
    scene = {name: band(folder / f"{name}.tif") for name in ("B02", "B03", "B04", "B08")}
    masks = masks_of(scene, [FOUR], resolution=20)
    return [Masked("chip_3", masks, None, folder / "label.tif", "on-cloud-n")]


def unlabelled() -> list[Masked]:
    """Manila twice and Bataan, on the grid of their SCL."""
    scenes = {}
    for date in ("2024-a", "2024-b"):
        folder = DATA / "manila" / date
        if folder.is_dir():
            scenes[f"Manila {date}"] = {p.stem: band(p) for p in sorted(folder.glob("*.tif"))}
    path = DATA / "bataan" / "bataan_12band_scl.tif"
    if path.exists():
        pixels = rioxarray.open_rasterio(path)
        scenes["Bataan"] = {n: pixels.isel(band=i, drop=True) for i, n in enumerate(BATAAN)}
    found = []
    for name, scene in scenes.items():
        scl = scene.pop("SCL")
        masks = masks_of(scene, [SIX, FOUR], geobox=scl.odc.geobox)
        found.append(Masked(name, masks, scl.values))
    return found


def simulated(folder: Path) -> list[Masked]:
    """Twelve by twelve kilometres at 20 m, each of another land and sky."""
    found = []
    for seed in SEEDS:
        scene = SimulatedScene(seed=seed, cloud_cover=0.1 + 0.05 * (seed % 8)).to_xarray(20)
        scene = scene.isel(time=0)
        label = save(scene.truth, folder / "truth" / f"seed {seed}.tif")
        found.append(
            Masked(f"seed {seed}", masks_of(scene, [SIX, FOUR], offset=-1000), label=label)
        )
    return found


# --- measuring ------------------------------------------------------------------------


def save(layer: xr.DataArray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    layer.odc.write_cog(path, overwrite=True, overview_levels=[])
    return path


def judge(
    scenes: list[Masked], folder: Path, presets: Iterable[Preset] = (PLAIN,), scl: bool = True
) -> Evaluation:
    """The masks of some scenes, with presets, and SCL beside them."""
    cases = []
    for scene in scenes:
        predictions = {}
        if scl and scene.scl is not None:
            codes = next(iter(scene.masks.values())).ucl.copy(data=scene.scl)
            predictions["SCL"] = raster(codes, folder / "SCL" / f"{scene.name}.tif", "scl")
        for model, mask in scene.masks.items():
            for preset in presets:
                codes = mask.ucl if preset is PLAIN else apply_preset(mask, preset).ucl
                predictions[title_of(model, preset)] = raster(
                    codes, folder / model / preset.name / f"{scene.name}.tif"
                )
        cases.append(
            Case(scene.name, ClassRaster(str(scene.label), MAPPINGS[scene.mapping]), predictions)
        )
    return evaluate_rasters(cases)


def title_of(model: str, preset: Preset = PLAIN) -> str:
    return NAMES[model] if preset is PLAIN else f"{NAMES[model]}, {preset.name}"


def raster(codes: xr.DataArray, path: Path, mapping: str = "ucl") -> ClassRaster:
    return ClassRaster(str(save(codes, path)), MAPPINGS[mapping])


def interval(evaluation: Evaluation, name: str, question: Question, metric: str) -> str:
    found = evaluation.find(name, question, metric)
    if np.isnan(found.low):
        return format_score(found.value)
    return f"{format_score(found.value)} [{found.low:.3f}, {found.high:.3f}]"


def overview(evaluation: Evaluation) -> list[str]:
    """Pooled scores of every predictor and question."""
    rows = [["", "", "recall (PA)", "precision (UA)", "F1", "IoU", "BOA", "kappa"]]
    for question in evaluation.questions:
        for name in evaluation.predictors:
            if question in evaluation.answered(name):
                get = lambda m, n=name, q=question: evaluation.find(n, q, m).value  # noqa: E731
                rows.append(
                    [question.value, name]
                    + [interval(evaluation, name, question, m) for m in ("recall", "precision")]
                    + [format_score(get("f1")), interval(evaluation, name, question, "iou")]
                    + [format_score(get("boa")), format_score(get("kappa"))]
                )
    return markdown_table(rows)


def by_scene(evaluation: Evaluation, question: Question) -> list[str]:
    metrics = ("recall", "precision", "iou")
    rows = [
        [
            "scene",
            "label pixels",
            *(f"{n}: {TITLES[m]}" for n in evaluation.predictors for m in metrics),
        ]
    ]
    for scene in evaluation.scenes:
        first = evaluation.predictors[0]
        support = evaluation.find(first, question, "support", "scene", scene=scene).value
        rows.append(
            [scene, f"{support:,.0f}"]
            + [
                format_score(evaluation.find(n, question, m, "scene", scene=scene).value)
                for n in evaluation.predictors
                for m in metrics
            ]
        )
    return markdown_table(rows)


def edges(evaluations: dict[str, Evaluation]) -> list[str]:
    ignored = next(iter(evaluations.values())).protocol.ignored
    rows = [["", "", *(f"F1 without {k} px" if k else "F1" for k in ignored), "boundary IoU, 2 px"]]
    for title, evaluation in evaluations.items():
        for question in evaluation.questions:
            if question is Question.CLEAR:
                continue
            for name in evaluation.predictors:
                f1 = [evaluation.find(name, question, "f1", ignored=k).value for k in ignored]
                edge = evaluation.find(name, question, "boundary_iou").value
                rows.append([f"{title}, {question.value}", name, *map(format_score, [*f1, edge])])
    return markdown_table(rows)


def shares(scenes: list[Masked]) -> list[str]:
    """Percent of cloud and shadow where nothing is labelled, and how far the masks agree."""
    rows = [
        [
            "scene",
            "mask",
            "cloud %",
            "shadow %",
            "agrees with SCL: in all %",
            "on cloud %",
            "on shadow %",
        ]
    ]
    for scene in scenes:
        assert scene.scl is not None
        layers = {"SCL": scl_to_ucl(scene.scl)}
        layers |= {NAMES[model]: mask.ucl.values for model, mask in scene.masks.items()}
        for name, codes in layers.items():
            percent = class_percent(codes)
            cloud = sum(percent[c] for c in Question.CLOUD.classes)
            shadow = sum(percent[c] for c in Question.SHADOW.classes)
            same = agreement(codes, scene.scl)
            rows.append(
                [scene.name, name, f"{cloud:.1f}", f"{shadow:.1f}"]
                + (
                    ["", "", ""]
                    if name == "SCL"
                    else [f"{same[k]:.1f}" for k in ("overall", "cloud", "shadow")]
                )
            )
        if len(scene.masks) == 2:
            a, b = (mask.ucl.values for mask in scene.masks.values())
            rows.append(
                [
                    scene.name,
                    "6 and 4 bands agree",
                    "",
                    "",
                    f"{100 - 100 * Confusion.of(a, b).changed:.1f}",
                    "",
                    "",
                ]
            )
    return markdown_table(rows)


def presets(
    labelled: list[tuple[str, Evaluation, str, Question]], controls: list[Masked]
) -> list[str]:
    """Recall, precision and IoU of each preset on labelled scenes, and what it flags on others."""
    chosen = (PLAIN, *PRESETS.values())
    table = [["recall / precision / IoU", "as stored", *(f"`{p.name}`" for p in PRESETS.values())]]
    for title, evaluation, model, question in labelled:
        cells = []
        for preset in chosen:
            name = title_of(model, preset)
            metrics = ("recall", "precision", "iou")
            values = [evaluation.find(name, question, m).value for m in metrics]
            cells.append(" / ".join(f"{v:.2f}" for v in values))
        table.append([f"{title}: {question.value}", *cells])
    for scene in controls:
        mask, cells = scene.masks[SIX], []
        for preset in chosen:
            codes = (mask if preset is PLAIN else apply_preset(mask, preset)).ucl.values
            percent = class_percent(codes)
            cells.append(f"{sum(percent[c] for c in Question.CONTAMINATED.classes):.1f} %")
        table.append([f"{scene.name}: flagged", *cells])
    return markdown_table(table)


def settings() -> list[str]:
    rows = [
        [
            "preset",
            "clear below becomes cloud",
            "cloud below becomes clear",
            "shadow below becomes clear",
            "cloud grows",
            "shadow grows",
        ]
    ]
    for preset in PRESETS.values():
        percents = (preset.least_clear, preset.least_cloud, preset.least_shadow)
        metres = (preset.cloud_dilation, preset.shadow_dilation)
        rows.append(
            [f"`{preset.name}`"]
            + [f"{p} %" if p else "" for p in percents]
            + [f"{m:g} m" if m else "" for m in metres]
        )
    return markdown_table(rows)


def with_presets(scene: Masked) -> dict[str, xr.DataArray]:
    """The network alone, light, and light with each preset."""
    assert scene.bare is not None
    masks = {"network alone": scene.bare[FOUR].ucl, "light": scene.masks[FOUR].ucl}
    return masks | {f"`{n}`": apply_preset(scene.masks[FOUR], n).ucl for n in PRESETS}


def with_thresholds(scene: Masked) -> dict[str, xr.DataArray]:
    """Light, where shadow of less confidence is clear."""
    presets = [Preset("tried", "", least_shadow=least) for least in (30, 40, 50, 60, 70)]
    mask = scene.masks[FOUR]
    return {f"below {p.least_shadow} %": apply_preset(mask, p).ucl for p in presets}


def by_date(
    scenes: list[Masked], tried: Callable[[Masked], dict[str, xr.DataArray]] = with_presets
) -> list[str]:
    """Shadow of each date, by several masks.

    With so many pixels of tolerance, those as near to the edge of a painted shadow are left out.
    """
    rows = [
        [
            "date",
            "mask",
            *(
                f"{what}, {pixels} px"
                for pixels in (0, 1, 2)
                for what in ("precision", "recall", "IoU")
            ),
            "shadow left clear %",
            "clear lost %",
        ]
    ]
    sums: dict[str, np.ndarray] = {}
    for scene in scenes:
        painted = band(scene.label).values == 1  # type: ignore[arg-type]
        masks = tried(scene)
        for name, ucl in masks.items():
            found = shadow_counts(ucl.values, painted)
            sums[name] = sums.get(name, 0) + found
            rows.append([scene.name, name, *shadow_scores(found)])
    rows += [["all", name, *shadow_scores(found)] for name, found in sums.items()]
    return markdown_table(rows)


def shadow_counts(codes: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """Counts for `shadow_scores`: hits, said and painted for each tolerance; left clear; lost of what is clear."""
    counts = []
    for pixels in (0, 1, 2):
        kept = codes > 0
        if pixels:
            inner, outer = (
                change(painted, iterations=pixels) for change in (binary_erosion, binary_dilation)
            )
            kept &= inner | ~outer
        said, label = (codes == 3) & kept, painted & kept
        counts += [(said & label).sum(), said.sum(), label.sum()]
    clear = (codes > 0) & ~np.isin(codes, CLOUDS) & ~painted
    return np.array([*counts, (painted & (codes == 1)).sum(), (clear & (codes == 3)).sum(), clear.sum()])  # fmt: skip


def shadow_scores(counts: np.ndarray) -> list[str]:
    cells = []
    for hits, said, label in counts[:9].reshape(3, 3):
        cells += [hits / max(said, 1), hits / max(label, 1), hits / max(said + label - hits, 1)]
    left, lost, clear = counts[9:]
    percent = [100 * left / max(counts[2], 1), 100 * lost / max(clear, 1)]
    return [*(f"{each:.2f}" for each in cells), *(f"{each:.1f}" for each in percent)]


# --- the search -----------------------------------------------------------------------


def total(
    scenes: list[Masked], model: str, preset: Preset, labels: dict[str, np.ndarray]
) -> Confusion:
    parts = []
    for scene in scenes:
        mask = scene.masks[model]
        codes = (mask if preset is PLAIN else apply_preset(mask, preset)).ucl.values
        parts.append(Confusion.of(labels[scene.name], codes))
    return sum(parts, Confusion.zero())


def search(
    sets: dict[str, tuple[list[Masked], str, Question]], options: dict[str, list[float]]
) -> None:
    """Scores over each set for every combination of some fields of a preset."""
    for title, (scenes, model, question) in sets.items():
        labels = {scene.name: on_grid(scene, model) for scene in scenes}
        print(f"\n{title}: {' x '.join(options)}")
        for values in itertools.product(*options.values()):
            preset = Preset("tried", "", **dict(zip(options, values, strict=True)))
            got = total(scenes, model, preset, labels).scores(question)
            shown = " ".join(
                f"{m} {got[m]:.4f}" for m in ("recall", "precision", "f1", "f2", "iou")
            )
            print("  ", *(f"{v:g}".rjust(4) for v in values), shown, flush=True)


def on_grid(scene: Masked, model: str) -> np.ndarray:
    """The label on the mask's grid, by nearest neighbour."""
    from odc_cleansat.evaluate.rasters import open_raster

    with open_raster(ClassRaster(str(scene.label), MAPPINGS[scene.mapping])) as layer:
        grid = scene.masks[model].odc.geobox
        return layer.read_onto(grid, (slice(0, grid.shape[0]), slice(0, grid.shape[1])))


def where_doubtful(scenes: list[Masked], model: str) -> None:
    """What clear pixels of low confidence really are."""
    counts: dict[int, np.ndarray] = {}
    for scene in scenes:
        truth, mask = on_grid(scene, model), scene.masks[model]
        for low in range(30, 100, 10):
            here = (
                (mask.ucl.values == 1)
                & (mask.ucl_confidence.values >= low)
                & (mask.ucl_confidence.values < low + 10)
            )
            counts[low] = counts.get(low, 0) + np.bincount(truth[here], minlength=7)
    for low, found in counts.items():
        share = 100 * found / max(found[1:].sum(), 1)
        print(
            f"  clear at {low}-{low + 10} %: {found[1:].sum():8d} pixels, cloud {share[2]:.0f} %, shadow {share[3]:.0f} %"
        )


# --- other dates ----------------------------------------------------------------------


def time_scores(counts: np.ndarray) -> list[str]:
    hits, said, label = counts[:3]
    return [f"{each:.3f}" for each in (hits / said, hits / label, hits / (said + label - hits))]


def over_time(page: Path) -> None:
    """Shadow over Calgary by masks as they are, and refined by the other dates; a row for each date."""
    places = sorted(p for p in (DATA / "calgary").glob("*") if p.is_dir())
    bands = ("B02", "B03", "B04", "B08")
    found = [xr.Dataset({n: band(p / f"{n}.tif") for n in bands}) for p in places]
    times = np.array([p.name for p in places], "datetime64[ns]")
    series = xr.concat(found, xr.DataArray(times, dims="time", name="time"), join="override")
    masks = {}
    for name in ("network", "light"):
        lights = [calgary_light(p.name) if name == "light" else False for p in places]
        codes = [
            classify(one, model=FOUR, precision="f32", refine=light).ucl
            for one, light in zip(found, lights, strict=True)
        ]
        series["ucl"] = series.B02.copy(data=np.stack(codes)).astype("uint8")
        masks[name] = series.ucl
        masks[f"{name}, time"] = refine(series).ucl
        masks[f"{name}, earlier dates"] = refine(series, hindsight=False).ucl
    rows = [["date", "mask", "precision", "recall", "IoU"]]
    sums: dict[str, np.ndarray] = {}
    for i, place in enumerate(places):
        if (label := place / "shadow_label.tif").exists():
            painted = band(label).values == 1
            for name, codes in masks.items():
                counts = shadow_counts(codes.values[i], painted)
                sums[name] = sums.get(name, 0) + counts
                rows.append([place.name, name, *time_scores(counts)])
    rows += [["all", name, *time_scores(counts)] for name, counts in sums.items()]
    lines = markdown_table(rows)
    print(*lines, sep="\n")
    fill(page, {"time-dates": lines})


# --- the whole ------------------------------------------------------------------------


def fill(page: Path, tables: dict[str, list[str]]) -> None:
    """Replace what stands between the marks of each table."""
    text = page.read_text(encoding="utf-8")
    for name, lines in tables.items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, n = mark.subn(lambda m, new=lines: m[1] + "\n".join(new) + "\n" + m[2], text)
        if n != 1:
            raise SystemExit(f"{page} has {n} places for the table {name}")
    page.write_text(text, encoding="utf-8")


def fill_pages(pages: list[Path], tables: dict[str, list[str]]) -> None:
    """Fill each page with the tables that have a place there; a table without any is an error."""
    places = {
        name: [page for page in pages if f"<!-- {name} -->" in page.read_text("utf-8")]
        for name in tables
    }
    if homeless := [name for name, found in places.items() if not found]:
        raise SystemExit(f"no page has a place for {', '.join(homeless)}")
    for page in pages:
        fill(page, {name: lines for name, lines in tables.items() if page in places[name]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench-out/evaluation"))
    parser.add_argument(
        "--docs", type=Path, nargs="+", default=[], help="write the tables into these pages"
    )
    parser.add_argument("--search", action="store_true", help="print what presets are chosen from")
    parser.add_argument("--time", type=Path, help="only measure refining by time, into this page")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    out: Path = options.out
    if options.time:
        over_time(options.time)
        return
    shadow, cloud, bare, made = calgary(), oncloudn(), unlabelled(), simulated(out / "simulated")
    if options.search:
        look(shadow, cloud, made)
        return
    chosen = (PLAIN, *PRESETS.values())
    tables: dict[str, list[str]] = {"preset-settings": settings()}
    evaluations: dict[str, Evaluation] = {}
    for title, scenes in (("Calgary", shadow), ("On Cloud N", cloud), ("simulated", made)):
        if scenes:
            name = title.lower().replace(" ", "-")
            evaluations[title] = judge(scenes, out / name)
            tables[name] = overview(evaluations[title])
            write_report(evaluations[title], out / name)
    if shadow:
        tables["calgary-dates"] = by_scene(evaluations["Calgary"], Question.SHADOW)
        tables[LIGHT] = by_date(shadow)
        tables["calgary-thresholds"] = by_date(shadow, with_thresholds)
    if len(evaluations) == 3:
        tables["edges"] = edges(evaluations)
    if bare:
        tables["unlabelled"] = shares(bare)
    if shadow and cloud and bare:
        sets = (("Calgary", shadow, FOUR), ("On Cloud N", cloud, FOUR), ("simulated", made, SIX))
        labelled = []
        for title, scenes, model in sets:
            folder = out / "presets" / title.lower().replace(" ", "-")
            evaluation = judge(scenes, folder, chosen, scl=False)
            write_report(evaluation, folder)
            asked = [q for q in evaluation.questions if q is not Question.CLEAR]
            labelled += [(title, evaluation, model, question) for question in asked]
        controls = [scene for scene in bare if scene.name != "Manila 2024-a"]
        tables["presets"] = presets(labelled, controls)
    for name, lines in tables.items():
        print(f"\n{name}\n", *lines, sep="\n")
    if options.docs:
        fill_pages(options.docs, tables)


def look(shadow: list[Masked], cloud: list[Masked], made: list[Masked]) -> None:
    print("Simulated, six bands")
    where_doubtful(made, SIX)
    print("Calgary, four bands (clouds are not labelled)")
    where_doubtful(shadow, FOUR)
    sets = {
        "Calgary, shadow": (shadow, FOUR, Question.SHADOW),
        "simulated, shadow": (made, SIX, Question.SHADOW),
        "simulated, shadow, 4 bands": (made, FOUR, Question.SHADOW),
    }
    clouds = {
        "On Cloud N, cloud": (cloud, FOUR, Question.CLOUD),
        "simulated, cloud": (made, SIX, Question.CLOUD),
        "simulated, cloud, 4 bands": (made, FOUR, Question.CLOUD),
    }
    both = {"simulated, contaminated": (made, SIX, Question.CONTAMINATED)}
    dates = {f"Calgary {s.name}, shadow": ([s], FOUR, Question.SHADOW) for s in shadow}
    search({**sets, **dates}, {"least_shadow": CANDIDATES})
    search(sets, {"least_shadow": [0, 50, 80], "shadow_dilation": METRES})
    search(clouds, {"least_cloud": CANDIDATES})
    search(clouds, {"cloud_dilation": METRES})
    search(both, {"cloud_dilation": METRES, "shadow_dilation": METRES})
    search({**clouds, **both}, {"least_clear": CANDIDATES})


if __name__ == "__main__":
    main()
