"""Files of the kinds that the extra ``media`` reads, written by PyAV itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

# Where the first that a codec has is not of 16 bits.
_FORMATS = {"tta": "s16", "wavpack": "s16p"}


def sounds(n: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    """(channels, n) int16 of smooth noise, which every codec keeps well."""
    noise = np.random.default_rng(seed).standard_normal((channels, n + 15))
    smooth = np.stack([np.convolve(row, np.hanning(16) / 8, "valid") for row in noise])
    return np.round(6000 * smooth).astype(np.int16)


def encode(path: Path, codec: str, samples: np.ndarray, rate: int, pictures: bool = False) -> Path:
    """Writes (channels, n) int16 samples, with a video track if wanted."""
    av = pytest.importorskip("av", reason="needs the extra media")
    layout = {1: "mono", 2: "stereo"}[len(samples)]
    with av.open(str(path), "w") as container:
        if pictures:
            video = container.add_stream("mpeg4" if path.suffix != ".webm" else "libvpx", rate=25)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.time_base = Fraction(1, rate)
        if codec in _FORMATS:
            stream.format = _FORMATS[codec]
        if codec == "wmav2":
            stream.bit_rate = 128000
        frame_format = stream.codec_context.format.name
        if pictures:
            for _ in range(max(1, round(25 * samples.shape[1] / rate))):
                container.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
            container.mux(video.encode(None))
        resampler = av.AudioResampler(format=frame_format, layout=layout, rate=rate)
        for first in range(0, samples.shape[1], 4096):
            part = np.ascontiguousarray(samples[:, first : first + 4096])
            frame = av.AudioFrame.from_ndarray(part, format="s16p", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


def shift_of(found: np.ndarray, original: np.ndarray) -> int:
    """Where the original begins in what was found, by cross-correlation."""
    n = 1 << (len(found) + len(original)).bit_length()
    product = np.fft.irfft(np.fft.rfft(found, n) * np.conj(np.fft.rfft(original, n)), n)
    place = int(np.argmax(product))
    return place if place < n // 2 else place - n
