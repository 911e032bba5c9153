"""One mask product on disk: COGs, EO3 document, STAC item, provenance and checksums."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import numpy as np

from ._version import __version__
from .classes import CloudClass, class_percent, stac_classes
from .eo3 import own_properties, read_document
from .errors import OutputError, SceneError
from .index import MASK_PRODUCT
from .models import Model
from .reflectance import Offset

if TYPE_CHECKING:
    import xarray as xr
    from eodatasets3 import DatasetDoc

ALGORITHM = "odc-cleansat"
ALGORITHM_VERSION = "1"
"""Raised whenever the same weights and parameters give other classes than before."""

_ODC_NAMESPACE = UUID("6f34c6f4-13d6-43c0-8e4e-42b6c13203af")
_HOMEPAGE = "https://pypi.org/project/{}/"
_SMALLEST_OVERVIEW = 128


@dataclass(frozen=True)
class Provenance:
    """How a mask was made, beyond its source and its model."""

    offset: Offset
    """The radiometric offset, and what decided it."""

    engine: str
    """Which engine ran the network."""

    precision: str
    """In which arithmetic."""


def mask_id(source_id: UUID, model: Model, resolution: float, offset: float) -> UUID:
    """The id of the mask of a scene, the same wherever and whenever it is made.

    Built as odc-stats builds its ids, a uuid5 over the algorithm, its parameters and the
    source. Engine and precision do not count: they change one class in a thousand.

    Parameters
    ----------
    source_id
        Id of the scene's dataset.
    model
        The model, whose name, weights and windows count.
    resolution
        Pixel size of the mask, in units of its coordinate system.
    offset
        Radiometric offset, digital numbers.
    """
    tags = {
        "model": model.name,
        "weights": model.sha256,
        "grid": f"{resolution:g}",
        "offset": f"{offset:g}",
        **model.parameters(),
    }
    lines = [ALGORITHM, ALGORITHM_VERSION, "", *sorted(f"{k}={v}" for k, v in tags.items())]
    return uuid5(_ODC_NAMESPACE, "\n".join(line.lower() for line in [*lines, str(source_id)]))


def mask_folder(dataset_id: UUID, source: DatasetDoc) -> Path:
    """Where a mask is kept, relative to the root: product, region, date, and its id's first digits."""
    region = source.properties.get("odc:region_code") or "no-region"
    day: str = source.properties["datetime"].strftime("%Y/%m/%d")
    return Path(MASK_PRODUCT) / str(region) / day / _label(dataset_id, source)


def _label(dataset_id: UUID, source: DatasetDoc) -> str:
    region = source.properties.get("odc:region_code") or "no-region"
    day = source.properties["datetime"].strftime("%Y-%m-%d")
    return f"{MASK_PRODUCT}_{region}_{day}_{str(dataset_id)[:8]}"


def is_intact(folder: Path) -> bool:
    """Whether a mask product is there and all its files match their checksums."""
    sums = list(folder.glob("*.sha1"))
    if len(sums) != 1:
        return False
    for line in sums[0].read_text(encoding="utf-8").splitlines():
        expected, name = line.split("\t")
        path = folder / name
        if not path.is_file() or hashlib.sha1(path.read_bytes()).hexdigest() != expected:
            return False
    return True


