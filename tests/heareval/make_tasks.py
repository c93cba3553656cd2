"""Writes two small tasks with synthetic sounds, in the folders that heareval reads.

    python tests/heareval/make_tasks.py OUTPUT [--sample-rates 16000 32000 48000] [--grid small|heareval]

synthetic_scenes has one of four kinds of sound per clip (multiclass, three folds); synthetic_events has many, one after
the other, with their times (multilabel, train, valid and test). Every clip is a formula whose sound lies below
3.5 kHz, computed anew at each rate: no resampler takes part, and models of all rates hear the same.

    OUTPUT/<name>-v1-full/task_metadata.json      see metadata()
                          labelvocabulary.csv     idx,label
                          <split>.json            {"a.wav": ["hum"]} or {"a.wav": [{"label", "start", "end"}, ...]} (ms)
                          <sample rate>/<split>/a.wav
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# heareval trains one predictor for each of 8 points of its own grid, for up to 500 epochs. One small predictor will do.
SMALL_GRID = {"hidden_layers": [1], "hidden_dim": [128], "batch_size": [64], "lr": [1e-3], "max_epochs": [60]}
SCENE_SECONDS, EVENT_SECONDS = 1.0, 8.0

Wave = Callable[[np.ndarray], np.ndarray]


def hum(rng: np.random.Generator) -> Wave:
    """Harmonics of a low note."""
    f0, phases = rng.uniform(100, 140), rng.uniform(0, 2 * math.pi, 8)
    return lambda t: sum(np.sin(2 * np.pi * k * f0 * t + phases[k - 1]) / k for k in range(1, 9))


def hiss(rng: np.random.Generator, low: float = 1800, high: float = 3400) -> Wave:
    """Noise of a band: many sinusoids."""
    frequencies, phases = rng.uniform(low, high, 40), rng.uniform(0, 2 * math.pi, 40)
    return lambda t: sum(np.sin(2 * np.pi * f * t + p) for f, p in zip(frequencies, phases, strict=True)) / 6


def siren(rng: np.random.Generator) -> Wave:
    """A tone whose pitch swings."""
    centre, swing, rate = rng.uniform(850, 950), rng.uniform(250, 350), rng.uniform(2.5, 3.5)
    return lambda t: np.sin(2 * np.pi * centre * t + swing / rate * np.sin(2 * np.pi * rate * t))


def knocks(rng: np.random.Generator) -> Wave:
    """Short strokes, eight or so in a second."""
    rate, pitch, offset = rng.uniform(7, 9), rng.uniform(380, 450), rng.uniform(0, 0.1)

    def strokes(t: np.ndarray) -> np.ndarray:
        since = np.mod(t - offset, 1 / rate)
        return 400 * since * np.exp(-since / 0.01) * np.sin(2 * np.pi * pitch * since)

    return strokes


SOUNDS: dict[str, Callable[[np.random.Generator], Wave]] = {f.__name__: f for f in (hiss, hum, knocks, siren)}


@dataclass(frozen=True)
class Clip:
    """Sounds with their times in seconds and gains, over faint noise; the same clip at every rate."""

    seconds: float
    noise: Wave
    parts: list[tuple[Wave, float, float, float]]

    def render(self, sample_rate: int) -> np.ndarray:
        """16-bit samples."""
        t = np.arange(round(self.seconds * sample_rate)) / sample_rate
        samples = 0.01 * self.noise(t)
        for sound, start, end, gain in self.parts:
            here = (t >= start) & (t < end)
            since = t[here] - start
            ramps = np.clip(np.minimum(since, end - start - since) / 0.01, 0, 1)
            samples[here] += gain * ramps * sound(since)
        return np.round(np.clip(0.2 * samples, -1, 1) * 32767).astype("<i2")


def scene(rng: np.random.Generator, label: str) -> tuple[Clip, list[str]]:
    """One sound from the beginning to the end."""
    part = (SOUNDS[label](rng), 0.0, SCENE_SECONDS, rng.uniform(0.3, 1))
    return Clip(SCENE_SECONDS, hiss(rng, 100, 3400), [part]), [label]


def events(rng: np.random.Generator) -> tuple[Clip, list[dict[str, Any]]]:
    """Sounds of about a second with pauses of about half a second."""
    parts, labels = [], []
    start = rng.uniform(0.3, 1)
    while (end := start + rng.uniform(0.8, 1.4)) < EVENT_SECONDS - 0.2:
        label = str(rng.choice(list(SOUNDS)))
        parts.append((SOUNDS[label](rng), start, end, rng.uniform(0.5, 1)))
        labels.append({"label": label, "start": round(1000 * start, 3), "end": round(1000 * end, 3)})
        start = end + rng.uniform(0.4, 0.8)
    return Clip(EVENT_SECONDS, hiss(rng, 100, 3400), parts), labels


def metadata(name: str, small_grid: bool, splits: list[str], **other: Any) -> dict[str, Any]:
    """task_metadata.json: what both runners read of it."""
    values = {"task_name": name, "version": "v1", "mode": "full", "splits": splits, **other}
    if small_grid:
        values["evaluation_params"] = {"task_specific_param_grid": SMALL_GRID}
    return values


def write_wav(path: Path, samples: np.ndarray, sample_rate: int) -> None:
    """Mono, 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(samples.tobytes())


