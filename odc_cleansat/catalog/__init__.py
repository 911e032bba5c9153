"""Catalogues: stores of masks that are searched without a database."""
