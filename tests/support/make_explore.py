"""Makes tests/data/explore.webp, README's picture of a page, from sounds that are synthesised here.

    python -m tests.support.make_explore

Needs a Chromium; its fonts decide details.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import soundfile

import hear_edgel3
from hear_edgel3.explore.build import explore
from tests.support.chromium import Chromium
from tests.support.datasets import description, write_rows
from tests.support.paths import DATA

_RATE = 32000
_PER_KIND = 45
_PICTURE = DATA / "explore.webp"


def sound(kind: str, rs: np.random.RandomState) -> np.ndarray:
    """(n,) one sound of a kind, two seconds long at most."""
    seconds = rs.uniform(0.6, 2.0)
    t = np.arange(round(seconds * _RATE)) / _RATE
    pitch = 110 * 2 ** rs.uniform(0, 3)
    noise = rs.randn(len(t))
    decay = np.exp(-t * rs.uniform(2, 8))
    match kind:
        case "tones":
            x = np.sin(2 * np.pi * pitch * 4 * t)
        case "chords":
            x = sum(np.sin(2 * np.pi * pitch * r * k * t) / k**1.5 for r in (1, 1.25, 1.5) for k in range(1, 6))
        case "sweeps":
            x = np.sin(2 * np.pi * pitch * (t + rs.uniform(1, 4) * t**2))
        case "sirens":
            x = np.sin(2 * np.pi * pitch * 5 * t + 40 * np.sin(2 * np.pi * rs.uniform(0.5, 2) * t))
        case "bells":
            x = np.sin(2 * np.pi * pitch * 3 * t + 4 * decay * np.sin(2 * np.pi * pitch * 4.2 * t)) * decay
        case "plucks":
            x = pluck(pitch, len(t), rs)
        case "drums":
            x = np.sin(2 * np.pi * rs.uniform(45, 90) * (t + 0.05 * np.exp(-30 * t))) * decay + 0.3 * noise * decay**6
        case "hats":
            x = np.diff(noise, 3, prepend=[0, 0, 0]) * decay**4
        case "hiss":
            x = noise
        case "wind":
            spectrum = np.fft.rfft(noise) / (1 + np.arange(len(t) // 2 + 1)) ** 0.9
            x = np.fft.irfft(spectrum, len(t)) * (1.2 + np.sin(2 * np.pi * rs.uniform(0.3, 1.5) * t))
        case "engines":
            x = np.tanh(6 * np.sin(2 * np.pi * pitch / 3 * t)) + 0.3 * noise * (np.sin(2 * np.pi * pitch / 3 * t) > 0)
        case _:
            x = noise * (rs.rand(len(t)) < 20 / _RATE)  # crackles
    x = x + 1e-4 * noise
    return 0.6 * x / np.abs(x).max()


def pluck(pitch: float, n: int, rs: np.random.RandomState) -> np.ndarray:
    """A plucked string, by Karplus and Strong."""
    period = round(_RATE / pitch)
    x = np.zeros(n)
    x[:period] = rs.uniform(-1, 1, period)
    for start in range(period, n, period):
        before = x[start - period : start]
        x[start : start + period] = (0.996 * (before + np.roll(before, 1)) / 2)[: n - start]
    return x


_KINDS = "tones chords sweeps sirens bells plucks drums hats hiss wind engines crackles".split()


def main() -> None:
    """Sounds, embeddings, page, picture."""
    rs = np.random.RandomState(0)
    extractor = hear_edgel3.load(sample_rate=_RATE)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        rows = []
        for kind in _KINDS:
            Path("sounds", kind).mkdir(parents=True)
            for i in range(_PER_KIND):
                file = Path("sounds", kind, f"{kind[:-1] if kind.endswith('s') else kind} {i + 1}.flac")
                samples = sound(kind, rs)
                data = io.BytesIO()
                soundfile.write(data, samples, _RATE, format="FLAC")
                file.write_bytes(data.getvalue())
                embedding = extractor.scene_embeddings(samples[None])[0].numpy()
                row = {"file": str(file), "embedding": embedding, "duration_s": len(samples) / _RATE}
                rows.append({**row, "sample_rate": _RATE})
        write_rows(Path("embeddings"), description(extractor.scene_embedding_size), rows)
        explore("embeddings", "page.html", title="Synthesised sounds", projection="pca")
        with Chromium() as browser:
            browser.prefer("light")
            browser.open(Path("page.html").resolve())
            browser.run("colourBy('folder'), choose(data.names.indexOf('bell 12.flac')), 1")
            browser.wait_for("!element('spectrogram').hidden")
            browser.screenshot(_PICTURE)


if __name__ == "__main__":
    main()
