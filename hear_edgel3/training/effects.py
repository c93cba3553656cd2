"""What broad clips are made of: one function per thing that is done to a sound, each a pure function of its generator.

All sounds are (n,) float32. What filters is made in the frequency domain, as a factor per frequency, so that one pass
through it does everything at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.float32]
Generator = np.random.Generator

# What is softer than this (root mean square) is taken for silence, and is not made louder.
SOFTEST = 1e-4
_LOWEST_HZ = 20.0
_GRID = 256
_DB_RANGE = (-90.0, 30.0)


def level(sound: Sound) -> float:
    """Root mean square; that of silence and of nothing is 0."""
    return float(np.sqrt(np.dot(sound, sound) / max(1, len(sound))))


def decibels(value: float) -> float:
    """The factor of an amplitude."""
    return float(10.0 ** (value / 20.0))


def log_uniform(rng: Generator, lowest: float, highest: float) -> float:
    """A number all of whose octaves are as likely."""
    return float(np.exp(rng.uniform(np.log(lowest), np.log(highest))))


class Spectrum:
    """The frequencies of a Fourier transform of one size, on which filters are drawn.

    A filter is smooth in the logarithm of the frequency; so it is made at few points of that, and put onto the many
    frequencies by a line from point to point.

    Args:
        size: Samples of the transform.
        sample_rate: In Hz.

    Attributes:
        size: Samples of the transform.
    """

    def __init__(self, size: int, sample_rate: int) -> None:
        self.size = size
        frequencies = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), _LOWEST_HZ)
        self._octaves = float(np.log2(max(sample_rate / 2, 2 * _LOWEST_HZ) / _LOWEST_HZ))
        self._grid = np.linspace(0.0, self._octaves, _GRID)
        place = np.log2(frequencies / _LOWEST_HZ) * ((_GRID - 1) / self._octaves)
        self._point = np.minimum(place.astype(np.intp), _GRID - 2)
        self._beyond = (place - self._point).astype(np.float32)

    def spread(self, gains_db: npt.NDArray[np.float64]) -> Sound:
        """(size // 2 + 1,) factors from the decibels at the points of the grid."""
        factors = (10.0 ** (np.clip(gains_db, *_DB_RANGE) / 20.0)).astype(np.float32)
        spread: Sound = factors.take(self._point) + self._beyond * np.diff(factors).take(self._point)
        return spread

    def equaliser(self, rng: Generator) -> Sound:
        """(size // 2 + 1,) factors of a random equaliser, a tilt, and a low-, high- or band-pass; any may be left out.

        Args:
            rng: What is random.
        """
        return self.spread(self._curve(rng))

    def coloured(self, rng: Generator) -> Sound:
        """(size // 2 + 1,) factors as :meth:`equaliser`'s, with a slope besides: from blue to brown.

        Args:
            rng: What is random.
        """
        octave_db = -20 * np.log10(2.0) * rng.uniform(-0.3, 1.3)
        return self.spread(self._curve(rng) + octave_db * (self._grid - np.log2(1000.0 / _LOWEST_HZ)))

    def _curve(self, rng: Generator) -> npt.NDArray[np.float64]:
        grid, top = self._grid, self._octaves
        curve = np.zeros(_GRID)
        if rng.random() < 0.6:
            n_bands = int(rng.integers(3, 9))
            curve += np.interp(grid, np.linspace(0.0, top, n_bands), rng.normal(0.0, 7.0, n_bands))
        if rng.random() < 0.3:
            curve += rng.uniform(-6.0, 3.0) * (grid - top / 2)
        kind = rng.random()
        if kind < 0.4:
            corner, slope = rng.uniform(2.0, max(2.5, top - 1.1)), rng.uniform(6.0, 30.0)  # octaves, dB per octave
            if kind < 0.2:
                curve -= slope * np.maximum(grid - corner, 0.0)
            elif kind < 0.28:
                curve -= slope * np.maximum(corner - grid, 0.0)
            else:
                curve -= slope * np.maximum(np.abs(grid - corner) - rng.uniform(0.3, 1.5), 0.0)
        return curve


def room(rng: Generator, sample_rate: int, longest: int) -> Sound:
    """The impulse response of a made-up room: the direct sound, and noise that dies away in 0.08 to 2.5 s (60 dB).

    Args:
        rng: What is random.
        sample_rate: In Hz.
        longest: The most samples that it may have; at least one.
    """
    decay_s = log_uniform(rng, 0.08, 2.5)
    n = max(1, min(longest, int(decay_s * sample_rate)))
    # A factor per sample, multiplied up, costs a fraction of a power per sample.
    fall = np.exp(np.arange(n, dtype=np.float32) * np.float32(-3.0 * np.log(10.0) / (decay_s * sample_rate)))
    response: Sound = (rng.random(n, dtype=np.float32) - np.float32(0.5)) * fall
    response *= np.float32(1.0 / max(np.sqrt(np.dot(response, response)), 1e-6))
    response[0] += np.float32(decibels(rng.uniform(-15.0, 15.0)))
    return response


def repeated(sound: Sound, length: int, sample_rate: int, rng: Generator) -> Sound:
    """Its loudest event (30 to 800 ms), over and over, evenly or not: knocks, barks, steps, ticks.

    Args:
        sound: At least one sample.
        length: Samples of the result.
        sample_rate: In Hz.
        rng: What is random.
    """
    n = min(len(sound), max(1, int(log_uniform(rng, 0.03, 0.8) * sample_rate)))
    loudest = int(np.argmax(np.abs(sound)))
    start = max(0, min(loudest - n // 4, len(sound) - n))
    event = sound[start : start + n] * np.cos(np.linspace(0.0, np.pi / 2, n, dtype=np.float32))
    period, jitter = log_uniform(rng, 0.08, 1.5), float(rng.choice([0.0, 0.05, 0.5]))
    result = np.zeros(length + n, np.float32)
    place = rng.uniform(0.0, min(period, length / sample_rate))
    while (i := int(place * sample_rate)) < length:
        result[i : i + n] += event * np.float32(decibels(rng.uniform(-6.0, 0.0)))
        place += period * (1.0 + jitter * rng.uniform(-1.0, 1.0))
    return result[:length]


def texture(sound: Sound, length: int, sample_rate: int, rng: Generator) -> Sound:
    """Many grains (10 to 400 ms) of it at once, at random places: rain, crowds, rustling, swarms.

    Args:
        sound: At least one sample.
        length: Samples of the result.
        sample_rate: In Hz.
        rng: What is random.
    """
    n = min(len(sound), max(1, int(log_uniform(rng, 0.01, 0.4) * sample_rate)))
    window = np.hanning(n + 2)[1:-1].astype(np.float32)
    n_grains = int(np.clip(length / n * rng.uniform(0.5, 6.0), 10, 400))
    starts = rng.integers(len(sound) - n + 1, size=n_grains).tolist()
    places = rng.integers(length, size=n_grains).tolist()
    gains = (10.0 ** (rng.normal(0.0, 6.0, n_grains) / 20.0)).astype(np.float32)
    result = np.zeros(length + n, np.float32)
    for start, place, gain in zip(starts, places, gains, strict=True):
        result[place : place + n] += sound[start : start + n] * (window * gain)
    return result[:length]


def overdriven(sound: Sound, rng: Generator) -> Sound:
    """It as a microphone or a loudspeaker has it that is too small for it.

    Args:
        sound: What is too loud.
        rng: What is random.
    """
    bent: Sound = np.tanh(sound * np.float32(rng.uniform(0.3, 2.0) / max(level(sound), SOFTEST)))
    return bent


def envelope(length: int, rng: Generator) -> Sound:
    """(length,) factors that go up and down at random, slowly or fast.

    Args:
        length: Samples.
        rng: What is random.
    """
    n_points = min(max(2, length), int(log_uniform(rng, 3.0, 60.0)))
    points = (10.0 ** (rng.normal(0.0, 8.0, n_points) / 20.0)).astype(np.float32)
    ends = np.linspace(0, length, n_points).astype(int)
    parts = [
        np.linspace(a, b, end - first, endpoint=False, dtype=np.float32)
        for a, b, first, end in zip(points[:-1], points[1:], ends[:-1], ends[1:], strict=True)
    ]
    return np.concatenate(parts)


def between_silence(sound: Sound, sample_rate: int, rng: Generator) -> Sound:
    """It with all but a stretch (a fifth to nine tenths) made silent, and short fades between.

    Args:
        sound: At least one sample.
        sample_rate: In Hz.
        rng: What is random.
    """
    n = max(1, int(len(sound) * rng.uniform(0.2, 0.9)))
    start = int(rng.integers(len(sound) - n + 1))
    result = np.zeros_like(sound)
    result[start : start + n] = sound[start : start + n]
    fade = min(n // 2, max(1, int(0.005 * sample_rate)))
    if fade:
        line = np.linspace(0.0, 1.0, fade, dtype=np.float32)
        result[start : start + fade] *= line
        result[start + n - fade : start + n] *= line[::-1]
    return result
