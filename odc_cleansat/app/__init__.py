"""The web application: find scenes, mask them, look, judge, recall, composite; on Streamlit.

Pages ask the rooms below and compute nothing themselves. :mod:`~odc_cleansat.app.server` starts it.
"""

from __future__ import annotations

from .settings import AppSettings

__all__ = ["AppSettings"]
