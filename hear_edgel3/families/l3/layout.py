"""What a net of the L3 family is made of, as plain numbers; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hear_edgel3.families.layers import Operation, Recorder, Values

# Max pooling follows these convolutions (counted from 0).
POOLED = (1, 3, 5)
KERNEL, POOL = 3, 2


def n_frames(n_samples: int, hop_length: int) -> int:
    """Frames in a window of ``n_samples``: one per started hop ("same" padding)."""
    return -(-n_samples // hop_length)


@dataclass(frozen=True)
class L3Layers:
    """A net and its front end, for :class:`hear_edgel3.families.layers.Layers`.

    Attributes:
        channels: of the eight convolutions.
        n_mels: mel bands.
        hop_length: samples between frames.
        frame_length: samples under one frame.
    """

    channels: tuple[int, ...]
    n_mels: int
    hop_length: int
    frame_length: int

    def n_frames(self, n_samples: int) -> int:
        """Frames in a window of ``n_samples``."""
        return n_frames(n_samples, self.hop_length)

    def operations(
        self,
        n_frames: int,
        features: Mapping[str, Any] | None = None,  # noqa: ARG002 there is one kind
    ) -> Sequence[Operation]:
        """What the net does with one image of ``n_frames``: as ``FoldedL3.forward``."""
        net = Recorder()
        image = Values(1, self.n_mels, n_frames)
        x = net.make(image.shape, net.make(image.shape, image))  # scaled, and then shifted
        for i, channels in enumerate(self.channels):
            x = net.convolution(x, channels, KERNEL)
            if i in POOLED:
                x = net.max_pool(x, POOL)
        net.make(self.channels[-1:], x)
        return net.operations
