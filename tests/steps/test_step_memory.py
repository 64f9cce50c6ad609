import os

import pytest

from reactions.core import memory_budget
from reactions.core.memory_budget import SHARE, budget_bytes, free_bytes

MEMINFO = "MemTotal:       24000 kB\nMemFree:         1000 kB\nMemAvailable:    9000 kB\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of the test's own, without a container."""
    (tmp_path / "meminfo").write_text(MEMINFO)
    monkeypatch.setattr(memory_budget, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory_budget, "_CGROUP", tmp_path)
    return tmp_path


def limit(folder, most, used, files):
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files}\nactive_file 7\n")


def test_this_machine_has_memory():
    assert free_bytes("cpu") > 1 << 20
    assert 0 < budget_bytes("cpu") < free_bytes("cpu")


def test_the_cache_of_files_counts_as_free(machine):
    assert free_bytes("cpu") == 9000 * 1024
    assert budget_bytes("cpu") == int(SHARE * 9000 * 1024)
    assert budget_bytes("cpu", 0.8) == int(0.8 * 9000 * 1024)


def test_a_container_may_leave_less(machine):
    limit(machine, 4_000_000, 3_000_000, 500_000)
    assert free_bytes("cpu") == 1_500_000
    limit(machine, 2_000_000, 3_000_000, 0)
    assert free_bytes("cpu") == 0
    limit(machine, "max", 3_000_000, 0)
    assert free_bytes("cpu") == 9000 * 1024


def test_without_a_way_to_ask_a_small_machine_is_assumed(machine, monkeypatch):
    (machine / "meminfo").unlink()
    assert free_bytes("cpu") == os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def refuse(name):
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", refuse)
    assert free_bytes("cpu") == 4 << 30
