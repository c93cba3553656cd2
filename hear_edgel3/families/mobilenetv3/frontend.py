"""The log-mel front end of the MobileNetV3 family (EfficientAT ``models/preprocess.py``, ``AugmentMelSTFT``).

Pre-emphasis, a power spectrogram, Kaldi's mel triangles, and ``(ln(mel + 1e-5) + 4.5) / 5``. In train mode it
augments as upstream does when it trains: the mel range jitters, and a band of mels and a stretch of frames are masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from hear_edgel3.families.fresh import FreshConstants
from hear_edgel3.families.kernel_residuals import LogMelSpectrogram
from hear_edgel3.families.mobilenetv3 import layout as layouts

PREEMPHASIS = 0.97
FLOOR = 1e-5
_FRAMES_AT_ONCE = 256
_SPLIT = 4


def kaldi_mel_bank(n_mels: int, n_fft: int, sample_rate: int, fmin: float, fmax: float) -> torch.Tensor:
    """Kaldi's mel triangles: ``mel = 1127 ln(1 + f / 700)``, linear in mel, unit peak, no area normalisation.

    Computed in float32 as torchaudio's ``compliance.kaldi.get_mel_banks`` does, because the nets were trained with its
    rounding, which is as large as 1e-4 of a weight.

    Returns:
        (n_mels, n_fft // 2) float32: no column for the Nyquist bin, whose weights are all zero. With many mels the
        lowest triangles may lie between two bins and be all zero.
    """
    low, high = (1127.0 * torch.log(torch.tensor(1.0 + f / 700.0, dtype=torch.float64)).item() for f in (fmin, fmax))
    delta = (high - low) / (n_mels + 1)
    number = torch.arange(n_mels, dtype=torch.float32)[:, None]
    left, centre, right = low + number * delta, low + (number + 1.0) * delta, low + (number + 2.0) * delta
    frequencies = sample_rate / n_fft * torch.arange(n_fft // 2, dtype=torch.float32)
    mels = 1127.0 * (1.0 + frequencies / 700.0).log()
    rising, falling = (mels - left) / (centre - left), (right - mels) / (right - centre)
    return torch.minimum(rising, falling).clamp_min(0.0)


class MobileNetV3MelSpectrogram(FreshConstants):
    """Samples to log-mel spectrograms, differentiable, with nothing stored in the state dict.

    Args:
        sample_rate: rate of the samples in Hz.
        n_fft: points of the DFT.
        win_length: samples per frame.
        hop_length: samples between frames.
        n_mels: number of mel bands.
        fmin: lower edge of the lowest triangle in Hz.
        fmax: upper edge of the highest in Hz; None for 1000 Hz below half the sample rate.
        fmin_jitter: train mode adds 0 to ``fmin_jitter - 1`` Hz to ``fmin``.
        fmax_jitter: train mode adds ``fmax_jitter // 2`` down to ``1 - fmax_jitter // 2`` Hz to ``fmax``.
        freq_mask: train mode masks up to this many mel bands.
        time_mask: train mode masks up to this many frames.
    """

    def __init__(
        self,
        sample_rate: int = 32000,
        n_fft: int = layouts.N_FFT,
        win_length: int = layouts.WIN_LENGTH,
        hop_length: int = 320,
        n_mels: int = 128,
        fmin: float = 0.0,
        fmax: float | None = None,
        fmin_jitter: int = 10,
        fmax_jitter: int = 2000,
        freq_mask: int = 48,
        time_mask: int = 192,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.fmin = fmin
        self.fmax = sample_rate // 2 - fmax_jitter // 2 if fmax is None else fmax
        self.fmin_jitter = fmin_jitter
        self.fmax_jitter = fmax_jitter
        self.freq_mask = freq_mask
        self.time_mask = time_mask
        # Constants per device, not buffers: .half() or .float() on a model must not touch them. Those of the CPU are
        # made here, because torch.export, which may come before the first call, lets no module change.
        self._constants: dict[torch.device, tuple[torch.Tensor, list[_Bands]]] = {}
        self._on(torch.device("cpu"))

    @property
    def minimum_samples(self) -> int:
        """The fewest samples upstream can reflect at the ends (514); fewer are followed by zeros up to that many."""
        return layouts.minimum_samples(self.n_fft)

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of ``n_samples``."""
        return layouts.n_frames(n_samples, self.hop_length, self.n_fft)

    def portable(self, float64: bool) -> nn.Module | None:
        """The same function in eval mode in operations that every engine has; None for a subclass of somebody's own.

        Args:
            float64: Whether the engine computes in float64. With it the images are nearer to :meth:`in_float64` than
                this front end's own are, of pure tones a thousand times.
        """
        if type(self) is not MobileNetV3MelSpectrogram:
            return None
        from hear_edgel3.families.mobilenetv3.portable import PortableMobileNetV3

        hann, bank = self.constants()
        last = int(torch.nonzero(bank.amax(dim=0)).max()) + 1
        dtype = torch.float64 if float64 else torch.float32
        return PortableMobileNetV3(hann, bank[:, :last], self.n_fft, self.hop_length, dtype, PREEMPHASIS, FLOOR)

    def portable_in_pairs(self) -> nn.Module | None:
        """As :meth:`portable` in float32, but with the DFT in pairs of them: slower, and far more exact."""
        if type(self) is not MobileNetV3MelSpectrogram:
            return None
        from hear_edgel3.families.mobilenetv3.portable import PairedMobileNetV3

        hann, bank = self.constants()
        last = int(torch.nonzero(bank.amax(dim=0)).max()) + 1
        return PairedMobileNetV3(hann, bank[:, :last], self.n_fft, self.hop_length, PREEMPHASIS, FLOOR)

    def constants(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The DFT window (win_length,) and the mel bank of eval mode (n_mels, n_fft // 2), float32 on the CPU."""
        hann = torch.hann_window(self.win_length, periodic=False, dtype=torch.float32)
        return hann, kaldi_mel_bank(self.n_mels, self.n_fft, self.sample_rate, self.fmin, self.fmax)

    def kernel_log_mel(self) -> LogMelSpectrogram | None:
        """What compiled kernels need to know; None where they cannot compute it."""
        power_of_two = self.n_fft >= 128 and not self.n_fft & (self.n_fft - 1)
        if type(self) is not MobileNetV3MelSpectrogram or not power_of_two or self.win_length % 2:
            return None
        return LogMelSpectrogram(
            self.sample_rate,
            self.n_fft,
            self.win_length,
            self.hop_length,
            self.n_mels,
            self.fmin,
            self.fmax,
            self.minimum_samples,
            PREEMPHASIS,
            FLOOR,
            4.5,
            1 / 5,
        )

    def kernel_constants(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The DFT window (win_length,) and the mel bank (n_mels, n_fft // 2), float32 on the CPU."""
        with torch.device("cpu"):
            hann = torch.hann_window(self.win_length, periodic=False, dtype=torch.float32)
            return hann, kaldi_mel_bank(self.n_mels, self.n_fft, self.sample_rate, self.fmin, self.fmax)

    def in_float64(self, samples: torch.Tensor) -> torch.Tensor:
        """The same images (n, n_mels, n_frames) as in eval mode, but computed in float64, on a device with that."""
        return (self._logarithms(samples, None, torch.float64) + 4.5) / 5.0

    def _on(self, device: torch.device) -> tuple[torch.Tensor, list[_Bands]]:
        """The DFT window (win_length,) and the mel bank of eval mode on ``device``."""
        if device not in self._constants:
            # Kept for later calls, which may want gradients: never as tensors of inference mode.
            with torch.inference_mode(False), torch.device("cpu"):
                hann, bank = self.constants()
                self._constants[device] = (hann.to(device), _in_bands(bank, device))
        return self._constants[device]

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Log-mel spectrograms.

        Args:
            samples: (n, n_samples) floating point, nominally in [-1, 1]. Fewer than ``minimum_samples`` are followed by
                zeros.

        Returns:
            (n, n_mels, n_frames) float32; silence gives -1.4026.
        """
        bank = self._bank(*self._jittered_range(), samples.device) if self.training else None
        mel = self._logarithms(samples, bank)
        if self.training and len(mel):
            mel = _masked(_masked(mel, 1, self.freq_mask), 2, self.time_mask)
        result: torch.Tensor = (mel + 4.5) / 5.0
        return result

    def in_range(self, samples: torch.Tensor, fmin: float, fmax: float) -> torch.Tensor:
        """Log-mel spectrograms as in eval mode, but with mel bands in another range.

        Args:
            samples: As in :meth:`forward`.
            fmin: The lower edge of the lowest triangle in Hz.
            fmax: The upper edge of the highest.

        Returns:
            As :meth:`forward`.
        """
        result: torch.Tensor = (self._logarithms(samples, self._bank(fmin, fmax, samples.device)) + 4.5) / 5.0
        return result

    def _bank(self, fmin: float, fmax: float, device: torch.device) -> list[_Bands]:
        return _in_bands(kaldi_mel_bank(self.n_mels, self.n_fft, self.sample_rate, fmin, fmax), device)

    def _logarithms(
        self, samples: torch.Tensor, bank: list[_Bands] | None, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """(n, n_samples) to (n, n_mels, n_frames) logarithms, with the mel bank of eval mode where none is given."""
        if not len(samples):  # torch neither pads nor transforms an empty batch
            return samples.new_zeros((0, self.n_mels, self.n_frames(samples.shape[1])), dtype=dtype)
        hann, usual = self._on(samples.device)
        bank = usual if bank is None else bank
        if dtype != hann.dtype:
            hann = hann.to(dtype)
            bank = [_Bands(bands.first, bands.last, bands.weights.to(dtype)) for bands in bank]
        x = samples.to(dtype)
        if x.shape[1] < self.minimum_samples:
            x = nn.functional.pad(x, (0, self.minimum_samples - x.shape[1]))
        x = x[:, 1:] - PREEMPHASIS * x[:, :-1]
        # Upstream centres the frame in the DFT and reflects n_fft // 2 samples; what the frame does not cover is zeros
        # times samples, so half a frame is enough, and a shift does not change the power.
        half = self.win_length // 2
        x = nn.functional.pad(x, (half, half), mode="reflect")
        frames = x.unfold(1, self.win_length, self.hop_length)
        mel = torch.cat([self._log_mel(part, hann, bank) for part in _in_parts(frames)]).view(
            len(frames), frames.shape[1], self.n_mels
        )
        return mel.transpose(1, 2)

    def mask(self, mel: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
        """Masks a band of mels and a stretch of frames of each example, as the forward pass in train mode does.

        Unlike there, where a mask can be longer than a short clip, it is at most a fifth of the frames (of ten seconds
        as much as there) and three eighths of the bands (of 128 as many as there).

        Args:
            mel: (n, n_mels, n_frames) from the forward pass in eval mode.
            strength: factor of the sizes.
        """
        bands = strength * min(self.freq_mask, mel.shape[1] * 3 // 8)
        frames = strength * min(self.time_mask, mel.shape[2] // 5)
        # The forward pass sets logarithms to zero, before they are scaled.
        return _masked(_masked(mel, 1, bands, 0.9), 2, frames, 0.9)

    def _log_mel(self, frames: torch.Tensor, hann: torch.Tensor, bank: list[_Bands]) -> torch.Tensor:
        """(n, t, win_length) samples to (n * t, n_mels) logarithms."""
        spectrum = torch.fft.rfft(frames * hann, n=self.n_fft).flatten(0, 1)
        power = spectrum.real.square() + spectrum.imag.square()
        mel = torch.cat([power[:, bands.first : bands.last] @ bands.weights for bands in bank], dim=1)
        return (mel + FLOOR).log()

    def _jittered_range(self) -> tuple[float, float]:
        fmin = self.fmin + int(torch.randint(self.fmin_jitter, (1,)))
        fmax = self.fmax + self.fmax_jitter // 2 - int(torch.randint(self.fmax_jitter, (1,)))
        return fmin, fmax

    def extra_repr(self) -> str:
        """Shown when the module is printed."""
        return (
            f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, win_length={self.win_length}, "
            f"hop_length={self.hop_length}, n_mels={self.n_mels}, fmin={self.fmin}, fmax={self.fmax}"
        )


@dataclass(frozen=True)
class _Bands:
    """Some neighbouring mel bands and the DFT bins they are made of.

    Attributes:
        first: bin.
        last: one past the last bin.
        weights: (last - first, n_bands).
    """

    first: int
    last: int
    weights: torch.Tensor


def _in_bands(bank: torch.Tensor, device: torch.device) -> list[_Bands]:
    """Splits a bank (n_mels, n_bins) so that most of its zeros, which are most of it, are left out of products."""
    parts = []
    for rows in bank.tensor_split(min(_SPLIT, len(bank))):
        used = torch.nonzero(rows.amax(dim=0)).flatten()
        first, last = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        parts.append(_Bands(first, last, rows[:, first:last].T.contiguous().to(device)))
    return parts


def _in_parts(frames: torch.Tensor) -> Iterator[torch.Tensor]:
    """(n, t, win_length) in parts of some 256 frames, in order: larger temporaries are twice as slow to allocate."""
    for clips in torch.split(frames, max(1, _FRAMES_AT_ONCE // frames.shape[1])):
        yield from torch.split(clips, _FRAMES_AT_ONCE, dim=1)


def _masked(mel: torch.Tensor, dim: int, most: float, value: float = 0.0) -> torch.Tensor:
    """Sets a random stretch of each example to ``value``, of up to ``most`` and anywhere.

    SpecAugment (Park et al. 2019), as torchaudio's ``mask_along_axis_iid``: the fractions of a uniform length and place
    are cut off; where ``most`` is more than there is, also of places before the beginning.
    """
    length = mel.shape[dim]
    size = torch.rand(len(mel), 1, 1, device=mel.device) * most
    start = torch.rand(len(mel), 1, 1, device=mel.device) * (length - size)
    start, size = start.trunc(), size.trunc()
    position = torch.arange(length, device=mel.device)
    position = position[None, :, None] if dim == 1 else position[None, None, :]
    return mel.masked_fill((position >= start) & (position < start + size), value)
