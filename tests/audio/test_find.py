"""Which files are audio, in folders and lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from hear_edgel3.audio.find import audio_files
from support.files import write_clip


def test_audio_files_of_folders_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("d/b.wav", "d/a.mp3", "d/sub/c.wav"):
        write_clip(name)
    Path("d/t.txt").write_text("")
    Path("d/folder.wav").mkdir()
    files, failures = audio_files(["d", "d/t.txt", "d/b.wav", "nowhere", "d/sub"])
    assert [f.as_posix() for f in files] == ["d/a.mp3", "d/b.wav", "d/t.txt", "d/sub/c.wav"]
    assert [(name, str(error)) for name, error in failures] == [("nowhere", "nowhere does not exist")]
    assert [f.name for f in audio_files(["d"], recursive=True)[0]] == ["a.mp3", "b.wav", "c.wav"]
