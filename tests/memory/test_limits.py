"""How much memory and how many CPUs there are: what the system says, and what its groups allow."""

from __future__ import annotations

import os

import pytest

from seqloader.memory import cgroups, cpus, headroom


@pytest.fixture
def grouped(monkeypatch, tmp_path):
    """Puts this process into control groups: its line in /proc, and files of one folder."""

    def put(line, folder, files):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
        (tmp_path / "own").write_text(line)
        monkeypatch.setattr(cgroups, "_MOUNT", str(tmp_path))
        monkeypatch.setattr(cgroups, "_OWN", str(tmp_path / "own"))
        headroom._limits.cache_clear()

    yield put
    headroom._limits.cache_clear()


def test_available_memory_is_what_the_system_says():
    available = headroom.available_bytes()

    assert available is not None
    assert 0 < available <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("line", "folder", "files", "rest"),
    [
        (
            "0::/a/b\n",
            "a",
            {"memory.max": "1000", "memory.current": "700", "memory.stat": "inactive_file 100\n"},
            400,
        ),
        ("0::/a/b\n", "a/b", {"memory.max": "max", "memory.current": "700"}, None),
        ("0::/host/path\n", ".", {"memory.max": "1000", "memory.current": "1700"}, 0),
        (
            "9:memory:/x\n0::/\n",
            "memory/x",
            {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "300"},
            700,
        ),
    ],
)
def test_rest_of_a_group_is_its_limit_less_what_cannot_be_dropped(
    grouped, line, folder, files, rest
):
    grouped(line, folder, files)

    rests = [limit.rest_bytes() for limit in headroom._limits()]

    assert rests == ([] if rest is None else [rest])


@pytest.mark.parametrize(
    ("line", "folder", "files", "quota"),
    [
        ("0::/a/b\n", "a", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", "a/b", {"cpu.max": "max 100000\n"}, None),
        ("0::/host/path\n", ".", {"cpu.max": "50000 100000\n"}, 0.5),
        (
            "3:cpu,cpuacct:/x\n0::/\n",
            "cpu/x",
            {"cpu.cfs_quota_us": "200000\n", "cpu.cfs_period_us": "100000\n"},
            2.0,
        ),
        (
            "3:cpu:/x\n",
            "cpu/x",
            {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"},
            None,
        ),
        ("3:cpu:/x\n", "cpu/x", {"cpu.cfs_quota_us": "1\n", "cpu.cfs_period_us": "0\n"}, None),
    ],
)
def test_quota_of_a_group_limits_the_cpus(grouped, line, folder, files, quota):
    grouped(line, folder, files)

    assert cpus.cpu_quota() == quota
    assert 1 <= cpus.usable_cpus() <= max(1, round((quota or os.cpu_count()) + 0.5))


def test_where_proc_says_nothing_what_is_mounted_counts(grouped, monkeypatch, tmp_path):
    grouped("", ".", {"cpu.max": "150000 100000\n"})
    monkeypatch.setattr(cgroups, "_OWN", str(tmp_path / "absent"))

    assert cpus.cpu_quota() == 1.5
