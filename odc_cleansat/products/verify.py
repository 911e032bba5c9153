"""`verify`: is a mask product what it says it is?"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import yaml
from odc.geo.geobox import GeoBox

from ..classes import CONFIDENCE_NODATA, CloudClass, class_percent
from ..errors import CleansatError, ModelError, SceneError
from ..scenes.files import BandFile
from ..storage.eo3 import MASK_PRODUCT, product_definition
from ..storage.folder import Folder, split_file
from ..storage.settings import gdal_settings
from .identity import derived_id
from .product import DOCUMENT, SUMS, read_sums
from .write import software

if TYPE_CHECKING:
    import xarray as xr


SAME = 0.9999
"""Least share of equal pixels where engine, precision and their versions are the product's own."""

SIMILAR = 0.995
"""And where they are others, of the pixels of whose class the mask is this sure; they may turn the others at will."""

SURE = 70
"""Percent of confidence. In bf16 up to 3 % of the pixels of a hazy scene get another class, nearly all of them below
this (`benchmarks/precision.py`)."""

CHECKS = ("files", "documents", "identity", "layers", "pixels")
"""What is looked at, in this order."""


@dataclass(frozen=True)
class Check:
    """What one look at a product has shown."""

    name: str
    """One of :data:`CHECKS`."""

    right: bool | None
    """None where it could not be looked at."""

    detail: str
    """What was found, for people."""


@dataclass(frozen=True)
class Verification:
    """What is right and wrong with one product."""

    product: str
    """Path or URL of its folder."""

    checks: tuple[Check, ...]
    """In the order of :data:`CHECKS`."""

    equal: float | None = None
    """Share of the pixels that came out equal when the mask was made again, 0 to 1."""

    @property
    def right(self) -> bool:
        """Whether nothing is wrong. What could not be looked at does not count."""
        return all(check.right is not False for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"right": self.right, **asdict(self)}


class _Wrong(Exception):
    """A check fails."""


class _Unknown(Exception):
    """A check cannot be made."""


