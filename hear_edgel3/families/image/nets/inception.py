"""Inception-v3 and Inception-ResNet-v2 of ``keras.applications`` without their classifiers, with Keras's names.

Keras gives most of their layers no names but numbers, in the order in which they are written down.
"""

from __future__ import annotations

from collections.abc import Sequence

from hear_edgel3.families.image.graph import INPUT, Graph, Pair

# Channels and kernels of convolutions that follow each other.
Chain = Sequence[tuple[int, int | Pair]]


def _active(
    g: Graph, x: str, channels: int, kernel: int | Pair = 1, stride: int = 1, padding: str = "same", name: str = ""
) -> str:
    """A convolution, batch norm without factors, and ReLU."""
    x = g.conv(name or g.numbered("conv2d"), x, channels, kernel, stride, padding)
    x = g.norm(f"{name}_bn" if name else g.numbered("batch_normalization"), x, scale=False)
    return g.relu(f"{name}_ac" if name else g.numbered("activation"), x)


def _chain(g: Graph, x: str, chain: Chain, last_stride: int = 1) -> str:
    """Convolutions one after the other; the last one with a stride, if it has one, and then without padding."""
    for i, (channels, kernel) in enumerate(chain, 1):
        ends = last_stride > 1 and i == len(chain)
        x = _active(g, x, channels, kernel, *((last_stride, "valid") if ends else (1, "same")))
    return x


def _max_pool(g: Graph, x: str) -> str:
    return g.max_pool(g.numbered("max_pooling2d"), x, 3, 2)


def _pooled(g: Graph, x: str, channels: int) -> str:
    """A mean of 3 by 3 and a convolution of 1 by 1."""
    return _active(g, g.average_pool(g.numbered("average_pooling2d"), x, 3, 1, "same"), channels)


def _stem(g: Graph) -> str:
    x = _active(g, INPUT, 32, 3, 2, "valid")
    x = _active(g, x, 32, 3, 1, "valid")
    x = _max_pool(g, _active(g, x, 64, 3))
    x = _active(g, x, 80, 1, 1, "valid")
    return g.stage(_max_pool(g, _active(g, x, 192, 3, 1, "valid")), "stem")


def inception_v3(height: int, width: int) -> Graph:
    """Szegedy et al. 2016."""
    g = Graph(height, width)
    x = _stem(g)
    for i, pooled in enumerate((32, 64, 64)):
        branches = [_chain(g, x, chain) for chain in (((64, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)))]
        x = g.stage(g.concat(f"mixed{i}", *branches, _pooled(g, x, pooled)))
    branches = [_chain(g, x, chain, 2) for chain in (((384, 3),), ((64, 1), (96, 3), (96, 3)))]
    x = g.stage(g.concat("mixed3", *branches, _max_pool(g, x)))
    wide, high = (1, 7), (7, 1)
    for i, n in enumerate((128, 160, 160, 192), 4):
        once = ((n, 1), (n, wide), (192, high))
        twice = ((n, 1), (n, high), (n, wide), (n, high), (192, wide))
        branches = [_chain(g, x, chain) for chain in (((192, 1),), once, twice)]
        x = g.stage(g.concat(f"mixed{i}", *branches, _pooled(g, x, 192)))
    chains: tuple[Chain, ...] = (((192, 1), (320, 3)), ((192, 1), (192, wide), (192, high), (192, 3)))
    branches = [_chain(g, x, chain, 2) for chain in chains]
    x = g.stage(g.concat("mixed8", *branches, _max_pool(g, x)))
    for i in range(2):
        one = _active(g, x, 320)
        three = _split(g, _active(g, x, 384), f"mixed9_{i}")
        twice_three = _split(g, _chain(g, x, ((448, 1), (384, 3))), g.numbered("concatenate"))
        x = g.stage(g.concat(f"mixed{9 + i}", one, three, twice_three, _pooled(g, x, 192)))
    return g


def _split(g: Graph, x: str, name: str) -> str:
    return g.concat(name, *(_active(g, x, 384, kernel) for kernel in ((1, 3), (3, 1))))


# Of each kind of residual block: the branches, the factor of what they add, and how many there are.
_BLOCKS: dict[str, tuple[tuple[Chain, ...], float, int]] = {
    "block35": ((((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))), 0.17, 10),
    "block17": ((((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))), 0.1, 20),
    "block8": ((((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))), 0.2, 10),
}


def inception_resnet_v2(height: int, width: int) -> Graph:
    """Szegedy et al. 2017."""
    g = Graph(height, width)
    x = _stem(g)
    first: tuple[Chain, ...] = (((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)))
    branches = [_chain(g, x, chain) for chain in first]
    x = g.stage(g.concat("mixed_5b", *branches, _pooled(g, x, 64)))
    x = _residual(g, x, "block35")
    branches = [_chain(g, x, chain, 2) for chain in (((384, 3),), ((256, 1), (256, 3), (384, 3)))]
    x = g.stage(g.concat("mixed_6a", *branches, _max_pool(g, x)))
    x = _residual(g, x, "block17")
    chains: tuple[Chain, ...] = (((256, 1), (384, 3)), ((256, 1), (288, 3)), ((256, 1), (288, 3), (320, 3)))
    branches = [_chain(g, x, chain, 2) for chain in chains]
    x = g.stage(g.concat("mixed_7a", *branches, _max_pool(g, x)))
    x = _residual(g, x, "block8")
    g.stage(_active(g, x, 1536, name="conv_7b"))
    return g


def _residual(g: Graph, x: str, kind: str) -> str:
    chains, factor, depth = _BLOCKS[kind]
    for i in range(1, depth + 1):
        name = f"{kind}_{i}"
        mixed = g.concat(f"{name}_mixed", *(_chain(g, x, chain) for chain in chains))
        up = g.conv(f"{name}_conv", mixed, g.shape(x)[0], bias=True)
        last = kind == "block8" and i == depth  # whose sum is taken as it is
        x = g.weighted_add(g.numbered("custom_scale_layer"), x, up, 1.0 if last else factor)
        x = g.stage(x if last else g.relu(f"{name}_ac", x), name)
    return x
