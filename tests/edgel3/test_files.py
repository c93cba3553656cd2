"""Files of the drop-in: their names and contents, and that a failure leaves nothing behind."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hear_edgel3 import edgel3
from hear_edgel3.errors import AudioFileError, OutputError
from hear_edgel3.extractor.extractor import Extractor
from support import signals
from support.files import RESULT


@pytest.mark.parametrize(
    ("path", "suffix", "folder", "expected"),
    [
        ("/a/b.wav", "kd.npz", None, "/a/b_kd.npz"),
        ("/a/b.wav", ".npz", None, "/a/b.npz"),
        ("/a/b.c.wav", "x.npz", None, "/a/b.c_x.npz"),
        ("b.wav", ".npz", None, "b.npz"),
        ("b.wav", "x.npz", None, "b_x.npz"),
        ("/a/b.wav", "kd.npz", "/d/e", "/d/e/b_kd.npz"),
        ("/a/b.wav", ".npz", "/d/e/", "/d/e/b.npz"),
        ("b.wav", ".npz", "d", "d/b.npz"),
        ("/a/b.wav", "", None, "/a/b"),  # an IndexError in the original
        ("/a/b", "x.npz", None, "/a/b_x.npz"),
        ("/a.b/c", ".npz", None, "/a.b/c.npz"),
        (Path("/a/b.wav"), "kd.npz", Path("/d"), "/d/b_kd.npz"),
    ],
)
def test_get_output_path(path: str | Path, suffix: str, folder: str | Path | None, expected: str) -> None:
    found = edgel3.get_output_path(path, suffix, folder)
    assert isinstance(found, str)
    assert found == expected.replace("/", os.sep)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(None, "a.b.npz"), ("", "a.b.npz"), ("s", "a.b_s.npz"), (".s", "a.b.s.npz"), ("é 1", "a.b_é 1.npz")],
)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_names_of_results(suffix: str | None, name: str, elsewhere: bool, sea: Extractor, tmp_path: Path) -> None:
    source = tmp_path / "in" / "a.b.wav"
    source.parent.mkdir()
    (tmp_path / "out").mkdir()
    soundfile.write(source, signals.clip(1.0, 8000), 8000)
    edgel3.process_file(str(source), str(tmp_path / "out") if elsewhere else None, suffix, sea, hop_size=1.0)
    results = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.npz"))
    assert results == [f"{'out' if elsewhere else 'in'}/{name}"]


def test_contents_of_results(sea: Extractor, weights_folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)
    edgel3.process_file(tmp_path / "clip.wav", model=sea)
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as found:
        assert sorted(found.files) == RESULT
        assert str(found["configuration"]) == "sea_64"
        assert int(found["embedding_version"]) == 1
        assert str(found["source"]) == str(tmp_path / "clip.wav")
        digest = hashlib.sha256((weights_folder / "sea_64.safetensors").read_bytes()).hexdigest()
        assert str(found["weights_sha256"]) == digest


@pytest.mark.parametrize(
    ("samples", "warning"), [(np.zeros(9000), "all zeros"), (signals.clip(0.4, 8000), "shorter than window size")]
)
def test_files_give_the_same_warnings_as_arrays(
    samples: np.ndarray, warning: str, sea: Extractor, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "clip.wav", samples, 8000)
    with pytest.warns(edgel3.EdgeL3Warning, match=warning):
        edgel3.process_file(tmp_path / "clip.wav", model=sea)
    assert (tmp_path / "clip.npz").exists()


def test_a_second_run_replaces_the_result(sea: Extractor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)
    (tmp_path / "clip.npz").write_bytes(b"old")
    edgel3.process_file(tmp_path / "clip.wav", model=sea, hop_size=0.5)
    with np.load(tmp_path / "clip.npz") as found:
        assert len(found["timestamps"]) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.npz", "clip.wav"]


def test_results_have_the_mode_of_ordinary_files(sea: Extractor, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)
    edgel3.process_file(tmp_path / "clip.wav", model=sea, hop_size=1.0)
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "clip.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.mkdir(), "is a folder, not an audio file"),
        (lambda p: p.write_bytes(b"garbage" * 100), "cannot be read as audio"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: soundfile.write(p, np.zeros(0), 8000), "has no samples"),
    ],
    ids=["missing", "folder", "garbage", "zero bytes", "no samples"],
)
def test_process_file_with_bad_files(
    make: Callable[[Path], object], message: str, sea: Extractor, tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    make(path)
    with pytest.raises(edgel3.EdgeL3Error, match=f"clip.wav {message}") as caught:
        edgel3.process_file(path, model=sea)
    assert isinstance(caught.value, AudioFileError)
    assert not (tmp_path / "clip.npz").exists()


def test_a_missing_output_folder_is_found_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("hear_edgel3.edgel3.core.load_embedding_model", never)
    with pytest.raises(OutputError, match=r"clip.npz: the folder .*nowhere does not exist"):
        edgel3.process_file(tmp_path / "clip.wav", output_dir=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(OutputError, match=r"the folder .*clip.wav does not exist"):
        edgel3.process_file(tmp_path / "clip.wav", output_dir=tmp_path / "clip.wav")
    with pytest.raises(OutputError, match=r"cannot write .*: File name too long"):
        edgel3.process_file(tmp_path / "clip.wav", suffix="s" * 300)
    (tmp_path / "clip.npz").mkdir()
    with pytest.raises(OutputError, match=r"clip.npz: it is a folder"):
        edgel3.process_file(tmp_path / "clip.wav")
    with pytest.raises(edgel3.EdgeL3Error, match="a suffix is part of a file name"):
        edgel3.process_file(tmp_path / "clip.wav", suffix=f"..{os.sep}x")


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_leaves_nothing_behind(
    existing: bool, sea: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)
    if existing:
        (tmp_path / "clip.npz").write_bytes(b"old")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(file: Any, **arrays: object) -> None:
        file.write(b"some of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OutputError, match=r"cannot write .*clip.npz: No space left on device"):
        edgel3.process_file(tmp_path / "clip.wav", model=sea)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interruption_leaves_nothing_behind(
    stop: type[BaseException], sea: Extractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "clip.wav", signals.clip(1.0, 8000), 8000)

    def interrupted(file: Any, **arrays: object) -> None:
        file.write(b"some of it")
        raise stop

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(stop):
        edgel3.process_file(tmp_path / "clip.wav", model=sea)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.wav"]


def test_the_tutorial(weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old documentation's calls, as they stand there, with SEA in place of the slower default."""
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))
    monkeypatch.chdir(tmp_path)
    soundfile.write("file.wav", signals.clip(1.0, 8000), 8000)
    audio, sr = soundfile.read("file.wav")
    first, _ = edgel3.get_embedding(audio, sr, model_type="sea", emb_dim=64)
    model = edgel3.models.load_embedding_model(model_type="sea", emb_dim=64)
    second, ts = edgel3.get_embedding(audio, sr, model=model)
    np.testing.assert_array_equal(first, second)
    edgel3.process_file("file.wav", model=model, suffix="suffix")
    data = np.load("file_suffix.npz")
    np.testing.assert_array_equal(data["timestamps"], ts)
    np.testing.assert_array_equal(data["embedding"], second)
    data.close()
