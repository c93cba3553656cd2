"""The MobileNetV3 family over again, plainly and in float64: front end, net, HEAR wrapper, and seeded weights.

Every convolution is a sum of shifted copies or a matrix product, every window is embedded alone. Nothing is imported
from the package, so that the tests that compare the two prove something without any file of the original programs; that
this reference is right is proved where those files are (tests/families/test_mobilenetv3_exactness.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from support import signals

RATE = 32000
POOLINGS = ("avg_ch", "max_ch", "add_avg_max_ch", "cat_avg_max_ch", "avg_time", "avg_max_time")
SE_BLOCKS = (4, 5, 6, 11, 12, 13, 14, 15)

# block: kernel, expanded, out, squeeze-and-excitation, hardswish; where the block strides, which of the four strides
_TABLE = {
    1: (3, 16, 16, False, False, None),
    2: (3, 64, 24, False, False, 0),
    3: (3, 72, 24, False, False, None),
    4: (5, 72, 40, True, False, 1),
    5: (5, 120, 40, True, False, None),
    6: (5, 120, 40, True, False, None),
    7: (3, 240, 80, False, True, 2),
    8: (3, 200, 80, False, True, None),
    9: (3, 184, 80, False, True, None),
    10: (3, 184, 80, False, True, None),
    11: (3, 480, 112, True, True, None),
    12: (3, 672, 112, True, True, None),
    13: (5, 672, 160, True, True, 3),
    14: (5, 960, 160, True, True, None),
    15: (5, 960, 160, True, True, None),
}


@dataclass(frozen=True)
class Spec:
    """Which net; the names are those of the package's arguments."""

    width_mult: float = 1.0
    head: str = "mlp"
    n_classes: int | None = 527
    n_mels: int = 128
    strides: tuple[int, ...] = (2, 2, 2, 2)
    reduced_tail: bool = False
    dilated: bool = False
    se_dims: str = "c"
    se_agg: str = "max"
    n_frames: int = 100
    n_heads: int = 4


# --- front end ---


def mel_bank(n_mels: int, low_hz: float = 0.0, high_hz: float = 15000.0, dtype: torch.dtype = torch.float32):
    """(n_mels, 512) float64. In float32 like Kaldi's by torchaudio: its rounding is part of what the nets learned."""
    low, high = (1127.0 * math.log(1.0 + hz / 700.0) for hz in (low_hz, high_hz))
    step = (high - low) / (n_mels + 1)
    bins = 1127.0 * (1.0 + torch.arange(512, dtype=dtype) * (RATE / 1024) / 700.0).log()
    rows = []
    for i in range(n_mels):
        left, centre, right = (low + torch.tensor(float(i + j), dtype=dtype) * step for j in (0, 1, 2))
        rows.append(torch.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)).clamp_min(0))
    return torch.stack(rows).double()


def log_mel(
    samples: np.ndarray | torch.Tensor, hop: int = 320, n_mels: int = 128, low_hz: float = 0.0, high_hz: float = 15000.0
) -> torch.Tensor:
    """(n, samples) to (n, n_mels, frames), float64."""
    x = torch.as_tensor(samples, dtype=torch.float64)
    x = functional.pad(x, (0, max(0, 514 - x.shape[1])))  # upstream cannot reflect less
    x = x[:, 1:] - 0.97 * x[:, :-1]
    hann = torch.hann_window(800, periodic=False, dtype=torch.float64)
    spectrum = torch.stft(x, 1024, hop, 800, hann, center=True, pad_mode="reflect", return_complex=True)
    mel = mel_bank(n_mels, low_hz, high_hz) @ spectrum.abs().square()[:, :512]
    return ((mel + 1e-5).log() + 4.5) / 5


# --- net ---


