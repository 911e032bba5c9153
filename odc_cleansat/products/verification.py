"""`verify`: check that a mask product is what it says it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from odc.geo.geobox import GeoBox

from ..classes import CONFIDENCE_NODATA, CloudClass, class_percent
from ..errors import CleansatError, ModelError, SceneError
from ..masks.classify import classify
from ..models.engines import Engine, get_engine
from ..models.model import Model
from ..models.registry import get_model
from ..models.weights import sha256_of
from ..scenes.files import BandFile, open_bands
from ..storage.eo3 import MASK_PRODUCT, product_definition
from .identity import derived_id
from .product import DOCUMENT, SUMS, MaskProduct, MaskProductError, parse_sums
from .provenance import software

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


SAME = 0.9999
"""Least share of equal pixels where engine, precision and their versions are the product's own."""

SIMILAR = 0.995
"""Least share of equal pixels where engine, precision or versions are others. Only sure pixels count."""

SURE = 70
"""Percent of confidence from which on a pixel is sure.

In bf16 up to 3 % of the pixels of a hazy scene get another class. Nearly all of them are less sure
(`benchmarks/precision.py`)."""

CHECKS = ("files", "documents", "identity", "layers", "pixels")
"""Names of the checks, in their order."""

_ROUNDING = 0.011
"""Percent by which a rounded share in the document may differ from the pixels."""


@dataclass(frozen=True)
class Check:
    """The result of one check of a product."""

    name: str
    """One of :data:`CHECKS`."""

    right: bool | None
    """Whether nothing is wrong; None where the check could not be made."""

    detail: str
    """What was found, for people."""


