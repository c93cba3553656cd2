"""How many CPUs a container lets us have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hear_edgel3.jobs import cpus
from hear_edgel3.jobs.cpus import cpu_quota, usable_cpus


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n", "cpu.max": "9 1"}, 2.0),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "200000 100000\n"}, 0.5),
        ("0::/of/the/host\n", {"cpu.max": "300000 100000\n"}, 3.0),
        ("0::/../../x\n", {"cpu.max": "300000 100000\n"}, 3.0),
        (
            "12:cpu,cpuacct:/docker/x\n3:cpuset:/y\n",
            {"cpu/docker/x/cpu.cfs_quota_us": "250000\n", "cpu/docker/x/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("4:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "100\n", "cpu/cpu.cfs_period_us": "100\n"}, None),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "nonsense\n", "cpu/cpu.cfs_period_us": "0\n"}, None),
        ("0::/\n", {"cpu.max": "1 0\n"}, None),
        ("nonsense", {}, None),
    ],
)
def test_quotas(own: str, files: dict[str, str], expected: float | None, tmp_path: Path) -> None:
    write(tmp_path / "own", own)
    for name, text in files.items():
        write(tmp_path / "groups" / name, text)
    assert cpu_quota(tmp_path / "groups", tmp_path / "own") == expected


def test_no_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "none") is None


@pytest.mark.parametrize(("quota", "expected"), [("50000", 1), ("150000", 2), ("900000", 4), ("max", 4)])
def test_the_least_counts(quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    write(tmp_path / "own", "0::/")
    write(tmp_path / "groups" / "cpu.max", f"{quota} 100000")
    monkeypatch.setattr(cpus, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(cpus, "_OWN_GROUP", tmp_path / "own")
    assert usable_cpus() == expected
