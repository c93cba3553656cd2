"""Audio files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from .kind import Attempt, Kind, Sound

# Of libsndfile: container, encoding, and the rate where it takes only some.
_FORMATS = (
    ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAV", "MS_ADPCM"), ("WAV", "GSM610"),
    ("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("AU", "PCM_16"),
    ("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
)  # fmt: skip
_EMBED_EVERY = 50


def _files(_: Path) -> list[Sound]:
    import soundfile

    noise, sounds = np.random.default_rng(0), []
    for number, (container, encoding) in enumerate(_FORMATS):
        rate = (8000, 16000, 48000)[number % 3]
        shape = (rate // 4, 1 if encoding == "GSM610" else 1 + number % 2)
        samples = 0.3 * np.sin(np.arange(shape[0]) * 0.1)[:, None] + 0.1 * noise.standard_normal(shape)
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, rate, format=container, subtype=encoding)
        ending = {"WAVEX": "wav", "RF64": "wav"}.get(container, container.lower())
        sounds.append(Sound(f"sound.{ending}", buffer.getvalue()))
    return sounds


def _prepare(place: Path) -> Attempt:
    import torch

    import hear_edgel3
    from hear_edgel3.audio.file import AudioFile

    torch.set_num_threads(1)
    model = hear_edgel3.load("tiny", engine="torch")
    tried = 0

    def attempt(name: str, data: bytes) -> None:
        nonlocal tried
        tried += 1
        path = place / name
        path.write_bytes(data)
        with AudioFile(path) as file:
            assert 0 <= file.duration < 1e9 or np.isnan(file.duration), file.duration
            for block in file.blocks():
                assert bool(torch.isfinite(block).all())
        if tried % 3 == 0:
            with AudioFile(path) as file:
                assert bool(torch.isfinite(file.stretch(0.1, 0.05)).all())
        if tried % _EMBED_EVERY == 0:
            assert np.isfinite(hear_edgel3.embed_file(path, model).embedding).all()

    return attempt


KINDS = (Kind("audio", _files, _prepare),)
