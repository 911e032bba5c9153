"""Grids: resolution, windows, pixel centres and resampling."""
