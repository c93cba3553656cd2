"""The engines, and nets of every density for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from hear_edgel3.engine.runner import Runner
from hear_edgel3.engine.table import NAMES
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.registry.names import resolve

ENGINES = [name for name in NAMES if name != "auto"]


# Of an embedding's peak. On noise, float32 sums are all that differs from float64: observed at most 1.1e-6.
FLOAT64_TOLERANCE = 2e-6
# Two engines on the same spectrogram are each off by as much: observed at most 8e-7, on odd sounds too.
TORCH_TOLERANCE = 5e-6
EXPORTED_TOLERANCE = 1e-4  # what their modules promise; observed at most 8e-7
WIDE = (64, 64, 128, 128, 256, 256, 512, 512)
# Of the embedding size of sea_64, whose front end it gets; too few outputs for Winograd, so that little is compiled.
SMALL = (8, 8, 8, 8, 12, 8, 8, 64)


def masks(net: L3Net, zeros: float, how: str) -> None:
    """Sets a part of the weights to zero, and scales the others so that activations neither vanish nor explode.

    Args:
        net: of random weights.
        zeros: the part, of all.
        how: "uniform", the same part in every layer, or "early-dense", fewer in the first ones.
    """
    share = 1 - zeros
    factors = {"uniform": [1.0] * 8, "early-dense": [99.0, 4.0, 3.0, 2.0, 1.5, 1.2, 1.0, 0.8]}[how]
    for conv, factor in zip(net.convs, factors, strict=True):
        assert isinstance(conv, nn.Conv2d)
        density = min(1.0, share * factor)
        weights = torch.randn(conv.weight.shape) * (torch.rand(conv.weight.shape) < density)
        conv.weight.copy_(weights * (2 / (9 * density * conv.in_channels)) ** 0.5)


def make_net(channels: Sequence[int], zeros: float, how: str = "early-dense", seed: int = 0) -> L3Net:
    """A seeded net for decibels, in eval mode."""
    torch.manual_seed(seed)
    net = L3Net(channels, final_norm=False).eval()
    with torch.no_grad():
        masks(net, zeros, how)
        for conv, norm in zip(net.convs, [*net.norms, None], strict=True):
            conv.bias.normal_(std=0.1)
            if norm is not None:
                norm.weight.uniform_(0.8, 1.2)
                norm.bias.normal_(std=0.1)
                norm.running_mean.normal_(std=0.1)
                norm.running_var.uniform_(0.8, 1.2)
        net.input_norm.running_mean.fill_(-40.0)
        net.input_norm.running_var.fill_(300.0)
    return net


def make_small(engine: str = "auto", zeros: float = 0.8) -> Extractor:
    """An extractor that takes a millisecond for a window."""
    configuration = resolve("sea_64")
    return Extractor(configuration, configuration.checkpoint.frontend.build(), make_net(SMALL, zeros), engine=engine)


def run_net(net: nn.Module, x: torch.Tensor, engine: str) -> np.ndarray:
    with torch.no_grad():
        return Runner(engine)(net, x).numpy()


def check_embeddings(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Equal to a fraction of each embedding's peak."""
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    peaks = np.abs(expected).max(axis=1, keepdims=True)
    assert (peaks > 0.05).all()
    assert (np.ptp(expected, axis=1) > 0.05).all()
    np.testing.assert_allclose(found / peaks, expected / peaks, rtol=0, atol=tolerance)
