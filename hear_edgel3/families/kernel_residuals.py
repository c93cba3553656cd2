"""What a net of inverted residuals says of itself, as arrays and numbers, so that compiled kernels can run it.

Such a net has ``kernel_obstacle() -> str | None`` and ``kernel_residuals() -> ResidualNet``, and a front end that they
can compute ``kernel_log_mel() -> LogMelSpectrogram | None`` and ``kernel_constants()``. The kernels know these
descriptions, and no family. A net that has such a front end and runs in torch says why in ``kernel_obstacle()``, and
needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

# How a map is pooled: to a value per channel, or, where its name ends in "time", to a value per channel and band.
MEAN, MAXIMUM, SUM, MEAN_TIME, SUM_TIME = "mean", "maximum", "mean + maximum", "mean time", "mean + maximum time"
# The map that is the input.
IMAGE = -1
# Activations.
RELU, RELU6, HARDSWISH = "relu", "relu6", "hardswish"


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear layer, or a pointwise convolution.

    Attributes:
        weights: (n_out, n_in) float32.
        bias: (n_out,) float32.
    """

    weights: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, eq=False)
class Depthwise:
    """A convolution of each channel alone, padded with zeros.

    Attributes:
        weights: (channels, k, k) float32; k is odd.
        bias: (channels,) float32.
        stride: in both directions.
        dilation: in both directions.
        padding: rows of zeros above a map, and columns at its left; None for as many as on the other sides.
    """

    weights: np.ndarray
    bias: np.ndarray
    stride: int
    dilation: int
    padding: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class Lines:
    """An activation that is the largest of some lines, whose slopes and offsets are made for each clip.

    Of y, which the linear layer gives, they are ``tanh(y / 2) * scale + start``.

    Attributes:
        n: how many lines.
        linear: from the context to the slopes of all channels of the first line, those of the others, and then the
            offsets likewise.
        scale: (2 * n,) float32, one for each slope and offset.
        start: (2 * n,) float32.
    """

    n: int
    linear: Linear
    scale: np.ndarray
    start: np.ndarray


@dataclass(frozen=True, eq=False)
class Context:
    """What a dynamic block makes of its own input: weights, an activation and gates for each clip.

    The input's means over frames, of each band, and over bands, of each frame, go through one linear layer, and its
    values are the sequences over bands and over frames. The mean of all of them is the context.

    Attributes:
        joint: from the input's channels to the sequences, before Hardswish.
        kernels: how many each convolution of the block is mixed from; 0 if they are not.
        attention: from the context to how much there is of each kernel, before the softmax over them: of the expansion,
            if there is one, of the depthwise convolution, and of the projection. None if there are no kernels.
        lines: what follows the depthwise convolution, in place of the block's activation; or None.
        gates: linear layers from the sequences over bands and over frames to what the channels of all places in that
            band or frame are multiplied with, before a sigmoid; None for no gates. Where the block has a stride, the
            sequences are averaged before, by threes, with zeros beyond their ends.
    """

    joint: Linear
    kernels: int
    attention: Linear | None
    lines: Lines | None
    gates: tuple[Linear, Linear] | None


@dataclass(frozen=True, eq=False)
class InvertedResidual:
    """Expansion, depthwise convolution, squeeze-and-excitation over the channels, projection.

    If the convolutions are mixed for each clip, their weights have one axis more in front, over the kernels.

    Attributes:
        expand: or None.
        depthwise: always there.
        squeeze: from the means of the channels to the bottleneck, before its ReLU; None for none.
        excite: from there to the factors of the channels, before their sigmoid.
        project: to what is put out, without an activation.
        act: the activation behind expansion and depthwise convolution: RELU, RELU6 or HARDSWISH.
        residual: whether the input is added to the output.
        context: of a dynamic block, which has no squeeze-and-excitation; else None.
    """

    expand: Linear | None
    depthwise: Depthwise
    squeeze: Linear | None
    excite: Linear | None
    project: Linear
    act: str
    residual: bool
    context: Context | None = None


@dataclass(frozen=True, eq=False)
class Pooled:
    """A map, pooled.

    Attributes:
        map: its number, or IMAGE.
        how: MEAN, MAXIMUM, ...
    """

    map: int
    how: str


