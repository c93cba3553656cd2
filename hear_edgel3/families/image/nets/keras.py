"""Nets of ``keras.applications`` without their classifiers, layer by layer, with Keras's names.

What Keras calls a convolution with an activation is two layers here: ``NAME/linear``, and ``NAME`` for what it makes.
"""

from __future__ import annotations

from collections.abc import Sequence

from hear_edgel3.families.image.graph import INPUT, Graph, Pair

_RESNET_EPS = 1.001e-5
_BEHIND = ((0, 1), (0, 1))


def _active(g: Graph, name: str, x: str, channels: int, kernel: int = 1, stride: int = 1, padding: str = "same") -> str:
    """A convolution with bias and ReLU, which Keras counts as one layer."""
    return g.relu(name, g.conv(f"{name}/linear", x, channels, kernel, stride, padding, bias=True, layer=name))


def _vgg(height: int, width: int, depths: Sequence[int]) -> Graph:
    g, x = Graph(height, width), INPUT
    for block, (depth, channels) in enumerate(zip(depths, (64, 128, 256, 512, 512), strict=True), 1):
        for i in range(1, depth + 1):
            x = g.stage(_active(g, f"block{block}_conv{i}", x, channels, 3))
        x = g.stage(g.max_pool(f"block{block}_pool", x, 2, 2))
    return g


def vgg16(height: int, width: int) -> Graph:
    """Simonyan and Zisserman 2015, 16 layers."""
    return _vgg(height, width, (2, 2, 3, 3, 3))


def vgg19(height: int, width: int) -> Graph:
    """Simonyan and Zisserman 2015, 19 layers."""
    return _vgg(height, width, (2, 2, 4, 4, 4))


def _seven(g: Graph, conv: str, norm: str, relu: str, bias: bool) -> str:
    """How ResNet and DenseNet begin: a convolution of 7 by 7, and a max pool that sees zeros around the map."""
    three: Pair = (3, 3)
    x = g.conv(conv, INPUT, 64, 7, 2, (three, three), bias=bias)
    x = g.stage(g.relu(relu, g.norm(norm, x)))
    return g.max_pool("pool1_pool" if bias else "pool1", g.pad("pool1_pad", x, (1, 1), (1, 1)), 3, 2)


def resnet50(height: int, width: int) -> Graph:
    """He et al. 2016, with the stride in the first convolution of a block."""
    g = Graph(height, width, eps=_RESNET_EPS)
    x = _seven(g, "conv1_conv", "conv1_bn", "conv1_relu", bias=True)
    for stage, (depth, channels) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for i in range(1, depth + 1):
            name, stride, before = f"conv{stage}_block{i}", 2 if i == 1 and stage > 2 else 1, x
            if i == 1:
                before = g.norm(f"{name}_0_bn", g.conv(f"{name}_0_conv", x, 4 * channels, 1, stride, bias=True))
            x = g.norm(f"{name}_1_bn", g.conv(f"{name}_1_conv", x, channels, 1, stride, bias=True))
            x = g.relu(f"{name}_1_relu", x)
            x = g.norm(f"{name}_2_bn", g.conv(f"{name}_2_conv", x, channels, 3, bias=True))
            x = g.relu(f"{name}_2_relu", x)
            x = g.norm(f"{name}_3_bn", g.conv(f"{name}_3_conv", x, 4 * channels, bias=True))
            x = g.stage(g.relu(f"{name}_out", g.add(f"{name}_add", before, x)))
    return g


