"""How good masks are, in figures; the public names are those of :mod:`odc_cleansat.evaluate`."""
