"""Pack a training for a machine with a GPU that reaches nothing: `python training/bundle.py RECIPE --data DATA --out FOLDER`.

The folder holds the recipe, its patches at the model's resolution, the first weights of the network, the teachers, this
package and the script `train.py`. It is smaller than `--most` MiB; patches are left out at random until it is. There,
`python train.py` trains for nine minutes. docs/how-to/train.md tells the rest.

Teachers of the recipe's level go along. Patches of the other level serve as far as `haze` makes them that level.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.numpy import save
from safetensors.torch import save as save_tensors

import odc_cleansat
from odc_cleansat.errors import CleansatError
from odc_cleansat.grids.windows import prepare_window
from odc_cleansat.models.documents import document_of
from odc_cleansat.models.engines import get_engine
from odc_cleansat.models.model import Model
from odc_cleansat.models.networks import read_state_dict
from odc_cleansat.training.gather import band_statistics, check_held_out, cut_to_bands
from odc_cleansat.training.network import first_network
from odc_cleansat.training.packing import packed, packed_weights, read_packed_weights
from odc_cleansat.training.patches import Patch, hold_out
from odc_cleansat.training.recipe import Recipe
from odc_cleansat.training.recipe_file import read_recipe
from odc_cleansat.training.sources import Simulated, Source

HERE = Path(__file__).parent
BUILTIN = "odc_cleansat/models/builtin"

EMPTIED = ("batch", "evaluate", "grids", "masks", "scenes", "storage", "synthetic")
"""Rooms of the package whose `__init__` imports more than a training needs, such as packages for maps."""

CARRIED = ("segmentation_models_pytorch", "timm", "click", "platformdirs", "filelock", "tqdm")
"""Packages of Python code alone, which are used there if the machine has none of its own."""

CHECKS = ("benchmarks/cuda.py", "tests/unit/models/test_cuda.py")
"""What measures the GPU after the training."""

MIB = 2**20
HELD_OUT = 0.2
"""Most of the room for patches that those to evaluate on take."""

COMPARED = 10
"""Number of patches on which rounded teachers are compared with what they were."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, help="default: the folder of the recipe")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--most", type=float, default=64, help="most MiB of the folder")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of patches")
    parser.add_argument("--batch", type=int, help="tiles of a batch; the rate grows by the root")
    options = parser.parse_args()
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty; name a new folder.")
    try:
        recipe = with_batch(read_recipe(options.recipe), options.batch)
        files, said = contents(
            recipe, options.data or options.recipe.parent, options.most * MIB, options.seed
        )
    except CleansatError as error:
        parser.exit(1, f"Error: {error}\n")
    files["CONTENTS.txt"] = "\n".join([*said, ""]).encode()
    for name, content in files.items():
        path = options.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    print("\n".join(said))
    size = sum(map(len, files.values())) / MIB
    print(f"{options.out}: {size:.1f} MiB. There: python {options.out.name}/train.py")


def contents(
    recipe: Recipe, data: Path, most: float, seed: int
) -> tuple[dict[str, bytes], list[str]]:
    """Return the files of the bundle by their paths, and what to tell of them."""
    train, held = read_patches(recipe, data)
    recipe = with_normalisation(recipe, train)
    teachers = [model for model in recipe.teachers.values() if model.level == recipe.level]
    networks = {each.name: each for model in teachers for each in model.networks()}
    files = {"train.py": (HERE / "on_device.py").read_bytes()}
    said = []
    for name, model in networks.items():
        state = {key: value.numpy() for key, value in read_state_dict(model).items()}
        files[f"weights/{name}.xz"] = packed_weights(state)
        some = [patch for patches in train.values() for patch in patches]
        said.append(difference(model, files[f"weights/{name}.xz"], some))
    files["code.tar.xz"] = code(
        start_of(recipe), first_weights(recipe), [*teachers, *networks.values()]
    )
    room = most - sum(map(len, files.values())) - 65536
    chosen, lines = fitted(held, HELD_OUT * room, seed, "held_out")
    files |= chosen
    room -= sum(map(len, chosen.values()))
    more, others = fitted(train, room, seed, "data")
    files |= more
    files["recipe.yaml"] = recipe_there(recipe, train, held, teachers).encode()
    return files, [*said, *others, *lines]


def with_batch(recipe: Recipe, batch: int | None) -> Recipe:
    """Return the recipe with another size of the batch, and a learning rate that suits AdamW with it."""
    schedule = recipe.schedule
    if batch is None:
        return recipe
    rate = schedule.rate * (batch / schedule.batch) ** 0.5
    return replace(recipe, schedule=replace(schedule, batch=batch, rate=rate))


