"""The provenance of a mask: what its documents say of how it was made."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.geobox import GeoBox

from .._version import __version__
from ..addresses import public_address, public_values
from ..classes import CLOUDS, CloudClass, class_percent
from ..grids.grid import ground_resolution
from ..masks.light import Light
from ..models.model import Model
from ..models.weights import sha256_of
from ..scenes.baseline import PRODUCT_NAMES
from ..scenes.offset import Offset
from .identity import ALGORITHM, ALGORITHM_VERSION, REFINED

if TYPE_CHECKING:
    import xarray as xr
    from eodatasets3 import DatasetDoc

    from ..scenes.files import BandFile

SOFTWARE = ("odc-cleansat", "datacube", "odc-geo", "openvino", "torch", "rasterio", "numpy")

INHERITED = re.compile(
    r"dtr:(start|end)_datetime|eo:(azimuth|constellation|instrument|off_nadir|platform|sun_azimuth|sun_elevation)"
    r"|mission|s2:mean_solar_(azimuth|zenith)|view:(azimuth|incidence_angle|off_nadir|sun_azimuth|sun_elevation)"
    r"|odc:region_code|sat:(absolute_orbit|anx_datetime|orbit_state|platform_international_designator"
    r"|relative_orbit)|(s2|sentinel\d?):(datastrip_id|datatake_start_datetime|grid_square|latitude_band"
    r"|sentinel_tile_id|utm_zone)|\w+:processing_baseline|cleansat:(datetime_placeholder|simulated|source)|"
    + "|".join(PRODUCT_NAMES)
)
"""The properties of a scene that its mask has too. They tell when, where and how the scene was acquired.

What a scene says of its clouds, or of another mask, is not true of this one."""


@dataclass(frozen=True)
class Provenance:
    """How a mask was made, and from what."""

    source: DatasetDoc
    """The EO3 document of the scene; its id becomes the lineage."""

    model: Model
    """The model."""

    offset: Offset
    """The radiometric offset, and what decided it."""

    engine: str
    """Name of the engine that ran the network."""

    precision: str
    """Arithmetic in which the network ran, ``f32`` or ``bf16``."""

    bands: Mapping[str, BandFile] = field(default_factory=dict)
    """The files that were read, by canonical band name."""

    scl: BandFile | None = None
    """The SCL of the scene. It is not read for the mask, but compared with later."""

    run: str | None = None
    """Id of the run that the mask belongs to, as its log names it."""

    light: Light | None = None
    """By which light the mask was refined; None for the network's own answer."""

    complaint: str | None = None
    """What looked wrong with the pixels of the scene; None where nothing did."""

    @property
    def doubt(self) -> str:
        """All that is doubtful about the reflectance, in whole sentences; empty where nothing is."""
        return recorded_doubt({"offset": vars(self.offset), "complaint": self.complaint})


def software() -> dict[str, str]:
    """Return the packages that decide a pixel, and their versions here."""
    return {n: __version__ if n == "odc-cleansat" else metadata.version(n) for n in SOFTWARE}


def software_url(name: str) -> str:
    """Return the address of a package, as processing records have it."""
    if name == "eodatasets3":  # which notes itself
        return "https://github.com/opendatacube/eo-datasets"
    return f"https://pypi.org/project/{name}/"


def mask_properties(mask: xr.Dataset, provenance: Provenance) -> dict[str, Any]:
    """Return the properties of a mask's EO3 document.

    What a scene says of itself never stands in place of what the mask says of itself.

    Parameters
    ----------
    mask
        ``ucl``, dims ``(y, x)``, uint8 :class:`CloudClass` codes, with a geobox.
    provenance
        How the mask was made.
    """
    return {
        **inherited(provenance.source.properties),
        **stated_properties(mask.odc.geobox, provenance),
        **pixel_properties(mask.ucl.values, provenance.model.classes),
    }


