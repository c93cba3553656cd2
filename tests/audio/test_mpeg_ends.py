"""A few bytes behind the last frame of an MP3 file begin nothing, and end the search for frames."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.audio.mpeg import frame_length


def stream(with_count: bool) -> bytes:
    buffer = io.BytesIO()
    noise = 0.1 * np.random.default_rng(0).standard_normal(44100)
    soundfile.write(buffer, noise, 44100, format="MP3", subtype="MPEG_LAYER_III")
    data = buffer.getvalue()
    length, _ = frame_length(data[:4])
    assert b"Xing" in data[:length] or b"Info" in data[:length]
    return data if with_count else data[length:]


def read(path: Path) -> np.ndarray:
    with AudioFile(path) as file:
        found: np.ndarray = torch.cat(list(file.blocks(watch=False))).numpy()
    return found


@pytest.mark.parametrize("with_count", [True, False])
@pytest.mark.parametrize("behind", [b"\0", b"\0\0", b"\0\0\0", b"\xff\xfb", b"TA", b"\0\0\0\0"])
def test_bytes_behind_the_last_frame(tmp_path: Path, with_count: bool, behind: bytes) -> None:
    data = stream(with_count)
    (tmp_path / "whole.mp3").write_bytes(data)
    (tmp_path / "more.mp3").write_bytes(data + behind)
    np.testing.assert_array_equal(read(tmp_path / "more.mp3"), read(tmp_path / "whole.mp3"))


def test_bytes_behind_the_last_of_joined_streams(tmp_path: Path) -> None:
    data = stream(True) + stream(False)
    (tmp_path / "whole.mp3").write_bytes(data)
    (tmp_path / "more.mp3").write_bytes(data + b"\0\0")
    np.testing.assert_array_equal(read(tmp_path / "more.mp3"), read(tmp_path / "whole.mp3"))
