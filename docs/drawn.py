"""The pictures and live pages of the site, drawn of simulated scenes when it is built.

``python docs/drawn.py FOLDER`` draws them into a folder. MkDocs does it by ``docs/hooks.py``, once for each version of this file.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from scipy import ndimage

import odc_cleansat
from odc_cleansat import CloudClass, apply_preset, classify
from odc_cleansat.classes import CLOUDS
from odc_cleansat.cube.embedded import stop_cube
from odc_cleansat.demo import example_cube
from odc_cleansat.masks import PRESETS, persist
from odc_cleansat.masks.light import HIGHEST, LOWEST, cast, motions_of
from odc_cleansat.masks.rasters import share_rasters
from odc_cleansat.models import get_engine, get_model
from odc_cleansat.products import MaskJob
from odc_cleansat.review import compare, page, true_colour
from odc_cleansat.review.share_map import draw_shares
from odc_cleansat.scenes import read_scene
from odc_cleansat.scenes.angles import Angles
from odc_cleansat.storage.cog import write_cogs
from odc_cleansat.synthetic.scene import SimulatedScene

COLOURS = ListedColormap([each.colour for each in CloudClass])
WIDTH = 9
"""Of a figure, inches: the column of a page, so that a letter of 10 points is as large as the text."""

DAYS = ("2024-06-05", "2024-06-15", "2024-06-25", "2024-07-05")


def scene(shape: tuple[int, int] = (600, 900), **changes: object) -> xr.Dataset:
    """Return the scene that all pictures show, at 20 m, one date."""
    simulated = SimulatedScene(shape=shape, **changes)  # type: ignore[arg-type]
    return simulated.to_xarray(20).isel(time=0)


def colours(data: xr.Dataset, offset: float = -1000) -> np.ndarray:
    """Return true colour as a picture."""
    bands = np.stack([data[name].values for name in ("B04", "B03", "B02")], axis=-1).astype(
        "float32"
    )
    return true_colour(np.where(bands == 0, np.nan, (bands + offset) / 10_000))


def panels(
    titles: Sequence[str], ratio: float = 2 / 3, columns: int = 0, below: float = 0
) -> tuple[Figure, list]:
    """Return a figure of panels without ticks, three in a row, or two of two or four.

    `ratio` is the height of a panel over its width, and `below` inches for what stands below all of them.
    """
    columns = columns or (2 if len(titles) in (2, 4) else 3)
    rows = -(-len(titles) // columns)
    height = rows * (ratio * WIDTH / columns + 0.27) + 0.35 + below  # titles and the legend
    figure = Figure(figsize=(WIDTH, height), layout="constrained", dpi=150)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[len(titles) :]:
        axis.set_axis_off()
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, axes[: len(titles)]


def save(figure: Figure, path: Path) -> None:
    """Write a figure, with a legend of the classes that its masks show."""
    images = [image for axis in figure.axes for image in axis.images if image.cmap is COLOURS]
    codes = np.unique(np.concatenate([np.unique(image.get_array()) for image in images]))
    patches = [
        Patch(facecolor=each.colour, edgecolor="#888888", linewidth=0.5, label=each.label)
        for each in map(CloudClass, codes)
    ]
    figure.legend(
        handles=patches, loc="outside lower center", ncols=len(patches), fontsize=9, frameon=False
    )
    figure.savefig(path)


def scale(figure: Figure, axis, image, label: str) -> None:  # type: ignore[no-untyped-def]
    """Put a bar of colours below a panel."""
    bar = figure.colorbar(image, ax=axis, orientation="horizontal", shrink=0.8, aspect=30)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)


def show(axis, ucl: np.ndarray) -> None:
    """Draw codes of a mask in the colours of their classes."""
    axis.imshow(ucl, cmap=COLOURS, vmin=-0.5, vmax=len(CloudClass) - 0.5, interpolation="nearest")


def draw_classes(out: Path) -> None:
    """A swatch for each class, above a mask with those that the default model knows."""
    figure = Figure(figsize=(9, 1.3), layout="constrained", dpi=100)
    for axis, each in zip(figure.subplots(1, len(CloudClass)), CloudClass, strict=True):
        axis.imshow([[each.value]], cmap=COLOURS, vmin=-0.5, vmax=len(CloudClass) - 0.5)
        axis.set_title(f"{each.value} {each.label}", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(out / "classes.png")


def draw_confidence(out: Path) -> None:
    """What a mask says of its pixels, and which share of them is right, without and with calibration."""
    scenes = [scene(seed=seed, cloud_cover=cover) for seed, cover in ((21, 0.1), (22, 0.2), (23, 0.3))]  # fmt: skip
    truth = np.stack([each.truth.values for each in scenes])
    kinds = {"clear": [CloudClass.CLEAR], "cloud": CLOUDS, "shadow": [CloudClass.SHADOW]}
    figure = Figure(figsize=(WIDTH, 3.5), layout="constrained", dpi=150)
    axes = figure.subplots(1, 3, sharey=True)
    for model, colour, label in (
        (replace(get_model(), calibration=()), "#999999", "the network's probability"),
        (get_model(), "#0072b2", "ucl_confidence"),
    ):
        masks = [classify(each, model=model, offset=-1000, confidence=True) for each in scenes]
        codes = np.stack([mask.ucl.values for mask in masks])
        percent = np.stack([mask.ucl_confidence.values for mask in masks])
        steps = np.clip(percent // 5, 6, 19)  # the last one is from 95 to 100
        for axis, kind in zip(axes, kinds.values(), strict=True):
            inside = [np.isin(codes, kind) & (steps == step) for step in range(6, 20)]
            filled = [here for here in inside if here.sum() >= 200]
            said = [percent[here].mean() for here in filled]
            right = [100 * np.isin(truth[here], kind).mean() for here in filled]
            axis.plot(said, right, color=colour, marker="o", markersize=4, label=label)
    for axis, title in zip(axes, kinds, strict=True):
        axis.plot([0, 100], [0, 100], color="black", linewidth=0.8, linestyle=":")
        axis.set(title=title, xlim=(30, 102), ylim=(0, 102), xlabel="the mask says, percent")
    axes[0].set_ylabel("is right, percent")
    lines, names = axes[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(out / "confidence.png")


def draw_presets(out: Path) -> None:
    """The same mask as it is stored and by each preset."""
    data = scene()
    mask = classify(data, offset=-1000, confidence=True)
    figure, axes = panels(["true colour", "as stored", *PRESETS])
    axes[0].imshow(colours(data))
    show(axes[1], mask.ucl.values)
    for axis, name in zip(axes[2:], PRESETS, strict=True):
        show(axis, apply_preset(mask, name).ucl.values)
    save(figure, out / "presets.png")


def draw_light(out: Path) -> None:
    """From the network's answer to the refined mask: false shadow, where shadow can lie, and what stays."""
    data = scene()
    plain = classify(data, offset=-1000, refine=False).ucl.values
    refined = classify(data, offset=-1000).ucl.values
    grid = data.odc.geobox
    cloud = ndimage.binary_dilation(np.isin(plain, CLOUDS), np.ones((3, 3)))
    ways = motions_of(Angles(data.attrs["sun_azimuth"], 90 - data.attrs["sun_elevation"], 0, 0), grid)  # fmt: skip
    possible = cast(cloud, ways, (LOWEST, HIGHEST), 20).astype("uint8")
    possible += cast(cloud, ways, (0.7 * 1500, 1.2 * 1500), 20)
    figure, axes = panels(
        [
            "true colour",
            "the network's own answer",
            "where clouds can cast shadow",
            "refined by light",
        ],
        below=0.2,
    )
    axes[0].imshow(colours(data))
    show(axes[1], plain)
    axes[2].imshow(possible, cmap="Greys", vmin=0, vmax=2)
    axes[2].set_xlabel(
        f"white: none; grey: clouds of {LOWEST:.0f} to {HIGHEST:.0f} m; black: of 1500 m",
        fontsize=9,
    )
    show(axes[3], refined)
    save(figure, out / "light.png")


