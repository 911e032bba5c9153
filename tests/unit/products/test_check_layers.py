"""Overviews have to follow from the pixels; `test_verification.py` tries the other faults of layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio

from odc_cleansat.products.check_layers import look_at_layers
from odc_cleansat.products.evidence import Evidence, WrongError
from odc_cleansat.products.job import MaskJob
from odc_cleansat.products.product import MaskProduct
from odc_cleansat.scenes.read import read_scene
from odc_cleansat.storage.cog import Raster, write_cog
from odc_cleansat.synthetic.scene import SimulatedScene
from unit.products.helpers import one, stored


def test_overviews_of_other_pixels(tmp_path: Path, fast_network: None) -> None:
    scene = SimulatedScene(shape=(540, 540), seed=1).write(tmp_path / "scene")
    folder = Path(MaskJob.of_scene(read_scene(str(scene)), tmp_path).run()).parent
    assert "two cloud-optimised GeoTIFFs" in look_at_layers(Evidence(MaskProduct(folder)))
    path = one(folder, "*_ucl.tif")
    with rasterio.open(path) as file:
        assert file.overviews(1) == [2]
    mask = stored(folder)
    path.unlink()
    write_cog(Raster({"": mask.ucl}, 0, overviews="nearest", smallest_overview=128), path)
    assert (stored(folder).ucl == mask.ucl).all()
    with pytest.raises(WrongError, match="the overview of ucl by 2 is not that of its pixels"):
        look_at_layers(Evidence(MaskProduct(folder)))
