"""Lengths in headers that cannot be true are not believed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.audio.media import _length


@pytest.mark.parametrize(
    ("duration", "seconds"), [(16000, 1.0), (0, 0.0), (2**62, None), (-5, None), (None, None), (16000 * 10**8, 1e8)]
)
def test_a_track_of_a_million_years(duration: int | None, seconds: float | None) -> None:
    track = SimpleNamespace(duration=duration, time_base=Fraction(1, 16000))
    container = SimpleNamespace(format=SimpleNamespace(name="wav"), duration=None, streams=[track])
    assert _length(container, track) == seconds
    alone = SimpleNamespace(duration=None, time_base=Fraction(1, 16000))
    container.duration = None if duration is None else round(duration * 62.5)
    assert _length(container, alone) == seconds


@pytest.mark.parametrize("start", [0, 9, 11, 24])
@pytest.mark.parametrize("length", [None, 0, 0xFF00BB80])
def test_sound_that_begins_inside_its_header(tmp_path: Path, start: int, length: int | None) -> None:
    path = tmp_path / "a.au"
    soundfile.write(path, 0.1 * np.ones(1000), 8000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[4:8] = start.to_bytes(4, "big")
    if length is not None:
        data[8:12] = length.to_bytes(4, "big")
    path.write_bytes(data)
    with AudioFile(path) as file:
        read = np.concatenate(list(file.blocks(watch=False)))
    assert read.size == 1000
    np.testing.assert_allclose(read, 0.1, atol=1e-4)
