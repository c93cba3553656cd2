"""The samples in a SoundFont 2 file, or in MuseScore's SF3, whose samples are Ogg Vorbis files.

Both are RIFF files: `smpl` holds the sound of all samples, one after the other, and `shdr` has a record of 46
bytes for each.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

_RECORD = struct.Struct("<20sIIIIIBbHH")
_RIGHT, _LEFT, _VORBIS, _ROM = 2, 4, 0x10, 0x8000


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        name: of up to 20 characters.
        key: the MIDI key it was played at; 255 if it has none.
        channel: "left", "right" or "mono", as its record says; some files say "mono" for all.
        sample_rate: in Hz.
    """

    name: str
    key: int
    channel: str
    sample_rate: int
    _data: memoryview = field(repr=False)
    _vorbis: bool = field(repr=False)

    def read(self) -> tuple[np.ndarray, int]:
        """(n,) float32 samples, and their rate in Hz."""
        if self._vorbis:
            samples, rate = soundfile.read(io.BytesIO(self._data), dtype="float32", always_2d=True)
            return samples.mean(axis=1), rate
        return np.frombuffer(self._data, "<i2").astype(np.float32) / 32768, self.sample_rate


def read_samples(path: Path) -> list[Sample]:
    """All samples of a file, in its order, without those that are in a synthesizer's ROM.

    Raises:
        ValueError: it is no such file.
    """
    data = memoryview(path.read_bytes())
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"sfbk":
        raise ValueError(f"{path} is no SoundFont: name an .sf2 or .sf3 file")
    chunks = dict(_chunks(data[12:]))
    missing = [name for name in ("smpl", "shdr") if name not in chunks]
    if missing:
        raise ValueError(f"{path} has no chunk {missing[0]}; the file is damaged, or no SoundFont")
    sound, records = chunks["smpl"], chunks["shdr"]
    result = []
    for fields in _RECORD.iter_unpack(records[: len(records) // _RECORD.size * _RECORD.size]):
        name, start, end, _, _, rate, key, _, _, kind = fields
        if kind & _ROM or end <= start:  # the last record is empty
            continue
        unit = 1 if kind & _VORBIS else 2  # Vorbis files are found by bytes, plain samples by their number
        channel = "left" if kind & _LEFT else "right" if kind & _RIGHT else "mono"
        text = name.split(b"\0")[0].decode("latin1")
        result.append(Sample(text, key, channel, rate, sound[unit * start : unit * end], bool(kind & _VORBIS)))
    return result


def _chunks(data: memoryview) -> Iterator[tuple[str, memoryview]]:
    """Names and contents of the chunks, those inside lists too."""
    at = 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + size]
        if name == b"LIST":
            yield from _chunks(body[4:])
        else:
            yield name.decode("latin1"), body
        at += 8 + size
        # A byte of padding belongs behind an odd size, but MuseScore leaves it out.
        if size % 2 and at < len(data) and data[at] == 0:
            at += 1
