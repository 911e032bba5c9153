"""Put weights into the package, and their sha256 into the model's document and card.

    python make_weights.py state_dict.pt    # or .pth, .ckpt, .bin, .safetensors
    python make_weights.py                  # random ones, to try the package out

They are stored in half precision, batch normalisations and biases in single. Before anything is replaced
the network is built, filled and run, so weights that do not fit the document change nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import segmentation_models_pytorch as smp
import torch
from odc_cleansat.errors import ModelError
from odc_cleansat.models import Model, read_model, read_state_dict, try_model
from safetensors.torch import save_file

FOLDER = Path(__file__).resolve().parent / "{{ cookiecutter.package }}"
DOCUMENT = FOLDER / "{{ cookiecutter.name }}.yaml"
CARD = FOLDER / "{{ cookiecutter.name }}.md"
WEIGHTS = FOLDER / "{{ cookiecutter.name }}.safetensors"


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, help="weights; random ones if there is none")
    file = parser.parse_args().file
    try:
        sha256 = put(file)
    except (ModelError, OSError) as error:
        sys.exit(f"Error: {error}")
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size / 1e6:.1f} MB, sha256 {sha256}")
    if file is None:
        print("These weights are random: good for trying the package out, and for nothing else.")


def put(file: Path | None) -> str:
    """Store the weights, and return their sha256."""
    model = read_model(DOCUMENT)
    weights = random_weights(model) if file is None else read_state_dict(at(file, model))
    with TemporaryDirectory(dir=FOLDER, prefix=".") as folder:
        draft = Path(folder) / WEIGHTS.name
        save_file({name: stored(value) for name, value in weights.items()}, draft)
        try_model(at(draft, model))
        sha256 = hashlib.sha256(draft.read_bytes()).hexdigest()
        os.replace(draft, WEIGHTS)
    edit(DOCUMENT, r"^(# )?sha256:.*", f"sha256: {sha256}")
    edit(CARD, r"^\| sha256 \|.*", f"| sha256 | {sha256} |")
    return sha256


def at(file: Path, model: Model) -> Model:
    """The model with the weights of a file, whatever their sha256."""
    return replace(model, weights=f"file:{file.resolve()}", sha256="")


def random_weights(model: Model) -> Mapping[str, torch.Tensor]:
    """The state dict of a new network, always the same."""
    if model.architecture is None:
        raise ModelError(f"{DOCUMENT} names no architecture.")
    torch.manual_seed(0)
    try:
        network = smp.create_model(
            model.architecture.name,
            model.architecture.encoder,
            encoder_weights=None,
            in_channels=len(model.channels or model.bands),
            classes=len(model.classes),
            **dict(model.architecture.options),
        )
    except Exception as error:  # as various as its arguments
        raise ModelError(f"{DOCUMENT}: cannot build {model.architecture}: {error}") from error
    return network.state_dict()


def stored(value: torch.Tensor) -> torch.Tensor:
    """A tensor as it is stored: large ones in half precision, unless that cannot hold them."""
    half = value.half()
    small = value.is_floating_point() and value.ndim > 1 and bool(half.isfinite().all())
    return (half if small else value).clone(memory_format=torch.contiguous_format)


def edit(path: Path, pattern: str, line: str) -> None:
    """Replace a line of a text file, or add it where there is none."""
    text, count = re.subn(pattern, line, path.read_text("utf-8"), flags=re.MULTILINE)
    path.write_text(text if count else f"{text.rstrip()}\n{line}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
