"""The whole way once: a scene is put into a datacube of its own, and its mask made, indexed and recalled.

:func:`run_demo` is what `cleansat demo` does; :func:`example_cube` makes a datacube to try things on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox

from .classes import CloudClass, class_percent, scl_to_ucl
from .cube.embedded import CONFIG_NAME, embedded_cube, make_folder
from .cube.index import add_dataset, add_product, find_dataset, resolve_dataset
from .evaluate.scores import accuracy, agreement
from .grids.grid import box_geobox, crs_name, model_grid
from .models.engines import get_engine
from .models.registry import get_model
from .products.job import MaskJob, mask_grid
from .progress import SILENT, Reporter
from .review.comparison import compare
from .scenes.band_folder import BandFolder, open_scene, write_scene_document
from .scenes.files import reading
from .scenes.offset import Offset
from .storage.eo3 import MASK_PRODUCT, SCENE_PRODUCT, product_definition, scene_product

if TYPE_CHECKING:
    from datacube import Datacube
    from datacube.model import Dataset


@dataclass(frozen=True)
class Recalled:
    """What one `dc.load` gave back."""

    name: str
    """Which of the three grids."""

    data: xr.Dataset
    """Bands, ``scl`` where the scene has it, ``ucl`` and ``ucl_confidence``; dims ``(y, x)``."""


@dataclass(frozen=True)
class DemoResult:
    """What a demo made, or found."""

    scene: Dataset
    """The indexed scene."""

    mask: Dataset
    """The indexed mask."""

    computed: bool
    """False if the mask was there already."""

    recalled: list[Recalled]
    """The loads on the three grids."""

    figure: Path
    """``compare.png``."""

    table: str
    """Percent per class, agreement and accuracy."""


def run_demo(
    out: Path,
    reporter: Reporter = SILENT,
    *,
    scene: Path | None = None,
    moment: datetime | None = None,
    offset: float | None = None,
    model: str | None = None,
    keep_running: bool = False,
) -> DemoResult:
    """Mask one scene and recall it, in a datacube that lives in a folder.

    Run again, it finds the scene and its mask in the index and computes nothing.

    Parameters
    ----------
    out
        Folder for the database, the products and the figure; made if missing.
    reporter
        Is told of every step.
    scene
        Folder of band files; by default a simulated scene is made in `out`.
    moment
        When the scene was acquired, if its metadata do not say so.
    offset
        Radiometric offset in digital numbers; by default the scene's metadata decides.
    model
        Name of a model; by default the best for the scene's bands.
    keep_running
        Leave the database running.

    Raises
    ------
    CleansatError
        If the scene, the model, the folder or the database cannot be used; the message says what to do.
    """
    if model is not None:
        get_model(model)  # before anything is made
    make_folder(out)
    folder = _simulate(out, reporter) if scene is None else open_scene(scene, moment)
    get_model(model, bands=folder.bands)
    with contextlib.ExitStack() as stack:
        with reporter.step("Starting the embedded datacube"):
            dc = stack.enter_context(embedded_cube(out, keep_running=keep_running))
        with reporter.step(f"Describing the scene {folder.label}"):
            document = stack.enter_context(_scene_document(dc, folder, out / "scenes"))
        job = MaskJob(resolve_dataset(dc, document), out / "products", model, offset)
        written, computed = _mask(job, dc, reporter)
        indexed, mask = add_dataset(dc, document), add_dataset(dc, written)
        with reporter.step("Loading it back with dc.load at three grids"):
            recalled = _recall(dc, indexed, mask)
        own = recalled[0].data
        with reporter.step("Drawing the comparison"):
            figure = _draw(own, folder, job.offset, out / "compare.png")
    table = _table(own, _truth(folder, own))
    return DemoResult(indexed, mask, computed, recalled, figure, table)


def describe(recalled: Recalled) -> str:
    """Return one line on a load: its grid and what the mask says on it."""
    grid = recalled.data.odc.geobox
    share = class_percent(recalled.data.ucl.values)
    size = " x ".join(str(n) for n in grid.shape)
    unit = "deg" if grid.crs.geographic else "m"
    cloud = share[CloudClass.CLOUD] + share[CloudClass.THIN_CLOUD]
    return (
        f"{recalled.name}: {size} pixels of {abs(grid.resolution.x):g} {unit}, {crs_name(grid.crs)}, "
        f"cloud {cloud:.1f} %, shadow {share[CloudClass.SHADOW]:.1f} %"
    )


EXAMPLE_DATES = (
    "2024-06-05", "2024-06-15", "2024-06-25", "2024-07-05", "2024-07-15", "2024-07-25", "2024-08-04",
)  # fmt: skip
"""Days of the scenes of :func:`example_cube`."""

_EXAMPLE_MASKS = 2
"""How many of those scenes have an indexed mask."""


def example_cube(folder: str | Path, dates: Sequence[str] = EXAMPLE_DATES) -> Datacube:
    """Make a datacube to try things on: simulated scenes of one place, the first two with indexed masks.

    Called again with the same folder, it finds everything there. The database keeps running for
    other programs, until :func:`~odc_cleansat.cube.embedded.stop_cube`.

    Parameters
    ----------
    folder
        Where everything is kept; made if missing.
    dates
        Days of the scenes, ISO 8601. Each has other clouds over the same land.

    Returns
    -------
    datacube.Datacube
        Connected, with the products ``s2_l2a`` and ``s2_l2a_ucl``.

    Raises
    ------
    CleansatError
        If the folder cannot be written, or the database does not start.
    """
    from datacube import Datacube as DatacubeClass

    from .synthetic.scene import SimulatedScene

    folder = Path(folder)
    with embedded_cube(folder, keep_running=True) as dc:
        for product in (SCENE_PRODUCT, MASK_PRODUCT):
            add_product(dc, product_definition(product))
        for i, day in enumerate(dates):
            scene = folder / "simulated" / day
            if not scene.exists():
                SimulatedScene(shape=(900, 900), seed=5, datetime=f"{day}T10:10:31Z").write(scene)
            dataset = add_dataset(dc, write_scene_document(open_scene(scene), folder / "scenes"))
            if i < _EXAMPLE_MASKS:
                job = MaskJob(dataset, folder / "products")
                add_dataset(dc, job.document or job.run())
    return DatacubeClass(config=str(folder / CONFIG_NAME), app="odc-cleansat")


def _simulate(out: Path, reporter: Reporter) -> BandFolder:
    from .synthetic.scene import SimulatedScene

    folder = out / "simulated-scene"
    if not folder.exists():
        with reporter.step("Simulating a Sentinel-2 L2A scene") as progress:
            SimulatedScene().write(folder, progress=progress)
    return open_scene(folder)


@contextlib.contextmanager
def _scene_document(dc: Datacube, folder: BandFolder, documents: Path) -> Iterator[Path]:
    """Write the document of a scene, and add the products that it and its mask need.

    A document that was not there before is removed again if the block fails.
    """
    for product in (product_definition(SCENE_PRODUCT), product_definition(MASK_PRODUCT)):
        add_product(dc, product)
    add_product(dc, scene_product(folder.bands))
    before = set(documents.glob("*.yaml"))
    document = write_scene_document(folder, documents)
    try:
        yield document
    except BaseException:
        if document not in before:
            document.unlink(missing_ok=True)
        raise


def _mask(job: MaskJob, dc: Datacube, reporter: Reporter) -> tuple[Path | str, bool]:
    """Return the document of a scene's mask, and whether it had to be computed."""
    if document := job.document:
        known = find_dataset(dc, job.id)
        where = "indexed already" if known else "written already, and indexed now"
        reporter.say(f"The mask is {where} ({job.id}): nothing is computed.")
        return document, False
    if job.folder.exists():
        reporter.say(f"The mask in {job.folder} is damaged: it is made anew.")
    with reporter.step(f"Loading the model {job.model.name}"):
        get_engine(job.model)
    with reporter.step("Classifying") as progress:
        return job.run(progress), True


