"""Windows of dask arrays hold the pixels of slices, and blocks are read once."""

from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph
from hypothesis import given
from strategies import randoms, tried

from odc_cleansat.grids.centres import Roi
from odc_cleansat.masks.blocks import pieces_of


def computed(arrays: list[da.Array], windows: list[Roi]) -> list[list[np.ndarray]]:
    """The pixels of each window, by array."""
    tasks, keys = pieces_of(arrays, windows, "cut")
    graph = HighLevelGraph.from_collections("cut", tasks, dependencies=arrays)
    found = da.Array.__dask_scheduler__(dict(graph), keys)
    return [
        [np.block([[each[i] for each in row] for row in pieces]) for i in range(len(arrays))]
        for pieces in found
    ]


def some(size: int, random: Random) -> slice:
    first = random.randrange(size)
    return slice(first, random.randint(first + 1, size))


def some_chunks(size: int, random: Random) -> tuple[int, ...]:
    edges = sorted({0, size, *(random.randint(1, size) for _ in range(random.randint(0, 4)))})
    return tuple(b - a for a, b in pairwise(edges))


@tried(30)
@given(random=randoms)
def test_windows_in_any_chunks_are_slices(random: Random) -> None:
    shape = random.randint(1, 4), random.randint(1, 30), random.randint(1, 30)
    values = np.arange(np.prod(shape), dtype="uint16").reshape(shape)
    chunks: Any = tuple(some_chunks(size, random) for size in shape)
    windows = [(some(shape[1], random), some(shape[2], random)) for _ in range(3)]
    arrays = [da.from_array(each, chunks) for each in (values, values + 1)]
    for window, (found, more) in zip(windows, computed(arrays, windows), strict=True):
        np.testing.assert_array_equal(found, values[(slice(None), *window)])
        np.testing.assert_array_equal(more, found + 1)
        assert found.dtype == values.dtype


def test_a_block_is_read_once_and_not_kept_by_its_pieces() -> None:
    read: Counter[tuple[int, ...]] = Counter()

    def block(block_info: Any) -> np.ndarray:
        read[block_info[None]["chunk-location"]] += 1
        return np.zeros(block_info[None]["chunk-shape"], "uint8")

    array = da.map_blocks(block, chunks=((1, 1), (40,), (40,)), dtype="uint8", meta=np.empty(0))
    windows = [(slice(a, a + 12), slice(0, 40)) for a in (0, 10, 20)]
    tasks, keys = pieces_of([array], windows, "cut")
    graph = HighLevelGraph.from_collections("cut", tasks, dependencies=[array])
    found = da.Array.__dask_scheduler__(dict(graph), keys)
    assert read == {(0, 0, 0): 1, (1, 0, 0): 1}
    assert [each.shape for (((each,),),) in found] == [(2, 12, 40)] * 3
    assert all(each.base is None for (((each,),),) in found)
