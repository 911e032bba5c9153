"""Small recipes, patches, files and runs for the tests of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import yaml
from affine import Affine

from odc_cleansat import CloudClass
from odc_cleansat.evaluate.mappings import MAPPINGS
from odc_cleansat.training.checkpoints import read_average
from odc_cleansat.training.loop import Session
from odc_cleansat.training.patches import Patch
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.run import train
from odc_cleansat.training.truths import truth_of

F32 = Session(device="cpu", precision="f32")
CLEAR, CLOUD, SHADOW = CloudClass.CLEAR, CloudClass.CLOUD, CloudClass.SHADOW
THIN = CloudClass.THIN_CLOUD
SIX = ("blue", "green", "red", "nir", "swir16", "swir22")
SHIPPED = Path(__file__).parents[3] / "training" / "unet-mobilenetv2-l2a.yaml"
OWN = SHIPPED.with_name("unet-mobilenetv2-l2a-thin.yaml")


DOCUMENT = {
    "name": "tiny",
    "version": "1",
    "title": "For tests",
    "licence": "CC0-1.0",
    "level": "L2A",
    "bands": list(SIX),
    "few": 4,
    "resolution": 30,
    "classes": ["clear", "cloud", "shadow"],
    "architecture": {
        "name": "Unet",
        "encoder": "mobilenet_v2",
        "decoder_channels": [16, 16, 8, 8, 8],
    },
    "data": [{"simulated": [1], "size": 64}],
    "held_out": {"data": [{"name": "sim", "simulated": [2], "size": 64}]},
    "plan": {
        "steps": 6, "cooldown": 2, "warmup": 2, "batch": 2, "size": 64, "check": 3, "average": 0.5,
        "teacher": 0, "truth": 1,
    },
}  # fmt: skip


def patch(site: str = "a", seed: int = 0, bands: tuple[str, ...] = SIX, side: int = 70) -> Patch:
    """Return smooth ground with bright blobs, which labels call cloud."""
    rng = np.random.default_rng(seed)
    field = rng.normal(size=(side // 10, side // 10)).repeat(10, 0).repeat(10, 1)
    cloud = field > 0.5
    pixels = np.where(cloud, 0.6, 0.1 + 0.02 * field).astype("float32")
    truth = truth_of(np.where(cloud, CLOUD, CLEAR), MAPPINGS["ucl"])
    return Patch(np.stack([pixels] * len(bands)), bands, 30.0, "L2A", site, truth=truth)


def write(folder: Path, **changes: object) -> Path:
    """Write a tiny recipe; a change to None leaves a key out."""
    path = folder / "tiny.yaml"
    found = {key: value for key, value in (DOCUMENT | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(found))
    return path


def plan(**changes: object) -> dict[str, object]:
    """Return the plan of the tiny recipe with changes."""
    return {**DOCUMENT["plan"], **changes}  # type: ignore[dict-item]


def raster(path: Path, planes: np.ndarray, crs: str | None = "EPSG:32633", **more: float) -> None:
    """Write ``(C, H, W)`` planes of 10 m to a GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = planes.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=planes.dtype,
        crs=crs, transform=Affine(10, 0, 4e5, 0, -10, 5e6) if crs else None, **more,
    ) as file:  # fmt: skip
        file.write(planes)


def halves(side: int = 60) -> np.ndarray:
    """Return a square whose left half is 0, and right half 1."""
    return (np.arange(side) >= side // 2)[None].repeat(side, 0).astype("uint8")


def run(recipe: Recipe, out: Path, stop: Callable[[], bool] = lambda: False) -> list[float]:
    """Train in f32, and return the losses of this session."""
    steps = 0

    def counted() -> bool:
        nonlocal steps
        steps += 1
        return stop()

    history = train(recipe, out.parent, out, device="cpu", precision="f32", stop=counted)
    return history.losses[len(history.losses) - steps :]


def weights(out: Path) -> dict[str, np.ndarray]:
    """Return the averaged weights of a run."""
    return {name: value.numpy() for name, value in read_average(out).items()}


def after(steps: int) -> Callable[[], bool]:
    """Return a callable that says to stop after so many steps."""
    asked = iter(range(1, steps + 1))
    return lambda: next(asked) == steps
