"""What arithmetic in bf16 does to the answers: `python benchmarks/precision.py --docs docs/performance.md`.

Where the processor does not compute in bf16, that is emulated: torch computes in f32, and weights and what each layer
gives are rounded. The real scenes are not part of the project (../shared/data).
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import xarray as xr
from evaluation import fill
from students import read_bands

from odc_cleansat import CloudClass, classify, get_model
from odc_cleansat.errors import ModelError
from odc_cleansat.evaluate.tables import markdown_table
from odc_cleansat.masks import tasks
from odc_cleansat.models.engines import Engine, get_engine
from odc_cleansat.models.model import Model
from odc_cleansat.models.torch_engine import TorchEngine
from odc_cleansat.products.check_pixels import SURE

ROOT = Path(__file__).parents[1]
SIX = ("B02", "B03", "B04", "B08", "B11", "B12")
SCENES = {
    "manila/2024-a": (SIX, SIX[:4]),
    "manila/2024-b": (SIX, SIX[:4]),
    "calgary/2020-04-26": (SIX[:4],),
    "calgary/2020-06-25": (SIX[:4],),
    "calgary/2020-07-05": (SIX[:4],),
    "oncloudn/chip_3": (SIX[:4],),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--docs", type=Path, help="write the table into this page")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [
        ["scene", "bands", "the same", f"where it is {SURE} % sure", "shadow, f32", "shadow, bf16"]
    ]
    for scene, kinds in SCENES.items():
        for bands in kinds:
            rows.append(
                [scene, str(len(bands)), *compared(read_bands(options.data / scene, bands))]
            )
            print(*rows[-1], sep="\t", flush=True)
    table = markdown_table(rows)
    print(*table, sep="\n")
    if options.docs:
        fill(options.docs, {"precision": table})


def compared(scene: dict[str, xr.DataArray]) -> list[str]:
    model = get_model(bands=scene)
    whole = answered(scene, model, get_engine(model, "openvino", "f32"))
    half = answered(scene, model, in_half(model)).ucl.values
    codes, sure = whole.ucl.values, 100 * whole.ucl_probability.max("ucl_class").values >= SURE
    valid = codes != CloudClass.NODATA
    shares = [(codes == half)[valid].mean(), (codes == half)[valid & sure].mean()]
    shares += [(each[valid] == CloudClass.SHADOW).mean() for each in (codes, half)]
    return [f"{100 * share:.2f} %" for share in shares]


def answered(scene: dict[str, xr.DataArray], model: Model, engine: Engine) -> xr.Dataset:
    """The mask by an engine that no name stands for."""
    chosen, tasks.get_engine = tasks.get_engine, lambda *_: engine
    try:
        return classify(scene, model=model, offset=0, probabilities=True)
    finally:
        tasks.get_engine = chosen


def in_half(model: Model) -> Engine:
    try:
        return get_engine(model, "openvino", "bf16")
    except ModelError:
        pass
    engine = TorchEngine(model, "f32")

    def rounded(_: Any, __: Any, result: Any) -> Any:
        return result.bfloat16().float()

    for layer in engine._network.modules():
        for values in layer.parameters(recurse=False):
            values.data = values.data.bfloat16().float()
        if not any(layer.children()):
            layer.register_forward_hook(rounded)
    return engine


if __name__ == "__main__":
    main()
