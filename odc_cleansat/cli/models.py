"""The command ``cleansat models``: list, fetch, check, add and remove models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..classes import CloudClass
from ..errors import CleansatError, ModelError
from .console import describe_error
from .journal import tell_error
from .names import Group
from .options import json_option

if TYPE_CHECKING:
    from ..models.model import Model
    from ..models.registry import Entry


_EXIT_CODES = "\n\n\b\nExit codes: 0 done, 1 failed (the message says why), 2 wrong usage.\n"

_AVAILABILITY_COLOURS = {
    "packaged": "green",
    "here": "green",
    "to fetch": "yellow",
    "missing": "red",
}

_VERDICTS = {
    True: ("right", "green"),
    False: ("WRONG", "red"),
    None: ("not allowed to run", "yellow"),
}
"""Word and colour for a model that is right, is wrong, or is not allowed to run."""

_COLUMNS = (
    "name", "level", "bands", "pixel", "speed", "cloud", "shadow", "thin cloud", "licence", "weights",
)  # fmt: skip

_NOTE = """* the default: of these, the first whose bands a scene has
speed: times that of unet-efficientnetb4-l2a-6b; cloud, shadow: F1 in simulated scenes; - is not measured
`cleansat models show NAME` has what is known of real scenes."""

_allow_option = click.option(
    "--allow-torchscript",
    is_flag=True,
    help="Run TorchScript weights, now and from now on. They are programs, which can do anything.",
)


@click.group("models", cls=Group)
def command() -> None:
    """List, fetch, check, add and remove models.

    A model is a network that finds clouds and shadows. The default ships with the package. Others are fetched by
    the command fetch, or when --model chooses them.
    """


@command.command(
    "list",
    epilog="""\b
Examples:
  cleansat models list
  cleansat models list --json | jq -r 'select(.level == "L2A") | .name'
"""
    + _EXIT_CODES,
)
@json_option("for each model; one that cannot be used has a problem")
def list_(as_json: bool) -> None:
    """List the models, with * at the default. Fetches nothing.

    Speed is how many times as fast a model is as unet-efficientnetb4-l2a-6b. Cloud and shadow are its F1 in six
    simulated scenes, which are easier than real ones. What was not measured is -. The weights of a model are packaged
    (installed with a package), here, to fetch, or missing.
    """
    from ..models.registry import find_models, get_model

    entries = find_models()
    good = [(entry, get_model(entry.name)) for entry in entries if not entry.problem]
    bad = [entry for entry in entries if entry.problem]
    if as_json:
        problems = [{"name": e.name, "origin": e.origin, "problem": e.problem} for e in bad]
        for document in (*(_as_dict(model, entry) for entry, model in good), *problems):
            click.echo(json.dumps(document))
        return
    _print_table([_row(model) for _, model in good])
    click.echo(f"\n{_NOTE}")
    for licence in sorted({m.licence for _, m in good if m.is_noncommercial}):
        click.echo(f"\n{licence} forbids commercial use.")
    for entry in bad:
        click.secho(f"\n{entry.name} ({entry.origin}) cannot be used: {entry.problem}", fg="red")


@command.command(
    "show",
    epilog="""\b
Examples:
  cleansat models show cloudsen12-unetmobv2-v2
  cleansat models show --json unet-efficientnetb4-l2a-6b+unet-efficientnetb4-l2a-4b
"""
    + _EXIT_CODES,
)
@click.argument("name")
@json_option("of all that is known")
def show(name: str, as_json: bool) -> None:
    """Show a model and its card. Fetches nothing."""
    from ..models.registry import find_models, get_model

    model = get_model(name)
    entry = next((e for e in find_models() if e.name == name and not e.problem), None)
    if as_json:
        click.echo(json.dumps(_as_dict(model, entry)))
        return
    for key, value in _as_words(model, entry).items():
        click.echo(f"{key:14}{value}")
    if model.is_noncommercial:
        click.secho(f"\nThe licence {model.licence} forbids commercial use.", fg="yellow")
    if model.card:
        click.echo(f"\n{_card_text(model)}")


@command.command(
    "fetch",
    epilog="""\b
Examples:
  cleansat models fetch cloudsen12-unetmobv2-v2
  cleansat models fetch --all
  cleansat models fetch --allow-torchscript cloudsen12-l2a
  CLEANSAT_MIRROR=https://mirror.example.org cleansat models fetch cloudsen12-unetmobv2-v2
