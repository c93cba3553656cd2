"""What a DyMN is made of, as plain numbers: the channels of a MobileNetV3, which of its blocks are dynamic, and how.

Schmid et al., "Dynamic Convolutional Neural Networks as Efficient Pre-trained Audio Models", TASLP 2024 (EfficientAT
``models/dymn``). Nothing here needs torch, so that names and sizes can be looked up without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hear_edgel3.families.layers import Operation, Recorder, Values
from hear_edgel3.families.mobilenetv3 import layout as mobilenetv3
from hear_edgel3.families.mobilenetv3.layout import AUDIOSET_CLASSES, Block, halved, make_divisible

HEADS = ("mlp", "fully_convolutional")
DYNAMIC_BLOCKS = ("all", "replace_se")
N_BLOCKS = mobilenetv3.N_BLOCKS
# What the approximation of a teacher's embedding is made from.
APPROXIMATION_INPUTS = mobilenetv3.APPROXIMATION_INPUTS
# The arguments of make_layout.
OPTIONS = (
    *("width_mult", "strides", "reduced_tail", "dilated", "use_dy_blocks"),
    *("context_ratio", "max_context_size", "min_context_size", "dyrelu_k", "dyconv_k", "no_dyrelu", "no_dyconv"),
    "no_ca",
)


@dataclass(frozen=True)
class Layout:
    """Channels and strides of a whole net, and what of it is dynamic.

    Attributes:
        plain: the MobileNetV3 of the same channels and strides.
        contexts: values of the context of each of the 15 blocks; None for a block that is not dynamic.
        kernels: how many kernels each dynamic convolution mixes; 0 if convolutions are ordinary ones.
        lines: how many lines the dynamic ReLU takes the largest of; 0 if it is an ordinary activation.
        attends: whether gates of bands and frames multiply what comes out of the activation.
    """

    plain: mobilenetv3.Layout
    contexts: tuple[int | None, ...]
    kernels: int
    lines: int
    attends: bool

    @property
    def last(self) -> int:
        """Channels of the last convolution."""
        return self.plain.last

    @property
    def hidden(self) -> int:
        """Values of the hidden layer of the mlp head."""
        return self.plain.hidden

    def blocks(self) -> tuple[tuple[Block, int | None], ...]:
        """Each block with the size of its context."""
        return tuple(zip(self.plain.blocks, self.contexts, strict=True))

    def context_names(self) -> tuple[str, ...]:
        """The contexts that can be features."""
        return tuple(f"ctx{i}" for i, size in enumerate(self.contexts) if size is not None)


def make_layout(
    width_mult: float = 1.0,
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
) -> Layout:
    """The layout of a net. The options have upstream's names.

    Args:
        width_mult: factor of all channel counts.
        strides: of the blocks 2, 4, 7 and 13 (C1 to C4).
        reduced_tail: halves the channels of the last three blocks and of the hidden layer.
        dilated: dilates the last three blocks by two instead of striding.
        use_dy_blocks: which blocks are dynamic: "all", or "replace_se", those with squeeze-and-excitation in a
            MobileNetV3, while the others are that net's.
        context_ratio: expanded channels for each value of a block's context.
        max_context_size: the most values of a context, at width 1.
        min_context_size: the fewest.
        dyrelu_k: lines of the dynamic ReLU.
        dyconv_k: kernels of a dynamic convolution.
        no_dyrelu: whether the activation is an ordinary one.
        no_dyconv: whether convolutions are ordinary ones.
        no_ca: whether there are no gates of bands and frames (their layers are there all the same).

    Raises:
        ValueError: ``width_mult`` or ``strides`` cannot be, or an option has no such value.
    """
    plain = mobilenetv3.make_layout(width_mult, strides, reduced_tail, dilated)
    if use_dy_blocks not in DYNAMIC_BLOCKS:
        raise ValueError(f"use_dy_blocks must be one of {', '.join(DYNAMIC_BLOCKS)}; got {use_dy_blocks!r}")
    counts = {
        "context_ratio": context_ratio,
        "max_context_size": max_context_size,
        "min_context_size": min_context_size,
        "dyrelu_k": dyrelu_k,
        "dyconv_k": dyconv_k,
    }
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be positive, got {count!r}")
    fewest, most = make_divisible(min_context_size * width_mult), make_divisible(max_context_size * width_mult)
    contexts = tuple(
        max(min(make_divisible(block.expanded // context_ratio), most), fewest)
        if use_dy_blocks == "all" or block.has_se
        else None
        for block in plain.blocks
    )
    return Layout(plain, contexts, 0 if no_dyconv else dyconv_k, 0 if no_dyrelu else dyrelu_k, not no_ca)


def missing_feature(
    layout: Layout, feature: str, head: str, n_classes: int | None, n_teacher: int | None = None
) -> str | None:
    """Why a net does not have ``feature``, or None if it does."""
    if feature in layout.context_names():
        return None
    if re.fullmatch(r"mel_avgs|clf1|clf2|logits|teacher|b(0|[1-9]\d?)", feature) is not None:
        problem = mobilenetv3.missing_feature(layout.plain, feature, head, n_classes, n_teacher)
        if problem is None or not feature.startswith("b"):
            return problem
    contexts = ", ".join(layout.context_names())
    return f"there is no feature {feature!r}; there are mel_avgs, clf1, clf2, logits, {contexts}, and b0 to b16"


def feature_size(
    layout: Layout,
    feature: str,
    pooling: str = "avg_ch",
    n_mels: int = 128,
    head: str = "mlp",
    n_classes: int | None = AUDIOSET_CLASSES,
    n_teacher: int | None = None,
) -> int:
    """Values of one feature.

    Args:
        layout: of the net.
        feature: mel_avgs, clf1, clf2, logits, ctx0 ... ctx14, b0 ... b16 or teacher.
        pooling: how blocks are pooled.
        n_mels: mel bands that go in.
        head: one of HEADS.
        n_classes: values of the logits; None for a net without them.
        n_teacher: values of the approximation of a teacher's embedding; None for a net without it.

    Raises:
        ValueError: the net has no such feature; the message says why.
    """
    problem = missing_feature(layout, feature, head, n_classes, n_teacher)
    if problem is not None:
        raise ValueError(problem)
    if feature.startswith("ctx"):
        size = layout.contexts[int(feature[3:])]
        assert size is not None
        return size
    return mobilenetv3.feature_size(layout.plain, feature, pooling, n_mels, head, n_classes, n_teacher)


def last_block_needed(features: Sequence[str]) -> int:
    """The last of the blocks 0 to 16 that must run for ``features``; -1 if none. The context ctx0 is block 1's."""
    return mobilenetv3.last_block_needed([f"b{int(f[3:]) + 1}" if f.startswith("ctx") else f for f in features])