def read_patches(
    recipe: Recipe, data: Path
) -> tuple[dict[Source, list[Patch]], dict[Source, list[Patch]]]:
    """Return the patches to train on and those held out, by their sources, as a training there needs them."""
    of: dict[int, Source] = {}
    real: list[Patch] = []
    train: dict[Source, list[Patch]] = defaultdict(list)
    held: dict[Source, list[Patch]] = defaultdict(list)
    for source in recipe.data:
        patches = cut_to_bands(source.read(data, recipe.wanted), recipe)
        of |= {id(patch): source for patch in patches}
        if isinstance(source, Simulated):
            train[source] += patches
        else:
            real += patches
    kept, apart = hold_out(real, recipe.held_out.sites, recipe.held_out.share)
    for patch in kept:
        train[of[id(patch)]].append(patch)
    for patch in apart:
        name = (
            f"{patch.level.lower()}-surface" if patch.level != recipe.level else patch.level.lower()
        )
        held[replace(of[id(patch)], name=name)].append(patch)
    for source in recipe.held_out.data:
        held[source] += cut_to_bands(source.read(data, recipe.wanted), recipe)
        check_held_out(held[source], [patch for patches in train.values() for patch in patches])
    return as_seen_there(train, recipe), as_seen_there(held, recipe)


def as_seen_there(
    groups: Mapping[Source, Sequence[Patch]], recipe: Recipe
) -> dict[Source, list[Patch]]:
    """Return the patches of the recipe's level, no finer than its resolution; groups without a patch are left out."""
    found: dict[Source, list[Patch]] = {}
    for source, patches in groups.items():
        if recipe.teachers:
            surface = recipe.haze_by_band
            patches = [
                patch.at_surface(surface) if surface and patch.level == "L1C" else patch
                for patch in patches
            ]
            patches = [patch for patch in patches if patch.level == recipe.level]
        finest = 0.98 * recipe.resolution
        if patches:
            found[source] = [
                patch.resampled(recipe.resolution) if patch.resolution < finest else patch
                for patch in patches
            ]
    return found


def with_normalisation(recipe: Recipe, train: Mapping[Source, Sequence[Patch]]) -> Recipe:
    """Return the recipe, with the normalisation of all its data if it has none."""
    if recipe.mean and recipe.std:
        return recipe
    everything = [patch for patches in train.values() for patch in patches]
    mean, std = band_statistics(everything, recipe.bands)
    return replace(recipe, mean=recipe.mean or mean, std=recipe.std or std)


def first_weights(recipe: Recipe) -> bytes:
    """Return the weights with which the training begins, in half precision but for the normalisations of batches."""
    torch.manual_seed(recipe.schedule.seed)
    state = first_network(recipe).state_dict()
    return save_tensors(
        {
            key: (value.half() if value.ndim > 1 else value).contiguous()
            for key, value in state.items()
        }
    )


def start_of(recipe: Recipe) -> Model:
    """Return the model that stands for the first weights."""
    name = f"{recipe.name}-start"
    return replace(recipe.to_model(place(name)), name=name, title="First weights")


def place(name: str) -> str:
    """Return where the weights of a model are there."""
    return f"package:{BUILTIN}/{name}.safetensors"


