"""A DyMN as it runs fastest on CPUs: positions outside, clips and channels inside, and everything folded that can be.

A map of n clips lies in memory as (f, t, n, c). For one clip this is the layout "channels last". For several it makes
their depthwise convolutions one, of n * c channels, and so it does with whatever works channel by channel; those of 1
by 1 are products of matrices, clip by clip. Where there are few positions, making a kernel for each clip would cost
more than using it: there the clip's attention weights its inputs instead, once for each kernel, and one product with
all kernels is for all clips.

Between blocks a map has one channel more, of ones, so that the product with the next kernel adds the offsets. What the
last batch norm of a block adds is left out of the map, and is in the offsets of whatever reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from hear_edgel3.families.dymn import layout as layouts
from hear_edgel3.families.dymn.blocks import DynamicBlock, DynamicConvolution, PlainBlock

# Clips at once: so many that what lies between two layers stays in the cache, in few sizes, for each of which the
# depthwise convolutions are prepared anew.
_POSITIONS_AT_ONCE = 1 << 17
_MOST_AT_ONCE = 64
# A kernel is made for each clip where it is used at more positions than this.
_FEW_POSITIONS = 8
# Channels of a map beside its own, the first of ones and the others of zeros: rows stay aligned.
_BESIDE = 8


class Foldable(Protocol):
    """What is asked of a net; :class:`hear_edgel3.families.dymn.net.DyMN` says what it is."""

    layout: layouts.Layout
    outputs: tuple[str, ...]
    layers: nn.ModuleList
    in_c: nn.Module
    out_c: nn.Module

    @property
    def blocks_read(self) -> set[int]:
        """The blocks whose output is pooled."""

    def features_of(
        self, mel: torch.Tensor, maps: Iterable[tuple[torch.Tensor, Mapping[str, torch.Tensor]]]
    ) -> torch.Tensor:
        """The chosen features."""

    def __call__(self, mel: torch.Tensor) -> torch.Tensor:
        """The chosen features of images."""


class PackedDyMN(nn.Module):
    """A net of :meth:`hear_edgel3.families.dymn.net.DyMN.exportable` packed; it takes and gives the same.

    Args:
        net: folded; the result shares its tensors.
    """

    def __init__(self, net: Foldable) -> None:
        super().__init__()
        self.net = net
        weight = next(iter(net.in_c.parameters()), None)
        self.dtype = torch.float32 if weight is None else weight.dtype
        self.beside = beside(self.dtype)
        last = layouts.last_block_needed(net.outputs)
        offset = torch.zeros(net.layout.plain.first, dtype=torch.float64)
        blocks: list[PackedBlock | PackedPlainBlock] = []
        # What must be added to the map that comes out of each block.
        self.offsets = [offset]
        for layer in net.layers[: max(last, 0)]:
            if isinstance(layer, DynamicBlock):
                blocks.append(PackedBlock(layer, offset))
            else:
                assert isinstance(layer, PlainBlock)
                blocks.append(PackedPlainBlock(layer, offset))
            offset = blocks[-1].offset
            self.offsets.append(offset)
        self.blocks = nn.ModuleList(blocks)
        self.out_weight: torch.Tensor | None = None
        if isinstance(net.out_c, nn.Sequential):
            convolution = net.out_c[0]
            assert isinstance(convolution, nn.Conv2d)
            assert convolution.bias is not None
            self.out_weight = (
                with_offset(convolution.weight.flatten(1)[None], convolution.bias, offset)[0].t().contiguous()
            )
        self.offsets = [added.to(self.dtype) for added in self.offsets]

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """(n, n_mels, n_frames) to (n, embedding_size)."""
        if not len(mel) or not len(self.blocks):
            result: torch.Tensor = self.net(mel)
            return result
        mel = mel.to(self.dtype)
        return torch.cat([self.net.features_of(part, self._maps(part)) for part in _in_parts(mel)])

    def _maps(self, mel: torch.Tensor) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        """What each block gives, from 0 on, as (n, c, f, t), and its context by name. The next one may overwrite it."""
        image = mel.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        y = self.net.in_c(image).permute(2, 3, 0, 1)
        x = room(y.shape[:3], y.shape[3], self.beside)
        x[..., : y.shape[3]] = y
        yield y.permute(2, 3, 0, 1), {}
        for number, block in enumerate(self.blocks, 1):
            x, context = block(x)
            y = x[..., :-_BESIDE]
            if number in self.net.blocks_read:
                y = y + self.offsets[number]
            yield y.permute(2, 3, 0, 1), {} if context is None else {f"ctx{number - 1}": context}
        if self.out_weight is not None:
            bands, frames, n, _ = x.shape
            y = x.view(-1, x.shape[3])[:, : len(self.out_weight)] @ self.out_weight
            y = functional.hardswish(y, inplace=True).view(bands, frames, n, -1)
            yield y.permute(2, 3, 0, 1), {}


def _in_parts(mel: torch.Tensor) -> Iterator[torch.Tensor]:
    """Batches of powers of two up to 64, as many clips as fit."""
    at_once = _MOST_AT_ONCE
    while at_once > 1 and at_once * mel.shape[1] * mel.shape[2] > _POSITIONS_AT_ONCE:
        at_once //= 2
    start = 0
    while start < len(mel):
        while at_once > len(mel) - start:
            at_once //= 2
        yield mel[start : start + at_once]
        start += at_once


def beside(dtype: torch.dtype) -> torch.Tensor:
    """(_BESIDE,) What is beside the channels of a map: one, and zeros.

    No layer reads the zeros. But processors that multiply half precision in pairs do, with a factor of zero, and make
    NaN of whatever happened to be there.
    """
    values = torch.zeros(_BESIDE, dtype=dtype)
    values[0] = 1
    return values


def room(shape: torch.Size, channels: int, beside: torch.Tensor) -> torch.Tensor:
    """A map (*shape, channels + _BESIDE) with anything in its own channels."""
    x = beside.new_empty(*shape, channels + _BESIDE)
    x[..., channels:] = beside
    return x


def with_offset(kernels: torch.Tensor, shift: torch.Tensor | None, offset: torch.Tensor) -> torch.Tensor:
    """Kernels with one input more, which is one, that adds what comes of the inputs' offset, and the shift.

    Args:
        kernels: (kernels, outputs, inputs).
        shift: (outputs,) or None.
        offset: (inputs,) float64.

    Returns:
        (kernels, outputs, inputs + 1).
    """
    added = kernels.double() @ offset + (0 if shift is None else shift.double())
    return torch.cat([kernels, added.unsqueeze(2).to(kernels.dtype)], dim=2)


def _depthwise(
    x: torch.Tensor, kernels: torch.Tensor, bias: torch.Tensor | None, stride: int, dilation: int
) -> torch.Tensor:
    """(f, t, n, c) with a kernel for each clip's each channel (n * c, 1, k, k) to (f', t', n, c)."""
    bands, frames, n, channels = x.shape
    padding = (kernels.shape[3] - 1) // 2 * dilation
    image = x.view(1, bands, frames, n * channels).permute(0, 3, 1, 2)  # channels last
    y = functional.conv2d(image, kernels, bias, stride, padding, dilation, n * channels).permute(0, 2, 3, 1)
    return y.contiguous().view(y.shape[1], y.shape[2], n, channels)


