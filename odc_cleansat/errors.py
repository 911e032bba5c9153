"""The errors and warnings that this package raises on purpose."""

from __future__ import annotations


class CleansatError(ValueError):
    """Something the caller can put right; the message says what and how."""


class SceneError(CleansatError):
    """A scene that cannot be classified: bands, shape, CRS, resolution or pixels."""


class ModelError(CleansatError):
    """An unknown model, or weights that are missing or are not what they should be."""


class EngineError(CleansatError):
    """A network that cannot be run here, for want of memory."""


class CubeError(CleansatError):
    """A datacube or its database that cannot be started, reached or used."""


class OutputError(CleansatError):
    """A product that cannot be written where it should be."""


class ReflectanceWarning(UserWarning):
    """The conversion of digital numbers to reflectance rests on a guess, or looks wrong."""


class GapWarning(UserWarning):
    """Some files cannot be read, or some scenes have no mask: there are no data where they would be."""