def _densenet(height: int, width: int, depths: Sequence[int]) -> Graph:
    g = Graph(height, width, eps=_RESNET_EPS)
    x = _seven(g, "conv1/conv", "conv1/bn", "conv1/relu", bias=False)
    for stage, depth in enumerate(depths, 2):
        for i in range(1, depth + 1):
            name, before = f"conv{stage}_block{i}", x
            x = g.relu(f"{name}_0_relu", g.norm(f"{name}_0_bn", x))
            x = g.norm(f"{name}_1_bn", g.conv(f"{name}_1_conv", x, 128))
            x = g.conv(f"{name}_2_conv", g.relu(f"{name}_1_relu", x), 32, 3)
            x = g.concat(f"{name}_concat", before, x)
        g.stage(x)
        if stage < 5:
            x = g.relu(f"pool{stage}_relu", g.norm(f"pool{stage}_bn", x))
            x = g.conv(f"pool{stage}_conv", x, g.shape(x)[0] // 2)
            x = g.stage(g.average_pool(f"pool{stage}_pool", x, 2, 2))
    g.stage(g.relu("relu", g.norm("bn", x)))
    return g


def densenet121(height: int, width: int) -> Graph:
    """Huang et al. 2017, 121 layers."""
    return _densenet(height, width, (6, 12, 24, 16))


def densenet169(height: int, width: int) -> Graph:
    """Huang et al. 2017, 169 layers."""
    return _densenet(height, width, (6, 12, 32, 32))


def densenet201(height: int, width: int) -> Graph:
    """Huang et al. 2017, 201 layers."""
    return _densenet(height, width, (6, 12, 48, 32))


def mobilenet(height: int, width: int) -> Graph:
    """Howard et al. 2017, of width 1."""
    g = Graph(height, width)
    x = g.norm("conv1_bn", g.conv("conv1", INPUT, 32, 3, 2, _BEHIND))
    x = g.stage(g.relu("conv1_relu", x, 6))
    channels = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    for i, n in enumerate(channels, 1):
        stride = 2 if i in (2, 4, 6, 12) else 1
        x = g.conv(f"conv_dw_{i}", x, None, 3, stride, _BEHIND if stride == 2 else "same")
        x = g.relu(f"conv_dw_{i}_relu", g.norm(f"conv_dw_{i}_bn", x), 6)
        x = g.norm(f"conv_pw_{i}_bn", g.conv(f"conv_pw_{i}", x, n))
        x = g.stage(g.relu(f"conv_pw_{i}_relu", x, 6))
    return g


def mobilenet_v2(height: int, width: int) -> Graph:
    """Sandler et al. 2018, of width 1."""
    g = Graph(height, width)
    x = g.stage(g.relu("Conv1_relu", g.norm("bn_Conv1", g.conv("Conv1", INPUT, 32, 3, 2)), 6))
    inputs, number = 32, 0
    for expansion, channels, depth, first in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for i in range(depth):
            name, stride, before = f"block_{number}" if number else "expanded_conv", first if i == 0 else 1, x
            if expansion != 1:
                x = g.norm(f"{name}_expand_BN", g.conv(f"{name}_expand", x, expansion * inputs))
                x = g.relu(f"{name}_expand_relu", x, 6)
            x = g.norm(f"{name}_depthwise_BN", g.conv(f"{name}_depthwise", x, None, 3, stride))
            x = g.relu(f"{name}_depthwise_relu", x, 6)
            x = g.norm(f"{name}_project_BN", g.conv(f"{name}_project", x, channels))
            if stride == 1 and inputs == channels:
                x = g.add(f"{name}_add", before, x)
            g.stage(x)
            inputs, number = channels, number + 1
    g.stage(g.relu("out_relu", g.norm("Conv_1_bn", g.conv("Conv_1", x, 1280)), 6))
    return g


def squeezenet_v1(height: int, width: int) -> Graph:
    """Iandola et al. 2016, version 1.1, as in keras-squeezenet."""
    g = Graph(height, width)
    x = g.max_pool("pool1", g.stage(_active(g, "conv1", INPUT, 64, 3, 2, "valid")), 3, 2)
    for i, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64), 2):
        x = _active(g, f"fire{i}/squeeze1x1", x, squeeze)
        left = _active(g, f"fire{i}/expand1x1", x, 4 * squeeze)
        right = _active(g, f"fire{i}/expand3x3", x, 4 * squeeze, 3)
        x = g.stage(g.concat(f"fire{i}/concat", left, right), f"fire{i}")
        if i in (3, 5):
            x = g.max_pool(f"pool{i}", x, 3, 2)
    return g
