import pytest

from everwarm_server.runtime import cpus


@pytest.mark.parametrize(
    ("affinity", "cpu_max", "whole"),
    [
        (64, "max 100000", 64),
        (64, "200000 100000\n", 2),
        (64, "150000 100000", 2),
        (64, "10000 100000", 1),
        (2, "800000 100000", 2),
        (3, "", 3),
        (3, "nonsense", 3),
        (3, "100 0", 3),
        (0, "max 100000", 1),
    ],
)
def test_the_smaller_of_affinity_and_quota_counts(affinity, cpu_max, whole):
    assert cpus.cpus(affinity, cpu_max) == whole


def test_concurrent_inferences_share_the_cpus(monkeypatch):
    monkeypatch.setattr(cpus, "available_cpus", lambda: 8)
    assert [cpus.threads_each(n) for n in (1, 2, 3, 8, 100)] == [8, 4, 2, 1, 1]


def test_a_machine_without_the_file_has_the_cpus_it_schedules_on(monkeypatch, tmp_path):
    monkeypatch.setattr(cpus, "CPU_MAX", tmp_path / "missing")
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: {0, 1, 5})
    assert cpus.available_cpus() == 3
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    monkeypatch.setattr(cpus, "CPU_MAX", tmp_path / "cpu.max")
    assert cpus.available_cpus() == 1
