"""Distillations small enough for tests, and what their folders hold."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.distillation import training
from support.files import is_folder

RATE = 16000
N_FILES, PER_FILE = 8, 8  # clips of one second
# Fast enough for tests: of one length, two variants, large steps.
QUICK: dict[str, Any] = {
    "width_mult": 0.05,
    "lengths": (1.0,),
    "clips_per_file": PER_FILE,
    "views": 2,
    "batch_seconds": 8.0,
    "epochs": 3,
}


def coloured_noise(seed: int, rate: int = RATE) -> np.ndarray:
    """A second of coloured noise and a beating tone, on 16-bit steps: seeds sound as different as they can."""
    rs = np.random.RandomState(seed)
    t = np.arange(rate) / rate
    spectrum = np.fft.rfft(rs.randn(rate)) / np.maximum(np.fft.rfftfreq(rate, 1 / rate), 50) ** rs.uniform(0, 2)
    noise = np.fft.irfft(spectrum, rate)
    pitch, beat = rs.uniform(100, 3000), rs.uniform(1, 8)
    tone = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 6) if pitch * k < rate / 2)
    x = rs.uniform(0.01, 0.6) * noise / np.abs(noise).max()
    x = x + rs.uniform(0, 0.3) * tone * (0.5 + 0.5 * np.sin(2 * np.pi * beat * t))
    rounded: np.ndarray = np.round(np.clip(x * rs.uniform(0.2, 1), -1, 0.99) * 32768) / 32768
    return rounded


Distill = Callable[..., Path]


@dataclasses.dataclass
class Ran:
    """A run of the command."""

    code: int
    out: str
    err: str
    folder: Path


def table(folder: Path) -> list[dict[str, float]]:
    """The metrics, as numbers."""
    with (folder / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def without_times(folder: Path) -> tuple[bytes, list[dict[str, float]], dict[str, Any]]:
    """All that must be the same for the same student: weights, metrics, description."""
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in table(folder)]
    description = json.loads((folder / "configuration.json").read_text())
    for key in ("seconds", "command"):
        del description["made"][key]
    return (folder / "model.safetensors").read_bytes(), rows, description


def leftovers(folder: Path) -> list[Path]:
    """Temporary files."""
    return list(folder.rglob(".*"))


def shards(folder: Path) -> dict[Path, int]:
    """Files of the teacher's answers, and when they were written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors") if path.name != "model.safetensors"}


def explained(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Fraction of the variance."""
    return 1 - float((found - wanted).square().mean() / (wanted - wanted.mean(dim=0)).square().mean())


TWO_AND_TWO: dict[str, Any] = {"epochs": 4, "fix_norm": 0.5}
L3: dict[str, Any] = {"teacher": "sea_64", "student": "l3", "views": 1, **TWO_AND_TWO}
STEPS = 7  # of each epoch: 56 clips of a second, eight at a time


def interrupting(function: Callable[..., Any], calls: int) -> Callable[..., Any]:
    """The function, of which call number ``calls`` (from 0) is interrupted."""
    counter = iter(range(10_000))

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if next(counter) == calls:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    return wrapped


def losses(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Has the epochs end with these validation losses."""
    measure, found = training.measure, iter(values)
    monkeypatch.setattr(training, "measure", lambda *a: {**measure(*a), "validation_loss": next(found)})


def watched_states(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """A list that gets the net's state at the end of each epoch."""
    states: list[dict[str, torch.Tensor]] = []
    save = training._save_state

    def watched(folder: Path, identity: str, net: Any, *arguments: Any) -> None:
        states.append({name: value.clone() for name, value in net.state_dict().items()})
        save(folder, identity, net, *arguments)

    monkeypatch.setattr(training, "_save_state", watched)
    return states


NAN, INF = float("nan"), float("inf")


def write_seconds(path: Path, n: int) -> Path:
    """A file of some seconds."""
    soundfile.write(path, np.concatenate([coloured_noise(9000 + k) for k in range(n)]), RATE)
    return path


def full_disk(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Has the disk be full from file number ``calls`` (from 0) on."""
    fsync, counter = os.fsync, iter(range(10_000))

    def full(descriptor: int) -> None:
        if is_folder(descriptor):
            return
        if next(counter) >= calls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr("hear_edgel3.disk.atomic.os.fsync", full)
