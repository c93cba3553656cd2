"""Decoding by FFmpeg, through PyAV (the extra ``media``): what phones, cameras, Windows and the web make.

The samples are those of the command ``ffmpeg -i FILE -f f32le -``, with one difference: the end of an MP4 file (m4a,
mov, 3gp) is cut as its packets say, to the sample, where versions of FFmpeg keep up to a frame too much or cut to a
whole millisecond. Starts are cut by FFmpeg itself. Clocks are not asked: their zero is not the first sample.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from hear_edgel3._extras import require
from hear_edgel3.audio.decoder import DecodingError, SampleType
from hear_edgel3.audio.kinds import MEDIA_EXTRA
from hear_edgel3.audio.source import Source

# What FFmpeg may take a file for. Its formats of lists (HLS, concat) would open other files, and addresses.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,aac,ac3,eac3,amr,amrnb,amrwb,ape,avi,caf,dsf,iff,dts,dtshd,flv,g722,gsm,"
    "latm,loas,mlp,truehd,mp3,mpc,mpc8,mpeg,mpegts,ogg,oma,qoa,rm,sbc,shn,tak,tta,w64,wav,wv,aiff,flac"
)
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
# Full scales by the name of a sample format, without the p of planar ones.
_FULL_SCALES = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}
# The times of some files are whole milliseconds: an end that is so near is the same one.
_NEAR = 500
# A file of which more packets than that are bad is damaged, as one that lacks more than a hundredth is truncated.
_MOST_BAD = 0.01


class NotMedia(DecodingError):
    """FFmpeg does not know the file either."""


class MediaDecoder:
    """A :class:`~hear_edgel3.audio.decoder.Decoder` for what FFmpeg reads: the sound track that it would choose.

    Args:
        source: what to read.

    Raises:
        NotMedia: FFmpeg does not know the format.
        DecodingError: there is no sound in it that can be decoded.
    """

    def __init__(self, source: Source) -> None:
        self._av = require("av", "reading this file", MEDIA_EXTRA)
        self._source = source
        self.notes: list[str] = []
        self._at = 0
        self._left: np.ndarray | None = None
        self._format: tuple[int, int] | None = None
        self._blocks: Iterator[np.ndarray] = iter(())
        self._begin()
        self.sample_rate, self.channels = self._next_format()
        self.frames = self.counted = self._length()
        # Headers give milliseconds, and count what encoders put before the sound.
        self.slack = self.sample_rate // 10

    def read(self, count: int, dtype: SampleType) -> np.ndarray:
        """As in the interface."""
        blocks, have = [], 0
        if self._left is not None:
            blocks, have, self._left = [self._left], len(self._left), None
        while have < count and (block := next(self._blocks, None)) is not None:
            blocks.append(block)
            have += len(block)
        if not blocks:
            return np.zeros((0, self.channels), dtype)
        joined = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        if have > count:
            self._left = joined[count:]
        found = joined[:count]
        self._at += len(found)
        return found.astype(dtype, copy=False)

    def seek(self, frame: int) -> None:
        """As in the interface."""
        if frame < self._at:
            self.close()
            self.notes.clear()
            self._begin()
        while self._at < frame and len(self.read(min(frame - self._at, 1 << 20), "float32")):
            pass

    def close(self) -> None:
        """As in the interface."""
        self._container.close()

    def _begin(self) -> None:
        source = self._source
        path = None if source.path is None else os.fspath(source.path.absolute())
        # The prefix keeps names from being taken for addresses; names that are no text go as objects.
        opened: Any = source.view() if path is None or not _is_text(path) else f"file:{path}"
        try:
            # Labels that are no UTF-8 do not matter.
            self._container = self._av.open(opened, options=dict(_OPTIONS), metadata_errors="replace")
        except (self._av.error.FFmpegError, ValueError, OSError) as error:
            raise NotMedia(self._words(error)) from error
        tracks = self._container.streams.audio
        if not tracks:
            self._container.close()
            raise DecodingError("it has no sound track")
        default = self._av.stream.Disposition.default
        self._track = max(tracks, key=lambda track: (bool(track.disposition & default), track.channels, -track.index))
        self._at = 0
        self._left = None
        self._blocks = self._decode()

    def _next_format(self) -> tuple[int, int]:
        """Rate and channels, as the first frame has them: what the header says may be half of it."""
        self._left = next(self._blocks, None)
        if self._format is None:
            self.close()
            raise DecodingError("; ".join(["no sound could be decoded", *self.notes]))
        return self._format

    def _length(self) -> int | None:
        """How many samples per channel the header says, in the two formats whose headers can be relied on."""
        track, container = self._track, self._container
        if self._is("mp4") and track.duration and track.time_base:
            return int(track.duration * track.time_base * self.sample_rate)
        if self._is("matroska") and len(container.streams) == 1 and container.duration:
            return int(container.duration * self.sample_rate // 1_000_000)
        return None

    def _is(self, name: str) -> bool:
        return name in self._container.format.name.split(",")

    def _decode(self) -> Iterator[np.ndarray]:
        """Yields (n, channels) float32 blocks: one frame each, and the last one cut where the file says it ends."""
        errors = self._av.error
        mp4 = self._is("mp4")
        end: int | None = None
        held: Any = None
        bad = count = 0
        last_bad = False
        packets = self._container.demux(self._track)
        stopped = None
        while True:
            try:
                packet = next(packets, None)
            except errors.FFmpegError as error:
                stopped = error
                packet = None
            if packet is None:
                break
            if mp4 and packet.pts is not None and packet.duration and not packet.is_discard:
                end = packet.pts + packet.duration if end is None else max(end, packet.pts + packet.duration)
            count += 1
            try:
                frames = packet.decode()
            except errors.EOFError:
                break
            except errors.FFmpegError:
                bad, last_bad = bad + 1, True
                continue
            last_bad = last_bad and not frames  # the empty packet at the end gives what is left in the decoder
            for frame in frames:
                if held is not None:
                    yield self._samples(held)
                held = frame
        if stopped is not None:
            for frame in self._flushed():
                if held is not None:
                    yield self._samples(held)
                held = frame
        if held is not None:
            block = self._samples(held)
            yield block[: len(block) - self._too_long(held, len(block), end)]
        if bad > _MOST_BAD * count:
            raise DecodingError(f"{bad} of its {count} packets cannot be decoded")
        if bad:
            at_its_end = ", the last one among them: its end may be missing" if last_bad else ""
            self.notes.append(f"it has {bad} damaged packets, which were left out{at_its_end}")
        if stopped is not None:
            raise DecodingError(f"what follows cannot be read: {self._words(stopped)}")

    def _flushed(self) -> list[Any]:
        try:
            return list(self._track.codec_context.decode(None))
        except self._av.error.FFmpegError:
            return []

    def _too_long(self, frame: Any, samples: int, end: int | None) -> int:
        """By how many samples the last frame reaches beyond the end of the track."""
        track = self._track
        if end is None or frame.pts is None or track.time_base is None:
            return 0
        per_tick = Fraction(track.time_base) * frame.sample_rate
        if per_tick.denominator != 1:  # the clock is not exact
            return 0
        behind = frame.pts * per_tick + samples
        over = int(behind - end * per_tick)
        if 0 < over < samples:
            return over
        if over <= 0 and track.duration:
            # No packet is shorter than the others. Then the list of edits tells, if it says more than its rounding.
            over = int(behind - ((track.start_time or 0) + track.duration) * per_tick)
            if frame.sample_rate // _NEAR < over < samples:
                return over
        return 0

    def _samples(self, frame: Any) -> np.ndarray:
        values = frame.to_ndarray()
        channels = int(frame.layout.nb_channels)
        found = (int(frame.sample_rate), channels)
        self._format = self._format or found
        if found != self._format:
            raise DecodingError(
                f"it changes from {self._format[0]} Hz and {self._format[1]} channels to {found[0]} Hz and "
                f"{found[1]} channels; cut it there into files of their own"
            )
        values = values.T if frame.format.is_planar else values.reshape(-1, channels)
        name = frame.format.name.removesuffix("p")
        if name == "u8":
            values = values.astype(np.float32) - 128
        if name in _FULL_SCALES:
            exact = values if values.dtype.itemsize < 4 or name == "u8" else values.astype(np.float64)
            return np.ascontiguousarray(exact / _FULL_SCALES[name], dtype=np.float32)
        return np.ascontiguousarray(values, dtype=np.float32)

    def _words(self, error: Exception) -> str:
        text = getattr(error, "strerror", None) or str(error)
        return str(text).rstrip(".")


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
