"""Sound files that libsndfile does not read, and the sound of videos, decoded by FFmpeg through PyAV (extra ``media``).

FFmpeg applies what a file says about padding at the start before it hands out samples, so nothing is cut there; at the
end of MP4 and its kin, where versions of FFmpeg differ, the cut is made here: see :func:`_padding`.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hear_edgel3._extras import require
from hear_edgel3.errors import AudioFileError

if TYPE_CHECKING:
    import numpy as np

_BLOCK_SECONDS = 4
LONGEST_S = 1e8  # three years: a header that says more is damaged

# Endings of files that the extra reads; used to pick files out of a folder (a file named by the user is always tried).
# Not among them is .ts, which is mostly TypeScript.
MEDIA_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        "3g2 3gp aac ac3 adts amr ape asf avi awb dts eac3 f4v flv m2ts m4a m4b m4r m4v mka mkv mlp mov mp2 mp4 mpeg "
        "mpg mts ra rm spx tak thd tta webm wma wmv wv"
    ).split()
)

# FFmpeg opens only what is named here. Playlists and the like are not, because they lead it to other files and to the
# network; nor are raw samples, which it would take for sound by their ending alone.
_CONTAINERS = (
    "aac ac3 aiff amr amrnb amrwb ape asf au avi caf dts dtshd eac3 flac flv matroska mlp mov mp3 mpc mpc8 mpeg mpegts "
    "ogg rm tak truehd tta w64 wav wv xwma"
).split()

# Whose header says how long the sound is; of the others FFmpeg guesses by the bit rate.
_WITH_LENGTH = frozenset("asf avi caf matroska mov tta w64 wav wv".split())

_MAGIC = (
    (0, b"\x1aE\xdf\xa3"),  # Matroska, WebM
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF: WMA, WMV
    (4, b"ftyp"),  # MP4, M4A, 3GP, new MOV
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (0, b"#!AMR"),
    (0, b"BW64"),
    (0, b"FLV\x01"),
    (0, b"MAC "),
    (0, b"TTA1"),
    (0, b"wvpk"),
    (0, b"tBaK"),
    (0, b"\x0b\x77"),  # AC-3
    (0, b"\x7f\xfe\x80\x01"),  # DTS
    (0, b"\xff\xf1"),  # AAC in ADTS
    (0, b"\xff\xf9"),
    (0, b".RMF"),
    (8, b"AVI "),
    (0, b"\x00\x00\x01\xba"),  # MPEG
)


# Containers that libsndfile reads too, though not with every codec.
_SHARED_MAGIC = (b"RIFF", b"RF64", b"FORM", b"OggS", b"caff", b"riff", b".snd", b"fLaC", b"ID3")


_HEAD = 4096
# In WAV: PCM, Microsoft's ADPCM, floats, A-law, mu-law, IMA ADPCM, GSM, NMS, G.721, MP3, and "see below".
_CODECS_OF_WAV = (0x01, 0x02, 0x03, 0x06, 0x07, 0x11, 0x31, 0x38, 0x40, 0x45, 0x55, 0xFFFE)
_IN_OGG = (b"Speex   ", b"\x7fFLAC", b"\x80theora", b"fishead")


def may_be_media(path: Path, opened: BinaryIO | None = None) -> bool | None:
    """Whether a file that libsndfile does not read is one for this module, by its first bytes or its ending.

    Returns:
        True, False, or None if it may also be a damaged one for libsndfile.
    """
    try:
        if opened is not None:
            opened.seek(0)
            head = opened.read(_HEAD)
        else:
            with path.open("rb") as file:
                head = file.read(_HEAD)
    except OSError:
        return False
    if path.suffix.lower() in MEDIA_SUFFIXES | {".ts"} or any(head[at:].startswith(magic) for at, magic in _MAGIC):
        return True
    if _has_another_codec(head):
        return True
    return None if head.startswith(_SHARED_MAGIC) else False


def _has_another_codec(head: bytes) -> bool:
    """Whether a file is of a container that libsndfile reads, and its sound of a codec that it does not."""
    if head[:4] == b"OggS":
        return head[28:].startswith(_IN_OGG)
    at = head.find(b"fmt ")
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE" or not 0 < at < len(head) - 10:
        return False
    return int.from_bytes(head[at + 8 : at + 10], "little") not in _CODECS_OF_WAV


class _Pass:
    """Where a pass over the frames of a file is.

    Attributes:
        frames: what gives them.
        frame: the present one, (channels, n).
        start: how many samples were before it.
    """

    def __init__(self, frames: Generator[np.ndarray, None, None]) -> None:
        self.frames = frames
        self.frame = next(frames)
        self.start = 0

    def advance(self) -> bool:
        """Goes to the next frame, if there is one."""
        n = self.frame.shape[1]
        following = next(self.frames, None)
        self.start += n
        self.frame = self.frame[:, n:] if following is None else following
        return following is not None


class MediaFile:
    """The sound track of a file, decoded from its start in memory independent of its length.

    Of several tracks it is the one that the command ``ffmpeg`` takes: one marked as default, else the one with the most
    channels, else the first.

    Args:
        path: the file, or what to call it in errors.
        opened: a seekable binary file to read instead.

    Attributes:
        sample_rate: in Hz, of the decoded samples.
        channels: how many.

    Raises:
        AudioFileError: FFmpeg cannot read it, or it has no sound track, or no samples.
        MissingExtra: the extra ``media`` is not installed.
    """

    def __init__(self, path: Path, opened: BinaryIO | None = None) -> None:
        self._av: Any = require("av", f"reading {path}, which libsndfile cannot read,", "media")
        self._path = path
        self._opened = opened
        self._length: float | None = None
        self._counted: float | None = None
        self._going_on: _Pass | None = None
        self._pass: Generator[np.ndarray, None, None] | None = self._decoded()
        self.sample_rate = 0
        self.channels = 0
        try:
            self._first = next(self._pass)
        except StopIteration:
            raise AudioFileError(f"{path} has no samples") from None

    @property
    def duration(self) -> float:
        """Seconds, as the header says; counted by decoding all where it says nothing that can be trusted."""
        if self._length is None and self._counted is None:
            if self._opened is not None:
                self.close()  # two passes cannot share its position
            with closing(self._decoded()) as frames:
                self._counted = sum(frame.shape[1] for frame in frames) / self.sample_rate
        known = self._counted if self._length is None else self._length
        assert known is not None
        return known

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the whole file as (channels, n) float32 blocks of a few seconds.

        Full scale is 1; lossy formats may go beyond.

        Raises:
            AudioFileError: the file is damaged, ends before its header says, or changes its rate or channels.
        """
        import numpy as np

        parts: list[np.ndarray] = []
        gathered = total = 0
        with closing(self._from_start()) as frames:
            for frame in frames:
                parts.append(frame)
                gathered += frame.shape[1]
                if gathered >= _BLOCK_SECONDS * self.sample_rate:
                    yield np.concatenate(parts, axis=1)
                    total += gathered
                    parts, gathered = [], 0
        if parts:
            yield np.concatenate(parts, axis=1)
        self._check_length(total + gathered)

    def stretch(self, first: int, count: int) -> np.ndarray:
        """(channels, n) float32 samples from number ``first`` on; fewer than ``count`` where the file ends before.

        Everything before them is decoded too, because a decoder that starts in the middle gives other samples; of
        stretches in their order, once.
        """
        import numpy as np

        going_on = self._going_on
        if going_on is None or going_on.start > first:
            self.close()
            going_on = self._going_on = _Pass(self._decoded())
        parts: list[np.ndarray] = []
        while going_on.start < first + count:
            part = going_on.frame[:, max(0, first - going_on.start) : first + count - going_on.start]
            if part.shape[1]:
                parts.append(part)
            # A frame that goes on behind the stretch may be wanted for the next.
            if going_on.start + going_on.frame.shape[1] > first + count or not going_on.advance():
                break
        return np.concatenate(parts, axis=1) if parts else np.zeros((self.channels, 0), np.float32)

    def close(self) -> None:
        """Closes the file, though not one that was given opened."""
        if self._pass is not None:
            self._pass.close()
            self._pass = None
        if self._going_on is not None:
            self._going_on.frames.close()
            self._going_on = None

    def _from_start(self) -> Generator[np.ndarray, None, None]:
        """All frames; the first goes on where the constructor stopped."""
        if self._pass is not None:
            frames, self._pass = self._pass, None
            return self._after_first(frames)
        return self._decoded()

    def _after_first(self, frames: Generator[np.ndarray, None, None]) -> Generator[np.ndarray, None, None]:
        with closing(frames):
            yield self._first
            yield from frames

    def _check_length(self, read: int) -> None:
        if (lacking := self._lacking_of_avi()) > 0:
            raise AudioFileError(
                f"{self._path} is truncated: by its header it lacks {lacking} bytes, {read / self.sample_rate:.2f} s "
                f"could be decoded"
            )
        if self._length is None:
            return
        missing = self._length - read / self.sample_rate
        # Headers count padding, or round; encoders' blocks are shorter than a quarter of a second.
        if missing > max(0.25, 0.01 * self._length):
            raise AudioFileError(
                f"{self._path} is truncated: its header says {self._length:.2f} s, "
                f"{read / self.sample_rate:.2f} s could be decoded"
            )

    def _lacking_of_avi(self) -> int:
        """How many bytes an AVI lacks, of which FFmpeg takes what is there for all; 0 of another file."""
        with closing(self._path.open("rb")) if self._opened is None else nullcontext(self._opened) as file:
            file.seek(0)
            head = file.read(12)
            size = file.seek(0, os.SEEK_END)
        said = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or head[8:] != b"AVI " or said == 0xFFFFFFFF:
            return 0
        # Some writers leave out the byte that makes a length even.
        return said + 8 - size if said + 8 - size > 1 else 0

    def _check_pictures(self, container: Any, reached: float) -> None:
        """Where the header has one length for sound and pictures, one of them must reach it."""
        if self._length is not None or container.duration is None or not _has_length(container):
            return
        whole, start = container.duration / 1_000_000, (container.start_time or 0) / 1_000_000
        if whole - (reached - start) > max(0.25, 0.01 * whole):
            raise AudioFileError(
                f"{self._path} is truncated: its header says {whole:.2f} s, and it ends at {max(0, reached):.2f} s"
            )

    def _decoded(self) -> Generator[np.ndarray, None, None]:
        """Yields the track frame by frame, each (channels, n) float32."""
        av = self._av
        with self._container() as container:
            track = _track(container, self._path)
            self._length = _length(container, track)
            held: Any = None  # the last frame so far, which may have padding
            end: int | None = None
            mp4 = "mp4" in container.format.name.split(",")
            read = 0
            reached = Fraction(0)
            try:
                for packet in container.demux(container.streams.audio + container.streams.video):
                    if packet.pts is not None:
                        reached = max(reached, (packet.pts + (packet.duration or 0)) * packet.time_base)
                    if packet.stream is not track:
                        continue
                    if mp4 and packet.pts is not None and packet.duration and not packet.is_discard:
                        end = max(packet.pts + packet.duration, packet.pts if end is None else end)
                    for frame in _frames_of(packet, av):
                        if held is not None:
                            read += held.samples
                            yield self._samples(held)
                        held = frame
            except av.error.FFmpegError as error:
                rate = self.sample_rate or (held.sample_rate if held is not None else 1)
                raise AudioFileError(
                    f"{self._path} is damaged after {read} samples ({read / rate:.2f} s): {error.strerror}"
                ) from error
            self._check_pictures(container, float(reached))
            if held is not None:
                samples = self._samples(held)
                padding = _padding(held, track, end) if mp4 else 0
                yield samples[:, : samples.shape[1] - padding]

    def _container(self) -> Any:
        av = self._av
        options = {"format_whitelist": ",".join(_CONTAINERS), "protocol_whitelist": "file"}
        name: Any = self._opened
        if self._opened is not None:
            self._opened.seek(0)
        else:
            # With the protocol in front a colon in the name means nothing.
            name = f"file:{os.path.abspath(self._path)}"
        try:
            try:
                return av.open(name, options=options, metadata_errors="replace")
            except UnicodeEncodeError:  # names on POSIX need not be text
                return av.open(self._path.open("rb"), options=options, metadata_errors="replace")
        except av.error.FFmpegError as error:
            raise AudioFileError(f"{self._path} cannot be read as audio: {error.strerror}") from error

    def _samples(self, frame: Any) -> np.ndarray:
        channels = frame.layout.nb_channels
        if self.sample_rate == 0:
            self.sample_rate, self.channels = int(frame.sample_rate), channels
        elif (frame.sample_rate, channels) != (self.sample_rate, self.channels):
            raise AudioFileError(
                f"{self._path} changes from {self.channels} channels at {self.sample_rate} Hz to {channels} at "
                f"{frame.sample_rate} Hz; cut it there"
            )
        return _as_floats(frame)


