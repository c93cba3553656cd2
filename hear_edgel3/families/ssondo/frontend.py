"""The log-mel front end of S-SONDO's students: ``ln(mel + 0.001)`` of Slaney's triangles, neither centred nor scaled.

It is no other front end's: nothing is emphasised, nothing lies beyond the clip's ends. The nets fit EfficientAT's front
end as well, by shape alone, and with it give other numbers without any error; so rows tie the two together.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from hear_edgel3.families.fresh import FreshConstants
from hear_edgel3.families.kernel_residuals import LogMelSpectrogram

FLOOR = 1e-3
_FRAMES_AT_ONCE = 256
# Slaney's scale (Auditory Toolbox, 1998): linear up to 1000 Hz, logarithmic above.
_BREAK_HZ, _BREAK_MEL, _HZ_PER_MEL, _STEP = 1000.0, 15.0, 200.0 / 3.0, math.log(6.4) / 27.0


def _to_mel(hertz: float) -> float:
    if hertz < _BREAK_HZ:
        return hertz / _HZ_PER_MEL
    return _BREAK_MEL + math.log(hertz / _BREAK_HZ) / _STEP


def slaney_mel_bank(n_mels: int, n_fft: int, sample_rate: int, fmin: float, fmax: float) -> torch.Tensor:
    """Slaney's mel triangles: linear in hertz, of equal area.

    Computed in float32, as the nets were trained with it: in float64 single weights are others by a hundredth, and
    logarithms by 1e-4.

    Returns:
        (n_mels, n_fft // 2 + 1) float32.
    """
    mels = torch.linspace(_to_mel(fmin), _to_mel(fmax), n_mels + 2, dtype=torch.float32)
    edges = mels * _HZ_PER_MEL
    above = mels >= _BREAK_MEL
    edges[above] = _BREAK_HZ * torch.exp(_STEP * (mels[above] - _BREAK_MEL))
    frequencies = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1, dtype=torch.float32)
    distances = edges[:, None] - frequencies
    widths = (edges[1:] - edges[:-1])[:, None]
    rising, falling = -distances[:-2] / widths[:-1], distances[2:] / widths[1:]
    bank = torch.minimum(rising, falling).clamp_min(0.0)
    return bank * (2.0 / (edges[2:] - edges[:-2]))[:, None]


class SsondoMelSpectrogram(FreshConstants):
    """Samples to log-mel spectrograms, differentiable, with nothing stored in the state dict.

    Args:
        sample_rate: rate of the samples in Hz.
        n_fft: points of the DFT, and samples per frame.
        hop_length: samples between frames.
        n_mels: number of mel bands.
        fmin: lower edge of the lowest triangle in Hz.
        fmax: upper edge of the highest in Hz.
    """

    def __init__(
        self,
        sample_rate: int = 32000,
        n_fft: int = 1024,
        hop_length: int = 512,
        n_mels: int = 128,
        fmin: float = 50.0,
        fmax: float = 16000.0,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.fmin = fmin
        self.fmax = fmax
        # Constants per device, not buffers: .half() or .float() on a model must not touch them. Those of the CPU are
        # made here, because torch.export, which may come before the first call, lets no module change.
        self._constants: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self._on(torch.device("cpu"))

    @property
    def minimum_samples(self) -> int:
        """Samples of a frame; fewer are followed by zeros up to that many."""
        return self.n_fft

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of ``n_samples``; of one that is shorter than a frame, one."""
        return 1 + max(0, n_samples - self.n_fft) // self.hop_length

    def portable(self, float64: bool) -> nn.Module | None:
        """The same function in operations that every engine has; None for a subclass of somebody's own.

        Args:
            float64: Whether the engine computes in float64.
        """
        if type(self) is not SsondoMelSpectrogram:
            return None
        from hear_edgel3.families.ssondo.portable import PortableSsondo

        hann, bank = self._on(torch.device("cpu"))
        last = int(torch.nonzero(bank.amax(dim=1)).max()) + 1
        dtype = torch.float64 if float64 else torch.float32
        return PortableSsondo(hann, bank[:last].T, self.hop_length, dtype, FLOOR)

    def portable_in_pairs(self) -> nn.Module | None:
        """As :meth:`portable` in float32, but with the DFT in pairs of them: slower, and far more exact."""
        if type(self) is not SsondoMelSpectrogram:
            return None
        from hear_edgel3.families.ssondo.portable import PairedSsondo

        hann, bank = self._on(torch.device("cpu"))
        last = int(torch.nonzero(bank.amax(dim=1)).max()) + 1
        return PairedSsondo(hann, bank[:last].T, self.hop_length, FLOOR)

    def kernel_log_mel(self) -> LogMelSpectrogram | None:
        """What compiled kernels need to know; None where they cannot compute it."""
        if type(self) is not SsondoMelSpectrogram or self.n_fft < 128 or self.n_fft & (self.n_fft - 1):
            return None
        return LogMelSpectrogram(
            self.sample_rate,
            self.n_fft,
            self.n_fft,
            self.hop_length,
            self.n_mels,
            self.fmin,
            self.fmax,
            self.minimum_samples,
            0.0,
            FLOOR,
            0.0,
            1.0,
            centred=False,
        )

    def kernel_constants(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The DFT window (n_fft,) and the mel bank (n_mels, n_fft // 2 + 1), float32 on the CPU."""
        hann, bank = self._on(torch.device("cpu"))
        return hann, bank.T.contiguous()

    def in_float64(self, samples: torch.Tensor) -> torch.Tensor:
        """The same images (n, n_mels, n_frames), but computed in float64, on a device with that."""
        return self._logarithms(samples, torch.float64)

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """The DFT window (n_fft,) and the mel bank (n_fft // 2 + 1, n_mels) on ``device``."""
        if device not in self._constants:
            # Kept for later calls, which may want gradients: never as tensors of inference mode.
            with torch.inference_mode(False), torch.device("cpu"):
                hann = torch.hann_window(self.n_fft, dtype=torch.float32)
                bank = slaney_mel_bank(self.n_mels, self.n_fft, self.sample_rate, self.fmin, self.fmax)
                self._constants[device] = (hann.to(device), bank.T.contiguous().to(device))
        return self._constants[device]

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Log-mel spectrograms.

        Args:
            samples: (n, n_samples) floating point, nominally in [-1, 1]. Fewer than a frame has are followed by zeros.

        Returns:
            (n, n_mels, n_frames) float32; silence gives -6.9078.
        """
        return self._logarithms(samples, torch.float32)

    def _logarithms(self, samples: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        n, n_samples = samples.shape
        if not n:  # torch does not transform an empty batch
            return samples.new_zeros((0, self.n_mels, self.n_frames(n_samples)), dtype=dtype)
        hann, bank = (constant.to(dtype) for constant in self._on(samples.device))
        x = nn.functional.pad(samples.to(dtype), (0, max(0, self.n_fft - n_samples)))
        frames = x.unfold(1, self.n_fft, self.hop_length)
        # In parts, because larger temporaries take longer to allocate than to fill.
        parts = [
            self._log_mel(part, hann, bank)
            for clips in torch.split(frames, max(1, _FRAMES_AT_ONCE // frames.shape[1]))
            for part in torch.split(clips, _FRAMES_AT_ONCE, dim=1)
        ]
        return torch.cat(parts).view(n, frames.shape[1], self.n_mels).transpose(1, 2)

    def _log_mel(self, frames: torch.Tensor, hann: torch.Tensor, bank: torch.Tensor) -> torch.Tensor:
        """(n, t, n_fft) samples to (n * t, n_mels) logarithms."""
        spectrum = torch.fft.rfft(frames * hann).flatten(0, 1)
        power = spectrum.real.square() + spectrum.imag.square()
        logarithms: torch.Tensor = (power @ bank + FLOOR).log()
        return logarithms

    def extra_repr(self) -> str:
        """Shown when the module is printed."""
        return (
            f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, hop_length={self.hop_length}, n_mels={self.n_mels}, "
            f"fmin={self.fmin}, fmax={self.fmax}"
        )