def stated_properties(geobox: GeoBox, provenance: Provenance) -> dict[str, Any]:
    """Return the properties of a mask that do not depend on its pixels, nor are inherited.

    Parameters
    ----------
    geobox
        The grid of the mask.
    provenance
        How the mask was made.
    """
    source, model = provenance.source, provenance.model
    return {
        "datetime": source.properties["datetime"],
        "odc:processing_datetime": datetime.now(UTC).replace(microsecond=0),
        "odc:producer": "odc-cleansat.org",
        "odc:product_family": "ucl",
        "odc:file_format": "GeoTIFF",
        "odc:dataset_version": __version__,
        "cleansat:scene": str(source.id),
        "cleansat:model": model.name,
        "cleansat:model_version": model.version,
        "cleansat:weights_sha256": sha256_of(model),
        "cleansat:engine": provenance.engine,
        "cleansat:precision": provenance.precision,
        "cleansat:offset": provenance.offset.value,
        "cleansat:offset_source": provenance.offset.source,
        **({"cleansat:run": provenance.run} if provenance.run else {}),
        **({"cleansat:light": provenance.light.describe()} if provenance.light else {}),
        **({"cleansat:reflectance_doubt": provenance.doubt} if provenance.doubt else {}),
        "eo:gsd": round(max(ground_resolution(geobox)), 1),
    }


def pixel_properties(codes: np.ndarray, classes: Iterable[CloudClass]) -> dict[str, float]:
    """Return the properties of a mask that follow from its pixels.

    Parameters
    ----------
    codes
        Dims ``(y, x)``, uint8 :class:`CloudClass` codes.
    classes
        The classes of the model.

    Returns
    -------
    dict
        Percent, to two digits: of the pixels that have data, and of these in each class.
    """
    percent = class_percent(codes, sorted(classes))
    return {
        "cleansat:data_percent": round(100 * float(np.mean(codes != CloudClass.NODATA)), 2),
        **{f"cleansat:{c.label}_percent": round(p, 2) for c, p in percent.items()},
        "eo:cloud_cover": round(sum(percent.get(c, 0.0) for c in CLOUDS), 2),
    }


def processing_record(provenance: Provenance, resolution: float) -> dict[str, Any]:
    """Return all that it takes to make a mask again, and to compute its id again.

    Parameters
    ----------
    provenance
        How the mask was made.
    resolution
        Pixel size of the mask, in units of its coordinate system.
    """
    source, model, scl = provenance.source, provenance.model, provenance.scl
    parameters = model.parameters() | (REFINED if provenance.light else {})
    record: dict[str, Any] = {
        "algorithm": {"name": ALGORITHM, "version": ALGORITHM_VERSION, **parameters},
        "scene": {
            "id": str(source.id),
            "product": source.product.name,
            "label": source.label,
            "bands": {name: _address(file) for name, file in provenance.bands.items()},
            **({"scl": _address(scl)} if scl else {}),
        },
        "model": {
            "name": model.name,
            "version": model.version,
            "sha256": sha256_of(model),
            "licence": model.licence,
            "citation": model.citation,
            "bands": list(model.bands),
            "classes": [c.label for c in model.classes],
        },
        "engine": {"name": provenance.engine, "precision": provenance.precision},
        "offset": {k: v for k, v in vars(provenance.offset).items() if v is not None},
        **({"light": _light(provenance.light)} if provenance.light else {}),
        **({"complaint": provenance.complaint} if provenance.complaint else {}),
        "grid": {"resolution": resolution},
        "python": platform.python_version(),
        **({"run": provenance.run} if provenance.run else {}),
    }
    found: dict[str, Any] = public_values(record)
    return found


def recorded_doubt(record: Mapping[str, Any]) -> str:
    """Return what a processing record says that is doubtful about the reflectance; empty where nothing is."""
    return " ".join(filter(None, (record["offset"].get("doubt"), record.get("complaint"))))


def inherited(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties of a scene that its mask has too: those of :data:`INHERITED`, without secrets."""
    return {
        key: public_values(value) for key, value in properties.items() if INHERITED.fullmatch(key)
    }


def scene_light(properties: Mapping[str, Any], grid: GeoBox) -> Light:
    """Return the light over a scene, from what its mask inherits, so that it follows from the mask, too.

    Parameters
    ----------
    properties
        Of the scene, or of its mask.
    grid
        The grid of the mask.
    """
    return Light.of(inherited(properties) | {"datetime": properties["datetime"]}, grid)


def _light(light: Light) -> dict[str, Any]:
    return light.angles.as_dict() if light.angles else {"reason": light.reason}


def _address(file: BandFile) -> dict[str, Any]:
    found = {"uri": public_address(file.uri), "band": file.band, "nodata": file.nodata}
    return found if file.scale is None else {**found, "scale": file.scale}
