"""The check of `verify` that makes a mask again."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..classes import CloudClass
from ..errors import ModelError, SceneError
from ..grids.centres import reach
from ..masks.classify import DOUBT, classify
from ..masks.tasks import confidence_of
from ..models.engines import Engine, get_engine
from ..scenes.files import open_bands
from .check_scene import look_at_scene
from .evidence import Evidence, UnprovenError, WrongError
from .provenance import software
from .scene_files import scene_files

if TYPE_CHECKING:
    import xarray as xr


SAME = 0.9999
"""Least share of equal pixels of a mask that is proved."""

SIMILAR = 0.995
"""Least share of equal pixels, of those that are sure, where engine, precision or versions are others."""

ALIKE = 0.95
"""Least share of all pixels that is equal then."""

SURE = 70
"""Percent of probability from which on a pixel is sure, in the mask that was made again.

In bf16 up to 3 % of the pixels of a hazy scene get another class. Nearly all of them are less sure
(`benchmarks/precision.py`)."""

CLOSE = 2
"""Percent by which the confidence of a pixel may differ in a mask that is proved.

By so much the class of a pixel may be less likely than the likeliest, too."""

FAR = 10
"""Percent by which no confidence at all may differ in a mask that is proved."""

DRIFT = 5
"""Percent by which the confidence may differ on the mean, where engine, precision or versions are others."""


def look_at_pixels(evidence: Evidence) -> str:
    """Return how equal the mask is to one that is made again from its scene, and set `evidence.equal`.

    What is proved does not depend on what the product says of its engine. A product that says that it was
    made in another way than is possible here is at best alike, which proves nothing.

    Raises
    ------
    WrongError
        If the mask is not of that scene and model, or says of the scene what that does not say of itself.
    UnprovenError
        If it cannot be made again here, or is only alike, or the SCL that it names cannot be read. Also if the pixels
        of its scene look wrong and the mask does not say so, or the other way round.
    """
    again, way = make_again(evidence)
    same = again.ucl.values == evidence.codes
    data, told = (each != CloudClass.NODATA for each in (again.ucl.values, evidence.codes))
    probability = again.ucl_probability.values
    # A calibrated confidence of clear is high where the network hardly prefers it.
    sure = same[data & told & (100 * probability.max(axis=0) >= SURE)]
    # That of the class which the product has: on their curves, two classes of one probability differ.
    model = evidence.provenance.model
    here = confidence_of(evidence.codes, probability, model.classes, model.calibration)
    drift = np.abs(here.astype("int16") - evidence.confidence)[data & told]
    evidence.equal = float(np.mean(same))
    text = f"{100 * evidence.equal:.4f} % of the pixels are equal when the mask is made again"
    text += f" {way}" if way else " in the same way"
    if (
        evidence.equal >= SAME
        and _share(drift <= CLOSE) >= SAME
        and (drift <= FAR).all()
        and _shortfall(again, evidence.codes, ~same) <= CLOSE
    ):
        _check_scl(evidence)
        _check_complaint(evidence, again)
        return f"{text}; {look_at_scene(evidence)}"
    text += (
        f", and {100 * _share(sure):.4f} % of those of which it is at least {SURE} % sure; the confidence "
        f"differs by {drift.mean() if drift.size else 0:.2f} % on the mean"
    )
    least, of_sure = (ALIKE, SIMILAR) if way else (SAME, SAME)
    if (
        evidence.equal < least
        or _share(sure) < of_sure
        or _share(data == told) < SAME
        or (drift.size and drift.mean() > DRIFT)
    ):
        raise WrongError(f"{text}: the scene has changed since, or the mask is not of it")
    raise UnprovenError(f"{text}: it is alike, which does not prove it")


def _check_scl(evidence: Evidence) -> None:
    """Raise if the product names an SCL that is none of the scene, or cannot be had."""
    scl = evidence.provenance.scl
    if scl is None:
        return
    try:
        named = scene_files(
            evidence.product, ["scl"], {"scl": scl}, fetch_scenes=evidence.fetch_scenes
        )
        there = reach(evidence.grid, named["scl"].open().grid)
    except SceneError as error:
        raise UnprovenError(f"the SCL that the product names cannot be read: {error}") from error
    if there is None:
        raise WrongError("the SCL that the product names is of another place")


def _check_complaint(evidence: Evidence, again: xr.Dataset) -> None:
    """Raise unless the product says of the pixels what they are; figures may differ by rounding."""
    here, told = again.ucl.attrs.get(DOUBT), evidence.provenance.complaint
    one, other = (re.sub(r"[\d.]+", "", each or "") for each in (here, told))
    if one != other:
        raise UnprovenError(
            f"of the pixels of the scene the product says: {told or 'nothing'}, but here {here or 'nothing'} is found; older "
            "versions did not look at all of it"
        )


def _shortfall(again: xr.Dataset, told: np.ndarray, where: np.ndarray) -> float:
    """By how many percent at most other classes than the likeliest are less likely; 100 if they cannot be.

    Parameters
    ----------
    again
        ``ucl_probability``, dims ``(ucl_class, y, x)``, with the coordinate ``ucl_code``.
    told
        Codes of the product, dims ``(y, x)``.
    where
        The pixels that are looked at, dims ``(y, x)``, bool.
    """
    if not where.any():
        return 0.0
    probability = again.ucl_probability.values[:, where]
    is_told = again.ucl_code.values[:, None] == told[where]
    of_told = np.where(is_told, probability, 0).sum(axis=0)
    short = probability.max(axis=0) - of_told
    return 100.0 if not np.isfinite(short).all() else 100 * float(short.max())


def _share(right: np.ndarray) -> float:
    return float(np.mean(right)) if right.size else 1.0


def make_again(evidence: Evidence) -> tuple[xr.Dataset, str]:
    """Make a mask again from the scene's files, as the datacube or else the product names them.

    Returns
    -------
    xarray.Dataset
        ``ucl`` and ``ucl_confidence``, dims ``(y, x)``, uint8; ``ucl_probability``, dims
        ``(ucl_class, y, x)``, float32.
    str
        With which engine, where that is not the engine, precision and version of the product; else empty.

    Raises
    ------
    UnprovenError
        If the scene or the model is not here, or the scene is not opened.
    """
    provenance = evidence.provenance
    if not provenance.bands:
        raise UnprovenError("the product does not say where its scene is")
    try:
        engine = _engine(evidence)
        files = scene_files(
            evidence.product,
            provenance.bands,
            provenance.bands,
            fetch_scenes=evidence.fetch_scenes,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the offset, which is the product's own
            mask = classify(
                open_bands(files),
                model=provenance.model,
                geobox=evidence.grid,
                confidence=True,
                probabilities=True,
                offset=provenance.offset.value,
                engine=engine.name,
                precision=engine.precision,
                refine=provenance.light or False,
            )
    except (ModelError, SceneError, OSError) as error:
        raise UnprovenError(f"the mask cannot be made again here: {error}") from error
    here = (engine.name, engine.precision, software().get(engine.name))
    name = provenance.engine
    if here == (name, provenance.precision, evidence.versions.get(name)):
        return mask, ""
    return mask, f"with {here[0]} {here[2]} in {here[1]}"


def _engine(evidence: Evidence) -> Engine:
    """An engine as near to the recorded one as can be had."""
    provenance = evidence.provenance
    try:
        return get_engine(provenance.model, provenance.engine, provenance.precision)
    except ModelError:  # not on this processor
        return get_engine(provenance.model, provenance.engine)
