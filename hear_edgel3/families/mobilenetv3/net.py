"""MobileNetV3 for log-mel spectrograms, as EfficientAT trains it on AudioSet.

Howard et al., "Searching for MobileNetV3", ICCV 2019; Schmid et al., "Efficient Large-Scale Audio Tagging Via
Transformer-To-CNN Knowledge Distillation", ICASSP 2023; for the features Schmid et al., "Low-complexity Audio Embedding
Extractors", EUSIPCO 2023. Parameter names are upstream's (EfficientAT ``models/mn/model.py``).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from hear_edgel3.families.as_built import remember
from hear_edgel3.families.kernel_residuals import ResidualNet
from hear_edgel3.families.mobilenetv3 import kernel_form
from hear_edgel3.families.mobilenetv3 import layout as layouts
from hear_edgel3.families.mobilenetv3.parts import (
    ChoosingNet,
    convolution,
    fold,
    fully_convolutional,
    initialise,
    mlp,
)

_ATTENTION_FLOOR = 1e-7


class MobileNetV3(ChoosingNet):
    """The net, with a choice of what it puts out.

    Only what ``outputs`` ask for is computed: blocks behind the last one needed do not run.

    Args:
        width_mult: factor of all channel counts, 0.1 to 4.0 in the published nets.
        head: "mlp", "fully_convolutional" or "multihead_attention_pooling".
        n_classes: size of the logits; None leaves the classifier's last layer out (mlp head only).
        outputs: features to concatenate, in this order; None for the classifier's last layer. There are mel_avgs (mean
            of the input over time), clf1 (pooled last convolution), clf2 (hidden layer of the mlp head, after its
            activation), logits, se4 ... se15 (bottlenecks of squeeze-and-excitation, before their activation),
            b0 ... b16 (pooled blocks), and teacher.
        pooling: of the blocks: avg_ch, max_ch, add_avg_max_ch (sum of both), cat_avg_max_ch (one behind the other),
            over both axes; avg_time, avg_max_time (sum), over time alone, laid out channel by channel.
        n_mels: mel bands of the input; matters where a size depends on it.
        strides: of the blocks 2, 4, 7 and 13.
        reduced_tail: halves the channels of the last blocks.
        dilated: dilates the last blocks instead of striding.
        se_dims: axes that squeeze-and-excitation works on: "c", "f", "t" or several, or "" for none.
        se_agg: how several are brought together: "max", "avg", "add" or "min".
        n_frames: frames of the input, fixed by squeeze-and-excitation over "t"; else without meaning.
        n_heads: of attention pooling.
        n_teacher: size of the output "teacher", a linear map from several layers that approximates another net's
            embedding; None for a net without it. Not upstream's.
        expanded: channels inside of each block, of a net that was pruned. Not upstream's, like what follows.
        squeeze: values in the bottlenecks of squeeze-and-excitation over "c".
        last: channels of the last convolution.
        hidden: values of the hidden layer.

    Attributes:
        features: blocks 0 to 16.
        classifier: the head.
        approximation: the linear map behind "teacher", or None.

    Raises:
        ValueError: an option has no such value, or the net does not have one of ``outputs``.
    """

    def __init__(
        self,
        width_mult: float = 1.0,
        head: str = "mlp",
        n_classes: int | None = layouts.AUDIOSET_CLASSES,
        outputs: Sequence[str] | None = None,
        pooling: str = "avg_ch",
        n_mels: int = 128,
        strides: Sequence[int] = (2, 2, 2, 2),
        reduced_tail: bool = False,
        dilated: bool = False,
        se_dims: str = "c",
        se_agg: str = "max",
        n_frames: int = 1000,
        n_heads: int = 4,
        n_teacher: int | None = None,
        expanded: Sequence[int] | None = None,
        squeeze: Sequence[int] | None = None,
        last: int | None = None,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.layout = layouts.make_layout(width_mult, strides, reduced_tail, dilated, expanded, squeeze, last, hidden)
        if head not in layouts.HEADS:
            raise ValueError(f"head must be one of {', '.join(layouts.HEADS)}; got {head!r}")
        if n_classes is None and head != "mlp":
            raise ValueError(f"the head {head} consists of the classifier; n_classes cannot be None")
        if set(se_dims) - set("cft") or len(set(se_dims)) < len(se_dims):
            raise ValueError(f"se_dims must be made of the letters c, f and t, each at most once; got {se_dims!r}")
        if se_agg not in _AGGREGATE:
            raise ValueError(f"se_agg must be one of {', '.join(_AGGREGATE)}; got {se_agg!r}")
        self.width_mult = width_mult
        self.head = head
        self.n_classes = n_classes
        self.n_mels = n_mels
        self.n_frames = n_frames
        self.n_heads = n_heads
        self.n_teacher = n_teacher
        self.se_dims = se_dims
        self.features = self._blocks(se_agg)
        self.classifier = self._head()
        self.approximation: nn.Linear | None = None
        if n_teacher is not None:
            self.approximation = nn.Linear(layouts.approximation_inputs(self.layout, n_mels), n_teacher)
        initialise(self)
        self.select((self.last_output,) if outputs is None else outputs, pooling)
        remember(self)

    @property
    def example_shape(self) -> tuple[int, int]:
        """Mel bands and frames of an image to trace the net with."""
        return self.n_mels, 101

    def _blocks(self, se_agg: str) -> nn.Sequential:
        layers: list[nn.Module] = [convolution(1, self.layout.first, 3, True, stride=2)]
        for number, block in enumerate(self.layout.blocks, 1):
            sizes = {
                "c": block.expanded,
                "f": self.layout.size(number, self.n_mels),
                "t": self.layout.size(number, self.n_frames),
            }
            layers.append(_InvertedResidual(block, {d: sizes[d] for d in self.se_dims}, se_agg))
        layers.append(convolution(self.layout.blocks[-1].outputs, self.layout.last, 1, True))
        return nn.Sequential(*layers)

    def _head(self) -> nn.Module:
        last = self.layout.last
        if self.head == "mlp":
            return mlp(last, self.layout.hidden, self.n_classes)
        assert self.n_classes is not None
        if self.head == "fully_convolutional":
            return fully_convolutional(last, self.n_classes)
        return _AttentionPooling(last, self.n_classes, self.n_heads)

    def _problem(self, name: str) -> str | None:
        problem = layouts.missing_feature(self.layout, name, self.head, self.n_classes, self.n_teacher)
        if problem is None and name.startswith("se") and not self.se_dims:
            problem = f"there is no feature {name!r}: this net has no squeeze-and-excitation"
        return problem

    def _size(self, name: str) -> int:
        if name.startswith("se"):
            block = self.features[int(name[2:])]
            assert isinstance(block, _InvertedResidual)
            return block.squeezed_size
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
            layer, inside = self.features[number], {}
            if f"se{number}" in self.outputs:
                assert isinstance(layer, _InvertedResidual)
                x, inside[f"se{number}"] = layer.with_squeezed(x)
            else:
                x = layer(x)
            yield x, inside

    def convolutions(self) -> tuple[tuple[int, int, int], ...]:
        """Kernel, stride and dilation of the convolutions that ``outputs`` need, first to last, in both directions."""
        return self.layout.convolutions()[: layouts.last_block_needed(self.outputs) + 1]

    def unused(self) -> list[nn.Module]:
        """The modules that ``outputs`` do not need."""
        last = layouts.last_block_needed(self.outputs)
        return [*list(self.features.children())[last + 1 :], *self._unused_heads()]

    def folded(self) -> nn.Module:
        """The same function in eval mode with every batch norm folded into its convolution.

        The result shares no tensor with this net, has only the layers that ``outputs`` need, and is in channels_last,
        the faster layout on CPUs.
        """
        net = copy.deepcopy(self, {id(module): nn.Identity() for module in self.unused()})
        net.eval().requires_grad_(False)
        for module in net.modules():
            if isinstance(module, nn.Sequential):
                fold(module)
            elif isinstance(module, _InvertedResidual):
                module.in_place = True
        # Not before, because a change of type loses the format of kernels of 1 by 1 or with one input channel; and not
        # by .contiguous(), which leaves those as they are. Either makes the net six times slower.
        for parameter in net.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.to(memory_format=torch.channels_last)
        return net

    def kernel_obstacle(self) -> str | None:
        """Why the kernels cannot run this form of the net, or None."""
        if type(self) is not MobileNetV3:
            return f"{type(self).__name__} is a class of somebody's own, which may compute something else"
        return kernel_form.obstacle(self)

    def kernel_residuals(self) -> ResidualNet:
        """The net in eval mode as arrays, which share no memory with it; only where :meth:`kernel_obstacle` is None."""
        return kernel_form.make(self)


class _InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, squeeze-and-excitation, projection; plus the input where shapes agree."""

    def __init__(self, block: layouts.Block, se_sizes: dict[str, int], se_agg: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if block.expands:
            layers.append(convolution(block.inputs, block.expanded, 1, block.hardswish))
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
        if block.has_se and se_sizes:
            bottlenecks = {d: block.squeeze if d == "c" else layouts.squeeze_size(n) for d, n in se_sizes.items()}
            layers.append(_ConcurrentSE(se_sizes, bottlenecks, se_agg))
        layers.append(convolution(block.expanded, block.outputs, 1, None))
        self.block = nn.Sequential(*layers)
        self.residual = block.residual
        self.in_place = False

    @property
    def squeezed_size(self) -> int:
        """Values of the bottlenecks."""
        return sum(m.squeezed_size for m in self.block if isinstance(m, _ConcurrentSE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._add(x, self.block(x))

    def with_squeezed(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The output, and the bottlenecks before their activation."""
        y, squeezed = x, None
        for layer in self.block:
            if isinstance(layer, _ConcurrentSE):
                squeezed = layer.squeeze(y)
                y = layer.excite(y, squeezed)
                squeezed = [s.flatten(1) for s in squeezed]
            else:
                y = layer(y)
        assert squeezed is not None
        return self._add(x, y), torch.cat(squeezed, dim=1)

    def _add(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if not self.residual:
            return y
        return y.add_(x) if self.in_place else y + x


_AXES = {"c": 1, "f": 2, "t": 3}
_AGGREGATE = {
    "max": lambda x: x.amax(dim=0),
    "avg": lambda x: x.mean(dim=0),
    "add": lambda x: x.sum(dim=0),
    "min": lambda x: x.amin(dim=0),
}


class _ConcurrentSE(nn.Module):
    """Squeeze-and-excitation (Hu et al., CVPR 2018) over one or several axes, brought together by ``aggregate``."""

    def __init__(self, sizes: dict[str, int], bottlenecks: dict[str, int], aggregate: str) -> None:
        super().__init__()
        self.aggregate = aggregate
        self.conc_se_layers = nn.ModuleList(
            _SqueezeExcitation(size, bottlenecks[axis], _AXES[axis]) for axis, size in sizes.items()
        )

    @property
    def squeezed_size(self) -> int:
        """Values of all bottlenecks."""
        return sum(layer.fc1.out_features for layer in self._layers())

    def _layers(self) -> list[_SqueezeExcitation]:
        return [layer for layer in self.conc_se_layers if isinstance(layer, _SqueezeExcitation)]

    def squeeze(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The bottlenecks before their activation, each (n, squeeze)."""
        return [layer.squeeze(x) for layer in self._layers()]

    def excite(self, x: torch.Tensor, squeezed: list[torch.Tensor]) -> torch.Tensor:
        """Scales ``x`` by what the bottlenecks say."""
        scaled = [layer.scale(s) * x for layer, s in zip(self._layers(), squeezed, strict=True)]
        if len(scaled) == 1:
            return scaled[0]
        result: torch.Tensor = _AGGREGATE[self.aggregate](torch.stack(scaled))
        return result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.excite(x, self.squeeze(x))


class _SqueezeExcitation(nn.Module):
    """Means along one axis, two linear layers, a sigmoid."""

    def __init__(self, size: int, bottleneck: int, axis: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(size, bottleneck)
        self.fc2 = nn.Linear(bottleneck, size)
        self.axis = axis

    def squeeze(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.fc1(x.mean(dim=[d for d in (1, 2, 3) if d != self.axis]))
        return result

    def scale(self, squeezed: torch.Tensor) -> torch.Tensor:
        """The factors, shaped to multiply (n, c, f, t)."""
        factors = torch.sigmoid(self.fc2(torch.relu(squeezed)))
        # Without the number of examples in it, which an exported net would keep.
        for axis in (1, 2, 3):
            if axis != self.axis:
                factors = factors.unsqueeze(axis)
        return factors


class _AttentionPooling(nn.Module):
    """Multi-head attention pooling over time (Gong et al., PSLA, TASLP 2021)."""

    def __init__(self, inputs: int, n_classes: int, n_heads: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.n_heads = n_heads
        self.subspace_proj = nn.Linear(inputs, 2 * n_heads * n_classes)
        self.head_weight = nn.Parameter(torch.full((1, n_heads, 1), 1.0 / n_heads))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, f, t) to (n, n_classes)."""
        y = self.subspace_proj(x.mean(dim=2).transpose(1, 2))
        attention, value = y.unflatten(2, (2, self.n_heads, self.n_classes)).unbind(dim=2)  # (n, t, heads, classes)
        attention = torch.sigmoid(attention).clamp(_ATTENTION_FLOOR, 1.0 - _ATTENTION_FLOOR)
        attention = attention / attention.sum(dim=1, keepdim=True)
        pooled: torch.Tensor = ((attention * value).sum(dim=1) * self.head_weight).sum(dim=1)
        return pooled
