"""The id of a refined mask, and what is said of one that was changed."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID, uuid5

import pytest

from odc_cleansat.errors import SceneError
from odc_cleansat.products.refined import Refinement, refined_id, write_refined

from .helpers import grid

ONE, TWO, THREE = (uuid5(UUID(int=0), name) for name in ("one", "two", "three"))


def test_the_id_follows_from_the_masks_of_all_dates_in_any_order() -> None:
    found = refined_id(ONE, [TWO, THREE], hindsight=True)
    assert found == refined_id(ONE, [THREE, TWO], hindsight=True)
    others = {
        refined_id(TWO, [ONE, THREE], hindsight=True),
        refined_id(ONE, [TWO], hindsight=True),
        refined_id(ONE, [TWO, THREE], hindsight=False),
    }
    assert len(others | {found}) == 4


def test_the_id_is_the_same_for_ever() -> None:
    assert str(refined_id(ONE, [TWO], hindsight=True)) == "369d0cc5-ed78-5863-ab4b-c09982670a9a"


def test_an_empty_mask_is_not_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    import numpy as np
    import xarray as xr
    from odc.geo.xr import wrap_xr

    empty = wrap_xr(np.zeros((1, 1), "uint8"), grid(), nodata=0)
    how = Refinement(SimpleNamespace(), {"id": str(ONE)}, [], hindsight=True)  # type: ignore[arg-type]
    with pytest.raises(SceneError, match="no pixel of the mask has data"):
        write_refined(xr.Dataset({"ucl": empty}), how, tmp_path)
