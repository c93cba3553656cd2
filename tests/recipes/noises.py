"""Synthetic sounds: what recordings of the world have little of, and instruments measure with."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from scipy import signal

RATE = 32000
Array = np.ndarray
Generator = np.random.Generator
_DTMF = {
    key: (low, high)
    for row, low in zip(("123A", "456B", "789C", "*0#D"), (697, 770, 852, 941), strict=True)
    for key, high in zip(row, (1209, 1336, 1477, 1633), strict=True)
}


def _seconds(n: int) -> Array:
    return np.arange(n) / RATE


def _log_uniform(rng: Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _oscillator(frequency: Array, wave: str, phase: float = 0.0) -> Array:
    """A wave of an instantaneous frequency in Hz."""
    angle = 2 * np.pi * np.cumsum(frequency) / RATE + phase
    if wave == "sine":
        return np.sin(angle)
    if wave == "square":
        return np.sign(np.sin(angle))
    return signal.sawtooth(angle, 0.5 if wave == "triangle" else 1.0)


def _wave(rng: Generator) -> str:
    return str(rng.choice(["sine", "sine", "square", "triangle", "saw"]))


def _coloured(rng: Generator, n: int, slope: float) -> Array:
    """Noise whose power falls with frequency ** slope: 0 is white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequencies = np.fft.rfftfreq(n, 1 / RATE)
    spectrum *= np.maximum(frequencies, 20.0) ** (-slope / 2)
    return np.fft.irfft(spectrum, n)


def _band(rng: Generator, x: Array) -> Array:
    """Through a random low, high or band pass."""
    centre, width = _log_uniform(rng, 80, 8000), rng.uniform(1.1, 4)
    kind = rng.choice(["lowpass", "highpass", "bandpass", "bandpass"])
    edges = (centre / width, min(centre * width, 0.49 * RATE)) if kind == "bandpass" else centre
    return signal.sosfilt(signal.butter(int(rng.integers(1, 5)), edges, kind, fs=RATE, output="sos"), x)


def _slow(rng: Generator, n: int, rate: float) -> Array:
    """A random curve from 0 to 1 that turns about `rate` times a second."""
    knots = max(4, int(n / RATE * rate) + 2)
    return np.interp(np.linspace(0, knots - 1, n), np.arange(knots), rng.random(knots))


def noise(rng: Generator, n: int) -> Array:
    return _coloured(rng, n, float(rng.choice([-1, 0, 0, 0.5, 1, 1, 1.5, 2])))


def filtered_noise(rng: Generator, n: int) -> Array:
    return _band(rng, _coloured(rng, n, float(rng.choice([0, 1]))))


def gusts(rng: Generator, n: int) -> Array:
    """As wind and waves: filtered noise that swells."""
    swell = _slow(rng, n, _log_uniform(rng, 0.3, 4)) ** rng.uniform(1, 3)
    return _band(rng, _coloured(rng, n, float(rng.uniform(0, 2)))) * swell


def bursts(rng: Generator, n: int) -> Array:
    x = np.zeros(n)
    for _ in range(rng.integers(1, 12)):
        start, size = int(rng.integers(0, n)), int(RATE * _log_uniform(rng, 0.01, 0.6))
        size = min(size, n - start)
        decay = np.exp(-_seconds(size) * rng.uniform(2, 8) * RATE / max(size, 1))
        x[start : start + size] += (_band(rng, rng.standard_normal(size)) * decay) * rng.uniform(0.2, 1)
    return x


def tone(rng: Generator, n: int) -> Array:
    return _oscillator(np.full(n, _log_uniform(rng, 40, 12000)), _wave(rng), rng.uniform(0, 6))


def tones(rng: Generator, n: int) -> Array:
    return sum(tone(rng, n) * rng.uniform(0.2, 1) for _ in range(rng.integers(2, 7)))


def chirp(rng: Generator, n: int) -> Array:
    low, high, times = _log_uniform(rng, 30, 14000), _log_uniform(rng, 30, 14000), int(rng.integers(1, 9))
    ramp = np.linspace(0, times, n, endpoint=False) % 1
    curve = low * (high / low) ** ramp if rng.random() < 0.6 else low + (high - low) * ramp
    return _oscillator(curve, _wave(rng))


def siren(rng: Generator, n: int) -> Array:
    """Frequency modulation, from vibrato to alarms to FM synthesis."""
    carrier, rate = _log_uniform(rng, 100, 6000), _log_uniform(rng, 0.2, 400)
    turn = np.sin(2 * np.pi * rate * _seconds(n))
    turn = np.sign(turn) if rng.random() < 0.3 else turn
    return _oscillator(carrier * 2 ** (turn * rng.uniform(0.02, 1)), _wave(rng))


def modulated(rng: Generator, n: int) -> Array:
    """Amplitude modulation of a tone or of noise."""
    carrier = tone(rng, n) if rng.random() < 0.6 else noise(rng, n)
    turn = np.sin(2 * np.pi * _log_uniform(rng, 0.5, 200) * _seconds(n))
    return carrier * (1 + rng.uniform(0.3, 1) * (np.sign(turn) if rng.random() < 0.3 else turn))


