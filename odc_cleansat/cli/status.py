"""`cleansat status`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import connected, datacube_options, scene_options, search_terms
from .run import FAILURES


@click.command(
    "status",
    epilog="""\b
Examples:
  cleansat status
  cleansat status --product s2_l2a --time 2024-06 --bbox 13.6,47.7,13.8,47.9
  cleansat status --time 2024 --json

\b
Exit codes: 0 done, 1 failed (the message says why), 2 wrong usage.
""",
)
@scene_options
@click.option(
    "--failures",
    type=click.Path(dir_okay=False, path_type=Path),
    default=FAILURES,
    show_default=True,
    help="Where the last run has listed its failures.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts for programs.")
@datacube_options
def command(
    product: str,
    time: str | None,
    bbox: tuple[float, float, float, float] | None,
    model: str | None,
    offset: float | None,
    failures: Path,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Count the scenes of a product that have an indexed mask, lack one, or failed in the last run.

    Also count how many of the indexed masks reviewers have accepted, rejected, or not reviewed yet.
    """
    from ..batch import Request, plan, read_failures

    request = Request(product, "", model, offset, query=search_terms(time, bbox))
    with connected(config, env) as dc:
        found = plan(dc, request, verdicts=True)
    impossible = {failure.scene for failure in found.failures}
    missing = impossible.union(found.missing)
    listed = {each.scene: each for each in read_failures(failures) if each.scene in missing}
    listed |= {each.scene: each for each in found.failures}
    counts = {
        "scenes": found.scenes,
        "masked": found.masked,
        "missing": len(missing),
        "failed": len(listed),
        **(found.verdicts or {}),
    }
    if as_json:
        click.echo(json.dumps({"product": product, **counts}))
        return
    for name, count in counts.items():
        click.echo(f"{name:10}{count:8}")
    for failure in listed.values():
        click.echo(f"  failed: {failure.label}: {failure.reason}")
