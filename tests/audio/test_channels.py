"""One signal of channels: their mean or one of them, and the warnings of what can hardly be meant."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.audio.samples import mono
from hear_edgel3.errors import AudioWarning, InvalidOption

_RNG = np.random.default_rng(0)
_A, _B = 0.2 * _RNG.standard_normal((2, 48000))


def _write(path: Path, *channels: np.ndarray) -> Path:
    soundfile.write(path, np.stack(channels, axis=1), 32000, subtype="DOUBLE")
    return path


def _all(path: Path, channel: int | str = "mean") -> np.ndarray:
    with AudioFile(path, channel=channel) as file:
        return torch.cat(list(file.blocks())).numpy()


def _messages(call: object, *given: object) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*given)  # type: ignore[operator]
    assert all(one.category is AudioWarning for one in caught)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize(("channel", "expected"), [("mean", (_A + _B) / 2), (0, _A), (1, _B), ("1", _B)])
def test_file_and_array(tmp_path: Path, channel: int | str, expected: np.ndarray) -> None:
    path = _write(tmp_path / "a.wav", _A, _B)
    np.testing.assert_allclose(_all(path, channel), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(mono(np.stack([_A, _B], 1), channel), expected, rtol=0, atol=1e-12)
    with AudioFile(path, channel=channel) as file:
        np.testing.assert_allclose(file.stretch(0.5, 0.25), expected[16000:24000], rtol=0, atol=1e-7)


def test_a_channel_that_is_not_there(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.wav", _A, _B)
    with pytest.raises(InvalidOption, match=r"a\.wav has 2 channels, 0 to 1; there is no channel 2"):
        _all(path, 2)
    with pytest.raises(InvalidOption, match=r"audio has 1 channel, number 0; there is no channel 1"):
        mono(_A, 1)
    for wrong in (-1, "left", "Each", 0.5, None, True, np.zeros(2)):
        with pytest.raises(InvalidOption, match="channel must be 'mean', 'each' or the number of a channel"):
            AudioFile(path, channel=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("channels", "warns"),
    [
        ((_A, -_A), True),
        ((_A, -0.9 * _A), True),
        ((_A, -_A + 0.1 * _B), True),
        ((_A, -_A, _A, -_A), True),
        ((_A, _B), False),
        ((_A, _A), False),
        ((_A, 0 * _A), False),
        ((_A, -_A / 2), False),
        ((0 * _A, 0 * _A), False),
        ((_A, *[0 * _A] * 7), False),
        ((0 * _A + 0.1, 0 * _A - 0.1), False),  # offsets of a recorder, and no sound
    ],
)
def test_channels_that_cancel_are_told_once(tmp_path: Path, channels: tuple[np.ndarray, ...], warns: bool) -> None:
    path = _write(tmp_path / "a.wav", *channels)
    for found in (_messages(_all, path), _messages(mono, np.stack(channels, 1))):
        assert len(found) == warns
        assert all(f"its {len(channels)} channels cancel each other" in text for text in found)
    assert _messages(_all, path, 0) == []


def test_the_warning_says_how_far_below(tmp_path: Path) -> None:
    [text] = _messages(_all, _write(tmp_path / "a.wav", _A, -0.9 * _A))
    assert "a.wav" in text
    assert "25.6 dB" in text or "26 dB below" in text  # 10 lg(0.905 / 0.0025)
    assert "--channel 0" in text


def test_floats_at_another_scale_are_told_once(tmp_path: Path) -> None:
    loud = np.round(_A * 32767)
    peak = f"{np.abs(loud).max():.6g}"
    path = _write(tmp_path / "a.wav", loud)
    extractor = hear_edgel3.load("tiny")
    for found in (
        _messages(_all, path),
        _messages(mono, loud),
        _messages(extractor.scene_embeddings, loud[None, :32000]),
        _messages(hear_edgel3.embed_file, path, extractor),
    ):
        assert len(found) == 1
        assert "full scale" in found[0]
    assert f"a.wav has a peak of {peak}" in _messages(_all, path)[0]
    assert _messages(mono, loud.astype(np.int16)) == []
    assert _messages(mono, 15 * _A / np.abs(_A).max()) == []  # a float file may be loud


def test_a_stream_takes_a_channel_and_warns_once() -> None:
    extractor = hear_edgel3.load("tiny")
    both = np.stack([_A, _B], 1)
    found = list(extractor.stream([both[:20000], both[20000:]], sample_rate=32000, channel=1))
    alone = list(extractor.stream([_B], sample_rate=32000))
    for one, other in zip(found, alone, strict=True):
        torch.testing.assert_close(one.embedding, other.embedding, rtol=0, atol=1e-5)
    scaled = [32767 * _A, 32767 * _A]
    assert len(_messages(lambda: list(extractor.stream(scaled, sample_rate=32000)))) == 1
    opposite = np.stack([_A, -_A], 1)
    assert len(_messages(lambda: list(extractor.stream([opposite, opposite], sample_rate=32000)))) == 1


def test_embed_and_tag_files_by_channel(tmp_path: Path) -> None:
    path, alone = _write(tmp_path / "a.wav", _A, _B), _write(tmp_path / "b.wav", _B)
    extractor = hear_edgel3.load("tiny")
    found = hear_edgel3.embed_file(path, extractor, channel=1)
    assert found.channel == 1
    np.testing.assert_array_equal(found.embedding, hear_edgel3.embed_file(alone, extractor).embedding)
