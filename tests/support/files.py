"""Files and folders: what is in them, and sounds that are put there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import soundfile

from support import signals

# What an .npz of embeddings holds, in the order of the alphabet.
RESULT = (
    "center configuration embedding embedding_version hop_size source source_modified source_size timestamps "
    "weights_sha256"
).split()


def is_folder(descriptor: int) -> bool:
    """Whether what is open is a folder: these are flushed too."""
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def files_under(folder: Path) -> list[str]:
    """Their paths below it, in order."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def write_clip(path: str | Path, seconds: float = 0.6, rate: int = 8000, seed: int = 0) -> Path:
    """A clip of noise; its folder is made where it is missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signals.clip(seconds, rate, seed=seed), rate)
    return path


def contents(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz."""
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
