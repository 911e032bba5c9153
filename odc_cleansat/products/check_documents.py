"""The checks of `verify` that read no pixel: files, identity and documents."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import numpy as np
from odc.geo.geom import Geometry

from ..errors import ModelError
from ..models.engines import check_engine
from ..scenes.baseline import PRODUCT_NAMES
from ..storage.eo3 import MASK_PRODUCT, acquisition_time, product_definition
from .check_scene import wrong_scene
from .evidence import (
    LAYERS,
    MISSING,
    PARTS,
    THUMBNAIL,
    Evidence,
    Fault,
    UnprovenError,
    WrongError,
    differences,
    differs,
)
from .identity import ALGORITHM, derived_id, mask_label
from .product import DOCUMENT, RECORD, SUMS
from .provenance import (
    INHERITED,
    SOFTWARE,
    pixel_properties,
    processing_record,
    recorded_doubt,
    software_url,
    stated_properties,
)
from .stac_item import stac_item
from .verdict_files import SUFFIX as VERDICT

_LINE = re.compile(r"([0-9a-f]{40})\t([^/\\\t]+)")
"""A line of the list of checksums."""

_ONCE_INHERITED = re.compile(
    r"(cleansat|dtr|eo|fmask|gqa|landsat|s2cloudless|sat|sentinel):.*|mission"
)
"""Properties that masks took over from scenes until `INHERITED` limited them."""

_ANGLE = re.compile(r"(view|eo|s2):.*(azimuth|elevation|zenith|angle|nadir)")
"""Properties of a scene that are degrees."""

_SATELLITE = re.compile(r"eo:(platform|constellation)")
"""Properties of a scene that name the satellite."""

_SENTINEL_2 = re.compile(r"(sentinel[-_ ]?|s)2[-_ ]?[a-d]?", re.IGNORECASE)
"""How its name is written."""

_STAMP = re.compile(r"S2[A-Z]_.*?(\d{8}T\d{6})")
"""When a scene was acquired, in the name of ESA's product."""

_VERSION = re.compile(
    r"\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9.]+)?", re.IGNORECASE
)
"""The version of a package, as PyPA's PEP 440 wants it."""

_EXTENSION = re.compile(
    r"https://stac-extensions\.github\.io/([a-z-]+)/v\d+\.\d+\.\d+/schema\.json"
)
"""The address of an extension of STAC."""

_LEEWAY = datetime.timedelta(days=1)
"""By how much times may differ that are not of the same thing."""


_ROUNDED = datetime.timedelta(seconds=1)
"""By how much one time may differ in two documents."""


def look_at_files(evidence: Evidence) -> str:
    """Return what is right about the files: they are those of a product, no others, and as written.

    Verdicts of reviewers stand beside them and are no part of the product.

    Raises
    ------
    WrongError
        Naming what is missing, changed or too much.
    """
    product = evidence.product
    lines = product.read(SUMS).decode("utf-8", "replace").removesuffix("\n").split("\n")
    parsed = [_LINE.fullmatch(line) for line in lines]
    if None in parsed:
        strange = lines[parsed.index(None)]
        raise WrongError(f"{product.name}{SUMS} has a line that is no checksum: {strange!r}")
    listed = {match[2]: match[1] for match in parsed if match}
    if len(listed) < len(lines):
        raise WrongError(f"{product.name}{SUMS} names a file twice")
    own = {f"{product.name}{part}" for part in PARTS}
    there = {name for name in product.folder.entries() if not name.endswith(VERDICT)}
    present = own & there
    faults = {
        "not listed": own - listed.keys(),
        "listed, but no part of a mask": listed.keys() - own,
        "missing": own - there,
        "not as written": {
            name for name in present & listed.keys() if product.folder.sha1(name) != listed[name]
        },
        "no part of the mask": there - own - {f"{product.name}{SUMS}"},
        "a link out of the folder": {name for name in present if product.folder.leaves(name)},
    }
    if said := [f"{what}: {', '.join(sorted(names))}" for what, names in faults.items() if names]:
        raise WrongError("; ".join(said))
    return f"{len(listed)} files match their checksums, and there are no others"


