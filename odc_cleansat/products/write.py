"""Write a mask product: COGs, EO3 document, STAC item, processing record, thumbnail and checksums."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from ..classes import CloudClass
from ..errors import OutputError, SceneError
from ..grids.footprint import data_footprint
from ..storage.atomic import working_folder
from ..storage.cog import Raster, write_cog
from ..storage.eo3 import MASK_PRODUCT, allow_own_properties
from ..storage.folder import Folder
from ..storage.reader import strange_values
from ..threads import available_cpus
from .identity import mask_folder, mask_label
from .product import DOCUMENT, SUMS, MaskProduct
from .provenance import (
    Provenance,
    mask_properties,
    processing_record,
    software,
    software_url,
)
from .stac_item import write_stac_item

if TYPE_CHECKING:
    import xarray as xr
    from eodatasets3 import DatasetAssembler


_LARGEST_THUMBNAIL = 512
"""Most pixels along a side of a thumbnail."""

_SMALLEST_OVERVIEW = 128
"""Least side of the smallest overview, pixels."""


def write_mask(
    mask: xr.Dataset, provenance: Provenance, dataset_id: UUID, root: Folder | Path | str
) -> Path | str:
    """Write a mask as an ODC dataset: complete or not at all.

    Everything is written to a hidden folder first. On this machine the folder is then renamed. To a store
    the files are uploaded one by one, the checksums and then the document last. A damaged product that is
    there already stays until each of its files is replaced.

    Parameters
    ----------
    mask
        ``ucl`` and ``ucl_confidence``, dims ``(y, x)``, uint8, nodata 0 and 255, from
        :func:`~odc_cleansat.classify`.
    provenance
        How the mask was made, and from what.
    dataset_id
        Id of the mask; see :func:`mask_id`.
    root
        Folder for products: a path, or a URL such as ``s3://bucket/prefix``. A folder is made if it is
        missing; a bucket is not.

    Returns
    -------
    Path or str
        The EO3 document of the mask. Another program may have written it meanwhile.

    Raises
    ------
    SceneError
        If no pixel has data.
    OutputError
        If the mask cannot be written.
    """
    if not (mask.ucl != CloudClass.NODATA).any():
        raise SceneError("no pixel of the scene has data, so there is no mask to write.")
    root = Folder(root)
    target = root / mask_folder(dataset_id, provenance.source)
    document = target.file(mask_label(dataset_id, provenance.source) + DOCUMENT)

    def make(folder: Path) -> Path:
        written = _assemble(mask, provenance, dataset_id, folder)
        write_stac_item(written, mask.odc.geobox, provenance.model)
        return written

    deliver(root, target, make)
    return document


def deliver(root: Folder, target: Folder, make: Callable[[Path], Path]) -> None:
    """Put a product into its folder: complete or not at all, and not if it is there already.

    Parameters
    ----------
    root
        Folder for products.
    target
        Folder of the product below it.
    make
        Writes all files but the checksums into a folder, and returns the EO3 document.

    Raises
    ------
    OutputError
        If the product cannot be written.
    """
    if MaskProduct(target).is_intact():
        return
    beside = root.path or Path(tempfile.gettempdir())
    try:
        beside.mkdir(parents=True, exist_ok=True)
        with working_folder(beside) as work:
            written = make(work)
            sums = _write_sums(written)
            written.parent.chmod(0o777 & ~_umask())
            if not MaskProduct(target).is_intact():
                target.deliver(written.parent, last=[sums.name, written.name])
    except OSError as error:
        if not MaskProduct(target).is_intact():
            raise OutputError(
                f"cannot write the mask to {target}: {error.strerror or error}. "
                "Check the space and the permissions there; nothing was left behind."
            ) from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _assemble(mask: xr.Dataset, provenance: Provenance, dataset_id: UUID, folder: Path) -> Path:
    """Write all files but the STAC item with eodatasets3."""
    from eodatasets3 import DatasetAssembler, namer
    from eodatasets3.model import DatasetDoc
    from eodatasets3.properties import Eo3Dict

    source, geobox = provenance.source, mask.odc.geobox
    with allow_own_properties(), strange_values("the metadata of the scene", SceneError):
        properties = Eo3Dict(mask_properties(mask, provenance))
        document = DatasetDoc(id=dataset_id, properties=properties)
        # Named before the assembler asks, or it would look up the producer in a list of its own.
        names = namer(properties, conventions="default")
    names.product_name = MASK_PRODUCT
    names.product_uri = None
    names.dataset_label = names.dataset_folder = mask_label(dataset_id, source)
    with allow_own_properties(), DatasetAssembler(folder, dataset=document, names=names) as package:
        # It would hide the error that is raised at that moment, which says more.
        warnings.filterwarnings("ignore", message="Closing assembler without finishing")
        package.add_source_dataset(
            source,
            classifier="level2",
            auto_inherit_properties=False,  # the mask takes its own choice; see `mask_properties`
        )
        package.geometry = data_footprint(mask.ucl.values != CloudClass.NODATA, geobox).geom
        add_layers(package, mask)
        for name, version in software().items():
            package.note_software_version(name, software_url(name), version)
        record = processing_record(provenance, abs(geobox.affine.a))
        package.extend_user_metadata("cleansat", record)
        _, path = package.done()
    return Path(path)


def add_layers(package: DatasetAssembler, mask: xr.Dataset) -> None:
    """Write the layers and the thumbnail.

    Parameters
    ----------
    package
        The product under way.
    mask
        ``ucl`` and ``ucl_confidence``, dims ``(y, x)``, uint8.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    from eodatasets3.images import GridSpec
    from rasterio.crs import CRS

    geobox = mask.odc.geobox
    grid = GridSpec(tuple(geobox.shape), geobox.affine, CRS.from_wkt(geobox.crs.to_wkt()))
    folder = package._work_path  # there is no public name for it
    label = package.names.dataset_label
    paths = {name: folder / f"{label}_{name}.tif" for name in ("ucl", "ucl_confidence")}
    with ThreadPoolExecutor(min(len(paths), available_cpus()), "cleansat") as pool:
        # Compressing a layer and halving it for overviews takes one processor.
        list(pool.map(lambda name: write_layer(mask[name], paths[name]), paths))
    for name, path in paths.items():
        package.note_measurement(name, path, grid=grid, expand_valid_data=False)
        # Every look at a product in a store compares them.
        package.properties[f"cleansat:{name}_bytes"] = path.stat().st_size
    path = folder / package.names.thumbnail_filename(suffix="png")
    _write_thumbnail(thumbnail(mask.ucl.values), path)
    package.note_thumbnail(path)


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


