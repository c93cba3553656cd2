"""A convolutional net as plain data: its layers in order, each with what it reads and the size of what it makes.

Nets are written down once, in ``nets/``, by calling the methods of a :class:`Graph`. From that come the module
(:mod:`hear_edgel3.families.image.net`), the layout of Keras's files, the layers that can be asked for, and how many
parameters and multiply-accumulates there are. Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

INPUT = "input"
Pair = tuple[int, int]


@dataclass(frozen=True)
class Node:
    """One layer.

    Attributes:
        name: As Keras calls it, where the net is one of Keras's.
        kind: What it does: conv, norm, relu, relu6, add, concat, max_pool, average_pool, pad or crop.
        inputs: The names of the layers that it reads.
        shape: (channels, height, width) of what it makes.
        options: What else its kind needs.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, int, int]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_parameters(self) -> int:
        """The trained values, running statistics included, as Keras counts them."""
        if self.kind == "norm":
            return (4 if self.options["scale"] else 3) * self.shape[0]
        if self.kind != "conv":
            return 0
        height, width = self.options["kernel"]
        weights: int = height * width * (self.options["reads"] // self.options["groups"]) * self.shape[0]
        return weights + (self.shape[0] if self.options["bias"] else 0)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, without biases."""
        if self.kind != "conv":
            return 0
        height, width = self.options["kernel"]
        per_value: int = height * width * (self.options["reads"] // self.options["groups"])
        return per_value * math.prod(self.shape)


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


def same_padding(size: int, kernel: int, stride: int) -> Pair:
    """What TensorFlow's padding "same" adds before and behind: one more behind if it is odd."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@dataclass
class Graph:
    """A net while it is written down, and afterwards.

    Attributes:
        height: Of the image.
        width: Of the image.
        eps: What batch norm adds to variances where nothing else is said.
        nodes: The layers by name, in order.
        stages: The layers that are worth naming, in order, by what they are called: the others have names too.
    """

    height: int
    width: int
    eps: float = 1e-3
    nodes: dict[str, Node] = field(default_factory=dict)
    stages: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict, repr=False)

    def numbered(self, kind: str) -> str:
        """The name that Keras gives to the next layer of a kind if the net gives none: KIND, KIND_1, KIND_2."""
        number = self._counts.get(kind, 0)
        self._counts[kind] = number + 1
        return f"{kind}_{number}" if number else kind

    @property
    def last(self) -> str:
        """The name of the last layer, of which the mean is the net's feature."""
        return next(reversed(self.nodes))

    def shape(self, name: str) -> tuple[int, int, int]:
        """(channels, height, width) of what a layer makes."""
        return (3, self.height, self.width) if name == INPUT else self.nodes[name].shape

    def needed(self, names: tuple[str, ...]) -> list[Node]:
        """The layers that some layers need, themselves included, in order."""
        wanted = set(names)
        for node in reversed(self.nodes.values()):
            if node.name in wanted:
                wanted.update(node.inputs)
        return [node for node in self.nodes.values() if node.name in wanted]

    def stage(self, name: str, called: str | None = None) -> str:
        """Takes a layer down as one that is worth naming, and gives its own name back."""
        self.stages[called or name] = name
        return name

    def find(self, word: str) -> str | None:
        """The layer that a word means, or None."""
        return self.stages.get(word, word if word in self.nodes else None)

    def _add(self, name: str, kind: str, inputs: tuple[str, ...], shape: tuple[int, int, int], **options: Any) -> str:
        if name in self.nodes or name == INPUT:
            raise ValueError(f"there are two layers {name}")
        self.nodes[name] = Node(name, kind, inputs, shape, options)
        return name

    def conv(
        self,
        name: str,
        x: str,
        channels: int | None,
        kernel: int | Pair = 1,
        stride: int = 1,
        padding: str | tuple[Pair, Pair] = "same",
        bias: bool = False,
        layer: str | None = None,
        weight: str | None = None,
    ) -> str:
        """A convolution; of each channel by itself where ``channels`` is None.

        Args:
            name: Of the layer.
            x: What it reads.
            channels: That it makes, or None.
            kernel: Its height and width.
            stride: In both directions.
            padding: TensorFlow's "same" or "valid", or zeros ((top, bottom), (left, right)).
            bias: Whether it has one.
            layer: The Keras layer that has its weights, where that has another name.
            weight: What Keras calls its weights in that layer.
        """
        inputs, *size = self.shape(x)
        kernels = _pair(kernel)
        if padding == "same":
            pads = tuple(same_padding(n, k, stride) for n, k in zip(size, kernels, strict=True))
        else:
            pads = ((0, 0), (0, 0)) if isinstance(padding, str) else padding
        made = [(n + sum(p) - k) // stride + 1 for n, k, p in zip(size, kernels, pads, strict=True)]
        return self._add(
            name,
            "conv",
            (x,),
            (channels or inputs, made[0], made[1]),
            kernel=kernels,
            stride=stride,
            padding=pads,
            groups=inputs if channels is None else 1,
            reads=inputs,
            bias=bias,
            layer=layer or name,
            weight=weight or ("depthwise_kernel" if channels is None else "kernel"),
        )

    def separable(
        self,
        name: str,
        x: str,
        channels: int,
        kernel: int,
        stride: int = 1,
        padding: str | tuple[Pair, Pair] = "same",
    ) -> str:
        """What Keras calls a separable convolution: of each channel by itself, then one of 1 by 1."""
        x = self.conv(f"{name}/depthwise", x, None, kernel, stride, padding, layer=name)
        return self.conv(name, x, channels, weight="pointwise_kernel")

    def norm(self, name: str, x: str, scale: bool = True, eps: float | None = None) -> str:
        """Batch norm; without trained factors where ``scale`` is False."""
        return self._add(name, "norm", (x,), self.shape(x), scale=scale, eps=self.eps if eps is None else eps)

    def relu(self, name: str, x: str, most: int | None = None) -> str:
        """ReLU, or ReLU6 where ``most`` is 6."""
        return self._add(name, "relu6" if most == 6 else "relu", (x,), self.shape(x))

    def add(self, name: str, *inputs: str) -> str:
        """A sum."""
        return self._add(name, "add", inputs, self.shape(inputs[0]))

    def weighted_add(self, name: str, x: str, other: str, factor: float) -> str:
        """The first plus a factor times the second."""
        return self._add(name, "add", (x, other), self.shape(x), factor=factor)

    def concat(self, name: str, *inputs: str) -> str:
        """Maps one behind the other."""
        _, height, width = self.shape(inputs[0])
        return self._add(name, "concat", inputs, (sum(self.shape(x)[0] for x in inputs), height, width))

    def _pool(self, name: str, kind: str, x: str, kernel: int, stride: int, padding: str) -> str:
        channels, *size = self.shape(x)
        pads = tuple(same_padding(n, kernel, stride) if padding == "same" else (0, 0) for n in size)
        made = [(n + sum(p) - kernel) // stride + 1 for n, p in zip(size, pads, strict=True)]
        return self._add(name, kind, (x,), (channels, made[0], made[1]), kernel=kernel, stride=stride, padding=pads)

    def max_pool(self, name: str, x: str, kernel: int, stride: int, padding: str = "valid") -> str:
        """The greatest of each window; what padding "same" adds is never one of them."""
        return self._pool(name, "max_pool", x, kernel, stride, padding)

    def average_pool(self, name: str, x: str, kernel: int, stride: int, padding: str = "valid") -> str:
        """The mean of each window, of what lies on the map."""
        return self._pool(name, "average_pool", x, kernel, stride, padding)

    def pad(self, name: str, x: str, rows: Pair, columns: Pair) -> str:
        """Zeros around a map."""
        channels, height, width = self.shape(x)
        return self._add(
            name, "pad", (x,), (channels, height + sum(rows), width + sum(columns)), padding=(rows, columns)
        )

    def crop(self, name: str, x: str, rows: Pair, columns: Pair) -> str:
        """A map without some of its outermost rows and columns."""
        channels, height, width = self.shape(x)
        return self._add(
            name, "crop", (x,), (channels, height - sum(rows), width - sum(columns)), padding=(rows, columns)
        )
