"""The same again, and going on: interrupted runs go on as if nothing had been."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hear_edgel3.cli import main
from hear_edgel3.distillation import examples, training
from hear_edgel3.errors import InvalidOption
from support.distilling import L3, STEPS, TWO_AND_TWO, Distill, interrupting, leftovers, shards, table, without_times
from support.types import Captured


def test_the_seed_decides(distill: Distill, straight: Path, cache: Path, tmp_path: Path) -> None:
    """The same from a cache of its own; the caller's random numbers are left alone; another seed is another student."""
    torch.manual_seed(1)
    before, np_before, py_before = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()
    again = distill(tmp_path / "again", cache=None, **TWO_AND_TWO)
    assert torch.equal(torch.get_rng_state(), before)
    assert repr(np.random.get_state(legacy=False)) == repr(np_before)
    assert random.getstate() == py_before
    assert without_times(again) == without_times(straight)
    inside = shards(again / "cache")
    assert {path.relative_to(again / "cache") for path in inside} <= {path.relative_to(cache) for path in shards(cache)}
    other = distill(tmp_path / "other", seed=1, epochs=1)
    assert (other / "model.safetensors").read_bytes() != (straight / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("place", "calls", "done"),
    [
        ("measure", 0, 0),
        ("_augmented", STEPS + 3, 1),
        ("_save_state", 1, 1),
        ("_say", 1, 2),
        ("_augmented", 2 * STEPS, 2),
        ("_augmented", 3 * STEPS + 3, 3),
    ],
)
def test_going_on(
    place: str, calls: int, done: int, distill: Distill, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted between epochs, in the middle of one, or while it is written down: the same student.

    While batch norm measures, just as its statistics have been fixed (two are done), and later.
    """
    output = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(training, place, interrupting(getattr(training, place), calls))
        with pytest.raises(KeyboardInterrupt):
            distill(output, quiet=place != "_say", **TWO_AND_TWO)
    assert not (output / "model.safetensors").exists()
    assert leftovers(output) == []
    assert (output / "training.pt").exists() == (done > 0)
    if done:
        assert len(table(output)) == done
    distill(output, **TWO_AND_TWO)
    assert without_times(output) == without_times(straight)


def test_nothing_left_to_do(distill: Distill, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is done is written again from what it holds, and is the same; it may have moved, and the audio."""
    moved = shutil.copytree(straight, tmp_path / "moved")
    monkeypatch.setattr(training, "_epoch", interrupting(training._epoch, 0))
    distill(moved, **TWO_AND_TWO)
    assert without_times(moved) == without_times(straight)


def test_the_cache_goes_by_what_is_in_the_audio(
    distill: Distill, audio: Path, straight: Path, cache: Path, tmp_path: Path
) -> None:
    """Not by where it is; and other variants of it are other answers."""
    before = shards(cache)
    elsewhere = shutil.copytree(audio, tmp_path / "elsewhere")
    distill(tmp_path / "out", audio=[elsewhere], epochs=1)
    assert shards(cache) == before
    own = shutil.copytree(cache, tmp_path / "cache")
    distill(tmp_path / "views", "sea_64", cache=own, student="l3", views=1, gain_db=0.0, epochs=1)
    assert len(shards(own)) == len(before) + 2


def test_each_epoch_runs_once(distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done before an interrupt is not done again."""
    ran: list[int] = []
    epoch = training._epoch

    def watched(number: int, *arguments: Any) -> dict[str, float]:
        ran.append(number)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return epoch(number, *arguments)

    monkeypatch.setattr(training, "_epoch", watched)
    with pytest.raises(KeyboardInterrupt):
        distill(tmp_path / "out", **L3)
    distill(tmp_path / "out", **L3)
    assert ran == [0, 1, 2, 2, 3]


def test_interrupted_while_the_teacher_is_asked(
    distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has said is kept; the rest is asked for."""
    output, options = tmp_path / "out", {**L3, "cache": None, "epochs": 1}
    monkeypatch.setattr(examples, "_CLIPS_PER_SHARD", 16)
    with monkeypatch.context() as patched:
        patched.setattr(examples._Maker, "shard", interrupting(examples._Maker.shard, 3))
        with pytest.raises(KeyboardInterrupt):
            distill(output, **options)
    before = shards(output)
    assert len(before) == 3
    assert leftovers(output) == []
    distill(output, **options)
    after = shards(output)
    assert len(after) == 1 + 4  # 8 and 56 clips
    assert {path: after[path] for path in before} == before
    # one that was not interrupted; another shard size mixes sounds with other sounds, so this is not `straight`
    distill(tmp_path / "whole", **options)
    assert without_times(tmp_path / "whole") == without_times(output)


# Kills its own process, without a chance to say good-bye, just before file number N (from 0) is in its place.
KILLED = """
import os, signal, sys
from hear_edgel3.cli import main

replace, done = os.replace, []

def fatal(source, target):
    if len(done) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(target)
    replace(source, target)

os.replace = fatal
sys.exit(main(sys.argv[2:]))
"""


def test_killed(
    distill: Distill, straight: Path, audio: Path, cache: Path, mobilenetv3_folder: Path, tmp_path: Path
) -> None:
    """Between the state of the first epoch with fixed statistics and its table, which is put right."""
    output = tmp_path / "out"
    arguments = ["distill", "--teacher", "mn01_as", "--teacher-weights", str(mobilenetv3_folder), "--audio", str(audio)]
    arguments += ["--cache", str(cache), "--output", str(output), "--device", "cpu", "--quiet"]
    arguments += "--width 0.05 --lengths 1 --clips-per-file 8 --views 2 --batch-seconds 8".split()
    arguments += "--epochs 4 --fix-norm 0.5".split()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    known = shards(cache)
    process = subprocess.run(
        [sys.executable, "-c", KILLED, "5", *arguments], env=environment, capture_output=True, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert len(table(output)) == 2
    assert torch.load(output / "training.pt", weights_only=True)["progress"]["epoch"] == 3
    assert not (output / "model.safetensors").exists()
    distill(output, **TWO_AND_TWO)
    assert without_times(output) == without_times(straight)
    assert shards(cache) == known


def test_the_command_interrupted(
    audio: Path, weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(training, "measure", interrupting(training.measure, 0))
    arguments = ["distill", "--teacher", "sea_64", "--teacher-weights", str(weights_folder), "--audio", str(audio)]
    arguments += "--student l3 --views 1 --width 0.05 --clips-per-file 8 --quiet --device cpu".split()
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "hear-edgel3: interrupted\n"


def test_another_precision_in_the_same_process(distill: Distill, tmp_path: Path) -> None:
    """The trainer library keeps one per process, if it is let. 8-bit mantissas change the loss, and not by much."""
    options: dict[str, Any] = {"teacher": "sea_64", "student": "l3", "views": 1, "epochs": 1}
    first = distill(tmp_path / "first", **options)
    second = distill(tmp_path / "second", **options, precision="bf16")
    assert table(first)[0]["train_loss"] != table(second)[0]["train_loss"]
    assert table(first)[0]["train_loss"] == pytest.approx(table(second)[0]["train_loss"], rel=0.05)
    with pytest.raises(InvalidOption, match=r"precision 'fp16' cannot be had here: .*GPU"):
        distill(tmp_path / "third", **options, precision="fp16")
