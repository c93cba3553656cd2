"""The log-mel front end of the L3 family (sparse L3 and SEA), which upstream takes from kapre 0.1.4.

It reproduces kapre's ``Melspectrogram(power_melgram=1.0, htk=True, return_decibel_melgram=True, padding="same")`` for
one-second windows. Two things in it look odd and are upstream's: the mel power is square-rooted *before* the decibels
are taken with factor 10, and the decibels are relative to the loudest bin *of that window*.
"""

from __future__ import annotations

import torch
from torch import nn

from hear_edgel3.families.fresh import FreshConstants
from hear_edgel3.families.kernel_description import MelDecibels
from hear_edgel3.families.l3 import layout as layouts

AMIN = 1e-10
DYNAMIC_RANGE_DB = 80.0


def mel_filter_bank(sample_rate: int, n_fft: int, n_mels: int) -> torch.Tensor:
    """HTK mel triangles with Slaney's area normalisation, from 0 Hz to half the sample rate.

    ``mel = 2595 log10(1 + f / 700)``; each triangle is scaled by ``2 / (f_upper - f_lower)``. Computed in float64 and
    rounded once to float32, as librosa 0.6 did when the checkpoints were made (librosa.filters.mel, htk=True, norm=1).

    Returns:
        (n_fft // 2 + 1, n_mels) float32.
    """
    top = 2595.0 * torch.log10(torch.tensor(1.0 + sample_rate / 2.0 / 700.0, dtype=torch.float64))
    mels = torch.linspace(0.0, float(top), n_mels + 2, dtype=torch.float64)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins = torch.linspace(0.0, sample_rate / 2.0, n_fft // 2 + 1, dtype=torch.float64)
    distance = edges[:, None] - bins[None, :]
    width = edges.diff()[:, None]
    triangles = torch.minimum(-distance[:-2] / width[:-1], distance[2:] / width[1:]).clamp_min(0.0)
    area = 2.0 / (edges[2:] - edges[:-2])
    return (triangles * area[:, None]).T.to(torch.float32).contiguous()


class L3MelSpectrogram(FreshConstants):
    """Windows of samples to decibel mel spectrograms, differentiable, with nothing stored in the state dict.

    The DFT is computed in float64 (float32 only on devices without it): the 80 dB floor lies at 1e-8 of the peak power,
    below float32 noise, so on clean tones a float32 DFT moves embeddings by as much as 1e-2.

    Args:
        sample_rate: rate of the windows in Hz.
        n_fft: samples per DFT frame.
        hop_length: samples between frames.
        n_mels: number of mel bands.
    """

    def __init__(self, sample_rate: int, n_fft: int, hop_length: int, n_mels: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.n_mels = n_mels
        # Constants per device, not buffers: .half() or .float() on a model must not touch them. Those of the CPU are
        # made here, because torch.export, which may come before the first call, lets no module change.
        self._constants: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self._on(torch.device("cpu"))

    def n_frames(self, n_samples: int) -> int:
        """Frames in a window of ``n_samples``: one per started hop ("same" padding)."""
        return layouts.n_frames(n_samples, self.hop_length)

    def kernel_spectrogram(self) -> MelDecibels | None:
        """What it computes, for compiled kernels; None for a subclass, which may compute something else."""
        if type(self) is not L3MelSpectrogram:
            return None
        return MelDecibels(self.sample_rate, self.n_fft, self.hop_length, self.n_mels, AMIN, DYNAMIC_RANGE_DB)

    def portable(self, float64: bool) -> nn.Module | None:
        """The same function in operations that every engine has; None for a subclass, which may compute another.

        Args:
            float64: Whether the engine computes in float64. Without it, pure tones are off.
        """
        if type(self) is not L3MelSpectrogram:
            return None
        from hear_edgel3.families.l3.portable import PortableL3

        dtype = torch.float64 if float64 else torch.float32
        return PortableL3(*self.constants(), self.hop_length, dtype, AMIN, DYNAMIC_RANGE_DB)

    def constants(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The DFT window (n_fft,) and the mel bank (n_mels, n_fft // 2 + 1), both float64, on the CPU."""
        hann = torch.hann_window(self.n_fft, periodic=True, dtype=torch.float64).to(torch.float32)
        bank = mel_filter_bank(self.sample_rate, self.n_fft, self.n_mels)
        return hann.double(), bank.T.double().contiguous()

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """The DFT window (n_fft,) and the mel bank (n_mels, n_fft // 2 + 1) on ``device``, sparse on a CPU."""
        if device not in self._constants:
            dtype = torch.float32 if device.type == "mps" else torch.float64
            # Kept for later calls, which may want gradients: never as tensors of inference mode.
            with torch.inference_mode(False), torch.device("cpu"):
                hann, bank = self.constants()
                bank = bank.to(device, dtype).clone()
                if device.type == "cpu":  # two values in three hundred are not zero: ten times as fast
                    bank = bank.to_sparse().coalesce()
                self._constants[device] = (hann.to(device, dtype).clone(), bank)
        return self._constants[device]

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Decibels relative to each window's loudest bin.

        Args:
            windows: (n, samples) floating point, nominally in [-1, 1].

        Returns:
            (n, n_mels, n_frames) float32 in [-80, 0] dB; silence gives 0 everywhere.
        """
        if (
            windows.device.type == "cpu"
            and len(windows) > 1
            and not (torch.is_grad_enabled() and windows.requires_grad)
        ):
            # What one window needs fits into the cache.
            return torch.cat([self._decibels(window) for window in torch.split(windows, 1)])
        return self._decibels(windows)

    def in_float64(self, windows: torch.Tensor) -> torch.Tensor:
        """The same images (n, n_mels, n_frames) before they are rounded to float32, on a device with float64."""
        return self._unrounded(windows)

    def _decibels(self, windows: torch.Tensor) -> torch.Tensor:
        return self._unrounded(windows).to(torch.float32)

    def _unrounded(self, windows: torch.Tensor) -> torch.Tensor:
        hann, bank = self._on(windows.device)
        missing = max((self.n_frames(windows.shape[1]) - 1) * self.hop_length + self.n_fft - windows.shape[1], 0)
        padded = nn.functional.pad(windows.to(hann.dtype), (missing // 2, missing - missing // 2))
        spectrum = torch.fft.rfft(padded.unfold(1, self.n_fft, self.hop_length) * hann)
        power = spectrum.real.square() + spectrum.imag.square()
        # 10 log10(max(sqrt(m), amin)) written without the root, whose gradient at 0 is infinite.
        frames = power.flatten(0, 1).T
        mel = (torch.sparse.mm(bank, frames) if bank.is_sparse else bank @ frames).reshape(
            self.n_mels, *power.shape[:2]
        )
        decibels = 5.0 * torch.log10(mel.transpose(0, 1).clamp_min(AMIN**2))
        decibels = decibels - decibels.amax(dim=(1, 2), keepdim=True)
        return decibels.clamp_min(-DYNAMIC_RANGE_DB)

    def extra_repr(self) -> str:
        """Shown when the module is printed."""
        return f"sample_rate={self.sample_rate}, n_fft={self.n_fft}, hop_length={self.hop_length}, n_mels={self.n_mels}"
