"""Masks that other dates have refined: their id, their lineage, and how they are written.

They are a product of their own. A refined mask names the mask it was, and the masks and scenes of all dates that it
was compared with. Its id follows from all of these.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID, uuid5

import xarray as xr

from .._version import __version__
from ..classes import CloudClass
from ..errors import SceneError
from ..grids.footprint import data_footprint
from ..masks.time_rules import DAYS
from ..models.registry import get_model
from ..storage.eo3 import REFINED_PRODUCT, allow_own_properties
from ..storage.folder import Folder
from .identity import mask_folder, mask_label
from .product import DOCUMENT
from .provenance import inherited, pixel_properties, software, software_url
from .stac_item import write_stac_item
from .write import add_layers, deliver

if TYPE_CHECKING:
    from eodatasets3 import DatasetDoc

ALGORITHM = "odc-cleansat-time"
VERSION = "2"
"""Counts up when the same masks and scenes give other classes than before."""

_NAMESPACE = UUID("6f34c6f4-13d6-43c0-8e4e-42b6c13203af")

_OF_THE_MASK = (
    "model", "model_version", "weights_sha256", "engine", "precision", "offset", "offset_source", "light",
    "reflectance_doubt",
)  # fmt: skip
"""Properties ``cleansat:...`` that a refined mask takes over from the mask that it was."""


@dataclass(frozen=True)
class Refinement:
    """Which mask was refined, and by what."""

    source: DatasetDoc
    """The EO3 document of the scene."""

    mask: Mapping[str, Any]
    """The EO3 document of the mask."""

    references: Sequence[tuple[UUID, UUID]]
    """The scenes of the other dates and their masks, by id."""

    hindsight: bool
    """Whether later dates counted too."""

    @property
    def id(self) -> UUID:
        """The id of the refined mask, the same wherever and whenever it is made."""
        return refined_id(
            UUID(str(self.mask["id"])), (mask for _, mask in self.references), self.hindsight
        )

    @property
    def folder(self) -> Path:
        """The folder of the refined mask below the root."""
        return Path(REFINED_PRODUCT, *mask_folder(self.id, self.source).parts[1:-1], self.label)

    @property
    def label(self) -> str:
        """Its name for people, which its files have too."""
        _, _, rest = mask_label(self.id, self.source).partition("_ucl_")
        return f"{REFINED_PRODUCT}_{rest}"

    def record(self) -> dict[str, Any]:
        """Return all that it takes to make the mask again, and to compute its id again."""
        return {
            "algorithm": {
                "name": ALGORITHM,
                "version": VERSION,
                "days": DAYS,
                "hindsight": self.hindsight,
            },
            "scene": {
                "id": str(self.source.id),
                "product": self.source.product.name,
                "label": self.source.label,
            },
            "mask": str(self.mask["id"]),
            "references": [
                {"scene": str(scene), "mask": str(mask)} for scene, mask in self.references
            ],
        }


class Dates(Protocol):
    """The scenes and masks of the dates of a refined mask, where they are known."""

    @property
    def how(self) -> Refinement:
        """Which mask is refined, and by what."""

    def masks(self) -> xr.Dataset:
        """Return the refined mask: ``ucl`` and ``ucl_confidence``, dims ``(y, x)``, uint8."""


def refined_by(hindsight: bool) -> str:
    """Return how documents name the dates that counted: later ones too, or earlier ones alone."""
    return "hindsight" if hindsight else "earlier"


def refined_id(mask: UUID, references: Iterable[UUID], hindsight: bool) -> UUID:
    """Return the id of a refined mask.

    Parameters
    ----------
    mask
        Id of the mask that is refined; its scene, model and grid follow from it.
    references
        Ids of the masks of the other dates, in any order; their scenes follow from them.
    hindsight
        Whether later dates count too.
    """
    others = sorted(map(str, references))
    return uuid5(
        _NAMESPACE, "\n".join([ALGORITHM, VERSION, refined_by(hindsight), str(mask), *others])
    )


def write_refined(mask: xr.Dataset, how: Refinement, root: Folder | Path | str) -> Path | str:
    """Write a refined mask as an ODC dataset: complete or not at all.

    Parameters
    ----------
    mask
        ``ucl`` and ``ucl_confidence``, dims ``(y, x)``, uint8, nodata 0 and 255. The confidence is 255 also where the
        class is not that of the network.
    how
        Which mask was refined, and by what.
    root
        Folder for products: a path, or a URL such as ``s3://bucket/prefix``.

    Returns
    -------
    Path or str
        The EO3 document.

    Raises
    ------
    SceneError
        If no pixel has data.
    ModelError
        If the model of the mask is not known here.
    OutputError
        If the mask cannot be written.
    """
    if not (mask.ucl != CloudClass.NODATA).any():
        raise SceneError("no pixel of the mask has data, so there is none to write.")
    model = get_model(how.mask["properties"]["cleansat:model"])
    classes = tuple(sorted({*model.classes, CloudClass.THIN_CLOUD}))
    root = Folder(root)
    target = root / how.folder

    def make(folder: Path) -> Path:
        written = _assemble(mask, how, classes, folder)
        write_stac_item(written, mask.odc.geobox, replace(model, classes=classes))
        return written

    deliver(root, target, make)
    return target.file(how.label + DOCUMENT)


def _assemble(
    mask: xr.Dataset, how: Refinement, classes: Sequence[CloudClass], folder: Path
) -> Path:
    """Write all files but the STAC item with eodatasets3."""
    from eodatasets3 import DatasetAssembler, namer
    from eodatasets3.model import DatasetDoc
    from eodatasets3.properties import Eo3Dict

    with allow_own_properties():
        properties = Eo3Dict(_properties(mask, how, classes))
        document = DatasetDoc(id=how.id, properties=properties)
        names = namer(properties, conventions="default")
    names.product_name, names.product_uri = REFINED_PRODUCT, None
    names.dataset_label = names.dataset_folder = how.label
    with allow_own_properties(), DatasetAssembler(folder, dataset=document, names=names) as package:
        warnings.filterwarnings("ignore", message="Closing assembler without finishing")
        package.add_source_dataset(how.source, classifier="level2", auto_inherit_properties=False)
        package.note_source_datasets("mask", str(how.mask["id"]))
        scenes, masks = zip(*how.references, strict=True)
        package.note_source_datasets("reference_scene", *map(str, scenes))
        package.note_source_datasets("reference_mask", *map(str, masks))
        package.geometry = data_footprint(
            mask.ucl.values != CloudClass.NODATA, mask.odc.geobox
        ).geom
        add_layers(package, mask)
        for name, version in software().items():
            package.note_software_version(name, software_url(name), version)
        package.extend_user_metadata("cleansat", how.record())
        _, path = package.done()
    return Path(path)


def _properties(mask: xr.Dataset, how: Refinement, classes: Sequence[CloudClass]) -> dict[str, Any]:
    """Return the properties of the EO3 document."""
    of_mask = how.mask["properties"]
    taken = {f"cleansat:{name}" for name in _OF_THE_MASK} | {"eo:gsd"}
    return {
        **inherited(how.source.properties),
        **{key: of_mask[key] for key in sorted(taken) if key in of_mask},
        "datetime": how.source.properties["datetime"],
        "odc:processing_datetime": datetime.now(UTC).replace(microsecond=0),
        "odc:producer": "odc-cleansat.org",
        "odc:product_family": "ucl",
        "odc:file_format": "GeoTIFF",
        "odc:dataset_version": __version__,
        "cleansat:scene": str(how.source.id),
        "cleansat:mask": str(how.mask["id"]),
        "cleansat:refined": refined_by(how.hindsight),
        "cleansat:reference_dates": len(how.references),
        **pixel_properties(mask.ucl.values, classes),
    }
