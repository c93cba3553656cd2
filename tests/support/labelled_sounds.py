"""Labelled sounds that are made up: hums, buzzes and hisses, each by "speakers" of different pitch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from hear_edgel3.audio.resample import resample
from hear_edgel3.detectors.fine_tuning import FineTuneOptions, Tuned, fine_tune
from hear_edgel3.extractor import Extractor
from hear_edgel3.heads import Head, HeadLayout, make_head
from hear_edgel3.labels import Kind, Labelled, Split
from hear_edgel3.sources.item import Item
from hear_edgel3.training.loop import make_accelerator

RATE = 16000
CLASSES = ("hum", "buzz", "hiss")
PER_CLASS = 12
Tune = Callable[..., Tuned]


def sound(number: int, speaker: int, take: int, seconds: float) -> np.ndarray:
    rs = np.random.RandomState(1000 * speaker + take)
    t = np.arange(int(seconds * RATE)) / RATE
    pitch = 300 * 1.25**speaker
    x = sum(np.sin(2 * np.pi * pitch * k * t) for k in range(1, 2 if number == 0 else 9))
    x = x if number < 2 else rs.randn(len(t)) * (1 + np.sin(2 * np.pi * pitch / 30 * t))
    x = x * np.hanning(len(t)) / np.abs(x).max() * rs.uniform(0.05, 0.3)
    return np.asarray(x + 0.002 * rs.randn(len(t)))


def make_labelled(folder: Path, kind: Kind = Kind.SINGLE, seconds: tuple[float, ...] = (0.4, 0.5, 0.6)) -> Labelled:
    """36 sounds by 4 speakers, of about half a second, in 3 classes; or the same with labels, or with numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    items, classes, speakers = [], [], []
    for number, name in enumerate(CLASSES):
        for i in range(PER_CLASS):
            path = folder / f"{name}_{i}.wav"
            if not path.is_file():
                soundfile.write(path, sound(number, i % 4, i, seconds[i % len(seconds)]), RATE, subtype="FLOAT")
            items.append(Item(str(path), path.stat().st_size))
            classes.append(number)
            speakers.append(f"speaker {i % 4}")
    classes_of, by = np.array(classes, np.int64), np.array([int(name[-1]) for name in speakers])
    if kind is Kind.SINGLE:
        return Labelled("sounds", kind, CLASSES, tuple(items), classes_of, groups=tuple(speakers))
    if kind is Kind.SEVERAL:
        targets = np.stack([classes_of == 0, classes_of == 2, by >= 2], axis=1).astype(np.uint8)
        mask = np.ones(targets.shape, bool)
        mask[::5, 2] = False
        return Labelled("sounds", kind, ("hum", "hiss", "high"), tuple(items), targets, mask, groups=tuple(speakers))
    numbers = np.stack([classes_of - 1.0, 300 * 1.25**by], axis=1).astype(np.float32)
    return Labelled("sounds", kind, ("noise", "hertz"), tuple(items), numbers, groups=tuple(speakers))


def heard(labelled: Labelled, rows: np.ndarray) -> list[torch.Tensor]:
    """Sounds at 32 kHz as the cache has them: with 16 bits of their peaks."""
    found = []
    for row in rows:
        audio, rate = soundfile.read(labelled.items[row].file, dtype="float32")
        converted = resample(torch.from_numpy(audio), rate, 32000)
        scale = np.float32(max(float(converted.abs().max()), 1e-9) / 32767)
        found.append(torch.from_numpy(np.rint(converted.numpy() / scale).astype(np.int16) * scale))
    return found


def split_of(labelled: Labelled) -> Split:
    """Two speakers to learn from, one to validate, one to test."""
    speaker = np.array([int(name[-1]) for name in labelled.groups or ()])
    return Split("by speaker", np.flatnonzero(speaker < 2), np.flatnonzero(speaker == 2), np.flatnonzero(speaker == 3))


def new_head(extractor: Extractor, n_outputs: int) -> Head:
    return make_head(HeadLayout("linear", extractor.scene_embedding_size, n_outputs, standardize=True), 0)


def tune(
    labelled: Labelled,
    extractor: Extractor,
    folder: Path,
    head: Head | str | None = "new",
    split: Split | None = None,
    precision: str = "no",
    quiet: bool = True,
    **options: Any,
) -> Tuned:
    """Fine-tunes with what is quick where nothing else is said."""
    given = FineTuneOptions(**{"epochs": 4, "head_epochs": 1, "batch_size": 6, "precision": precision, **options})
    made = new_head(extractor, len(labelled.classes)) if isinstance(head, str) else head
    accelerator = make_accelerator(precision, "cpu", "training", "train")
    return fine_tune(
        labelled,
        split or split_of(labelled),
        extractor,
        made,
        given,
        folder,
        accelerator,
        quiet,
        folder.parent / "kept",
    )


def same(first: Tuned, second: Tuned) -> bool:
    """Whether two trainings came to the same, to the bit."""

    def rows(tuned: Tuned) -> list[dict[str, float]]:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in tuned.metrics]

    states = [
        {
            **{f"net.{k}": v for k, v in one.net_state.items()},
            **{f"head.{k}": v for k, v in (one.head_state or {}).items()},
        }
        for one in (first, second)
    ]
    return (
        rows(first) == rows(second)
        and first.epoch == second.epoch
        and states[0].keys() == states[1].keys()
        and all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    )
