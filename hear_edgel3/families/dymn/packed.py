"""A DyMN as it runs fastest on CPUs: positions outside, clips and channels inside, and everything folded that can be.

A map of n clips lies in memory as (f, t, n, c). For one clip this is the layout "channels last". For several it makes
their depthwise convolutions one, of n * c channels, and so it does with whatever works channel by channel; convolutions
of 1 by 1 are products of matrices, clip by clip. Where there are few positions and many clips, making a kernel for each
clip would cost more than using it: there the clip's attention weights its inputs instead, once for each kernel, and one
product with all kernels is for all clips.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional

from hear_edgel3.families.dymn import layout as layouts
from hear_edgel3.families.dymn.net import DyMN, DynamicBlock, DynamicConvolution, PlainBlock
from hear_edgel3.families.mobilenetv3.parts import pool

# Clips at once: so many that what lies between two layers stays in the cache, in few sizes, for each of which the
# depthwise convolutions are prepared anew.
_POSITIONS_AT_ONCE = 1 << 15
_MOST_AT_ONCE = 16
# A kernel is made for each clip where it is used at more positions than this.
_FEW_POSITIONS = 4


class PackedDyMN(nn.Module):
    """A net of :meth:`hear_edgel3.families.dymn.net.DyMN.exportable` packed; it takes and gives the same.

    Args:
        net: folded; the result shares its tensors.
    """

    def __init__(self, net: DyMN) -> None:
        super().__init__()
        self.net = net
        last = layouts.last_block_needed(net.outputs)
        self.blocks = nn.ModuleList(
            PackedBlock(layer) if isinstance(layer, DynamicBlock) else PackedPlainBlock(layer)
            for layer in net.layers[: max(last, 0)]
        )
        if last >= 0:
            convolution = net.in_c[0]
            assert isinstance(convolution, nn.Conv2d)
            convolution.weight.data = convolution.weight.data.to(memory_format=torch.channels_last)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """(n, n_mels, n_frames) to (n, embedding_size)."""
        if not len(mel) or not len(self.blocks):
            result: torch.Tensor = self.net(mel)
            return result
        return torch.cat([self.net.features_of(part, self._maps(part)) for part in _in_parts(mel)])

    def _maps(self, mel: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """What each block gives, from 0 on, as (n, c, f, t), and its context."""
        x = self.net.in_c(mel.unsqueeze(1)).permute(2, 3, 0, 1).contiguous()
        yield x.permute(2, 3, 0, 1), None
        for block in self.blocks:
            x, context = block(x)
            yield x.permute(2, 3, 0, 1), context
        if isinstance(self.net.out_c, nn.Sequential):
            yield _pointwise(x, self.net.out_c).permute(2, 3, 0, 1), None


def _in_parts(mel: torch.Tensor) -> Iterator[torch.Tensor]:
    """Batches of 16, 8, 4, 2 and 1, as many clips as fit."""
    at_once = _MOST_AT_ONCE
    while at_once > 1 and at_once * mel.shape[1] * mel.shape[2] > _POSITIONS_AT_ONCE:
        at_once //= 2
    start = 0
    while start < len(mel):
        while at_once > len(mel) - start:
            at_once //= 2
        yield mel[start : start + at_once]
        start += at_once


def _pointwise(x: torch.Tensor, layers: nn.Module) -> torch.Tensor:
    """A convolution of 1 by 1 that is the same for all clips, and what follows it: (f, t, n, c) to the same."""
    assert isinstance(layers, nn.Sequential)
    convolution = layers[0]
    assert isinstance(convolution, nn.Conv2d)
    y = functional.linear(x, convolution.weight.flatten(1), convolution.bias)
    for activation in layers[1:]:
        y = activation(y)
    return y


class PackedPlainBlock(nn.Module):
    """An inverted residual that is the same for all clips."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.plain = block

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """(f, t, n, c) to (f', t', n, c')."""
        block = self.plain
        assert isinstance(block, PlainBlock)
        y = x
        for layers in block.block:
            assert isinstance(layers, nn.Sequential)
            convolution = layers[0]
            assert isinstance(convolution, nn.Conv2d)
            if convolution.groups == 1:
                y = _pointwise(y, layers)
                continue
            assert convolution.bias is not None
            n = x.shape[2]
            y = _depthwise(
                y,
                convolution.weight.repeat(n, 1, 1, 1),
                convolution.bias.repeat(n),
                convolution.stride[0],
                convolution.dilation[0],
            )
            y = layers[2](y)
        return (y.add_(x) if block.residual else y), None


