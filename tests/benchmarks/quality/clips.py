"""Labelled clips of one second, and the folds they are tested in."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from hear_edgel3.audio.resample import resample

SECONDS = 1.0
# What is quieter than this share of the peak before the sound starts is cut off, but for a little of it.
_SILENCE = 0.01
_BEFORE_S = 0.01


@dataclass(frozen=True)
class Recording:
    """A labelled recording that has not been read yet.

    Attributes:
        name: tells it from all others of its task.
        label: its class.
        group: recordings of one group resemble each other for reasons that are not their label; no net is tested on a
            group it was trained on.
        read: gives (n_samples,) or (n_samples, channels) samples, and their rate in Hz.
    """

    name: str
    label: str
    group: str
    read: Callable[[], tuple[np.ndarray, int]]


@dataclass(frozen=True, eq=False)
class Clips:
    """The clips of a task.

    Attributes:
        names: (n,) file names without ending, all different.
        labels: (n,) classes.
        groups: (n,) what the folds keep together.
        folds: (n,) number of the fold that each is tested in.
        samples: n arrays of one second, mono, each at its own rate.
    """

    names: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    folds: np.ndarray
    samples: Sequence[np.ndarray]
    _at: dict[int, np.ndarray] = field(default_factory=dict, repr=False)

    def at(self, sample_rate: int) -> np.ndarray:
        """(n, sample_rate) float32, converted as this package converts what it is fed; kept for the next net."""
        if sample_rate not in self._at:
            self._at[sample_rate] = self._convert(sample_rate)
        return self._at[sample_rate]

    def _convert(self, sample_rate: int) -> np.ndarray:
        rates = np.array([round(len(samples) / SECONDS) for samples in self.samples])
        result = np.empty((len(rates), round(sample_rate * SECONDS)), np.float32)
        for rate in np.unique(rates):
            for rows in np.array_split(np.flatnonzero(rates == rate), -(-int((rates == rate).sum()) // 64)):
                batch = torch.from_numpy(np.stack([self.samples[row] for row in rows]))
                result[rows] = resample(batch, int(rate), sample_rate).numpy()
        return result


def read_clips(recordings: Iterable[Recording], folds: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Clips:
    """Reads recordings, each once: silent ones and copies of others of their class are left out.

    Args:
        recordings: in an order that does not depend on the machine.
        folds: given labels and groups, a fold for each.
    """
    kept, seconds, seen, names = [], [], set(), Counter()
    for recording in recordings:
        samples, rate = recording.read()
        second = one_second(samples, rate)
        key = (recording.label, second.tobytes())
        if second.any() and key not in seen:
            seen.add(key)
            kept.append(recording)
            seconds.append(second)
    clip_names = []
    for recording in kept:
        name = re.sub(r"[^A-Za-z0-9]+", "_", recording.name.replace("#", "s")).strip("_")
        names[name.lower()] += 1
        clip_names.append(name if names[name.lower()] == 1 else f"{name}__{names[name.lower()]}")
    labels = np.array([recording.label for recording in kept])
    groups = np.array([recording.group for recording in kept])
    return Clips(np.array(clip_names), labels, groups, folds(labels, groups), seconds)


def one_second(samples: np.ndarray, rate: int) -> np.ndarray:
    """The first second of sound, mixed down, zeros behind it if it is shorter: (rate,) float32.

    Args:
        samples: (n_samples,) or (n_samples, channels).
        rate: in Hz.
    """
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    loud = np.flatnonzero(np.abs(mono) > _SILENCE * np.abs(mono).max(initial=0.0))
    start = max(0, int(loud[0]) - round(_BEFORE_S * rate)) if len(loud) else 0
    result = np.zeros(round(SECONDS * rate), np.float32)
    found = mono[start : start + len(result)]
    result[: len(found)] = found
    return result


def one_fold_per_group(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Each group is a fold of its own, in the order of their names."""
    return np.unique(groups, return_inverse=True)[1]


def stratified(n_folds: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Folds with about the same number of clips of each class, groups undivided.

    Args:
        n_folds: how many.

    Returns:
        What :func:`read_clips` takes. It needs groups that have one class each, and deals them in an order that depends
        on their names alone.
    """

    def folds(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
        rows: dict[tuple[str, str], list[int]] = defaultdict(list)
        for row, key in enumerate(zip(labels.tolist(), groups.tolist(), strict=True)):
            rows[key].append(row)
        assert len(rows) == len(set(groups.tolist())), "a group has several classes"
        result = np.empty(len(labels), int)
        total = np.zeros(n_folds, int)
        shuffle = np.random.RandomState(0).permutation
        for label in np.unique(labels):
            mine = np.zeros(n_folds, int)
            keys = sorted(key for key in rows if key[0] == label)
            # The largest groups first, so that the small ones even out what is left.
            for key in sorted((keys[i] for i in shuffle(len(keys))), key=lambda key: -len(rows[key])):
                fold = min(range(n_folds), key=lambda fold: (mine[fold], total[fold]))
                result[rows[key]] = fold
                mine[fold] += len(rows[key])
                total[fold] += len(rows[key])
        return result

    return folds
