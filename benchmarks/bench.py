"""Speed, memory, agreement and seams, side by side in one run: `make bench`.

Contestants take turns on the same array, and medians count, because machines are shared and noisy:
compare the ratios, not the seconds. The peer runs the weights of one of our models, `SAME`; it is installed by the
extra `bench`. Writes `bench-out/bench.json` and prints a table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from odc_cleansat import classify, get_model
from odc_cleansat.grids.grid import model_grid
from odc_cleansat.grids.windows import windows
from odc_cleansat.models.engines import get_engine
from odc_cleansat.models.model import Model
from odc_cleansat.synthetic.scene import SimulatedScene
from odc_cleansat.threads import available_cpus

BANDS = ["B02", "B03", "B04", "B08", "B11", "B12"]
ORIGIN = (399960.0, 5300040.0)
OFFSET = -1000
SAME = "unet-efficientnetb4-l2a-6b"
"""The model whose weights the peer has."""
OURS: dict[str, dict[str, object]] = {
    "odc-cleansat": {},
    "odc-cleansat, f32": {"precision": "f32"},
    "odc-cleansat, torch": {"engine": "torch"},
    "its default network": {"model": None},
    "its default network, f32": {"model": None, "precision": "f32"},
}
"""Contestants, and how they classify."""


def simulated(rows: int, columns: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Digital numbers of six bands at 30 m by area average, made strip by strip."""
    scene = SimulatedScene(shape=(3 * rows, 3 * columns), seed=seed)
    found: dict[str, list[np.ndarray]] = {band: [] for band in BANDS}
    for top in range(0, 3 * rows, 600):
        layers = scene.read(slice(top, min(top + 600, 3 * rows)))
        for band in BANDS:
            values = layers[band].astype("float32")
            if band in ("B11", "B12"):
                values = values.repeat(2, 0).repeat(2, 1)
            mean = values.reshape(values.shape[0] // 3, 3, -1, 3).mean(axis=(1, 3))
            found[band].append(np.rint(mean).astype("uint16"))
    return {band: np.concatenate(strips) for band, strips in found.items()}


def scene_of(
    arrays: dict[str, np.ndarray], share: float = 0, model: Model | None = None
) -> xr.Dataset:
    """A scene at 30 m, moved by a share of the stride so that other windows fall on it."""
    shape = next(iter(arrays.values())).shape
    down, right = (share * stride * 30 for stride in get_model(model).tiling.stride)
    grid = GeoBox(shape, Affine(30, 0, ORIGIN[0] + right, 0, -30, ORIGIN[1] - down), "EPSG:32633")
    return xr.Dataset({band: wrap_xr(values, grid, nodata=0) for band, values in arrays.items()})


def take_turns(
    runs: dict[str, Callable[[], object]], rounds: int
) -> dict[str, tuple[float, float]]:
    """Return the median seconds of each contestant, and those of processors, without a first round.

    What else the machine does hardly changes the seconds of processors.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start, busy = time.perf_counter(), time.process_time()
            run()
            seconds = time.perf_counter() - start
            if turn:
                taken[name].append((seconds, time.process_time() - busy))
            print(f"  {name}: {seconds:.2f} s", file=sys.stderr, flush=True)
    return {
        name: (statistics.median(w for w, _ in turns), statistics.median(b for _, b in turns))
        for name, turns in taken.items()
    }


def peer(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The class map of ukis-csmask's own code: 1 clear, 2 cloud, 3 shadow as in the UCL."""
    from ukis_csmask.mask import CSmask

    image = np.stack([(arrays[b].astype("float32") + OFFSET) / 10000 for b in BANDS], axis=-1)
    order = ["blue", "green", "red", "nir", "swir16", "swir22"]
    return CSmask(image, band_order=order, product_level="l2a").csm[..., 0] + 1


def on_arrays(size: int, rounds: int) -> dict[str, object]:
    """Throughput and agreement on an array in memory."""
    arrays = simulated(size, size)
    scene = scene_of(arrays)
    results: dict[str, np.ndarray] = {}

    def keep(name: str, run: Callable[[], np.ndarray]) -> Callable[[], None]:
        return lambda: results.__setitem__(name, run())

    medians = take_turns(
        {
            name: keep(
                name,
                lambda more=more: (
                    classify(scene, offset=OFFSET, **{"model": SAME, **more}).ucl.values
                ),
            )
            for name, more in OURS.items()
        }
        | {"ukis-csmask": keep("ukis-csmask", lambda: peer(arrays))},
        rounds,
    )
    ours = results[next(iter(OURS))]
    return {
        name: {
            "seconds": seconds,
            "processor_seconds": busy,
            "megapixels_per_second": size**2 / seconds / 1e6,
            "times_the_peer": medians["ukis-csmask"][0] / seconds,
            "percent_as_first": 100 * float(np.mean(results[name] == ours)),
        }
        for name, (seconds, busy) in medians.items()
    }


def seams(sizes: tuple[int, int]) -> dict[str, float]:
    """Percent of the pixels that change when the windows move by half a stride.

    Scenes that would be one window are cut nevertheless.
    """
    default = get_model()
    model = dataclasses.replace(default, tiling=dataclasses.replace(default.tiling, whole=0))
    found = {}
    for size in sizes:
        for seed in (0, 1):
            arrays = simulated(size, size, seed)
            a, b = (
                classify(scene_of(arrays, share), model=model, offset=OFFSET).ucl.values
                for share in (0, 1 / 2)
            )
            found[f"simulated {size}, seed {seed}"] = 100 * float(np.mean(a != b))
    return found | calgary_seams()


def calgary_seams() -> dict[str, float]:
    """The same on real scenes, where they are at hand: 743 x 689 pixels of about 30 m."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "calgary"
    model = get_model(bands=BANDS[:4])
    found = {}
    for date in sorted(folder.glob("20*")):
        arrays = {}
        for band in BANDS[:4]:
            with rasterio.open(date / f"{band}.tif") as file:
                arrays[band] = file.read(1)
        results = []
        for cut in (0, 1, 2, 3):
            # Four ways for the cuts between windows to fall on the scene.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results.append(classify(scene_of(arrays, cut / 4), model=model).ucl.values)
        pairs = [(0, 2), (1, 3)]
        found[f"calgary {date.name}"] = 100 * float(
            np.mean([np.mean(results[i] != results[j]) for i, j in pairs])
        )
    return found


# --- files ----------------------------------------------------------------------------


def write_bands(arrays: dict[str, np.ndarray], folder: Path, resolution: float = 30) -> None:
    """One COG a band, as providers keep them."""
    for band, values in arrays.items():
        with rasterio.open(
            folder / f"{band}.tif", "w", driver="COG", height=values.shape[0], width=values.shape[1],
            count=1, dtype="uint16", nodata=0, crs="EPSG:32633", compress="deflate", blocksize=512,
            transform=Affine(resolution, 0, ORIGIN[0], 0, -resolution, ORIGIN[1]),
        ) as file:  # fmt: skip
            file.write(values, 1)


def from_files_to_file(folder: Path) -> None:
    """COGs in, COG out."""
    import rioxarray

    scene = {}
    for band in BANDS:
        array = rioxarray.open_rasterio(
            folder / f"{band}.tif", chunks={"x": 1024, "y": 1024}, lock=False
        )
        scene[band] = array.squeeze("band", drop=True).assign_attrs(nodata=0)
    ucl = classify(xr.Dataset(scene), offset=OFFSET).ucl.compute(scheduler="threads")
    ucl.odc.write_cog(folder / "ucl.tif", overwrite=True, overview_resampling="mode")


def bare_inference(shape: tuple[int, int], resolution: float) -> Callable[[], None]:
    """The network alone, on windows of the shapes that a scene has."""
    model = get_model()
    grid = GeoBox(shape, Affine(resolution, 0, ORIGIN[0], 0, -resolution, ORIGIN[1]), "EPSG:32633")
    _, scene = model_grid(grid, model.resolution)
    shapes = [w.box.shape for w in windows(scene, scene, model.tiling)]
    batches = [
        np.random.default_rng(0).random((1, 6, h + -h % 32, w + -w % 32), dtype="float32")
        for h, w in shapes
    ]
    engine = get_engine(model)
    return lambda: [engine(batch) for batch in batches] and None


def on_files(
    name: str, shape: tuple[int, int], resolution: float, rounds: int
) -> dict[str, object]:
    """A scene from COG to COG against the bare inference of its windows, and its memory."""
    metres = [n * resolution for n in shape]
    at_30m = simulated(*(-(-round(m / 30) // 2) * 2 for m in metres))
    arrays = at_30m
    if resolution != 30:
        factor = 30 / resolution
        rows, columns = ((np.arange(n) / factor).astype(int) for n in shape)
        arrays = {band: values[np.ix_(rows, columns)] for band, values in at_30m.items()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_bands(arrays, folder, resolution)
        medians = take_turns(
            {
                "COG to COG": lambda: from_files_to_file(folder),
                "bare inference": bare_inference(shape, resolution),
            },
            rounds,
        )
        memory = peak_memory(folder)
    whole, bare = (seconds for seconds, _ in medians.values())
    return {
        "scene": name,
        "seconds": whole,
        "bare_inference_seconds": bare,
        "times_bare_inference": whole / bare,
        **memory,
    }


def peak_memory(folder: Path) -> dict[str, float]:
    """Memory of a process of its own: libraries and model loaded, and the peak beyond that."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r});"
        "import bench, numpy as np; from pathlib import Path;"
        "bench.get_engine(bench.get_model())(np.zeros((1, 6, 64, 64), 'float32'));"
        "def_ = lambda key: int(next(l for l in open('/proc/self/status') if l.startswith(key)).split()[1]);"
        "import rioxarray, odc.geo.cog; loaded = def_('VmRSS');"
        f"bench.from_files_to_file(Path({str(folder)!r})); print(loaded, def_('VmHWM'))"
    )
    output = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    loaded, peak = (int(kilobytes) / 1e6 for kilobytes in output.split())
    return {"loaded_gigabytes": loaded, "peak_beyond_gigabytes": peak - loaded}


