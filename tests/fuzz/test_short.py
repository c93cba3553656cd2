"""The beginning of every kind of fuzzing; `python -m tests.fuzz --count N` goes on with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.kinds import KINDS
from fuzz.mutants import ROOMS
from fuzz.mutate import mutate
from fuzz.watch import Outcome, run

_COUNT = 151


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_read_or_refused(name: str) -> None:
    found = run(KINDS[name], range(_COUNT), seed=0, workers=1, limit_s=60)
    assert not found.faults, "\n".join(f"{name} {number}: {what}" for number, what in found.faults)
    assert sum(found.counts.values()) == _COUNT
    # The four unchanged ones at least, and some of what is damaged.
    assert found.counts["read"] >= 4
    assert found.counts["refused"] >= 10
    assert found.memory_mb < 2000


# What a mutant may do to the process that tries it, and what is said of that.
_ENDS = {
    "os.kill(os.getpid(), 9)": "died with status -9",
    "os.abort()": "Fatal Python error: Aborted",
    "time.sleep(60)": "longer than",
    "1 / 0": "ZeroDivision",
}


def test_what_should_not_be_is_noticed(tmp_path: Path) -> None:
    # In a program of its own, whose kind does one of those with every other mutant.
    (tmp_path / "try.py").write_text(
        f"""
import os, sys, time
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from fuzz import kinds, watch
from fuzz.kind import Kind, Sound

ends, tried = {list(_ENDS)!r}, {str(tmp_path / "tried")!r}

def attempt(name, data):
    with open(tried, "a") as file:
        file.write(".")
        number = file.tell() - 1
    if number % 2:
        exec(ends[number // 2])

kinds.KINDS["odd"] = Kind("odd", lambda place: [Sound("a", b"abc")], lambda place: attempt)
if __name__ == "__main__":
    found = watch.run(kinds.KINDS["odd"], range(8), 0, 1, 3)
    assert [number for number, _ in found.faults] == [1, 3, 5, 7], found
    for (_, what), said in zip(found.faults, {list(_ENDS.values())!r}):
        assert said in what, (said, what)
    assert found.n_faults == 4, found
"""
    )
    done = subprocess.run(
        [sys.executable, "try.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_mutants_are_the_same_for_the_same_seed() -> None:
    import random

    data = bytes(range(256)) * 4
    made = [[mutate(data, random.Random(i), [data], text) for i in range(50)] for text in (False, True) for _ in (0, 1)]
    assert made[0] == made[1]
    assert made[2] == made[3]
    assert sum(mutant != data for mutant in made[0]) >= 45


def test_rooms_of_code_to_change_are_there() -> None:
    root = Path(__file__).parents[2]
    for name, room in ROOMS.items():
        for pattern in (*room.code, *(f"tests/{pattern}" for pattern in room.tests)):
            assert any(root.glob(pattern)), f"{name}: there is no {pattern}"


def test_faults_of_one_cause_are_shown_twice_and_all_counted() -> None:
    outcome = Outcome()
    for number in range(5):
        outcome.fault(number, f'Traceback:\n  File "a.py", line 3, in f\nValueError: {number}')
    assert outcome.n_faults == 5
    assert [number for number, _ in outcome.faults] == [0, 1]


def test_killed_commands_come_to_the_same_end() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.kills", "--kills", "5"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" equal") == 6