def _frames_of(packet: Any, av: Any) -> list[Any]:
    try:
        frames: list[Any] = packet.decode()
    except av.error.EOFError:  # the decoder has given all before
        return []
    return [frame for frame in frames if frame.samples]


def _track(container: Any, path: Path) -> Any:
    # PyAV gives tracks that it has no decoder for no number of channels.
    tracks = [track for track in container.streams.audio if getattr(track, "channels", 0)]
    if not tracks:
        raise AudioFileError(f"{path} has no sound track that FFmpeg decodes")
    return max(tracks, key=lambda track: (bool(track.disposition.value & 1), track.channels, -track.index))


def _has_length(container: Any) -> bool:
    return not _WITH_LENGTH.isdisjoint(container.format.name.split(","))


def _length(container: Any, track: Any) -> float | None:
    """Seconds of the track as the header says, where that can be true."""
    if not _has_length(container):
        return None
    seconds = None
    if track.duration is not None:
        seconds = float(track.duration * track.time_base)
    elif container.duration is not None and len(container.streams) == 1:
        seconds = float(container.duration / 1_000_000)
    return seconds if seconds is None or 0 <= seconds <= LONGEST_S else None


def _padding(frame: Any, track: Any, end: int | None) -> int:
    """Samples at the end of the last frame of an MP4 that are the encoder's padding.

    The last packet's duration says where the sound ends. FFmpeg up to 8.1 leaves the rest of the frame in; 9 cuts by
    the edit list, which older versions of it have written in whole milliseconds. If no packet is short, the track's
    own duration counts, if it differs by more than that rounding.
    """
    rate = frame.sample_rate
    ticks = Fraction(track.time_base) * rate
    if end is None or frame.pts is None or ticks.denominator != 1:
        return 0
    over: int = int((frame.pts - end) * ticks) + frame.samples
    if 0 < over < frame.samples:
        return over
    if over <= 0 and track.duration:
        over = int((frame.pts - (track.start_time or 0) - track.duration) * ticks) + frame.samples
        if rate // 500 < over < frame.samples:
            return over
    return 0


def _as_floats(frame: Any) -> np.ndarray:
    """(channels, n) float32, integers by their full scale."""
    import numpy as np

    values: Any
    if frame.format.name in ("s64", "s64p"):  # which PyAV does not give as an array
        per_plane = frame.samples * (1 if frame.format.is_planar else frame.layout.nb_channels)
        values = np.stack([np.frombuffer(plane, np.int64, per_plane) for plane in frame.planes])
    else:
        values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype == np.uint8:
        values = (values.astype(np.float32) - 128) / 128
    elif values.dtype.kind == "i":
        wide = np.float32 if values.dtype == np.int16 else np.float64
        values = values.astype(wide) / -float(np.iinfo(values.dtype).min)
    return np.ascontiguousarray(values, dtype=np.float32)