def clicks(rng: Generator, n: int) -> Array:
    x = np.zeros(n)
    if rng.random() < 0.6:
        x[:: int(RATE / _log_uniform(rng, 0.7, 200))] = 1
    else:
        x[rng.integers(0, n, int(_log_uniform(rng, 1, 60) * n / RATE) + 1)] = rng.uniform(0.2, 1)
    ring = np.exp(-_seconds(800) * _log_uniform(rng, 50, 3000))
    ring *= np.cos(2 * np.pi * _log_uniform(rng, 100, 10000) * _seconds(800))
    return signal.fftconvolve(x, ring)[:n]


def hum(rng: Generator, n: int) -> Array:
    """Mains and motors: a low tone, its harmonics, a little drift and noise."""
    base = rng.choice([50.0, 60.0]) if rng.random() < 0.5 else _log_uniform(rng, 20, 300)
    drift = base * (1 + rng.choice([0.0, 0.002, 0.3]) * (_slow(rng, n, 0.7) - 0.5))
    fall = rng.uniform(0.3, 2)
    x = sum(
        rng.random() * k**-fall * _oscillator(drift * k, "sine", rng.uniform(0, 6))
        for k in range(1, int(rng.integers(5, 30)))
    )
    return x + noise(rng, n) * rng.uniform(0, 0.02) * np.std(x)


def dialling(rng: Generator, n: int) -> Array:
    """DTMF, as telephones dial."""
    x, on, off = np.zeros(n), rng.uniform(0.05, 0.3), rng.uniform(0.03, 0.3)
    for start in range(0, n, int((on + off) * RATE)):
        t = _seconds(min(int(on * RATE), n - start))
        x[start : start + len(t)] = sum(np.sin(2 * np.pi * f * t) for f in _DTMF[str(rng.choice(list(_DTMF)))])
    return x


def beeps(rng: Generator, n: int) -> Array:
    """A pattern of short tones, over and over."""
    period = int(RATE * _log_uniform(rng, 0.15, 2))
    pattern, wave = np.zeros(period), _wave(rng)
    for _ in range(rng.integers(1, 4)):
        start = int(rng.integers(0, period * 3 // 4))
        size = min(int(RATE * _log_uniform(rng, 0.03, 0.5)), period - start)
        edge = np.minimum(1, np.minimum(np.arange(size), np.arange(size)[::-1]) / 100)
        pattern[start : start + size] += _oscillator(np.full(size, _log_uniform(rng, 300, 5000)), wave) * edge
    return np.tile(pattern, n // period + 1)[:n]


def plucks(rng: Generator, n: int) -> Array:
    """Decaying partials, harmonic as strings or not as bells."""
    x = np.zeros(n)
    for _ in range(rng.integers(1, 10)):
        start, base = int(rng.integers(0, n * 3 // 4)), _log_uniform(rng, 60, 2000)
        t, stretch, decay = _seconds(n - start), rng.choice([1.0, rng.uniform(1.05, 1.6)]), _log_uniform(rng, 0.7, 20)
        for k in range(1, 9):
            if base * k**stretch < 0.48 * RATE:
                partial = np.sin(2 * np.pi * base * k**stretch * t + rng.uniform(0, 6))
                x[start:] += rng.random() / k * partial * np.exp(-t * decay * k**0.5)
    return x


def silence(rng: Generator, n: int) -> Array:
    """None at all, or the noise floor of a poor recorder."""
    return np.zeros(n) if rng.random() < 0.3 else _coloured(rng, n, float(rng.uniform(0, 2)))


KINDS: dict[str, Callable[[Generator, int], Array]] = {
    function.__name__: function
    for function in (
        noise, filtered_noise, gusts, bursts, tone, tones, chirp, siren, modulated, clicks, hum, dialling, beeps, plucks
    )
}  # fmt: skip


def make(name: str, seed: int) -> Array:
    """A clip of 1 to 10 s at 32 kHz, float32; the same for the same name and seed.

    Args:
        name: a kind of sound, alone or with more behind a hyphen ("hum-003").
        seed: another gives other clips.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    kind, n = name.split("-", maxsplit=1)[0], int(RATE * _log_uniform(rng, 1, 10))
    x = silence(rng, n) if kind == "silence" else KINDS[kind](rng, n)
    loudest = np.abs(x).max()
    level = 10 ** (rng.uniform(-75, -50) / 20) if kind == "silence" else 10 ** (rng.uniform(-30, -1) / 20)
    x = x * (level / loudest) if loudest else x
    if kind != "silence" and rng.random() < 0.25:
        floor = noise(rng, n)
        x = x + floor * (level * 10 ** (rng.uniform(-50, -20) / 20) / np.abs(floor).max())
    return x.astype(np.float32)