def write_mask(
    mask: xr.Dataset,
    source: DatasetDoc,
    model: Model,
    provenance: Provenance,
    dataset_id: UUID,
    root: Path,
) -> Path:
    """Write a mask as an ODC dataset: complete or not at all.

    Everything is written to a hidden folder beside the target, which is renamed at the end.

    Parameters
    ----------
    mask
        ``ucl`` and ``ucl_confidence``, dims ``(y, x)``, from :func:`~odc_cleansat.classify`.
    source
        The EO3 document of the scene; its id becomes the lineage.
    model, provenance
        How the mask was made.
    dataset_id
        See :func:`mask_id`.
    root
        Folder under which products are kept; made if missing.

    Returns
    -------
    Path
        The EO3 document of the new dataset.

    Raises
    ------
    SceneError
        If no pixel has data.
    OutputError
        If it cannot be written, or is there already.
    """
    if not (mask.ucl != CloudClass.NODATA).any():
        raise SceneError("no pixel of the scene has data, so there is no mask to write.")
    target = root / mask_folder(dataset_id, source)
    if is_intact(target):
        raise OutputError(f"{target} exists already, whole; it is not written again.")
    try:
        if target.exists():  # damaged
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cleansat-", dir=root) as work:
            written = _assemble(mask, source, model, provenance, dataset_id, Path(work))
            _write_stac(written, model)
            written.parent.chmod(0o777 & ~_umask())
            written.parent.rename(target)
    except OSError as error:
        raise OutputError(
            f"cannot write the mask to {target}: {error.strerror or error}. "
            "Check the space and the permissions there; nothing was left behind."
        ) from error
    return target / written.name


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _assemble(
    mask: xr.Dataset,
    source: DatasetDoc,
    model: Model,
    provenance: Provenance,
    dataset_id: UUID,
    folder: Path,
) -> Path:
    """Write COGs, EO3 document, processing record, thumbnail and checksums with eodatasets3."""
    from eodatasets3 import DatasetAssembler, namer
    from eodatasets3.images import GridSpec
    from eodatasets3.model import DatasetDoc as Document
    from eodatasets3.properties import Eo3Dict
    from rasterio.crs import CRS
    from rasterio.enums import Resampling

    with own_properties():
        properties = Eo3Dict(_properties(mask, source, model, provenance))
        document = Document(id=dataset_id, properties=properties)
        # Named before the assembler asks, or it would look the producer up in a list of its own.
        names = namer(properties, conventions="default")
    names.product_name = MASK_PRODUCT
    names.product_uri = None
    names.dataset_label = names.dataset_folder = _label(dataset_id, source)
    geobox = mask.odc.geobox
    grid = GridSpec(tuple(geobox.shape), geobox.affine, CRS.from_wkt(geobox.crs.to_wkt()))
    with own_properties(), DatasetAssembler(folder, dataset=document, names=names) as package:
        package.add_source_dataset(
            source, classifier="level2", auto_inherit_properties=True, inherit_geometry=True
        )
        if package.geometry is None or source.crs != _crs(mask):
            package.geometry = mask.odc.geobox.extent.geom
        for name in ("ucl", "ucl_confidence"):
            package.write_measurement_numpy(
                name,
                mask[name].values,
                grid,
                nodata=mask[name].attrs["nodata"],
                overviews=_overviews(mask.ucl.shape),
                overview_resampling=Resampling.mode,
                expand_valid_data=False,
                # Named here because the conventions would turn the underscore into a hyphen.
                path=Path(f"{names.dataset_label}_{name}.tif"),
            )
        written_to = package._work_path  # there is no public name for it
        thumbnail = written_to / names.thumbnail_filename(suffix="png")
        _write_thumbnail(mask.ucl.values, thumbnail)
        package.note_thumbnail(thumbnail)
        for name in ("odc-cleansat", "datacube", "odc-geo", "openvino", "torch", "rasterio"):
            version = __version__ if name == "odc-cleansat" else metadata.version(name)
            package.note_software_version(name, _HOMEPAGE.format(name), version)
        package.extend_user_metadata("cleansat", _record(model, provenance))
        _, path = package.done()
    return Path(path)


