"""`UNetMask`: the UCL as a transform of datacube's virtual products.

This is the only module that imports `datacube.virtual`, which datacube 2.0 will no longer have. Then
:func:`odc_cleansat.load` and the reader driver remain.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import sys
import traceback
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from datacube.migration import ODC2DeprecationWarning

from .classes import CONFIDENCE_NODATA, CloudClass, flags_definition
from .errors import ModelError, SceneError
from .masks.light import Light
from .models.model import Model
from .models.registry import get_model
from .products.job import mask_grid
from .scenes.bands import find_bands, is_reflective
from .scenes.files import SceneFiles
from .scenes.packing import read_packing

if TYPE_CHECKING:
    from datacube.model import Dataset
    from datacube.virtual.catalog import Catalog
    from datacube.virtual.impl import VirtualDatasetBox


with warnings.catch_warnings():
    warnings.simplefilter("ignore", ODC2DeprecationWarning)
    from datacube.virtual import DEFAULT_RESOLVER, Measurement, Transformation, catalog_from_yaml
    from datacube.virtual.impl import Reproject, Transform

TRANSFORM = "unet_mask"
"""The name that recipes may use instead of the dotted path."""

CATALOG = "s2_l2a_ucl.virtual.yaml"
"""File of the recipes that come with this package."""


class UNetMask(Transformation):  # type: ignore[misc]
    """Add the UNet classification layer to Sentinel-2 bands, in a virtual product's recipe.

    Used in YAML as ``transform: odc_cleansat.virtual.UNetMask``, or ``transform: unet_mask`` after
    ``import odc_cleansat``. The input must have the model's bands, under any of their names in
    :data:`~odc_cleansat.scenes.bands.S2_BANDS`, on a grid not coarser than 1.5 times the model's
    resolution. The result is that of :func:`~odc_cleansat.classify`, lazy with ``dask_chunks``.

    Datacube gives a transform only the pixels that were asked for. So near the edge of the loaded
    extent, within about the overlap of the model's windows, a class can differ from
    the one in the whole scene. :func:`odc_cleansat.load` has no such edge.

    Parameters
    ----------
    model
        Name of a model; by default the best whose bands the input has.
    confidence
        Also add ``ucl_confidence``.
    keep
        The input bands that stay beside ``ucl``: all (true), none (false), or a list of names.
    reflectance
        Turn the bands that stay, but for SCL, into surface reflectance: float32, NaN where there are no
        data.
    thresholds
        Class label to probability, see :func:`~odc_cleansat.classify`.
    dilation
        ``cloud`` and ``shadow`` to metres on the ground.
    offset
        Radiometric offset of all datasets, in digital numbers, e.g. -1000:
        ``reflectance = (DN + offset) * scale``. By default the metadata of each dataset decides,
        as :func:`~odc_cleansat.scenes.offset.resolve_offset` reads it; floating-point bands
        are reflectance and have none. The metadata is at hand only while datacube loads the
        recipe: :meth:`compute` called by itself takes what the bands say of themselves, else 0.
    scale
        Reflectance per digital number, by default 1/10000 for integers and 1 for
        floating-point bands.
    **more
        ``refine``: whether light refines the mask, see :func:`~odc_cleansat.classify`. The metadata of the datasets tell the
        angles; by itself, :meth:`compute` takes those that follow from time and place.

    Raises
    ------
    ModelError
        If the model or a parameter is unknown, or a value is of the wrong kind. Datacube
        makes the transform only when it computes, so this is raised after the input was read.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        confidence: bool = False,
        keep: bool | Sequence[str] = True,
        reflectance: bool = False,
        thresholds: Mapping[str, float] | None = None,
        dilation: Mapping[str, float] | None = None,
        offset: float | None = None,
        scale: float | None = None,
        **more: Any,
    ) -> None:
        refine = more.pop("refine", True)
        # Datacube reports any TypeError raised here without its message.
        if more:
            raise ModelError(
                f"{TRANSFORM} has no parameter {', '.join(more)}; it has model, confidence, keep, "
                "reflectance, thresholds, dilation, offset, scale and refine. What concerns a product stands "
                "with the product, under `input`."
            )
        if model is not None:
            get_model(_checked("model", model, str, "the name of a model"))
        self.model = model
        self.confidence = _checked("confidence", confidence, bool, "true or false")
        self.reflectance = _checked("reflectance", reflectance, bool, "true or false")
        self.keep = _checked("keep", keep, (bool, list, tuple), "true, false or a list of bands")
        self.thresholds = _numbers("thresholds", thresholds)
        self.dilation = _numbers("dilation", dilation)
        self.offset = None if offset is None else _number("offset", offset)
        self.scale = None if scale is None else _number("scale", scale)
        self.refine = _checked("refine", refine, bool, "true or false")

    def measurements(self, input_measurements: Mapping[str, Measurement]) -> dict[str, Measurement]:
        """Describe the output bands.

        Parameters
        ----------
        input_measurements
            Name to measurement of the input product.

        Returns
        -------
        dict
            The bands that stay, and ``ucl``, uint8, nodata 0, with ``flags_definition``. With
            `confidence` also ``ucl_confidence``, uint8, percent, nodata 255.

        Raises
        ------
        SceneError
            If the input lacks bands of the model or of `keep`.
        """
        model = self._model(input_measurements)
        found = {name: input_measurements[name] for name in self._kept(input_measurements)}
        for name in self._reflective(found):
            changed = {"dtype": "float32", "nodata": float("nan"), "units": "1"}
            found[name] = Measurement(**{**found[name], **changed})
        found["ucl"] = Measurement(
            name="ucl",
            dtype="uint8",
            nodata=int(CloudClass.NODATA),
            units="1",
            flags_definition=flags_definition([CloudClass.NODATA, *sorted(model.classes)]),
        )
        if self.confidence:
            found["ucl_confidence"] = Measurement(
                name="ucl_confidence", dtype="uint8", nodata=CONFIDENCE_NODATA, units="percent"
            )
        return found

    def compute(self, data: xr.Dataset) -> xr.Dataset:
        """Classify what was loaded.

        Parameters
        ----------
        data
            Bands with dims ``(time, y, x)``, from datacube; lazy or not. Integers are digital numbers,
            floating-point numbers are reflectance.

        Returns
        -------
        xarray.Dataset
            The same grid with the bands that :meth:`measurements` names.

        Raises
        ------
        SceneError
            If bands are missing, the query matched no dataset, or the grid is too coarse. Also if this is
            the input of ``reproject`` with dask, which datacube cannot do.
        ModelError
            If an option names a class that the model does not have.
        """
        loading = _loading()
        model = self._model(data.data_vars)
        if 0 in data.sizes.values():
            raise SceneError(
                f"there is nothing to classify: the query matches no dataset, or no pixel "
                f"({dict(data.sizes)}). Check the product, the time and the area; "
                "`datacube dataset search` lists what the index has."
            )
        bands = data[list(find_bands(data.data_vars, model.bands).values())]
        kept = data[self._kept(data.data_vars)]
        offsets = self._offsets(bands, loading)
        if self.reflectance:
            empty = _empty(bands, self.scale)
            names = self._reflective(kept)
            kept = kept.assign(
                {name: self._to_reflectance(kept[name], offsets).where(~empty) for name in names}
            )
        mask = self._classify(bands, model, offsets, self._lights(bands, loading))
        # Without their coordinates, which could differ from these in the last digit.
        found: xr.Dataset = kept.assign({n: (b.dims, b.data, b.attrs) for n, b in mask.items()})
        return found

    def _model(self, names: Iterable[Hashable]) -> Model:
        """Return the model, for which the bands suffice."""
        try:
            model = get_model(self.model, bands=names)
            find_bands(names, model.bands)
        except SceneError as error:
            raise SceneError(
                f"{TRANSFORM}: {error} In a recipe, `measurements` stands with the product under "
                "`input`; given to load(), it selects there too."
            ) from error
        return model

    def _kept(self, names: Iterable[Hashable]) -> list[str]:
        """Return the names of the input bands that stay."""
        available = [str(name) for name in names]
        kept = list(self.keep or []) if self.keep is not True else available
        if missing := [str(name) for name in kept if name not in available]:
            raise SceneError(
                f"{TRANSFORM} is to keep {', '.join(missing)}, which the input does not have; it has "
                f"{', '.join(available)}."
            )
        if taken := {"ucl", "ucl_confidence"} & set(kept):
            raise SceneError(
                f"the input has {' and '.join(sorted(taken))} already; leave out {TRANSFORM}, or list "
                "the other bands in `keep`."
            )
        return kept

    def _reflective(self, names: Iterable[Hashable]) -> list[str]:
        """Return the names of the bands that are to become reflectance."""
        if not self.reflectance:
            return []
        return [str(name) for name in names if is_reflective(name)]

    def _offsets(self, bands: xr.Dataset, loading: VirtualDatasetBox | None) -> list[float]:
        """Return the radiometric offset of each time step, digital numbers."""
        steps = bands.sizes["time"]
        if self.offset is not None:
            return [self.offset] * steps
        first = next(iter(bands.data_vars.values()))
        if loading is None:
            return [read_packing(first.isel(time=i), self.scale).offset for i in range(steps)]
        if any(b.dtype.kind == "f" for b in bands.data_vars.values()):
            return [0] * steps
        found: list[float] = []
        for datasets in loading.input_datasets().values:
            offsets = {o for each in datasets if (o := _offset(each)) is not None}
            if len(offsets) > 1:
                raise SceneError(
                    f"datasets that are fused have the radiometric offsets {sorted(offsets)}; load "
                    "them with group_by='time', or with odc_cleansat.load(), which masks before it fuses."
                )
            found.append(offsets.pop() if offsets else 0)
        return found

    def _lights(self, bands: xr.Dataset, loading: VirtualDatasetBox | None) -> list[bool | Light]:
        """Return by which light each time step is refined."""
        if loading is None or not self.refine:
            return [self.refine] * bands.sizes["time"]
        found: list[bool | Light] = []
        for datasets in loading.input_datasets().values:
            scene = next(filter(_has_red, datasets), None)
            found.append(
                scene is None
                or Light.of(scene.metadata_doc.get("properties", {}), mask_grid(scene))
            )
        return found

    def _to_reflectance(self, band: xr.DataArray, offsets: list[float]) -> xr.DataArray:
        """Turn a band, dims ``(time, y, x)``, into reflectance: float32, NaN at its own nodata value."""
        packing = read_packing(band, self.scale, 0)
        found = band.astype("float32")
        if not packing.reflectance:
            offset = xr.DataArray(np.asarray(offsets, dtype="float32"), dims="time")
            found = (found + offset) * np.float32(packing.scale)
        if packing.nodata is not None:
            found = found.where(band != packing.nodata)
        reflectance: xr.DataArray = found.assign_attrs(
            {**_without_packing(band.attrs), "nodata": np.nan, "units": "1"}
        )
        return reflectance

    def _classify(
        self, bands: xr.Dataset, model: Model, offsets: list[float], lights: list[bool | Light]
    ) -> xr.Dataset:
        """Classify time steps of one offset and light together; dims ``(time, y, x)``, uint8."""
        from .masks.classify import classify

        # With an explicit grid, an area without any data is no error: it is nodata.
        geobox = next(iter(bands.data_vars.values())).odc.geobox
        parts = []
        made = list(zip(offsets, lights, strict=True))
        for (offset, light), run in groupby(range(len(made)), made.__getitem__):
            first, *others = run
            part = classify(
                bands.isel(time=slice(first, first + 1 + len(others))),
                model=model,
                geobox=geobox,
                confidence=self.confidence,
                thresholds=self.thresholds,
                dilation=self.dilation,
                offset=offset,
                scale=self.scale,
                refine=light,
            )
            parts.append(part)
        return xr.concat(parts, "time", coords="minimal", compat="override", join="override")


