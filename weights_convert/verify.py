"""Compares converted weights with embeddings that the original program computed."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hear_edgel3.audio.samples import to_samples
from hear_edgel3.errors import InvalidOption, WeightsMismatch
from hear_edgel3.families.schema import Configuration, Published
from hear_edgel3.registry.names import resolve

MIN_COSINE = 0.999999


@dataclass(frozen=True)
class Comparison:
    """How far the embeddings of one set of windows are from the reference.

    Attributes:
        name: of the set.
        windows: how many.
        max_error: largest absolute difference.
        min_cosine: smallest cosine similarity of a window.
    """

    name: str
    windows: int
    max_error: float
    min_cosine: float


def verify(row: Published, state: dict[str, torch.Tensor], reference: Path, tolerance: float) -> list[Comparison]:
    """Embeds the windows in a reference file and compares.

    Args:
        row: the checkpoint.
        state: its converted tensors.
        reference: an .npz with pairs ``pcm__NAME`` (n, window) int16 or float windows at the net's rate, and
            ``emb__NAME`` (n, embedding size) from the original program.
        tolerance: largest absolute error allowed.

    Returns:
        One comparison per pair.

    Raises:
        InvalidOption: the reference has no such pairs for this checkpoint.
        WeightsMismatch: an error exceeds the tolerance, or a cosine is below 0.999999.
    """
    configuration = resolve(row.name)
    pairs = _pairs(reference, configuration)
    net, frontend = configuration.net.build(), row.frontend.build().eval()
    net.load_state_dict(state, strict=False)
    net.eval()
    results = []
    for name, windows, expected in pairs:
        with torch.no_grad():
            found = torch.cat([net(frontend(g)) for g in torch.split(windows, row.windows_per_batch)]).double().numpy()
        norms = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        cosine = (found * expected).sum(1) / np.maximum(norms, 1e-30)
        # An embedding of nothing but zeros, which a final ReLU can give, has no direction: its error alone counts.
        cosine[(expected == 0).all(1)] = 1.0
        results.append(Comparison(name, len(found), float(np.abs(found - expected).max()), float(cosine.min())))
    worst = max(results, key=lambda r: np.inf if np.isnan(r.max_error) else r.max_error)
    # Written so that NaN does not pass.
    if not (worst.max_error <= tolerance and all(r.min_cosine >= MIN_COSINE for r in results)):
        raise WeightsMismatch(
            f"the embeddings of {row.name} differ from {reference}: {worst.name} by {worst.max_error:.3g} (allowed "
            f"{tolerance:g}), smallest cosine {min(r.min_cosine for r in results):.7f} (allowed {MIN_COSINE}); nothing "
            f"was written"
        )
    return results


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