def _depthwise(
    x: torch.Tensor, kernels: torch.Tensor, bias: torch.Tensor | None, stride: int, dilation: int
) -> torch.Tensor:
    """(f, t, n, c) with a kernel for each clip's each channel (n * c, 1, k, k) to (f', t', n, c)."""
    bands, frames, n, channels = x.shape
    padding = (kernels.shape[3] - 1) // 2 * dilation
    image = x.view(1, bands, frames, n * channels).permute(0, 3, 1, 2)  # channels last
    y = functional.conv2d(image, kernels, bias, stride, padding, dilation, n * channels).permute(0, 2, 3, 1)
    return y.contiguous().view(y.shape[1], y.shape[2], n, channels)


class PackedBlock(nn.Module):
    """A dynamic inverted residual.

    Args:
        block: folded.
    """

    def __init__(self, block: DynamicBlock) -> None:
        super().__init__()
        self.shape = block.shape
        self.activation = nn.Hardswish(inplace=True) if block.shape.hardswish else nn.ReLU(inplace=True)
        generator = block.context_gen
        assert isinstance(generator.joint_conv, nn.Conv2d)
        self.joint_weight = generator.joint_conv.weight.flatten(1)
        self.joint_bias = generator.joint_conv.bias
        self.attends = block.attends
        if block.attends:
            # A mean of three, as a sum.
            self.stride = generator.stride
            share = 1 if generator.stride == 1 else 3
            self.gates = [(conv.weight.flatten(1) / share, conv.bias) for conv in (generator.conv_f, generator.conv_t)]
        self.mixed = [
            Kernels(conv)
            for name in ("exp_conv", "depth_conv", "proj_conv")
            if isinstance(conv := getattr(block, name, None), DynamicConvolution)
        ]
        # All that is linear in the context, in one product.
        weights = [mixed.attention_weight for mixed in self.mixed]
        biases = [mixed.attention_bias for mixed in self.mixed]
        self.lines = 0
        if block.depth_act is not None:
            lines = self.lines = block.depth_act.lines
            linear = block.depth_act.coef_net[0]
            assert isinstance(linear, nn.Linear)
            channels = block.shape.expanded
            # 2 sigmoid(x) - 1 = tanh(x / 2); one line behind the other, not one channel.
            weights.append(linear.weight.view(channels, 2 * lines, -1).transpose(0, 1).flatten(0, 1) / 2)
            biases.append(linear.bias.view(channels, 2 * lines).t().flatten() / 2)
            self.line_scale = block.depth_act.lambdas.view(-1, 1)
            self.line_start = block.depth_act.init_v.view(-1, 1)
        self.context_weight, self.context_bias = torch.cat(weights), torch.cat(biases)
        self.shift = block.depth_conv.shift

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(f, t, n, c) to (f', t', n, c'), and the context (n, size)."""
        bands, frames, n, channels = x.shape
        rows = x.view(bands, frames, n * channels)
        over_bands = x.new_full((1, bands), 1 / bands) @ x.view(bands, -1)
        means = torch.cat([rows.mean(dim=1), over_bands.view(frames, n * channels)])
        sequence = functional.linear(means.view(-1, channels), self.joint_weight, self.joint_bias)
        sequence = functional.hardswish(sequence, inplace=True).view(bands + frames, n, -1)
        context = sequence.mean(dim=0)
        made = functional.linear(context, self.context_weight, self.context_bias)
        mixed = iter(self.mixed)
        kernels, used = made.shape[1] - 2 * self.lines * self.shape.expanded, 0
        attentions = iter(torch.softmax(made[:, :kernels].view(n, len(self.mixed), -1), dim=2).unbind(dim=1))
        y = x
        if self.shape.expands:
            y = self.activation(next(mixed).pointwise(y, next(attentions)))
        depthwise = next(mixed).each(next(attentions)).view(-1, 1, self.shape.kernel, self.shape.kernel)
        y = _depthwise(y, depthwise, None, self.shape.step, self.shape.dilation)
        y = self._activated(y, made[:, kernels:], sequence, bands)
        y = next(mixed).pointwise(y, next(attentions))
        return (y.add_(x) if self.shape.residual else y), context

    def _activated(
        self, y: torch.Tensor, coefficients: torch.Tensor, sequence: torch.Tensor, bands: int
    ) -> torch.Tensor:
        """The activation behind the depthwise convolution, and the gates."""
        n, channels = y.shape[2:]
        if not self.lines:
            y = self.activation(y.add_(self.shift))
            gated = (
                [self._gate(part, i) for i, part in enumerate((sequence[:bands], sequence[bands:]))]
                if self.attends
                else []
            )
            return y.mul_(gated[0].unsqueeze(1)).mul_(gated[1]) if gated else y
        lines = torch.tanh(coefficients).view(n, 2 * self.lines, channels) * self.line_scale + self.line_start
        slopes, offsets = lines.transpose(0, 1).split(self.lines)
        offsets = torch.addcmul(offsets, slopes, self.shift)
        slopes, offsets = slopes.unsqueeze(1).unsqueeze(1), offsets.unsqueeze(1).unsqueeze(1)  # (lines, 1, 1, n, c)
        if self.attends:
            # Gates are positive, and the largest of positive multiples is a multiple of the largest.
            gate = self._gate(sequence[:bands], 0).unsqueeze(1)
            slopes, offsets = slopes * gate, offsets * gate
        largest = torch.addcmul(offsets[0], y, slopes[0])
        for i in range(1, self.lines):
            other = torch.addcmul(offsets[i], y, slopes[i], **({"out": y} if i == self.lines - 1 else {}))
            torch.maximum(largest, other, out=largest)
        return largest.mul_(self._gate(sequence[bands:], 1)) if self.attends else largest

    def _gate(self, sequence: torch.Tensor, which: int) -> torch.Tensor:
        """(length, n, size) to (length', n, channels)."""
        if self.stride > 1:
            length = (len(sequence) - 1) // self.stride + 1
            padded = functional.pad(sequence, (0, 0, 0, 0, 1, 1))
            sequence = sum(padded[i : i + self.stride * (length - 1) + 1 : self.stride] for i in range(3))
        return functional.linear(sequence, *self.gates[which]).sigmoid_()


class Kernels:
    """The kernels of a dynamic convolution.

    Args:
        convolution: folded.
    """

    def __init__(self, convolution: DynamicConvolution) -> None:
        linear = convolution.residuals[0]
        assert isinstance(linear, nn.Linear)
        self.attention_weight, self.attention_bias = linear.weight / convolution.tau, linear.bias / convolution.tau
        self.outputs, self.inputs, _, _ = convolution.kernel_shape
        self.bank = convolution.weight[0, 0]
        self.shift = convolution.shift
        # (kernels * inputs, outputs): of all kernels side by side.
        self.together = self.bank.view(-1, self.outputs, self.inputs).transpose(1, 2).flatten(0, 1).contiguous()

    def each(self, attention: torch.Tensor) -> torch.Tensor:
        """(n, values): of each clip."""
        return attention @ self.bank

    def pointwise(self, x: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """(f, t, n, inputs) to (f, t, n, outputs)."""
        bands, frames, n, inputs = x.shape
        if n == 1:
            image = x.permute(2, 3, 0, 1)
            y = functional.conv2d(image, self.each(attention).view(self.outputs, inputs, 1, 1), self.shift)
            return y.permute(2, 3, 0, 1).contiguous()
        if bands * frames <= _FEW_POSITIONS:
            weighted = x.unsqueeze(3) * attention.unsqueeze(2)
            return torch.addmm(self.shift, weighted.view(-1, len(self.together)), self.together).view(
                bands, frames, n, -1
            )
        kernels = self.each(attention).view(n, self.outputs, inputs)
        y = x.new_empty(bands, frames, n, self.outputs)
        rows = y.view(-1, n, self.outputs)
        for i, kernel in enumerate(kernels):
            torch.addmm(self.shift, x.view(-1, n, inputs)[:, i], kernel.t(), out=rows[:, i])
        return y
