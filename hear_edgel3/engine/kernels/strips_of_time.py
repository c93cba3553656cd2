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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hear_edgel3.compiled.jit import kernel


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
        return (columns[0], columns[-1] + 1) if columns[0] <= columns[-1] else (0, width)

    def edges(self) -> np.ndarray:
        """(2, lanes) float32: ones, but zero for the first strip of each image; and so for the last one."""
        strip = np.arange(self.lanes) % self.strips
        return np.stack([strip > 0, strip < self.strips - 1]).astype(np.float32)

    def put(self, image: np.ndarray, i: int, target: np.ndarray) -> None:
        """Writes a (bands, frames) image as the i-th of those that share the vectors (bands, width, lanes)."""
        _put(image, target, i * self.strips, self.strips, self.width)


@kernel
def _put(image: Any, target: Any, lane: int, strips: int, width: int) -> None:
    """Writes an image's strips to the lanes from one on, with zeros behind its end."""
    bands, frames = image.shape
    for band in range(bands):
        row, lines = image[band], target[band]
        for strip in range(strips):
            begin = strip * width
            n = min(max(frames - begin, 0), width)
            for c in range(n):
                lines[c, lane + strip] = row[begin + c]
            for c in range(n, width):
                lines[c, lane + strip] = np.float32(0.0)


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
