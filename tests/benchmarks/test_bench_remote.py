"""The benchmark of remote tars counts what its server was asked."""

from pathlib import Path

import pytest

pytest.importorskip("aiohttp")

from remote import Server, compared, write_tar


def test_a_row_for_each_way_of_reading(tmp_path: Path) -> None:
    write_tar(tmp_path / "shard.tar", 20)
    server = Server(tmp_path, 0.0)
    try:
        table = compared(server, tmp_path / "shard.tar", 20, "at once", rounds=1)
    finally:
        server.close()
    rows = {row[0]: row for row in table.rows}
    assert rows["plain download"][2:4] == [1.0, 1]
    assert rows["pass, threads"][3] == 2  # its size, and its one block
    assert rows["scan"][3] == 3
    assert rows["scan, from the disk"][3] == 0
    assert rows["a request each, from 20 of them"][3] == 20