def verify(place: Path | str, *, pixels: bool = True) -> Verification:
    """Check that a mask product is whole and true.

    Its files against their checksums; its documents against EO3 and each other; its id, computed again from
    what it says of its making; its layers; and its pixels, made again from the scene.

    Parameters
    ----------
    place
        Path or URL of the product's folder or document.
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
    product = _Product(place)
    equal: list[float] = []
    checks: dict[str, Callable[[], str]] = {
        "files": product.check_files,
        "documents": product.check_documents,
        "identity": product.check_identity,
        "layers": product.check_layers,
        "pixels": lambda: _check_pixels(product, equal),
    }
    if not pixels:
        checks["pixels"] = _not_asked
    done = tuple(_look(name, check) for name, check in checks.items())
    return Verification(str(product.folder), done, equal[0] if equal else None)


def _look(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except _Wrong as error:
        return Check(name, False, str(error))
    except _Unknown as error:
        return Check(name, None, str(error))
    except CleansatError:
        raise
    except (
        Exception
    ) as error:  # what a document makes that is not as it should be, it may be anything
        return Check(name, False, f"a document is not as it should be: {error!r}")


def _not_asked() -> str:
    raise _Unknown("not asked for")


class _Product:
    """The parts of a product, read when they are needed."""

    def __init__(self, place: Path | str) -> None:
        if str(place).endswith(DOCUMENT):
            self.folder, document = split_file(place)
            self.label: str | None = document.removesuffix(DOCUMENT)
        else:
            self.folder = Folder(place)
            labels = {n.removesuffix(s) for n in self.folder.files() for s in (DOCUMENT, SUMS) if n.endswith(s)}  # fmt: skip
            self.label = labels.pop() if len(labels) == 1 else None
        self._read: dict[str, Any] = {}

    def text(self, suffix: str) -> bytes:
        if self.label is None:
            raise _Wrong("there is no document, or several; a product was not finished here")
        try:
            return self.folder.read(self.label + suffix)
        except FileNotFoundError:
            raise _Wrong(f"{self.label}{suffix} is missing") from None

    def _parsed(self, suffix: str, parse: Callable[[bytes], Any]) -> Any:
        if suffix not in self._read:
            try:
                self._read[suffix] = parse(self.text(suffix))
            except (yaml.YAMLError, ValueError) as error:
                raise _Wrong(f"{self.label}{suffix} cannot be read: {error}") from error
        return self._read[suffix]

    @property
    def document(self) -> dict[str, Any]:
        return self._parsed(DOCUMENT, yaml.safe_load)  # type: ignore[no-any-return]

    @property
    def item(self) -> dict[str, Any]:
        return self._parsed(".stac-item.json", json.loads)  # type: ignore[no-any-return]

    @property
    def record(self) -> dict[str, Any]:
        return self._parsed(".proc-info.yaml", yaml.safe_load)  # type: ignore[no-any-return]

    @property
    def grid(self) -> GeoBox:
        from affine import Affine

        grid = self.document["grids"]["default"]
        return GeoBox(grid["shape"], Affine(*grid["transform"][:6]), self.document["crs"])

    def layer(self, name: str) -> np.ndarray:
        """Pixels of a measurement, after a look at its file."""
        import rasterio
        from rasterio.errors import RasterioError

        file = self.folder.file(self.document["measurements"][name]["path"])
        try:
            with gdal_settings(str(file)), rasterio.open(file) as opened:
                _check_raster(opened, name, self.grid)
                values: np.ndarray = opened.read(1)
        except RasterioError as error:
            raise _Wrong(f"{name} cannot be read: {error}") from error
        return values

    # --- checks ---

    def check_files(self) -> str:
        listed = read_sums(self.text(SUMS))
        if f"{self.label}{DOCUMENT}" not in listed:
            raise _Wrong(f"{self.label}{SUMS} does not list the document")
        missing, changed = [], []
        for name, expected in listed.items():
            try:
                if self.folder.sha1(name) != expected:
                    changed.append(name)
            except (FileNotFoundError, IsADirectoryError):
                missing.append(name)
        if missing or changed:
            said = [f"missing: {', '.join(missing)}"] * bool(missing)
            said += [f"not as written: {', '.join(changed)}"] * bool(changed)
            raise _Wrong("; ".join(said))
        return f"{len(listed)} files match their checksums"

    def check_documents(self) -> str:
        wrong = [*_eo3_errors(self.document), *_disagreements(self)]
        if wrong:
            raise _Wrong("; ".join(wrong))
        return "EO3, STAC and the processing record are valid and agree"

    def check_identity(self) -> str:
        record, found = self.record["cleansat"], UUID(self.document["id"])
        (source,) = self.document["lineage"]["level2"]
        algorithm = dict(record["algorithm"])
        if algorithm.pop("name") is None or source != record["scene"]["id"]:
            raise _Wrong(
                f"the lineage names {source}, the processing record {record['scene']['id']}"
            )
        version = str(algorithm.pop("version"))
        model = record["model"]
        pixel = abs(self.grid.resolution.x)
        expected = derived_id(
            UUID(source), model["name"], model["sha256"], algorithm, pixel, record["offset"]["value"], version
        )  # fmt: skip
        if found != expected:
            raise _Wrong(f"the id is {found}; from scene, model and parameters follows {expected}")
        return f"the id {found} follows from scene, model and parameters"

    def check_layers(self) -> str:
        codes, percent = self.layer("ucl"), self.layer("ucl_confidence")
        known = {CloudClass.NODATA.label: CloudClass.NODATA} | {c.label: c for c in CloudClass}
        allowed = {0, *(known[label] for label in self.record["cleansat"]["model"]["classes"])}
        if strange := set(np.unique(codes).tolist()) - {int(c) for c in allowed}:
            raise _Wrong(f"ucl holds codes that its model does not give: {sorted(strange)}")
        if not np.array_equal(codes == CloudClass.NODATA, percent == CONFIDENCE_NODATA):
            raise _Wrong("ucl and ucl_confidence have no data at different pixels")
        if (percent[percent != CONFIDENCE_NODATA] > 100).any():
            raise _Wrong("ucl_confidence is above 100 percent")
        properties = self.document["properties"]
        data = 100 * float(np.mean(codes != CloudClass.NODATA))
        found = {"cleansat:data_percent": data} | {
            f"cleansat:{c.label}_percent": share for c, share in class_percent(codes).items()
        }
        for name, value in found.items():
            if name in properties and not abs(properties[name] - value) < 0.011:
                raise _Wrong(
                    f"{name} is {value:.2f} in the pixels, {properties[name]} in the document"
                )
        return f"two cloud-optimised GeoTIFFs on the document's grid, {data:.1f} % with data"


def _check_raster(file: Any, name: str, grid: GeoBox) -> None:
    """Refuse a file that is no COG, or not on the grid or of the type of the document."""
    expected = {"ucl": CloudClass.NODATA, "ucl_confidence": CONFIDENCE_NODATA}[name]
    if file.count != 1 or file.dtypes != ("uint8",) or file.nodata != expected:
        raise _Wrong(f"{name} is not one layer of uint8 with nodata {int(expected)}")
    if GeoBox.from_rio(file) != grid:
        raise _Wrong(f"{name} is not on the grid that the document says")
    # GDAL says COG only of files that nobody has changed since they were laid out so.
    cog = file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
    tile = max(file.block_shapes[0])
    if not cog or tile > 1024 or (min(file.shape) > 1024 and not file.overviews(1)):
        raise _Wrong(f"{name} is no cloud-optimised GeoTIFF, or was changed after it was one")


def _eo3_errors(document: Mapping[str, Any]) -> Iterator[str]:
    from eodatasets3.validate import Level, validate_dataset

    for message in validate_dataset(dict(document), product_definition(MASK_PRODUCT)):
        if message.level == Level.error:
            yield f"EO3: {message.reason}"


def _disagreements(product: _Product) -> Iterator[str]:
    """What the three documents say differently."""
    document, item, record = product.document, product.item, product.record["cleansat"]
    if item["id"] != document["id"]:
        yield f"the id is {document['id']} in EO3, {item['id']} in STAC"
    files = {name: each["path"] for name, each in document["measurements"].items()}
    for name, path in files.items():
        if item["assets"].get(name, {}).get("href") != path:
            yield f"{name} is the file {path} in EO3, another in STAC"
    said = document["properties"]
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
        if said[f"cleansat:{name}"] != value:
            yield f"cleansat:{name} is {said[f'cleansat:{name}']} in EO3, {value} in the processing record"
    for name, value in item["properties"].items():
        if name.startswith("cleansat:") and said.get(name) != value:
            yield f"{name} is {said.get(name)} in EO3, {value} in STAC"


def _check_pixels(product: _Product, equal: list[float]) -> str:
    """Make the mask again and compare; the share of equal pixels goes into `equal`."""
    made, engine = _made_again(product)
    same = made == product.layer("ucl")
    equal.append(float(np.mean(same)))
    said = f"{100 * equal[-1]:.4f} % of the pixels are equal when the mask is made again"
    if engine == _engine(product.record["cleansat"]["engine"], product.record):
        share, least = equal[-1], SAME
        said += " in the same way"
    else:
        # No data are 255 there, and have to be the same in any case.
        sure = product.layer("ucl_confidence") >= SURE
        said += f" with {engine['name']} in {engine['precision']}"
        if not sure.any():
            raise _Unknown(f"{said}, and the mask is sure of none of them")
        share, least = float(np.mean(same[sure])), SIMILAR
        said += f", and {100 * share:.4f} % of those of which it is at least {SURE} % sure"
    if share < least:
        raise _Wrong(
            f"{said}; that is less than {100 * least:g} %: the scene has changed since, or the mask is not of it"
        )
    return said


def _made_again(product: _Product) -> tuple[np.ndarray, dict[str, str]]:
    """The classes, from the scene's files as the product names them, and what made them."""
    from ..masks.classify import classify
    from ..models.engines import get_engine
    from ..models.registry import get_model
    from ..models.weights import sha256_of

    record = product.record["cleansat"]
    files = {name: BandFile(**each) for name, each in record["scene"]["bands"].items()}
    if not files:
        raise _Unknown("the product does not say where its scene is")
    wanted = record["engine"]
    try:
        model = get_model(record["model"]["name"])
        if sha256_of(model) != record["model"]["sha256"]:
            raise _Unknown(f"the weights of {model.name} here are not those of the product")
        model = model.with_parameters(record["algorithm"])
        try:
            engine = get_engine(model, wanted["name"], wanted["precision"])
        except ModelError:  # not on this processor
            engine = get_engine(model, wanted["name"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the offset, which is the product's own
            made: xr.Dataset = classify(
                {name: file.open().data for name, file in files.items()},
                model=model,
                geobox=product.grid,
                offset=record["offset"]["value"],
                engine=engine.name,
                precision=engine.precision,
            )
    except (ModelError, SceneError, OSError) as error:
        raise _Unknown(f"the mask cannot be made again here: {error}") from error
    here = [{"name": name, "version": version} for name, version in software().items()]
    how = {"name": engine.name, "precision": engine.precision}
    return made.ucl.values, _engine(how, {"software_versions": here})


def _engine(engine: Mapping[str, str], record: Mapping[str, Any]) -> dict[str, str]:
    """Engine and precision, and the version of the package of that name."""
    versions = {each["name"]: each["version"] for each in record["software_versions"]}
    return {**engine, "version": versions.get(engine["name"], "")}
