"""Small log-mel spectrograms, and how they are packed into a page: some 2 kB for each."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch

from hear_edgel3.frontends.mobilenetv3 import MobileNetV3MelSpectrogram
from hear_edgel3.resample import check_rate, resample

BANDS, FRAMES = 48, 96
SECONDS = 10  # of a clip, from its beginning
LEVELS = 64  # 1.1 dB apart: finer ones are not seen, and noise does not pack
PER_BLOCK = 64  # spectrograms that are packed together: a page unpacks one block at a time
RATE = 32000
_RANGE_DB = 70
# Of the loudest place in a clip, in the front end's units, less than this is as good as silence (its floor is -1.4026).
_FAINT = -1.0


@cache
def _frontend() -> MobileNetV3MelSpectrogram:
    return MobileNetV3MelSpectrogram(RATE, n_mels=BANDS).eval()


def highest_hz() -> int:
    """Upper edge of the highest mel band."""
    return int(_frontend().fmax)


def at_rate(samples: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """(n,) samples of a clip, converted to :data:`RATE`.

    Raises:
        InvalidOption: the rate is beyond what the resampler takes.
    """
    return resample(samples, check_rate(sample_rate), RATE).float()


def thumbnail(samples: torch.Tensor) -> np.ndarray:
    """The log-mel spectrogram of a short clip, relative to its own loudest place.

    Args:
        samples: (n,) float32 at :data:`RATE`.

    Returns:
        (BANDS, FRAMES) uint8 from 0 (70 dB below the loudest place, or less) to LEVELS - 1, lowest band first. The
        frames are as far apart as the clip's length makes them.
    """
    with torch.no_grad():
        mel = _frontend()(samples[None])
        mel = torch.nn.functional.adaptive_avg_pool1d(mel, FRAMES)[0].numpy()
    span = _RANGE_DB / 10 * math.log(10) / 5  # the front end gives ln(power) / 5
    relative = (mel - max(mel.max(), _FAINT)) / span + 1
    levels: np.ndarray = np.rint(np.clip(relative, 0, 1) * (LEVELS - 1)).astype(np.uint8)
    return levels


def pack(thumbnails: Sequence[np.ndarray]) -> str:
    """Spectrograms as text: each band as its difference from the one below (modulo 256), zlib, base64."""
    levels = np.stack(thumbnails)
    levels[:, 1:] = np.diff(levels, axis=1)
    return base64.b64encode(zlib.compress(levels.tobytes(), 9)).decode("ascii")
