"""Xception of ``keras.applications`` without its classifier, with Keras's names."""

from __future__ import annotations

from hear_edgel3.families.image.graph import INPUT, Graph


def xception(height: int, width: int) -> Graph:
    """Chollet 2017. A block ends in a pool and a sum, but for those between the fourth and the thirteenth."""
    g = Graph(height, width)
    x = INPUT
    for name, n, stride in (("block1_conv1", 32, 2), ("block1_conv2", 64, 1)):
        x = g.norm(f"{name}_bn", g.conv(name, x, n, 3, stride, "valid"))
        x = g.relu(f"{name}_act", x)
    g.stage(x, "block1")
    for block, channels in ((2, (128, 128)), (3, (256, 256)), (4, (728, 728))):
        x = _reduction(g, x, block, channels)
    for block in range(5, 13):
        before = x
        for i in range(1, 4):
            x = _separable(g, g.relu(f"block{block}_sepconv{i}_act", x), f"block{block}_sepconv{i}", 728)
        x = g.stage(g.add(g.numbered("add"), x, before), f"block{block}")
    x = _reduction(g, x, 13, (728, 1024))
    for i, n in enumerate((1536, 2048), 1):
        name = f"block14_sepconv{i}"
        x = g.relu(f"{name}_act", _separable(g, x, name, n))
    g.stage(x, "block14")
    return g


def _separable(g: Graph, x: str, name: str, channels: int) -> str:
    return g.norm(f"{name}_bn", g.separable(name, x, channels, 3))


def _reduction(g: Graph, x: str, block: int, channels: tuple[int, int]) -> str:
    """Half the height and width, beside a convolution of 1 by 1 of every second value."""
    name = f"block{block}"
    beside = g.conv(g.numbered("conv2d"), x, channels[1], 1, 2)
    beside = g.norm(g.numbered("batch_normalization"), beside)
    for i, n in enumerate(channels, 1):
        if block > 2 or i > 1:  # the second block reads what a ReLU has made
            x = g.relu(f"{name}_sepconv{i}_act", x)
        x = _separable(g, x, f"{name}_sepconv{i}", n)
    x = g.max_pool(f"{name}_pool", x, 3, 2, "same")
    return g.stage(g.add(g.numbered("add"), x, beside), name)
