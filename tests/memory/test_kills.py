"""Whether the kernel has killed for want of memory, as its counts say."""

from __future__ import annotations

import pytest

from seqloader.memory import cgroups, kills
from seqloader.memory.kills import MemoryKills


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A mount of control groups and a machine's counts, in a folder."""
    mount = tmp_path / "cgroup"
    (mount / "job").mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("0::/job\n")
    machine = tmp_path / "vmstat"
    machine.write_text("pgfault 9\noom_kill 4\n")
    monkeypatch.setattr(cgroups, "_MOUNT", str(mount))
    monkeypatch.setattr(cgroups, "_OWN", str(own))
    monkeypatch.setattr(kills, "_MACHINE", str(machine))
    return tmp_path


def test_a_count_of_our_group_that_rises_names_the_group_once(system):
    events = system / "cgroup" / "job" / "memory.events"
    events.write_text("low 0\noom 1\noom_kill 1\noom_group_kill 0\n")
    known = MemoryKills()
    assert known.risen() == ""

    events.write_text("low 0\noom 2\noom_kill 2\noom_group_kill 0\n")

    assert known.risen() == f"the control group {system}/cgroup/job"
    assert known.risen() == ""


def test_the_machine_is_asked_only_where_no_group_counts(system):
    known = MemoryKills()
    (system / "vmstat").write_text("oom_kill 5\n")
    assert known.risen() == "the machine"

    (system / "cgroup" / "job" / "memory.events").write_text("oom_kill 0\n")
    inside = MemoryKills()
    (system / "vmstat").write_text("oom_kill 6\n")

    assert inside.risen() == ""


def test_groups_of_the_first_version_count_elsewhere(system):
    folder = system / "cgroup" / "memory" / "job"
    folder.mkdir(parents=True)
    (system / "own").write_text("4:memory:/job\n")
    control = folder / "memory.oom_control"
    control.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    known = MemoryKills()

    control.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")

    assert known.risen() == f"the control group {folder}"


def test_a_system_that_counts_nothing_has_killed_nobody(system):
    (system / "vmstat").unlink()

    assert MemoryKills().risen() == ""
