"""A stranger's raster is read alone: whatever it or its neighbours name, GDAL asks for nothing else."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import RasterioIOError

from odc_cleansat.storage.reader import DocumentError
from odc_cleansat.storage.strangers import careful_settings, open_carefully


@pytest.fixture
def spy() -> Iterator[tuple[str, list[str]]]:
    """The address of a file on a host that answers nothing, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_GET = do_HEAD

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"/vsicurl/http://127.0.0.1:{server.server_port}/secret.tif", asked
    server.shutdown()
    thread.join()
    server.server_close()


def write(path: Path, **tags: str) -> Path:
    profile = {"driver": "GTiff", "height": 512, "width": 512, "count": 1, "dtype": "uint8"}
    place = {"crs": "EPSG:32633", "transform": Affine(10, 0, 399960, 0, -10, 5300040)}
    with rasterio.open(path, "w", **profile, **place) as file:
        file.write(np.full((512, 512), 7, "uint8"), 1)
        if tags:
            file.update_tags(ns="OVERVIEWS", **tags)
    return path


def vrt(address: str, size: int = 512) -> str:
    return (
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI>'
        f'</Metadata><VRTRasterBand dataType="Byte" band="1">'
        f"<SimpleSource><SourceFilename>{address}</SourceFilename><SourceBand>1</SourceBand>"
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )


def a_vrt(folder: Path, address: str) -> Path:
    (folder / "B04.tif").write_text(vrt(address))
    return folder / "B04.tif"


def a_vrt_for_overviews(folder: Path, address: str) -> Path:
    (folder / "B04.tif.ovr").write_text(vrt(address, 256))
    return write(folder / "B04.tif")


def a_vrt_for_a_mask(folder: Path, address: str) -> Path:
    (folder / "B04.tif.msk").write_text(vrt(address))
    return write(folder / "B04.tif")


def a_tag_for_overviews(folder: Path, address: str) -> Path:
    return write(folder / "B04.tif", OVERVIEW_FILE=address)


def a_side_car_for_overviews(folder: Path, address: str) -> Path:
    (folder / "B04.tif.aux.xml").write_text(
        f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{address}</MDI></Metadata></PAMDataset>'
    )
    return write(folder / "B04.tif")


def look(file: rasterio.DatasetReader) -> tuple[int, int, int]:
    """Read the pixels, a coarse picture and the mask of a file."""
    read = [file.read(1), file.read(1, out_shape=(64, 64)), file.read_masks(1)]
    return tuple(int(each.min()) for each in read)


@pytest.mark.parametrize(
    "trap",
    [
        a_vrt,
        a_vrt_for_overviews,
        a_vrt_for_a_mask,
        a_tag_for_overviews,
        a_side_car_for_overviews,
    ],
)
def test_nothing_is_asked_for(
    trap: Callable[[Path, str], Path], tmp_path: Path, spy: tuple[str, list[str]]
) -> None:
    address, asked = spy
    path = trap(tmp_path, address)
    if trap in (a_vrt, a_tag_for_overviews):
        with pytest.raises((RasterioIOError, DocumentError)), open_carefully(str(path)):
            pass
    else:
        with open_carefully(str(path)) as file:
            assert look(file) == (7, 7, 255)
    assert asked == []
    with contextlib.suppress(RasterioIOError), rasterio.open(path) as file:
        look(file)
    assert asked, "the trap does not work, so that this test proves nothing"


def test_the_settings_are_for_other_libraries_too(tmp_path: Path) -> None:
    import rioxarray

    path = str(write(tmp_path / "B04.tif"))
    with careful_settings(path) as options:
        found = rioxarray.open_rasterio(path, **options)
    assert int(found.max()) == 7
    (tmp_path / "B05.tif").write_text(vrt("B04.tif"))
    with pytest.raises(RasterioIOError), careful_settings(str(tmp_path / "B05.tif")):
        pass


def test_pipes_are_refused_and_missing_files_are_missing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    with (
        pytest.raises(DocumentError, match="is a pipe"),
        open_carefully(str(tmp_path / "pipe.tif")),
    ):
        pass
    with pytest.raises(RasterioIOError), open_carefully(str(tmp_path / "nothing.tif")):
        pass
