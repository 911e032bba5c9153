"""The index of a product: many writers, few files, and no row lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from odc_cleansat.catalog.index import open_index
from odc_cleansat.catalog.items import row_of
from odc_cleansat.catalog.parts import rows_of
from odc_cleansat.catalog.table import MERGED, ItemTable, View
from odc_cleansat.errors import GapWarning
from odc_cleansat.storage.folder import Folder

from .made import mask, with_masks

WRITER = """
import sys
from pathlib import Path
from odc_cleansat.catalog.index import open_index
from unit.catalog.made import mask, with_masks
root, name = Path(sys.argv[1]), sys.argv[2]
dc = with_masks(open_index(root))
for i in range(10_000):
    dc.index.datasets.add_all([mask(dc, root, f"{name}-{i}")])
    print(f"{name}-{i}", flush=True)
"""


def _row(root: Path, name: str, archived: float = 0.0) -> dict:
    dc = with_masks(open_index(root))
    return row_of(mask(dc, root, name), Folder(root), archived)


def _files(folder: Path) -> list[int]:
    return sorted(rows_of(path.name) or -1 for path in folder.iterdir())


def test_parts_are_merged_by_their_size(tmp_path: Path) -> None:
    table = ItemTable(Folder(tmp_path / "items"))
    for i in range(2 * MERGED + 3):
        table.add([_row(tmp_path, f"m{i}")])
    assert _files(tmp_path / "items") == [1, 1, 1, MERGED, MERGED]
    assert len(table.view()) == 2 * MERGED + 3
    table.merge()
    assert _files(tmp_path / "items") == [2 * MERGED + 3]
    assert len(table.view()) == 2 * MERGED + 3


def test_the_last_row_of_an_id_counts(tmp_path: Path) -> None:
    table = ItemTable(Folder(tmp_path / "items"))
    first, again = _row(tmp_path, "m"), _row(tmp_path, "m", archived=5.0)
    table.add([again])
    table.add([first])  # written late, but it is older
    view = table.view()
    assert len(view) == 1
    assert view.archived.tolist() == [True]
    table.merge()
    assert table.view().archived.tolist() == [True]
    assert view.number(first["id"]) == 0
    assert view.number("another") is None


def test_a_damaged_part_is_told_and_left(tmp_path: Path) -> None:
    table = ItemTable(Folder(tmp_path / "items"))
    table.add([_row(tmp_path, "m")])
    damaged = tmp_path / "items" / f"items-1-{'0' * 32}.parquet"
    damaged.write_bytes(b"PAR1 half")
    with pytest.warns(GapWarning, match="damaged"):
        assert len(table.view()) == 1
    table.add([_row(tmp_path, "n")])
    assert len(table.view()) == 2
    assert damaged.exists()


def test_parts_that_go_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program merges them in between."""
    writer = ItemTable(Folder(tmp_path / "items"))
    for i in range(3):
        writer.add([_row(tmp_path, f"m{i}")])
    reader = ItemTable(Folder(tmp_path / "items"))
    names = reader._names
    calls = []

    def listed() -> set[str]:
        found = names()
        if not calls:
            calls.append(1)
            writer.merge()
        return found

    monkeypatch.setattr(reader, "_names", listed)
    assert len(reader.view()) == 3


def test_parts_that_go_while_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program merges them after the folder was listed; no row is missing then."""
    writer = ItemTable(Folder(tmp_path / "items"))
    for i in range(3):
        writer.add([_row(tmp_path, f"m{i}")])
    listdir, merged = os.listdir, []

    def listed(path: Path | str) -> list[str]:
        found = listdir(path)
        if not merged:
            merged.append(1)
            writer.merge()
        return found

    monkeypatch.setattr(os, "listdir", listed)
    assert len(ItemTable(Folder(tmp_path / "items")).view()) == 3


def test_a_few_rows_are_found_without_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dc = with_masks(open_index(tmp_path))
    masks = [mask(dc, tmp_path, f"m{i}") for i in range(4)]
    dc.index.datasets.add_all(masks[:3])
    dc.index.datasets.archive([masks[1].id])
    table = ItemTable(Folder(tmp_path / "s2_l2a_ucl" / "items"))
    few = table.view([str(masks[1].id), str(masks[3].id), str(masks[0].id)])
    assert {few.number(each.id) for each in masks[:2]} == {0, 1}
    assert (len(few), few.number(masks[2].id), few.number(masks[3].id)) == (2, None, None)
    assert few.archived[few.number(masks[1].id)]
    assert f'"{masks[0].id}"' in few.documents(np.array([few.number(masks[0].id)]))[0]
    whole = []
    monkeypatch.setattr(
        View, "__init__", lambda view, parts, ids=None, init=View.__init__: (whole.append(ids), init(view, parts, ids))[1]
    )  # fmt: skip
    assert dc.index.datasets.has(masks[0].id)
    assert list(dc.index.datasets.bulk_has([masks[3].id, masks[2].id])) == [False, True]
    assert dc.index.datasets.get(masks[1].id).is_archived
    assert whole
    assert None not in whole


def test_to_add_rows_asks_for_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system takes the longer to tell, the larger the process is."""
    monkeypatch.setattr(psutil.Process, "memory_full_info", lambda *_: pytest.fail("asked"))
    table = ItemTable(Folder(tmp_path / "items"))
    table.add([_row(tmp_path, "m")])
    assert len(table.view()) == 1


def test_two_that_merge_at_once_lose_nothing(tmp_path: Path) -> None:
    one, two = (ItemTable(Folder(tmp_path / "items")) for _ in range(2))
    for i in range(3):
        one.add([_row(tmp_path, f"m{i}")])
    names = one._names()
    two._merge(names)
    one._merge(names)  # they have gone
    assert len(one.view()) == 3


def test_two_writers_that_are_killed(tmp_path: Path) -> None:
    """Whatever a writer has said to be entered is there, however it ended."""
    said: set[str] = set()
    for round_ in range(3):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path), f"{round_}{name}"],
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                text=True,
            )
            for name in "ab"
        ]
        try:
            for each in writers:
                assert each.stdout is not None
                said.add(each.stdout.readline().strip())
            time.sleep(1.5)
        finally:
            for each in writers:
                each.send_signal(signal.SIGKILL)
        for each in writers:
            rest, _ = each.communicate(timeout=30)
            said |= set(rest.split("\n")[:-1]) - {""}
    view = ItemTable(Folder(tmp_path / "s2_l2a_ucl" / "items")).view()
    dc = with_masks(open_index(tmp_path))
    lost = [name for name in said if view.number(mask(dc, tmp_path, name).id) is None]
    assert len(said) > 10
    assert lost == []