def catalog() -> Catalog:
    """Return the recipes that come with this package, made for the product ``s2_l2a``.

    Returns
    -------
    datacube.virtual.catalog.Catalog
        Name to virtual product, e.g. ``catalog()["s2_l2a_with_ucl"].load(dc, ...)``.
    """
    folder = resources.files("odc_cleansat.product_definitions")
    return catalog_from_yaml(folder.joinpath(CATALOG).read_text(encoding="utf-8"))


def register() -> None:
    """Make the transform known as ``unet_mask``; harmless when repeated."""
    if TRANSFORM not in DEFAULT_RESOLVER.lookup_table["transform"]:
        DEFAULT_RESOLVER.register("transform", TRANSFORM, UNetMask)


def _loading() -> VirtualDatasetBox | None:
    """Return what datacube is loading, if it is datacube that calls.

    A transformation is given pixels. Only the frames that call it know which datasets they are of, and what
    becomes of the result.
    """
    loading = None
    for frame, _ in traceback.walk_stack(sys._getframe()):
        if frame.f_code is Transform.fetch.__code__ and loading is None:
            loading = frame.f_locals["grouped"]
        if (
            frame.f_code is Reproject.fetch.__code__
            and frame.f_locals["load_settings"].get("dask_chunks") is not None
        ):
            raise SceneError(
                "datacube cannot `reproject` with dask_chunks. Load without them; or leave "
                "`reproject` out of the recipe and pass output_crs and resolution to load(); or use "
                "odc_cleansat.load(), which is lazy on any grid."
            )
    return loading


