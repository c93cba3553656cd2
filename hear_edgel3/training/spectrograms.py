"""What EfficientAT does to the spectrograms of a batch before its nets are trained with them.

The range of the mel bands jitters, bands and frames are masked (SpecAugment, Park et al. 2019), and the examples are
mixed with one another (mixup), or the statistics of their frequency bands are (Freq-MixStyle: Kim et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from hear_edgel3._checks import check_between, check_positive, check_whole
from hear_edgel3.training.draws import Draws
from hear_edgel3.training.mixing import Mix, draw_mix

# What EfficientAT's front end makes of a logarithm of 0, to which it sets what it masks: (0 + 4.5) / 5. It is near the
# loud end, not silence, which is -1.40.
MASKED = 0.9
_EPS = 1e-6


class MelFrontend(Protocol):
    """A front end whose mel bands can lie elsewhere, like that of the MobileNetV3 family.

    Attributes:
        fmin: The lower edge of the lowest band in Hz.
        fmax: The upper edge of the highest.
    """

    fmin: float
    fmax: float

    def in_range(self, samples: torch.Tensor, fmin: float, fmax: float) -> torch.Tensor:
        """(n, n_mels, n_frames) spectrograms of (n, n_samples), with bands in another range."""


def draw_mel_range(frontend: MelFrontend, fmin_jitter: int, fmax_jitter: int, draws: Draws) -> tuple[float, float]:
    """The range of mel bands of one batch.

    Without jitter (1 and 1) it is that of the front end, which is also that of evaluation; upstream's moves evaluation
    from 15000 to 16000 Hz then.

    Args:
        frontend: Which one.
        fmin_jitter: 0 to ``fmin_jitter - 1`` Hz are added to ``fmin``.
        fmax_jitter: ``fmax_jitter // 2`` down to ``1 + fmax_jitter // 2 - fmax_jitter`` Hz are added to ``fmax``.
        draws: Where from.

    Returns:
        ``fmin`` and ``fmax`` in Hz.

    Raises:
        InvalidOption: A jitter is no whole number from 1, which means none.
    """
    for name, jitter in (("fmin_jitter", fmin_jitter), ("fmax_jitter", fmax_jitter)):
        check_whole(jitter, name, 1)
    lower = int(torch.randint(fmin_jitter, (1,), generator=draws.torch))
    upper = fmax_jitter // 2 - int(torch.randint(fmax_jitter, (1,), generator=draws.torch))
    return frontend.fmin + lower, frontend.fmax + upper


def mask(spectrograms: torch.Tensor, dim: int, most: int, draws: Draws, value: float = MASKED) -> torch.Tensor:
    """Sets a random stretch of each example to a value.

    Its length is uniform up to ``most``, then its place is uniform; fractions are cut off last, as torchaudio's
    ``mask_along_axis_iid`` does. A ``most`` beyond the size of the axis can mask all of it.

    Args:
        spectrograms: (n, n_mels, n_frames).
        dim: 1 to mask bands, 2 for frames.
        most: The longest stretch; 0 for none, where nothing is drawn.
        draws: Where from.
        value: What masked values become.
    """
    if not most:
        return spectrograms
    size = spectrograms.shape[dim]
    length = torch.rand(len(spectrograms), generator=draws.torch) * most
    start = (torch.rand(len(spectrograms), generator=draws.torch) * (size - length)).long()
    place = torch.arange(size)[None]
    hit = (place >= start[:, None]) & (place < (start + length.long())[:, None])
    hit = hit[:, :, None] if dim == 1 else hit[:, None, :]
    return spectrograms.masked_fill(hit.to(spectrograms.device), value)


def draw_mixstyle(n: int, probability: float, alpha: float, draws: Draws) -> Mix | None:
    """The partners of a batch in Freq-MixStyle, or None for a batch that stays as it is.

    Upstream draws shares from torch's global stream; here they are from NumPy's, with the same distribution.

    Args:
        n: The examples.
        probability: Of the whole batch.
        alpha: Shares come from Beta(alpha, alpha), and are not folded: a partner can have the larger share.
        draws: Where from.
    """
    if draws.numpy.rand() > probability:
        return None
    share = torch.from_numpy(draws.numpy.beta(alpha, alpha, n).astype(np.float32))
    return Mix(torch.randperm(n, generator=draws.torch), share)


def mix_style(spectrograms: torch.Tensor, mix: Mix) -> torch.Tensor:
    """Freq-MixStyle: gives each frequency band a mean and a deviation between its own and the partner's.

    ``(x - m) / s (l s + (1 - l) s') + l m + (1 - l) m'`` with the mean and the unbiased variance of each band,
    ``s = sqrt(variance + 1e-6)``, through which no gradient goes. Labels stay.

    Args:
        spectrograms: (n, n_mels, n_frames), or (n, n_channels, n_mels, n_frames), whose channels count together.
        mix: Of the batch.
    """
    dims = [dim for dim in range(1, spectrograms.ndim) if dim != spectrograms.ndim - 2]
    with torch.no_grad():
        mean = spectrograms.mean(dims, keepdim=True)
        deviation = (spectrograms.var(dims, keepdim=True) + _EPS).sqrt()
        new_mean, new_deviation = mix.of(mean), mix.of(deviation)
    return (spectrograms - mean) / deviation * new_deviation + new_mean


@dataclass(frozen=True)
class SpectrogramAugmentation:
    """What is done to the spectrograms of a batch, in this order: masks, then Freq-MixStyle or mixup.

    Attributes:
        freq_mask: The most mel bands that are masked; 0 for none.
        time_mask: The most frames.
        mixup: The alpha of mixup; 0 for none.
        mixstyle: The probability of Freq-MixStyle. Where it is above 0, there is no mixup, also in batches that it
            leaves as they are.
        mixstyle_alpha: Its alpha.
        fmin_jitter: The range of the jitter of the lowest mel band in Hz; 1 for none.
        fmax_jitter: The range of the jitter of the highest.
    """

    freq_mask: int = 0
    time_mask: int = 0
    mixup: float = 0.3
    mixstyle: float = 0.0
    mixstyle_alpha: float = 0.4
    fmin_jitter: int = 10
    fmax_jitter: int = 2000

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        for name, least in (("freq_mask", 0), ("time_mask", 0), ("fmin_jitter", 1), ("fmax_jitter", 1)):
            check_whole(getattr(self, name), name, least)
        check_between(self.mixup, "mixup", 0)
        check_between(self.mixstyle, "mixstyle", 0, 1)
        check_positive(self.mixstyle_alpha, "mixstyle_alpha")

    def spectrograms(self, frontend: MelFrontend, samples: torch.Tensor, draws: Draws) -> torch.Tensor:
        """(n, n_mels, n_frames) spectrograms of samples (n, n_samples), with the range of mel bands of this batch."""
        return frontend.in_range(samples, *draw_mel_range(frontend, self.fmin_jitter, self.fmax_jitter, draws))

    def __call__(self, spectrograms: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, Mix | None]:
        """Masks and mixes.

        Args:
            spectrograms: (n, n_mels, n_frames) floating point.
            draws: Of this batch.

        Returns:
            The new ones, and how the loss has to mix their targets; None where they stay.
        """
        spectrograms = mask(spectrograms, 1, self.freq_mask, draws)
        spectrograms = mask(spectrograms, 2, self.time_mask, draws)
        if self.mixstyle:
            style = draw_mixstyle(len(spectrograms), self.mixstyle, self.mixstyle_alpha, draws)
            return (spectrograms if style is None else mix_style(spectrograms, style)), None
        if not self.mixup:
            return spectrograms, None
        mix = draw_mix(len(spectrograms), self.mixup, draws)
        return mix.of(spectrograms), mix
