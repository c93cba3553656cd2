"""The shape of a layer: of what it gets, and of what becomes of its output."""

from __future__ import annotations

from dataclasses import dataclass

# What becomes of a layer's output: it is kept, halved by a 2 by 2 maximum, or reduced to its maximum per channel.
KEEP, HALVE, WHOLE = 0, 1, 2


@dataclass(frozen=True)
class LayerShape:
    """The shape of a 3 by 3 convolution: its input, how vectors hold it, and what becomes of its output.

    Attributes:
        lanes: of the vectors.
        height: rows of a strip of its input.
        width: columns of its input.
        pool: KEEP, HALVE or WHOLE.
        relu: whether negative values become 0.
        images: that share the lanes of a vector; each has `strips` of them.
    """

    lanes: int
    height: int
    width: int
    pool: int
    relu: bool
    images: int = 1

    @property
    def strips(self) -> int:
        """Strips of an image."""
        return self.lanes // self.images

    @property
    def width_out(self) -> int:
        """Columns that are computed: an odd last one is lost when halved."""
        return self.width // 2 * 2 if self.pool == HALVE else self.width

    def tiles(self, rows: int, columns: int) -> int:
        """Tiles of the output before pooling."""
        return self.height // rows * -(-self.width_out // columns)

    def size_out(self, n_out: int, n_tiles: int) -> int:
        """Values of the output: (n_out, height, width, lanes), or (n_tiles, n_out, lanes)."""
        if self.pool == WHOLE:
            return n_tiles * n_out * self.lanes
        pixels = self.height * self.width_out
        return n_out * (pixels // 4 if self.pool == HALVE else pixels) * self.lanes
