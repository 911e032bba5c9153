"""`cleansat mask`."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..addresses import public_address, public_values
from .console import Console, describe_error
from .journal import run_id, tell_error
from .main import SOME_FAILED
from .options import (
    check_box,
    connected,
    datacube_options,
    is_typed,
    json_option,
    plain_option,
    source_options,
)
from .wording import in_options

if TYPE_CHECKING:
    from datacube import Datacube

    from ..cube.catalog import Catalog
    from ..products.job import MaskJob
    from ..scenes.scene import Scene

    NamedScene = tuple[str, Callable[[], Scene]]
    """A name, and a function that reads the scene of that name."""


@click.command(
    "mask",
    epilog="""\b
Examples:
  cleansat mask --bbox 13.6,47.7,13.8,47.9 --time 2024-06 --limit 1 -o masks
  cleansat mask --stac-api planetary-computer \\
      --bbox 13.6,47.7,13.8,47.9 --time 2024-06-01/2024-06-15 -o masks
  cleansat mask -o masks \\
      https://earth-search.aws.element84.com/v1/collections/sentinel-2-l2a/items/ID
  cleansat mask S2B_MSIL2A_20240710T071619_N0510_R006_T37MGP.SAFE -o masks
  cleansat mask S2B_MSIL2A_20240710T071619_N0510_R006_T37MGP.zarr -o masks
  cleansat mask scene.odc-metadata.yaml -o masks
  cleansat mask FOLDER_OF_BANDS --datetime 2024-04-01T02:00:00Z -o masks