def approximation_inputs(layout: Layout, n_mels: int) -> int:
    """Values that the approximation of a teacher's embedding is made from."""
    return mobilenetv3.approximation_inputs(layout.plain, n_mels)


def count_parameters(
    layout: Layout,
    head: str = "mlp",
    n_classes: int | None = AUDIOSET_CLASSES,
    n_mels: int = 128,
    n_teacher: int | None = None,
) -> int:
    """Trained parameters, without batch norm statistics."""
    plain = layout.plain
    total = 11 * plain.first + plain.last * (plain.blocks[-1].outputs + 2)
    total += (n_teacher or 0) * (approximation_inputs(layout, n_mels) + 1)
    for block, context in layout.blocks():
        kernels = layout.kernels if context is not None else 0
        for size, channels in _convolutions(block):
            total += 2 * channels + (kernels * (size + (context or 0) + 1) if kernels else size)
        if context is not None:
            total += context * (block.inputs + 2) + 2 * block.expanded * (context + 1)
            total += 2 * layout.lines * block.expanded * (context + 1)
    classes = n_classes or 0
    if head == "mlp":
        return total + plain.hidden * (plain.last + 1) + classes * (plain.hidden + 1)
    return total + classes * (plain.last + 2)


def _convolutions(block: Block) -> list[tuple[int, int]]:
    """Values of a kernel, and output channels, of each convolution of a block."""
    found = [(block.inputs * block.expanded, block.expanded)] if block.expands else []
    return [*found, (block.expanded * block.kernel**2, block.expanded), (block.expanded * block.outputs, block.outputs)]


def count_macs(
    layout: Layout,
    n_mels: int,
    n_frames: int,
    head: str = "mlp",
    n_classes: int | None = AUDIOSET_CLASSES,
    n_teacher: int | None = None,
) -> int:
    """Multiply-accumulates of convolutions and linear layers for one spectrogram, the mixing of kernels included."""
    layers = DyMNLayers(layout, n_mels, 0, head, n_classes, n_teacher)
    return sum(operation.macs for operation in layers.operations(n_frames))


