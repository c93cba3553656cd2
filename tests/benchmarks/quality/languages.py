"""Spoken languages: letters and syllables of KLettres (Debian's klettres-data).

Label: the folder, a language code ("en" and "en_GB" are two). Of each language 24 recordings are drawn at random, the
same for all nets, so that none weighs more.

Group: the recording. Each language was probably spoken by one person into one microphone, which no fold can keep apart:
this task tells voices, rooms and equipment from each other at least as much as languages.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import soundfile

from tests.benchmarks.quality.clips import Recording

_MOST = 24


def recordings(package: Path) -> list[Recording]:
    """All recordings.

    Args:
        package: the unpacked Debian package.
    """
    result = []
    for folder in sorted(path for path in package.glob("usr/share/klettres/*") if path.is_dir()):
        files = sorted(folder.glob("*/*.ogg"))
        drawn = random.Random(folder.name).sample(files, min(_MOST, len(files)))
        for path in sorted(drawn):
            name = f"{folder.name} {path.parent.name} {path.stem}"
            result.append(Recording(name, folder.name, name, _Reader(path)))
    return result


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> tuple[np.ndarray, int]:
        return soundfile.read(self._path, dtype="float32")
