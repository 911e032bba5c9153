"""Recipes: all that is needed to train a model again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..classes import CloudClass
from ..errors import CleansatError
from ..models.model import Architecture, Model
from .schedule import Schedule
from .sources import Source, Wanted
from .spoiling import USUAL
from .teachers import Teachers


class RecipeError(CleansatError):
    """A recipe that cannot be followed; the message says what to correct."""


@dataclass(frozen=True)
class HeldOut:
    """What is never trained on, and evaluates the network."""

    sites: tuple[str, ...] = ()
    """Names of sites among the patches to train on."""

    share: float = 0.0
    """Share of the other sites, 0 to 1. It depends on their names which these are."""

    data: tuple[Source, ...] = ()
    """Further data, each with the name of its group."""


@dataclass(frozen=True)
class Recipe:
    """How a model is made; see :func:`~odc_cleansat.training.recipe_file.read_recipe`."""

    path: Path
    """Path of the file."""

    name: str
    """Name of the model to be. The variant for the first few bands is named ``NAME-4b`` or so."""

    version: str
    """Version of its weights."""

    title: str
    """One line for people."""

    licence: str
    """Licence of its weights."""

    level: str
    """Processing level that it is for: ``L2A`` or ``L1C``."""

    bands: tuple[str, ...]
    """Canonical names of all bands that it sees."""

    few: int
    """Number of first bands with which it works too; that of all bands if it needs them all."""

    resolution: float
    """Resolution at which it works, metres."""

    classes: tuple[CloudClass, ...]
    """Classes of its channels."""

    architecture: Architecture
    """Architecture of `segmentation_models_pytorch`."""

    teachers: Teachers
    """Teachers by level and number of bands; empty where labels alone teach."""

    data: tuple[Source, ...]
    """Data to train on."""

    schedule: Schedule
    """Steps, rates and weights of the loss: the key ``plan``."""

    held_out: HeldOut = field(default_factory=HeldOut)
    """What is never trained on."""

    haze: tuple[tuple[str, float], ...] = ()
    """Reflectance that a typical atmosphere adds, by band. If it is given, L1C patches are used as L2A too, with this
    taken off."""

    spoil: Mapping[str, float] = field(default_factory=lambda: USUAL)
    """Share of the tiles of which the network sees a spoilt picture, 0 to 1, by the kind of spoiling."""

    thin_cloud: float = 0.0
    """Share of the tiles below simulated thin cloud, 0 to 1."""

    mean: tuple[float, ...] = ()
    """Mean reflectance by band, for the normalisation; by default that of the teacher for all bands, or of the data."""

    std: tuple[float, ...] = ()
    """Standard deviation of reflectance by band, with the same default."""

    citation: str = ""
    """Who made it, and where it is described."""

    start: Model | None = None
    """Model that gives the first weights; by default they are random."""

    encoder_weights: str = ""
    """Name of trained weights of the encoder in `segmentation_models_pytorch`, such as ``imagenet``; by default they are
    random."""

    partial: bool = False
    """Whether data that cannot be used are left out. Without it they are an error."""

    @property
    def haze_by_band(self) -> dict[str, float]:
        """Reflectance that a typical atmosphere adds to each band."""
        return dict(self.haze)

    @property
    def first_bands(self) -> tuple[str, ...]:
        """The first few bands."""
        return self.bands[: self.few]

    @property
    def model_names(self) -> tuple[str, ...]:
        """Names of the models to be: with all bands, and with the first few if there are more."""
        variant = (f"{self.name}-{self.few}b",) if self.few < len(self.bands) else ()
        return (self.name, *variant)

    @property
    def wanted(self) -> Wanted:
        """What it needs of its sources."""
        return Wanted(self.bands, self.level, self.resolution, self.schedule.size)

    def to_model(self, weights: str = "", sha256: str = "", card: str = "") -> Model:
        """Return the model to be, with all bands."""
        return Model(
            name=self.name, version=self.version, title=self.title, bands=self.bands,
            mean=self.mean, std=self.std, resolution=self.resolution, classes=self.classes,
            level=self.level, weights=weights, architecture=self.architecture, sha256=sha256,
            licence=self.licence, citation=self.citation, card=card,
        )  # fmt: skip
