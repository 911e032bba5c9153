"""One mask product: COGs, EO3 document, STAC item, provenance and checksums."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import numpy as np

from .._version import __version__
from ..classes import CLOUDS, CONFIDENCE_NODATA, CloudClass, class_percent, stac_classes
from ..errors import OutputError, SceneError
from ..grids.grid import ground_resolution
from ..models.model import Model
from ..models.stac import model_assets, model_properties
from ..models.weights import sha256_of
from ..scenes.offset import PRODUCT_NAMES, Offset
from ..storage.atomic import working_folder
from ..storage.cog import Raster, write_cog
from ..storage.eo3 import MASK_PRODUCT, allow_own_properties, read_document
from ..storage.folder import Folder
from .identity import ALGORITHM, ALGORITHM_VERSION, mask_folder, mask_label
from .product import DOCUMENT, ITEM, SUMS, MaskProduct

if TYPE_CHECKING:
    import xarray as xr
    from eodatasets3 import DatasetDoc
    from eodatasets3.images import GridSpec
    from pystac import Item

    from ..scenes.files import BandFile

_HOMEPAGE = "https://pypi.org/project/{}/"
_SOFTWARE = ("odc-cleansat", "datacube", "odc-geo", "openvino", "torch", "rasterio", "numpy")

_SMALLEST_OVERVIEW = 128
"""Least side of the smallest overview, pixels: that of a thumbnail."""


@dataclass(frozen=True)
class Provenance:
    """How a mask was made, beyond its source and its model."""

    offset: Offset
    """The radiometric offset, and what decided it."""

    engine: str
    """Which engine ran the network."""

    precision: str
    """In which arithmetic."""

    bands: Mapping[str, BandFile] = field(default_factory=dict)
    """The files that were read, by canonical band name."""

    scl: BandFile | None = None
    """The SCL of the scene, which is not read but compared with later."""


def write_mask(
    mask: xr.Dataset,
    source: DatasetDoc,
    model: Model,
    provenance: Provenance,
    dataset_id: UUID,
    root: Folder | Path | str,
) -> Path | str:
    """Write a mask as an ODC dataset: complete or not at all.

    Everything is written to a hidden folder first, beside the target if that is on this machine. It is renamed
    at the end, or uploaded file by file, the list of checksums and then the document last. What is there
    already and damaged stays until each of its files is replaced.

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
        Folder under which products are kept, path or URL such as ``s3://bucket/prefix``; made if missing, but for
        a bucket.

    Returns
    -------
    Path or str
        The EO3 document of the new dataset; of the one that another program has put there meanwhile,
        if it has.

    Raises
    ------
    SceneError
        If no pixel has data.
    OutputError
        If it cannot be written.
    """
    if not (mask.ucl != CloudClass.NODATA).any():
        raise SceneError("no pixel of the scene has data, so there is no mask to write.")
    root = Folder(root)
    target = root / mask_folder(dataset_id, source)
    name = mask_label(dataset_id, source) + DOCUMENT
    if MaskProduct(target).is_intact():
        return target.file(name)
    beside = root.path or Path(tempfile.gettempdir())
    try:
        beside.mkdir(parents=True, exist_ok=True)
        with working_folder(beside) as work:
            written = _assemble(mask, source, model, provenance, dataset_id, work)
            _write_stac(written, mask, model)
            sums = _write_sums(written)
            written.parent.chmod(0o777 & ~_umask())
            if not MaskProduct(target).is_intact():
                target.deliver(written.parent, last=[sums.name, written.name])
    except OSError as error:
        if MaskProduct(target).is_intact():
            return target.file(name)
        raise OutputError(
            f"cannot write the mask to {target}: {error.strerror or error}. "
            "Check the space and the permissions there; nothing was left behind."
        ) from error
    return target.file(name)


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

    with allow_own_properties():
        properties = Eo3Dict(_properties(mask, source, model, provenance))
        document = Document(id=dataset_id, properties=properties)
        # Named before the assembler asks, or it would look the producer up in a list of its own.
        names = namer(properties, conventions="default")
    names.product_name = MASK_PRODUCT
    names.product_uri = None
    names.dataset_label = names.dataset_folder = mask_label(dataset_id, source)
    geobox = mask.odc.geobox
    grid = GridSpec(tuple(geobox.shape), geobox.affine, CRS.from_wkt(geobox.crs.to_wkt()))
    with allow_own_properties(), DatasetAssembler(folder, dataset=document, names=names) as package:
        # Said while an error is on its way, which says more.
        warnings.filterwarnings("ignore", message="Closing assembler without finishing")
        package.add_source_dataset(
            source,
            classifier="level2",
            auto_inherit_properties=True,
            inherit_geometry=True,
            inherit_skip_properties=["eo:cloud_cover", "eo:gsd"],  # a mask has its own
        )
        if package.geometry is None or mask.odc.geobox.crs != source.crs:
            package.geometry = mask.odc.geobox.extent.geom
        written_to = package._work_path  # there is no public name for it
        for name in ("ucl", "ucl_confidence"):
            path = written_to / f"{names.dataset_label}_{name}.tif"
            write_layer(mask[name], path)
            package.note_measurement(name, path, grid=grid, expand_valid_data=False)
        thumbnail = written_to / names.thumbnail_filename(suffix="png")
        _write_thumbnail(mask.ucl.values, thumbnail)
        package.note_thumbnail(thumbnail)
        for name, version in software().items():
            package.note_software_version(name, _HOMEPAGE.format(name), version)
        package.extend_user_metadata("cleansat", _record(source, model, provenance, grid))
        _, path = package.done()
    return Path(path)


def software() -> dict[str, str]:
    """The packages that decide a pixel, and their versions here."""
    return {n: __version__ if n == "odc-cleansat" else metadata.version(n) for n in _SOFTWARE}


def write_layer(layer: xr.DataArray, path: Path) -> None:
    """Write a layer of a mask as a cloud-optimised GeoTIFF, and read it back.

    Overviews are made by mode, down to the size of a thumbnail.

    Parameters
    ----------
    layer
        Dims ``(y, x)``, uint8, with a geobox and the attribute ``nodata``.
    path
        The new file.

    Raises
    ------
    OSError
        If the file cannot be written, or does not hold the layer.
    """
    content = Raster(
        {"": layer},
        layer.attrs["nodata"],
        overviews="mode",
        smallest_overview=_SMALLEST_OVERVIEW,
    )
    write_cog(content, path)


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
        "cleansat:weights_sha256": sha256_of(model),
        "cleansat:engine": provenance.engine,
        "cleansat:precision": provenance.precision,
        "cleansat:offset": provenance.offset.value,
        "cleansat:offset_source": provenance.offset.source,
        "cleansat:data_percent": round(100 * float(np.mean(codes != CloudClass.NODATA)), 2),
        **{f"cleansat:{c.label}_percent": round(p, 2) for c, p in percent.items()},
        "eo:cloud_cover": round(sum(percent.get(c, 0.0) for c in CLOUDS), 2),
        "eo:gsd": round(max(ground_resolution(mask.odc.geobox)), 1),
        **_inherited(source.properties),
    }


def _inherited(properties: Mapping[str, Any]) -> dict[str, Any]:
    """What the mask says of its scene: eodatasets3 hands on only the properties that it knows."""
    return {
        key: value
        for key, value in properties.items()
        if key.startswith("cleansat:")
        or key.endswith(":processing_baseline")
        or key in PRODUCT_NAMES
    }


def _record(
    source: DatasetDoc, model: Model, provenance: Provenance, grid: GridSpec
) -> dict[str, Any]:
    """All that it takes to make the mask again, and to recompute its id."""
    scl = provenance.scl
    return {
        "algorithm": {"name": ALGORITHM, "version": ALGORITHM_VERSION, **model.parameters()},
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
        "offset": {"value": provenance.offset.value, "source": provenance.offset.source},
        "grid": {"resolution": abs(grid.transform.a)},
        "python": platform.python_version(),
    }


def _address(file: BandFile) -> dict[str, Any]:
    return {"uri": _without_query(file.uri), "band": file.band, "nodata": file.nodata}


def _without_query(uri: str) -> str:
    """An address without what may hold a key, as signed URLs do."""
    parts = urlsplit(uri)
    return uri if parts.scheme not in ("http", "https") else urlunsplit((*parts[:3], "", ""))


# --- STAC -----------------------------------------------------------------------------

_EXTENSIONS = {"classification": "2.0.0", "raster": "1.1.0", "mlm": "1.4.0", "processing": "1.2.0"}


def _write_stac(document: Path, mask: xr.Dataset, model: Model) -> None:
    """Add a STAC item beside the EO3 document, all its links relative."""
    from eodatasets3.stac import to_pystac_item

    dataset = read_document(document)
    path = document.with_name(document.name.replace(DOCUMENT, ITEM))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No collection provided", category=UserWarning)
        item = to_pystac_item(
            dataset, stac_item_destination_url=path.name, odc_dataset_metadata_url=document.name
        )
    # A collection would have to be linked to, so whoever publishes the item names it; ODC tools take this.
    item.collection_id = None
    item.properties["odc:product"] = MASK_PRODUCT
    pixel = abs(mask.odc.geobox.resolution.x)
    classes = stac_classes([CloudClass.NODATA, *sorted(model.classes)])
    common = {"data_type": "uint8", "sampling": "area"}
    if not mask.odc.geobox.crs.geographic:
        common["spatial_resolution"] = pixel
    item.assets["ucl"].extra_fields |= {
        "classification:classes": classes,
        "raster:bands": [{"nodata": 0, **common, "classification:classes": classes}],
    }
    item.assets["ucl_confidence"].extra_fields["raster:bands"] = [
        {"nodata": CONFIDENCE_NODATA, "unit": "percent", **common}
    ]
    item.assets |= model_assets(model)
    item.properties |= model_properties(model, [c for c in classes if not c.get("nodata")])
    item.properties["processing:software"] = software()
    _use_extensions(item)
    text = json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def _use_extensions(item: Item) -> None:
    item.stac_extensions += [
        f"https://stac-extensions.github.io/{name}/v{version}/schema.json"
        for name, version in _EXTENSIONS.items()
    ]


def _write_sums(document: Path) -> Path:
    """Checksums of all files beside the document, in the place of those of eodatasets3."""
    path = document.with_name(document.name.replace(DOCUMENT, SUMS))
    names = sorted(p.name for p in document.parent.iterdir() if p != path)
    folder = Folder(document.parent)
    path.write_text("".join(f"{folder.sha1(name)}\t{name}\n" for name in names), encoding="utf-8")
    return path
