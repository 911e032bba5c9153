"""Catalogues: stores of masks that are searched without a database."""

from __future__ import annotations

__all__ = []
