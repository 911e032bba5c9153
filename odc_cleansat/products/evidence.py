"""What `verify` looks at: the files of a product, and what follows from them once more."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from odc.geo.geobox import GeoBox

from ..errors import CleansatError, ModelError
from ..masks.light import Light
from ..models.model import Model
from ..models.registry import get_model
from ..models.weights import sha256_of
from ..scenes.offset import Offset
from .identity import ALGORITHM_VERSION, REFINED
from .product import DOCUMENT, ITEM, RECORD, MaskProduct
from .provenance import Provenance, inherited, scene_light
from .refined import Dates
from .scene_files import recorded_files

if TYPE_CHECKING:
    from eodatasets3 import DatasetDoc


LAYERS = ("ucl", "ucl_confidence")
"""Names of the measurements of a mask."""

THUMBNAIL = "_thumbnail.png"
"""How the name of the thumbnail ends."""

PARTS = (DOCUMENT, RECORD, ITEM, THUMBNAIL, *(f"_{name}.tif" for name in LAYERS))
"""How the names of all files of a product end, but for the checksums."""


class WrongError(Exception):
    """A product does not say the truth, or is not whole."""


class UnprovenError(Exception):
    """A statement of a product can be neither proved nor refuted here."""


Fault = WrongError | UnprovenError
"""What a check can find."""


class Evidence:
    """A product that is looked at. Each part is read once, and no file outside its folder.

    Parameters
    ----------
    product
        The product. Of an indexed one the files count, not what the index has.
    fetch_scenes
        Whether to open the files of its scene wherever they are; see :mod:`.scene_files`.
    dates
        Finds the dates of a mask that others have refined, by its processing record.
    """

    def __init__(
        self,
        product: MaskProduct,
        *,
        fetch_scenes: bool = False,
        dates: Callable[[Mapping[str, Any]], Dates] | None = None,
    ) -> None:
        self.indexed = product.document if product.indexed else None
        """The document that the index has; None if the product was not looked up there."""
        self.product = product
        if product.indexed:
            self.product = MaskProduct(str(product.document_file), scene=product.scene)
        self.fetch_scenes = fetch_scenes
        """Whether the files of the scene are opened wherever they are."""
        self._find_dates = dates
        self.equal: float | None = None
        """Share of the pixels that came out equal when the mask was made again; None before."""

    @property
    def document(self) -> Mapping[str, Any]:
        """The EO3 document."""
        return self.product.document

    @property
    def record(self) -> Mapping[str, Any]:
        """The part of the processing record that is this package's own."""
        return self.product.own_record

    @property
    def scene(self) -> Mapping[str, Any] | None:
        """The EO3 document of the scene, where a datacube knows it; else None."""
        return None if self.product.scene is None else self.product.scene.document

    @cached_property
    def versions(self) -> dict[str, str]:
        """The packages that the processing record names, and their versions."""
        return {each["name"]: each["version"] for each in self.product.record["software_versions"]}

    @property
    def grid(self) -> GeoBox:
        """The grid, as the EO3 document says."""
        return self.product.grid

    @cached_property
    def codes(self) -> np.ndarray:
        """The classes, dims ``(y, x)``, uint8."""
        return self._pixels("ucl")

    @cached_property
    def confidence(self) -> np.ndarray:
        """The confidence, dims ``(y, x)``, uint8 percent."""
        return self._pixels("ucl_confidence")

    def check_path(self, name: str) -> None:
        """Raise unless a measurement is the file of the product that it should be.

        Raises
        ------
        WrongError
            If it is another file, which is not opened then.
        """
        path, wanted = (
            self.document["measurements"][name]["path"],
            f"{self.product.name}_{name}.tif",
        )
        if path != wanted:
            raise WrongError(f"the file of {name} is {path} in EO3, and not {wanted}")

    def _pixels(self, name: str) -> np.ndarray:
        from rasterio.errors import RasterioError

        self.check_path(name)
        try:
            with self.product.open_layer(name) as opened:
                values: np.ndarray = opened.read(1)
        except RasterioError as error:
            raise WrongError(f"{name} cannot be read: {error}") from error
        return values

    @cached_property
    def model(self) -> Model:
        """The model of the processing record, with the windows that it had.

        Raises
        ------
        UnprovenError
            If that model is not here, or is another by now.
        """
        record = self.record
        if str(record["algorithm"]["version"]) != ALGORITHM_VERSION:
            raise UnprovenError(
                f"it was made by version {record['algorithm']['version']} of the algorithm; here is "
                f"{ALGORITHM_VERSION}"
            )
        try:
            model = get_model(record["model"]["name"])
            if sha256_of(model) != record["model"]["sha256"]:
                raise UnprovenError(
                    f"the weights of {model.name} here are not those of the product"
                )
            return model.with_parameters(record["algorithm"])
        except ModelError as error:
            raise UnprovenError(f"its model is not here: {error}") from error

    @cached_property
    def provenance(self) -> Provenance:
        """How the mask was made, by the processing record.

        Raises
        ------
        UnprovenError
            As :attr:`model`.
        """
        from eodatasets3.model import DatasetDoc, ProductDoc
        from eodatasets3.properties import Eo3Dict

        record, properties = self.record, self.document["properties"]
        scene = record["scene"]
        times = {"datetime": properties["datetime"]}
        files = recorded_files(record) if scene["bands"] else {}
        source = DatasetDoc(
            id=UUID(scene["id"]),
            product=ProductDoc(name=scene["product"]),
            label=scene["label"],
            properties=Eo3Dict({**inherited(properties), **times}, normalise_input=False),
        )
        return Provenance(
            source=source,
            model=self.model,
            offset=Offset(**record["offset"]),
            bands={name: file for name, file in files.items() if name != "scl"},
            scl=files.get("scl"),
            engine=record["engine"]["name"],
            precision=record["engine"]["precision"],
            run=record.get("run"),
            light=self.light,
            complaint=record.get("complaint"),
        )

    @cached_property
    def light(self) -> Light | None:
        """The light over the scene, as it follows from the properties and the grid; None for a plain mask.

        Raises
        ------
        UnprovenError
            If masks are refined in another way by now.
        """
        refined = {key: self.record["algorithm"].get(key) for key in REFINED}
        if not any(refined.values()):
            return None
        if refined != REFINED:
            raise UnprovenError(f"it was refined by {refined}; here is {REFINED}")
        return scene_light(self.dataset.properties, self.grid)

    @cached_property
    def dates(self) -> Dates:
        """The dates of a mask that others have refined.

        Raises
        ------
        UnprovenError
            If they are not known here.
        """
        if self._find_dates is None:
            raise UnprovenError(
                "it follows from the scenes and masks of several dates, which a datacube has to know: run "
                "`cleansat verify --indexed`"
            )
        try:
            return self._find_dates(self.record)
        except CleansatError as error:
            raise UnprovenError(str(error)) from error

    @cached_property
    def dataset(self) -> DatasetDoc:
        """The EO3 document as eodatasets3 has it, with its lineage."""
        from eodatasets3 import serialise

        from ..storage.eo3 import allow_own_properties

        with allow_own_properties():
            return serialise.from_doc(dict(self.document), skip_validation=True)


