"""Makes the committed test data: batch norms for a seeded SEA-64, and golden embeddings from the float64 oracle.

    python tests/support/make_data.py

Nothing of it depends on this package's nets, front end or resampler.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import oracle, signals, synthetic


def calibrate_sea_64() -> None:
    """Batch norms near the statistics that the seeded convolutions really produce, layer after layer."""
    name = "sea_64"
    weights = {
        "re": synthetic.mel_weights(name)[0][:, 0, 0].astype(np.float64),
        "im": synthetic.mel_weights(name)[1][:, 0, 0].astype(np.float64),
        "fb": synthetic.mel_weights(name)[2].astype(np.float64),
        "hop": 160,
    }
    x = oracle.melspec_db(signals.windows(8000), weights["re"], weights["im"], weights["fb"], 160)[..., None]
    rs = np.random.RandomState(64)
    norms = []

    def normalise(x: np.ndarray, last: bool = False) -> np.ndarray:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        c = len(mean)
        norm = np.stack(
            [
                rs.uniform(0.6, 1.4, c),
                rs.randn(c) * 0.3 - (0.8 if last else 0.0),  # many values of the embedding are zero
                mean + rs.randn(c) * 0.2 * np.sqrt(variance),
                variance * rs.uniform(0.7, 1.4, c) + 1e-4,
            ]
        ).astype(np.float32)
        norms.append(norm)
        return oracle.bn(x, *norm.astype(np.float64))

    x = normalise(x)
    for i, (kernel, bias) in enumerate(synthetic.conv_weights(name)):
        x = np.maximum(normalise(oracle.conv3x3(x, kernel.astype(np.float64), bias.astype(np.float64)), i == 7), 0)
        if i in (1, 3, 5):
            x = oracle.maxpool(x, 2, 2)
    np.savez_compressed(synthetic.DATA / "bn_sea64.npz", **{f"bn{i}": norm for i, norm in enumerate(norms)})


def golden() -> None:
    """Embeddings and decibels of the test signals, computed in float64, stored in float32."""
    arrays = {}
    for name in synthetic.NAMES:
        windows = signals.windows(synthetic.row(name).window)
        stages: dict[str, np.ndarray] = {}
        rows = [oracle.forward(synthetic.oracle_weights(name), w[None].astype(np.float64), stages) for w in windows]
        arrays[f"emb__{name}"] = np.concatenate(rows).astype(np.float32)
        arrays[f"db__{name}"] = stages["db"][0, ::4, ::4].astype(np.float32)  # of the last window, thinned out
        print(name, arrays[f"emb__{name}"].shape, arrays[f"emb__{name}"].min(), arrays[f"emb__{name}"].max())
    np.savez_compressed(synthetic.DATA / "golden.npz", **arrays)


def example() -> None:
    """Three seconds of made-up birds over wind, stereo: something to try the command line on."""
    rate, seconds = 44100, 3
    rs = np.random.RandomState(11)
    t = np.arange(rate * seconds) / rate
    wind = np.cumsum(rs.randn(len(t)))
    wind = 0.02 * (wind - np.convolve(wind, np.ones(400) / 400, "same"))
    birds = np.zeros((2, len(t)))
    for start in (0.3, 0.75, 1.1, 1.9, 2.15, 2.4):
        u = np.clip((t - start) / 0.22, 0, 1)
        call = np.sin(2 * np.pi * 0.22 * (2800 * u + 900 * np.sin(9 * u))) * np.sin(np.pi * u) ** 2
        birds += 0.3 * np.outer([rs.rand(), rs.rand()], call)
    stereo = np.clip(birds + 0.1 * wind, -0.9, 0.9)
    soundfile.write(synthetic.DATA / "example.flac", stereo.T, rate, subtype="PCM_16")


if __name__ == "__main__":
    example()
    calibrate_sea_64()
    synthetic.norm_weights.cache_clear()
    golden()
