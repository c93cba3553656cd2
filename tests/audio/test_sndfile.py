"""Decoding by libsndfile: samples as soundfile gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.audio.sndfile import SndfileDecoder
from hear_edgel3.audio.source import Source


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "PCM_U8", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "W64", "AIFF"])
def test_samples_are_those_of_soundfile(form: str, subtype: str, channels: int, dtype: str, tmp_path: Path) -> None:
    """Bit by bit, however they are brought from what is stored to floats."""
    if not soundfile.check_format(form, subtype):
        pytest.skip(f"{form} has no {subtype}")
    rs = np.random.RandomState(0)
    samples = rs.randint(-(2**31), 2**31, (5000, channels), np.int64).astype(np.int32)
    samples[:6, 0] = -(2**31), 2**31 - 1, 0, -1, 1, 2**24 + 1
    written = samples if subtype.startswith("PCM") else samples * 1.7 / 2**31
    endian = "BIG" if form == "WAV" and subtype == "PCM_16" and channels == 3 else "FILE"
    soundfile.write(tmp_path / "a", written, 8000, format=form, subtype=subtype, endian=endian)
    expected = soundfile.read(tmp_path / "a", dtype=dtype, always_2d=True)[0]
    source = Source(tmp_path / "a", "a")
    decoder = SndfileDecoder(source)
    found = np.concatenate([decoder.read(n, dtype) for n in (1, 999, 4001)])
    decoder.close()
    source.close()
    assert found.dtype == dtype
    assert found.tobytes() == expected.tobytes()
