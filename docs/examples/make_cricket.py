"""Synthesises cricket.flac, the sound that the README tags: a field cricket in a quiet night.

python docs/examples/make_cricket.py [OUTPUT]
"""

import sys
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 32000


def cricket(seconds: float = 4.0) -> np.ndarray:
    """(n,) float64: two chirps per second of 36 pulses per second at 4.5 kHz, over faint white noise."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pulse = np.sin(np.pi * np.clip(t * 36 % 1 / 0.6, 0, 1)) ** 0.7
    since_chirp = t % 0.5
    chirp = (since_chirp < 0.27) * (0.5 + 0.5 * np.clip(since_chirp / 0.1, 0, 1))
    song = chirp * pulse * np.sin(2 * np.pi * 4500 * t)
    return 0.1 * (song + 0.03 * np.random.RandomState(7).randn(len(t)))


if __name__ == "__main__":
    path = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("cricket.flac")
    soundfile.write(path, cricket(), SAMPLE_RATE, subtype="PCM_16")