def look_at_identity(evidence: Evidence) -> str:
    """Return what is right about the id: it follows from the processing record.

    Raises
    ------
    WrongError
        If it does not.
    """
    product, record = evidence.product, evidence.record
    source, algorithm, model = record["scene"]["id"], dict(record["algorithm"]), record["model"]
    name, version = algorithm.pop("name"), str(algorithm.pop("version"))
    if name != ALGORITHM:
        raise WrongError(f"the algorithm is {name!r}, and not {ALGORITHM!r}")
    if (lineage := _plain_lineage(evidence.document)) != {"level2": [source]}:
        raise WrongError(f"the lineage names {lineage}, the processing record {source}")
    pixel = abs(product.grid.resolution.x)
    offset = record["offset"].get("stated", record["offset"]["value"])
    expected = derived_id(
        UUID(source), model["name"], model["sha256"], algorithm, pixel, offset, version
    )  # fmt: skip
    if product.id != expected:
        raise WrongError(
            f"the id is {product.id}; from scene, model and parameters follows {expected}"
        )
    return f"the id {product.id} follows from scene, model and parameters"


def _plain_lineage(document: Mapping[str, Any]) -> dict[str, list[str]]:
    return {key: [str(each) for each in ids] for key, ids in document["lineage"].items()}


def look_at_documents(evidence: Evidence) -> str:
    """Return what is right about the documents: each is what follows from the others, the model and the grid.

    Raises
    ------
    WrongError
        Naming each value that is another.
    UnprovenError
        If the model is not here, or a document has the form that an older version wrote.
    """
    faults: list[Fault] = []
    for look in (_eo3, wrong_times, _record, wrong_index, wrong_scene):
        faults += look(evidence)
    try:
        for derived in (_derived_record, _derived_item):
            for fault in derived(evidence):  # one by one, for those before an error count too
                faults.append(fault)
    except UnprovenError as error:
        faults += [error, *_agreement(evidence)]
    for kind in (WrongError, UnprovenError):
        if said := [str(each) for each in faults if isinstance(each, kind)]:
            raise kind("; ".join(dict.fromkeys(said)))
    text = "EO3, STAC and the processing record are valid, and follow from each other and the model"
    doubt = recorded_doubt(evidence.record)
    return f"{text}. They tell of a doubt: {doubt}" if doubt else text


def _eo3(evidence: Evidence) -> Iterator[Fault]:
    from eodatasets3.validate import Level, validate_dataset

    document, name = evidence.document, evidence.product.name
    for message in validate_dataset(dict(document), product_definition(MASK_PRODUCT)):
        if message.level == Level.error:
            yield WrongError(f"EO3: {message.reason}")
    derived: dict[str, Any] = {
        "$schema": "https://schemas.opendatacube.org/dataset",
        "id": evidence.product.id,
        "label": name,
        "product": {"name": MASK_PRODUCT},
        "measurements": {layer: {"path": f"{name}_{layer}.tif"} for layer in LAYERS},
        "accessories": {
            "thumbnail": {"path": f"{name}{THUMBNAIL}"},
            "metadata:processor": {"path": f"{name}{RECORD}"},
            "checksum:sha1": {"path": f"{name}{SUMS}"},
        },
        "lineage": {"level2": [evidence.record["scene"]["id"]]},
    }
    elsewhere = ("crs", "geometry", "grids", "properties")  # compared with pixels and record
    found = {key: value for key, value in document.items() if key not in elsewhere}
    for path, expected, value in differences(derived, found):
        yield WrongError(f"{path} is {value} in EO3, and not {expected}")
    if name != (expected := mask_label(evidence.product.id, evidence.dataset)):
        yield WrongError(f"the label is {name}; from region, day and id follows {expected}")
    if list(document["grids"]) != ["default"]:
        yield WrongError(f"EO3 has the grids {', '.join(document['grids'])}, and not default alone")
    if strange := document["grids"]["default"].keys() - {"shape", "transform"}:
        yield WrongError(f"the grid in EO3 has {', '.join(sorted(strange))}, which is none of it")
    yield from _form_of_geometry(document["geometry"], "EO3")