class PackedPlainBlock(nn.Module):
    """An inverted residual that is the same for all clips.

    Args:
        block: folded.
        offset: (inputs,) float64 what is to be added to its input.
    """

    def __init__(self, block: PlainBlock, offset: torch.Tensor) -> None:
        super().__init__()
        self.parts = nn.ModuleList(block.block.children())
        self.residual = block.residual
        dtype = next(block.parameters()).dtype
        self.beside = beside(dtype)
        self.added = offset.to(dtype)
        self.offset = offset.new_zeros(next(reversed(list(block.parameters()))).shape)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """(f, t, n, c + _BESIDE) to (f', t', n, c' + _BESIDE)."""
        x = x[..., :-_BESIDE] + self.added
        y = x
        for layers in self.parts:
            assert isinstance(layers, nn.Sequential)
            convolution = layers[0]
            assert isinstance(convolution, nn.Conv2d)
            assert convolution.bias is not None
            if convolution.groups == 1:
                y = functional.linear(y, convolution.weight.flatten(1), convolution.bias)
            else:
                n = x.shape[2]
                where = convolution.stride[0], convolution.dilation[0]
                y = _depthwise(y, convolution.weight.repeat(n, 1, 1, 1), convolution.bias.repeat(n), *where)
            for activation in list(layers)[1:]:
                y = activation(y)
        result = room(y.shape[:3], y.shape[3], self.beside)
        if self.residual:
            torch.add(y, x, out=result[..., :-_BESIDE])
        else:
            result[..., :-_BESIDE] = y
        return result, None