@dataclass(frozen=True, eq=False)
class Bottleneck:
    """The values in a block's squeeze-and-excitation, before their activation; of a dynamic block, its context.

    Attributes:
        map: the number of the map that the block puts out.
    """

    map: int


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer on values.

    Attributes:
        inputs: one behind the other.
        linear: the layer.
        hardswish: whether that follows.
    """

    inputs: tuple[Values, ...]
    linear: Linear
    hardswish: bool = False


Values = Pooled | Bottleneck | Layer


@dataclass(frozen=True, eq=False)
class ResidualNet:
    """A convolution, inverted residuals, and a pointwise convolution; batch norm is folded into all of them.

    Attributes:
        first: of the image to map 0, with stride 2: (channels, planes, 3, 3) float32, of the planes of the image; None
            if no map is needed.
        first_bias: (channels,) float32.
        blocks: to the maps 1, 2, ...
        last: to the map behind those of the blocks; or None.
        outputs: what the net puts out, one behind the other. Where a value is needed twice it is the same object.
        act: the activation behind the first convolution and the last one.
        padding: of the first convolution, as of :class:`Depthwise`.
    """

    first: np.ndarray | None
    first_bias: np.ndarray
    blocks: tuple[InvertedResidual, ...]
    last: Linear | None
    outputs: tuple[Values, ...]
    act: str = HARDSWISH
    padding: tuple[int, int] | None = None

    @property
    def planes(self) -> int:
        """Of the image, which lie one behind the other: 3 of a picture's colours, 1 of a spectrogram."""
        return 1 if self.first is None else int(self.first.shape[1])


@runtime_checkable
class SaysKernelObstacle(Protocol):
    """A net whose front end compiled kernels can compute, and perhaps the net, too."""

    def kernel_obstacle(self) -> str | None:
        """Why the kernels cannot run this form of the net, or None. It is asked often, and looks at no weights."""


@runtime_checkable
class HasKernelResiduals(SaysKernelObstacle, Protocol):
    """A net that compiled kernels can run, at least in some of its forms."""

    def kernel_residuals(self) -> ResidualNet:
        """The net in eval mode as arrays, which share no memory with it; only where :meth:`kernel_obstacle` is None."""


@runtime_checkable
class HasKernelPicture(HasKernelResiduals, Protocol):
    """One that sees pictures of what it is given."""

    def kernel_picture(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """What makes (n, planes, height, width) pictures, in torch, of what the net is given; it shares nothing."""


class LogMelSpectrogram(NamedTuple):
    """A logarithmic mel spectrogram.

    If it is centred, samples x become ``x[t + 1] - emphasis * x[t]``, which is reflected by half a frame at both ends;
    if not, they stay as they are, and no frame reaches beyond them. The squared magnitudes of a frame's Fourier
    transform are summed up to bands by the mel bank; a band of power p becomes ``(ln(p + floor) + shift) * factor``.

    Attributes:
        sample_rate: of the samples in Hz.
        n_fft: points of the Fourier transform, a power of 2 of at least 128.
        win_length: samples of a frame, even; zeros follow them.
        hop_length: samples from a frame to the next.
        n_mels: bands.
        fmin: where the lowest band begins, in Hz.
        fmax: where the highest ends.
        least: fewer samples are followed by zeros up to so many.
        emphasis: as above; without a meaning if it is not centred.
        floor: as above.
        shift: as above.
        factor: as above.
        centred: as above.
    """

    sample_rate: int
    n_fft: int
    win_length: int
    hop_length: int
    n_mels: int
    fmin: float
    fmax: float
    least: int
    emphasis: float
    floor: float
    shift: float
    factor: float
    centred: bool = True

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of ``n_samples``."""
        beyond_the_first = max(n_samples, self.least) - (1 if self.centred else self.win_length)
        return 1 + beyond_the_first // self.hop_length


@runtime_checkable
class HasKernelLogMel(Protocol):
    """A front end that compiled kernels can compute."""

    def kernel_log_mel(self) -> LogMelSpectrogram | None:
        """What it computes in eval mode, or None if that is something else, as in a subclass of somebody's own."""

    def kernel_constants(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The Fourier transform's window (win_length,) and the mel bank (n_mels, bins), float32 on the CPU."""
