"""The nets by name: how each is built, what it makes of colours, and what its pictures measure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from hear_edgel3.families.image.graph import Graph
from hear_edgel3.families.image.nets.effnet_lite import effnet_lite0


@dataclass(frozen=True)
class NetKind:
    """A net.

    Attributes:
        build: Writes it down for a height and a width.
        colours: What it takes: "caffe", "tf", "torch" or "lite"; see :mod:`hear_edgel3.families.image.picture`.
        size: The height and width of the pictures that it was trained on.
        smallest: The least height and width that it can take.
        title: What it is called in summaries.
        citation: What to cite.
        n_parameters: Running statistics of batch norm included, without a classifier.
        macs: Multiply-accumulates for a picture of ``size``. Both stand here so that rows cost nothing.
    """

    build: Callable[[int, int], Graph]
    colours: str
    size: int
    smallest: int
    title: str
    citation: str
    n_parameters: int
    macs: int


NETS: dict[str, NetKind] = {
    "effnet_lite0": NetKind(
        effnet_lite0,
        "lite",
        224,
        32,
        "EfficientNet-Lite0",
        "Mingxing Tan, Quoc Le. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.",
        3_413_024,
        383_907_552,
    ),
}


@functools.lru_cache(maxsize=64)
def graph_of(net: str, height: int, width: int) -> Graph:
    """A net for pictures of a size. It is shared: nobody changes it."""
    return NETS[net].build(height, width)