def divisible(value: float) -> int:
    """The multiple of 8 that torchvision takes."""
    result = max(8, int(value + 4) // 8 * 8)
    return result + 8 if result < 0.9 * value else result


def shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the state dict, in its order."""
    result: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            result[f"{name}.{part}"] = (channels,)
        result[f"{name}.num_batches_tracked"] = ()

    def linear(name: str, inputs: int, outputs: int) -> None:
        result[f"{name}.weight"], result[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def conv(name: str, *shape: int) -> None:
        result[f"{name}.0.weight"] = shape
        norm(f"{name}.1", shape[0])

    inputs = divisible(16 * spec.width_mult)
    conv("features.0", inputs, 1, 3, 3)
    bands, frames = -(-spec.n_mels // 2), -(-spec.n_frames // 2)
    for i, (kernel, expanded, outputs, has_se, _, strided) in _TABLE.items():
        inside = 2 if spec.reduced_tail and i > 13 else 1
        outside = 2 if spec.reduced_tail and i > 12 else 1
        wide = divisible(expanded // inside * spec.width_mult)
        out = divisible(outputs // outside * spec.width_mult)
        step = 1 if strided is None or (spec.dilated and i > 12) else spec.strides[strided]
        bands, frames = -(-bands // step), -(-frames // step)
        layer = 0
        if wide != inputs:
            conv(f"features.{i}.block.{layer}", wide, inputs, 1, 1)
            layer += 1
        conv(f"features.{i}.block.{layer}", wide, 1, kernel, kernel)
        layer += 1
        if has_se and spec.se_dims:
            for j, dim in enumerate(spec.se_dims):
                size = {"c": wide, "f": bands, "t": frames}[dim]
                linear(f"features.{i}.block.{layer}.conc_se_layers.{j}.fc1", size, divisible(size // 4))
                linear(f"features.{i}.block.{layer}.conc_se_layers.{j}.fc2", divisible(size // 4), size)
            layer += 1
        conv(f"features.{i}.block.{layer}", out, wide, 1, 1)
        inputs = out
    last = 6 * inputs
    conv("features.16", last, inputs, 1, 1)
    if spec.head == "mlp":
        hidden = divisible((640 if spec.reduced_tail else 1280) * spec.width_mult)
        linear("classifier.2", last, hidden)
        if spec.n_classes is not None:
            linear("classifier.5", hidden, spec.n_classes)
        return result
    assert spec.n_classes is not None
    if spec.head == "fully_convolutional":
        conv("classifier", spec.n_classes, last, 1, 1)
    else:
        result["classifier.head_weight"] = (1, spec.n_heads, 1)
        linear("classifier.subspace_proj", last, 2 * spec.n_heads * spec.n_classes)
    return result


State = dict[str, torch.Tensor]
Observer = Callable[[str, torch.Tensor], None]


def features(spec: Spec, state: State, mel: torch.Tensor, pooling: str = "avg_ch") -> State:
    """Everything that can be taken from the net in eval mode, by name, each (n, size) float64.

    Args:
        spec: which net.
        state: its state dict.
        mel: (n, n_mels, frames).
        pooling: of the blocks.
    """
    return pooled(run(spec, state, mel), pooling)


def pooled(found: State, pooling: str) -> State:
    """What :func:`run` returns, with each block as one vector per clip."""
    return {name: pool(x, pooling) if name[0] == "b" else x for name, x in found.items()}


def run(spec: Spec, state: State, mel: torch.Tensor, observe: Observer | None = None) -> State:
    """As :func:`features`, with the blocks as they are, (n, channels, bands, frames).

    Args:
        spec: which net.
        state: its state dict.
        mel: (n, n_mels, frames).
        observe: called with the name of each batch norm and its input, before its statistics are read.
    """

    def of(name: str) -> torch.Tensor:
        return state[name].double()

    def norm(name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
        if observe is not None:
            observe(name, x)
        mean, variance, gain, shift = (
            of(f"{name}.{part}")[:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + eps).sqrt() * gain + shift

    def conv(name: str, x: torch.Tensor, stride: int = 1, dilation: int = 1, eps: float = 1e-3) -> torch.Tensor:
        weight = of(f"{name}.0.weight")
        y = pointwise(x, weight) if weight.shape[2] == 1 else depthwise(x, weight, stride, dilation)
        return norm(f"{name}.1", y, eps)

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ of(f"{name}.weight").T + of(f"{name}.bias")

    found: State = {"mel_avgs": mel.double().mean(2)}
    x = hardswish(conv("features.0", mel.double()[:, None], stride=2))
    found["b0"] = x
    for i, (_, _, _, has_se, hs, strided) in _TABLE.items():
        activation = hardswish if hs else relu
        nominal = 1 if strided is None else spec.strides[strided]
        dilation = 2 if spec.dilated and i > 12 else 1
        y, layer = x, 0
        if state[f"features.{i}.block.0.0.weight"].shape[2] == 1:
            y, layer = activation(conv(f"features.{i}.block.0", y)), 1
        stride = 1 if dilation > 1 else nominal
        y = activation(conv(f"features.{i}.block.{layer}", y, stride, dilation))
        layer += 1
        if has_se and spec.se_dims:
            scaled, bottlenecks = [], []
            for j, dim in enumerate(spec.se_dims):
                name = f"features.{i}.block.{layer}.conc_se_layers.{j}"
                axis = {"c": 1, "f": 2, "t": 3}[dim]
                squeezed = linear(f"{name}.fc1", y.mean([d for d in (1, 2, 3) if d != axis]))
                gate = torch.sigmoid(linear(f"{name}.fc2", relu(squeezed)))
                shape = [len(y), 1, 1, 1]
                shape[axis] = y.shape[axis]
                scaled.append(y * gate.reshape(shape))
                bottlenecks.append(squeezed)
            y = _AGGREGATES[spec.se_agg](torch.stack(scaled))
            found[f"se{i}"] = torch.cat(bottlenecks, 1)
            layer += 1
        y = conv(f"features.{i}.block.{layer}", y)
        x = x + y if nominal == 1 and x.shape[1] == y.shape[1] else y
        found[f"b{i}"] = x
    x = hardswish(conv("features.16", x))
    found["b16"] = x
    found["clf1"] = x.mean((2, 3))
    if spec.head == "mlp":
        found["clf2"] = hardswish(linear("classifier.2", found["clf1"]))
        if spec.n_classes is not None:
            found["logits"] = linear("classifier.5", found["clf2"])
    elif spec.head == "fully_convolutional":
        found["logits"] = conv("classifier", x, eps=1e-5).mean((2, 3))
    else:
        y = linear("classifier.subspace_proj", x.mean(2).transpose(1, 2))  # (n, frames, 2 * heads * classes)
        size = spec.n_heads * int(spec.n_classes or 0)
        attention, value = torch.sigmoid(y[..., :size]).clamp(1e-7, 1 - 1e-7), y[..., size:]
        pooled = (attention / attention.sum(1, keepdim=True) * value).sum(1).reshape(len(y), spec.n_heads, -1)
        found["logits"] = (pooled * of("classifier.head_weight")).sum(1)
    return found


_AGGREGATES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "max": lambda x: x.max(0).values,
    "min": lambda x: x.min(0).values,
    "avg": lambda x: x.mean(0),
    "add": lambda x: x.sum(0),
}


def relu(x: torch.Tensor) -> torch.Tensor:
    return x * (x > 0)


def hardswish(x: torch.Tensor) -> torch.Tensor:
    return x * (x + 3).clamp(0, 6) / 6


def pointwise(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A 1x1 convolution."""
    return torch.einsum("oi,nift->noft", weight[:, :, 0, 0], x)


def depthwise(x: torch.Tensor, weight: torch.Tensor, stride: int, dilation: int) -> torch.Tensor:
    """A convolution of each channel alone, or of the only one: (channels, 1, kernel, kernel)."""
    kernel = weight.shape[2]
    pad = (kernel - 1) // 2 * dilation
    padded = functional.pad(x, (pad, pad, pad, pad))
    height, width = ((size - 1) // stride + 1 for size in x.shape[2:])
    result = torch.zeros(())
    for i in range(kernel):
        for j in range(kernel):
            rows = padded[:, :, i * dilation : i * dilation + stride * height : stride]
            shifted = rows[..., j * dilation : j * dilation + stride * width : stride]
            result = result + weight[:, 0, i, j, None, None] * shifted
    return result


def pool(x: torch.Tensor, pooling: str) -> torch.Tensor:
    """A block's output to one vector per clip."""
    mean, most = x.mean((2, 3)), x.amax((2, 3))
    if pooling.endswith("time"):
        over_time = x.mean(3) if pooling == "avg_time" else x.mean(3) + x.amax(3)
        return over_time.reshape(len(x), -1)  # channel by channel
    return {
        "avg_ch": mean,
        "max_ch": most,
        "add_avg_max_ch": mean + most,
        "cat_avg_max_ch": torch.cat([mean, most], 1),
    }[pooling]


# --- HEAR wrapper ---

Embed = Callable[[torch.Tensor], torch.Tensor]


def embedder(spec: Spec, state: State, names: Sequence[str], hop: int = 320, pooling: str = "avg_ch") -> Embed:
    """(n, samples) to the features ``names`` one behind the other."""

    def embed(samples: torch.Tensor) -> torch.Tensor:
        found = features(spec, state, log_mel(samples, hop, spec.n_mels), pooling)
        return torch.cat([found[name] for name in names], 1)

    return embed


def timestamp_embeddings(
    embed: Embed,
    clip: np.ndarray | torch.Tensor,
    window: int = 5120,
    hop_ms: float = 50.0,
    rows: Callable[[int], Sequence[int]] = range,
) -> tuple[np.ndarray, list[float]]:
    """(n, rows, D) embeddings of (n, samples) at 32 kHz, one window after the other, and all T times in milliseconds.

    Args:
        embed: embeds windows.
        clip: the samples.
        window: samples per window.
        hop_ms: milliseconds between windows.
        rows: of T windows, which are embedded.
    """
    x = torch.as_tensor(clip, dtype=torch.float64)
    count = math.floor(Fraction(x.shape[1], 32) / Fraction(hop_ms)) + 1
    starts = [round(k * Fraction(hop_ms) * 32) for k in rows(count)]
    return _windows(embed, x, window, starts), [k * hop_ms for k in range(count)]


def scene_embeddings(embed: Embed, clip: np.ndarray | torch.Tensor) -> np.ndarray:
    """(n, D): ten seconds in one piece; beyond, the mean over windows of ten seconds centred every 2.5 s."""
    x = torch.as_tensor(clip, dtype=torch.float64)
    if x.shape[1] <= 320000:
        return embed(x).numpy()
    starts = [80000 * k for k in range(x.shape[1] // 80000 + 1)]
    return _windows(embed, x, 320000, starts).mean(1)


def _windows(embed: Embed, x: torch.Tensor, window: int, starts: list[int]) -> np.ndarray:
    x = functional.pad(x, (0, max(0, window // 2 + 1 - x.shape[1])))
    padded = functional.pad(x, (window // 2, window // 2), mode="reflect")
    return torch.stack([embed(padded[:, start : start + window]) for start in starts], 1).numpy()


# --- seeded weights ---


@lru_cache
def seeded_state(spec: Spec, seed: int = 0) -> State:
    """A state dict of random values whose batch norms are near what they see, so that activations keep their scale."""
    rs = np.random.RandomState(seed)
    state: State = {}
    for name, shape in shapes(spec).items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(int(rs.randint(1, 1000)))
            continue
        if name.endswith("head_weight"):
            values = rs.uniform(0.1, 0.5, shape)
        elif len(shape) == 4:
            values = rs.randn(*shape) * math.sqrt(2.0 / math.prod(shape[1:]))
        elif len(shape) == 2:
            values = rs.randn(*shape) * math.sqrt(2.0 / shape[1])
        elif name.endswith("weight"):  # of a batch norm
            values = rs.uniform(0.6, 1.4, shape)
        else:
            values = rs.randn(*shape) * 0.3
        state[name] = torch.from_numpy(values.astype(np.float32))

    def observe(name: str, x: torch.Tensor) -> None:
        mean, variance = x.mean((0, 2, 3)).numpy(), x.var((0, 2, 3)).numpy()
        variance = variance + 0.2 * variance.mean()  # a channel that these sounds leave still may hear another one
        mean = mean + rs.randn(*mean.shape) * 0.2 * np.sqrt(variance)
        variance = variance * rs.uniform(0.7, 1.4, variance.shape)
        state[f"{name}.running_mean"] = torch.from_numpy(mean.astype(np.float32))
        state[f"{name}.running_var"] = torch.from_numpy(variance.astype(np.float32))

    mel = log_mel(signals.windows(320 * spec.n_frames), 320, spec.n_mels)
    run(spec, state, mel, observe)
    return state
