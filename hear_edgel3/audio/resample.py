"""Sample-rate conversion, equal to resampy 0.2.2 ``kaiser_best``, as a polyphase filter bank.

The sparse L3 and SEA nets were published with resampy 0.2.2 in front of them, and their embeddings move (worst cosine
0.93-0.97) when another resampler takes its place. So this module computes what that version computes: a Kaiser-windowed
sinc of 64 zero crossings, tabulated at 512 points per crossing and linearly interpolated, read with a step of
``int(min(1, ratio) * 512)`` table entries. (The truncation of that step is upstream's; it makes a DC gain of up to
+0.8 %, and the nets were trained with it.)

For a rational ratio ``P / M`` the filters repeat after ``P`` outputs and ``M`` inputs, so instead of interpolating the
table for each sample we build the filters once per pair of rates and apply them as one matrix product over overlapping
blocks of input: batched, differentiable, on any device.

Source of the formulas: resampy 0.2.2, ``filters.py`` (sinc_window) and ``interpn.py`` (resample_f); J. O. Smith,
"Digital Audio Resampling Home Page", 2002.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from hear_edgel3.audio.buffer import StreamBuffer
from hear_edgel3.audio.filter_bank import FilterBank, filter_bank
from hear_edgel3.audio.rates import check_rate, minimum_samples, resampled_length
from hear_edgel3.errors import InvalidAudio


class _ReadPosition:
    """Upstream's read position, a running float64 sum, followed from output 0 onwards."""

    _CHUNK = 1 << 20

    def __init__(self, bank: FilterBank) -> None:
        self._step = 1.0 / bank.ratio
        self._unit = bank.phases_per_unit
        self._inputs_per_unit = bank.step_in * bank.phases_per_unit // bank.step_out
        self._needed = bank.has_late_outputs
        self._t = 0
        self._position = 0.0

    def late(self, t1: int) -> torch.Tensor | None:
        """For the whole-sample outputs from where the last call ended up to ``t1``: is each one read late?"""
        if not self._needed:
            return None
        flags = []
        while self._t < t1:
            count = min(t1 - self._t, self._CHUNK)
            # cumsum adds from left to right, so it rounds as upstream's loop does
            sums = np.cumsum(np.concatenate([[self._position], np.full(count, self._step)]))
            skip = -self._t % self._unit
            whole = np.arange(self._t + skip, self._t + count, self._unit)
            flags.append(sums[skip : count : self._unit] < whole // self._unit * self._inputs_per_unit)
            self._t += count
            self._position = float(sums[count])
        return torch.from_numpy(np.concatenate(flags) if flags else np.zeros(0, bool))


def resample(audio: torch.Tensor, sr_orig: int, sr_new: int) -> torch.Tensor:
    """Converts the sample rate as resampy 0.2.2 ``kaiser_best`` does.

    Differentiable; batched; runs on the device of ``audio``. Upstream's read position is a running float64 sum that
    drifts by up to a third of a sample in an hour; here positions are exact, and only upstream's choice of filter at
    whole input samples is followed.

    Args:
        audio: (..., n) floating point.
        sr_orig: rate of ``audio`` in Hz.
        sr_new: rate wanted in Hz.

    Returns:
        (..., int(n * sr_new / sr_orig)), dtype and device of ``audio``.

    Raises:
        InvalidOption: a rate is not a whole number between 1000 and 768000 Hz.
        InvalidAudio: the result would have no sample.
    """
    sr_orig, sr_new = check_rate(sr_orig, "sr_orig"), check_rate(sr_new, "sr_new")
    if sr_orig == sr_new:
        return audio
    n_out = resampled_length(audio.shape[-1], sr_orig, sr_new)
    if n_out < 1:
        raise InvalidAudio(
            f"audio of {audio.shape[-1]} samples is too short to convert from {sr_orig} to {sr_new} Hz; "
            f"at least {minimum_samples(sr_orig, sr_new)} are needed"
        )
    bank = filter_bank(sr_orig, sr_new)
    flat = audio.reshape(-1, audio.shape[-1])
    if flat.shape[0] == 0:
        return audio.new_zeros((*audio.shape[:-1], n_out))
    y = bank.apply(flat, 0, 0, n_out, _ReadPosition(bank).late(n_out))
    return y.reshape(*audio.shape[:-1], n_out)


class StreamResampler:
    """The same conversion, block by block: the concatenated outputs equal :func:`resample` of the whole.

    Args:
        sr_orig: rate of the input in Hz.
        sr_new: rate wanted in Hz.

    Attributes:
        lookahead: input samples that an output waits for beyond its own position, rounded up.
    """

    def __init__(self, sr_orig: int, sr_new: int) -> None:
        self._bank = filter_bank(check_rate(sr_orig, "sr_orig"), check_rate(sr_new, "sr_new"))
        self.lookahead = self._bank.lookahead
        self._position = _ReadPosition(self._bank)
        self._buffer = StreamBuffer()
        self._t = 0

    def needed(self, n_outputs: int) -> int:
        """Input samples that must have come before ``n_outputs`` are complete, unless the input ends."""
        # The last one reads from its position, rounded up, on.
        position = (n_outputs - 1) * self._bank.sr_orig
        return self.lookahead - (-position // self._bank.sr_new) if n_outputs > 0 else 0

    def push(self, block: torch.Tensor, *, fresh: bool = False) -> torch.Tensor:
        """Takes (n,) more samples and returns the outputs that are now complete.

        Args:
            block: The samples.
            fresh: Whether nobody writes to them before the next come; else they are copied.
        """
        self._buffer.append(block, fresh=fresh)
        beyond = self._buffer.received - self.lookahead
        return self._emit(beyond * self._bank.sr_new // self._bank.sr_orig + 1 if beyond >= 0 else 0)

    def flush(self) -> torch.Tensor:
        """Ends the input and returns the remaining outputs."""
        return self._emit(resampled_length(self._buffer.received, self._bank.sr_orig, self._bank.sr_new))

    def _emit(self, t1: int) -> torch.Tensor:
        held, start = self._buffer.samples, self._buffer.start
        if t1 <= self._t:
            return held.new_zeros(0)
        t0, self._t = self._t, t1
        y = self._bank.apply(held[None], start, t0, t1, self._position.late(t1))[0]
        self._buffer.forget(t1 * self._bank.sr_orig // self._bank.sr_new - self._bank.reach - 1)
        return y


def resample_blocks(blocks: Iterator[torch.Tensor], sr_orig: int, sr_new: int) -> Iterator[torch.Tensor]:
    """Converts a stream of (n,) blocks; passes them through untouched when the rates agree."""
    if sr_orig == sr_new:
        yield from blocks
        return
    stream = StreamResampler(sr_orig, sr_new)
    for block in blocks:
        yield stream.push(block)
    yield stream.flush()