def _form_of_geometry(geometry: Mapping[str, Any], where: str) -> Iterator[Fault]:
    """What makes a geometry none of GeoJSON, though libraries read it."""
    from shapely.geometry import mapping, shape

    if set(geometry) != {"type", "coordinates"}:
        yield WrongError(f"the geometry in {where} has {', '.join(map(str, geometry))}")
    elif differs(mapping(shape(geometry)), geometry):
        yield WrongError(f"the geometry in {where} is none of GeoJSON: its rings are not closed")


def wrong_times(evidence: Evidence) -> Iterator[Fault]:
    """What cannot be true of the times."""
    properties = evidence.dataset.properties
    moment, made = (_aware(properties[key]) for key in ("datetime", "odc:processing_datetime"))
    if not moment - _LEEWAY < made < datetime.datetime.now(datetime.UTC) + _LEEWAY:
        yield WrongError(f"odc:processing_datetime is {made}, before the scene or in the future")
    scene = evidence.product.scene
    of_scene = None if scene is None else acquisition_time(scene.properties)
    if of_scene is not None and abs(_aware(of_scene) - moment) > _ROUNDED:
        yield WrongError(f"datetime is {moment}, and that of the scene in the datacube {of_scene}")
    if properties.get("cleansat:datetime_placeholder"):
        return
    for name in (
        evidence.record["scene"]["label"],
        *(properties.get(key) for key in PRODUCT_NAMES),
    ):
        if name and (stamp := _STAMP.match(str(name))):
            told = datetime.datetime.strptime(stamp[1], "%Y%m%dT%H%M%S")
            if abs(_aware(told) - moment) > _LEEWAY:
                yield WrongError(f"datetime is {moment}, and the scene is {name}")


def _aware(moment: datetime.datetime) -> datetime.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _record(evidence: Evidence) -> Iterator[Fault]:
    """What the processing record says that no mask can have."""
    record, whole = evidence.record, evidence.product.record
    if strange := whole.keys() - {"cleansat", "software_versions"}:
        yield WrongError(
            f"the processing record has {', '.join(sorted(strange))}, which is none of it"
        )
    for key in ("id", "label", "product"):
        if not isinstance(value := record["scene"][key], str):
            yield WrongError(f"the {key} of the scene is {value!r:.50} in the processing record")
    named = [each["name"] for each in whole["software_versions"]]
    if named != [*SOFTWARE, "eodatasets3"]:
        yield UnprovenError(f"the processing record has the versions of {', '.join(named)}")
    for each in whole["software_versions"]:
        if each.keys() != {"name", "url", "version"}:
            yield WrongError(f"the processing record has {', '.join(each)} of a package")
        if not _VERSION.fullmatch(str(each["version"])):
            yield WrongError(
                f"the version of {each['name']} is {each['version']!r} in the processing record"
            )
        if each["url"] != software_url(each["name"]):
            yield WrongError(f"the address of {each['name']} is {each['url']}")
    engine, bands = record["engine"], record["scene"]["bands"]
    try:
        check_engine(str(engine["name"]), str(engine["precision"]))
    except ModelError as error:
        yield WrongError(str(error))
    told = re.fullmatch(r"(\S+:processing_baseline) is (.*)", record["offset"]["source"])
    if told and (baseline := evidence.document["properties"].get(told[1], MISSING)) != told[2]:
        yield WrongError(f"{told[1]} is {baseline} in EO3, {told[2]} in the processing record")
    if not re.fullmatch(r"3\.\d+\.\d+((a|b|rc)\d+)?\+?", str(record["python"])):
        yield WrongError(f"python is {record['python']!r} in the processing record")
    if not re.fullmatch(r"[\w.-]{1,64}", str(record.get("run", "none"))):
        yield WrongError(f"the run is {record['run']!r} in the processing record")
    if not bands:
        yield UnprovenError("the processing record does not say where the scene is")
    elif lacking := set(record["model"]["bands"]) - set(bands):
        yield WrongError(f"the processing record lacks the bands {', '.join(sorted(lacking))}")


