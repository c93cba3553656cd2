"""Oracles of the image family, written a second time from its formulas: the pipeline in NumPy, the net in functions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from hear_edgel3.compiled.jit import native_lanes
from hear_edgel3.engine.kernels.residual_net import ResidualKernels
from hear_edgel3.families.image.net import SpectrogramImageNet
from hear_edgel3.families.schema import Published
from hear_edgel3.registry.names import published

NAME = "image_effnet_lite0"
# Of each block: kernel, stride, whether it expands, channels.
_BLOCKS = (
    *((3, 1, False, 16), (3, 2, True, 24), (3, 1, True, 24), (5, 2, True, 40), (5, 1, True, 40), (3, 2, True, 80)),
    *((3, 1, True, 80), (3, 1, True, 80), (5, 1, True, 112), (5, 1, True, 112), (5, 1, True, 112), (5, 2, True, 192)),
    *((5, 1, True, 192), (5, 1, True, 192), (5, 1, True, 192), (3, 1, True, 320)),
)


def row() -> Published:
    return published(NAME)


def mel_power(x: np.ndarray, frame: int, hop: int, n_fft: int, n_mels: int, lower: float, upper: float) -> np.ndarray:
    """(T, n_mels) of samples at 16 kHz."""
    n = 1 + (len(x) - frame) // hop
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    power = np.stack([np.abs(np.fft.rfft((x[i * hop : i * hop + frame] * hann), n_fft)) ** 2 for i in range(n)])
    mel = lambda f: 1127 * np.log(1 + f / 700)  # noqa: E731
    edges = np.linspace(mel(lower), mel(upper), n_mels + 2)
    m = mel(np.linspace(0, 8000, n_fft // 2 + 1))
    bank = np.zeros((len(m), n_mels))
    for b in range(n_mels):
        left, middle, right = edges[b : b + 3]
        bank[:, b] = np.maximum(0, np.minimum((m - left) / (middle - left), (right - m) / (right - middle)))
    bank[0] = 0
    return power @ bank


def coloured(spectrogram: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(T, F, 3) of (T, F), by a (256, 3) colour map, 0 to 1."""
    low, high = spectrogram.min(), spectrogram.max()
    place = (spectrogram - low) / (high - low) * 255
    lower = np.minimum(np.floor(place).astype(int), 254)
    return table[lower] + (place - lower)[..., None] * (table[lower + 1] - table[lower])


def same(x: torch.Tensor, weight: torch.Tensor, stride: int, groups: int = 1) -> torch.Tensor:
    """A convolution padded as TensorFlow pads."""
    size, kernel = x.shape[-1], weight.shape[-1]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    sides = (total // 2, total - total // 2) * 2
    return functional.conv2d(functional.pad(x, sides), weight, stride=stride, groups=groups)


def lite0_maps(state: dict[str, torch.Tensor], images: torch.Tensor) -> dict[str, torch.Tensor]:
    """What EfficientNet-Lite0 makes of (n, 3, 224, 224) images as it takes them, from the authors' own state dict."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        of = {p: state[f"{name}.{p}"].to(x.dtype) for p in ("running_mean", "running_var", "weight", "bias")}
        return functional.batch_norm(x, *of.values(), training=False, eps=1e-3)

    def conv(x: torch.Tensor, name: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
        return same(x, state[f"{name}.weight"].to(x.dtype), stride, groups)

    maps = {}
    maps["stem"] = x = functional.relu6(norm(conv(images, "_conv_stem", 2), "_bn0"))
    for i, (_kernel, stride, expands, channels) in enumerate(_BLOCKS):
        name, before = f"_blocks.{i}", x
        if expands:
            x = functional.relu6(norm(conv(x, f"{name}._expand_conv"), f"{name}._bn0"))
        x = functional.relu6(norm(conv(x, f"{name}._depthwise_conv", stride, x.shape[1]), f"{name}._bn1"))
        x = norm(conv(x, f"{name}._project_conv"), f"{name}._bn2")
        if stride == 1 and before.shape[1] == channels:
            x = x + before
        maps[f"block{i}"] = x
    maps["head"] = functional.relu6(norm(conv(x, "_conv_head"), "_bn1"))
    return maps


@lru_cache
def lite0_state() -> dict[str, torch.Tensor]:
    """A seeded state dict with the authors' names, whose activations neither vanish nor explode."""
    generator = torch.Generator().manual_seed(19)
    state: dict[str, torch.Tensor] = {}

    def conv(name: str, out: int, reads: int, kernel: int) -> None:
        shape = (out, reads, kernel, kernel)
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) * (1.5 / (reads * kernel**2)) ** 0.5

    def norm(name: str, n: int) -> None:
        state[f"{name}.weight"] = 0.8 + 0.4 * torch.rand(n, generator=generator)
        state[f"{name}.bias"] = 0.3 * torch.randn(n, generator=generator)
        state[f"{name}.running_mean"] = 0.1 * torch.randn(n, generator=generator)
        state[f"{name}.running_var"] = 0.5 + torch.rand(n, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    before = 32
    for i, (kernel, _, expands, channels) in enumerate(_BLOCKS):
        name, wide = f"_blocks.{i}", 6 * before if expands else before
        if expands:
            conv(f"{name}._expand_conv", wide, before, 1)
            norm(f"{name}._bn0", wide)
        conv(f"{name}._depthwise_conv", wide, 1, kernel)
        norm(f"{name}._bn1", wide)
        conv(f"{name}._project_conv", channels, wide, 1)
        norm(f"{name}._bn2", channels)
        before = channels
    conv("_conv_head", 1280, 320, 1)
    norm("_bn1", 1280)
    state["_fc.weight"], state["_fc.bias"] = torch.zeros(1000, 1280), torch.zeros(1000)
    return state


def sounds(n: int, seconds: float, seed: int = 0) -> torch.Tensor:
    """(n, samples) at 16 kHz: tones that glide, in noise."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(round(seconds * 16000), dtype=torch.float64) / 16000
    start, slope = (torch.rand(n, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    tone = torch.sin(2 * torch.pi * (300 + 2000 * start + 1500 * slope * t) * t)
    return (0.3 * tone + 0.01 * torch.randn(n, len(t), generator=generator, dtype=torch.float64)).float()


def features_of_each(net: SpectrogramImageNet, images: torch.Tensor) -> Iterator[torch.Tensor]:
    """What each way to run a net makes of images: its layers as they are, and compiled kernels, if there are any."""
    yield net.features(images)
    if net.kernel_obstacle() is None:
        yield torch.from_numpy(ResidualKernels(net.kernel_residuals(), native_lanes())(images.numpy(), 1))