def draw_cores(out: Path) -> None:
    """Clouds of a clipped scene, whose cores a network calls clear, before and after they are filled."""
    model = "unet-efficientnetb4-l2a-4b"  # the default hardly does
    data = scene(seed=4, cloud_cover=0.3)[["B02", "B03", "B04", "B08"]]
    for name in ("B02", "B03", "B04"):
        data[name] = data[name].clip(max=5000).assign_attrs(data[name].attrs)
    figure, axes = panels(
        ["true colour, clipped at 0.4", "the network's own answer", "white cores filled"]
    )
    axes[0].imshow(colours(data))
    show(axes[1], classify(data, model=model, offset=-1000, refine=False).ucl.values)
    show(axes[2], classify(data, model=model, offset=-1000).ucl.values)
    save(figure, out / "cores.png")


def draw_trust(out: Path) -> None:
    """A mask, its confidence, and where it is right."""
    data = scene()
    mask = classify(data, offset=-1000, confidence=True)
    truth = data.truth.values
    figure, axes = panels(
        ["true colour", "mask", "confidence: dark is doubt", "wrong pixels in red"], below=0.6
    )
    axes[0].imshow(colours(data))
    show(axes[1], mask.ucl.values)
    sure = mask.ucl_confidence.where(mask.ucl_confidence != 255)
    shown = axes[2].imshow(sure, cmap="magma", vmin=40, vmax=100)
    scale(figure, axes[2:], shown, "confidence, percent")
    thick = np.where(mask.ucl == CloudClass.THIN_CLOUD, CloudClass.CLOUD, mask.ucl)
    wrong = (thick != truth) & (truth != CloudClass.NODATA)  # which knows one kind of cloud
    axes[3].imshow(wrong, cmap=ListedColormap(["#eeeeee", "#c00000"]))
    save(figure, out / "trust.png")


