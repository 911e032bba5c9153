"""The dask graph of `recall`: one task for each block of the output that masks reach."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import xarray as xr
from odc.geo.geobox import GeoBox

from ..classes import confidence_attrs, ucl_attrs
from ..errors import CubeError
from ..grids.centres import Roi, reach, tiles
from ..storage.settings import rio_options
from .output_grid import BLOCK
from .sample import FRACTIONS, IndexedMask, Losses, layer_dtype, layer_nodata, sample_block

if TYPE_CHECKING:
    import dask.array as da


@dataclass(frozen=True)
class Recalled:
    """Masks on an output grid, before anything is read."""

    groups: xr.DataArray
    """Dims ``(time)``, object: the datasets of each time."""

    times: Sequence[Sequence[IndexedMask]]
    """The masks of each time; the first that has data at a pixel decides it."""

    grid: GeoBox
    """The output grid."""

    how: str
    """How native pixels become one pixel: a key of :data:`~odc_cleansat.cube.sample.VARIABLES`."""

    names: Sequence[str]
    """The layers."""

    def lazy(self, chunks: tuple[int, int, int], losses: Losses | None = None) -> xr.Dataset:
        """Return the layers, lazy, with coordinates and attributes as `dc.load` gives them.

        Parameters
        ----------
        chunks
            Sizes of the blocks along time, y and x.
        losses
            Where to note why masks could not be read; without, the user is told when a block is computed.

        Returns
        -------
        xarray.Dataset
            Dims ``(time, y, x)``; dtype and nodata of each layer are those of
            :func:`~odc_cleansat.cube.sample.sample_block`.
        """
        from datacube import Datacube
        from datacube.model import Measurement

        layers = self._layers(chunks, losses)
        measurements = [
            Measurement(name=name, dtype=layer_dtype(name).name, **_attributes(name))
            for name in self.names
        ]
        result: xr.Dataset = Datacube.create_storage(
            self.groups.coords, self.grid, measurements, lambda each, shape: layers[each.name]
        )
        return result

    def _layers(self, chunks: tuple[int, int, int], losses: Losses | None) -> dict[str, da.Array]:
        """Return the layers, dims ``(time, y, x)``."""
        import dask.array as da

        depth, height, width = chunks
        blocks = tiles(self.grid.shape, height, width)
        task = _BlockTask(self.grid, self.how, list(self.names), losses, rio_options())
        times = []
        for masks in self.times:
            reaches = ((mask, reach(mask.grid, self.grid)) for mask in masks)
            near = [(mask, roi) for mask, roi in reaches if roi]
            rows = [[task.layers(near, roi) for roi in row] for row in blocks]
            times.append(
                {n: da.block([[each[n] for each in row] for row in rows]) for n in self.names}
            )
        return {n: da.stack([each[n] for each in times]).rechunk({0: depth}) for n in self.names}


@dataclass(frozen=True)
class _BlockTask:
    """What all blocks of a result have in common."""

    grid: GeoBox
    """The output grid."""

    how: str
    """How native pixels become one pixel."""

    names: list[str]
    """The layers."""

    losses: Losses | None
    """Where to note why masks could not be read."""

    options: dict[str, Any]
    """Settings of GDAL for the worker."""

    def layers(self, masks: Sequence[tuple[IndexedMask, Roi]], roi: Roi) -> dict[str, da.Array]:
        """Return the layers of one block, of those masks that reach it; nodata where none does."""
        import dask.array as da
        from dask.delayed import delayed

        here = [mask for mask, reached in masks if _overlap(reached, roi)]
        part = self.grid[roi]
        shape = tuple(part.shape)
        if not here:
            return {n: da.full(shape, layer_nodata(n), dtype=layer_dtype(n)) for n in self.names}
        made = delayed(sample_block, name="cleansat-recall")(
            here, part, self.how, self.names, self.losses, self.options
        )
        return {n: da.from_delayed(made[n], shape, layer_dtype(n)) for n in self.names}


def check_chunks(chunks: Any) -> None:
    """Raise if something says no sizes of chunks.

    Raises
    ------
    CubeError
        If it is neither ``auto`` nor a mapping of dims to sizes.
    """
    sized = isinstance(chunks, Mapping) and not any(
        isinstance(each, bool | float) or (isinstance(each, int) and each < 1 and each != -1)
        for each in chunks.values()
    )
    if not (sized or (isinstance(chunks, str) and chunks == "auto")):
        raise CubeError(
            f"dask_chunks is {chunks!r:.100}; pass 'auto', or a size for each dim, such as {{'x': 2048, 'y': 2048}}."
        )


def check_dims(chunks: Mapping[str, Any], grid: GeoBox) -> dict[str, Any]:
    """Return sizes of chunks by the dims of a grid; ``x`` and ``y`` stand for them.

    Raises
    ------
    CubeError
        If there is no such dim.
    """
    dims = ("time", *grid.dimensions)
    aliases = dict(zip(("time", "y", "x"), dims, strict=True))
    asked = {aliases.get(name, name): size for name, size in chunks.items()}
    if unknown := set(asked) - set(dims):
        raise CubeError(
            f"dask_chunks has {', '.join(sorted(map(str, unknown)))}; the dims are {', '.join(dims)}."
        )
    return asked


def chunk_sizes(
    groups: xr.DataArray, grid: GeoBox, chunks: Mapping[str, Any] | str
) -> tuple[int, int, int]:
    """Return the sizes of chunks along time, y and x, as `dc.load` understands them.

    Parameters
    ----------
    groups
        Dims ``(time)``, object: the datasets of each time.
    grid
        The output grid.
    chunks
        Pixels by dim. What is not named is a single time, or the whole extent. ``auto``: blocks of 2048 pixels.

    Raises
    ------
    CubeError
        If `chunks` is no mapping, or has unknown dims or sizes.
    """
    dims = ("time", *grid.dimensions)
    check_chunks(chunks)
    if isinstance(chunks, str):
        chunks = dict.fromkeys(grid.dimensions, BLOCK)
    asked = check_dims(chunks, grid)
    sizes = []
    for dim, length, default in zip(dims, (groups.size, *grid.shape), (1, -1, -1), strict=True):
        size = asked.get(dim, default)
        size = default if size is None or size == "auto" else size
        if not isinstance(size, Integral) or size == 0:
            raise CubeError(f"dask_chunks has {dim}: {size!r}; pass a number of pixels, or 'auto'.")
        sizes.append(length if size < 0 else int(size))
    return sizes[0], sizes[1], sizes[2]


def _overlap(a: Roi, b: Roi) -> bool:
    return all(p.start < q.stop and q.start < p.stop for p, q in zip(a, b, strict=True))


def _attributes(name: str) -> dict[str, Any]:
    """Return the attributes of a layer."""
    if name in FRACTIONS:
        kind = "cloud or thin cloud" if name == "cloud_fraction" else "cloud shadow"
        long_name = f"share of the mask's pixels with data that are {kind}"
        return {"units": "1", "nodata": math.nan, "long_name": long_name}
    return ucl_attrs() if name == "ucl" else confidence_attrs()
