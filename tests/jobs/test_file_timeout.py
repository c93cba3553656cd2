"""Files of which nothing comes are given up when there is a limit, and the rest goes on."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset, Description
from hear_edgel3.errors import ComputationError, InvalidOption
from hear_edgel3.jobs import plan, worker
from hear_edgel3.jobs.manifest import list_items
from hear_edgel3.jobs.pool import Mark, Pool, TimedOut
from hear_edgel3.jobs.worker import PartCounts
from support.files import write_clip
from support.stuck import start, wait_until_stuck

pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.skipif(sys.platform == "win32", reason="signals")]

_GIVEN_UP = "it was not done after 2 s (--file-timeout), and was given up"


def finish(*arguments: str) -> tuple[int, str, str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=120)
    assert b"Traceback" not in err
    return process.returncode, out.decode(), err.decode()


def rows(folder: str = "out") -> dict[str, str | None]:
    return {row["file"]: row["error"] for batch in Dataset(folder).batches() for row in batch.to_pylist()}


def test_extract_gives_it_up_and_goes_on() -> None:
    for name in ("0.wav", "1stuck.wav", "2.wav", "3slow.wav", "4.wav"):
        write_clip(f"in/{name}")
    status, _, err = finish("extract", "in", "-o", "out", "--workers", "1", "--file-timeout", "2")
    assert status == 1
    assert _GIVEN_UP in err
    found = rows()
    assert sorted(found) == [f"in/{name}" for name in ("0.wav", "1stuck.wav", "2.wav", "3slow.wav", "4.wav")]
    assert {name for name, error in found.items() if error} == {"in/1stuck.wav"}
    assert found["in/1stuck.wav"] == f"ComputationError: in/1stuck.wav: {_GIVEN_UP}"
    assert [name for name in os.listdir("out") if name.startswith(".")] == []
    # When the disk answers again, and another limit is no other job:
    assert main(["extract", "in", "-o", "out", "--workers", "1", "--retry-failed", "-q"]) == 0
    assert set(rows().values()) == {None}


@pytest.mark.parametrize("form", [["--csv"], ["-o", "tags.csv"], ["--json", "--workers", "2"]])
def test_tag_gives_it_up_and_goes_on(form: list[str]) -> None:
    for name in ("0.wav", "1stuck.wav", "2.wav"):
        write_clip(f"in/{name}")
    status, out, err = finish("tag", "in", "--file-timeout", "2", *form)
    assert status == 1
    assert f"in/1stuck.wav: {_GIVEN_UP}" in err
    if form[0] == "--json":
        tagged = [json.loads(line)["file"] for line in out.splitlines()]
    else:
        text = out if form[0] == "--csv" else Path("tags.csv").read_text()
        tagged = list(dict.fromkeys(row["file"] for row in csv.DictReader(text.splitlines())))
    assert tagged == ["in/0.wav", "in/2.wav"]


def test_time_in_which_all_was_stopped_does_not_count() -> None:
    write_clip("in/0slow.wav")
    process = start("extract", "in", "-o", "out", "--workers", "1", "--file-timeout", "2")
    wait_until_stuck(process)
    time.sleep(0.6)  # it has looked at its worker
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(4)
    os.killpg(process.pid, signal.SIGCONT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert rows() == {"in/0slow.wav": None}


def _work(sure: bool) -> Callable[[str, Callable[[object], None], Mark], str]:
    def work(task: str, report: Callable[[object], None], mark: Mark) -> str:
        for step in range(8):
            mark(step, sure)
            time.sleep(0.2 if task != "stuck" or step != 5 else 60)
        return task

    return work


@pytest.mark.parametrize("sure", [True, False])
def test_steps_have_the_limit_and_not_the_task(sure: bool) -> None:
    """And which one it was is said if it is sure."""
    tasks = iter(["a", "stuck", "b"])
    pool: Pool[str, str] = Pool(partial(_work, sure), 1, lambda _number, _value: None, limit=1.0)
    begun = time.monotonic()
    found = list(pool.serve(lambda: next(tasks, None)))
    assert found == [("a", "a"), ("stuck", TimedOut(1.0, 5 if sure else None)), ("b", "b")]
    assert time.monotonic() - begun < 30


def part_of(n: int) -> tuple[plan.Job, plan.Part]:
    for i in range(n):
        write_clip(f"in/{i}.wav", seed=i)
    description = Description("tiny", "", 1, 224, None, "float32", "0")
    job = plan.Job(os.path.abspath("out"), os.getcwd(), description, "auto")
    plan.publish(job, 0, list_items(["in"]).items, None)
    return job, plan.parts_of(job)[0]


def test_what_is_tried_next() -> None:
    tasks = worker.attempts(*part_of(3))
    assert next(tasks).bad == {}
    task = tasks.send(TimedOut(9, 1))
    assert task.only is None
    assert {i: str(error) for i, error in task.bad.items()} == {
        1: "in/1.wav: it was not done after 9 s (--file-timeout), and was given up"
    }
    # It was in the net, with windows of several files: each is tried alone.
    assert tasks.send(TimedOut(9, None)).only == 0
    assert tasks.send(PartCounts()).only == 2
    task = tasks.send(TimedOut(9, None))
    assert task.only is None
    assert sorted(task.bad) == [1, 2]
    # What is given up already cannot be given up again: its disk does not even say what it is like.
    for step in (1, 2):
        assert tasks.send(TimedOut(9, step)).only == 0
        assert tasks.send(PartCounts()).only is None
    with pytest.raises(ComputationError, match=r"3 worker processes .* after 9 s .* their disk may not answer"):
        tasks.send(TimedOut(9, 1))


def test_limits_that_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    write_clip("a.wav")
    for limit in (0, -1, float("nan"), float("inf"), "long", True):
        with pytest.raises(InvalidOption, match="file_timeout must be a positive number of seconds"):
            hear_edgel3.extract("a.wav", "out", file_timeout=limit)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="file_timeout is for processes on this machine, and Ray does the work"):
        hear_edgel3.extract("a.wav", "out", runner="ray", file_timeout=5)
    assert main(["extract", "a.wav", "-o", "out", "--runner", "ray", "--file-timeout", "5"]) == 2
    assert "--file-timeout is for processes on this machine" in capsys.readouterr().err
    for command in (["extract", "a.wav", "-o", "out"], ["tag", "a.wav"]):
        with pytest.raises(SystemExit):
            main([*command, "--file-timeout", "0"])
        assert re.search(r"--file-timeout: must be a positive number of seconds, got 0", capsys.readouterr().err)
    assert not Path("out").exists()
