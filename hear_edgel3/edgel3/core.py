"""``edgel3.core``: embeddings of arrays and files."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from hear_edgel3._checks import check_path, check_positive
from hear_edgel3.disk.atomic import check_writable
from hear_edgel3.edgel3.checks import check_names, check_options, remarks
from hear_edgel3.edgel3.edgel3_exceptions import EdgeL3Error
from hear_edgel3.edgel3.edgel3_warnings import EdgeL3Warning
from hear_edgel3.edgel3.models import load_embedding_model
from hear_edgel3.extractor.npz import output_path, save_npz

if TYPE_CHECKING:
    from hear_edgel3.extractor.extractor import Extractor

__all__ = ["EdgeL3Error", "EdgeL3Warning", "get_embedding", "get_output_path", "process_file"]


def get_embedding(
    audio: Any,
    sr: int,
    model: Extractor | None = None,
    model_type: str = "sparse",
    emb_dim: float = 128,
    retrain_type: str = "ft",
    sparsity: float = 95.45,
    center: bool = True,
    hop_size: float = 0.1,
    verbose: int = 1,
    weights: str | os.PathLike[str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the embedding of audio, as edgel3 does.

    Args:
        audio: (N,) or (N, C): floats in [-1, 1], or integers at their full scale.
        sr: sampling rate in Hz; converted to the model's if different.
        model: from ``models.load_embedding_model``; if given, the options that choose a model are ignored.
        model_type: "sparse" or "sea".
        emb_dim: 512, 256, 128 or 64, for "sea".
        retrain_type: "ft" or "kd", for "sparse".
        sparsity: 53.5, 63.5, 72.3, 73.5, 81, 87, 90.5 or 95.45, for "sparse".
        center: pad the beginning by half a window, so that timestamps are the middles of the windows.
        hop_size: seconds between windows.
        verbose: 0 or 1; kept for compatibility, nothing is printed.
        weights: a converted weights file; None to find or fetch it.

    Returns:
        (T, D) float32 embedding, and (T,) float64 timestamps in seconds.

    Raises:
        EdgeL3Error: audio or an option cannot be used.
    """
    check_options(center, verbose, model)
    from hear_edgel3.audio.rates import check_rate
    from hear_edgel3.audio.samples import mono
    from hear_edgel3.extractor.clip import embed_samples

    check_positive(hop_size, "hop_size", "seconds")
    mono(audio, watch=False)  # what is wrong with it is said first; the warnings come below
    rate = check_rate(sr, "sr")
    if model is None:
        model = load_embedding_model(model_type, emb_dim, retrain_type, sparsity, weights)
    result = embed_samples(audio, rate, model, hop_size=hop_size, center=center)
    for text in remarks(result, model):
        warnings.warn(text, EdgeL3Warning, stacklevel=2)
    return result.embedding, result.timestamps


def process_file(
    filepath: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None = None,
    suffix: str | None = None,
    model: Extractor | None = None,
    model_type: str = "sparse",
    emb_dim: float = 128,
    sparsity: float = 95.45,
    center: bool = True,
    hop_size: float = 0.1,
    verbose: bool = True,
    retrain_type: str = "ft",
    weights: str | os.PathLike[str] | None = None,
) -> None:
    """Computes the embedding of a file and saves it as ``<name>[_<suffix>].npz``, replacing an older one.

    The arrays ``embedding`` and ``timestamps`` (seconds) are edgel3's; ``configuration``, ``embedding_version`` and
    ``weights_sha256`` say what made them.

    Args:
        filepath: an audio file.
        output_dir: folder for the result; None for the file's own.
        suffix: added to the name.
        model: as for :func:`get_embedding`, like the remaining options.
        model_type: see :func:`get_embedding`.
        emb_dim: see :func:`get_embedding`.
        sparsity: see :func:`get_embedding`.
        center: see :func:`get_embedding`.
        hop_size: see :func:`get_embedding`.
        verbose: kept for compatibility.
        retrain_type: see :func:`get_embedding`.
        weights: see :func:`get_embedding`.

    Raises:
        EdgeL3Error: the file cannot be read, an option cannot be used, or the result cannot be written.
    """
    check_options(center, int(bool(verbose)), model)
    check_path(filepath, "filepath", empty=True)
    check_names(output_dir, suffix)
    target = output_path(filepath, suffix, output_dir)
    check_writable(target)
    from hear_edgel3.disk.state import file_state
    from hear_edgel3.extractor.clip import embed_file

    check_positive(hop_size, "hop_size", "seconds")
    if model is None:
        model = load_embedding_model(model_type, emb_dim, retrain_type, sparsity, weights)
    state = file_state(filepath)
    result = embed_file(filepath, model, hop_size=hop_size, center=center)
    save_npz(target, result, filepath, state)
    for text in remarks(result, model):
        warnings.warn(text, EdgeL3Warning, stacklevel=2)


def get_output_path(
    filepath: str | os.PathLike[str], suffix: str, output_dir: str | os.PathLike[str] | None = None
) -> str:
    """Where a result goes: ``<name>_<suffix>``, or ``<name><suffix>`` if the suffix starts with a dot.

    Args:
        filepath: the audio file.
        suffix: with the extension, for example "kd.npz" or ".npz".
        output_dir: folder; None for the file's own.

    Raises:
        InvalidOption: one of them is no path, or no text.
    """
    check_path(filepath, "filepath", empty=True)
    check_names(output_dir, suffix)
    stem = os.path.splitext(os.path.basename(filepath))[0]
    joint = "" if suffix.startswith(".") or not suffix else "_"
    return os.path.join(output_dir or os.path.dirname(filepath), f"{stem}{joint}{suffix}")
