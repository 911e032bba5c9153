"""Masks in a datacube: search, load, recall, index."""
