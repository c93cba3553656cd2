"""The NASNet-A nets of ``keras.applications`` without their classifiers, with Keras's names."""

from __future__ import annotations

from hear_edgel3.families.image.graph import INPUT, Graph, Pair


def nasnet_mobile(height: int, width: int) -> Graph:
    """Zoph et al. 2018, NASNet-A (4 @ 1056)."""
    return _nasnet(height, width, n_blocks=4, filters=44, stem=32, skips=False)


def nasnet_large(height: int, width: int) -> Graph:
    """Zoph et al. 2018, NASNet-A (6 @ 4032)."""
    return _nasnet(height, width, n_blocks=6, filters=168, stem=96, skips=True)


def _nasnet(height: int, width: int, n_blocks: int, filters: int, stem: int, skips: bool) -> Graph:
    """The stem, and three times as many cells as ``n_blocks``, each of which reads what the two before it made.

    Args:
        height: Of the image.
        width: Of the image.
        n_blocks: Cells between those that halve height and width.
        filters: Of the first of them.
        stem: Channels of the first convolution.
        skips: Whether a cell behind a halving one reads what that one had read, not what is before it.
    """
    g = Graph(height, width)
    x = g.norm("stem_bn1", g.conv("stem_conv1", INPUT, stem, 3, 2, "valid"))
    before: str | None = None
    for name, n in (("stem_1", filters // 4), ("stem_2", filters // 2)):
        x, before = g.stage(_reduction(g, x, before, n, name), name), x
    for part in range(3):
        n = filters * 2**part
        if part:
            name = f"reduce_{part * n_blocks}"
            halved = g.stage(_reduction(g, x, before, n, name), name)
            x, before = halved, before if skips else x
        for i in range(n_blocks):
            name = str(part * n_blocks + i + (1 if part else 0))
            x, before = g.stage(_normal(g, x, before, n, name), f"cell{name}"), x
    g.stage(g.relu(g.numbered("activation"), x), "head")
    return g


def _relu(g: Graph, x: str) -> str:
    return g.relu(g.numbered("activation"), x)


def _correct_pad(g: Graph, x: str, kernel: int) -> tuple[Pair, Pair]:
    """Zeros with which a window with the stride 2 sees an even map as TensorFlow's training code showed it."""
    _, height, width = g.shape(x)
    half = kernel // 2
    return (half - 1 + height % 2, half), (half - 1 + width % 2, half)


def _separable(g: Graph, x: str, filters: int, kernel: int, name: str, stride: int = 1) -> str:
    """ReLU, a separable convolution and batch norm, twice."""
    x = _relu(g, x)
    if stride == 2:
        x = g.pad(f"separable_conv_1_pad_{name}", x, *_correct_pad(g, x, kernel))
    padding = "valid" if stride == 2 else "same"
    x = g.separable(f"separable_conv_1_{name}", x, filters, kernel, stride, padding)
    x = _relu(g, g.norm(f"separable_conv_1_bn_{name}", x))
    return g.norm(f"separable_conv_2_bn_{name}", g.separable(f"separable_conv_2_{name}", x, filters, kernel))


def _adjusted(g: Graph, before: str | None, x: str, filters: int, name: str) -> str:
    """The map before the last one, as wide as that, or with as many channels as the cell has."""
    if before is None:
        return x
    if g.shape(before)[2] != g.shape(x)[2]:
        before = g.relu(f"adjust_relu_1_{name}", before)
        left = g.average_pool(f"adjust_avg_pool_1_{name}", before, 1, 2)
        left = g.conv(f"adjust_conv_1_{name}", left, filters // 2)
        right = g.pad(g.numbered("zero_padding2d"), before, (0, 1), (0, 1))
        right = g.crop(g.numbered("cropping2d"), right, (1, 0), (1, 0))
        right = g.average_pool(f"adjust_avg_pool_2_{name}", right, 1, 2)
        right = g.conv(f"adjust_conv_2_{name}", right, filters // 2)
        return g.norm(f"adjust_bn_{name}", g.concat(g.numbered("concatenate"), left, right))
    if g.shape(before)[0] != filters:
        before = g.conv(f"adjust_conv_projection_{name}", _relu(g, before), filters)
        return g.norm(f"adjust_bn_{name}", before)
    return before


def _normal(g: Graph, x: str, before: str | None, filters: int, name: str) -> str:
    p = _adjusted(g, before, x, filters, name)
    h = g.norm(f"normal_bn_1_{name}", g.conv(f"normal_conv_1_{name}", _relu(g, x), filters))
    left = _separable(g, h, filters, 5, f"normal_left1_{name}")
    one = g.add(f"normal_add_1_{name}", left, _separable(g, p, filters, 3, f"normal_right1_{name}"))
    left = _separable(g, p, filters, 5, f"normal_left2_{name}")
    two = g.add(f"normal_add_2_{name}", left, _separable(g, p, filters, 3, f"normal_right2_{name}"))
    three = g.add(f"normal_add_3_{name}", g.average_pool(f"normal_left3_{name}", h, 3, 1, "same"), p)
    pools = (g.average_pool(f"normal_{side}4_{name}", p, 3, 1, "same") for side in ("left", "right"))
    four = g.add(f"normal_add_4_{name}", *pools)
    five = g.add(f"normal_add_5_{name}", _separable(g, h, filters, 3, f"normal_left5_{name}"), h)
    return g.concat(f"normal_concat_{name}", p, one, two, three, four, five)


def _reduction(g: Graph, x: str, before: str | None, filters: int, name: str) -> str:
    p = _adjusted(g, before, x, filters, name)
    h = g.norm(f"reduction_bn_1_{name}", g.conv(f"reduction_conv_1_{name}", _relu(g, x), filters))
    padded = g.pad(f"reduction_pad_1_{name}", h, *_correct_pad(g, h, 3))
    left = _separable(g, h, filters, 5, f"reduction_left1_{name}", 2)
    one = g.add(f"reduction_add_1_{name}", left, _separable(g, p, filters, 7, f"reduction_right1_{name}", 2))
    left = g.max_pool(f"reduction_left2_{name}", padded, 3, 2)
    two = g.add(f"reduction_add_2_{name}", left, _separable(g, p, filters, 7, f"reduction_right2_{name}", 2))
    left = g.average_pool(f"reduction_left3_{name}", padded, 3, 2)
    three = g.add(f"reduction_add3_{name}", left, _separable(g, p, filters, 5, f"reduction_right3_{name}", 2))
    four = g.add(g.numbered("add"), two, g.average_pool(f"reduction_left4_{name}", one, 3, 1, "same"))
    left = _separable(g, one, filters, 3, f"reduction_left4_{name}")
    five = g.add(f"reduction_add4_{name}", left, g.max_pool(f"reduction_right5_{name}", padded, 3, 2))
    return g.concat(f"reduction_concat_{name}", two, three, four, five)