"""
    + _EXIT_CODES,
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Fetch the weights of all models.")
@_allow_option
@click.pass_context
def fetch(ctx: click.Context, names: tuple[str, ...], all_: bool, allow_torchscript: bool) -> None:
    """Fetch the weights of models, and check them.

    Give the names of models, or --all.
    They are kept in CLEANSAT_WEIGHTS, or in a folder of the user's data. An interrupted download is continued.
    Weights that are here already are only checked.
    """
    from ..models.install import try_model
    from ..models.places import availability
    from ..models.weights import fetch_notice, fetch_weights

    if bool(names) == all_:
        raise click.UsageError("give either names of models or --all.")
    if all_ and allow_torchscript:
        raise click.UsageError("--allow-torchscript is for models that you name, and not for all.")
    failed = False
    for model in _models(names):
        try:
            for each in model.networks():
                if availability(each) == "to fetch":
                    click.echo(fetch_notice(each))
            paths = fetch_weights(model)
            if allow_torchscript:
                try_model(model, allow=True)
        except CleansatError as error:
            failed = True
            tell_error(str(error))
            continue
        for path in paths:
            click.echo(f"{model.name}: {path}")
    ctx.exit(1 if failed else 0)


@command.command(
    "verify",
    epilog="""\b
Examples:
  cleansat models verify
  cleansat models verify cloudsen12-unetmobv2-v2
  cleansat models verify --json | jq 'select(.right == false)'

\b
Exit codes: 0 nothing is wrong, 1 something is wrong, 2 wrong usage.
A model that is not allowed to run is not wrong; in JSON its `right` is null.
""",
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option("for each model")
@click.pass_context
def verify(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Check the weights of models. Fetches nothing.

    Their checksum is compared, they are loaded, and the network has to answer as it should.
    Without a NAME, all models are checked whose weights are here. TorchScript that is not allowed to run is checked
    for its checksum only.
    """
    verdicts: list[bool | None] = []
    for model in _models(names):
        if not names and _availability(model) == "to fetch":
            continue
        right, problem = _verdict(model)
        verdicts.append(right)
        if as_json:
            click.echo(json.dumps({"name": model.name, "right": right, "problem": problem}))
        else:
            word, colour = _VERDICTS[right]
            click.echo(f"{model.name}: {click.style(word, fg=colour)}{problem and ': '}{problem}")
    if not as_json:
        counts = [f"{verdicts.count(v)} {word.lower()}" for v, (word, _) in _VERDICTS.items()]
        click.echo(f"{len(verdicts)} model(s): {', '.join(counts)}")
    ctx.exit(1 if False in verdicts else 0)


@command.command(
    "import",
    epilog="""\b
Examples:
  cleansat models import --template mynet.safetensors   # writes mynet.yaml
  cleansat models import mynet.safetensors
  cleansat models import --force mynet.yaml
  cleansat models import --allow-torchscript theirnet.yaml
"""
    + _EXIT_CODES,
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--template", is_flag=True, help="Only write a model document to fill in, beside the weights."
)
@_allow_option
@click.option("--force", is_flag=True, help="Replace an imported model of the same name.")
def import_(file: Path, template: bool, allow_torchscript: bool, force: bool) -> None:
    """Add a model of your own.

    FILE is a model document (.yaml), or weights (.onnx, .safetensors, .pt) with a document of the same name beside
    them. The weights are loaded and tried. Then both are copied into the folder of models: CLEANSAT_MODELS, or a
    folder of the user's data.
    """
    from ..models.install import DOCUMENTS, document_beside, import_model
    from ..models.registry import models_folder

    is_document = file.suffix.lower() in DOCUMENTS
    if template:
        if is_document:
            raise click.UsageError("--template is for weights.")
        _write_template(file, file.with_suffix(".yaml"), force)
        return
    document = file if is_document else document_beside(file)
    model = import_model(document, force=force, allow=allow_torchscript)
    click.echo(f"{model.name} is in {models_folder()}. Use it:")
    if model.level == "L2A":
        click.echo(f"  cleansat mask SCENE --model {model.name} -o masks")
    click.echo(f'  odc_cleansat.classify(scene, model="{model.name}")')