def difference(model: Model, content: bytes, patches: Sequence[Patch]) -> str:
    """Return what rounding the weights of a teacher changes, as a line."""
    fitting = [each for each in patches if each.bands[: len(model.bands)] == model.bands]
    some = fitting[:: max(1, len(fitting) // COMPARED)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.xz")
        path.write_bytes(content)
        weights = Path(folder, "rounded.safetensors")
        weights.write_bytes(save(read_packed_weights(path)))
        rounded = replace(model, name="rounded", weights=f"file:{weights}", sha256="")
        engines = [get_engine(each, "torch", "f32") for each in (model, rounded)]
    changed = counted = 0
    for patch in some:
        window = prepare_window(patch.with_bands(model.bands).at(model.resolution))
        if window is not None:
            one, other = (engine(window).argmax(axis=1) for engine in engines)
            changed, counted = changed + int((one != other).sum()), counted + one.size
    share = f"{100 * changed / counted:.2f} %" if counted else "an unknown share"
    return f"{model.name}: weights rounded to 7 bits; {share} of the pixels of {len(some)} patches change their class"


def code(start: Model, first: bytes, models: Sequence[Model]) -> bytes:
    """Return this package and what it needs as an archive, with the documents of some models."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name, "code")
        source = Path(odc_cleansat.__file__).parent
        unused = shutil.ignore_patterns(
            "__pycache__", "*.onnx", "*.safetensors", "*.png", "*.js", "*.html"
        )
        shutil.copytree(source, top / "odc_cleansat", ignore=unused)
        for room in EMPTIED:
            (top / "odc_cleansat" / room / "__init__.py").write_text('"""Empty here."""\n')
        for package in CARRIED:
            spec = find_spec(package)
            assert spec is not None, package
            assert spec.submodule_search_locations, package
            shutil.copytree(
                spec.submodule_search_locations[0], top / "also" / package, ignore=unused
            )
        for check in CHECKS:
            shutil.copy(HERE.parent / check, top)
        builtin = top / BUILTIN
        (builtin / f"{start.name}.safetensors").write_bytes(first)
        (builtin / f"{start.name}.yaml").write_text(document_of(start, builtin))
        for model in models:
            there = replace(
                model, weights=model.weights and place(model.name), sha256="", card="",
                version=f"{model.version} in 7 bits",
            )  # fmt: skip
            if not (model.members and "+" in model.name):
                (builtin / f"{model.name}.yaml").write_text(document_of(there, builtin))
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:xz") as archive:
            archive.add(top, "code")
        return file.getvalue()


def fitted(
    groups: Mapping[Source, Sequence[Patch]], room: float, seed: int, folder: str
) -> tuple[dict[str, bytes], list[str]]:
    """Return the files of some patches, smaller than the room in bytes, and a line on each source.

    Where there is not room for all, sources that take most of it keep fewer patches, at least one.
    """
    rng = np.random.default_rng(seed)
    order = {source: rng.permutation(len(patches)) for source, patches in groups.items()}
    kept = {source: len(patches) for source, patches in groups.items()}
    files = {source: packed(patches) for source, patches in groups.items()}
    whole = {source: len(content) for source, content in files.items()}
    most = level_of(whole.values(), room)
    while sum(map(len, files.values())) > room:
        if all(count <= 1 for count in kept.values()):
            size = sum(map(len, files.values())) / MIB
            raise CleansatError(
                f"one patch of each source of {folder} takes {size:.1f} MiB, and there is room for "
                f"{max(room, 0) / MIB:.1f}; raise --most, or name fewer teachers or sources."
            )
        most *= 0.97
        for source, patches in groups.items():
            kept[source] = max(1, int(len(patches) * min(1.0, most / whole[source])))
            chosen = sorted(order[source][: kept[source]])
            if kept[source] < len(patches):
                files[source] = packed([patches[i] for i in chosen])
    return {file_of(folder, i): content for i, content in enumerate(files.values())}, [
        f"{source}: {kept[source]} of {len(patches)} patches {folder.replace('_', ' ')}"
        for source, patches in groups.items()
    ]


def level_of(sizes: Iterable[int], room: float) -> float:
    """Return the size to which the largest are cut so that all together fit, bytes."""
    waiting = sorted(sizes)
    while waiting and waiting[0] * len(waiting) <= room:
        room -= waiting.pop(0)
    return max(room, 0) / max(len(waiting), 1)


def file_of(folder: str, number: int) -> str:
    return f"{folder}/{number:02}.xz"


def recipe_there(
    recipe: Recipe,
    train: Mapping[Source, Sequence[Patch]],
    held: Mapping[Source, Sequence[Patch]],
    teachers: Sequence[Model],
) -> str:
    """Return the recipe as it is followed there."""
    document: dict[str, Any] = yaml.safe_load(recipe.path.read_text())
    for key in ("encoder_weights", "haze", "held_out"):
        document.pop(key, None)
    document |= {
        "start": start_of(recipe).name,
        "mean": list(recipe.mean),
        "std": list(recipe.std),
        "data": [source_there("data", i, each) for i, each in enumerate(train)],
    }
    schedule = recipe.schedule
    document["plan"] |= {"batch": schedule.batch, "rate": schedule.rate}
    if held:
        groups = [source_there("held_out", i, each) for i, each in enumerate(held)]
        document["held_out"] = {"data": groups}
    if teachers:
        document["teachers"] = [model.name for model in teachers]
        # A teacher on the GPU answers sooner than its answer is read from the disk.
        document["plan"].pop("lessons", None)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def source_there(folder: str, number: int, source: Source) -> dict[str, str]:
    told = {key: getattr(source, key) for key in ("name", "origin", "licence", "note")}
    return {
        "packed": file_of(folder, number),
        **{key: value for key, value in told.items() if value},
    }


if __name__ == "__main__":
    main()
