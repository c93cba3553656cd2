"""Compares converted weights with embeddings that the original program computed, or quantised ones with float ones."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hear_edgel3.audio.samples import to_samples
from hear_edgel3.errors import InvalidOption, WeightsMismatch
from hear_edgel3.families.schema import Checkpoint, Configuration

MIN_COSINE = 0.999999
# What quantised weights are tried on where nobody gives windows: each kind of sound so many times.
_OF_EACH_KIND = 4


@dataclass(frozen=True)
class Comparison:
    """How far the embeddings of one set of windows are from the reference.

    Attributes:
        name: of the set.
        windows: how many.
        max_error: largest absolute difference.
        min_cosine: smallest cosine similarity of a window.
        peak: largest absolute value that was expected.
    """

    name: str
    windows: int
    max_error: float
    min_cosine: float
    peak: float


def verify(
    row: Checkpoint,
    state: dict[str, torch.Tensor],
    reference: Path,
    tolerance: float,
    least_cosine: float = MIN_COSINE,
) -> list[Comparison]:
    """Embeds the windows in a reference file and compares.

    Args:
        row: the checkpoint.
        state: its converted tensors.
        reference: an .npz with pairs ``pcm__NAME`` (n, window) int16 or float windows at the net's rate, and
            ``emb__NAME`` (n, embedding size) from the original program.
        tolerance: largest absolute error allowed.
        least_cosine: smallest cosine similarity of a window allowed.

    Returns:
        One comparison per pair.

    Raises:
        InvalidOption: the reference has no such pairs for this checkpoint.
        WeightsMismatch: an error exceeds the tolerance, or a cosine is below the least.
    """
    configuration = _configuration(row)
    pairs = _pairs(reference, configuration)
    embed = _embedder(configuration, state)
    results = [_compared(name, embed(windows), expected) for name, windows, expected in pairs]
    worst = max(results, key=lambda r: np.inf if np.isnan(r.max_error) else r.max_error)
    # Written so that NaN does not pass.
    if not (worst.max_error <= tolerance and all(r.min_cosine >= least_cosine for r in results)):
        raise WeightsMismatch(
            f"the embeddings of {row.name} differ from {reference}: {worst.name} by {worst.max_error:.3g} (allowed "
            f"{tolerance:g}), smallest cosine {min(r.min_cosine for r in results):.7f} (allowed {least_cosine}); "
            f"nothing was written"
        )
    return results


def compare_states(
    row: Checkpoint, state: dict[str, torch.Tensor], other: dict[str, torch.Tensor], reference: Path | None = None
) -> list[Comparison]:
    """How far the embeddings of some weights are from those of others of the same net.

    Args:
        row: the checkpoint.
        state: the weights to judge, quantised ones for instance.
        other: those to compare with.
        reference: as for :func:`verify`; its windows are embedded. None for made-up sounds.

    Raises:
        InvalidOption: as for :func:`verify`.
    """
    configuration = _configuration(row)
    if reference is None:
        sets = [("made-up sounds", made_up_windows(configuration.window, row.net_sample_rate))]
    else:
        sets = [(name, windows) for name, windows, _ in _pairs(reference, configuration)]
    embed, embed_other = _embedder(configuration, state), _embedder(configuration, other)
    return [_compared(name, embed(windows), embed_other(windows)) for name, windows in sets]


def made_up_windows(window: int, rate: int) -> torch.Tensor:
    """Windows of sounds that a formula gives: noises, sweeps, notes and clicks, loud and soft; always the same.

    Args:
        window: samples of each.
        rate: in Hz.

    Returns:
        (n, window) float32 in [-1, 1].
    """
    random = np.random.RandomState(0)
    time = np.arange(window) / rate
    sounds = []
    for number in range(_OF_EACH_KIND):
        spectrum = np.fft.rfft(random.randn(window)) / np.maximum(1, np.arange(window // 2 + 1)) ** (0.5 * number)
        sweep = np.sin(2 * np.pi * (100 + 0.2 * rate * time / time[-1] * (number + 1) / _OF_EACH_KIND) * time)
        pitch = 110 * 2.0**number
        note = sum(np.sin(2 * np.pi * k * pitch * time) / k for k in range(1, 6) if k * pitch < rate / 2)
        clicks = np.bincount(random.randint(window, size=4**number), minlength=window) * random.randn(window)
        sounds += [np.fft.irfft(spectrum, window), sweep, note * np.exp(-3 * time / time[-1]), clicks]
    peaks = [max(float(np.abs(sound).max()), 1e-9) for sound in sounds]
    levels = np.logspace(-2, -0.1, len(sounds))[random.permutation(len(sounds))]
    windows = np.stack([sound / peak * level for sound, peak, level in zip(sounds, peaks, levels, strict=True)])
    return torch.from_numpy(windows).float()


def _configuration(row: Checkpoint) -> Configuration:
    """A checkpoint with its default features."""
    return Configuration(row.name, row, row.vocabulary.read(row, ""))


def _embedder(configuration: Configuration, state: dict[str, torch.Tensor]) -> Callable[[torch.Tensor], np.ndarray]:
    row = configuration.checkpoint
    net, frontend = configuration.net.build(), row.frontend.build().eval()
    net.load_state_dict(state, strict=False)
    net.eval()

    def embed(windows: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            found = [net(frontend(group)) for group in torch.split(windows, row.windows_per_batch)]
        embeddings: np.ndarray = torch.cat(found).double().numpy()
        return embeddings

    return embed


def _compared(name: str, found: np.ndarray, expected: np.ndarray) -> Comparison:
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = (found * expected).sum(1) / np.maximum(norms, 1e-30)
    # An embedding of nothing but zeros, which a final ReLU can give, has no direction: its error alone counts.
    cosine[(expected == 0).all(1)] = 1.0
    error, peak = float(np.abs(found - expected).max()), float(np.abs(expected).max())
    return Comparison(name, len(found), error, float(cosine.min()), peak)


def _pairs(reference: Path, configuration: Configuration) -> list[tuple[str, torch.Tensor, np.ndarray]]:
    try:
        # opened here, because np.load leaves a damaged .npz open
        with open(reference, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
    # TypeError: an .npy, which is an array and not a file of arrays
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidOption(f"the reference {reference} cannot be read: {error}") from error
    pairs = []
    for key, pcm in arrays.items():
        expected = arrays.get(key.replace("pcm__", "emb__", 1))
        if key.startswith("pcm__") and expected is not None:
            if (
                pcm.shape != (*expected.shape[:1], configuration.window)
                or expected.shape[1:] != (configuration.embedding_size,)
                or not len(pcm)
            ):
                raise InvalidOption(
                    f"{reference}: {key} has shape {pcm.shape} and its embeddings {expected.shape}; "
                    f"{configuration.name} needs (n, {configuration.window}) and (n, {configuration.embedding_size})"
                )
            windows = to_samples(pcm, key).float()
            pairs.append((key.removeprefix("pcm__"), windows, expected.astype(np.float64)))
    if not pairs:
        raise InvalidOption(
            f"the reference {reference} has no pairs of windows and embeddings (keys pcm__NAME and emb__NAME); it has "
            f"{', '.join(sorted(arrays)[:5])}"
        )
    return pairs