class PackedBlock(nn.Module):
    """A dynamic inverted residual.

    Args:
        block: folded.
        offset: (inputs,) float64 what is to be added to its input.

    Attributes:
        offset: (outputs,) float64 what is to be added to its output.
    """

    def __init__(self, block: DynamicBlock, offset: torch.Tensor) -> None:
        super().__init__()
        self.shape = block.shape
        self.activation = nn.Hardswish(inplace=True) if block.shape.hardswish else nn.ReLU(inplace=True)
        generator = block.context_gen
        assert isinstance(generator.joint_conv, nn.Conv2d)
        self.joint_weight = with_offset(
            generator.joint_conv.weight.flatten(1)[None], generator.joint_conv.bias, offset
        )[0]
        self.stride = generator.stride
        self.gates: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        if block.attends:
            # A mean of three, as a sum.
            share = 1 if generator.stride == 1 else 3
            self.gates = [(conv.weight.flatten(1) / share, conv.bias) for conv in (generator.conv_f, generator.conv_t)]
        depthwise, projection = block.depth_conv, block.proj_conv
        assert isinstance(depthwise, DynamicConvolution)
        assert isinstance(projection, DynamicConvolution)
        self.expansion: _Pointwise | None = None
        convolutions = [depthwise, projection]
        self.added: torch.Tensor | None = None
        if block.shape.expands:
            assert isinstance(block.exp_conv, DynamicConvolution)
            convolutions.insert(0, block.exp_conv)
            self.expansion = _Pointwise(block.exp_conv, offset)
        elif bool(offset.any()):
            self.added = offset.to(depthwise.weight.dtype)
        self.depthwise = depthwise.weight[0, 0]
        assert depthwise.shift is not None
        self.shift = depthwise.shift
        self.projection = _Pointwise(projection, None)
        assert projection.shift is not None
        self.offset = projection.shift.double() + (offset if block.shape.residual else 0)
        # All that is linear in the context, in one product.
        linear = [(_linear(convolution.residuals), convolution.tau) for convolution in convolutions]
        weights = [layer.weight / tau for layer, tau in linear]
        biases = [layer.bias / tau for layer, tau in linear]
        self.beside = beside(depthwise.weight.dtype)
        self.n_mixed = len(convolutions)
        self.kernels = len(self.depthwise)
        self.lines = 0
        if block.depth_act is not None:
            lines = self.lines = block.depth_act.lines
            layer = _linear(block.depth_act.coef_net)
            channels = block.shape.expanded
            # 2 sigmoid(x) - 1 = tanh(x / 2); one line behind the other, not one channel.
            weights.append(layer.weight.view(channels, 2 * lines, -1).transpose(0, 1).flatten(0, 1) / 2)
            biases.append(layer.bias.view(channels, 2 * lines).t().flatten() / 2)
            self.line_scale = block.depth_act.lambdas.view(-1, 1)
            self.line_start = block.depth_act.init_v.view(-1, 1)
        self.context_weight, self.context_bias = torch.cat(weights), torch.cat(biases)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(f, t, n, c + _BESIDE) to (f', t', n, c' + _BESIDE), and the context (n, size)."""
        bands, frames, n, wide = x.shape
        over_frames = x.new_full((1, frames), 1 / frames) @ x.view(bands, frames, -1)
        over_bands = x.new_full((1, bands), 1 / bands) @ x.view(bands, -1)
        means = torch.cat([over_frames.view(-1, wide), over_bands.view(-1, wide)])[:, : self.joint_weight.shape[1]]
        sequence = functional.hardswish(means @ self.joint_weight.t(), inplace=True).view(bands + frames, n, -1)
        context = sequence.mean(dim=0)
        made = functional.linear(context, self.context_weight, self.context_bias)
        used = self.n_mixed * self.kernels
        attention = torch.softmax(made[:, :used].view(n, self.n_mixed, self.kernels), dim=2)
        if self.expansion is not None:
            y = self.activation(self.expansion.several(x, attention[:, 0]))
        else:
            y = x[..., :-_BESIDE].contiguous() if self.added is None else x[..., :-_BESIDE] + self.added
        size = self.shape.kernel
        kernels = (attention[:, -2] @ self.depthwise).view(-1, 1, size, size)
        y = _depthwise(y, kernels, None, self.shape.step, self.shape.dilation)
        y = self._activated(y, made[:, used:], sequence, bands)
        if not self.shape.residual:
            x = room(y.shape[:3], self.shape.outputs, self.beside)
        self.projection.put(y, attention[:, -1], x, self.shape.residual)
        return x, context

    def _activated(
        self, y: torch.Tensor, coefficients: torch.Tensor, sequence: torch.Tensor, bands: int
    ) -> torch.Tensor:
        """The activation behind the depthwise convolution, and the gates."""
        n, channels = y.shape[2:]
        if not self.lines:
            y = self.activation(y.add_(self.shift))
            if self.gates:
                y = y.mul_(self._gate(sequence[:bands], 0).unsqueeze(1)).mul_(self._gate(sequence[bands:], 1))
            return y
        lines = torch.tanh(coefficients).view(n, 2 * self.lines, channels) * self.line_scale + self.line_start
        lines = lines.transpose(0, 1).unsqueeze(1).unsqueeze(1)
        slopes, offsets = lines[: self.lines], lines[self.lines :]  # (lines, 1, 1, n, c)
        offsets = torch.addcmul(offsets, slopes, self.shift)
        if self.gates:
            # Gates are positive, and the largest of positive multiples is a multiple of the largest.
            gate = self._gate(sequence[:bands], 0).unsqueeze(1)
            slopes, offsets = slopes * gate, offsets * gate
        largest = torch.addcmul(offsets[0], y, slopes[0])
        for i in range(1, self.lines):
            last = i == self.lines - 1
            other = torch.addcmul(offsets[i], y, slopes[i], out=y if last else torch.empty_like(y))
            torch.maximum(largest, other, out=largest)
        return largest.mul_(self._gate(sequence[bands:], 1)) if self.gates else largest

    def _gate(self, sequence: torch.Tensor, which: int) -> torch.Tensor:
        """(length, n, size) to (length', n, channels)."""
        if self.stride > 1:
            length = (len(sequence) - 1) // self.stride + 1
            end = self.stride * (length - 1) + 1
            padded = functional.pad(sequence, (0, 0, 0, 0, 1, 1))
            sequence = (
                padded[: end : self.stride] + padded[1 : end + 1 : self.stride] + padded[2 : end + 2 : self.stride]
            )
        return functional.linear(sequence, *self.gates[which]).sigmoid_()


def _linear(layers: nn.Sequential) -> nn.Linear:
    layer = layers[0]
    assert isinstance(layer, nn.Linear)
    return layer


class _Pointwise:
    """The kernels of a dynamic convolution of 1 by 1.

    Args:
        convolution: folded.
        offset: (inputs,) float64 what is to be added to its input, which then has a channel of ones; None if nothing
            is, what it adds itself included.
    """

    def __init__(self, convolution: DynamicConvolution, offset: torch.Tensor | None) -> None:
        outputs, inputs, _, _ = convolution.kernel_shape
        kernels = convolution.weight[0, 0].view(-1, outputs, inputs)
        if offset is not None:
            kernels = with_offset(kernels, convolution.shift, offset)
        self.shape = kernels.shape[2], outputs
        kernels = kernels.transpose(1, 2).contiguous()
        # (kernels, inputs * outputs), and (kernels * inputs, outputs).
        self.bank, self.together = kernels.flatten(1), kernels.flatten(0, 1)

    def several(self, x: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """(f, t, n, at least inputs) to (f, t, n, outputs)."""
        bands, frames, n, _ = x.shape
        rows = x.view(bands * frames, n, -1)[:, :, : self.shape[0]]
        return self._product(rows, attention).view(bands, frames, n, self.shape[1])

    def _product(self, x: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """(positions, n, inputs) to (positions, n, outputs)."""
        n = x.shape[1]
        if n == 1:
            return (x[:, 0] @ (attention @ self.bank).view(self.shape)).unsqueeze(1)
        if len(x) <= _FEW_POSITIONS:
            return (x.unsqueeze(2) * attention.unsqueeze(2)).view(len(x) * n, -1) @ self.together
        kernels = (attention @ self.bank).view(n, *self.shape)
        return torch.bmm(x.transpose(0, 1), kernels).transpose(0, 1).contiguous()

    def put(self, x: torch.Tensor, attention: torch.Tensor, into: torch.Tensor, add: bool) -> None:
        """(f, t, n, inputs) into the first channels of (f, t, n, outputs + _BESIDE), or added to them."""
        n = x.shape[2]
        x = x.view(-1, n, self.shape[0])
        target = into.view(-1, n, into.shape[3])[:, :, : self.shape[1]]
        if n == 1:
            kernel = (attention @ self.bank).view(self.shape)
            if add:
                target[:, 0].addmm_(x[:, 0], kernel)
            else:
                torch.mm(x[:, 0], kernel, out=target[:, 0])
            return
        y = self._product(x, attention).view(target.shape)
        if add:
            target.add_(y)
        else:
            target.copy_(y)
