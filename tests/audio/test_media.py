"""Files that libsndfile does not read: their samples, by the kind of file."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.audio.find import is_audio
from hear_edgel3.errors import AudioFileError
from support.media import encode, shift_of, sounds

pytest.importorskip("av", reason="needs the extra media")

_N = 54321


def _all(path: Path, opened: io.BytesIO | None = None) -> np.ndarray:
    with AudioFile(path, opened) as file:
        return torch.cat(list(file.blocks())).numpy()


def _mean(samples: np.ndarray) -> np.ndarray:
    return (samples / 32768).mean(axis=0)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("a.m4a", "alac"), ("a.caf", "alac"), ("a.mov", "pcm_s16be"), ("a.mka", "flac"), ("a.wv", "wavpack")),
        *(("a.tta", "tta"), ("a.mkv", "pcm_s16le"), ("a.mp4", "flac")),
    ],
)
def test_lossless_is_exact(tmp_path: Path, name: str, codec: str) -> None:
    samples = sounds(_N)
    path = encode(tmp_path / name, codec, samples, 44100)
    np.testing.assert_allclose(_all(path), _mean(samples), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "codec", "rate", "shift", "length"),
    [
        # AAC of any length is gapless: FFmpeg up to 8.1 leaves up to a frame at the end, here it is cut.
        *(("a.m4a", "aac", rate, 0, _N) for rate in (16000, 44100, 48000)),
        *(("a.mov", "aac", 44100, 0, _N), ("a.mp4", "libopus", 48000, 0, _N), ("a.webm", "libopus", 48000, 0, _N)),
        # These formats have no word for the encoder's delay.
        *(("a.aac", "aac", 44100, 1024, 56320), ("a.ts", "aac", 44100, 1024, 56320)),
        *(("a.ac3", "ac3", 48000, 256, 55296), ("a.wma", "wmav2", 44100, -2048, 53248)),
    ],
)
def test_lossy_lies_where_ffmpeg_puts_it(
    tmp_path: Path, name: str, codec: str, rate: int, shift: int, length: int
) -> None:
    samples = sounds(_N, seed=1)
    found = _all(encode(tmp_path / name, codec, samples, rate))
    assert len(found) == length
    assert shift_of(found, _mean(samples)) == shift
    original = _mean(samples)[max(0, -shift) :]
    similar = np.corrcoef(found[max(0, shift) :][: len(original)], original[: len(found) - max(0, shift)])[0, 1]
    assert similar > 0.97


@pytest.mark.parametrize("n", [700, 1024, 1200, 44100, 50000])
def test_aac_has_the_length_of_what_was_encoded(tmp_path: Path, n: int) -> None:
    assert len(_all(encode(tmp_path / "a.m4a", "aac", sounds(n), 44100))) == n


@pytest.mark.parametrize(("name", "codec", "length"), [("a.mp4", "aac", _N), ("a.webm", "libopus", _N)])
def test_sound_of_a_video(tmp_path: Path, name: str, codec: str, length: int) -> None:
    samples = sounds(_N)
    found = _all(encode(tmp_path / name, codec, samples, 48000, pictures=True))
    assert len(found) == length
    assert shift_of(found, _mean(samples)) == 0


def test_bw64(tmp_path: Path) -> None:
    samples = sounds(_N)
    soundfile.write(tmp_path / "a.wav", samples.T, 44100, format="RF64", subtype="PCM_16")
    path = tmp_path / "b.wav"
    path.write_bytes(b"BW64" + (tmp_path / "a.wav").read_bytes()[4:])
    np.testing.assert_array_equal(_all(path), _all(tmp_path / "a.wav"))


def test_stretches_are_parts_of_the_whole_in_any_order(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", "aac", sounds(3 * _N), 44100)
    whole = _all(path)
    with AudioFile(path) as file:
        assert file.duration == pytest.approx(3 * _N / 44100, abs=1e-3)
        for start, seconds in [(0, 0.5), (0.5, 0.5), (1.7, 0.1), (0.3, 0.2), (3.5, 9)]:
            first = round(44100 * start)
            expected = whole[first : first + round(44100 * seconds)]
            np.testing.assert_allclose(file.stretch(start, seconds), expected, rtol=0, atol=1e-7)
        with pytest.raises(AudioFileError, match=r"a\.m4a has no samples at 4\.00 s"):
            file.stretch(4, 1)


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.aac", "aac"), ("a.webm", "libopus")])
def test_bytes_are_read_as_the_file_is(tmp_path: Path, name: str, codec: str) -> None:
    path = encode(tmp_path / name, codec, sounds(_N), 48000)
    with AudioFile("x", io.BytesIO(path.read_bytes())) as file:
        assert file.duration == pytest.approx(_N / 48000, abs=0.05)
        np.testing.assert_array_equal(torch.cat(list(file.blocks())), _all(path))


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text")
@pytest.mark.parametrize("name", [b"\xff.m4a", "ä:b.m4a".encode(), b"concat:a.m4a"])
def test_any_name(tmp_path: Path, name: bytes) -> None:
    path = encode(tmp_path / "a.m4a", "aac", sounds(_N), 44100)
    other = path.rename(tmp_path / os.fsdecode(name))
    assert len(_all(other)) == _N


@pytest.mark.parametrize(
    ("name", "codec", "pictures", "error"),
    [
        ("a.m4a", "aac", False, r"a\.m4a cannot be read as audio: Invalid data"),
        ("a.aac", "aac", False, r"a\.aac is damaged after \d+ samples"),
        ("a.webm", "libopus", False, r"a\.webm is truncated: its header says 4\.\d+ s, 2\.\d+ s could be decoded"),
        ("a.webm", "libopus", True, r"a\.webm is truncated: its header says 4\.\d+ s, and it ends at"),
        ("a.wma", "wmav2", False, r"a\.wma is (damaged after|truncated)"),
        ("a.ts", "aac", False, r"a\.ts is damaged after \d+ samples"),
        ("a.avi", "pcm_s16le", False, r"a\.avi is truncated: by its header it lacks \d+ bytes, 2\.\d+ s could be"),
        ("a.avi", "mp2", True, r"a\.avi is truncated: by its header it lacks \d+ bytes, 2\.\d+ s could be decoded"),
    ],
)
def test_a_file_cut_short_is_an_error(tmp_path: Path, name: str, codec: str, pictures: bool, error: str) -> None:
    path = encode(tmp_path / name, codec, sounds(4 * 48000), 48000, pictures)
    data = path.read_bytes()
    path.write_bytes(data[: 6 * len(data) // 10])
    with pytest.raises(AudioFileError, match=error):
        _all(path)


def test_avi_is_read_as_a_whole_and_without_its_sizes(tmp_path: Path) -> None:
    samples = sounds(_N)
    path = encode(tmp_path / "a.avi", "pcm_s16le", samples, 44100)
    whole = _all(path)
    np.testing.assert_allclose(whole, _mean(samples), rtol=0, atol=1e-7)
    np.testing.assert_array_equal(_all(path, io.BytesIO(path.read_bytes())), whole)
    data = bytearray(path.read_bytes())
    data[4:8] = bytes(4)  # of a recorder that lost power
    path.write_bytes(data)
    np.testing.assert_array_equal(_all(path), whole)


def test_amr(tmp_path: Path) -> None:
    """Frames of 20 ms, of which the format says neither how many there are nor how much the encoder puts before."""
    av = pytest.importorskip("av")
    path = encode(tmp_path / "a.amr", "amr_nb", sounds(8000, channels=1), 8000)
    with av.open(str(path)) as container:
        expected = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(expected) in range(8000, 8481, 160)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_array_equal(_all(path), expected)
    np.testing.assert_array_equal(_all(path, io.BytesIO(path.read_bytes())), expected)
    with AudioFile(path) as file:
        assert (file.sample_rate, file.channels, file.duration) == (8000, 1, len(expected) / 8000)
        np.testing.assert_array_equal(file.stretch(0.5, 0.1), expected[4000:4800])
    path.write_bytes(path.read_bytes()[:-40])  # inside a frame
    with pytest.raises(AudioFileError, match=r"a\.amr is damaged after \d+ samples"):
        _all(path)


def test_a_damaged_place_is_an_error(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", "aac", sounds(4 * 48000), 48000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data)
    with pytest.raises(AudioFileError, match=r"a\.m4a is damaged after \d+ samples \([12]\.\d\d s\)"):
        _all(path)


def test_a_video_without_sound(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width = video.height = 64
        container.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(video.encode(None))
    with pytest.raises(AudioFileError, match=r"silent\.mp4 has no sound track"):
        AudioFile(path)


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\na.m4a\n", "ffconcat version 1.0\nfile a.m4a\n", "hello"])
def test_nothing_that_leads_to_other_files_is_followed(tmp_path: Path, text: str) -> None:
    encode(tmp_path / "a.m4a", "aac", sounds(_N), 44100)
    (tmp_path / "list.m4a").write_text(text)
    with pytest.raises(AudioFileError, match=r"list\.m4a cannot be read as audio"):
        AudioFile(tmp_path / "list.m4a")


def test_damaged_files_of_libsndfile_keep_its_words(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF" + bytes(1000))
    with pytest.raises(AudioFileError, match=r"a\.wav cannot be read as audio: Format not recognised"):
        AudioFile(tmp_path / "a.wav")


def test_without_the_extra_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "a.m4a", "aac", sounds(_N), 44100)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioFileError, match=r"a\.m4a.*'av'.*pip install \"\.\[media\]\""):
        AudioFile(path)


def test_folders_give_them(tmp_path: Path) -> None:
    assert is_audio("x.M4A")
    assert is_audio("x.webm")
    assert not is_audio("x.ts")  # TypeScript


@pytest.mark.parametrize(("name", "codec", "rate"), [("a.wav", "g722", 16000), ("a.oga", "flac", 44100)])
def test_codecs_that_libsndfile_does_not_read_in_its_containers(
    tmp_path: Path, name: str, codec: str, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = sounds(_N, channels=1)
    path = encode(tmp_path / name, codec, samples, rate)
    found = _all(path)
    assert abs(len(found) - _N) <= 1
    place = shift_of(found, _mean(samples))
    assert 0 <= place <= 22  # of G.722's filters
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(AudioFileError, match=rf"{name}.*'av'.*pip install"):
        AudioFile(path)