def differences(expected: Any, found: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Compare two documents.

    Numbers are equal if they agree to nine digits, since documents round them.

    Parameters
    ----------
    expected, found
        Parts of JSON or YAML documents. Tuples count as lists, times and ids as their texts.
    path
        Where they stand, names with dots between.

    Yields
    ------
    tuple
        The path of a value that differs, the expected value and the one that was found. A value that is
        not there is :data:`MISSING`.
    """
    expected, found = _plain(expected), _plain(found)
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*expected, *found]):
            values = expected.get(key, MISSING), found.get(key, MISSING)
            yield from differences(*values, f"{path}.{key}" if path else str(key))
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, values in enumerate(zip(expected, found, strict=True)):
            yield from differences(*values, f"{path}[{number}]")
    elif not _equal(expected, found):
        yield path, expected, found


def differs(expected: Any, found: Any) -> bool:
    """Return whether two documents differ; see :func:`differences`."""
    return next(differences(expected, found), None) is not None


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()
"""Stands for a value that is not there."""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, datetime.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=datetime.UTC)
        return aware.astimezone(datetime.UTC).isoformat()
    return str(value) if isinstance(value, UUID) else value


def _equal(one: Any, other: Any) -> bool:
    numbers = all(
        isinstance(each, (int, float)) and not isinstance(each, bool) for each in (one, other)
    )
    if numbers:
        return bool(np.isclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True))
    texts = isinstance(one, str) and isinstance(
        other, str
    )  # those of pystac are of classes of its own
    return (texts or type(one) is type(other)) and bool(one == other)
