"""The proof of an exported file: it is run in its own engine on sounds of many kinds, and compared with PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_edgel3.exporting.card import FRONTEND, NET
from hear_edgel3.exporting.clips import ProofClip, own_clips, synthetic_clips
from hear_edgel3.exporting.memory import peak_bytes
from hear_edgel3.exporting.program import Program
from hear_edgel3.exporting.targets import Target, tolerance_of

_AT_ONCE = 8
_ROUNDS = 7
# Of a window of timestamps, and of a scene: other lengths than it was traced with.
_OTHER_SECONDS = (0.16, 2.53)
_SAMPLED_S = 1.0
# The means of the image over time, which are the first values of many embeddings, and flatter every cosine.
_MEL_AVERAGES = "mel_avgs"


@dataclass(frozen=True)
class OutputProof:
    """How far an output is from PyTorch's.

    Attributes:
        error: The largest difference.
        peak: The largest absolute value that PyTorch puts out.
        worst: The sound with the largest difference.
        by_kind: The largest difference of each kind of sound.
        cosine: The smallest cosine of a window, and the mean; None where there is none, as of silence.
        cosine_without_mel_avgs: The same of what is behind these; None where there are none.
    """

    error: float
    peak: float
    worst: str
    by_kind: Mapping[str, float]
    cosine: tuple[float, float] | None = None
    cosine_without_mel_avgs: tuple[float, float] | None = None

    @property
    def share(self) -> float:
        """The largest difference as a fraction of the largest value."""
        return self.error / self.peak if self.peak else float(self.error > 0)


@dataclass(frozen=True)
class Proof:
    """What is known of a file.

    Attributes:
        target: The target's name.
        engine: The engine and its version.
        windows: How many windows were compared.
        own: How many of them are of somebody's own sounds.
        tolerance: The largest difference that is let through, as a fraction of the largest value of an output.
        outputs: By name.
        size: The file's, in bytes.
        ms: The CPU time of one window in the engine, on one thread.
        torch_ms: The same in PyTorch.
        window_s: The length of that window in seconds.
        peak_memory: The most bytes that one window takes, the engine's own code left out; None where it is not known.
    """

    target: str
    engine: str
    windows: int
    own: int
    tolerance: float
    outputs: Mapping[str, OutputProof]
    size: int
    ms: float
    torch_ms: float
    window_s: float
    peak_memory: int | None

    @property
    def passed(self) -> bool:
        """Whether all outputs are within the tolerance."""
        return all(output.share <= self.tolerance for output in self.outputs.values())

    def to_dict(self) -> dict[str, Any]:
        """As plain values, ready for JSON."""
        shares = {name: {**asdict(output), "share": output.share} for name, output in self.outputs.items()}
        ratio = self.ms / self.torch_ms
        return {**asdict(self), "outputs": shares, "time_ratio": ratio, "passed": self.passed}

    def lines(self) -> list[str]:
        """As text, a line each."""
        own = f", {self.own} of them your own" if self.own else ""
        found = [
            f"proof: {self.windows} windows of tones, silence, clicks, noise, notes{own}; {self.engine} and PyTorch"
        ]
        for name, output in self.outputs.items():
            found.append(
                f"{name}: largest difference {output.error:.1e} ({output.worst}), {output.share:.1e} of the peak "
                f"{output.peak:.3g}; at most {self.tolerance:g} is let through"
            )
            kinds = ", ".join(f"{kind} {error:.1e}" for kind, error in output.by_kind.items())
            found.append(f"{name}: by kind of sound: {kinds}")
            for what, cosine in (("", output.cosine), (" without mel_avgs", output.cosine_without_mel_avgs)):
                if cosine is not None:
                    found.append(f"{name}: least cosine{what} {cosine[0]:.7f}, mean {cosine[1]:.7f}")
        memory = "not known" if self.peak_memory is None else f"{self.peak_memory / 1e6:.0f} MB above the engine"
        found.append(
            f"size {self.size / 1e6:.2f} MB; CPU time {self.ms / self.torch_ms:.2f} of PyTorch's ({self.ms:.1f} and "
            f"{self.torch_ms:.1f} ms for {self.window_s:g} s); peak memory {memory}"
        )
        return found


def prove(program: Program, name: str, target: Target, path: Path, check: str | None = None) -> Proof:
    """Compares a file with PyTorch.

    Args:
        program: What it was made of.
        name: The target's.
        target: What it was written for.
        path: The file.
        check: Sources of somebody's own sounds, besides the built-in ones.
    """
    card = program.card
    rate, length = card["sample_rate"], card["length"]
    usual = length or int(_SAMPLED_S * rate)
    clips = synthetic_clips(rate, usual)
    if check is not None:
        clips += own_clips(check, rate, usual)
    groups = [clips[i : i + _AT_ONCE] for i in range(0, len(clips), _AT_ONCE)]
    if length is None:
        groups += [synthetic_clips(rate, max(card["minimum_samples"], int(s * rate))) for s in _OTHER_SECONDS]
        groups.append(synthetic_clips(rate, card["minimum_samples"])[:1])
    session = target.open_file(path)
    images = program.images if card["part"] == NET else _as_given
    seen: list[tuple[ProofClip, dict[str, np.ndarray], dict[str, np.ndarray]]] = []
    with _one_thread():
        for group in groups:
            x = torch.from_numpy(np.stack([clip.samples for clip in group]))
            x = images(x)
            found = session(x.numpy())
            expected = dict(zip(program.outputs, (y.numpy() for y in program.reference(x)), strict=True))
            for i, clip in enumerate(group):
                seen.append((clip, _row(found, i), _row(expected, i)))
        outputs = {one: _compare(one, seen, card) for one in program.outputs}
        x = images(torch.from_numpy(clips[-1].samples)[None])
        ms, torch_ms = _times(lambda: session(x.numpy()), lambda: program.fast(x))
    return Proof(
        name,
        f"{target.ENGINE} {target.engine_version()}",
        len(seen),
        sum(clip.kind == "own" for clip, _, _ in seen),
        tolerance_of(target, card["family"]),
        outputs,
        path.stat().st_size,
        ms,
        torch_ms,
        usual / rate,
        peak_bytes(name, path, x.shape),
    )


def _as_given(x: torch.Tensor) -> torch.Tensor:
    return x


def _row(values: Mapping[str, np.ndarray], i: int) -> dict[str, np.ndarray]:
    return {name: value[i].ravel().astype(np.float64) for name, value in values.items()}


def _compare(
    name: str,
    seen: Sequence[tuple[ProofClip, Mapping[str, np.ndarray], Mapping[str, np.ndarray]]],
    card: Mapping[str, Any],
) -> OutputProof:
    errors = [float(np.abs(found[name] - expected[name]).max()) for _, found, expected in seen]
    # What is not a number is as far off as can be.
    errors = [error if np.isfinite(error) else float("inf") for error in errors]
    by_kind: dict[str, float] = {}
    for (clip, _, _), error in zip(seen, errors, strict=True):
        by_kind[clip.kind] = max(error, by_kind.get(clip.kind, 0.0))
    worst = seen[int(np.argmax(errors))][0].name
    peak = max(float(np.abs(expected[name]).max()) for _, _, expected in seen)
    if name != "embedding" or card["part"] == FRONTEND:
        return OutputProof(max(errors), peak, worst, by_kind)
    pairs = [(found[name], expected[name]) for _, found, expected in seen]
    places = _without_mel_averages(card["features"])
    without = [(a[places], b[places]) for a, b in pairs] if places is not None else []
    return OutputProof(max(errors), peak, worst, by_kind, _cosines(pairs), _cosines(without))


def _without_mel_averages(features: Mapping[str, int]) -> np.ndarray | None:
    if _MEL_AVERAGES not in features or len(features) == 1:
        return None
    return np.concatenate([np.full(size, name != _MEL_AVERAGES) for name, size in features.items()])


def _cosines(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float] | None:
    lengths = [(a, b, float(np.linalg.norm(a) * np.linalg.norm(b))) for a, b in pairs]
    found = [float(a @ b) / length for a, b, length in lengths if length > 0]
    return (min(found), sum(found) / len(found)) if found else None


def _times(*runs: Callable[[], object]) -> list[float]:
    """The CPU time of each in milliseconds, the median of some rounds in which they take turns."""
    taken: list[list[float]] = [[] for _ in runs]
    for round_ in range(_ROUNDS + 1):
        for run, times in zip(runs, taken, strict=True):
            begun = time.process_time()
            run()
            if round_:  # the first one warms up
                times.append(1000 * (time.process_time() - begun))
    return [float(np.median(times)) for times in taken]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch with one thread, and the caller's number again behind."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
