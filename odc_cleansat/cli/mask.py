"""`cleansat mask`."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import Console
from .options import check_box, connected, datacube_options, source_options

if TYPE_CHECKING:
    from datacube import Datacube

    from ..products.job import MaskJob
    from ..scenes.scene import Scene


SOME_FAILED = 3


@click.command(
    "mask",
    epilog="""\b
Examples:
  cleansat mask --bbox 13.6,47.7,13.8,47.9 --time 2024-06 --limit 1 -o masks
  cleansat mask --stac-api https://planetarycomputer.microsoft.com/api/stac/v1 \\
      --bbox 13.6,47.7,13.8,47.9 --time 2024-06-01/2024-06-15 --max-cloud 60 -o masks
  cleansat mask https://earth-search.aws.element84.com/v1/collections/sentinel-2-l2a/items/ID -o masks
  cleansat mask S2B_MSIL2A_20240710T071619_N0510_R006_T37MGP_20240710T103747.SAFE -o masks
  cleansat mask scene.odc-metadata.yaml -o masks
  cleansat mask FOLDER_OF_BANDS --datetime 2024-04-01T02:00:00Z -o masks

\b
Exit codes: 0 all scenes have their masks, 1 failed or nothing found, 2 wrong usage,
3 some scenes of a search failed.
""",
)
@click.argument("scene", required=False)
@click.option(
    "-o", "--out", required=True, metavar="DIR", help="Folder under which mask products are kept."
)
@click.option(
    "--stac-api", metavar="URL", help="STAC API to search. Default: Earth Search by Element 84."
)
@click.option("--collection", metavar="ID", help="In that API. Default: sentinel-2-l2a.")
@click.option(
    "--bbox",
    callback=check_box,
    metavar="W,S,E,N",
    help="Search this area: west, south, east and north in degrees.",
)
@click.option(
    "--time",
    metavar="ISO8601[/ISO8601]",
    help="Search this time: a day, month or year, or two with a slash between.",
)
@click.option("--limit", type=click.IntRange(1), help="Mask so many at most, in the API's order.")
@click.option(
    "--max-cloud",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Skip scenes with more cloud, as the provider reckons it.",
)
@source_options
@click.option(
    "--index/--no-index",
    default=False,
    show_default=True,
    help="Index the masks in the configured datacube, which must have the product s2_l2a_ucl.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a scene and line.")
@datacube_options
def command(
    scene: str | None,
    out: str,
    stac_api: str | None,
    collection: str | None,
    bbox: tuple[float, float, float, float] | None,
    time: str | None,
    limit: int | None,
    max_cloud: float | None,
    model: str | None,
    offset: float | None,
    moment: str | None,
    index: bool,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Mask one scene, or those of a search, without a datacube.

    SCENE is a STAC item or an EO3 document (file or URL), a SAFE folder, or a folder with one file a
    band. Without SCENE, --bbox and --time search a STAC API. Each mask is a product of its own: COGs,
    EO3 and STAC documents, provenance and checksums. A mask that is there already is not computed again.
    """
    from ..cube.embedded import make_folder
    from ..models.registry import get_model
    from ..scenes.band_folder import parse_moment
    from ..scenes.search import COLLECTION, EARTH_SEARCH

    search = {"bbox": bbox, "time": time, "limit": limit, "max-cloud": max_cloud}
    search |= {"stac-api": stac_api, "collection": collection}
    _check_usage(scene, search, moment)
    if model is not None:
        get_model(model)  # before anything is read
    when = parse_moment(moment) if moment else None
    remote = "://" in out
    if not remote:
        make_folder(Path(out))
    with contextlib.ExitStack() as stack:
        dc = stack.enter_context(_indexed_into(config, env)) if index else None
        report = _Report(as_json, stack)
        if scene is not None:
            waiting = [(scene, lambda: _read(scene, when))]
        else:
            assert bbox is not None
            assert time is not None
            api = stac_api or EARTH_SEARCH
            waiting = _found(api, collection or COLLECTION, bbox, time, limit, max_cloud, report)
        root = out if remote else Path(out)
        done = []
        for i, (name, read) in enumerate(waiting, start=1):
            report.position = f" ({i} of {len(waiting)})" if len(waiting) > 1 else ""
            done.append(_one(name, read, root, model, offset, dc, report))
    _finish(done, report)


def _check_usage(scene: str | None, search: dict[str, Any], moment: str | None) -> None:
    given = [f"--{name}" for name, value in search.items() if value is not None]
    if scene is not None and given:
        raise click.UsageError(f"give SCENE, or search with {', '.join(given)}, not both.")
    if scene is None and (search["bbox"] is None or search["time"] is None):
        raise click.UsageError("give SCENE, or --bbox and --time to search for scenes.")
    if scene is None and moment is not None:
        raise click.UsageError("--datetime is for a folder of bands; --time is for a search.")


@contextlib.contextmanager
def _indexed_into(config: Sequence[str], env: str | None) -> Iterator[Datacube]:
    from ..errors import CubeError
    from ..storage.eo3 import MASK_PRODUCT

    with connected(config, env) as dc:
        if dc.index.products.get_by_name(MASK_PRODUCT) is None:
            raise CubeError(
                f"the datacube has no product {MASK_PRODUCT}; add it with `cleansat product add`."
            )
        yield dc


