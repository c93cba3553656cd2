"""What comes in as samples, and is none: files, by their first bytes."""

from __future__ import annotations

import math

from hear_edgel3.audio.mpeg import frame_length

_HEAD = 1 << 13  # more bytes tell no more
_SURE = 12

# Four bytes or more, which samples have by chance in one case of four thousand million. That they are rather improbable
# as the beginning of a recording makes it rarer still.
_MARKS = (
    (b"RIFF", "a WAV or AVI file"),
    (b"RIFX", "a WAV file"),
    (b"RF64", "an RF64 file"),
    (b"BW64", "a BW64 file"),
    (b"riff\x2e\x91\xcf\x11", "a Wave64 file"),
    (b"FORM", "an AIFF file"),
    (b"fLaC", "a FLAC file"),
    (b"OggS", "an Ogg file"),
    (b".snd", "an AU file"),
    (b"caff", "a CAF file"),
    (b"wvpk", "a WavPack file"),
    (b"MAC ", "a Monkey's Audio file"),
    (b"TTA1", "a TTA file"),
    (b"MPCK", "a Musepack file"),
    (b"DSD ", "a DSF file"),
    (b"FRM8", "a DSDIFF file"),
    (b"qoaf", "a QOA file"),
    (b"FLV\x01", "a Flash video"),
    (b".RMF", "a RealMedia file"),
    (b"#!AMR", "an AMR file"),
    (b"NIST_1A", "a NIST SPHERE file"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
    (b"0&\xb2u\x8ef\xcf\x11", "a Windows Media file"),
    (b"\x7f\xfe\x80\x01", "a DTS file"),
    (b"\x00\x00\x01\xba", "an MPEG video"),
)
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof")
_TS_PACKET = 188
_ALIKE = 3
# Bits of entropy that random bytes may seem to lack. Noise at full scale lacks 0.7 in its upper bytes.
_MOST_MISSING = -0.3
_LEAST_TOLD = 2048


class Beginning:
    """The first bytes of what should be raw samples, looked at until it is clear what they are."""

    def __init__(self) -> None:
        self._head = b""
        self._clear = False

    def take(self, data: bytes, last: bool = False) -> str | None:
        """Looks at the next bytes.

        Args:
            data: the bytes.
            last: whether no more will come.

        Returns:
            What file they are the beginning of, with an article; None as long as they may be samples.
        """
        if self._clear:
            return None
        self._head += data[: _HEAD - len(self._head)]
        if len(self._head) < _SURE and not last:
            return None
        kind = kind_of(self._head)
        if kind is None and begins_like_frames(self._head):
            kind = frames_of(self._head)
            self._clear = len(self._head) == _HEAD
        else:
            self._clear = True
        return kind


def kind_of(head: bytes) -> str | None:
    """What a file is whose first bytes are certain: they are no samples.

    Args:
        head: its first bytes, 12 at least if there are so many.

    Returns:
        A name with its article; None for what cannot be told, or not by such bytes.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if head[:3] == b"ID3" and len(head) >= 10 and head[3] < 0x10 and max(head[6:10]) < 0x80:
        return "an MP3 file"
    if head[4:8] in _BOXES and int.from_bytes(head[:4], "big") != 0:
        return "an MP4, M4A or MOV file"
    return None


def begins_like_frames(head: bytes) -> bool:
    """Whether the first four bytes may be those of a frame of MP3, MP2, AAC, AC-3 or a transport stream.

    A recording begins like that now and then; :func:`frames_of` looks closer.
    """
    return _frame(head) is not None


def frames_of(head: bytes) -> str | None:
    """What a file is that begins with a frame and not with a mark of its own, and that is no sequence of samples.

    Two things tell: frames follow each other at the distance that each of them gives; or all bytes are equally
    frequent, as compressed sound has them and samples do not: their upper bytes are far from that.

    Args:
        head: its first bytes, 8 KiB of them if there are so many.

    Returns:
        A name with its article, or None.
    """
    found = _frame(head)
    if found is None:
        return None
    name, length = found
    at, alike = 0, 0
    while at < len(head) - 4 and alike <= _ALIKE and length:
        following = _frame(head[at:])
        if following is None or following[0] != name:
            break
        at, alike = at + following[1], alike + 1
    if alike > _ALIKE or (name != "an MPEG transport stream" and _is_random(head)):
        return name
    return None


def _frame(head: bytes) -> tuple[str, int] | None:
    """What begins with these bytes, and how long its first frame is."""
    if len(head) < 6:
        return None
    if head[0] == 0xFF and head[1] & 0xF6 == 0xF0 and (head[2] >> 2) & 15 < 13:
        return "an AAC file", (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    length, _ = frame_length(head[:4])
    if length and head[1] & 6 != 6:  # layer I is not in use, and its mark is what quiet noise may begin with
        return "an MP3 or MP2 file", length
    if head[:2] == b"\x0bw" and head[5] >> 3 <= 16:
        return "an AC-3 file", _ac3_length(head)
    if head[0] == 0x47 and head[_TS_PACKET : _TS_PACKET + 1] == b"\x47":
        return "an MPEG transport stream", _TS_PACKET
    return None


def _ac3_length(head: bytes) -> int:
    if head[5] >> 3 > 10:  # E-AC-3
        return 2 * (((head[2] & 7) << 8 | head[3]) + 1)
    rate, code = head[4] >> 6, (head[4] & 63) >> 1
    bit_rates = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
    if rate == 3 or code >= len(bit_rates):
        return 0
    kbits = bit_rates[code]
    return 2 * (2 * kbits, 96000 * kbits // 44100 + (head[4] & 1), 3 * kbits)[rate]


def _is_random(head: bytes) -> bool:
    """Whether the bytes at each place of a sample of two, three or four have nearly eight bits of entropy."""
    if len(head) < _LEAST_TOLD:
        return False
    return all(_entropy(head[place::step]) > _MOST_MISSING for step in (2, 3, 4) for place in range(step))


def _entropy(data: bytes) -> float:
    """How many bits fewer than eight a byte holds, with the sign turned.

    Of a few random bytes not all 256 values occur equally often; what that takes off on average is put back.
    """
    shares = [count / len(data) for value in range(256) if (count := data.count(bytes([value])))]
    by_chance = 255 / (2 * len(data) * math.log(2))
    return -sum(share * math.log2(share) for share in shares) + by_chance - 8
