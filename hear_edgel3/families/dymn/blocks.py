"""The blocks of a DyMN, dynamic and plain.

Dynamic convolutions: Chen et al., "Dynamic Convolution", CVPR 2020; dynamic ReLU: Chen et al., "Dynamic ReLU", ECCV
2020; gates: Hou et al., "Coordinate Attention", CVPR 2021. Parameter names are upstream's (EfficientAT
``models/dymn``).
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from hear_edgel3.families.dymn import layout as layouts
from hear_edgel3.families.mobilenetv3.layout import Block
from hear_edgel3.families.mobilenetv3.parts import BN_EPS, BN_MOMENTUM, convolution, fold


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


class PlainBlock(nn.Module):
    """Expansion, depthwise convolution, projection; plus the input where shapes agree."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        layers = [convolution(block.inputs, block.expanded, 1, block.hardswish)] if block.expands else []
        layers.append(
            convolution(
                block.expanded,
                block.expanded,
                block.kernel,
                block.hardswish,
                block.step,
                block.dilation,
                block.expanded,
            )
        )
        layers.append(convolution(block.expanded, block.outputs, 1, None))
        self.block = nn.Sequential(*layers)
        self.residual = block.residual

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        """(n, c, f, t) to (n, c', f', t')."""
        y = self.block(x)
        return (x + y if self.residual else y), None


