"""Synthesises a folder of short night recordings, so that the commands of these pages have something to work on."""

import sys
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 32000


def recording(kind: str, rs: np.random.RandomState) -> np.ndarray:
    """(n,) one recording of 1 to 3 s of a kind."""
    t = np.arange(round(rs.uniform(1, 3) * SAMPLE_RATE)) / SAMPLE_RATE
    noise = rs.randn(len(t))
    match kind:
        case "crickets":
            pulses = np.clip(np.sin(np.pi * (t * rs.uniform(25, 45) % 1) / 0.6), 0, None)
            x = pulses * (t * rs.uniform(1, 3) % 1 < 0.55) * np.sin(2 * np.pi * rs.uniform(3800, 5200) * t)
        case "owls":
            hoot = np.exp(-(((t % 1.0 - 0.3) / 0.12) ** 2))
            x = hoot * np.sin(2 * np.pi * rs.uniform(300, 600) * t + np.sin(2 * np.pi * rs.uniform(3, 7) * t))
        case "wind":
            spectrum = np.fft.rfft(noise) / (1 + np.arange(len(t) // 2 + 1)) ** 0.9
            x = np.fft.irfft(spectrum, len(t)) * (1.2 + np.sin(2 * np.pi * rs.uniform(0.3, 1.5) * t))
        case _:
            x = 0.02 * noise + np.diff(noise, prepend=0) * (rs.rand(len(t)) < 0.01)  # rain: hiss and drops
    x = x / np.abs(x).max() + rs.uniform(0.005, 0.05) * noise
    return 0.5 * x / np.abs(x).max()


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "recordings")
    rs = np.random.RandomState(0)
    for kind in ("crickets", "owls", "rain", "wind"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in range(30):
            x = recording(kind, rs)
            soundfile.write(folder / kind / f"{i:02}.flac", x, SAMPLE_RATE)
            if kind == "crickets" and i == 7:  # somebody has put the same sound in again, a fifth softer
                soundfile.write(folder / kind / "07_copy.flac", 0.8 * x, SAMPLE_RATE)
