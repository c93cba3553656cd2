"""Small log-mel spectrograms, and how they are packed into a page: some 2 kB for each."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch

from hear_edgel3.audio.rates import check_rate
from hear_edgel3.audio.resample import resample
from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram

BANDS, FRAMES = 48, 96
SECONDS = 10  # of a clip, from its beginning
LEVELS = 64  # 1.1 dB apart: finer ones are not seen, and noise does not pack
PER_BLOCK = 64  # spectrograms that are packed together: a page unpacks one block at a time
RATE = 32000
_DB = math.log(10) / 10 / 5  # in the front end's units, ln(power) / 5
_RANGE = 70 * _DB
_SOFTEST = 20 * _DB  # above the front end's floor: what is softer never looks loud


@cache
def _frontend() -> MobileNetV3MelSpectrogram:
    return MobileNetV3MelSpectrogram(RATE, n_mels=BANDS).eval()


@cache
def _silence() -> float:
    """What the front end gives for silence: it gives nothing less."""
    with torch.no_grad():
        return float(_frontend()(torch.zeros(1, 1)).min())


def highest_hz() -> int:
    """Upper edge of the highest mel band."""
    return int(_frontend().fmax)


def height_of(hz: float) -> float:
    """Where a frequency is in a spectrogram, as a share of its height from its lower edge (Kaldi's mel scale)."""

    def mel(frequency: float) -> float:
        return math.log(1 + frequency / 700)

    low, high = mel(_frontend().fmin), mel(_frontend().fmax)
    band = (mel(hz) - low) / (high - low) * (BANDS + 1) - 1  # the centre of band 0 is one step above the lowest
    return (band + 0.5) / BANDS


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
        (BANDS, FRAMES) uint8, lowest band first: LEVELS - 1 at the loudest place, 0 where it is 70 dB softer, or as
        soft as silence. The frames are as far apart as the clip's length makes them.
    """
    with torch.no_grad():
        mel = _frontend()(samples[None])
        mel = torch.nn.functional.adaptive_avg_pool1d(mel, FRAMES)[0].numpy()
    peak = max(float(mel.max()), _silence() + _SOFTEST)
    lowest = max(peak - _RANGE, _silence())
    levels: np.ndarray = np.rint(np.clip((mel - lowest) / (peak - lowest), 0, 1) * (LEVELS - 1)).astype(np.uint8)
    return levels


def pack(thumbnails: Sequence[np.ndarray]) -> str:
    """Spectrograms as text: each band as its difference from the one below (modulo 256), zlib, base64."""
    levels = np.stack(thumbnails)
    levels[:, 1:] = np.diff(levels, axis=1)
    return base64.b64encode(zlib.compress(levels.tobytes(), 9)).decode("ascii")