def wrong_index(evidence: Evidence) -> Iterator[Fault]:
    """What an index says otherwise than the file."""
    from datacube.utils import jsonify_document

    if evidence.indexed is None:
        return
    for key in ("crs", "grids", "measurements", "properties"):
        written, indexed = (
            jsonify_document({key: each.get(key)}) for each in (evidence.document, evidence.indexed)
        )
        for path, expected, found in differences(written, indexed):
            yield WrongError(f"{path} is {expected} in EO3, {found} in the index")


def _derived_record(evidence: Evidence) -> Iterator[Fault]:
    """What differs from the processing record and the properties that follow from model, scene and grid."""
    record, properties, grid = evidence.record, evidence.document["properties"], evidence.grid
    # All that only the mask itself could tell is in the provenance; the rest has to follow.
    follows = processing_record(evidence.provenance, abs(grid.affine.a)) | {
        "python": record["python"]
    }
    for path, expected, found in differences(follows, record):
        yield WrongError(f"{path} is {found} in the processing record, and not {expected}")
    stated = stated_properties(grid, evidence.provenance) | {
        "odc:processing_datetime": properties["odc:processing_datetime"],
        "odc:dataset_version": evidence.versions.get("odc-cleansat"),
    }
    told = {key: properties.get(key, MISSING) for key in stated}
    for path, expected, found in differences(stated, told):
        yield WrongError(f"{path} is {found} in EO3, {expected} in the processing record")
    of_pixels = pixel_properties(np.ones(1, "uint8"), evidence.model.classes)
    yield from wrong_sizes(evidence, properties)
    sizes = {f"cleansat:{name}_bytes" for name in evidence.document["measurements"]}
    for key in sorted(properties.keys() - stated.keys() - of_pixels.keys() - sizes):
        value = properties[key]
        if _ANGLE.fullmatch(key) and not _is_angle(value):
            yield UnprovenError(f"{key} is {value!r:.50}, which is no angle")
        if _SATELLITE.fullmatch(key) and not _SENTINEL_2.fullmatch(str(value)):
            yield UnprovenError(f"{key} is {value!r:.50}, which is not as Sentinel-2 is called")
        if _ONCE_INHERITED.fullmatch(key) and not INHERITED.fullmatch(key):
            yield UnprovenError(f"{key} is of the scene, as masks of older versions had it")
        elif not INHERITED.fullmatch(key):
            yield WrongError(f"{key} is no property of a mask")


def _is_angle(value: Any) -> bool:
    """Return whether a value is a number of degrees; some scenes have it as text."""
    try:
        return isinstance(value, int | float | str) and abs(float(value)) <= 360
    except ValueError:
        return False


def wrong_sizes(evidence: Evidence, properties: Mapping[str, Any]) -> Iterator[Fault]:
    """Sizes of layers that differ from those of the files. Masks of older versions do not say them."""
    there = evidence.product.folder.files()
    for name, each in evidence.document["measurements"].items():
        size = properties.get(key := f"cleansat:{name}_bytes", MISSING)
        if size is not MISSING and size != there.get(each["path"]):
            yield WrongError(f"{key} is {size}, and the file has {there.get(each['path'])}")


def _derived_item(evidence: Evidence) -> Iterator[Fault]:
    """What differs from the STAC item that follows from the EO3 document and the model."""
    product = evidence.product
    versions = {name: evidence.versions.get(name, "") for name in SOFTWARE}
    follows = stac_item(
        evidence.dataset, f"{product.name}{DOCUMENT}", evidence.grid, evidence.model, versions
    )
    item = dict(product.stac_item)
    form = ("stac_version", "stac_extensions")
    if other := [key for key in form if differs(follows[key], item.get(key, MISSING))]:
        yield from _strange_form(item, follows)
        raise UnprovenError(
            f"{' and '.join(other)} of the STAC item are others than this version writes, so it is not compared"
        )
    told, wanted = (
        {key: each.pop(key) for key in ("geometry", "bbox")} for each in (item, follows)
    )
    yield from _form_of_geometry(told["geometry"], "STAC")
    yield from _footprint(evidence, told, wanted)
    for path, expected, found in differences(follows, item):
        yield WrongError(
            f"{path.removeprefix('properties.')} is {expected} in EO3, {found} in STAC"
        )