def _write_thumbnail(codes: np.ndarray, path: Path) -> None:
    """The classes in their colours as a PNG of at most 512 pixels a side."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    step = -(-max(codes.shape) // 512)
    small = codes[::step, ::step]
    colours = np.zeros((256, 3), dtype="uint8")
    for c in CloudClass:
        colours[c] = [int(c.colour[i : i + 2], 16) for i in (1, 3, 5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="PNG",
            width=small.shape[1],
            height=small.shape[0],
            count=3,
            dtype="uint8",
        ) as file:
            file.write(np.moveaxis(colours[small], -1, 0))


def _crs(mask: xr.Dataset) -> str:
    epsg = mask.odc.geobox.crs.epsg
    return f"epsg:{epsg}" if epsg else str(mask.odc.geobox.crs.to_wkt())


def _overviews(shape: tuple[int, int]) -> tuple[int, ...]:
    """Halvings down to the size of a thumbnail."""
    return tuple(2**i for i in range(1, 10) if min(shape) // 2**i >= _SMALLEST_OVERVIEW)


def _properties(
    mask: xr.Dataset, source: DatasetDoc, model: Model, provenance: Provenance
) -> dict[str, Any]:
    codes = mask.ucl.values
    percent = class_percent(codes, sorted(model.classes))
    return {
        "datetime": source.properties["datetime"],
        "odc:processing_datetime": datetime.now(timezone.utc).replace(microsecond=0),
        "odc:producer": "odc-cleansat.org",
        "odc:product_family": "ucl",
        "odc:file_format": "GeoTIFF",
        "odc:dataset_version": __version__,
        "cleansat:scene": str(source.id),
        "cleansat:model": model.name,
        "cleansat:model_version": model.version,
        "cleansat:weights_sha256": model.sha256,
        "cleansat:engine": provenance.engine,
        "cleansat:precision": provenance.precision,
        "cleansat:offset": provenance.offset.value,
        "cleansat:offset_source": provenance.offset.source,
        "cleansat:data_percent": round(100 * float(np.mean(codes != CloudClass.NODATA)), 2),
        **{f"cleansat:{c.label}_percent": round(p, 2) for c, p in percent.items()},
        **_inherited(source.properties),
    }


def _inherited(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What the mask says of its scene: eodatasets3 hands on only the properties that it knows."""
    return {
        key: value
        for key, value in properties.items()
        if key.startswith("cleansat:") or key in ("s2:processing_baseline", "eo:gsd")
    }


def _record(model: Model, provenance: Provenance) -> dict[str, Any]:
    return {
        "algorithm": {"name": ALGORITHM, "version": ALGORITHM_VERSION, **model.parameters()},
        "model": {
            "name": model.name,
            "version": model.version,
            "sha256": model.sha256,
            "licence": model.licence,
            "citation": model.citation,
            "bands": list(model.bands),
            "classes": [c.label for c in model.classes],
        },
        "engine": {"name": provenance.engine, "precision": provenance.precision},
        "offset": {"value": provenance.offset.value, "source": provenance.offset.source},
        "python": platform.python_version(),
    }


def _write_stac(document: Path, model: Model) -> None:
    """Add a STAC item beside the EO3 document, all its links relative, and its checksum."""
    from eodatasets3.stac import to_pystac_item

    dataset = read_document(document)
    path = document.with_name(document.name.replace(".odc-metadata.yaml", ".stac-item.json"))
    with warnings.catch_warnings():
        # The collection is that of whoever publishes the product, and is not known here.
        warnings.filterwarnings("ignore", message="No collection provided", category=UserWarning)
        item = to_pystac_item(
            dataset, stac_item_destination_url=path.name, odc_dataset_metadata_url=document.name
        )
    classes = stac_classes([CloudClass.NODATA, *sorted(model.classes)])
    assets = item.assets
    assets["ucl"].extra_fields["classification:classes"] = classes
    assets["ucl"].extra_fields["raster:bands"] = [
        {"nodata": int(CloudClass.NODATA), "data_type": "uint8", "classification:classes": classes}
    ]
    assets["ucl_confidence"].extra_fields["raster:bands"] = [
        {"nodata": 255, "data_type": "uint8", "unit": "percent"}
    ]
    item.stac_extensions += [
        "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
        "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    ]
    text = json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=2)
    path.write_text(text + "\n", encoding="utf-8")
    sums = next(document.parent.glob("*.sha1"))
    lines = [
        *sums.read_text().splitlines(),
        f"{hashlib.sha1(path.read_bytes()).hexdigest()}\t{path.name}",
    ]
    sums.write_text("\n".join(sorted(lines, key=lambda line: line.split("\t")[1])) + "\n")
