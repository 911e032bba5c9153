"""Products in ESA's SAFE structure, with real metadata and simulated pixels."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from odc_cleansat.synthetic.scene import SimulatedScene

MANIFEST = """<manifest><dataObjectSection>{}</dataObjectSection></manifest>"""
OBJECT = '<dataObject ID="{}"><byteStream><fileLocation href="./{}"/></byteStream></dataObject>'


def safe(source: Path, folder: Path, scene: SimulatedScene) -> Path:
    """The SAFE structure around the metadata in shared, with simulated pixels.

    The manifest is cut down to what stactools looks for.
    """
    target = folder / source.name
    tree = ElementTree.parse(source / "MTD_MSIL2A.xml")
    images = [str(each.text) for each in tree.iter("IMAGE_FILE")]
    (image_format,) = {each.get("imageFormat") for each in tree.iter("Granule")}
    granule = "/".join(images[0].split("/")[:2])
    (target / granule).mkdir(parents=True)
    shutil.copy(source / "MTD_MSIL2A.xml", target)
    shutil.copy(source / "MTD_TL.xml", target / granule)
    objects = {
        "S2_Level-2A_Product_Metadata": "MTD_MSIL2A.xml",
        "S2_Level-2A_Tile1_Metadata": f"{granule}/MTD_TL.xml",
        "INSPIRE_Metadata": "INSPIRE.xml",
        "S2_Level-2A_Datastrip1_Metadata": "DATASTRIP/MTD_DS.xml",
    }
    text = MANIFEST.format("".join(OBJECT.format(*pair) for pair in objects.items()))
    (target / "manifest.safe").write_text(text, encoding="utf-8")
    pixels = scene.write(folder / "pixels")
    for image in images:
        name, metres = image.split("_")[-2:]
        if (pixels / f"{name}.tif").exists():
            path = target / image
            path.parent.mkdir(parents=True, exist_ok=True)
            _image(pixels / f"{name}.tif", path, image_format == "GeoTIFF", int(metres[:-1]))
    return target


def _image(source: Path, target: Path, tif: bool, metres: int) -> None:
    """One band at one resolution, which need not be its own."""
    with rasterio.open(source) as file:
        values, grid = file.read(1), GeoBox.from_rio(file)
    grid = grid.zoom_to(resolution=metres)
    rows, columns = (
        np.arange(n) * len_ // n for n, len_ in zip(grid.shape, values.shape, strict=True)
    )
    values = values[np.ix_(rows, columns)]
    options = (
        {"driver": "GTiff"}
        if tif
        else {"driver": "JP2OpenJPEG", "quality": 100, "reversible": True}
    )
    path = target.with_name(f"{target.name}.{'tif' if tif else 'jp2'}")
    with rasterio.open(
        path, "w", width=grid.width, height=grid.height, count=1, dtype=values.dtype,
        crs=str(grid.crs), transform=grid.affine, **options,
    ) as file:  # fmt: skip
        file.write(values, 1)


SAFES = {
    "05.09": (
        "S2A_MSIL2A_20230625T234621_N0509_R073_T01WCP_20230626T022157.SAFE",
        SimulatedScene(shape=(240, 300), seed=1, epsg=32601, origin=(300000.0, 7400040.0)),
        "01WCP", -1000,
    ),
    "02.12": (
        "S2A_MSIL2A_20190212T192651_N0212_R013_T07HFE_20201007T160857.SAFE",
        SimulatedScene(shape=(240, 300), seed=1, epsg=32707, origin=(600000.0, 6500040.0), offset=0),
        "07HFE", 0,
    ),
}  # fmt: skip
"""By baseline: name, pixels, tile, and the offset that the metadata tell. One is JPEG 2000 across the antimeridian, one GeoTIFF."""