def thumbnail(codes: np.ndarray) -> np.ndarray:
    """Return the classes in their colours, as a small picture.

    Parameters
    ----------
    codes
        Dims ``(y, x)``, uint8 :class:`CloudClass` codes.

    Returns
    -------
    numpy.ndarray
        Dims ``(3, y, x)``, uint8: red, green and blue.
    """
    step = -(-max(codes.shape) // _LARGEST_THUMBNAIL)
    colours = np.zeros((256, 3), dtype="uint8")
    for c in CloudClass:
        colours[c] = [int(c.colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.moveaxis(colours[codes[::step, ::step]], -1, 0)


def _write_thumbnail(picture: np.ndarray, path: Path) -> None:
    """Write red, green and blue as a PNG."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    count, height, width = picture.shape
    form = {"driver": "PNG", "count": count, "height": height, "width": width, "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **form) as file:
            file.write(picture)


def _write_sums(document: Path) -> Path:
    """Write the checksums of all files beside the document, instead of those of eodatasets3."""
    path = document.with_name(document.name.replace(DOCUMENT, SUMS))
    names = sorted(p.name for p in document.parent.iterdir() if p != path)
    folder = Folder(document.parent)
    path.write_text("".join(f"{folder.sha1(name)}\t{name}\n" for name in names), encoding="utf-8")
    return path
