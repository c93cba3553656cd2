"""Tags and embeds sound files with a file that ``hear-edgel3 export`` wrote, without PyTorch.

Needs numpy, soundfile, onnxruntime. As the package, but heads with a hidden layer see windows, not the mean embedding.
"""

import argparse
import json
import math
import os
import re
import sys
from fractions import Fraction

import numpy as np
import soundfile

_ZEROS, _STEPS, _ROLLOFF, _BETA = 64, 512, 0.9475937167399596, 14.769656459379492  # of resampy 0.2.2's kaiser_best


def resample(x: np.ndarray, old: int, new: int) -> np.ndarray:
    """(n,) samples at another rate, as resampy 0.2.2 converts them; float64."""
    if old == new:
        return x
    ratio, common = float(new) / old, math.gcd(old, new)
    inputs, outputs, scale, n_out = old // common, new // common, min(1.0, ratio), int(len(x) * ratio)
    taper = np.kaiser(2 * _STEPS * _ZEROS + 1, _BETA)[_STEPS * _ZEROS :]
    table = _ROLLOFF * np.sinc(_ROLLOFF * np.linspace(0, _ZEROS, len(taper))) * taper * scale
    slope, step, y = np.append(np.diff(table), 0.0), int(scale * _STEPS), np.empty(n_out)
    padded = np.pad(x.astype(np.float64), len(k := np.arange(len(table) // step + 1)) + 1)

    def wing(fraction: float) -> np.ndarray:
        entry = int(scale * fraction * _STEPS)
        index = np.where(k < (len(table) - entry) // step, entry + k * step, len(table) - 1)
        weights = table[index] + (scale * fraction * _STEPS - entry) * slope[index]
        return np.asarray(np.where(k < (len(table) - entry) // step, weights, 0.0))

    def outputs_at(centre: np.ndarray, fraction: float) -> np.ndarray:
        weights = np.concatenate([wing(fraction)[::-1], wing(1.0 - fraction)])  # up to the centre, and behind it
        return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, len(weights))[centre + 2] @ weights)

    for phase in range(min(outputs, n_out)):
        t = np.arange(phase, n_out, outputs)
        y[phase::outputs] = outputs_at(t * inputs // outputs, phase * inputs % outputs / outputs)
    if Fraction(1.0 / ratio) != Fraction(old, new):  # resampy adds its position up, and may fall short of a sample
        whole = np.arange(len(y[::outputs])) * inputs
        late = np.cumsum(np.append(0.0, np.full(n_out, 1.0 / ratio)))[:n_out:outputs] < whole
        y[::outputs][late] = outputs_at(whole[late] - 1, 1.0)
    return y


class Model:
    """An exported file; ``card`` is what it says of itself, and ``labels`` are its classes, or None."""

    def __init__(self, path: str, threads: int | None = None) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # or its import numbers this computer, and reports
        import onnxruntime

        (options := onnxruntime.SessionOptions()).intra_op_num_threads = threads or 0  # as many as it likes
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self.card = json.loads(self._session.get_modelmeta().custom_metadata_map["hear_edgel3"])
            _ = [self.card[one] for one in "sample_rate window length minimum_samples hop_ms padding scene".split()]
        except Exception as error:  # ONNX Runtime's have no common base of their own
            raise ValueError(f"{path} is damaged, or was not exported by hear_edgel3: {error}") from error
        self.labels: list[str] | None = self.card.get("labels")
        if self.card.get("part") != "whole":
            raise ValueError(f"{path} is no whole net that hear_edgel3 exported, with the front end in it")

    def read(self, path: str) -> tuple[np.ndarray, Fraction]:
        """(n,) float32 samples of a file at the net's rate, mean of its channels, and its seconds."""
        with soundfile.SoundFile(path) as file:
            x, said = file.read(-1, "float32", True), re.search(r"\ndata : (\d+) \(should be (\d+)\)", file.extra_info)
        if said and int(said[2]) < 0.99 * int(said[1]) < 0.98 * 2**31:  # about 2 GiB, or more: written into a pipe
            raise ValueError(f"{path} is truncated: its header says {said[1]} bytes of sound, {said[2]} are there")
        if not len(x) or not np.isfinite(x).all():
            raise ValueError(f"{path} has no samples, or some that are not finite")
        mean, rate = x.astype(np.float64).mean(axis=1), file.samplerate
        return resample(mean, rate, self.card["sample_rate"]).astype(np.float32), Fraction(len(x), rate)

    def run(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """What the file puts out for (n, samples) float32 windows at the net's rate, by name."""
        if (length := self.card["length"]) not in (None, windows.shape[1]):
            raise ValueError(f"this file takes windows of {length} samples only, not {windows.shape[1]}")
        x = np.pad(windows, ((0, 0), (0, max(0, self.card["minimum_samples"] - windows.shape[1]))))
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(None, {"samples": x}), strict=True))

    def centred(self, x: np.ndarray, seconds: Fraction, window: int, hop_ms: float) -> dict[str, np.ndarray]:
        """What the file puts out for windows centred at 0, hop, 2 hop, ... up to the end."""
        reflect, half = self.card["padding"] == "reflection", window // 2
        x = np.pad(x, (0, max(0, half + 1 - len(x)))) if reflect else x
        x = np.pad(np.pad(x, half, "reflect" if reflect else "constant"), (0, window))
        hop = Fraction(hop_ms) * self.card["sample_rate"] / 1000
        starts = [round(k * hop) for k in range(int(seconds * 1000 / Fraction(hop_ms)) + 1)]
        found = [self.run(np.stack([x[s : s + window] for s in starts[i : i + 16]])) for i in range(0, len(starts), 16)]
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}

    def embed(self, path: str, hop_ms: float = 0) -> tuple[np.ndarray, np.ndarray]:
        """(T, D) embeddings and (T,) timestamps in milliseconds of a file; the usual hop for 0."""
        if not 0 < (hop := hop_ms or self.card["hop_ms"]) < np.inf:
            raise ValueError(f"the hop must be positive, got {hop} ms")
        found = self.centred(*self.read(path), self.card["window"], hop)["embedding"]
        return found, np.arange(len(found)) * hop

    def scene(self, path: str) -> np.ndarray:
        """(D,) embedding of a whole file."""
        return self._mean(path, "scene", "embedding")

    def tag(self, path: str) -> np.ndarray:
        """(n_classes,) probabilities of the classes in a whole file, or the numbers that the net guesses."""
        if self.labels is None:
            raise ValueError(f"{self.card['name']} has no classes; --embeddings writes what it makes of a sound")
        if (kind := self.card["targets"]) == "numbers":
            return self._mean(path, "clip", "numbers")
        logits = self._mean(path, "clip", "logits").astype(np.float64) / self.card["temperature"]
        powers = np.exp(logits - logits.max() if kind == "single" else -np.abs(logits))
        return np.asarray(powers / powers.sum() if kind == "single" else np.where(logits < 0, powers, 1) / (1 + powers))

    def _mean(self, path: str, rule: str, output: str) -> np.ndarray:
        (x, seconds), how, length = self.read(path), self.card[rule], self.card["length"]
        if "segment" in how:  # they lie one behind the other, and a last one counts for as much as the sound fills
            parts = np.split(x, range((size := length or how["segment"]), len(x), size))
            found = [self.run(np.pad(part, (0, size - len(part)))[None])[output][0] for part in parts]
            return np.asarray(np.average(found, axis=0, weights=[len(part) for part in parts]))
        if len(x) <= how["whole_up_to"] and length is None:
            return np.asarray(self.run(x[None])[output][0])
        return np.asarray(self.centred(x, seconds, length or how["window"], how["hop_ms"])[output].mean(0, np.float64))


def main() -> None:
    """The command line: the likeliest classes, one a line; and embeddings as an .npy file."""
    parser = argparse.ArgumentParser(description="Tags and embeds a sound with an exported model, without PyTorch.")
    parser.add_argument("files", nargs=2, metavar=("MODEL", "SOUND"))
    parser.add_argument("--top", type=int, default=5, help="how many classes to print")
    parser.add_argument("--embeddings", metavar="OUT.npy", help="write the timestamp embeddings there")
    parser.add_argument("--hop", type=float, default=0, metavar="SECONDS", help="between embeddings")
    given = parser.parse_args()
    try:
        model = Model(given.files[0])
        if given.embeddings:
            np.save(given.embeddings, model.embed(given.files[1], 1000 * given.hop)[0])
        if model.labels is not None or not given.embeddings:
            for i in np.argsort(-(values := model.tag(given.files[1])), kind="stable")[: max(0, given.top)]:
                print(f"{values[i]:7.3f}  {(model.labels or [])[i]}")
    except Exception as error:  # ONNX Runtime's have no common base of their own
        sys.exit(f"lite: {error}")


if __name__ == "__main__":
    main()
