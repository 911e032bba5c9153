"""The accessor ``cleansat`` of Datasets and DataArrays: ``data.cleansat.classify()``, ``.mask()`` and ``.compare()``.

It is there as soon as both xarray and this package are imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    from .masks.presets import Preset
    from .review.comparison import Comparison


class CleansatAccessor:
    """Masks of the scene that a Dataset, or a DataArray with a dimension ``band``, holds.

    Parameters
    ----------
    scene
        Dims ``([time,] y, x)``, digital numbers or reflectance; see :func:`~odc_cleansat.classify`.
    """

    def __init__(self, scene: xr.Dataset | xr.DataArray) -> None:
        self._scene = scene

    def classify(self, **options: Any) -> xr.Dataset:
        """Label cloud and shadow.

        Parameters
        ----------
        **options
            See :func:`~odc_cleansat.classify`, which this is.

        Returns
        -------
        xarray.Dataset
            With the dims of the scene: ``ucl``, uint8 :class:`~odc_cleansat.CloudClass` codes, nodata 0, and what else is
            asked for.
        """
        from .masks.classify import classify

        return classify(self._scene, **options)

    def mask(self, preset: str | Preset = "balanced", **options: Any) -> xr.Dataset | xr.DataArray:
        """Return the scene with cloud and shadow as nodata.

        Parameters
        ----------
        preset
            How cautious the mask is.
        **options
            See :func:`~odc_cleansat.mask_clouds`, which this is.

        Returns
        -------
        xarray.Dataset or xarray.DataArray
            The scene, with the same dims. Integer bands have their nodata value where cloud is, floating-point ones NaN.
        """
        from .masks.hide import mask_clouds

        return mask_clouds(self._scene, preset, **options)

    def compare(self, **options: Any) -> Comparison:
        """Compare masks of the scene by eye. Where the scene has no ``ucl`` and none is given, it is computed first.

        Parameters
        ----------
        **options
            See :func:`~odc_cleansat.review.compare`, which this is.

        Returns
        -------
        Comparison
            Jupyter shows it as a picture; its `save` writes PNG, PDF or HTML.
        """
        from .review.comparison import compare

        if "ucl" not in options and "ucl" not in getattr(self._scene, "data_vars", ()):
            options["ucl"] = self.classify()
        return compare(self._scene, **options)


for _register in (xr.register_dataset_accessor, xr.register_dataarray_accessor):
    _register("cleansat")(CleansatAccessor)  # type: ignore[no-untyped-call]
