"""Spectrograms, links and previews of sounds."""

from __future__ import annotations

import base64
import io
import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.explore import sounds, spectrograms
from support import signals
from support.pages import thumbnails_of, write_odd_clip

# --- spectrograms ---


def test_a_tone_is_a_bright_band_and_its_silence_is_dark() -> None:
    t = np.arange(2 * spectrograms.RATE) / spectrograms.RATE
    tone = np.where(t < 1, 0.5 * np.sin(2 * np.pi * 1000 * t), 0)
    levels = spectrograms.thumbnail(torch.from_numpy(tone).float())
    assert levels.shape == (spectrograms.BANDS, spectrograms.FRAMES)
    half = spectrograms.FRAMES // 2
    # 1 kHz is 1000 mel of 3515 at 15 kHz
    band = round(49 * 1000 / 3515) - 1
    assert (levels[band, 2 : half - 2] == spectrograms.LEVELS - 1).all()
    assert (levels[band + 15 :, 2 : half - 2] < spectrograms.LEVELS // 2).all()
    assert (levels[:, half + 3 :] == 0).all()


def test_silence_is_dark_and_loudness_does_not_count() -> None:
    assert (spectrograms.thumbnail(torch.zeros(8000)) == 0).all()
    tone = 0.5 * torch.sin(2 * torch.pi * 1000 * torch.arange(32000) / 32000)
    loud, soft = spectrograms.thumbnail(tone), spectrograms.thumbnail(tone / 2)
    well_above = loud > spectrograms.LEVELS // 4  # near silence the front end's floor is felt
    assert np.abs(loud.astype(int) - soft)[well_above].max() <= 1
    assert well_above.mean() > 0.1
    assert loud.max() == soft.max() == spectrograms.LEVELS - 1
    assert 0 < spectrograms.thumbnail(tone / 1e4).max() < 10


@pytest.mark.parametrize("n_samples", [0, 1, 600])
def test_the_shortest_clips_have_a_spectrogram(n_samples: int) -> None:
    assert spectrograms.thumbnail(torch.ones(n_samples)).shape == (spectrograms.BANDS, spectrograms.FRAMES)


def test_packing_can_be_undone_and_noise_takes_some_two_kilobytes() -> None:
    noise = [
        spectrograms.thumbnail(torch.from_numpy(signals.clip(2.0, spectrograms.RATE, seed=i)).float()) for i in range(9)
    ]
    text = spectrograms.pack(noise)
    assert len(text) / 9 < 4000
    Path("page").write_text(f'<script type="text/plain" id="spectrograms-0">{text}</script>')
    assert np.array_equal(thumbnails_of("page", 9), np.stack(noise))


# --- sounds ---


def test_links_name_every_byte() -> None:
    names = [
        b"100% #1?.wav",
        b"a:b.wav",
        b"\"<&>'.wav",
        b"new\nline.wav",
        b"\xff\xfe.wav",
        "ü声.wav".encode(),
        b"\\x41 b",
    ]
    for name in names:
        address = sounds.link(Path("/data/x y") / os.fsdecode(name), Path("/data/pages/page.html"))
        assert re.fullmatch(r"\.\./x%20y/[A-Za-z0-9%._~-]+", address)
        assert unquote_to_bytes(address.removeprefix("../x%20y/")) == name


def test_names_are_relative_to_the_folder_that_is_given() -> None:
    odd = Path(os.fsdecode(b"\xff.wav"))
    for name in ("a.wav", odd):
        write_odd_clip(Path("audio") / name)
        assert sounds.audio_path(text_of_path(name), "audio") == Path("audio") / name
    assert sounds.audio_path("a.wav", None) == Path("a.wav")
    assert sounds.audio_path("/x/a.wav", "audio") == Path("/x/a.wav")


def test_a_preview_is_the_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(32000) / 32000)
    formats = soundfile.available_formats()
    without = {name: text for name, text in formats.items() if name != "MP3"}
    for known, kind in ((formats, "audio/mpeg"), (without, "audio/ogg")):
        monkeypatch.setattr(soundfile, "available_formats", lambda known=known: known)
        head, text = sounds.preview(torch.from_numpy(tone).float()).split(",")
        assert head == f"data:{kind};base64"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(text)))
        assert rate == spectrograms.RATE
        spectrum = np.abs(np.fft.rfft(samples))
        assert abs(spectrum.argmax() * rate / len(samples) - 440) < 3
