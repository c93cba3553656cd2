"""Recordings of any length with known events: sounds at known places over a faint background, seeded.

A minute is made by itself, of the seed and its number: so a day can be written piece by piece, and begins as an hour of
the same seed does. A minute has three places of twenty seconds; each has an event or none.
"""

from __future__ import annotations

import io
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from scipy.signal import resample_poly

if TYPE_CHECKING:
    from typing_extensions import Buffer

RATE = 48000
_MINUTE_BYTES = 60 * RATE * 2
_PLACE_S, _PLACES = 20, 3
_SHORTEST_S, _LONGEST_S = 3.0, 8.0
_MARGIN_S = 2.0
_FADE_S = 0.05
_BACKGROUND_DB, _QUIETEST_DB, _LOUDEST_DB = -66.0, -30.0, -18.0


@dataclass(frozen=True)
class Reference:
    """A known event: seconds of the recording, and what it is."""

    start: float
    end: float
    label: str


def synthesised() -> dict[str, list[np.ndarray]]:
    """Sounds of ten seconds that the built-in net knows, by the names of classes, at 48 kHz."""
    times = np.arange(10 * RATE) / RATE
    noise = np.random.default_rng(5).standard_normal(10 * RATE)
    return {
        "Noise": [noise],
        "Sine wave": [np.sin(2 * np.pi * pitch * times) for pitch in (440, 523.25)],
    }


def from_files(files: Mapping[str, Sequence[Path]]) -> dict[str, list[np.ndarray]]:
    """Sounds of files, mixed down to one channel, at 48 kHz."""
    found: dict[str, list[np.ndarray]] = {}
    for label, paths in files.items():
        for path in paths:
            samples, rate = soundfile.read(path, always_2d=True)
            found.setdefault(label, []).append(resample_poly(samples.mean(axis=1), RATE, rate))
    return found


def minute(number: int, sounds: Mapping[str, Sequence[np.ndarray]], seed: int) -> tuple[np.ndarray, list[Reference]]:
    """A minute of a recording: (n,) float64 samples, and its events in seconds of the recording."""
    rng = np.random.default_rng((seed, number))
    samples = _scaled(rng.standard_normal(60 * RATE), _BACKGROUND_DB)
    events = []
    for place in range(_PLACES):
        if rng.random() < 0.5:
            continue
        label = str(rng.choice(sorted(sounds)))
        sound = sounds[label][rng.integers(len(sounds[label]))]
        length = rng.uniform(_SHORTEST_S, _LONGEST_S)
        start = _PLACE_S * place + rng.uniform(_MARGIN_S, _PLACE_S - _MARGIN_S - length)
        n, first = round(length * RATE), round(start * RATE)
        begin = rng.integers(max(1, len(sound) - n))
        some = _scaled(sound[begin : begin + n], rng.uniform(_QUIETEST_DB, _LOUDEST_DB))
        fade = np.minimum(1, np.arange(len(some)) / (_FADE_S * RATE))
        samples[first : first + len(some)] += some * fade * fade[::-1]
        events.append(Reference(60 * number + first / RATE, 60 * number + (first + len(some)) / RATE, label))
    return samples, events


def write_scene(path: Path, minutes: int, sounds: Mapping[str, Sequence[np.ndarray]], seed: int = 0) -> list[Reference]:
    """Writes a recording, minute by minute, in 16 bits.

    Args:
        path: Where to; FLAC takes a day, WAV four gigabytes.
        minutes: How long.
        sounds: By the names of classes.
        seed: Which one.

    Returns:
        Its events.
    """
    events: list[Reference] = []
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for samples, more in _minutes(minutes, sounds, seed):
            file.write(np.clip(samples, -1, 1))
            events += more
    return events


class SceneFile(io.RawIOBase):
    """A recording as a file, RF64 of 16 bits, which is made as it is read: a day takes no room on a disk.

    Args:
        minutes: How long.
        sounds: By the names of classes.
        seed: Which one.

    Attributes:
        seconds_of_making: CPU seconds that making took so far; a minute that is read twice is mostly made once.
    """

    def __init__(self, minutes: int, sounds: Mapping[str, Sequence[np.ndarray]], seed: int = 0) -> None:
        size = minutes * _MINUTE_BYTES
        sizes = struct.pack("<4sIQQQI", b"ds64", 28, size + 72, size, size // 2, 0)
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
        self._header = struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE") + sizes + form
        self._header += struct.pack("<4sI", b"data", 0xFFFFFFFF)
        self._size = len(self._header) + size
        self._make: Callable[[int], bytes] = lru_cache(2)(partial(self._made, sounds, seed))
        self._place = 0
        self.seconds_of_making = 0.0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: Buffer) -> int:
        target = memoryview(buffer).cast("B")
        place = self._place - len(self._header)
        if place < 0:
            some = self._header[self._place :]
        elif self._place >= self._size:
            some = b""
        else:
            some = self._make(place // _MINUTE_BYTES)[place % _MINUTE_BYTES :]
        n = min(len(target), len(some))
        target[:n] = some[:n]
        self._place += n
        return n

    def _made(self, sounds: Mapping[str, Sequence[np.ndarray]], seed: int, number: int) -> bytes:
        begun = time.thread_time()
        samples, _ = minute(number, sounds, seed)
        made: bytes = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        self.seconds_of_making += time.thread_time() - begun
        return made


def _minutes(
    minutes: int, sounds: Mapping[str, Sequence[np.ndarray]], seed: int
) -> Iterator[tuple[np.ndarray, list[Reference]]]:
    for number in range(minutes):
        yield minute(number, sounds, seed)


def _scaled(samples: np.ndarray, decibels: float) -> np.ndarray:
    scaled: np.ndarray = samples * (10 ** (decibels / 20) / max(1e-9, float(np.sqrt(np.mean(samples**2)))))
    return scaled
