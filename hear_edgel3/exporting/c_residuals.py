"""What a C library needs of nets of inverted residuals, MobileNetV3's and DyMN's: how their layers are written down.

And how much memory their maps take.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hear_edgel3.errors import InvalidOption
from hear_edgel3.exporting.c_constants import Constants, padded
from hear_edgel3.families.mobilenetv3.layout import Block, Layout, halved
from hear_edgel3.families.mobilenetv3.parts import ChoosingNet

NO_ACTIVATION, RELU, HARDSWISH = 0, 1, 2
NO_LAYER = "{0, 0, 0, -1, 0, NO_ACTIVATION}"
_NO_BLOCK = "    {0}"
_PIXELS = 4  # as in c_library/head.c


@dataclass(frozen=True)
class NetInC:
    """A net.

    Attributes:
        sources: The files with its code, in order.
        text: Its layers.
        most_sums: The longest vector of means.
        bounds: Bounds of the floats that its maps, and all that is made of them, take: the largest one holds. Each is
            what is taken for each frame of the front end, and what is added to that.
        macs: Multiply-accumulates, of so many frames.
    """

    sources: tuple[str, ...]
    text: str
    most_sums: int
    bounds: tuple[tuple[float, float], ...]
    macs: int


def values(parameter: torch.Tensor | None) -> np.ndarray:
    """A parameter as an array."""
    assert parameter is not None
    return parameter.detach().contiguous().numpy()


def check(net: Any, blocks: Sequence[Block], names: tuple[str, ...], name: str) -> None:
    """Raises InvalidOption where a net, or one of its features, has no form in C.

    Args:
        net: A MobileNetV3 or a DyMN.
        blocks: Those of it.
        names: The features of its embedding.
        name: What to call it.
    """
    if any(block.dilation > 1 for block in blocks):
        raise InvalidOption(f"{name} has no form in C: it has dilated convolutions; use --to onnx")
    if net.pooling not in ("avg_ch", "avg_time"):
        raise InvalidOption(f"the pooling {net.pooling}, which {name} has, has no form in C: means have; use --to onnx")
    if net.pooling == "avg_time" and "b16" in names:
        raise InvalidOption(f"the bands of the last convolution, which {name} has, have no form in C; use --to onnx")
    if "teacher" in names:
        raise InvalidOption(f"the feature teacher, which {name} has, has no form in C; use --to onnx")
    if set(names) == {"mel_avgs"} and set(net.outputs) == {"mel_avgs"}:
        raise InvalidOption(f"{name} is the mean of the front end's images alone, which has no form in C")
    if len(set(names)) < len(names):
        raise InvalidOption(f"{name} has a feature twice, which has no form in C")


class ResidualWriter(ABC):
    """Writes the layers of a folded net down, in order.

    Args:
        net: The net.
        layout: Its channels and strides.
        last: The last of its blocks 0 to 16 that is needed.
        names: The features of its embedding.
        constants: Where its weights are put.
        n_mels: Mel bands that it is given.
        n_frames: Frames to count operations for.

    Attributes:
        plan: The memory that they take.
        macs: Multiply-accumulates.
        sums: The lengths of the vectors of means.
    """

    def __init__(
        self,
        net: ChoosingNet,
        layout: Layout,
        last: int,
        names: tuple[str, ...],
        constants: Constants,
        n_mels: int,
        n_frames: int,
    ) -> None:
        self._net: Any = net
        self._layout, self._last, self._constants = layout, last, constants
        self._wanted = set(net.outputs)
        self._kept, self._inside = {}, 0
        for feature in names:
            self._kept[feature] = self._inside
            self._inside += net._size(feature)
        self._bands, self._frames = halved(n_mels, 2), halved(n_frames, 2)
        self.plan = Plan(self._bands, padded(layout.first))
        self.macs, self.sums = 0, [padded(n_mels), padded(layout.first)]

    @abstractmethod
    def _convolution(self, number: int) -> tuple[str, Any]:
        """The name and the module of the convolution that is block 0 or block 16."""

    @abstractmethod
    def _block(self, number: int, block: Block) -> str:
        """The C initialiser of one of the blocks 1 to 15; ``_bands`` and ``_frames`` are those of its input."""

    def _contexts(self) -> str | None:
        """What is to be known of the contexts of dynamic blocks, which have been written; None if there are none."""
        return None

    def written(self, own_logits: bool) -> NetInC:
        """The net; ``own_logits`` tells whether its last output are logits that do not belong to the embedding."""
        text, contexts = self._first() + self._blocks(), self._contexts()
        text += f"#define HAS_CONTEXTS {int(contexts is not None)}\n{contexts or ''}{self._head()}"
        text += f"#define OWN_LOGITS {int(own_logits)}\n"
        sources = ("convolutions.c", *([] if contexts is None else ["dymn.c"]), "mobilenetv3.c")
        return NetInC(sources, text, max(self.sums), self.plan.bounds(), self.macs)

    def _first(self) -> str:
        where, conv = self._convolution(0)
        self.macs += conv.weight.numel() * self._bands * self._frames
        text = self._constants.channelwise(f"{where}.weight", values(conv.weight), values(conv.bias), HARDSWISH)
        return f"enum {{ INSIDE = {self._inside} }};\nstatic const layer FIRST = {text};\n"

    def _blocks(self) -> str:
        """As many of them as are needed."""
        found = []
        for number, block in enumerate(self._layout.blocks[: max(self._last, 0)], 1):
            found.append(self._block(number, block))
            self._bands, self._frames = halved(self._bands, block.step), halved(self._frames, block.step)
        return (
            "typedef struct {\n    int kernel, stride, in, inside, out, expands, squeezes, residual;\n"
            "    int kept, kept_squeeze; /* places in the embedding, or -1 */\n"
            "    layer expand, depthwise, squeeze, excite, project;\n} block;\n"
            f"enum {{ N_BLOCKS = {len(found)}, MOST_KERNEL = 5 }};\n"
            f"static const block BLOCKS[{max(1, len(found))}] = {{\n{''.join(found) or _NO_BLOCK}}};\n"
        )

    def _described(self, number: int, block: Block, parts: dict[str, str], kept_squeeze: int) -> str:
        numbers = (
            *(block.kernel, block.step, block.inputs, block.expanded, block.outputs),
            *(int(block.expands), int("squeeze" in parts), int(block.residual)),
            *(self._kept.get(f"b{number}", -1), kept_squeeze),
        )
        described = ", ".join(parts.get(k, NO_LAYER) for k in ("expand", "depthwise", "squeeze", "excite", "project"))
        return f"    {{{', '.join(map(str, numbers))},\n     {described}}},\n"

    def _pixels(self, block: Block) -> tuple[int, int]:
        """The pixels of the map that goes into a block, and of the one that comes out."""
        made = halved(self._bands, block.step) * halved(self._frames, block.step)
        return self._bands * self._frames, made

    def _head(self) -> str:
        """Block 16, what follows it, and what of all that is wanted."""
        net, text = self._net, ""
        has_last, has_logits = self._last > len(self._layout.blocks), "logits" in self._wanted
        has_hidden = net.head == "mlp" and bool(self._wanted & {"clf2", "logits"})
        if has_last:
            where, conv = self._convolution(self._last)
            made = self._constants.layer(f"{where}.weight", values(conv.weight), values(conv.bias), HARDSWISH)
            text += f"static const layer LAST = {made};\n"
            self.macs += conv.weight.numel() * self._bands * self._frames
            self.sums.append(padded(conv.out_channels))
            self.plan.add_last(padded(conv.in_channels), padded(conv.out_channels))
        if has_hidden:
            made = self._linear("net.classifier.2", net.classifier[2], HARDSWISH)
            text += f"static const layer HIDDEN = {made};\n"
        if has_logits:
            at = 5 if net.head == "mlp" else 0
            text += f"static const layer CLASSIFIER = {self._linear(f'net.classifier.{at}', net.classifier[at])};\n"
        flags = {
            "HAS_LAST": int(has_last),
            "HAS_HIDDEN": int(has_hidden),
            "HAS_CLASSIFIER": int(has_logits),
            **{f"KEPT_{feature.upper()}": self._kept.get(feature, -1) for feature in ("clf1", "clf2", "logits")},
            "BANDS_APART": int(net.pooling == "avg_time"),
            "KEPT_MEL_AVERAGES": self._kept.get("mel_avgs", -1),
            "KEPT_FIRST": self._kept.get("b0", -1),
            "KEPT_LAST": self._kept.get("b16", -1),
        }
        return text + "".join(f"#define {flag} ({value})\n" for flag, value in flags.items())

    def _linear(self, name: str, linear: Any, activation: int = NO_ACTIVATION) -> str:
        """A layer that sees one vector; a pointwise convolution too."""
        weight = values(linear.weight)
        self.macs += weight.size
        flat = weight.reshape(weight.shape[:2])
        return self._constants.layer(f"{name}.weight", flat, values(linear.bias), activation)


class Plan:
    """Bounds of what ``count_floats`` in c_library/mobilenetv3.c counts, linear in the frames of the front end.

    A bound is an array of two: the floats for each frame, and those that are added to them.
    """

    def __init__(self, bands: int, channels: int) -> None:
        self._bands, self._stride = bands, 2
        self._bounds = [bands * channels * self.frames()]

    def frames(self, step: int = 1) -> np.ndarray:
        """Bound of the frames of the map that goes into a block, or of one that it strides to.

        A map of a stride of s all in all has at most (frames + s - 1) / s frames.
        """
        s = self._stride * step
        return np.array([1 / s, (s - 1) / s])

    def bands(self, step: int = 1) -> int:
        """Bands of the map that goes into a block, or of one that it strides to."""
        return halved(self._bands, step)

    def maps(self, block: Block, in_place: bool) -> np.ndarray:
        """The maps of a block: of what goes in and of what comes out the larger one, and what is between them."""
        before = self.bands() * padded(block.inputs) * self.frames()
        behind, between = (
            self.bands(block.step) * padded(channels) * self.frames(block.step)
            for channels in (block.outputs, block.expanded)
        )
        larger: np.ndarray = np.maximum(before, behind)
        return larger if in_place else larger + between

    def rows(self, block: Block, squeezes: bool) -> np.ndarray:
        """A block that is computed row by row. What is not always in place is counted as if it never were."""
        in_place = not squeezes and padded(block.outputs) <= padded(block.inputs) * block.step
        found: np.ndarray = self.maps(block, in_place) + self.only_rows(block)
        return found

    def only_rows(self, block: Block) -> np.ndarray:
        """The rows of that without the maps."""
        found: np.ndarray = padded(block.expanded) * (block.kernel * self.frames() + self.frames(block.step))
        return found

    def add(self, block: Block, bound: np.ndarray) -> None:
        """Goes on to the next block."""
        self._bounds.append(bound)
        self._bands, self._stride = self.bands(block.step), self._stride * block.step

    def add_last(self, inputs: int, outputs: int) -> None:
        """The last convolution, whose outputs are there for some pixels only."""
        self._bounds.append(self._bands * inputs * self.frames() + np.array([0, _PIXELS * outputs]))

    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Of each block."""
        return tuple((float(one[0]), float(one[1])) for one in self._bounds)
