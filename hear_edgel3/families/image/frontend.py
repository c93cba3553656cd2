"""Samples to the spectrograms that pictures are made of: mel powers, decibels or MFCCs.

Frames of a periodic Hann window, without centring and without anything beyond a window's ends; squared magnitudes;
triangles that are linear in ``m = 1127 ln(1 + f / 700)``, without area normalisation; decibels ``10 log10(max(1e-16,
p))``. MFCCs are ``DCT-II(S) / sqrt(2 n_mels)`` of decibels relative to the window's loudest, or of ``ln(p + 1e-6)``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from hear_edgel3.families.image.options import SPECTROGRAM, PictureOptions
from hear_edgel3.families.image.single_precision import hann_window, is_power_of_two, power_spectrum

_PEAK = 0.7079  # -3 dB
_FAINT, _LOUDER = 1e-30, 2.0**100
_FLOOR, _MFCC_FLOOR, _LN_FLOOR = 1e-16, 1e-32, 1e-6
# Shifts are looked for by this many samples at first.
_LOOK_AT = 32


def mel_bank(sample_rate: int, n_fft: int, n_mels: int, lower: float, upper: float) -> torch.Tensor:
    """Triangles that are linear in mel, of height 1; the lowest bin, which is no sound, belongs to none.

    Returns:
        (n_fft // 2 + 1, n_mels) float64.
    """

    def mel(frequency: torch.Tensor) -> torch.Tensor:
        return 1127.0 * torch.log1p(frequency / 700.0)

    ends = mel(torch.tensor([lower, upper], dtype=torch.float64))
    edges = torch.linspace(float(ends[0]), float(ends[1]), n_mels + 2, dtype=torch.float64)
    bins = mel(torch.linspace(0.0, sample_rate / 2.0, n_fft // 2 + 1, dtype=torch.float64))[:, None]
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    bank = torch.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)).clamp_min(0.0)
    bank[0] = 0.0
    return bank


def cosines(n_mels: int, n_mfccs: int, lifter: int) -> torch.Tensor:
    """(n_mels, n_mfccs) float64, what makes MFCCs of logarithms: DCT-II / sqrt(2 n_mels), and the lifter."""
    n = torch.arange(n_mels, dtype=torch.float64)[:, None]
    k = torch.arange(n_mfccs, dtype=torch.float64)[None]
    matrix = 2.0 * torch.cos(math.pi * k * (2.0 * n + 1.0) / (2.0 * n_mels)) / math.sqrt(2.0 * n_mels)
    if lifter > 0:
        matrix = matrix * (1.0 + lifter / 2.0 * torch.sin(math.pi * k / lifter))
    return matrix


class ImageSpectrogram(nn.Module):
    """Windows of samples to spectrograms, differentiable, with nothing stored in the state dict.

    Frames that overlapping windows share are transformed once: windows of one call that are each other shifted by whole
    hops are found by their samples, and nothing but the time that it takes depends on it.

    The Fourier transform is computed in float64 (float32 only on devices without it): the floor lies at -160 dB. With
    the option ``single_precision`` samples are normalised, weighted and transformed in float32, as TensorFlow does it.

    Args:
        options: As those of :class:`hear_edgel3.families.image.options.PictureOptions` that make spectrograms.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = PictureOptions(**options)
        self.sample_rate = self.options.sample_rate
        self.n_mels = self.options.n_bands
        self.n_fft = self.options.n_fft
        self.hop_length = self.options.hop_length
        self._single = self.options.single_precision and is_power_of_two(self.n_fft)
        # Constants per device, not buffers: .half() or .float() on a model must not touch them. Those of the CPU are
        # made here, because torch.export, which may come before the first call, lets no module change.
        self._constants: dict[torch.device, tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]] = {}
        self._on(torch.device("cpu"))

    def n_frames(self, n_samples: int) -> int:
        """Frames of a window of ``n_samples``."""
        return self.options.n_frames(n_samples)

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """The Hann window, the mel bank and the cosines of MFCCs on ``device``."""
        if device not in self._constants:
            o, dtype = self.options, torch.float32 if device.type == "mps" else torch.float64
            # Kept for later calls, which may want gradients: never as tensors of inference mode.
            with torch.inference_mode(False), torch.device("cpu"):
                if self._single:
                    hann = hann_window(o.frame_length)
                else:
                    hann = torch.hann_window(o.frame_length, periodic=True, dtype=torch.float64)
                bank = mel_bank(o.sample_rate, o.n_fft, o.num_mel_bins, o.lower_edge_hertz, o.upper_edge_hertz)
                matrix = cosines(o.num_mel_bins, o.num_mfccs, o.cep_lifter).to(device, dtype) if o.num_mfccs else None
                self._constants[device] = (hann.to(device, dtype), bank.to(device, dtype), matrix)
        return self._constants[device]

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Spectrograms.

        Args:
            windows: (n, samples) floating point, nominally in [-1, 1]. Those shorter than a frame are followed by
                zeros.

        Returns:
            (n, n_mels, n_frames) float32: decibels, powers or MFCCs, as the options say.
        """
        if self.options.normalize_audio and self._single:  # before anything is rounded
            windows = windows.float()
            # What is so faint that its factor would be infinite is first made louder, which rounds nothing.
            faint = windows.abs().amax(dim=1, keepdim=True) < _FAINT
            windows = torch.where(faint, windows * _LOUDER, windows)
            power = self._shared_power(windows * _normalising(windows)[:, None])
        else:
            power = self._shared_power(windows)
            if self.options.normalize_audio:
                power = power * _normalising(windows.to(power.dtype)).square()[:, None, None]
        return self._scaled(power).transpose(1, 2).to(torch.float32)

    def _shared_power(self, windows: torch.Tensor) -> torch.Tensor:
        """(n, n_frames, num_mel_bins) mel powers, those of frames that windows share computed once."""
        if windows.shape[1] < self.options.frame_length:
            windows = nn.functional.pad(windows, (0, self.options.frame_length - windows.shape[1]))
        if len(windows) < 2 or torch.is_grad_enabled() or torch.compiler.is_compiling() or windows.is_meta:
            return self._power(windows)
        hops = _shift(windows, self.hop_length)
        if hops is None:
            return self._power(windows)
        new = windows[1:, -hops * self.hop_length :].reshape(-1)
        frames = self._power(torch.cat([windows[0], new])[None])[0]
        n_frames = self.n_frames(windows.shape[1])
        # What a window has behind its last frame belongs to no frame of it, but may to one of the next.
        shared: torch.Tensor = frames.unfold(0, n_frames, hops)[: len(windows)].transpose(1, 2)
        return shared

    def _power(self, windows: torch.Tensor) -> torch.Tensor:
        """(n, n_frames, num_mel_bins) mel powers of (n, samples)."""
        hann, bank, _ = self._on(windows.device)
        if self._single:
            frames = windows.float().unfold(1, self.options.frame_length, self.hop_length) * hann.float()
            frames = frames[..., : self.n_fft]
            frames = nn.functional.pad(frames, (0, self.n_fft - frames.shape[-1]))
            return power_spectrum(frames, bank.dtype) @ bank
        frames = windows.to(hann.dtype).unfold(1, self.options.frame_length, self.hop_length) * hann
        spectrum = torch.fft.rfft(frames, n=self.n_fft)
        power: torch.Tensor = (spectrum.real.square() + spectrum.imag.square()) @ bank
        return power

    def _scaled(self, power: torch.Tensor) -> torch.Tensor:
        """(n, n_frames, n_mels) what is shown of mel powers."""
        o, matrix = self.options, self._on(power.device)[2]
        if matrix is not None:
            if o.db_scale:
                squared = power.square()
                loudest = squared.amax(dim=(1, 2), keepdim=True).clamp_min(_MFCC_FLOOR)
                values = 10.0 * (squared.clamp_min(_MFCC_FLOOR).log10() - loudest.log10())
            else:
                values = (power + _LN_FLOOR).log()
            return values @ matrix
        if not o.db_scale:
            return power
        decibels = 10.0 * power.clamp_min(_FLOOR).log10()
        if o.top_db is not None:
            decibels = torch.maximum(decibels, decibels.amax(dim=(1, 2), keepdim=True) - o.top_db)
        return decibels

    def extra_repr(self) -> str:
        """Shown when the module is printed."""
        return ", ".join(f"{name}={getattr(self.options, name)!r}" for name in SPECTROGRAM)


def _normalising(windows: torch.Tensor) -> torch.Tensor:
    """(n,) what each of (n, samples) is to be multiplied by; 0 for silence."""
    peak = windows.abs().amax(dim=1)
    # A true division: torch multiplies a number by the reciprocal.
    return torch.where(peak > 0, torch.full_like(peak, _PEAK) / torch.where(peak > 0, peak, 1.0), 0.0)


def _shift(windows: torch.Tensor, hop_length: int) -> int | None:
    """By how many hops each window is the one before it, shifted; None if they are not.

    Args:
        windows: (n, samples), two or more.
        hop_length: Of frames.
    """
    n_samples = windows.shape[1]
    look = min(_LOOK_AT, n_samples)
    places = windows[0].unfold(0, look, 1)[hop_length::hop_length]
    for hops in (1 + torch.nonzero((places == windows[1, :look]).all(dim=1)).flatten()).tolist():
        shift = hops * hop_length
        if torch.equal(windows[:-1, shift:], windows[1:, : n_samples - shift]):
            return int(hops)
    return None