class DynamicBlock(nn.Module):
    """An inverted residual whose kernels, activation and gates come from its own input."""

    def __init__(self, block: Block, context: int, layout: layouts.Layout) -> None:
        super().__init__()
        self.shape = block
        self.attends = layout.attends
        inside = block.expanded

        def dynamic(inputs: int, outputs: int, kernel: int = 1) -> DynamicConvolution | StaticConvolution:
            depthwise = kernel > 1
            where = (kernel, block.step, block.dilation, inside) if depthwise else (1, 1, 1, 1)
            if layout.kernels:
                return DynamicConvolution(inputs, outputs, context, layout.kernels, *where)
            return StaticConvolution(inputs, outputs, *where)

        if block.expands:
            self.exp_conv, self.exp_norm = dynamic(block.inputs, inside), _norm(inside)
        self.depth_conv, self.depth_norm = dynamic(inside, inside, block.kernel), _norm(inside)
        self.activation = nn.Hardswish() if block.hardswish else nn.ReLU()
        self.depth_act = DynamicReLU(inside, context, layout.lines) if layout.lines else None
        self.proj_conv, self.proj_norm = dynamic(inside, block.outputs), _norm(block.outputs)
        self.context_gen = ContextGenerator(block.inputs, inside, context, block.step)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, c, f, t) to (n, c', f', t'), and the context (n, size)."""
        context, sequences = self.context_gen.context(x)
        y = x
        if self.shape.expands:
            y = self.activation(self.exp_norm(self.exp_conv(y, context)))
        y = self.depth_norm(self.depth_conv(y, context))
        y = self.activation(y) if self.depth_act is None else self.depth_act(y, context)
        if self.attends:
            bands, frames = self.context_gen.gates(sequences)
            y = y * torch.sigmoid(bands) * torch.sigmoid(frames)
        y = self.proj_norm(self.proj_conv(y, context))
        return (y + x if self.shape.residual else y), context

    def fold(self) -> None:
        """Folds the batch norms into the kernels before them."""
        for which in ("exp", "depth", "proj"):
            norm = getattr(self, f"{which}_norm", None)
            if isinstance(norm, nn.BatchNorm2d):
                getattr(self, f"{which}_conv").fold(*scale_and_shift(norm))
                setattr(self, f"{which}_norm", nn.Identity())
        generator = self.context_gen
        assert isinstance(generator.joint_norm, nn.BatchNorm2d)
        joint = nn.Sequential(generator.joint_conv, generator.joint_norm)
        fold(joint)
        generator.joint_conv, generator.joint_norm = joint[0], nn.Identity()


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """(channels,) each in float64: what a batch norm in eval mode multiplies with, and then adds."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


class ContextGenerator(nn.Module):
    """Means over frames and over bands, one convolution over both, and gates made of it."""

    def __init__(self, inputs: int, expanded: int, context: int, stride: int) -> None:
        super().__init__()
        self.joint_conv: nn.Module = nn.Conv2d(inputs, context, 1, bias=False)
        self.joint_norm: nn.Module = _norm(context)
        self.joint_act = nn.Hardswish()
        self.conv_f = nn.Conv2d(context, expanded, 1)
        self.conv_t = nn.Conv2d(context, expanded, 1)
        self.stride = stride

    def context(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """(n, size), and the sequences over bands (n, size, f, 1) and over frames (n, size, t, 1)."""
        means = torch.cat([x.mean(dim=3), x.mean(dim=2)], dim=2).unsqueeze(3)
        sequence = self.joint_act(self.joint_norm(self.joint_conv(means)))
        bands, frames = sequence.split([x.shape[2], x.shape[3]], dim=2)
        return sequence.mean(dim=(2, 3)), (bands, frames)

    def gates(self, sequences: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, expanded, f', 1) and (n, expanded, 1, t') before their sigmoid."""
        bands, frames = sequences
        if self.stride > 1:
            # The zeros beyond the ends are part of the means.
            bands, frames = (functional.avg_pool2d(s, (3, 1), (self.stride, 1), (1, 0)) for s in (bands, frames))
        return self.conv_f(bands), self.conv_t(frames).transpose(2, 3)


class DynamicReLU(nn.Module):
    """The largest of some lines, whose slopes and offsets the context sets for each channel."""

    lambdas: torch.Tensor
    init_v: torch.Tensor

    def __init__(self, channels: int, context: int, lines: int) -> None:
        super().__init__()
        self.channels = channels
        self.lines = lines
        self.coef_net = nn.Sequential(nn.Linear(context, 2 * lines * channels))
        self.register_buffer("lambdas", torch.tensor([1.0] * lines + [0.5] * lines))
        self.register_buffer("init_v", torch.tensor([1.0] + [0.0] * (2 * lines - 1)))

    def coefficients(self, context: torch.Tensor) -> torch.Tensor:
        """(n, channels, 2 * lines): slopes, and then offsets."""
        theta: torch.Tensor = 2 * torch.sigmoid(self.coef_net(context)) - 1
        return theta.view(-1, self.channels, 2 * self.lines) * self.lambdas + self.init_v

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """(n, channels, f, t) to the same."""
        parts = self.coefficients(context).unsqueeze(2).unsqueeze(3).unbind(dim=4)
        y = x * parts[0] + parts[self.lines]
        for slope, offset in zip(parts[1 : self.lines], parts[self.lines + 1 :], strict=True):
            y = torch.maximum(y, x * slope + offset)
        return y


class StaticConvolution(nn.Module):
    """An ordinary convolution where a dynamic one could be."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, dilation: int, groups: int) -> None:
        super().__init__()
        padding = (kernel - 1) // 2 * dilation
        self.module = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        """(n, c, f, t) to (n, c', f', t')."""
        result: torch.Tensor = self.module(x)
        return result

    def fold(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        """Multiplies what comes out, per channel, and adds to it."""
        weight = self.module.weight
        self.module.weight = nn.Parameter((weight * scale.view(-1, 1, 1, 1)).to(weight.dtype), requires_grad=False)
        self.module.bias = nn.Parameter(shift.to(weight.dtype), requires_grad=False)


class DynamicConvolution(nn.Module):
    """A convolution whose kernel is a mean of several, weighted as the context says, for each clip another one."""

    shift: torch.Tensor | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        context: int,
        kernels: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.kernel_shape = (outputs, inputs // groups, kernel, kernel)
        self.stride = stride
        self.dilation = dilation
        self.padding = (kernel - 1) // 2 * dilation
        self.groups = groups
        self.tau = 1.0
        self.register_buffer("shift", None, persistent=False)
        self.residuals = nn.Sequential(nn.Linear(context, kernels))
        self.weight = nn.Parameter(torch.empty(1, 1, kernels, math.prod(self.kernel_shape)))

    def initialise(self) -> None:
        """Each of the kernels on its own, as an ordinary convolution's."""
        outputs, _, kernel, _ = self.kernel_shape
        nn.init.normal_(self.weight, 0, math.sqrt(2 / (outputs * kernel**2)))

    def fold(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        """Multiplies what comes out, per channel, and adds to it."""
        kernels = self.weight.view(-1, *self.kernel_shape) * scale.view(-1, 1, 1, 1)
        self.weight = nn.Parameter(kernels.view(self.weight.shape).to(self.weight.dtype), requires_grad=False)
        self.shift = shift.to(self.weight.dtype)

    def attention(self, context: torch.Tensor) -> torch.Tensor:
        """(n, kernels): how much there is of each kernel."""
        result: torch.Tensor = torch.softmax(self.residuals(context) / self.tau, dim=1)
        return result

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """(n, c, f, t) to (n, c', f', t')."""
        attention = self.attention(context)
        y = self._depthwise(x, attention) if self.groups > 1 else self._pointwise(x, attention)
        return y if self.shift is None else y + self.shift.view(-1, 1, 1)

    def _pointwise(self, x: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        outputs, inputs, _, _ = self.kernel_shape
        kernels = (attention @ self.weight[0, 0]).view(-1, outputs, inputs)
        return torch.matmul(kernels, x.flatten(2)).view(-1, outputs, x.shape[2], x.shape[3])

    def _depthwise(self, x: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        where = (None, self.stride, self.padding, self.dilation)
        kernels, channels, size = self.weight.shape[2], self.groups, self.kernel_shape[2]
        if self.training and len(x):
            # One group for each channel of each clip: the least memory, where gradients keep all of it.
            own = (attention @ self.weight[0, 0]).view(-1, 1, size, size)
            y = functional.conv2d(x.reshape(1, -1, x.shape[2], x.shape[3]), own, *where, len(own))
            return y.view(-1, channels, y.shape[2], y.shape[3])
        # Each channel with all of its kernels, which are the same for all clips, and then their mean: the number of
        # clips is no part of a kernel's shape, and a net with any number of them can be exported.
        bank = self.weight[0, 0].view(kernels, channels, size, size).transpose(0, 1).reshape(-1, 1, size, size)
        y = functional.conv2d(x, bank, *where, channels)
        y = y.view(-1, channels, kernels, y.shape[2], y.shape[3])
        return (y * attention[:, None, :, None, None]).sum(dim=2)
