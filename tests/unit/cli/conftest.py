"""What the tests of commands share."""

from __future__ import annotations

import pytest
from calling import Run

from odc_cleansat.cube.embedded import CONFIG_NAME
from unit.archive import Archive


@pytest.fixture
def invoke(archive: Archive, run: Run) -> Run:
    """Call a command on the datacube of the archive."""
    return lambda *arguments: run(*arguments, "-C", archive.folder / CONFIG_NAME)