def _recall(dc: Datacube, scene: Dataset, mask: Dataset) -> list[Recalled]:
    """Load scene and mask on the scene's own grid, in web Mercator, and in an area at 10 m."""
    own = mask_grid(scene)
    grids = {
        "own grid": own,
        "EPSG:3857 at 100 m": own.to_crs("EPSG:3857", resolution=100),
        "area inside at 10 m": _area(own),
    }
    colours = [b for b in ("red", "green", "blue", "nir", "scl") if b in scene.measurements]
    recalled = []
    for name, grid in grids.items():
        bands = _load(dc, scene, grid, colours)
        both = bands.merge(_load(dc, mask, grid), compat="override")
        recalled.append(Recalled(name, both.isel(time=0)))
    return recalled


def _load(
    dc: Datacube, dataset: Dataset, grid: GeoBox, measurements: list[str] | None = None
) -> xr.Dataset:
    """Load one dataset by plain `dc.load`: classes by the nearest pixel, bands by the average."""
    nearest = {"scl": "nearest", "ucl": "nearest", "ucl_confidence": "nearest", "*": "average"}
    with reading(f"dataset {dataset.id}"):
        loaded: xr.Dataset = dc.load(
            product=dataset.product.name,
            datasets=[dataset],
            measurements=measurements,
            resampling=nearest,
            like=grid,
        )
    return loaded