@dataclass(frozen=True)
class Verification:
    """The results of all checks of one product."""

    product: str
    """Path or URL of its folder."""

    checks: tuple[Check, ...]
    """In the order of :data:`CHECKS`."""

    equal: float | None = None
    """Share of the pixels that came out equal when the mask was made again, 0 to 1; else None."""

    @property
    def right(self) -> bool:
        """Whether nothing is wrong. A check that could not be made does not count."""
        return all(check.right is not False for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return the results as a document for JSON."""
        return {"right": self.right, **asdict(self)}


class _WrongError(Exception):
    """A check fails."""


class _UnknownError(Exception):
    """A check cannot be made."""


def verify(place: MaskProduct | Path | str, *, pixels: bool = True) -> Verification:
    """Check that a mask product is whole and true.

    The files are compared with their checksums, the documents with EO3 and each other. The id is
    computed again from the processing record. The layers are read. The pixels are made again from the scene.

    Parameters
    ----------
    place
        The product, or path or URL of its folder or document.
    pixels
        Whether to make the mask again, which takes as long as the first time.

    Returns
    -------
    Verification
        One :class:`Check` for each of :data:`CHECKS`.

    Raises
    ------
    OutputError
        If a store cannot be reached.
    """
    product = place if isinstance(place, MaskProduct) else MaskProduct(place)
    checks = [
        _run_check(name, look, product)
        for name, look in (
            ("files", _look_at_files),
            ("documents", _look_at_documents),
            ("identity", _look_at_identity),
            ("layers", _look_at_layers),
        )
    ]
    equal: list[float] = []
    if pixels:
        checks.append(_run_check("pixels", lambda each: _look_at_pixels(each, equal), product))
    else:
        checks.append(Check("pixels", None, "not asked for"))
    return Verification(str(product.folder), tuple(checks), equal[0] if equal else None)


def _run_check(name: str, look: Callable[[MaskProduct], str], product: MaskProduct) -> Check:
    try:
        return Check(name, True, look(product))
    except (_WrongError, MaskProductError) as error:
        return Check(name, False, str(error))
    except _UnknownError as error:
        return Check(name, None, str(error))
    except CleansatError:
        raise
    except Exception as error:  # a document with unexpected content can raise any error
        return Check(name, False, f"a document is not as it should be: {error!r}")


# The checks: each returns what is right, or raises an error.


def _look_at_files(product: MaskProduct) -> str:
    listed = parse_sums(product.read(SUMS))
    if f"{product.name}{DOCUMENT}" not in listed:
        raise _WrongError(f"{product.name}{SUMS} does not list the document")
    missing, changed = [], []
    for name, expected in listed.items():
        try:
            if product.folder.sha1(name) != expected:
                changed.append(name)
        except (FileNotFoundError, IsADirectoryError):
            missing.append(name)
    if missing or changed:
        faults = [f"missing: {', '.join(missing)}"] * bool(missing)
        faults += [f"not as written: {', '.join(changed)}"] * bool(changed)
        raise _WrongError("; ".join(faults))
    return f"{len(listed)} files match their checksums"


def _look_at_documents(product: MaskProduct) -> str:
    wrong = [*_eo3_errors(product.document), *_disagreements(product)]
    if wrong:
        raise _WrongError("; ".join(wrong))
    return "EO3, STAC and the processing record are valid and agree"


def _look_at_identity(product: MaskProduct) -> str:
    record = product.record["cleansat"]
    (source,) = product.document["lineage"]["level2"]
    algorithm = dict(record["algorithm"])
    if algorithm.pop("name") is None or source != record["scene"]["id"]:
        raise _WrongError(
            f"the lineage names {source}, the processing record {record['scene']['id']}"
        )
    version = str(algorithm.pop("version"))
    model = record["model"]
    pixel = abs(product.grid.resolution.x)
    expected = derived_id(
        UUID(source), model["name"], model["sha256"], algorithm, pixel, record["offset"]["value"], version
    )  # fmt: skip
    if product.id != expected:
        raise _WrongError(
            f"the id is {product.id}; from scene, model and parameters follows {expected}"
        )
    return f"the id {product.id} follows from scene, model and parameters"


def _look_at_layers(product: MaskProduct) -> str:
    codes, percent = _layer(product, "ucl"), _layer(product, "ucl_confidence")
    known = {CloudClass.NODATA.label: CloudClass.NODATA} | {c.label: c for c in CloudClass}
    allowed = {0, *(known[label] for label in product.record["cleansat"]["model"]["classes"])}
    if strange := set(np.unique(codes).tolist()) - {int(c) for c in allowed}:
        raise _WrongError(f"ucl holds codes that its model does not give: {sorted(strange)}")
    if not np.array_equal(codes == CloudClass.NODATA, percent == CONFIDENCE_NODATA):
        raise _WrongError("ucl and ucl_confidence have no data at different pixels")
    if (percent[percent != CONFIDENCE_NODATA] > 100).any():
        raise _WrongError("ucl_confidence is above 100 percent")
    data = 100 * float(np.mean(codes != CloudClass.NODATA))
    found = {"cleansat:data_percent": data} | {
        f"cleansat:{c.label}_percent": share for c, share in class_percent(codes).items()
    }
    for name, value in found.items():
        written = product.properties.get(name)
        if written is not None and not abs(written - value) < _ROUNDING:
            raise _WrongError(f"{name} is {value:.2f} in the pixels, {written} in the document")
    return f"two cloud-optimised GeoTIFFs on the document's grid, {data:.1f} % with data"


def _layer(product: MaskProduct, name: str) -> np.ndarray:
    """Pixels of a measurement, after a look at its file."""
    from rasterio.errors import RasterioError

    try:
        with product.open_layer(name) as opened:
            _check_raster(opened, name, product.grid)
            values: np.ndarray = opened.read(1)
    except RasterioError as error:
        raise _WrongError(f"{name} cannot be read: {error}") from error
    return values


def _check_raster(file: DatasetReader, name: str, grid: GeoBox) -> None:
    """Refuse a file that is no COG, or not on the grid or of the type of the document."""
    expected = {"ucl": CloudClass.NODATA, "ucl_confidence": CONFIDENCE_NODATA}[name]
    if file.count != 1 or file.dtypes != ("uint8",) or file.nodata != expected:
        raise _WrongError(f"{name} is not one layer of uint8 with nodata {int(expected)}")
    if GeoBox.from_rio(file) != grid:
        raise _WrongError(f"{name} is not on the grid that the document says")
    # GDAL says COG only of files that nobody has changed since they were laid out so.
    cog = file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    tile = max(file.block_shapes[0])
    if not cog or tile > 1024 or (min(file.shape) > 1024 and not file.overviews(1)):
        raise _WrongError(f"{name} is no cloud-optimised GeoTIFF, or was changed after it was one")


def _eo3_errors(document: Mapping[str, Any]) -> Iterator[str]:
    from eodatasets3.validate import Level, validate_dataset

    for message in validate_dataset(dict(document), product_definition(MASK_PRODUCT)):
        if message.level == Level.error:
            yield f"EO3: {message.reason}"


def _disagreements(product: MaskProduct) -> Iterator[str]:
    """Describe what EO3, STAC and the processing record say differently."""
    document, item, record = product.document, product.stac_item, product.record["cleansat"]
    if item["id"] != document["id"]:
        yield f"the id is {document['id']} in EO3, {item['id']} in STAC"
    files = {name: each["path"] for name, each in document["measurements"].items()}
    for name, path in files.items():
        if item["assets"].get(name, {}).get("href") != path:
            yield f"{name} is the file {path} in EO3, another in STAC"
    properties = document["properties"]
    recorded = {
        "model": record["model"]["name"],
        "model_version": record["model"]["version"],
        "weights_sha256": record["model"]["sha256"],
        "engine": record["engine"]["name"],
        "precision": record["engine"]["precision"],
        "offset": record["offset"]["value"],
        "offset_source": record["offset"]["source"],
    }
    for name, value in recorded.items():
        if (said := properties[f"cleansat:{name}"]) != value:
            yield f"cleansat:{name} is {said} in EO3, {value} in the processing record"
    for name, value in item["properties"].items():
        if name.startswith("cleansat:") and properties.get(name) != value:
            yield f"{name} is {properties.get(name)} in EO3, {value} in STAC"


def _look_at_pixels(product: MaskProduct, equal: list[float]) -> str:
    """Make the mask again and compare it. The share of equal pixels goes into `equal`."""
    again, engine = _make_again(product)
    same = again == _layer(product, "ucl")
    equal.append(float(np.mean(same)))
    text = f"{100 * equal[-1]:.4f} % of the pixels are equal when the mask is made again"
    if engine == _engine_version(product.record["cleansat"]["engine"], product.record):
        share, least = equal[-1], SAME
        text += " in the same way"
    else:
        # Pixels without data have the confidence 255, and must be the same in any case.
        sure = _layer(product, "ucl_confidence") >= SURE
        text += f" with {engine['name']} in {engine['precision']}"
        if not sure.any():
            raise _UnknownError(f"{text}, and the mask is sure of none of them")
        share, least = float(np.mean(same[sure])), SIMILAR
        text += f", and {100 * share:.4f} % of those of which it is at least {SURE} % sure"
    if share < least:
        raise _WrongError(
            f"{text}; that is less than {100 * least:g} %: the scene has changed since, or the mask "
            "is not of it"
        )
    return text


def _make_again(product: MaskProduct) -> tuple[np.ndarray, dict[str, str]]:
    """Classes from the scene's files as the product names them, and the engine that made them."""
    record = product.record["cleansat"]
    files = {name: BandFile(**each) for name, each in record["scene"]["bands"].items()}
    if not files:
        raise _UnknownError("the product does not say where its scene is")
    try:
        model, engine = _model_again(record)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the offset, which is the product's own
            mask = classify(
                open_bands(files),
                model=model,
                geobox=product.grid,
                offset=record["offset"]["value"],
                engine=engine.name,
                precision=engine.precision,
            )
    except (ModelError, SceneError, OSError) as error:
        raise _UnknownError(f"the mask cannot be made again here: {error}") from error
    here = [{"name": name, "version": version} for name, version in software().items()]
    used = {"name": engine.name, "precision": engine.precision}
    return mask.ucl.values, _engine_version(used, {"software_versions": here})


def _model_again(record: Mapping[str, Any]) -> tuple[Model, Engine]:
    """The model of a processing record, with an engine as near to the recorded one as can be had."""
    model = get_model(record["model"]["name"])
    if sha256_of(model) != record["model"]["sha256"]:
        raise _UnknownError(f"the weights of {model.name} here are not those of the product")
    model = model.with_parameters(record["algorithm"])
    wanted = record["engine"]
    try:
        return model, get_engine(model, wanted["name"], wanted["precision"])
    except ModelError:  # not on this processor
        return model, get_engine(model, wanted["name"])


def _engine_version(engine: Mapping[str, str], record: Mapping[str, Any]) -> dict[str, str]:
    """Engine and precision, and the version of the package of that name."""
    versions = {each["name"]: each["version"] for each in record["software_versions"]}
    return {**engine, "version": versions.get(engine["name"], "")}
