"""DyMN for log-mel spectrograms, as EfficientAT trains it on AudioSet: each clip has kernels of its own.

Schmid, Koutini, Widmer, "Dynamic Convolutional Neural Networks as Efficient Pre-trained Audio Models", TASLP 2024.
Dynamic convolutions: Chen et al., "Dynamic Convolution", CVPR 2020; dynamic ReLU: Chen et al., "Dynamic ReLU", ECCV
2020; gates: Hou et al., "Coordinate Attention", CVPR 2021. Parameter names are upstream's (EfficientAT
``models/dymn``).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional

from hear_edgel3.families.dymn import layout as layouts
from hear_edgel3.families.mobilenetv3.layout import AUDIOSET_CLASSES, Block
from hear_edgel3.families.mobilenetv3.parts import (
    BN_EPS,
    BN_MOMENTUM,
    ChoosingNet,
    convolution,
    fold,
    fully_convolutional,
    initialise,
    mlp,
    pool,
)


class DyMN(ChoosingNet):
    """The net, with a choice of what it puts out.

    Only what ``outputs`` ask for is computed: blocks behind the last one needed do not run. In eval mode nothing mixes
    examples.

    Args:
        tau: temperature of the softmax over a dynamic convolution's kernels. It is no parameter, and with another one
            the same parameters give other numbers: published nets for AudioSet have 1, those for ImageNet 30.
        width_mult: factor of all channel counts: 0.4, 1 and 2 in the published nets.
        head: "mlp" or "fully_convolutional".
        n_classes: size of the logits; None leaves the classifier's last layer out (mlp head only).
        outputs: features to concatenate, in this order; None for the classifier's last layer. There are mel_avgs (mean
            of the input over time), clf1 (pooled last convolution), clf2 (hidden layer of the mlp head, after its
            activation), logits, ctx0 ... ctx14 (what the kernels of a block are made from), b0 ... b16 (pooled blocks),
            and teacher. The contexts are not upstream's; the one of ``layers.i`` is ctx i, and its output b (i + 1).
        pooling: of the blocks, as for :class:`hear_edgel3.families.mobilenetv3.net.MobileNetV3`.
        n_mels: mel bands of the input; matters where a size depends on it.
        strides: of the blocks 2, 4, 7 and 13.
        reduced_tail: as for :func:`hear_edgel3.families.dymn.layout.make_layout`, like all the options below.
        dilated: as there.
        use_dy_blocks: as there.
        context_ratio: as there.
        max_context_size: as there.
        min_context_size: as there.
        dyrelu_k: as there.
        dyconv_k: as there.
        no_dyrelu: as there.
        no_dyconv: as there.
        no_ca: as there.
        n_teacher: size of the output "teacher", a linear map from several layers that approximates another net's
            embedding; None for a net without it. Not upstream's.

    Attributes:
        in_c: block 0.
        layers: blocks 1 to 15.
        out_c: block 16.
        classifier: the head.
        approximation: the linear map behind "teacher", or None.

    Raises:
        ValueError: an option has no such value, or the net does not have one of ``outputs``.
    """

    def __init__(
        self,
        tau: float,
        width_mult: float = 1.0,
        head: str = "mlp",
        n_classes: int | None = AUDIOSET_CLASSES,
        outputs: Sequence[str] | None = None,
        pooling: str = "avg_ch",
        n_mels: int = 128,
        strides: Sequence[int] = (2, 2, 2, 2),
        reduced_tail: bool = False,
        dilated: bool = False,
        use_dy_blocks: str = "all",
        context_ratio: int = 4,
        max_context_size: int = 128,
        min_context_size: int = 32,
        dyrelu_k: int = 2,
        dyconv_k: int = 4,
        no_dyrelu: bool = False,
        no_dyconv: bool = False,
        no_ca: bool = False,
        n_teacher: int | None = None,
    ) -> None:
        super().__init__()
        self.layout = layouts.make_layout(
            width_mult,
            strides,
            reduced_tail,
            dilated,
            use_dy_blocks,
            context_ratio,
            max_context_size,
            min_context_size,
            dyrelu_k,
            dyconv_k,
            no_dyrelu,
            no_dyconv,
            no_ca,
        )
        if head not in layouts.HEADS:
            raise ValueError(f"head must be one of {', '.join(layouts.HEADS)}; got {head!r}")
        if n_classes is None and head != "mlp":
            raise ValueError(f"the head {head} consists of the classifier; n_classes cannot be None")
        self.width_mult = width_mult
        self.head = head
        self.n_classes = n_classes
        self.n_mels = n_mels
        self.n_teacher = n_teacher
        # In this order, because upstream's state dicts have it.
        self.layers = nn.ModuleList(
            PlainBlock(block) if context is None else DynamicBlock(block, context, self.layout)
            for block, context in self.layout.blocks()
        )
        plain = self.layout.plain
        self.in_c = convolution(1, plain.first, 3, True, stride=2)
        self.out_c = convolution(plain.blocks[-1].outputs, plain.last, 1, True)
        self.classifier = (
            mlp(plain.last, plain.hidden, n_classes)
            if n_classes is None or head == "mlp"
            else fully_convolutional(plain.last, n_classes)
        )
        self.approximation: nn.Linear | None = None
        if n_teacher is not None:
            self.approximation = nn.Linear(layouts.approximation_inputs(self.layout, n_mels), n_teacher)
        initialise(self)
        for module in self.modules():
            if isinstance(module, DynamicConvolution):
                module.initialise()
        self.set_tau(tau)
        self.select((self.last_output,) if outputs is None else outputs, pooling)

    @property
    def tau(self) -> float:
        """Temperature of the softmax over the kernels, the same for all convolutions."""
        return self._tau

    def set_tau(self, tau: float) -> None:
        """Changes the temperature, as training does from epoch to epoch (:func:`temperature`).

        Raises:
            ValueError: it is not positive and finite.
        """
        if isinstance(tau, bool) or not isinstance(tau, (int, float)) or not 0 < tau < math.inf:
            raise ValueError(f"tau must be a positive number, got {tau!r}")
        self._tau = float(tau)
        for module in self.modules():
            if isinstance(module, DynamicConvolution):
                module.tau = self._tau

    @property
    def example_shape(self) -> tuple[int, int]:
        """Mel bands and frames of an image to trace the net with."""
        return self.n_mels, 101

    @property
    def variant(self) -> tuple[object, ...]:
        """What :meth:`select` has chosen, and the temperature, for whoever keeps something made from this net."""
        return (self.outputs, self.pooling, self._tau)

    def _problem(self, name: str) -> str | None:
        return layouts.missing_feature(self.layout, name, self.head, self.n_classes, self.n_teacher)

    def _size(self, name: str) -> int:
        return layouts.feature_size(
            self.layout, name, self.pooling, self.n_mels, self.head, self.n_classes, self.n_teacher
        )

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """The chosen features.

        Args:
            mel: (n, n_mels, n_frames) from the front end, of any number of frames.

        Returns:
            (n, embedding_size).
        """
        parameter = next(self.parameters(), None)
        if parameter is not None:  # a folded net that puts out mel_avgs alone has none
            mel = mel.to(parameter.dtype)
        return self.features_of(mel, self._maps(mel.unsqueeze(1)))

    def _maps(self, x: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        for number in range(layouts.last_block_needed(self.outputs) + 1):
            context = None
            if 0 < number <= layouts.N_BLOCKS:
                x, context = self.layers[number - 1](x)
            else:
                x = (self.out_c if number else self.in_c)(x)
            yield x, context

    @property
    def blocks_read(self) -> set[int]:
        """The blocks whose output is pooled for ``outputs``."""
        names = {*self.outputs, *(layouts.APPROXIMATION_INPUTS if "teacher" in self.outputs else ())}
        return {int(name[1:]) for name in names if name.startswith("b")}

    def features_of(self, mel: torch.Tensor, maps: Iterable[tuple[torch.Tensor, torch.Tensor | None]]) -> torch.Tensor:
        """The chosen features, given what the blocks put out.

        Args:
            mel: (n, n_mels, n_frames) the images.
            maps: what each of the blocks from 0 to the last one that is needed puts out (n, channels, f, t), and the
                context (n, size) of a dynamic one.

        Returns:
            (n, embedding_size).
        """
        wanted = set(self.outputs)
        inputs = set(layouts.APPROXIMATION_INPUTS) if "teacher" in wanted else set()
        found: dict[str, torch.Tensor] = {}
        approximated: dict[str, torch.Tensor] = {}
        if "mel_avgs" in wanted | inputs:
            found["mel_avgs"] = approximated["mel_avgs"] = mel.mean(dim=2)
        x = mel
        for number, (x, context) in enumerate(maps):
            if context is not None:
                found[f"ctx{number - 1}"] = context
            if f"b{number}" in wanted:
                found[f"b{number}"] = pool(x, self.pooling)
            if f"b{number}" in inputs:
                approximated[f"b{number}"] = pool(x, "avg_ch")
        if wanted & {"clf1", "clf2", "logits"}:
            self._add_head(x, wanted, found)
        if self.approximation is not None and "teacher" in wanted:
            approximated["clf1"] = pool(x, "avg_ch")
            seen = torch.cat([approximated[name] for name in layouts.APPROXIMATION_INPUTS], dim=1)
            found["teacher"] = self.approximation(seen)
        return torch.cat([found[name] for name in self.outputs], dim=1)

    def convolutions(self) -> tuple[tuple[int, int, int], ...]:
        """Kernel, stride and dilation of the convolutions that ``outputs`` need, first to last, in both directions."""
        return self.layout.plain.convolutions()[: layouts.last_block_needed(self.outputs) + 1]

    def folded(self) -> nn.Module:
        """The same function in eval mode with batch norm folded away, in the layout that is fastest.

        The result shares no tensor with this net and has only the layers that ``outputs`` need.
        """
        net = self.exportable()
        if not self.layout.kernels or next(self.parameters()).device.type != "cpu":
            return net
        from hear_edgel3.families.dymn.packed import PackedDyMN

        packed: nn.Module = PackedDyMN(net)
        return packed

    def exportable(self) -> DyMN:
        """The same function in eval mode with batch norm folded away, of operations that take any number of images.

        The result shares no tensor with this net and has only the layers that ``outputs`` need.
        """
        last = layouts.last_block_needed(self.outputs)
        unused: list[nn.Module] = [self.layers[i] for i in range(max(last, 0), layouts.N_BLOCKS)]
        unused += [self.in_c] if last < 0 else []
        unused += [self.out_c] if last <= layouts.N_BLOCKS else []
        if not set(self.outputs) & {"clf2", "logits"}:
            unused.append(self.classifier)
        if self.approximation is not None and "teacher" not in self.outputs:
            unused.append(self.approximation)
        net = copy.deepcopy(self, {id(module): nn.Identity() for module in unused})
        net.eval().requires_grad_(False)
        for module in list(net.modules()):
            if isinstance(module, nn.Sequential):
                fold(module)
            elif isinstance(module, DynamicBlock):
                module.fold()
        return net


def temperature(
    epoch: int, t_max: float = 30.0, t_min: float = 1.0, t0_slope: float = 1.0, t1_slope: float = 0.02
) -> float:
    """The temperature of an epoch (from 0) when a net is trained from scratch, as upstream's AudioSet programs step it.

    Two lines that meet at 1, and ``t_min`` where they are below it.
    """
    return max(t_max - t0_slope * epoch, 1 + t1_slope * (t_max - 1) / t0_slope - t1_slope * epoch, t_min)


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
        self.shift: torch.Tensor | None = None
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