@command.command(
    "remove",
    epilog="""\b
Examples:
  cleansat models remove mynet
  cleansat models remove --yes mynet
"""
    + _EXIT_CODES,
)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove a model of your own.

    Its document goes, and the card and weights that were copied with it. Models that ship and models of plugins are never removed.
    """
    from ..models.install import files_of, find_own

    files = files_of(find_own(name))
    for file in files:
        click.echo(str(file))
    if not yes:
        click.confirm("Remove these files?", abort=True)
    for file in files:
        file.unlink()
    click.echo(f"{name} is removed.")


def _write_template(weights: Path, document: Path, force: bool) -> None:
    from ..models.document_template import document_template

    if document.exists() and not force:
        raise ModelError(f"{document} is there already; --force replaces it.")
    document.write_text(document_template(weights), encoding="utf-8")
    click.echo(f"{document} is to be filled in. Then run: cleansat models import {document}")


def _models(names: Sequence[str]) -> list[Model]:
    """Return the models of these names, or all that can be used."""
    from ..models.registry import find_models, get_model

    return [get_model(name) for name in names or [e.name for e in find_models() if not e.problem]]


def _verdict(model: Model) -> tuple[bool | None, str]:
    """Return whether a model is right, or None if it is not allowed to run; and the problem."""
    from ..models.install import try_model
    from ..models.torchscript import check_allowed
    from ..models.weights import verify_weights

    for test, verdict in ((verify_weights, False), (check_allowed, None), (try_model, False)):
        try:
            test(model)
        except (CleansatError, OSError) as error:
            return verdict, describe_error(error)
    return True, ""


def _availability(model: Model) -> str:
    from ..models.places import availability

    try:
        return availability(model)
    except ModelError:
        return "missing"


def _row(model: Model) -> list[str]:
    from ..models.registry import DEFAULTS

    accuracy = dict(model.accuracy)
    return [
        f"{model.name} *" if model.name in DEFAULTS else model.name,
        model.level,
        str(len(model.bands)),
        f"{model.resolution:g} m",
        f"{model.speed:.1f} x" if model.speed else "-",
        *(f"{accuracy[name]:.3f}" if name in accuracy else "-" for name in ("cloud", "shadow")),
        "yes" if CloudClass.THIN_CLOUD in model.classes else "",
        model.licence,
        _availability(model),
    ]


def _print_table(rows: list[list[str]]) -> None:
    rows = [[*_COLUMNS], *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = click.style(row[-1], fg=_AVAILABILITY_COLOURS.get(row[-1]))
        click.echo("  ".join(cells))


def _as_words(model: Model, entry: Entry | None) -> dict[str, str]:
    """Return what `show` prints, without fields that are empty."""
    fields = {
        "name": model.name,
        "title": model.title,
        "version": model.version,
        "members": ", ".join(each.name for each in model.members),
        "level": model.level,
        "resolution": f"{model.resolution:g} m",
        "bands": ", ".join(model.bands),
        "classes": ", ".join(c.label for c in model.classes),
        "speed": f"{model.speed:g} times that of unet-efficientnetb4-l2a-6b" if model.speed else "",
        "accuracy": ", ".join(f"F1 of {label} {value:g}" for label, value in model.accuracy)
        + " in simulated scenes" * bool(model.accuracy),
        "network": str(model.architecture or ""),
        "weights": model.weights,
        "state": _availability(model),
        "sha256": _known_sha256(model) or "not known; recorded when it is first fetched",
        "licence": model.licence,
        "citation": model.citation,
        "origin": entry.origin if entry else "",
        "document": str(entry.path) if entry else "",
    }
    return {key: value for key, value in fields.items() if value}


def _as_dict(model: Model, entry: Entry | None) -> dict[str, Any]:
    """Return what `--json` prints."""
    from ..models.registry import DEFAULTS

    architecture = model.architecture
    return {
        "name": model.name,
        "title": model.title,
        "version": model.version,
        "origin": entry.origin if entry else None,
        "default": model.name in DEFAULTS,
        "level": model.level,
        "resolution": model.resolution,
        "bands": list(model.bands),
        "channels": list(model.channels or model.bands),
        "mean": list(model.mean),
        "std": list(model.std),
        "classes": [c.label for c in model.classes],
        "speed": model.speed or None,
        "accuracy": dict(model.accuracy) or None,
        "architecture": architecture
        and {"name": architecture.name, "encoder": architecture.encoder},
        "members": [each.name for each in model.members],
        "weights": model.weights,
        "state": _availability(model),
        "sha256": _known_sha256(model) or None,
        "licence": model.licence,
        "noncommercial": model.is_noncommercial,
        "citation": model.citation,
        "document": str(entry.path) if entry else None,
        "card": model.card or None,
    }


def _known_sha256(model: Model) -> str:
    from ..models.weights import known_sha256

    try:
        return known_sha256(model)
    except (ModelError, OSError):
        return ""


def _card_text(model: Model) -> str:
    try:
        return Path(model.card).read_text(encoding="utf-8").strip()
    except OSError as error:
        return f"Its card cannot be read: {error.strerror}: {model.card}"
