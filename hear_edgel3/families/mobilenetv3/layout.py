"""What a MobileNetV3 for audio is made of, as plain numbers: channels, strides, and the sizes that follow from them.

Howard et al., "Searching for MobileNetV3", ICCV 2019, with the changes of Schmid et al., "Efficient Large-Scale Audio
Tagging Via Transformer-To-CNN Knowledge Distillation", ICASSP 2023 (EfficientAT ``models/mn/model.py``). Nothing here
needs torch, so that names and sizes can be looked up without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hear_edgel3.families.layers import Operation, Recorder, Values

HEADS = ("mlp", "fully_convolutional", "multihead_attention_pooling")
POOLINGS = ("avg_ch", "max_ch", "add_avg_max_ch", "cat_avg_max_ch", "avg_time", "avg_max_time")
AUDIOSET_CLASSES = 527
# Points of the front end's DFT, and samples in its frames.
N_FFT, WIN_LENGTH = 1024, 800
# What the approximation of a teacher's embedding is made from.
APPROXIMATION_INPUTS = ("mel_avgs", "clf1", "b5", "b11", "b13", "b15")

# kernel, expanded channels, output channels, squeeze-and-excitation, hardswish (else ReLU); at width 1
_TABLE = (
    (3, 16, 16, False, False),
    (3, 64, 24, False, False),
    (3, 72, 24, False, False),
    (5, 72, 40, True, False),
    (5, 120, 40, True, False),
    (5, 120, 40, True, False),
    (3, 240, 80, False, True),
    (3, 200, 80, False, True),
    (3, 184, 80, False, True),
    (3, 184, 80, False, True),
    (3, 480, 112, True, True),
    (3, 672, 112, True, True),
    (5, 672, 160, True, True),
    (5, 960, 160, True, True),
    (5, 960, 160, True, True),
)
N_BLOCKS = len(_TABLE)
N_SQUEEZED = sum(has_se for _, _, _, has_se, _ in _TABLE)
# The arguments of make_layout that a net has that was pruned.
WIDTHS = ("expanded", "squeeze", "last", "hidden")
# Those that a net may have beside its width and its strides.
OPTIONS = ("reduced_tail", "dilated", *WIDTHS)
_STRIDED = (2, 4, 7, 13)  # blocks, counted from 1, that the four strides belong to
_TAIL = 13  # from this block on, `dilated` and `reduced_tail` apply


def make_divisible(value: float, divisor: int = 8) -> int:
    """Nearest multiple of ``divisor`` that is not less than 90 % of ``value`` (torchvision's ``_make_divisible``)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@dataclass(frozen=True)
class Block:
    """One inverted residual.

    Attributes:
        inputs: channels that come in.
        kernel: of the depthwise convolution, in both directions.
        expanded: channels inside.
        outputs: channels that go out.
        has_se: whether there is squeeze-and-excitation.
        hardswish: activation (else ReLU).
        stride: nominal stride in both directions; a dilated block does not use it.
        dilation: of the depthwise convolution.
        expands: whether a pointwise convolution comes before the depthwise one.
        squeeze: values in the bottleneck of channel-wise squeeze-and-excitation.
    """

    inputs: int
    kernel: int
    expanded: int
    outputs: int
    has_se: bool
    hardswish: bool
    stride: int
    dilation: int
    expands: bool
    squeeze: int

    @property
    def step(self) -> int:
        """Stride of the depthwise convolution."""
        return 1 if self.dilation > 1 else self.stride

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.inputs == self.outputs


def squeeze_size(dimension: int) -> int:
    """Values in the bottleneck of a squeeze-and-excitation over ``dimension`` values."""
    return make_divisible(dimension // 4)


@dataclass(frozen=True)
class Layout:
    """Channels and strides of a whole net.

    Attributes:
        first: channels of the first convolution, which is block 0.
        blocks: blocks 1 to 15.
        last: channels of the last convolution, which is block 16.
        hidden: values of the hidden layer of the mlp head.
    """

    first: int
    blocks: tuple[Block, ...]
    last: int
    hidden: int

    def channels(self, block: int) -> int:
        """Output channels of block 0 to 16."""
        return (self.first, *(b.outputs for b in self.blocks), self.last)[block]

    def size(self, block: int, length: int) -> int:
        """Bands (or frames) that come out of block 0 to 16 when ``length`` go into the net."""
        length = halved(length, 2)
        for b in self.blocks[:block]:
            length = halved(length, b.step)
        return length

    def convolutions(self) -> tuple[tuple[int, int, int], ...]:
        """Kernel, stride and dilation of the convolutions one after the other, for receptive fields."""
        return ((3, 2, 1), *((b.kernel, b.step, b.dilation) for b in self.blocks))


def halved(length: int, stride: int) -> int:
    """Length after a convolution with "same" padding."""
    return (length - 1) // stride + 1


def make_layout(
    width_mult: float = 1.0,
    strides: Sequence[int] = (2, 2, 2, 2),
    reduced_tail: bool = False,
    dilated: bool = False,
    expanded: Sequence[int] | None = None,
    squeeze: Sequence[int] | None = None,
    last: int | None = None,
    hidden: int | None = None,
) -> Layout:
    """The layout of a net.

    A net that was pruned has fewer channels than its width gives it, where no other layer sees them. Which of its
    blocks expand, and what goes from block to block, is still said by its width.

    Args:
        width_mult: factor of all channel counts.
        strides: of the blocks 2, 4, 7 and 13 (C1 to C4).
        reduced_tail: halves the channels of the last three blocks and of the hidden layer.
        dilated: dilates the last three blocks by two instead of striding.
        expanded: channels inside of each of the 15 blocks; None for those of the width. Blocks that do not expand keep
            theirs.
        squeeze: values in the bottlenecks of the 8 blocks with squeeze-and-excitation; None for those that follow from
            the width.
        last: channels of the last convolution; None for those of the width.
        hidden: values of the hidden layer; None for those of the width.

    Raises:
        ValueError: ``width_mult`` is not positive, ``strides`` are not four ones or twos, or a number of channels is
            missing, not positive, or another one in a block that does not expand.
    """
    if not width_mult > 0:
        raise ValueError(f"width_mult must be positive, got {width_mult!r}")
    if len(strides) != len(_STRIDED) or any(s not in (1, 2) for s in strides):
        raise ValueError(f"strides must be four numbers, each 1 or 2, got {tuple(strides)!r}")
    shrink = 2 if reduced_tail else 1
    with_se = [number for number, (_, _, _, has_se, _) in enumerate(_TABLE, 1) if has_se]
    for name, given, count in (("expanded", expanded, len(_TABLE)), ("squeeze", squeeze, len(with_se))):
        if given is not None and (len(given) != count or any(value < 1 for value in given)):
            raise ValueError(f"{name} must be {count} positive numbers, got {tuple(given)!r}")
    for name, value in (("last", last), ("hidden", hidden)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be positive, got {value!r}")
    blocks = []
    inputs = first = make_divisible(16 * width_mult)
    for number, (kernel, inside, outputs, has_se, hardswish) in enumerate(_TABLE, 1):
        if number >= _TAIL:
            outputs //= shrink  # noqa: PLW2901
            if number > _TAIL:
                inside //= shrink  # noqa: PLW2901
        wide, out = make_divisible(inside * width_mult), make_divisible(outputs * width_mult)
        expands = wide != inputs
        bottleneck = squeeze_size(wide)
        if expanded is not None:
            if not expands and expanded[number - 1] != wide:
                raise ValueError(f"block {number} does not expand: it has {wide} channels, not {expanded[number - 1]}")
            wide = expanded[number - 1]
        if squeeze is not None and has_se:
            bottleneck = squeeze[with_se.index(number)]
        stride = strides[_STRIDED.index(number)] if number in _STRIDED else 1
        dilation = 2 if dilated and number >= _TAIL else 1
        blocks.append(Block(inputs, kernel, wide, out, has_se, hardswish, stride, dilation, expands, bottleneck))
        inputs = out
    return Layout(
        first,
        tuple(blocks),
        6 * inputs if last is None else last,
        make_divisible(1280 // shrink * width_mult) if hidden is None else hidden,
    )


def feature_size(
    layout: Layout,
    feature: str,
    pooling: str = "avg_ch",
    n_mels: int = 128,
    head: str = "mlp",
    n_classes: int | None = AUDIOSET_CLASSES,
    n_teacher: int | None = None,
) -> int:
    """Values of one feature of a net with channel-wise squeeze-and-excitation.

    Args:
        layout: of the net.
        feature: mel_avgs, clf1, clf2, logits, se4 (5, 6, 11 ... 15), b0 ... b16 or teacher.
        pooling: how blocks are pooled, one of POOLINGS.
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
    if feature == "teacher":
        assert n_teacher is not None
        return n_teacher
    if feature == "mel_avgs":
        return n_mels
    if feature == "clf1":
        return layout.last
    if feature == "clf2":
        return layout.hidden
    if feature == "logits":
        assert n_classes is not None
        return n_classes
    if feature.startswith("se"):
        return layout.blocks[int(feature[2:]) - 1].squeeze
    block = int(feature[1:])
    if pooling.endswith("time"):
        return layout.channels(block) * layout.size(block, n_mels)
    return layout.channels(block) * (2 if pooling == "cat_avg_max_ch" else 1)


def missing_feature(
    layout: Layout, feature: str, head: str, n_classes: int | None, n_teacher: int | None = None
) -> str | None:
    """Why a net does not have ``feature``, or None if it does."""
    if feature == "teacher":
        reason = "teacher is the approximation of another net's embedding, which this net was not distilled with"
        return None if n_teacher is not None else reason
    if feature == "clf2" and head != "mlp":
        return f"clf2 is the hidden layer of the mlp head, and this net has the head {head}"
    if feature == "logits" and n_classes is None:
        return "logits are the outputs of a classifier, and this net has none"
    if feature in ("mel_avgs", "clf1", "clf2", "logits"):
        return None
    found = re.fullmatch(r"(se|b)(0|[1-9]\d?)", feature)
    if found is not None:
        kind, number = found[1], int(found[2])
        if kind == "b" and number <= len(layout.blocks) + 1:
            return None
        if kind == "se" and 1 <= number <= len(layout.blocks) and layout.blocks[number - 1].has_se:
            return None
    with_se = ", ".join(f"se{i}" for i, b in enumerate(layout.blocks, 1) if b.has_se)
    return f"there is no feature {feature!r}; there are mel_avgs, clf1, clf2, logits, {with_se}, and b0 to b16"


def last_block_needed(features: Sequence[str]) -> int:
    """The last of the blocks 0 to 16 that must run for ``features``; -1 if none."""
    return max(
        16 if f in ("clf1", "clf2", "logits", "teacher") else -1 if f == "mel_avgs" else _number(f) for f in features
    )


def _number(feature: str) -> int:
    return int(feature.lstrip("seb"))


def approximation_inputs(layout: Layout, n_mels: int) -> int:
    """Values that the approximation of a teacher's embedding is made from."""
    return sum(feature_size(layout, feature, n_mels=n_mels) for feature in APPROXIMATION_INPUTS)


def count_macs(
    layout: Layout,
    n_mels: int,
    n_frames: int,
    head: str = "mlp",
    n_classes: int | None = AUDIOSET_CLASSES,
    n_heads: int = 4,
    n_teacher: int | None = None,
) -> int:
    """Multiply-accumulates of convolutions and linear layers for one spectrogram (channel-wise SE)."""
    bands, frames = halved(n_mels, 2), halved(n_frames, 2)
    macs = 9 * layout.first * bands * frames + (n_teacher or 0) * approximation_inputs(layout, n_mels)
    for b in layout.blocks:
        if b.expands:
            macs += b.inputs * b.expanded * bands * frames
        bands, frames = halved(bands, b.step), halved(frames, b.step)
        macs += b.expanded * bands * frames * (b.kernel**2 + b.outputs)
        if b.has_se:
            macs += 2 * b.expanded * b.squeeze
    macs += layout.blocks[-1].outputs * layout.last * bands * frames
    classes = n_classes or 0
    if head == "mlp":
        return macs + layout.hidden * (layout.last + classes)
    if head == "fully_convolutional":
        return macs + layout.last * classes * bands * frames
    return macs + layout.last * classes * 2 * n_heads * frames


def count_parameters(
    layout: Layout,
    head: str = "mlp",
    n_classes: int | None = AUDIOSET_CLASSES,
    n_heads: int = 4,
    n_mels: int = 128,
    n_teacher: int | None = None,
) -> int:
    """Trained parameters, as upstream counts them: without batch norm statistics (channel-wise SE)."""
    total = 9 * layout.first + 2 * layout.first + (n_teacher or 0) * (approximation_inputs(layout, n_mels) + 1)
    for b in layout.blocks:
        if b.expands:
            total += b.expanded * (b.inputs + 2)
        total += b.expanded * (b.kernel**2 + 2) + b.outputs * (b.expanded + 2)
        if b.has_se:
            total += 2 * b.expanded * b.squeeze + b.expanded + b.squeeze
    total += layout.last * (layout.blocks[-1].outputs + 2)
    classes = n_classes or 0
    if head == "mlp":
        return total + layout.hidden * (layout.last + 1) + classes * (layout.hidden + 1)
    if head == "fully_convolutional":
        return total + classes * (layout.last + 2)
    return total + n_heads + 2 * n_heads * classes * (layout.last + 1)


def n_frames(n_samples: int, hop_length: int, n_fft: int = N_FFT) -> int:
    """Frames of a clip of ``n_samples``, which is followed by zeros if it is too short to be reflected at its ends."""
    return 1 + (max(n_samples, minimum_samples(n_fft)) - 1) // hop_length


def minimum_samples(n_fft: int = N_FFT) -> int:
    """The fewest samples upstream can reflect at the ends (514)."""
    return n_fft // 2 + 2


@dataclass(frozen=True)
class MobileNetV3Layers:
    """A net and its front end, for :class:`hear_edgel3.families.layers.Layers`.

    Attributes:
        layout: channels and strides, with channel-wise squeeze-and-excitation.
        n_mels: mel bands.
        hop_length: samples between frames.
        head: one of HEADS.
        n_classes: values of the logits; None for a net without them.
        n_teacher: values of the approximation of a teacher's embedding; None for a net without it.
        n_heads: of attention pooling.
        frame_length: samples under one frame.
    """

    layout: Layout
    n_mels: int
    hop_length: int
    head: str = "mlp"
    n_classes: int | None = AUDIOSET_CLASSES
    n_teacher: int | None = None
    n_heads: int = 4
    frame_length: int = WIN_LENGTH

    def n_frames(self, n_samples: int) -> int:
        """Frames of a clip of ``n_samples``."""
        return n_frames(n_samples, self.hop_length)

    def operations(self, n_frames: int, features: Mapping[str, Any] | None = None) -> Sequence[Operation]:
        """What the net does with one image of ``n_frames``: as ``MobileNetV3.forward``, folded."""
        if features is None:
            last = "clf2" if self.n_classes is None else "logits"
            features = {"outputs": (last,) if self.n_teacher is None else (last, "teacher")}
        outputs, pooling = features["outputs"], features.get("pooling", "avg_ch")
        inputs = APPROXIMATION_INPUTS if "teacher" in outputs else ()
        net = Recorder()
        x = image = Values(1, self.n_mels, n_frames)
        found: dict[str, Values] = {}
        approximated: dict[str, Values] = {}
        if "mel_avgs" in (*outputs, *inputs):
            found["mel_avgs"] = approximated["mel_avgs"] = net.make((self.n_mels,), image)
        for number in range(last_block_needed(outputs) + 1):
            if number == 0:
                x = net.convolution(x, self.layout.first, 3, 2)
            elif number > len(self.layout.blocks):
                x = net.convolution(x, self.layout.last)
            else:
                x, squeezed = _block(net, x, self.layout.blocks[number - 1], f"se{number}" in outputs)
                if squeezed is not None:
                    found[f"se{number}"] = squeezed
            if f"b{number}" in outputs:
                found[f"b{number}"] = record_pool(net, x, pooling)
            if f"b{number}" in inputs:
                approximated[f"b{number}"] = record_pool(net, x, "avg_ch")
        if not {"clf1", "clf2", "logits"}.isdisjoint(outputs):
            self._head(net, x, outputs, found)
        kept = [x, *found.values()]
        if self.n_teacher is not None and "teacher" in outputs:
            approximated["clf1"] = record_pool(net, x, "avg_ch")
            seen = net.make((approximation_inputs(self.layout, self.n_mels),), *approximated.values())
            kept += [seen, *approximated.values()]
            found["teacher"] = net.linear(seen, self.n_teacher)
        chosen = [found[name] for name in outputs]
        net.make((sum(values.count for values in chosen),), *chosen, kept=kept)
        return net.operations

    def _head(self, net: Recorder, x: Values, outputs: Sequence[str], found: dict[str, Values]) -> None:
        """The classifier, as far as ``outputs`` need it."""
        if self.head != "multihead_attention_pooling":
            record_head(net, x, self.head, self.layout.hidden, self.n_classes or 0, outputs, found)
            return
        if "clf1" in outputs:
            found["clf1"] = record_pool(net, x, "avg_ch")
        if "logits" in outputs:
            found["logits"] = self._attention_head(net, x, self.n_classes or 0)

    def _attention_head(self, net: Recorder, x: Values, n_classes: int) -> Values:
        channels, _, frames = x.shape
        y = net.linear(net.make((frames, channels), x), 2 * self.n_heads * n_classes)
        shape, pooled = (frames, self.n_heads * n_classes), (self.n_heads * n_classes,)
        attention = net.make(shape, net.make(shape, y))  # its sigmoid, and then clamped
        attention = net.make(shape, attention, net.make(pooled, attention))  # over its sum
        value = net.make(pooled, net.make(shape, attention, y))  # times the values, and that summed up
        return net.make((n_classes,), net.make(pooled, value), kept=(attention, y))  # weighted and summed up


def _block(net: Recorder, x: Values, block: Block, with_squeezed: bool) -> tuple[Values, Values | None]:
    """An inverted residual and, if asked for, the bottleneck of its squeeze-and-excitation."""
    y, squeezed = x, None
    if block.expands:
        y = net.convolution(y, block.expanded)
    y = net.convolution(y, block.expanded, block.kernel, block.step, block.dilation, block.expanded, kept=(x,))
    if block.has_se:
        squeezed = net.linear(net.make((block.expanded,), y), block.squeeze, kept=(x,))
        factors = net.linear(net.make(squeezed.shape, squeezed), block.expanded)
        y = net.make(y.shape, y, net.make(factors.shape, factors), kept=(x, squeezed))
    y = net.convolution(y, block.outputs, kept=(x, squeezed) if with_squeezed and squeezed is not None else (x,))
    if block.residual:
        y = net.add_to(y, x)
    if not with_squeezed or squeezed is None:
        return y, None
    return y, net.make(squeezed.shape, squeezed, kept=(x, y))


def record_head(
    net: Recorder,
    x: Values,
    head: str,
    hidden: int,
    n_classes: int,
    outputs: Sequence[str],
    found: dict[str, Values],
) -> None:
    """Takes down the head "mlp" or "fully_convolutional", as far as ``outputs`` need it."""
    if head == "mlp" or "clf1" in outputs:
        found["clf1"] = record_pool(net, x, "avg_ch")
    if head != "mlp":
        if "logits" in outputs:
            found["logits"] = record_pool(net, net.convolution(x, n_classes), "avg_ch")
        return
    if "clf2" in outputs or "logits" in outputs:
        values = net.linear(found["clf1"], hidden)
        found["clf2"] = net.make(values.shape, values)
    if "logits" in outputs:
        found["logits"] = net.linear(found["clf2"], n_classes)


def record_pool(net: Recorder, x: Values, pooling: str) -> Values:
    """A map pooled by one of POOLINGS."""
    channels, bands, _ = x.shape
    shape = (channels * bands,) if pooling.endswith("time") else (channels,)
    pooled = net.make(shape, x)
    if pooling in ("avg_ch", "max_ch", "avg_time"):
        return pooled
    other = net.make(shape, x)
    return net.make((2 * channels,) if pooling == "cat_avg_max_ch" else shape, pooled, other)
