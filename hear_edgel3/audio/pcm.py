"""Raw PCM: samples without a header, as recorders write them into a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hear_edgel3.errors import InvalidOption

if TYPE_CHECKING:
    import numpy as np

# The names are ffmpeg's. NumPy has no type of three bytes.
_TYPES = {
    "u8": "u1",
    "s8": "i1",
    "s16le": "<i2",
    "s16be": ">i2",
    "s24le": None,
    "s24be": None,
    "s32le": "<i4",
    "s32be": ">i4",
    "f32le": "<f4",
    "f32be": ">f4",
    "f64le": "<f8",
    "f64be": ">f8",
}
PCM_FORMATS = tuple(_TYPES)


class PcmDecoder:
    """Turns bytes, in whatever portions they come, into blocks of samples.

    Args:
        encoding: one of ``PCM_FORMATS``: signed, unsigned or floating point, bits, and byte order.
        channels: interleaved channels.

    Attributes:
        pending: bytes of a sample (of all channels) that is not complete yet.

    Raises:
        InvalidOption: there is no such format, or no channel.
    """

    def __init__(self, encoding: str, channels: int = 1) -> None:
        if encoding not in _TYPES:
            raise InvalidOption(f"the format must be one of {', '.join(PCM_FORMATS)}; got {encoding!r}")
        if channels < 1:
            raise InvalidOption(f"channels must be a whole number from 1, got {channels!r}")
        self._encoding = encoding
        self._channels = channels
        self._bytes = int(encoding[1:].rstrip("lbe")) // 8 * channels
        self.pending = b""

    def decode(self, data: bytes) -> np.ndarray:
        """The samples that are complete now.

        Args:
            data: the next bytes.

        Returns:
            (n, channels) integers or floats, as they came; of 24 bits as int32, whose full scale is the same.
        """
        import numpy as np

        data = self.pending + data
        whole = len(data) // self._bytes * self._bytes
        self.pending = data[whole:]
        kind = _TYPES[self._encoding]
        samples = _of_24_bits(data[:whole], self._encoding) if kind is None else np.frombuffer(data[:whole], kind)
        return samples.reshape(-1, self._channels)


def _of_24_bits(data: bytes, encoding: str) -> np.ndarray:
    """(n,) int32: the three bytes are the upper ones of four."""
    import numpy as np

    triples = np.frombuffer(data, np.uint8).reshape(-1, 3)
    wide = np.zeros((len(triples), 4), np.uint8)
    wide[:, 1:] = triples if encoding.endswith("le") else triples[:, ::-1]
    return wide.view("<i4")[:, 0]
