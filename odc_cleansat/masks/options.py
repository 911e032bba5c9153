"""The options of a classification, and the checks that they and the bands fit the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..arguments import fault_of_flags, fault_of_progress, is_number
from ..classes import CloudClass
from ..errors import ModelError, SceneError
from ..grids.grid import ground_resolution
from ..models.model import Model
from ..scenes.angles import Angles
from ..scenes.bands import native_resolution
from ..scenes.files import Band
from .light import Light

COARSEST = 1.5
"""How many times coarser than the model's resolution, or than the sensor's own, a band may be."""


@dataclass(frozen=True)
class Options:
    """What every task of a classification needs to know; small, because graphs contain it."""

    model: Model
    """The model that classifies."""

    engine: str | None = None
    """Name of the engine; see :func:`~odc_cleansat.models.engines.get_engine`."""

    precision: str | None = None
    """Arithmetic of the engine; see there."""

    scale: float | None = None
    """Reflectance per digital number; None for what the bands say, or the default of their type."""

    offset: float | None = None
    """Radiometric offset, digital numbers or a fraction of reflectance; None for what the bands say."""

    thresholds: tuple[tuple[CloudClass, float], ...] = ()
    """Classes, each with the least probability at which it is taken."""

    light: Light | None = None
    """By which light the mask is refined; None for the network's own answer."""

    @classmethod
    def of(
        cls,
        model: Model,
        *,
        engine: str | None = None,
        precision: str | None = None,
        scale: float | None = None,
        offset: float | None = None,
        thresholds: Mapping[str, float] | None = None,
        light: Light | None = None,
    ) -> Options:
        """Make options from what a user passes to :func:`~odc_cleansat.classify`.

        Raises
        ------
        SceneError
            If the scale is not above 0, or the offset is not finite.
        ModelError
            If a threshold is not between 0 and 1, names no class of the model, or all classes have one.
        """
        check_scale_and_offset(scale, offset)
        check_thresholds(thresholds, model)
        by_label = {c.label: c for c in model.classes}
        chosen = tuple((by_label[name], float(v)) for name, v in (thresholds or {}).items())
        return cls(model, engine, precision, scale, offset, chosen, light)


def check_result(
    confidence: bool, probabilities: bool, progress: object, refine: object = True
) -> None:
    """Raise if what says how the result is given is of another kind.

    Raises
    ------
    SceneError
        If a flag is not true or false, progress cannot be called with two numbers, or angles are impossible.
    """
    if not isinstance(refine, bool | Angles | Light):
        raise SceneError(f"refine is {refine!r:.100}; pass true, false or Angles.")
    if isinstance(refine, Angles) and (impossible := refine.fault()):
        raise SceneError(f"refine has angles that cannot be: {impossible}.")
    fault = fault_of_flags(confidence=confidence, probabilities=probabilities)
    if fault := fault or fault_of_progress(progress):
        raise SceneError(fault)


def check_scale_and_offset(scale: float | None, offset: float | None) -> None:
    """Raise if the scale or the offset cannot be one.

    Raises
    ------
    SceneError
        If the scale is not above 0, or the offset is not finite.
    """
    if scale is not None and not (is_number(scale) and scale > 0):
        raise SceneError(f"the scale {scale!r} is not above 0; that of Sentinel-2 is 1/10000.")
    if offset is not None and not is_number(offset):
        raise SceneError(
            f"the offset {offset!r} is not a number of digital numbers, such as -1000."
        )


def check_thresholds(thresholds: Mapping[str, float] | None, model: Model) -> None:
    """Raise if the thresholds do not fit the model.

    Parameters
    ----------
    thresholds
        Class label to probability, 0 to 1.
    model
        The model that classifies.

    Raises
    ------
    ModelError
        If they are no mapping, one is not between 0 and 1 or names no class of the model, or all classes have one.
    """
    known = [c.label for c in model.classes]
    if thresholds is None:
        return
    if not isinstance(thresholds, Mapping):
        raise ModelError(
            f"the thresholds are {thresholds!r}; pass a mapping of classes ({', '.join(known)}) to probabilities."
        )
    for name, value in thresholds.items():
        if name not in known:
            raise ModelError(f"{model.name} has no class {name!r}; it has {', '.join(known)}.")
        if not (is_number(value) and 0 <= value <= 1):
            raise ModelError(f"the threshold of {name} is {value!r}; it must be between 0 and 1.")
    if len(thresholds) == len(known):
        raise ModelError(
            f"thresholds name every class of {model.name}; leave out the one, such as clear, that "
            "takes the pixels where no threshold is reached."
        )


def check_resolution(bands: Iterable[Band], model: Model) -> None:
    """Raise if the pixels of a band are too large for the model, though those of the sensor are not.

    Parameters
    ----------
    bands
        In the order of the model's bands.
    model
        The model that classifies.

    Raises
    ------
    SceneError
        If a band is too coarse; the message says what to load.
    """
    for name, band in zip(model.bands, bands, strict=True):
        # A model of 10 m also needs bands of 20 and 60 m, which do not exist in finer pixels.
        own = native_resolution(name)
        limit = COARSEST * max(model.resolution, own)
        coarse = max(ground_resolution(band.grid))
        if coarse > limit:
            raise SceneError(
                f"the pixels of {name} are {coarse:.0f} m wide, too coarse for {model.name}, which was "
                f"trained at {model.resolution:g} m. Load the bands at {limit:g} m or finer (the sensor's own "
                f"pixels are of {own} m), and ask for the mask on a coarse grid: with geobox=, or reproject "
                "in a recipe."
            )


def check_reflectance_has_no_offset(bands: Iterable[Band], offset: float | None) -> None:
    """Raise if an offset in digital numbers is given for bands that hold reflectance.

    Parameters
    ----------
    bands
        With their packings.
    offset
        The caller's offset; between -1 and 1 it is in reflectance.

    Raises
    ------
    SceneError
        If the values of a band are reflectance, and the offset is of digital numbers.
    """
    if offset is None or abs(offset) < 1:
        return
    if any(band.packing is not None and band.packing.reflectance for band in bands):
        raise SceneError(
            f"the bands are of floating point, which is taken for reflectance, and an offset of {offset:g} is for "
            "digital numbers. Pass offset=0 for reflectance, or scale=1/10000 if these are Sentinel-2's "
            "digital numbers. A fraction such as offset=-0.1 takes off so much reflectance."
        )
