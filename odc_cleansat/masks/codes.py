"""The codes of a mask that others have made: are they classes of the UCL?"""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..classes import CloudClass
from ..errors import SceneError

_KNOWN = np.isin(np.arange(256), [*CloudClass])
"""Whether each number of a byte is a code."""


def checked_codes(codes: np.ndarray) -> np.ndarray:
    """Return the codes of a mask as they are, if all are classes.

    Parameters
    ----------
    codes
        Any shape, integers.

    Raises
    ------
    SceneError
        If some are no codes of the UCL.
    """
    known = _KNOWN[codes] if codes.dtype == "uint8" else np.isin(codes, [*CloudClass])
    if not known.all():
        strange = sorted({*np.unique(codes).tolist()} - {*CloudClass})
        raise SceneError(
            f"`ucl` holds {', '.join(map(str, strange[:5]))}, which are no codes of the UCL; make it with classify, or bring "
            "classes of others to its codes."
        )
    return codes


def with_checked_codes(ucl: xr.DataArray) -> xr.DataArray:
    """Return a mask whose codes are checked: at once, or of a lazy one when they are computed.

    Parameters
    ----------
    ucl
        Any dims, integers.

    Raises
    ------
    SceneError
        If some are no codes of the UCL.
    """
    if ucl.chunks is None:
        checked_codes(ucl.values)
        return ucl
    data = ucl.data.map_blocks(checked_codes, dtype=ucl.dtype, meta=ucl.data._meta)
    return ucl.copy(data=data)