def _strange_form(item: Mapping[str, Any], follows: Mapping[str, Any]) -> Iterator[Fault]:
    """What no version of this package has written of the form of an item."""
    version, extensions = (item.get(key) for key in ("stac_version", "stac_extensions"))
    if not re.fullmatch(r"1\.\d+\.\d+", str(version)):
        yield WrongError(f"stac_version is {version} in STAC")
    if not isinstance(extensions, list) or not extensions:
        yield WrongError("STAC names no extensions")
        return
    known = {
        match[1] for each in follows["stac_extensions"] if (match := _EXTENSION.fullmatch(each))
    }
    for each in extensions:
        match = _EXTENSION.fullmatch(str(each))
        if match is None or match[1] not in known:
            yield WrongError(f"STAC names {each}, which is no extension of a mask")


def _footprint(
    evidence: Evidence, told: dict[str, Any], follows: dict[str, Any]
) -> Iterator[Fault]:
    """What is wrong with the footprint in STAC. It is a MultiPolygon at the antimeridian since 0.1."""
    if _same_place(told, follows):
        return
    once = Geometry(evidence.dataset.geometry, evidence.dataset.crs).to_crs("EPSG:4326", math.inf)
    if not _same_place(told, {"geometry": once.json, "bbox": list(once.boundingbox)}):
        yield WrongError("the footprint in STAC is not that of EO3")
    elif once.boundingbox.span_x > 180:
        yield WrongError(
            "the footprint in STAC goes around the Earth, as older versions wrote it; make the mask again"
        )
    else:
        yield UnprovenError("the footprint in STAC has the form that older versions wrote")


def _same_place(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two items have one footprint, to a millionth of a degree."""
    from shapely.geometry import shape

    here, there = (np.asarray(each["bbox"], dtype=float) for each in (one, other))
    return (
        here.shape == there.shape
        and bool(np.allclose(here, there, rtol=0, atol=1e-6))
        and bool(shape(one["geometry"]).equals_exact(shape(other["geometry"]), 1e-6))
    )


def _agreement(evidence: Evidence) -> Iterator[Fault]:
    """What EO3, STAC and the processing record say differently, where the model is not here."""
    document, item, record = evidence.document, evidence.product.stac_item, evidence.record
    if item["id"] != str(document["id"]):
        yield WrongError(f"the id is {document['id']} in EO3, {item['id']} in STAC")
    for name in LAYERS:
        path = document["measurements"][name]["path"]
        if item["assets"].get(name, {}).get("href") != path:
            yield WrongError(f"{name} is the file {path} in EO3, another in STAC")
    properties = document["properties"]
    recorded = {
        "model": record["model"]["name"],
        "model_version": record["model"]["version"],
        "weights_sha256": record["model"]["sha256"],
        "engine": record["engine"]["name"],
        "precision": record["engine"]["precision"],
        "offset": record["offset"]["value"],
        "offset_source": record["offset"]["source"],
        **({"run": record["run"]} if "run" in record else {}),
        **({"reflectance_doubt": doubt} if (doubt := recorded_doubt(record)) else {}),
    }
    for name, value in recorded.items():
        if (said := properties.get(f"cleansat:{name}", MISSING)) != value:
            yield WrongError(f"cleansat:{name} is {said} in EO3, {value} in the processing record")
    for name, value in item["properties"].items():
        if name.startswith("cleansat:") and (said := properties.get(name, MISSING)) != value:
            yield WrongError(f"{name} is {said} in EO3, {value} in STAC")