def draw_offsets(out: Path) -> None:
    """The same numbers with the right offset, with it forgotten, and with it taken off twice."""
    data = scene()
    figure, axes = panels(
        ["true colour", "offset -1000: right", "0: forgotten", "-2000: taken off twice"]
    )
    axes[0].imshow(colours(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", odc_cleansat.errors.ReflectanceWarning)
        for axis, offset in zip(axes[1:], (-1000, 0, -2000), strict=True):
            show(axis, classify(data, offset=offset).ucl.values)
    save(figure, out / "offsets.png")


def draw_resolution(out: Path) -> None:
    """One scene, loaded with pixels of three sizes: the network always sees its own."""
    figure, axes = panels(["bands of 10 m", "of 20 m", "of 30 m"])
    for axis, metres in zip(axes, (10, 20, 30), strict=True):
        bands = SimulatedScene(shape=(600, 900)).to_xarray(metres).isel(time=0)
        show(axis, classify(bands, offset=-1000, resolution=30).ucl.values)
    save(figure, out / "resolution.png")


def draw_nodata(out: Path) -> None:
    """A scene whose corner is missing: no class there, and no seam beside it."""
    data = scene()
    rows, columns = np.indices(data.B04.shape)
    there = rows + columns > 160
    data = data.where(xr.DataArray(there, dims=("y", "x")), 0).astype(data.dtypes)
    figure, axes = panels(["true colour", "mask: white has no data"])
    axes[0].imshow(np.where(there[..., None], colours(data), 1))
    show(axes[1], classify(data, offset=-1000).ucl.values)
    save(figure, out / "nodata.png")


def draw_windows(out: Path) -> None:
    """The cells of a whole tile at 30 m, and one window."""
    figure = Figure(figsize=(5, 5), layout="constrained", dpi=100)
    axis = figure.subplots()
    edge, left, top = 109.8, 399.96, 5300.04
    axis.set(xlim=(left, left + edge), ylim=(top - edge, top), aspect="equal")
    xs = [k * 1920 * 0.03 for k in range(200) if left + 28.8 < k * 1920 * 0.03 < left + edge - 28.8]
    ys = [k * 896 * 0.03 for k in range(400) if top - edge + 13.4 < k * 896 * 0.03 < top - 13.4]
    for x in xs:
        axis.axvline(x, color="#0072b2")
    for y in ys:
        axis.axhline(y, color="#0072b2")
    margin = 64 * 0.03
    axis.add_patch(
        Rectangle(
            (left, ys[1] - margin), xs[0] - left + margin, ys[2] - ys[1] + 2 * margin,
            color="#e69f00", alpha=0.4, linewidth=0,
        )
    )  # fmt: skip
    axis.plot([], color="#0072b2", label="edges of cells")
    axis.fill_between([], [], color="#e69f00", alpha=0.4, label="one window")
    axis.legend(loc="upper right", framealpha=1)
    axis.set(title="cells of a tile, and one window", xlabel="easting, km", ylabel="northing, km")
    figure.savefig(out / "windows.png")


WAY = {
    "files": (1.3, 5, "STAC item, SAFE,\nEO3, folder of bands"),
    "query": (4.2, 5, "cube\nquery"),
    "index": (6.6, 5, "index of\nthe datacube"),
    "scene": (2.9, 4, "scenes\nfiles, bands, offset"),
    "models": (0.9, 3, "models\nweights, engine"),
    "masks": (3.7, 3, "masks\nwindows, network, light"),
    "load": (1.3, 2, "cube\nload, driver"),
    "products": (5.1, 2, "products\nCOGs, documents, checksums"),
    "recall": (2.9, 1, "cube\nrecall"),
    "review": (6.4, 1, "review\npages, verdicts"),
}
"""Where each room of the way of a scene stands in the picture, and what it says."""

ARROWS = (
    "files scene, index query, query scene, scene masks, models masks, masks load, masks products, products index, "
    "products recall, recall load, products review, review products"
)


def draw_way(out: Path) -> None:
    """The way of a scene through the rooms of the package."""
    figure = Figure(figsize=(7.4, 6), layout="constrained", dpi=110)
    axis = figure.subplots()
    axis.set(xlim=(0, 7.6), ylim=(0.6, 5.4))
    axis.set_axis_off()
    boxes = {
        name: axis.text(
            x, y, text, ha="center", va="center", fontsize=10, linespacing=1.4,
            bbox={"boxstyle": "round,pad=0.5", "facecolor": "#f4f1e8", "edgecolor": "#546e7a"},
        )
        for name, (x, y, text) in WAY.items()
    }  # fmt: skip
    figure.draw_without_rendering()  # which gives the boxes their size
    for arrow in ARROWS.split(", "):
        start, end = arrow.split()
        bend = 0.25 if {start, end} == {"products", "review"} else 0
        axis.annotate(
            "", xy=WAY[end][:2], xytext=WAY[start][:2],
            arrowprops={
                "arrowstyle": "-|>", "color": "#546e7a", "connectionstyle": f"arc3,rad={bend}",
                "patchA": boxes[start].get_bbox_patch(), "patchB": boxes[end].get_bbox_patch(),
            },
        )  # fmt: skip
    figure.savefig(out / "way.png")


def draw_engines(out: Path) -> None:
    """The same scene by both engines, and the pixels to which they give another class."""
    data = scene()
    fast = classify(data, offset=-1000, confidence=True, engine="openvino")
    slow = classify(data, offset=-1000, engine="torch", precision="f32")
    rows, columns = np.nonzero(fast.ucl.values != slow.ucl.values)
    precision = get_engine(get_model(), "openvino").precision
    figure, axes = panels(
        [f"OpenVINO, {precision}", "torch, f32", f"{rows.size} of {fast.ucl.size:,} pixels differ"],
        below=0.2,
    )
    show(axes[0], fast.ucl.values)
    show(axes[1], slow.ucl.values)
    sure = fast.ucl_confidence.where(fast.ucl_confidence != 255)
    axes[2].imshow(sure, cmap="gray", vmin=40, vmax=100)
    axes[2].scatter(columns, rows, s=14, facecolors="none", edgecolors="#d00000", linewidths=0.8)
    axes[2].set_xlabel("red: they differ; dark: the network is in doubt", fontsize=9)
    save(figure, out / "engines.png")


def draw_identity(out: Path, work: Path) -> None:
    """Masks of one scene with their ids: the same again, and others."""
    folder = SimulatedScene(shape=(600, 900)).write(work / "scene")
    dataset = read_scene(str(folder)).dataset
    ways: dict[str, dict[str, Any]] = {
        "made here": {},
        "made elsewhere": {},
        "another model": {"model": "unet-efficientnetb4-l2a-6b"},
        "another offset": {"offset": -900},
    }
    figure, axes = panels(list(ways), below=0.4)
    for axis, (name, options) in zip(axes, ways.items(), strict=True):
        job = MaskJob(dataset, work / name.replace(" ", "-"), **options)
        with rasterio.open(next(Path(job.run()).parent.glob("*_ucl.tif"))) as file:
            show(axis, file.read(1))
        axis.set_xlabel(f"id {str(job.id)[:8]}…", fontsize=11, family="monospace")
    save(figure, out / "identity.png")


def series() -> xr.Dataset:
    """Return some dates of one place with their masks, at 20 m."""
    dates = [
        scene(datetime=f"{day}T10:10:31Z", cloud_cover=cover)
        for day, cover in zip(DAYS, (0.1, 0.3, 0.15, 0.2), strict=True)
    ]
    found = xr.concat(dates, "time", join="exact", combine_attrs="drop_conflicts")
    found["ucl"] = classify(found, offset=-1000).ucl
    dated: xr.Dataset = found.assign_coords(offset=("time", [-1000.0] * len(DAYS)))
    return dated


def draw_time(out: Path) -> None:
    """A date, its mask, the ground of the other dates, how dark the date is against it, and the refined mask."""
    data = series()
    clear = data.where(data.ucl == CloudClass.CLEAR)
    ground = clear.isel(time=[0, 2, 3]).median("time")
    day = data.isel(time=1)
    ratio = (day.B08 - 1000) / (ground.B08 - 1000)
    figure, axes = panels(
        ["true colour", "the network's mask", "ground of other dates", "near infrared over that ground", "refined"],
        below=0.6,
    )  # fmt: skip
    axes[0].imshow(colours(day))
    show(axes[1], day.ucl.values)
    axes[2].imshow(colours(ground.fillna(0)))
    scale(figure, axes[3], axes[3].imshow(ratio, cmap="RdBu", vmin=0.4, vmax=1.6), "ratio")
    show(axes[4], odc_cleansat.refine(data).ucl.values[1])
    save(figure, out / "time.png")
    rasters = share_rasters(persist(data.rename(SCL="scl")), len(DAYS), "drawn")
    with tempfile.TemporaryDirectory() as work:
        write_cogs({Path(work) / "shares.tif": rasters["shares"]})
        draw_shares(Path(work) / "shares.tif", out / "persist.png")


def draw_how(out: Path, work: Path) -> None:
    """A mask recalled at 300 m in each way."""
    dc = example_cube(work / "cube", dates=[DAYS[1]])
    try:
        grid = {"output_crs": "EPSG:32633", "resolution": 300}
        found = {
            how: odc_cleansat.recall(dc, time=DAYS[1], how=how, **grid).isel(time=0)
            for how in ("nearest", "mode", "any_cloud", "fraction")
        }
    finally:
        dc.close()
        stop_cube(work / "cube")
    figure, axes = panels([*list(found)[:3], "fraction: share of cloud"], 1, 4, below=0.75)
    for axis, how in zip(axes, found, strict=True):
        if how == "fraction":
            share = axis.imshow(100 * found[how].cloud_fraction, cmap="Oranges", vmin=0, vmax=100)
            scale(figure, axes, share, "cloud, percent, of the fraction")
        else:
            show(axis, found[how].ucl.values)
    save(figure, out / "how.png")


def write_pages(out: Path, work: Path) -> None:
    """The page to swipe and the page to review, as commands write them."""
    masks = []
    for i, day in enumerate(DAYS):
        simulated = SimulatedScene(
            shape=(480, 720), cloud_cover=0.1 + 0.12 * i, datetime=f"{day}T10:10:31Z"
        )
        folder = simulated.write(work / f"scene-{day}")
        masks.append(MaskJob(read_scene(str(folder)).dataset, work / "masks").run())
    page(work / "masks", out / "review.html")
    data = scene()
    mask = classify(data, offset=-1000, confidence=True)
    comparison = compare(data, ucl=mask, confidence=True, agreement="contaminated", offset=-1000,
                         names={"scl": "SCL (simulated)"}, title="Simulated scene")  # fmt: skip
    comparison.save(out / "swipe.html")


def draw(out: Path) -> None:
    """Draw all into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    for one in (
        draw_classes,
        draw_confidence,
        draw_presets,
        draw_light,
        draw_cores,
        draw_trust,
        draw_offsets,
        draw_resolution,
        draw_nodata,
        draw_windows,
        draw_time,
        draw_way,
        draw_engines,
    ):
        one(out)
    with tempfile.TemporaryDirectory() as work, contextlib.redirect_stdout(sys.stderr):
        draw_identity(out, Path(work))
        draw_how(out, Path(work))
        write_pages(out, Path(work))


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
