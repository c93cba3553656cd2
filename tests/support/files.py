"""Files and folders: what is in them, and sounds that are put there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from support import signals


def files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def write_clip(path: str | Path, seconds: float = 0.6, rate: int = 8000, seed: int = 0) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signals.clip(seconds, rate, seed=seed), rate)
    return path


def contents(path: str | Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
