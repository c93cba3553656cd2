"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, with ReLU6.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the lite variant is
Google's (tensorflow/tpu, models/official/efficientnet/lite).
"""

from __future__ import annotations

from hear_edgel3.families.image.graph import INPUT, Graph

# Of each stage: blocks, kernel, stride of the first, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def effnet_lite0(height: int, width: int) -> Graph:
    """The net without its classifier, padded as TensorFlow pads."""
    g = Graph(height, width, eps=1e-3)

    def layer(name: str, x: str, channels: int | None, kernel: int = 1, stride: int = 1, active: bool = True) -> str:
        x = g.norm(f"{name}_bn", g.conv(f"{name}_conv", x, channels, kernel, stride))
        return g.relu(f"{name}_relu", x, 6) if active else x

    x = g.stage(layer("stem", INPUT, 32, 3, 2), "stem")
    inputs, number = 32, 0
    for n_blocks, kernel, first_stride, expansion, channels in _STAGES:
        for i in range(n_blocks):
            name, stride, before = f"block{number}", first_stride if i == 0 else 1, x
            if expansion != 1:
                x = layer(f"{name}_expand", x, inputs * expansion)
            x = layer(f"{name}_depthwise", x, None, kernel, stride)
            x = layer(f"{name}_project", x, channels, active=False)
            if stride == 1 and inputs == channels:
                x = g.add(f"{name}_add", x, before)
            g.stage(x, name)
            inputs, number = channels, number + 1
    g.stage(layer("head", x, 1280), "head")
    return g
