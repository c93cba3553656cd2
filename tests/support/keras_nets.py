"""Seeded weights for nets of ``keras.applications``, of their names, and pictures for them to see."""

from __future__ import annotations

import zlib

import numpy as np

# The nets that the committed features are of (tests/data/keras_features.npz), and the height and width of what they
# see: even and odd, and not the same, because what is padded depends on that.
SIZES = {
    "xception": (109, 134),
    "inception_v3": (110, 141),
    "inception_resnet_v2": (107, 118),
    "nasnet_mobile": (140, 111),
    "nasnet_large": (75, 92),
}


def seeded(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values that the weights of a name have, such as "conv2d_1/kernel"."""
    random, kind = np.random.RandomState(zlib.crc32(name.encode())), name.rsplit("/", 1)[1]
    if kind in ("gamma", "moving_variance"):
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    if kind in ("beta", "moving_mean"):
        return (0.1 * random.randn(*shape)).astype(np.float32)
    if kind == "bias":
        return (0.05 * random.randn(*shape)).astype(np.float32)
    inputs = shape[0] * shape[1] if kind == "depthwise_kernel" else np.prod(shape[:-1])
    return (random.randn(*shape) * np.sqrt(2 / inputs)).astype(np.float32)


def picture(height: int, width: int) -> np.ndarray:
    """(height, width, 3) whole numbers from 0 to 255: waves in noise."""
    random = np.random.RandomState(height * 1000 + width)
    y, x = np.mgrid[:height, :width][..., None]
    waves = np.sin(y * random.uniform(0.02, 0.3, 3) + x * random.uniform(0.02, 0.3, 3) + random.uniform(0, 6, 3))
    return np.clip(127 + 90 * waves + 20 * random.randn(height, width, 3), 0, 255).round().astype(np.float32)
