"""DyMN for log-mel spectrograms, as EfficientAT trains it on AudioSet: each clip has kernels of its own.

Schmid, Koutini, Widmer, "Dynamic Convolutional Neural Networks as Efficient Pre-trained Audio Models", TASLP 2024.
Parameter names are upstream's (EfficientAT ``models/dymn``).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from hear_edgel3.families.as_built import remember
from hear_edgel3.families.dymn import kernel_form
from hear_edgel3.families.dymn import layout as layouts
from hear_edgel3.families.dymn.blocks import DynamicBlock, DynamicConvolution, PlainBlock
from hear_edgel3.families.kernel_residuals import ResidualNet
from hear_edgel3.families.mobilenetv3.layout import AUDIOSET_CLASSES
from hear_edgel3.families.mobilenetv3.parts import (
    ChoosingNet,
    convolution,
    fold,
    fully_convolutional,
    initialise,
    mlp,
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
        self.in_c: nn.Module = convolution(1, plain.first, 3, True, stride=2)
        self.out_c: nn.Module = convolution(plain.blocks[-1].outputs, plain.last, 1, True)
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
        remember(self)

    @property
    def tau(self) -> float:
        """Temperature of the softmax over the kernels, the same for all convolutions."""
        return self._tau

    def set_tau(self, tau: float) -> None:
        """Changes the temperature, as training does from epoch to epoch.

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
        mel = self._in_own_type(mel)
        return self.features_of(mel, self._maps(mel.unsqueeze(1)))

    def _maps(self, x: torch.Tensor) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        for number in range(layouts.last_block_needed(self.outputs) + 1):
            inside = {}
            if 0 < number <= layouts.N_BLOCKS:
                x, context = self.layers[number - 1](x)
                if context is not None:
                    inside[f"ctx{number - 1}"] = context
            else:
                x = (self.out_c if number else self.in_c)(x)
            yield x, inside

    def convolutions(self) -> tuple[tuple[int, int, int], ...]:
        """Kernel, stride and dilation of the convolutions that ``outputs`` need, first to last, in both directions."""
        return self.layout.plain.convolutions()[: layouts.last_block_needed(self.outputs) + 1]

    def unused(self) -> list[nn.Module]:
        """The modules that ``outputs`` do not need."""
        last = layouts.last_block_needed(self.outputs)
        unused = [*list(self.layers.children())[max(last, 0) :], *self._unused_heads()]
        unused += [self.in_c] if last < 0 else []
        return unused + ([self.out_c] if last <= layouts.N_BLOCKS else [])

    def kernel_obstacle(self) -> str | None:
        """Why compiled kernels cannot run the net, or None."""
        if type(self) is not DyMN:
            return f"{type(self).__name__} is a class of somebody's own, which may compute something else"
        return None

    def kernel_residuals(self) -> ResidualNet:
        """The net in eval mode as arrays, which share no memory with it; only where :meth:`kernel_obstacle` is None."""
        return kernel_form.make(self.exportable())

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
        net = copy.deepcopy(self, {id(module): nn.Identity() for module in self.unused()})
        net.eval().requires_grad_(False)
        for module in list(net.modules()):
            if isinstance(module, nn.Sequential):
                fold(module)
            elif isinstance(module, DynamicBlock):
                module.fold()
        return net
