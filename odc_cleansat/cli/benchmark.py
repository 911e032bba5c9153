"""`cleansat benchmark`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Console
from .names import Choice
from .options import json_option

if TYPE_CHECKING:
    from ..evaluate.benchmark import Score


@click.command(
    "benchmark",
    epilog="""\b
Examples:
  cleansat benchmark cloudsen12 CLOUDSEN12 --model unet-efficientnetb4-l2a-6b
  cleansat benchmark pixbox PIXBOX --model unet-efficientnetb4-l1c-6b --json
  cleansat benchmark cmix PIXBOX --model unet-efficientnetb4-l1c-4b

\b
The data are not part of cleansat. Fetch them first:
  cloudsen12  files such as cloudsen12-l2a.0000.part.taco, from the dataset
              tacofoundation/cloudsen12 of Hugging Face
  pixbox      PixBox-S2-CMIX.zip and Sentinel-2_L1C.zip, unpacked, of the
  and cmix    record 10.5281/zenodo.5036991; for models of L2A the L2A products
              of the same scenes

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@click.argument("name", type=Choice(["cloudsen12", "pixbox", "cmix"]))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", metavar="NAME", required=True, help="Model to measure.")
@click.option("--engine", type=Choice(["openvino", "torch"]), help="What runs the network.")
@click.option("--precision", type=Choice(["bf16", "f32"]), help="Arithmetic of the network.")
@json_option("of the scores, with the published ones")
def command(
    name: str,
    folder: Path,
    model: str,
    engine: str | None,
    precision: str | None,
    as_json: bool,
) -> None:
    """Measure a model by a published benchmark, beside published scores.

    NAME is cloudsen12, pixbox or cmix; FOLDER is where its data lie.

    cloudsen12 takes the test patches of CloudSEN12+ with labels of high quality, and prints the medians over the patches
    for cloud, shadow, either and clear. It also prints the shares of patches that fail and succeed, and for models
    that know thin cloud the IoU of the four classes. pixbox takes the classified pixels of PixBox, for cloud, shadow
    and clear. cmix takes the same pixels for cloud alone, with semi-transparent cloud and without.

    BOA is balanced overall accuracy, PA producer's accuracy, UA user's accuracy, OA overall accuracy. Masks are the
    network's own answer, without light.
    """
    from ..evaluate.benchmark import run_benchmark, score_text
    from ..models.registry import get_model

    chosen = get_model(model)
    with Console(to_stderr=as_json).step(f"Masking the data of {name}") as progress:
        score = run_benchmark(
            name, folder, chosen, engine=engine, precision=precision, progress=progress
        )
    click.echo(json.dumps(_as_dict(score)) if as_json else score_text(score))


def _as_dict(score: Score) -> dict[str, Any]:
    """Return a score for JSON; what is not known is null."""
    from ..evaluate.published import PUBLISHED

    def rows(found: list[Any]) -> list[dict[str, Any]]:
        return [{k: _plain(v) for k, v in asdict(row).items()} for row in found]

    return {
        "benchmark": score.benchmark,
        "counted": score.counted,
        "rows": rows(score.rows),
        "iou": {label: _plain(value) for label, value in score.iou.items()},
        "mean_iou": _plain(score.mean_iou),
        "published": rows(PUBLISHED[score.benchmark]),
    }


def _plain(value: Any) -> Any:
    from ..evaluate.confusion import Question

    if isinstance(value, Question):
        return value.value
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and value != value else value
