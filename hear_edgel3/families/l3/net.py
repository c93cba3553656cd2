"""The audio subnetwork of Look, Listen and Learn, as EdgeL3 prunes it and SEA shrinks it.

Arandjelovic and Zisserman, "Look, Listen and Learn", ICCV 2017; Kumari et al., "EdgeL3", IPDPSW 2019; Srivastava et
al., "Specialized Embedding Approximation for Edge Intelligence", ICASSP 2021. Layers as in edgel3 0.2.1 ``models.py``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from hear_edgel3.families.as_built import remember
from hear_edgel3.families.kernel_description import SPARSE_BELOW, FoldedNet, SparseWeights, Weights
from hear_edgel3.families.l3.layout import POOLED

# Keras' BatchNormalization defaults; its momentum of 0.99 is 0.01 in torch's terms.
_BN_EPS = 1e-3
_BN_MOMENTUM = 0.01


class L3Net(nn.Module):
    """Eight 3x3 convolutions with batch norm and ReLU, three 2x2 max pools and a global max.

    Args:
        channels: output channels of the eight convolutions; the last is the embedding size.
        final_norm: whether batch norm and ReLU follow the last convolution too (SEA) or not (sparse L3, whose
            embeddings can therefore be negative).

    Attributes:
        example_shape: mel bands and frames of an image to trace the net with; it takes others too.
    """

    example_shape = (64, 50)

    def __init__(self, channels: Sequence[int], final_norm: bool) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.final_norm = final_norm
        inputs = (1, *self.channels[:-1])
        self.input_norm = nn.BatchNorm2d(1, eps=_BN_EPS, momentum=_BN_MOMENTUM)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in zip(inputs, self.channels, strict=True))
        normed = self.channels if final_norm else self.channels[:-1]
        self.norms = nn.ModuleList(nn.BatchNorm2d(c, eps=_BN_EPS, momentum=_BN_MOMENTUM) for c in normed)
        remember(self)

    @property
    def embedding_size(self) -> int:
        """Size of the embedding."""
        return self.channels[-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embeds spectrograms.

        Args:
            x: (n, n_mels, n_frames), decibels from the front end; at least 8 by 8.

        Returns:
            (n, embedding_size); not negative where ``final_norm``.
        """
        x = self.input_norm(x.unsqueeze(1).to(self.input_norm.weight.dtype))
        for i, conv in enumerate(self.convs):
            x = conv(x)
            if i < len(self.norms):
                x = torch.relu(self.norms[i](x))
            if i in POOLED:
                x = nn.functional.max_pool2d(x, 2)
        return x.amax(dim=(2, 3))

    def convolutions(self) -> tuple[tuple[int, int, int], ...]:
        """Kernel, stride and dilation of the convolutions and max pools, first to last, in both directions."""
        layers: list[tuple[int, int, int]] = []
        for i in range(len(self.convs)):
            layers.append((3, 1, 1))
            if i in POOLED:
                layers.append((2, 2, 1))
        return tuple(layers)

    def folded(self) -> FoldedL3:
        """The same function in eval mode with every batch norm but the first folded into its convolution.

        (The first one comes before the zero padding of the first convolution, so its offset cannot be folded.)
        The result shares no tensor with this net and is in channels_last, the faster layout on CPUs.
        """
        return FoldedL3(self)

    def kernel_layers(self) -> FoldedNet:
        """The folded net as arrays, for compiled kernels; they share no memory with this net."""
        scale, offset = _folded_input(self.input_norm)
        weights: list[Weights] = []
        biases = []
        for i in range(len(self.convs)):
            some, bias = self._kernel_layer(i)
            weights.append(some)
            biases.append(bias)
        return FoldedNet(
            float(scale.float()),
            float(offset.float()),
            weights,
            biases,
            [i in POOLED for i in range(len(weights))],
            [i < len(self.norms) for i in range(len(weights))],
        )

    @torch.no_grad()
    def _kernel_layer(self, i: int) -> tuple[Weights, np.ndarray]:
        """Weights and bias of a folded convolution, as :meth:`folded` has them.

        Of pruned layers only what is left is folded: neither a dense float64 nor a dense float32 copy is made.
        """
        conv = self.convs[i]
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        weights = conv.weight.detach()
        # Folding a one gives the factor of each output channel.
        factor = weights.new_ones((len(weights), 1, 1, 1), dtype=torch.float64)
        bias = conv.bias.detach().double()
        if i < len(self.norms):
            norm = self.norms[i]
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            mean, variance = norm.running_mean.double(), norm.running_var.double()
            gamma, beta = norm.weight.detach().double(), norm.bias.detach().double()
            factor, bias = fuse_conv_bn_weights(factor, bias, mean, variance, norm.eps, gamma, beta)
        flat = weights.contiguous().reshape(-1).numpy()
        places = np.flatnonzero(flat)
        shape = tuple(weights.shape)
        folded_bias = bias.detach().float().numpy().copy()
        if len(places) >= SPARSE_BELOW * len(flat):
            return np.ascontiguousarray((weights.double() * factor.detach()).float().numpy()), folded_bias
        rows = places // math.prod(shape[1:])
        values = (flat[places].astype(np.float64) * factor.detach().reshape(-1).numpy()[rows]).astype(np.float32)
        left = values != 0  # what is too small for float32 is not
        return SparseWeights(shape, places[left].astype(np.int32), values[left]), folded_bias


@torch.no_grad()
def _folded_input(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset of the input, in float64."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return scale, norm.bias.double() - norm.running_mean.double() * scale


class FoldedL3(nn.Module):
    """What :meth:`L3Net.folded` returns."""

    def __init__(self, net: L3Net) -> None:
        super().__init__()
        dtype = net.input_norm.weight.dtype
        # Folded in float64, so that each value is rounded once. The copies are in eval mode.
        exact = copy.deepcopy(net).double().eval().requires_grad_(False)
        scale, offset = _folded_input(net.input_norm)
        self.scale = nn.Parameter(scale.to(dtype), requires_grad=False)
        self.offset = nn.Parameter(offset.to(dtype), requires_grad=False)
        self.convs = nn.ModuleList()
        for i, plain in enumerate(exact.convs):
            assert isinstance(plain, nn.Conv2d)
            conv = plain
            if i < len(exact.norms):
                conv_norm = exact.norms[i]
                assert isinstance(conv_norm, nn.BatchNorm2d)
                conv = fuse_conv_bn_eval(plain, conv_norm)
            conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
            self.convs.append(conv.to(dtype).requires_grad_(False))
        self.n_relu = len(net.norms)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n_mels, n_frames) to (n, embedding_size)."""
        x = (x.to(self.scale.dtype) * self.scale + self.offset).unsqueeze(1)
        for i, conv in enumerate(self.convs):
            x = conv(x)
            if i in POOLED:  # max and ReLU commute: pool first, on the larger map
                x = nn.functional.max_pool2d(x, 2)
            if i < self.n_relu and i < len(self.convs) - 1:
                x = torch.relu_(x)
        x = x.amax(dim=(2, 3))
        return torch.relu_(x) if self.n_relu == len(self.convs) else x