@dataclass(frozen=True)
class DyMNLayers:
    """A net and its front end, for :class:`hear_edgel3.families.layers.Layers`.

    Attributes:
        layout: channels and strides, and what is dynamic.
        n_mels: mel bands.
        hop_length: samples between frames.
        head: one of HEADS.
        n_classes: values of the logits; None for a net without them.
        n_teacher: values of the approximation of a teacher's embedding; None for a net without it.
        frame_length: samples under one frame.
    """

    layout: Layout
    n_mels: int
    hop_length: int
    head: str = "mlp"
    n_classes: int | None = AUDIOSET_CLASSES
    n_teacher: int | None = None
    frame_length: int = mobilenetv3.WIN_LENGTH

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of ``n_samples``."""
        return mobilenetv3.n_frames(n_samples, self.hop_length)

    def operations(self, n_frames: int, features: Mapping[str, Any] | None = None) -> Sequence[Operation]:
        """What the net does with one image of ``n_frames``: as ``DyMN.forward``, folded."""
        if features is None:
            last = "clf2" if self.n_classes is None else "logits"
            features = {"outputs": (last,) if self.n_teacher is None else (last, "teacher")}
        outputs, pooling = features["outputs"], features.get("pooling", "avg_ch")
        inputs = APPROXIMATION_INPUTS if "teacher" in outputs else ()
        net = Recorder()
        x = image = Values(1, self.n_mels, n_frames)
        found: dict[str, Values] = {}
        approximated: dict[str, Values] = {}
        plain = self.layout.plain
        if "mel_avgs" in (*outputs, *inputs):
            found["mel_avgs"] = approximated["mel_avgs"] = net.make((self.n_mels,), image)
        for number in range(last_block_needed(outputs) + 1):
            if number == 0:
                x = net.convolution(x, plain.first, 3, 2)
            elif number > N_BLOCKS:
                x = net.convolution(x, plain.last)
            elif (size := self.layout.contexts[number - 1]) is None:
                x = _plain_block(net, x, plain.blocks[number - 1])
            else:
                x, found[f"ctx{number - 1}"] = _dynamic_block(net, x, plain.blocks[number - 1], size, self.layout)
            if f"b{number}" in outputs:
                found[f"b{number}"] = mobilenetv3.record_pool(net, x, pooling)
            if f"b{number}" in inputs:
                approximated[f"b{number}"] = mobilenetv3.record_pool(net, x, "avg_ch")
        if not {"clf1", "clf2", "logits"}.isdisjoint(outputs):
            mobilenetv3.record_head(net, x, self.head, plain.hidden, self.n_classes or 0, outputs, found)
        kept = [x, *found.values()]
        if self.n_teacher is not None and "teacher" in outputs:
            approximated["clf1"] = mobilenetv3.record_pool(net, x, "avg_ch")
            seen = net.make((approximation_inputs(self.layout, self.n_mels),), *approximated.values())
            kept += [seen, *approximated.values()]
            found["teacher"] = net.linear(seen, self.n_teacher)
        chosen = [found[name] for name in outputs]
        net.make((sum(values.count for values in chosen),), *chosen, kept=kept)
        return net.operations


def _plain_block(net: Recorder, x: Values, block: Block) -> Values:
    """An inverted residual without squeeze-and-excitation."""
    y = net.convolution(x, block.expanded) if block.expands else x
    y = net.convolution(y, block.expanded, block.kernel, block.step, block.dilation, block.expanded, kept=(x,))
    y = net.convolution(y, block.outputs, kept=(x,))
    return net.add_to(y, x) if block.residual else y


def _dynamic_block(net: Recorder, x: Values, block: Block, size: int, layout: Layout) -> tuple[Values, Values]:
    """A dynamic inverted residual, and its context."""
    _, bands, frames = x.shape
    after = halved(bands, block.step) + halved(frames, block.step)
    # Both means, bands first, as rows of values: they have no place on the image any more.
    means = net.make((bands + frames, block.inputs), x)
    sequence = net.linear(means, size, kept=(x,))
    context = net.make((size,), sequence, kept=(x,))
    pooled = sequence if block.step == 1 else net.make((after, size), sequence, kept=(x, context))
    gates = net.linear(pooled, block.expanded, kept=(x, context))
    held: tuple[Values, ...] = (x, context, gates)
    if layout.lines:
        lines = net.linear(context, 2 * layout.lines * block.expanded, kept=held)
        held = (*held, lines)

    def mixed(values: int) -> Values | None:
        """The kernel of this clip."""
        if not layout.kernels:
            return None
        attention = net.linear(context, layout.kernels, kept=held)
        kernel = net.make((values,), attention, kept=held)
        net.operations[-1] = Operation((attention,), kernel, layout.kernels * values, kept=held)
        return kernel

    sizes = iter(_convolutions(block))

    def convolved(
        y: Values, channels: int, kernel: int = 1, step: int = 1, dilation: int = 1, groups: int = 1
    ) -> Values:
        own = mixed(next(sizes)[0])
        kept = held if own is None else (*held, own)
        return net.convolution(y, channels, kernel, step, dilation, groups, kept=kept)

    y = convolved(x, block.expanded) if block.expands else x
    y = convolved(y, block.expanded, block.kernel, block.step, block.dilation, block.expanded)
    if layout.lines:
        y = net.make(y.shape, y, kept=held)
    y = convolved(y, block.outputs)
    return net.add_to(y, x) if block.residual else y, context
