"""`embed` where results exist: kept while their source is the same, done anew when it has changed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.cli import main
from support.files import contents, write_clip

EMBED = ["embed", "in", "--output", "out"]


@pytest.fixture(autouse=True)
def _here(seeded_weights: Path) -> None:
    for i in range(2):
        write_clip(f"in/{i}.wav", seed=i)


def test_a_source_that_has_changed_is_done_anew(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(EMBED) == 0
    before = contents("out/0.npz")
    capsys.readouterr()
    assert main(EMBED) == 0
    assert capsys.readouterr().err.endswith("0 embedded, 2 kept as they were (--overwrite replaces them)\n")
    write_clip("in/1.wav", 1.0, seed=7)
    assert main(EMBED) == 0
    err = capsys.readouterr().err
    assert "1 had changed since they were embedded, and are done anew\n" in err
    assert "1 embedded, 1 kept as they were" in err
    after = contents("out/1.npz")
    assert after["source_size"] == os.stat("in/1.wav").st_size
    assert after["source_modified"] == os.stat("in/1.wav").st_mtime_ns
    assert len(after["embedding"]) > len(before["embedding"])
    assert contents("out/0.npz")["source_modified"] == before["source_modified"]


def test_one_of_equal_size_is_told_by_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(EMBED) == 0
    before = contents("out/1.npz")["embedding"]
    write_clip("in/1.wav", seed=8)
    os.utime("in/1.wav", (1, 1))
    assert main(EMBED) == 0
    assert "1 had changed" in capsys.readouterr().err
    assert not np.array_equal(contents("out/1.npz")["embedding"], before)


@pytest.mark.parametrize("gone", ["source_size", "source_modified"])
def test_results_of_older_versions_are_kept(gone: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(EMBED) == 0
    old = contents("out/1.npz")
    old.pop(gone)
    np.savez("out/1.npz", **old)
    write_clip("in/1.wav", 1.0)
    assert main(EMBED) == 0
    assert "0 embedded, 2 kept" in capsys.readouterr().err


def test_a_source_that_changes_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is what it was like before it was read: a file that grew meanwhile is done anew the next time."""
    from hear_edgel3.extractor import clip

    embed = clip.embed_opened

    def grows(file: AudioFile, *arguments: object, **options: object) -> object:
        found = embed(file, *arguments, **options)  # type: ignore[arg-type]
        write_clip(file.path, 1.0)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(clip, "embed_opened", grows)
        assert main([*EMBED, "--quiet"]) == 0
    short = len(contents("out/0.npz")["embedding"])
    assert main([*EMBED, "--quiet"]) == 0
    assert len(contents("out/0.npz")["embedding"]) > short
