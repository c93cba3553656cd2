"""Proves an exported file: it is run in its own engine on sounds of many kinds, and compared with PyTorch.

What is compared with is computed by PyTorch in float64. Its float32, which users of the package get, is itself off: a
DFT in float32 drowns what leaks out of a pure tone, so that images of MobileNetV3 are 1e-4 off, and embeddings 3e-5 of
the largest value (of nets that hardly learnt, 1e-4), where the net's own rounding is 3e-6.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_edgel3.exporting.card import FRONTEND, NET
from hear_edgel3.exporting.clips import ProofClip, synthetic_clips, usual_samples
from hear_edgel3.exporting.memory import peak_bytes
from hear_edgel3.exporting.places import cosines, without_mel_averages
from hear_edgel3.exporting.program import Program
from hear_edgel3.exporting.proof import OutputProof, Proof
from hear_edgel3.exporting.targets import Target, tolerance_of

_AT_ONCE = 8
_ROUNDS = 7
_RUNS_A_TURN, _TURN_MS = 5, 20.0
# Of a window of timestamps, and of a scene: other lengths than it was traced with.
_OTHER_SECONDS = (0.16, 2.53)
# The least mean cosine of embeddings, without mel_avgs, of files in eight bits.
_LEAST = {"weights": 0.995, "static": 0.99}


def calibration_inputs(program: Program, calibrate: Sequence[ProofClip]) -> list[torch.Tensor]:
    """What to measure on how large activations are, and what weights lose: batches as a program takes them.

    Args:
        program: What is exported.
        calibrate: Sounds of somebody's own, besides built-in ones, which are others than the proof's; all of
            :func:`~hear_edgel3.exporting.clips.usual_samples`.
    """
    rate = program.card["sample_rate"]
    n_samples = usual_samples(program.card["length"], rate)
    # What is like recordings alone: pure tones and silence would take half of the eight bits' range for themselves.
    clips = [clip for clip in synthetic_clips(rate, n_samples, seed=1) if clip.kind == "synthetic"]
    clips += calibrate
    images = program.images if program.card["part"] == NET else _as_given
    groups = [clips[i : i + _AT_ONCE] for i in range(0, len(clips), _AT_ONCE)]
    return [images(torch.from_numpy(np.stack([clip.samples for clip in group]))) for group in groups]


def prove(
    program: Program,
    name: str,
    target: Target,
    path: Path,
    check: Sequence[ProofClip] = (),
    quantization: Mapping[str, Any] | None = None,
    in_float: Path | None = None,
) -> Proof:
    """Compares a file with PyTorch.

    Args:
        program: What it was made of.
        name: The target's.
        target: What it was written for.
        path: The file.
        check: Sounds of somebody's own, besides the built-in ones, of as many samples.
        quantization: What of it is in eight bits, as its card says.
        in_float: The same file in float, if it is in eight bits.
    """
    card = program.card
    rate, length = card["sample_rate"], card["length"]
    usual = usual_samples(length, rate)
    clips = [*synthetic_clips(rate, usual), *check]
    groups = [clips[i : i + _AT_ONCE] for i in range(0, len(clips), _AT_ONCE)]
    if length is None:
        groups += [synthetic_clips(rate, max(card["minimum_samples"], int(s * rate))) for s in _OTHER_SECONDS]
        groups.append(synthetic_clips(rate, card["minimum_samples"])[:1])
    session = target.open_file(path)
    images = program.images if card["part"] == NET else _as_given
    seen: list[_Seen] = []
    with _one_thread():
        for group in groups:
            x = torch.from_numpy(np.stack([clip.samples for clip in group]))
            x = images(x)
            found = session(x.numpy())
            exact, plain = (
                dict(zip(program.outputs, (y.numpy() for y in module(x)), strict=True))
                for module in (program.reference, program.usual)
            )
            for i, clip in enumerate(group):
                seen.append(_Seen(clip, _row(found, i), _row(exact, i), _row(plain, i)))
        least = None if quantization is None else _LEAST[quantization["method"]]
        kinds = {one.clip.kind for one in seen} if quantization is None else set()
        tolerances = {kind: tolerance_of(target, kind) for kind in kinds}
        outputs = {one: _compare(one, seen, card, tolerances, least) for one in program.outputs}
        x = images(torch.from_numpy(clips[-1].samples)[None])
        runs: list[Callable[[], object]] = [lambda: session(x.numpy()), lambda: program.fast(x)]
        if in_float is not None:
            other = target.open_file(in_float)
            runs.append(lambda: other(x.numpy()))
        ms, torch_ms, *float_ms = _times(*runs)
    return Proof(
        name,
        f"{target.ENGINE} {target.engine_version()}",
        len(seen),
        sum(one.clip.kind == "own" for one in seen),
        outputs,
        target.size_of(path),
        ms,
        torch_ms,
        usual / rate,
        peak_bytes(name, path, x.shape),
        quantization,
        None if in_float is None else target.size_of(in_float),
        float_ms[0] if float_ms else None,
    )


def _as_given(x: torch.Tensor) -> torch.Tensor:
    return x


@dataclass(frozen=True)
class _Seen:
    """A sound, and what the file, PyTorch in float64 and PyTorch in float32 make of it: by name, (size,) float64."""

    clip: ProofClip
    found: Mapping[str, np.ndarray]
    exact: Mapping[str, np.ndarray]
    usual: Mapping[str, np.ndarray]


def _row(values: Mapping[str, np.ndarray], i: int) -> dict[str, np.ndarray]:
    return {name: value[i].ravel().astype(np.float64) for name, value in values.items()}


def _compare(
    name: str, seen: Sequence[_Seen], card: Mapping[str, Any], tolerances: Mapping[str, float], least: float | None
) -> OutputProof:
    errors = [float(np.abs(one.found[name] - one.exact[name]).max()) for one in seen]
    # What is not a number is as far off as can be.
    errors = [error if np.isfinite(error) else float("inf") for error in errors]
    by_kind: dict[str, float] = {}
    for one, error in zip(seen, errors, strict=True):
        by_kind[one.clip.kind] = max(error, by_kind.get(one.clip.kind, 0.0))
    worst = seen[int(np.argmax(errors))].clip.name
    peak = _peak(name, seen)
    scale = max(peak, _slope(card) * _peak("logits", seen)) if name == "probabilities" else peak
    allowed = {kind: tolerance * scale for kind, tolerance in tolerances.items()}
    torch_error = max(float(np.abs(one.usual[name] - one.exact[name]).max()) for one in seen)
    if name != "embedding" or card["part"] == FRONTEND:
        return OutputProof(max(errors), torch_error, peak, worst, by_kind, allowed)
    found, exact = np.stack([one.found[name] for one in seen]), np.stack([one.exact[name] for one in seen])
    places = without_mel_averages(card["features"])
    without = None if places is None else _cosines(found[:, places], exact[:, places])
    return OutputProof(max(errors), torch_error, peak, worst, by_kind, allowed, _cosines(found, exact), without, least)


def _peak(name: str, seen: Sequence[_Seen]) -> float:
    return max(float(np.abs(one.exact[name]).max()) for one in seen)


def _slope(card: Mapping[str, Any]) -> float:
    """By how much a probability can change at most where logits all change by so little."""
    return (0.5 if card["targets"] == "single" else 0.25) / float(card["temperature"])


def _cosines(found: np.ndarray, expected: np.ndarray) -> tuple[float, float] | None:
    values = cosines(found, expected)
    return (float(values.min()), float(values.mean())) if len(values) else None


def _times(*runs: Callable[[], object]) -> list[float]:
    """The CPU time of each in milliseconds: the median over some rounds in which they take turns.

    In its turn each runs a few times, because the first of them finds in the caches what another has left there.
    """
    taken: list[list[float]] = [[] for _ in runs]
    for round_ in range(_ROUNDS + 1):
        for run, times in zip(runs, taken, strict=True):
            turn: list[float] = []
            while len(turn) < _RUNS_A_TURN and sum(turn) < _TURN_MS:
                begun = time.process_time()
                run()
                turn.append(1000 * (time.process_time() - begun))
            if round_:  # the first one warms up
                times.extend(turn)
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
