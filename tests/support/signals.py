"""Test sounds: from seeds and noise-like, so that float32 is well defined on every mel band; and a tone."""

from __future__ import annotations

import numpy as np

NAMES = ("white", "pink", "bursts", "harmonics", "quiet", "clicks")


def windows(n_samples: int) -> np.ndarray:
    """(6, n_samples) float32 in [-1, 1], one row per name in NAMES."""
    rs = np.random.RandomState(5)
    t = np.arange(n_samples) / n_samples
    white = rs.randn(n_samples) * 0.1
    spectrum = np.fft.rfft(rs.randn(n_samples)) / np.sqrt(np.maximum(1, np.arange(n_samples // 2 + 1)))
    pink = np.fft.irfft(spectrum, n_samples)
    pink = 0.5 * pink / np.abs(pink).max()
    bursts = rs.randn(n_samples) * (0.02 + 0.3 * (np.sin(2 * np.pi * 5 * t) > 0.5))
    harmonics = sum(np.sin(2 * np.pi * 180 * k * t + k) / k for k in range(1, 12)) * 0.2 + rs.randn(n_samples) * 0.003
    quiet = rs.randn(n_samples) * 1e-4
    clicks = rs.randn(n_samples) * 1e-3
    clicks[:: n_samples // 7] += 0.8
    stacked = np.stack([white, pink, bursts, harmonics, quiet, clicks])
    # 16-bit steps: representable exactly in every format the tests write
    return (np.round(np.clip(stacked, -1, 1 - 1 / 32768) * 32768) / 32768).astype(np.float32)


def clip(seconds: float, sample_rate: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """(n,) or (n, channels) float64 noise with slow modulation, on 16-bit steps."""
    rs = np.random.RandomState(seed)
    n = round(seconds * sample_rate)
    envelope = 0.05 + 0.1 * np.sin(2 * np.pi * 0.7 * np.arange(n) / sample_rate) ** 2
    x = rs.randn(n, channels) * envelope[:, None]
    x = np.round(np.clip(x, -1, 1 - 1 / 32768) * 32768) / 32768
    return x[:, 0] if channels == 1 else x


def tone(seconds: float, sample_rate: int) -> np.ndarray:
    """(n,) float64: a sine, which the built-in net knows."""
    samples: np.ndarray = 0.4 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * sample_rate)) / sample_rate)
    return samples
