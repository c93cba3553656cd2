"""The words for who does the parts and for what runs the net, old and new."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.errors import InvalidOption
from hear_edgel3.jobs.options import Options, check_for_runner, runner_and_engine
from support.files import write_clip


@pytest.mark.parametrize(
    ("runner", "engine", "net_engine", "meant"),
    [
        (None, None, None, ("local", "auto")),
        ("ray", None, None, ("ray", "auto")),
        (None, "numba", None, ("local", "numba")),
        ("ray", "numba", None, ("ray", "numba")),
        # as it was: `engine` said who does the parts, and `net_engine` what runs the net
        (None, "ray", None, ("ray", "auto")),
        (None, "local", "eager", ("local", "eager")),
        ("ray", "ray", "eager", ("ray", "eager")),
        (None, None, "eager", ("local", "eager")),
        (None, "eager", "eager", ("local", "eager")),
        ("spark", "abacus", None, ("spark", "abacus")),
    ],
)
def test_old_and_new_words(
    runner: str | None, engine: str | None, net_engine: str | None, meant: tuple[str, str]
) -> None:
    assert runner_and_engine(runner, engine, net_engine) == meant


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("local", "ray", None), "runner='local' and engine='ray' both say who does the parts"),
        (("ray", "local", "eager"), "runner='ray' and engine='local' both say who does the parts"),
        ((None, "auto", "eager"), "engine='auto' and net_engine='eager' both say what runs the net"),
    ],
)
def test_words_that_contradict_each_other(words: tuple[str | None, str | None, str | None], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        runner_and_engine(*words)


def test_options_do_not_change() -> None:
    options = Options()
    with pytest.raises(FrozenInstanceError):
        options.threads = 2  # type: ignore[misc]


def test_a_job_that_was_begun_with_the_old_words_goes_on_with_the_new_ones() -> None:
    write_clip("in/a.wav")
    hear_edgel3.extract("in", "out", engine="local", net_engine="eager", workers=1)
    assert json.loads(Path("out/_job/00000/job.json").read_text())["net_engine"] == "eager"
    write_clip("in/b.wav")
    summary = hear_edgel3.extract("in", "out", runner="local", engine="eager", workers=1)
    assert (summary.files, summary.parts_kept, summary.all_well) == (1, 1, True)


@pytest.mark.parametrize(("concurrency", "num_gpus", "name"), [(2, 0, "concurrency"), (None, 0.5, "num_gpus")])
def test_what_only_ray_has_is_refused_without_it(concurrency: int | None, num_gpus: float, name: str) -> None:
    check_for_runner("ray", None, concurrency, num_gpus, None)
    message = f"{name} is for Ray tasks: give runner ray too, or leave it out"
    with pytest.raises(InvalidOption, match=message):
        check_for_runner("local", None, concurrency, num_gpus, None)