class _Report:
    """What is said, for people or for programs."""

    def __init__(self, as_json: bool, stack: contextlib.ExitStack) -> None:
        self.as_json = as_json
        self.console = Console()
        self.out = sys.stdout
        self.position = ""
        """Of the scene among several."""
        if as_json:  # what is for people goes where programs do not read
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))

    def scene(self, result: dict[str, Any]) -> None:
        """One scene is done."""
        if self.as_json:
            click.echo(json.dumps(result), file=self.out)
        if "reason" in result:
            name = "" if result["scene"] in result["reason"] else f"{result['scene']}: "
            click.echo(f"Error: {name}{result['reason']}", err=True)
        elif not self.as_json:
            shares = ", ".join(f"{name} {value:g} %" for name, value in result["percent"].items())
            click.echo(f"  {shares}; data in {result['data_percent']:g} % of the pixels")
            click.echo(f"  {result['document']}")


def _read(scene: str, when: Any) -> Scene:
    from ..scenes.read import read_scene

    return read_scene(scene, when)


def _found(
    api: str,
    collection: str,
    bbox: tuple[float, float, float, float],
    time: str,
    limit: int | None,
    max_cloud: float | None,
    report: _Report,
) -> list[tuple[str, Callable[[], Scene]]]:
    """The scenes of a search; each is read, and its address signed, only when its turn comes."""
    from functools import partial

    from ..scenes.search import search
    from ..scenes.stac import item_scene

    with report.console.step(f"Searching {api}"):
        items = search(bbox, time, api=api, collection=collection, limit=limit, max_cloud=max_cloud)
    report.console.say(f"Found {len(items)} scene{'s' if len(items) > 1 else ''}.")
    return [(item.id, partial(item_scene, item)) for item in items]


def _one(
    name: str,
    read: Callable[[], Scene],
    root: Any,
    model: str | None,
    offset: float | None,
    dc: Datacube | None,
    report: _Report,
) -> dict[str, Any]:
    """Mask one scene; a failure is a result too."""
    from ..products.job import MaskJob

    result: dict[str, Any] = {"scene": name}
    try:
        scene = read()
        result |= {"scene": scene.label, "scene_id": str(scene.dataset.id)}
        job = MaskJob.of_scene(scene, root, model, offset)
        result |= {"mask_id": str(job.id), "model": job.model.name}
        result |= _masked(scene.label, job, dc, report)
    except Exception as error:
        if click.get_current_context().find_root().params.get("debug"):
            raise
        result |= {"status": "failed", "reason": _reason(error, result)}
    report.scene(result)
    return result


def _masked(label: str, job: MaskJob, dc: Datacube | None, report: _Report) -> dict[str, Any]:
    from ..cube.index import add_dataset
    from ..scenes.read import read_metadata
    from ..storage.eo3 import read_document

    if job.source.properties.get("cleansat:datetime_placeholder"):
        report.console.say(
            f"{label}: its date is not known and stands as 1970-01-01; --datetime says it"
        )
    elsewhere = None if dc is None else _indexed_elsewhere(dc, job)
    there = elsewhere or job.document
    if there is None:
        with report.console.step(f"Masking {label}{report.position}") as progress:
            document = job.run(progress)
    else:
        document = there
        known = (
            "the mask is there already, nothing is computed"
            if elsewhere is None
            else f"the datacube has the mask already, at {elsewhere}; --no-index writes another copy"
        )
        report.console.say(f"{label}{report.position}: {known}")
    if dc is not None and elsewhere is None:
        add_dataset(dc, document)
    said = read_document(read_metadata(str(document))).properties
    classes = [c.label for c in sorted(job.model.classes)]
    return {
        "status": "masked" if there is None else "found",
        "document": str(document),
        "percent": {name: said.get(f"cleansat:{name}_percent") for name in classes},
        "data_percent": said.get("cleansat:data_percent"),
        "offset": job.offset.value,
        "offset_source": job.offset.source,
        "indexed": dc is not None,
    }


def _indexed_elsewhere(dc: Datacube, job: MaskJob) -> Path | str | None:
    """The document of a scene's mask that is indexed at another place, and whole there."""
    from ..cube.index import find_dataset
    from ..products.product import MaskProduct
    from ..storage.folder import as_uri

    known = find_dataset(dc, job.id)
    if known is None or not known.uri:
        return None
    product = MaskProduct.of_dataset(known)
    here = job.folder.file(Path(str(product.document_file)).name)
    if as_uri(product.document_file) == as_uri(here) or not product.is_intact():
        return None
    return product.document_file


def _reason(error: Exception, result: dict[str, Any]) -> str:
    """One line, without the name of the scene, which stands before it."""
    from ..errors import CleansatError

    if isinstance(error, CleansatError):
        said = str(error)
        for name in (f"dataset {result.get('scene_id')}: ", f"item {result['scene']}: "):
            said = said.removeprefix(name)
        return said
    if isinstance(error, OSError):
        return f"{error.filename or ''} {error.strerror or error}".strip()
    first = (str(error).strip().splitlines() or ["no message"])[0]
    return (
        f"unexpected {type(error).__name__}: {first}. Run with `cleansat --debug ...` for details."
    )


def _finish(done: Sequence[dict[str, Any]], report: _Report) -> None:
    """A summary of several, and the exit code."""
    failed = sum(result["status"] == "failed" for result in done)
    if len(done) > 1 and not report.as_json:
        counts = {"masked": 0, "found": 0, "failed": 0}
        for result in done:
            counts[result["status"]] += 1
        click.echo(
            f"{counts['masked']} masked, {counts['found']} there already, {counts['failed']} failed."
        )
    if failed:
        raise click.exceptions.Exit(1 if failed == len(done) else SOME_FAILED)
