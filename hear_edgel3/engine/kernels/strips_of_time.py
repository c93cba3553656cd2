"""How the images of nets of inverted residuals share the lanes of vectors.

A lane is one image, or one of 2 to 16 strips in time of one. All that such a net does happens in all lanes at once, and
only where a convolution reaches over a strip's ends do lanes look at their neighbours. A map lies in memory as
[channel][row][column][lane]; rows are bands of frequency, columns are frames::

    an image of 500 frames, cut into 8 strips of 64 columns       its rows in memory, one vector per column

    time ->  0        64       128         448  499               column    0    1    2  ..  63
           +--------+--------+--- ... ---+--------+               lane 0    0    1    2  ..  63
    band   |strip 0 |strip 1 |           |strip 7 |               lane 1   64   65   66  .. 127
           +--------+--------+--- ... ---+--------+                 ..
                                             ^ masked             lane 7  448  449  450  .. 511  (500 .. 511 masked)
                                                                  lanes 8 to 15: the next image

Two columns of ``halo`` around a row come from the neighbours' ends by moving lanes (zeros at an image's own ends)::

        before the row            the row, of strip 3             behind the row
        strip 2's last columns    0   1   2   ...   63            strip 4's first columns

Strips are as long as the net's strides need, so that all maps fall into strips likewise. Where one image has a vector
for itself, the last maps' strips may be shorter than a convolution reaches: their halos are of strips further on, too.
What lies behind an image's end is set to zero wherever a convolution looks at it, and left out of what is pooled: it is
*masked*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from hear_edgel3.compiled.jit import kernel
from hear_edgel3.compiled.simd import zeros
from hear_edgel3.engine.kernels.tile_ops import transpose_to


@dataclass(frozen=True)
class StripsOfTime:
    """How images of one size share vectors.

    Attributes:
        lanes: of a vector.
        strips: of an image; a lane each.
        frames: of an image.
        width: columns of a strip.
    """

    lanes: int
    strips: int
    frames: int
    width: int

    @property
    def images(self) -> int:
        """How many images share a vector."""
        return self.lanes // self.strips

    def mask(self, width: int, frames: int) -> tuple[np.ndarray | None, int]:
        """What lies within the image, of a map whose strips and frames are so many columns.

        Returns:
            (width, lanes) float32 ones and zeros, or None if all of it does; and the first column that has a zero.
        """
        if self.strips == 1:
            return None, width
        strip = np.arange(self.lanes) % self.strips
        within = np.arange(width)[:, None] + width * strip < frames
        whole = within.all(axis=1)
        if whole.all():
            return None, width
        return within.astype(np.float32), int(np.argmin(whole))

    def before_convolving(self, width: int, frames: int, reach: int) -> tuple[int, int]:
        """The first of the columns to mask in such a map, and behind the last one: no others are seen from within.

        Args:
            width: columns of its strips.
            frames: of it.
            reach: columns that a convolution reaches over in either direction.
        """
        columns = [at % width for at in range(frames, min(frames + reach, self.strips * width))]
        if self.strips == 1 or not columns:
            return width, width
        # Of strips that are shorter than the reach all columns are among them, some twice.
        whole = len(columns) >= width or columns[0] > columns[-1]
        return (0, width) if whole else (columns[0], columns[-1] + 1)

    def edges(self) -> np.ndarray:
        """(2, lanes) float32: ones, but zero for the first strip of each image; and so for the last one."""
        strip = np.arange(self.lanes) % self.strips
        return np.stack([strip > 0, strip < self.strips - 1]).astype(np.float32)

    def put(self, images: np.ndarray, target: np.ndarray) -> None:
        """Writes images to the lanes of vectors, with zeros behind their ends and in lanes that are left.

        Args:
            images: (n, bands, frames) float32, as many as share the vectors or fewer.
            target: (bands * width * lanes,) float32, aligned to a vector.
        """
        # Arrays made inside a kernel would cost each process a quarter of a second: numba imports what makes them.
        rows, places = np.zeros((self.lanes, self.width), np.float32), np.empty(self.lanes, np.int64)
        ones = np.ones(self.lanes, np.float32)
        _make_put(self.lanes)(np.ascontiguousarray(images), self.strips, self.width, rows, places, ones, target)

    def images_in(self, vectors: np.ndarray, n: int) -> np.ndarray:
        """(n, bands, frames) of the first images in (bands * width * lanes,) vectors."""
        by_lane = vectors.reshape(-1, self.width, self.images, self.strips)[:, :, :n]
        # (images, bands, strips, width): a strip's columns follow those of the strip before.
        return by_lane.transpose(2, 0, 3, 1).reshape(n, len(by_lane), -1)[:, :, : self.frames]


@cache
def _make_put(lanes: int) -> Callable[..., None]:
    """The kernel."""

    @kernel
    def put(images: Any, strips: int, width: int, rows: Any, places: Any, ones: Any, target: Any) -> None:
        """Writes strips to lanes.

        Args:
            images: (n, bands, frames).
            strips: of an image.
            width: columns of a strip.
            rows: (lanes, width) zeros, for strips that are not whole, or shorter than a vector.
            places: (lanes,), for addresses.
            ones: (lanes,).
            target: the vectors.
        """
        zero = zeros(lanes, lanes)
        out: Any = np.int64(target.ctypes.data)
        n, bands, frames = images.shape
        for band in range(bands):
            for lane in range(lanes):
                image, begin = lane // strips, lane % strips * width
                there = min(max(frames - begin, 0), width) if image < n else 0
                if there == width and width >= lanes:
                    places[lane] = images.ctypes.data + 4 * ((image * bands + band) * frames + begin)
                else:
                    for c in range(there):
                        rows[lane, c] = images[image, band, begin + c]
                    places[lane] = rows.ctypes.data + 4 * lane * width
            if width >= lanes:
                for c in range(0, width, lanes):
                    first = min(c, width - lanes)  # the last ones may be written twice
                    place = out + 4 * (band * width + first) * lanes
                    transpose_to(zero, places.ctypes.data, 4 * first, ones.ctypes.data, place)
            else:  # rows are too short for whole vectors of them
                for lane in range(lanes):
                    for c in range(width):
                        target[(band * width + c) * lanes + lane] = rows[lane, c]

    return put


def strips_for(frames: int, lanes: int, convolutions: Sequence[tuple[int, int]]) -> StripsOfTime:
    """Into how many strips images of so many frames are cut: this depends on nothing else, nor do an image's bits.

    Many strips are fast for one image alone, which then takes a vector for itself. Few are better for many images at
    once, as less of the vectors is masked. What both take is weighed.

    Args:
        frames: of an image.
        lanes: of a vector.
        convolutions: stride and reach to either side of the net's convolutions, first to last.
    """
    best, least = StripsOfTime(lanes, 1, frames, frames), float(frames)
    strips = 2
    while strips <= lanes:
        # The last rows of narrow strips are slow, which pays where one image has a vector for itself.
        unit = _least_width(convolutions, narrow=strips == lanes)
        width = -(-frames // (strips * unit)) * unit
        if width * strips**0.5 < least:
            best, least = StripsOfTime(lanes, strips, frames, width), width * strips**0.5
        strips *= 2
    return best


def _least_width(convolutions: Sequence[tuple[int, int]], narrow: bool) -> int:
    """Columns of the shortest strips: divisible by all strides, and no shorter than a convolution reaches.

    If they are `narrow`, the latter does not count.
    """
    shrunk, least = 1, 1
    for stride, reach in convolutions:
        least = max(least, reach * shrunk)
        shrunk *= stride
    return shrunk if narrow else -(-least // shrunk) * shrunk
