"""`cleansat status`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .journal import tell
from .options import (
    connected,
    datacube_options,
    given_catalog,
    is_typed,
    json_option,
    scene_options,
    search_terms,
)
from .run import FAILURES, describe_source
from .wording import in_options


@click.command(
    "status",
    epilog="""\b
Examples:
  cleansat status
  cleansat status --product s2_l2a --time 2024-06 --bbox 13.6,47.7,13.8,47.9
  cleansat status --time 2024 --json
  cleansat status --time 2024 --missing --quiet
  cleansat status --items scenes.parquet --catalog masks

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@scene_options
@click.option(
    "--items",
    metavar="FILE|URL",
    help="The list of scenes of `cleansat run --items`, in place of --product. Its masks are looked up in --catalog.",
)
@click.option(
    "--failures",
    type=click.Path(dir_okay=False, path_type=Path),
    default=FAILURES,
    show_default=True,
    help="Where the last run has listed its failures.",
)
@click.option("--missing", "list_missing", is_flag=True, help="List the scenes without a mask.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the scenes, and no counts.")
@json_option("of the counts; with --missing, another for each scene")
@datacube_options
def command(
    product: str,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    model: str | None,
    offset: float | None,
    items: str | None,
    failures: Path,
    list_missing: bool,
    quiet: bool,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Count the scenes of a product, or of a list, that have an indexed mask, lack one, or failed in the last run.

    Also count how many of the indexed masks reviewers have accepted, rejected, or not reviewed yet.
    """
    from ..batch import Request, plan, read_failures
    from ..batch.planning import labels

    source: dict[str, Any] = {"product": product, "root": ""} if items is None else _listed(items)
    request = Request(**source, model=model, offset=offset, query=search_terms(time, bbox))
    with connected(config, env) as dc:
        found = plan(dc, request, verdicts=True)
        listed = {each.scene: each for each in read_failures(failures)}
        listed |= {each.scene: each for each in found.failures}
        missing = {*found.missing, *(each.scene for each in found.failures)}
        listed = {scene: each for scene, each in listed.items() if scene in missing}
        counts = {
            "scenes": found.scenes,
            "masked": found.masked,
            "missing": len(missing),
            "failed": len(listed),
            **(found.verdicts or {}),
        }
        if as_json and not quiet:
            former = {"by_former_default": found.former}
            click.echo(json.dumps({**describe_source(request), **counts, **former}))
        elif not quiet:
            for name, count in counts.items():
                click.echo(f"{name:10}{count:8}")
            if found.about_former:
                tell(in_options(found.about_former), err=True)
        others = [each for each in found.missing if each not in listed] if list_missing else []
        states = (
            *(
                ("failed", each.scene, each.label, in_options(each.reason))
                for each in listed.values()
            ),
            *(("missing", scene, label, str(scene)) for scene, label in labels(dc, found, others)),
        )
    for state, scene, label, detail in states:
        if not as_json:
            click.echo(f"  {state}: {label}: {detail}")
        elif list_missing:
            reason = {"reason": detail} if state == "failed" else {}
            click.echo(json.dumps({"state": state, "scene": str(scene), "label": label, **reason}))


def _listed(items: str) -> dict[str, Any]:
    """Return the arguments of a request about a list of scenes.

    Raises
    ------
    click.UsageError
        If it is not said where the masks are, or a product is named too.
    """
    if is_typed("product"):
        raise click.UsageError("--items stands in place of --product; leave out one of the two.")
    root = given_catalog()
    if root is None:
        raise click.UsageError(
            "--items needs --catalog STORE: what `cleansat run --items` had as -o."
        )
    return {"product": None, "root": root, "items": items, "index": False}
