"""Recordings that are in two folders."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("debian", reason="recipes need python-debian: install the extra recipes")
pytest.importorskip("scipy", reason="recipes need scipy: install the extra recipes")

from recipes import overlaps
from scipy.signal import resample_poly


def chirps(seed: int, seconds: float = 6.0, rate: int = 44100) -> np.ndarray:
    """Short tones at random, as birds are."""
    rng = np.random.default_rng(seed)
    sound = rng.normal(0, 0.002, int(seconds * rate))
    for _ in range(int(6 * seconds)):
        n = int(rng.uniform(0.03, 0.2) * rate)
        start = int(rng.integers(len(sound) - n))
        slope = np.linspace(0, rng.uniform(-500, 500), n) + rng.uniform(500, 3500)
        sound[start : start + n] += np.hanning(n) * np.sin(2 * np.pi * np.cumsum(slope) / rate) * rng.uniform(0.05, 0.3)
    return sound


def test_what_was_changed_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known, folder = tmp_path / "known", tmp_path / "games" / "deep"
    known.mkdir()
    folder.mkdir(parents=True)
    soundfile.write(known / "bird.flac", chirps(0), 44100)
    soundfile.write(known / "other.flac", chirps(1), 44100)
    # cut, softer, at another rate, in stereo, compressed
    changed = 0.3 * resample_poly(chirps(0)[50001:200000], 22050, 44100)
    soundfile.write(folder / "changed.ogg", np.stack([changed, 0.5 * changed], axis=1), 22050)
    soundfile.write(folder / "new.wav", chirps(2), 44100)
    soundfile.write(folder / "short.wav", chirps(0)[:100], 44100)
    (folder / "broken.wav").write_bytes(b"RIFF nothing of the kind")
    monkeypatch.setattr(sys, "argv", ["overlaps", str(known), "--in", str(tmp_path / "games")])
    overlaps.main()
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1:] for line in lines] == [[str(folder / "changed.ogg"), str(known / "bird.flac")]]
    monkeypatch.setattr(sys, "argv", ["overlaps", str(known), "--in", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit, match="nowhere is no folder"):
        overlaps.main()
