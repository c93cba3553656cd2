"""What is done to labelled sounds before a net learns from them, so that it does not learn them by heart.

Each is made a little faster or slower (so higher or lower: as if someone else spoke), equalised, louder or softer, and
moved in time; noise of some colour is added to some. All of it is a function of its generator.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from hear_edgel3._extras import require
from hear_edgel3.errors import InvalidOption
from hear_edgel3.training.effects import SOFTEST, Generator, Sound, Spectrum, decibels, level

_TAIL_S = 0.02
_STEP = 1024
_INAUDIBLE = 1e-7
_SNR_DB = (5.0, 35.0)


@dataclass(frozen=True)
class ClipAugmentation:
    """What is done to the samples of a clip.

    Attributes:
        gain_db: The most decibels by which it is made louder or softer; 0 for none.
        shift: The most by which it is moved in time, as a share of its length; what is moved out of it is lost.
        speed: The most by which it is played faster or slower, as a share: 0.1 for 10 %.
        filters: The probability that it is equalised.
        filter_strength: How strongly: 1 as strongly as for broad clips of a distillation.
        noise: The probability that noise is added, 5 to 35 dB below it.
    """

    gain_db: float = 6.0
    shift: float = 0.1
    speed: float = 0.15
    filters: float = 0.5
    filter_strength: float = 0.5
    noise: float = 0.3

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            most = {"gain_db": 60.0, "filter_strength": 2.0}.get(one.name, 1.0)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
                raise InvalidOption(f"{one.name} must be a number from 0 to {most:g}, got {value!r}")

    def __call__(self, sound: Sound, speed: float, length: int, sample_rate: int, rng: Generator) -> Sound:
        """A clip as it is learnt from.

        Args:
            sound: (n,) at least one sample.
            speed: By how much faster it is played.
            length: Samples of the result; a shorter clip lies somewhere in it, between zeros.
            sample_rate: In Hz.
            rng: What is random.

        Returns:
            (length,) float32.
        """
        filtered = self.filters > 0 and rng.random() < self.filters
        if filtered or speed != 1.0:
            sound = _filtered(sound, speed, self.filter_strength if filtered else 0.0, sample_rate, rng)
        sound = _placed(sound, length, self.shift, rng)
        if self.noise and rng.random() < self.noise:
            noise = _noise(sound, sample_rate, rng)
            loud = max(level(sound), SOFTEST) * decibels(-rng.uniform(*_SNR_DB))
            sound = sound + noise * np.float32(loud / max(level(noise), SOFTEST))
        if self.gain_db:
            sound = sound * np.float32(decibels(rng.uniform(-self.gain_db, self.gain_db)))
        return sound


def _filtered(sound: Sound, speed: float, strength: float, sample_rate: int, rng: Generator) -> Sound:
    """A sound at another speed, and equalised, in one pass through its frequencies."""
    fft = require("scipy.fft", "changing the speed of clips", "train")
    length = max(1, int(len(sound) / speed))
    spectrum = _spectrum(length + int(_TAIL_S * sample_rate), sample_rate)
    # Of a size that is fast, which moves the speed by less than a percent.
    size = spectrum.size if speed == 1.0 else fft.next_fast_len(round(spectrum.size * speed), real=True)
    found = fft.rfft(sound, size)
    if size != spectrum.size:
        # Frequencies beyond half the rate are cut, and those that there are none of are nothing.
        moved = np.zeros(spectrum.size // 2 + 1, found.dtype)
        n = min(len(moved), len(found))
        moved[:n] = found[:n] * np.float32(spectrum.size / size)
        found = moved
    if strength:
        found *= spectrum.equaliser(rng) ** np.float32(strength)
    result: Sound = fft.irfft(found, spectrum.size)[:length].astype(np.float32, copy=False)
    return result


def _noise(sound: Sound, sample_rate: int, rng: Generator) -> Sound:
    """Noise of some colour, up to where the sound ends: what was recorded at 8 kHz has no noise above 4 kHz."""
    fft = require("scipy.fft", "making noise", "train")
    spectrum = _spectrum(len(sound), sample_rate)
    white = rng.random(spectrum.size, dtype=np.float32) - np.float32(0.5)
    found = fft.rfft(white) * spectrum.coloured(rng)
    power = np.square(np.abs(fft.rfft(sound, spectrum.size)))
    heard = np.flatnonzero(power > _INAUDIBLE * power.max(initial=0.0))
    found[int(heard[-1]) + 1 if len(heard) else len(found) :] = 0.0
    noise: Sound = fft.irfft(found, spectrum.size)[: len(sound)]
    return noise


@lru_cache(maxsize=64)
def _spectrum(least: int, sample_rate: int) -> Spectrum:
    fft = require("scipy.fft", "making noise", "train")
    return Spectrum(fft.next_fast_len(-(-least // _STEP) * _STEP, real=True), sample_rate)


def _placed(sound: Sound, length: int, shift: float, rng: Generator) -> Sound:
    """A sound in ``length`` samples: anywhere if it is shorter, and moved by a part of its own length besides."""
    spare = length - len(sound)
    most = int(shift * min(length, len(sound)))
    start = int(rng.integers(min(0, spare), max(0, spare) + 1)) if spare else 0
    start += int(rng.integers(-most, most + 1)) if most else 0
    result = np.zeros(length, np.float32)
    first, last = max(0, start), min(length, start + len(sound))
    if last > first:
        result[first:last] = sound[first - start : last - start]
    return result
