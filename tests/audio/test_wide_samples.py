"""WAV files of 64-bit integers, which libsndfile does not read and the extra `media` does."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.audio.file import AudioFile


@pytest.mark.parametrize("channels", [1, 2])
def test_they_are_read_by_their_full_scale(tmp_path: Path, channels: int) -> None:
    pytest.importorskip("av")
    wanted = np.random.default_rng(0).uniform(-1, 1, (9000, channels))
    data = np.round(wanted * 2.0**62).astype("<i8").tobytes()
    form = struct.pack("<HHIIHH", 1, channels, 8000, 8000 * 8 * channels, 8 * channels, 64)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    (tmp_path / "wide.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    with AudioFile(tmp_path / "wide.wav") as file:
        read = np.concatenate([np.asarray(block) for block in file.blocks()])
        assert file.duration == 9000 / 8000
    np.testing.assert_allclose(read.reshape(-1), wanted.mean(axis=1) / 2, atol=1e-6)