\b
Exit codes: 0 all scenes have their masks, 1 failed or nothing found, 2 wrong
usage, 3 some scenes of a search failed.
""",
)
@click.argument("scene", required=False)
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="DIR",
    help="Where the masks are kept: a folder, or s3://BUCKET/PREFIX.",
)
@click.option(
    "--stac-api",
    metavar="URL|NAME",
    help="STAC API to search, or its provider: earth-search, planetary-computer, cdse, dea, deafrica, hls or hls-nasa. "
    "Default: earth-search.",
)
@click.option(
    "--collection",
    metavar="ID",
    help="Collection to search. Default: those that the API has of Sentinel-2.",
)
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
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Mask so many scenes at most, in the API's order.",
)
@click.option(
    "--max-cloud",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Skip scenes with more cloud, by the provider's estimate.",
)
@source_options
@plain_option
@click.option(
    "--index/--no-index",
    default=False,
    show_default=True,
    help="Index the masks in the configured datacube, which must have the product s2_l2a_ucl.",
)
@json_option("for each scene")
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
    plain: bool,
    index: bool,
    as_json: bool,
    config: tuple[str, ...],
    env: str | None,
) -> None:
    """Mask one scene, or those of a search, without a datacube.

    SCENE is a STAC item or EO3 document (file or URL), a SAFE folder or zip, a Zarr product (folder or URL), or
    a folder with one file for each band. Without SCENE, --bbox and --time search a STAC API. Each mask is a product of its own: COGs,
    EO3 and STAC documents, provenance and checksums. A mask that is there already is not computed again.
    """
    from ..cube.catalog import open_catalog
    from ..cube.embedded import make_folder
    from ..models.registry import get_model
    from ..scenes.band_folder import parse_moment
    from ..scenes.providers import PROVIDERS
    from ..scenes.read import read_scene

    given = {"bbox": bbox, "time": time, "limit": limit, "max-cloud": max_cloud}
    given |= {"stac-api": stac_api, "collection": collection}
    _check_usage(scene, given, moment)
    if model is not None:
        get_model(model)  # before anything is read
    when = parse_moment(moment) if moment else None
    root = out if "://" in out else Path(out)
    if isinstance(root, Path):
        make_folder(root)
    console = Console(to_stderr=as_json)
    with _mask_index(config, env) if index else contextlib.nullcontext() as dc:
        if scene is not None:
            scenes: list[NamedScene] = [(scene, partial(read_scene, scene, when))]
        else:
            where = {"api": stac_api or PROVIDERS[0].name, "collection": collection}
            scenes = _search(console, bbox, time, limit=limit, max_cloud=max_cloud, **where)
        masker = _Masker(root, model, offset, not plain, dc, open_catalog(root), console, as_json)
        results = masker.mask_all(scenes)
    _finish(results, as_json)


def _check_usage(scene: str | None, search: dict[str, Any], moment: str | None) -> None:
    # What settings say is for searches alone.
    given = [f"--{name}" for name in search if is_typed(name)]
    if scene is not None and given:
        raise click.UsageError(f"give SCENE, or search with {', '.join(given)}, not both.")
    if scene is None and (search["bbox"] is None or search["time"] is None):
        raise click.UsageError("give SCENE, or --bbox and --time to search for scenes.")
    if scene is None and moment is not None:
        raise click.UsageError("--datetime is for a folder of bands; --time is for a search.")


@contextlib.contextmanager
def _mask_index(config: Sequence[str], env: str | None) -> Iterator[Datacube]:
    """Connect to a datacube that has the product of masks."""
    from ..cube.query import check_mask_product

    with connected(config, env) as dc:
        check_mask_product(dc)
        yield dc


def _search(console: Console, bbox: Any, time: Any, **where: Any) -> list[NamedScene]:
    """The scenes of a search; each is read, and its address signed, only when its turn comes."""
    from ..scenes.search import search
    from ..scenes.stac import item_scene

    with console.step(f"Searching {where['api']}"):
        items = search(bbox, time, **where)
    counts = Counter(str(item.collection_id) for item in items)
    found = ", ".join(f"{count} of {name}" for name, count in counts.items())
    console.say(f"Found {len(items)} scene{'s' if len(items) > 1 else ''}: {found}.")
    return [(item.id, partial(item_scene, item)) for item in items]


@dataclass(frozen=True)
class _Masker:
    """Masks scenes one by one, and prints what came of each."""

    root: Path | str
    """Folder or address under which masks are kept."""

    model: str | None
    """Name of a model; None for the best for each scene's bands."""

    offset: float | None
    """Radiometric offset, digital numbers; None if the metadata decide."""

    refine: bool
    """Whether light refines the masks."""

    dc: Datacube | None
    """Where masks are indexed, if they are."""

    catalog: Catalog
    """That of the store, into which masks and scenes are entered."""

    console: Console
    """For people."""

    as_json: bool
    """Whether each result is printed as a line of JSON, for programs."""

    def mask_all(self, scenes: Sequence[NamedScene]) -> list[dict[str, Any]]:
        """Mask scenes; one that fails does not stop the others."""
        results = []
        for i, (name, read) in enumerate(scenes, start=1):
            position = f" ({i} of {len(scenes)})" if len(scenes) > 1 else ""
            results.append(self._result(name, read, position))
            self._print(results[-1])
        return results

    def _result(self, name: str, read: Callable[[], Scene], position: str) -> dict[str, Any]:
        """Mask a scene; a failure is a result too."""
        from ..products.job import MaskJob

        result: dict[str, Any] = {"scene": name}
        try:
            scene = read()
            result |= {"scene": scene.label, "scene_id": str(scene.dataset.id)}
            job = MaskJob.of_scene(scene, self.root, self.model, self.offset, self.refine)
            result |= {"mask_id": str(job.id), "model": job.model.name}
            result |= self._mask(job, scene, position)
        except Exception as error:
            if click.get_current_context().find_root().params.get("debug"):
                raise
            result |= {"status": "failed", "reason": _reason(error, result)}
        return result

    def _mask(self, job: MaskJob, scene: Scene, position: str) -> dict[str, Any]:
        """Make a mask, or find it, and index it if masks are indexed."""
        from ..cube.index import add_dataset

        label = scene.label
        if job.source.properties.get("cleansat:datetime_placeholder"):
            self.console.say(
                f"{label}: its date is not known and stands as 1970-01-01; --datetime says it"
            )
        elsewhere = _indexed_elsewhere(self.dc, job) if self.dc is not None else None
        there = elsewhere or job.document
        if there is None:
            with self.console.step(f"Masking {label}{position}") as progress:
                document = job.run(progress, run_id())
        else:
            document = there
            known = "the mask is there already, nothing is computed"
            if elsewhere is not None:
                known = f"the datacube has the mask already, at {elsewhere}; --no-index writes another copy"
            self.console.say(f"{label}{position}: {known}")
        if elsewhere is None:
            self.catalog.add(document, scene.dataset)
        if self.dc is not None and elsewhere is None:
            add_dataset(self.dc, document)
        status = "masked" if there is None else "found"
        return {"status": status, **_described(job, document), "indexed": self.dc is not None}

    def _print(self, result: dict[str, Any]) -> None:
        if self.as_json:
            click.echo(json.dumps(public_values(result)))
        if "reason" in result:
            name = "" if result["scene"] in result["reason"] else f"{result['scene']}: "
            tell_error(f"{name}{result['reason']}")
        elif not self.as_json:
            shares = ", ".join(f"{name} {value:g} %" for name, value in result["percent"].items())
            click.echo(f"  {shares}; data in {result['data_percent']:g} % of the pixels")
            click.echo(f"  {public_address(result['document'])}")
            if result["status"] == "found" and "doubt" in result:  # else a warning has told it
                click.echo(f"  in doubt: {result['doubt']}")


def _described(job: MaskJob, document: Path | str) -> dict[str, Any]:
    """What a mask's document says of its classes, and how digital numbers became reflectance."""
    from ..scenes.read import read_metadata
    from ..storage.eo3 import read_document

    properties = read_document(read_metadata(str(document))).properties
    classes = [c.label for c in sorted(job.model.classes)]
    doubt = properties.get("cleansat:reflectance_doubt")
    return {
        "document": str(document),
        "percent": {name: properties.get(f"cleansat:{name}_percent") for name in classes},
        "data_percent": properties.get("cleansat:data_percent"),
        "offset": job.offset.value,
        "offset_source": job.offset.source,
        "light": properties.get("cleansat:light"),
        **({"doubt": in_options(doubt)} if doubt else {}),
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
    text = describe_error(error)
    for name in (f"dataset {result.get('scene_id')}: ", f"item {result['scene']}: "):
        text = text.removeprefix(name)
    return text


def _finish(results: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Print a summary of several scenes, and end with 1 or 3 if some failed."""
    counts = Counter(result["status"] for result in results)
    if len(results) > 1 and not as_json:
        click.echo(
            f"{counts['masked']} masked, {counts['found']} there already, {counts['failed']} failed."
        )
    if counts["failed"]:
        raise click.exceptions.Exit(1 if counts["failed"] == len(results) else SOME_FAILED)