def write_task(
    output: Path, sample_rates: list[int], values: dict[str, Any], clips: dict[str, dict[str, tuple[Clip, list[Any]]]]
) -> Path:
    """Writes one task; `clips` are the clips and labels of each split by file name."""
    folder = output / f"{values['task_name']}-{values['version']}-{values['mode']}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task_metadata.json").write_text(json.dumps(values, indent=4))
    with (folder / "labelvocabulary.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("idx", "label"), *enumerate(sorted(SOUNDS))])
    for split, files in clips.items():
        (folder / f"{split}.json").write_text(json.dumps({name: labels for name, (_, labels) in files.items()}))
        for sample_rate in sample_rates:
            for name, (clip, _) in files.items():
                write_wav(folder / str(sample_rate) / split / name, clip.render(sample_rate), sample_rate)
    return folder


def write_tasks(output: Path, sample_rates: list[int], small_grid: bool = True) -> list[Path]:
    """Writes both tasks and returns their folders; the same bytes every time."""
    rng = np.random.default_rng(0)
    labels = sorted(SOUNDS)
    folds = {
        fold: {f"{fold}_{i:02d}.wav": scene(rng, labels[i % len(labels)]) for i in range(24)}
        for fold in ("fold00", "fold01", "fold02")
    }
    splits = {
        split: {f"{split}_{i:02d}.wav": events(rng) for i in range(n)}
        for split, n in (("train", 8), ("valid", 4), ("test", 4))
    }
    scenes = metadata(
        "synthetic_scenes",
        small_grid,
        list(folds),
        embedding_type="scene",
        prediction_type="multiclass",
        split_mode="new_split_kfold",
        sample_duration=SCENE_SECONDS,
        evaluation=["top1_acc", "mAP"],
    )
    timed = metadata(
        "synthetic_events",
        small_grid,
        list(splits),
        embedding_type="event",
        prediction_type="multilabel",
        split_mode="trainvaltest",
        sample_duration=EVENT_SECONDS,
        evaluation=["event_onset_200ms_fms", "segment_1s_er"],
    )
    return [write_task(output, sample_rates, scenes, folds), write_task(output, sample_rates, timed, splits)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--sample-rates", type=int, nargs="+", default=[16000, 48000], help="default: 16000 48000")
    parser.add_argument(
        "--grid",
        choices=["small", "heareval"],
        default="small",
        help="what predictors to train: one small one (the default), or those that heareval tries, many times slower",
    )
    arguments = parser.parse_args()
    for folder in write_tasks(arguments.output, arguments.sample_rates, arguments.grid == "small"):
        print(folder)


if __name__ == "__main__":
    main()