def _offset(dataset: Dataset) -> float | None:
    """Return the radiometric offset of a dataset, digital numbers; None if it has no bands, such as a mask."""
    return SceneFiles.of_dataset(dataset).offset().value if _has_red(dataset) else None


def _has_red(dataset: Dataset) -> bool:
    """Whether a dataset is a scene, and no mask."""
    with contextlib.suppress(SceneError):
        return bool(find_bands(SceneFiles.of_dataset(dataset).files, ["red"]))
    return False


def _empty(bands: xr.Dataset, scale: float | None) -> xr.DataArray:
    """Return where all bands say together that there are no data: bool, of the dims of a band."""
    layers = list(bands.data_vars.values())
    blanks = [read_packing(band, scale, 0).blanks for band in layers]
    found: xr.DataArray = xr.zeros_like(layers[0], dtype=bool)
    for number in set(blanks[0]).intersection(*blanks[1:]):
        found = found | functools.reduce(operator.and_, (band == number for band in layers))
    return found


def _without_packing(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes without those that are about packed numbers."""
    return {k: v for k, v in attrs.items() if k not in ("scale_factor", "add_offset", "_FillValue")}


def _checked(name: str, value: Any, kind: type | tuple[type, ...], wanted: str) -> Any:
    if not isinstance(value, kind):
        raise ModelError(f"{TRANSFORM}: {name} is {value!r}; it must be {wanted}.")
    return value


def _number(name: str, value: Any) -> float:
    with contextlib.suppress(TypeError, ValueError):
        return float(value)  # YAML reads 1e-4 as text
    raise ModelError(f"{TRANSFORM}: {name} is {value!r}; it must be a number.")


def _numbers(name: str, values: Any) -> dict[str, float] | None:
    if values is None:
        return None
    _checked(name, values, Mapping, "a mapping of classes to numbers")
    return {label: _number(f"{name}.{label}", value) for label, value in values.items()}


register()
