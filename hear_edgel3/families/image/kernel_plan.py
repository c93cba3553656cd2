"""Which nets that see pictures are made of inverted residuals, which compiled kernels run: read off their graphs.

EfficientNet-Lite0 and MobileNetV2 are. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hear_edgel3.families.image.graph import INPUT, Graph, Node, Pair, same_padding


@dataclass(frozen=True)
class Layer:
    """A convolution with the batch norm and the activation that follow it.

    Attributes:
        conv: the convolution.
        size: rows and columns of what it reads.
        active: whether ReLU6 follows.
        end: the name of the last of these layers.
    """

    conv: Node
    size: Pair
    active: bool
    end: str

    @property
    def pointwise(self) -> bool:
        """Whether it is of 1 by 1."""
        options = self.conv.options
        return bool(options["kernel"] == (1, 1) and options["stride"] == 1 and options["groups"] == 1)

    @property
    def depthwise(self) -> bool:
        """Whether it is of each channel alone, with ReLU6."""
        alone = self.conv.options["groups"] == self.conv.options["reads"] == self.conv.shape[0]
        return alone and self.active and self.square

    @property
    def first(self) -> bool:
        """Whether a net can begin with it."""
        options = self.conv.options
        whole = options["groups"] == 1 and options["kernel"] == (3, 3) and options["stride"] == 2
        return whole and self.active and self.square

    @property
    def square(self) -> bool:
        """Whether it has as many taps in either direction, an odd number, and zeros as TensorFlow puts them."""
        options = self.conv.options
        k, s = options["kernel"][0], options["stride"]
        padding = tuple(same_padding(n, k, s) for n in self.size)
        return bool(options["kernel"] == (k, k) and k % 2 == 1 and options["padding"] == padding)

    @property
    def before(self) -> Pair:
        """Rows of zeros above what it reads, and columns at its left."""
        rows, columns = self.conv.options["padding"]
        return rows[0], columns[0]


@dataclass(frozen=True)
class Block:
    """The layers of an inverted residual."""

    expand: Layer | None
    depthwise: Layer
    project: Layer
    residual: bool


@dataclass(frozen=True)
class Plan:
    """How a net is made of what kernels know.

    Attributes:
        first: the convolution of the picture.
        blocks: what follows.
        last: behind them, or None.
        maps: the numbers of the maps whose means are put out.
    """

    first: Layer
    blocks: tuple[Block, ...]
    last: Layer | None
    maps: tuple[int, ...]


class _Reader:
    """Reads layers one after the other, each of which reads what the one before it makes.

    Args:
        nodes: in order.
        size: rows and columns of the picture.
    """

    def __init__(self, nodes: Sequence[Node], size: Pair) -> None:
        self._nodes, self._place = nodes, 0
        self._sizes = {INPUT: size, **{node.name: node.shape[1:] for node in nodes}}

    @property
    def ended(self) -> bool:
        """Whether all are read."""
        return self._place == len(self._nodes)

    def take(self, kind: str, *inputs: str) -> Node | None:
        """The next node, if it is of a kind and reads just these."""
        if self.ended:
            return None
        node = self._nodes[self._place]
        if node.kind != kind or set(node.inputs) != set(inputs) or "factor" in node.options:
            return None
        self._place += 1
        return node

    def layer(self, x: str) -> Layer | None:
        """The next convolution with what follows it, if it reads x."""
        conv = self.take("conv", x)
        norm = None if conv is None else self.take("norm", conv.name)
        if conv is None or norm is None:
            return None
        active = self.take("relu6", norm.name)
        return Layer(conv, self._sizes[x], active is not None, norm.name if active is None else active.name)


def plan(graph: Graph, outputs: tuple[str, ...]) -> Plan | None:
    """How a net is made of what kernels know; None if something else is in it, or is put out.

    Args:
        graph: the net.
        outputs: the layers whose means are put out.
    """
    reader = _Reader(graph.needed(outputs), (graph.height, graph.width))
    first = reader.layer(INPUT)
    if first is None or not first.first:
        return None
    maps, blocks, last, here = {first.end: 0}, [], None, first.end
    while not reader.ended and last is None:
        expand, depthwise = None, reader.layer(here)
        if depthwise is not None and depthwise.pointwise and depthwise.active:
            expand, depthwise = depthwise, None if reader.ended else reader.layer(depthwise.end)
            if reader.ended and depthwise is None:
                last, here = expand, expand.end
                maps[here] = len(maps)
                continue
        project = None if depthwise is None else reader.layer(depthwise.end)
        if depthwise is None or project is None:
            return None
        if not depthwise.depthwise or not project.pointwise or project.active:
            return None
        added = reader.take("add", here, project.end)
        here = project.end if added is None else added.name
        maps[here] = len(maps)
        blocks.append(Block(expand, depthwise, project, added is not None))
    if not reader.ended or not all(name in maps for name in outputs):
        return None
    return Plan(first, tuple(blocks), last, tuple(maps[name] for name in outputs))
