from __future__ import annotations

import numpy as np
import pytest

from hear_edgel3.audio.pcm import PCM_FORMATS, PcmDecoder
from hear_edgel3.audio.samples import mono_block
from hear_edgel3.errors import InvalidOption
from support import signals

# What libsndfile calls them, to have its encoder as a witness.
SUBTYPES = {"u8": "PCM_U8", "s8": "PCM_S8", "s16": "PCM_16", "s24": "PCM_24", "s32": "PCM_32"}
SUBTYPES |= {"f32": "FLOAT", "f64": "DOUBLE"}


def encoded(samples: np.ndarray, encoding: str) -> bytes:
    """(n, channels) floats as libsndfile writes them without a header."""
    import io

    import soundfile

    file = io.BytesIO()
    subtype = SUBTYPES[encoding.removesuffix("le").removesuffix("be")]
    endian = {"le": "LITTLE", "be": "BIG"}.get(encoding[-2:], "FILE")
    soundfile.write(file, samples, 8000, subtype, endian, "RAW")
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("encoding", PCM_FORMATS)
def test_every_format_in_portions_of_any_size(encoding: str, channels: int) -> None:
    samples = signals.clip(0.02, 8000, 3)[:, :channels]
    data = encoded(samples, encoding)
    assert len(data) == int(encoding[1:].rstrip("lbe")) // 8 * samples.size
    for size in (1, 7, len(data)):
        decoder = PcmDecoder(encoding, channels)
        blocks = [decoder.decode(data[i : i + size]) for i in range(0, len(data), size)]
        assert decoder.pending == b""
        assert {block.shape[1] for block in blocks} == {channels}
        found = mono_block(np.concatenate(blocks), 0).numpy()
        # The sounds lie on 16-bit steps, so that only formats of 8 bits round them.
        tolerance = 1.01 / 128 if encoding in ("u8", "s8") else 1e-7
        np.testing.assert_allclose(found, samples.mean(axis=1), rtol=0, atol=tolerance)


def test_24_bits_have_their_sign_and_full_scale() -> None:
    data = bytes([0, 0, 0x80, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 1, 0, 0])
    expected = [-(2**23) * 256, (2**23 - 1) * 256, -256, 256]
    assert PcmDecoder("s24le").decode(data)[:, 0].tolist() == expected
    assert PcmDecoder("s24be").decode(b"\x80\0\0\x7f\xff\xff")[:, 0].tolist() == expected[:2]


def test_an_incomplete_sample_waits() -> None:
    decoder = PcmDecoder("s16le", 2)
    assert decoder.decode(b"\1\0\2").shape == (0, 2)
    assert decoder.pending == b"\1\0\2"
    assert decoder.decode(b"\0\3").tolist() == [[1, 2]]
    assert decoder.pending == b"\3"


def test_what_cannot_be() -> None:
    with pytest.raises(InvalidOption, match=r"must be one of u8, .*; got 's16'"):
        PcmDecoder("s16")
    with pytest.raises(InvalidOption, match="channels must be a whole number from 1, got 0"):
        PcmDecoder("s16le", 0)
