"""Reading and writing EO3 documents with eodatasets3, without the warnings that mean nothing here."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eodatasets3 import DatasetDoc


@contextlib.contextmanager
def own_properties() -> Iterator[None]:
    """Within this, properties that eodatasets3 has no list of, and absolute paths, are in order."""
    from eodatasets3.assemble import IncompleteDatasetWarning

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Unknown Stac property", category=UserWarning)
        warnings.simplefilter("ignore", IncompleteDatasetWarning)
        yield


def read_document(source: Path | Mapping[str, Any]) -> DatasetDoc:
    """An EO3 dataset document, from its file or as datacube gives it, then without its own lineage.

    Datacube nests what a dataset was made of in ways that EO3 does not know.
    """
    from eodatasets3 import serialise

    with own_properties():
        if isinstance(source, Path):
            return serialise.from_path(source)
        return serialise.from_doc({**source, "lineage": {}}, skip_validation=True)