# --- the whole ------------------------------------------------------------------------


def table(report: dict[str, object]) -> str:
    lines = [f"{report['machine']}", "", "On arrays in memory"]
    for size, rows in report["arrays"].items():
        lines.append(f"  {size} x {size} pixels   Mpx/s   x peer   % as the first   processor s")
        for name, row in rows.items():
            lines.append(
                f"  {name:<20}{row['megapixels_per_second']:8.2f}{row['times_the_peer']:9.2f}"
                f"{row['percent_as_first']:15.2f}{row['processor_seconds']:14.2f}"
            )
    lines += ["", "From COG to COG           seconds   x bare inference   GB beyond libraries"]
    for row in report["files"]:
        lines.append(
            f"  {row['scene']:<22}{row['seconds']:9.2f}{row['times_bare_inference']:19.2f}"
            f"{row['peak_beyond_gigabytes']:22.2f}"
        )
    lines += ["", "Pixels that change when the windows move by half a stride, percent"]
    lines += [f"  {name:<30}{value:6.2f}" for name, value in report["seams"].items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    options = parser.parse_args()
    size, tile = (512, 732) if options.quick else (2048, 3660)
    engine = get_engine(get_model())
    report: dict[str, object] = {
        "machine": f"{platform.machine()}, {available_cpus()} processors of {os.cpu_count()}, {engine.precision}",
        "model": dataclasses.asdict(get_model())["name"],
        "arrays": {size: on_arrays(size, options.rounds)},
        "files": [
            on_files("tile at 30 m", (tile, tile), 30, options.rounds),
            on_files("200 km2 at 20 m", (707, 707), 20, options.rounds),
        ],
        "seams": seams((size, tile)),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    print(table(report))


if __name__ == "__main__":
    main()