def _area(grid: GeoBox) -> GeoBox:
    """Return the middle third of a scene, at 10 m in its UTM zone."""
    rows, columns = grid.shape
    middle = grid[
        rows // 3 : max(2 * rows // 3, rows // 3 + 1),
        columns // 3 : max(2 * columns // 3, columns // 3 + 1),
    ]
    crs, box = model_grid(middle, 10.0)
    return box_geobox(box, crs, 10.0)


def _draw(data: xr.Dataset, folder: BandFolder, offset: Offset, path: Path) -> Path:
    """Draw a scene with its SCL and UCL into a file."""
    name = "Simulated scene" if folder.simulated else f"{folder.label} (Sentinel-2 L2A)"
    if folder.moment_source == "placeholder":
        data, name = data.drop_vars("time"), f"{name}, date unknown (placeholder 1970-01-01)"
    names = {"scl": "SCL (simulated)"} if folder.simulated else None
    return compare(data, offset=offset.value, names=names, title=name).save(path, overwrite=True)


def _truth(folder: BandFolder, data: xr.Dataset) -> np.ndarray | None:
    """Return the truth of a simulated scene on the grid of its mask, by majority; codes, uint8, ``(y, x)``."""
    path = folder.folder / "truth.tif"
    if not (folder.simulated and path.exists()):
        return None
    import rasterio
    from odc.geo.warp import rio_reproject

    grid = data.odc.geobox
    codes = np.zeros(grid.shape, dtype="uint8")
    with rasterio.open(path) as file:
        source = GeoBox.from_rio(file)
        rio_reproject(file.read(1), codes, source, grid, "mode", src_nodata=0, dst_nodata=0)
    return codes


def _table(data: xr.Dataset, truth: np.ndarray | None) -> str:
    """Return percent per class side by side, how far SCL and UCL agree, and how right they are."""
    layers = {"UCL": data.ucl.values}
    if "scl" in data:
        layers = {"SCL": scl_to_ucl(data.scl.values), **layers}
    lines = _shares(layers if truth is None else {**layers, "truth": truth})
    if "scl" in data:
        same = agreement(data.ucl.values, data.scl.values)
        lines += ["", "UCL and SCL agree on (percent of pixels)"]
        lines.append("  " + ", ".join(f"{name} {value:.1f}" for name, value in same.items()))
    if truth is not None:
        lines += ["", "against the truth".ljust(25) + "precision   recall       F1"]
        for name, codes in layers.items():
            for what, score in accuracy(codes, truth).items():
                values = "".join(f"{score[k]:9.3f}" for k in ("precision", "recall", "f1"))
                lines.append(f"  {name} {what}".ljust(25) + values)
    return "\n".join(lines)


def _shares(layers: dict[str, np.ndarray]) -> list[str]:
    """Return a line for each class that occurs in a layer, with its percent of each layer."""
    shares = {name: class_percent(codes) for name, codes in layers.items()}
    lines = ["percent".ljust(16) + "".join(name.rjust(9) for name in layers)]
    for c in CloudClass:
        if c is not CloudClass.NODATA and any(share[c] > 0 for share in shares.values()):
            lines.append(c.description.ljust(16) + "".join(f"{s[c]:9.2f}" for s in shares.values()))
    return lines
