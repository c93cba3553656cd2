"""The latest part of a stream: what later arithmetic still needs of it, and no more."""

from __future__ import annotations

import torch


class StreamBuffer:
    """Samples of a stream from some position on.

    They lie in one buffer with room for more, so that appending costs the same per sample whatever the size of blocks.
    Nothing that has been handed out is ever written to: a full buffer is replaced, not reused.

    Attributes:
        start: position in the stream of the first sample kept; it may lie ahead of what has been received.
        received: samples that the stream has had.
    """

    def __init__(self) -> None:
        self.start = 0
        self.received = 0
        self._buffer = torch.zeros(0, dtype=torch.float32, device="cpu")
        self._first = 0  # what is kept is self._buffer[self._first : self._end]
        self._end = 0

    @property
    def samples(self) -> torch.Tensor:
        """(n,) samples from ``start`` on.

        A stream may change its type. What is kept then takes the wider one: in the narrower, samples would be rounded.
        """
        return self._buffer[self._first : self._end]

    def append(self, block: torch.Tensor, *, fresh: bool = False) -> None:
        """Takes (n,) more samples; those before ``start`` are not kept.

        Args:
            block: the samples.
            fresh: whether nobody else has them, so that they need not be copied.
        """
        # shape[0] and not len(), which takes a microsecond of a tensor: streams come here for each of their blocks.
        n = block.shape[0]
        skipped = min(max(0, self.start - self.received), n)
        self.received += n
        n -= skipped
        new = block[skipped:] if skipped else block
        buffer, kept = self._buffer, self._end - self._first
        if n == 0 and new.dtype == buffer.dtype and new.device == buffer.device:
            return
        dtype = buffer.dtype if new.dtype == buffer.dtype else torch.promote_types(buffer.dtype, new.dtype)
        if fresh and kept == 0 and n > buffer.shape[0] and dtype == new.dtype:
            self._buffer, self._first, self._end = new, 0, n
            return
        full = self._end + n > buffer.shape[0]
        if full or buffer.dtype != dtype or buffer.device != new.device:
            with torch.inference_mode(False):  # so that it can be written to in any mode
                # Twice as long as needed, so that copying costs the same per sample however many appends there are.
                self._buffer = torch.empty(2 * (kept + n), dtype=dtype, device=new.device)
            self._buffer[:kept] = buffer[self._first : self._end]
            self._first, self._end = 0, kept
        self._buffer[self._end : self._end + n] = new
        self._end += n

    def forget(self, position: int) -> None:
        """Drops the samples before a position."""
        if position <= self.start:
            return
        self._first = min(self._first + position - self.start, self._end)
        self.start = position
