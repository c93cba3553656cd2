"""Audio that distillation cannot use, and descriptions of sources that it cannot read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from hear_edgel3.distillation import corpus, examples, result
from hear_edgel3.errors import AudioFileError, ConfigurationError, InvalidAudio
from support import signals
from support.distilling import N_FILES, PER_FILE, Distill
from support.types import Captured


def test_audio_that_is_not_enough(distill: Distill, audio: Path, tmp_path: Path, capsys: Captured) -> None:
    output, folder = tmp_path / "out", tmp_path / "audio"
    with pytest.raises(AudioFileError, match="nothing does not exist"):
        distill(output, audio=tmp_path / "nothing")
    folder.mkdir()
    (folder / "notes.txt").write_text("no audio")
    with pytest.raises(AudioFileError, match="audio has no audio files"):
        distill(output, audio=[folder, audio])
    (folder / "noise.wav").write_bytes(b"nothing of the kind")
    too_little = r"audio: clips of {} s in {} files, taken from {} s of audio.*at least 60 s in 4 files are needed"
    with pytest.raises(InvalidAudio, match=too_little.format(0, 0, 0)):
        distill(output, audio=folder)
    assert "left out: " in capsys.readouterr().err
    for i in range(3):  # enough, but of too few
        soundfile.write(folder / f"{i}.wav", signals.clip(25.0, 8000), 8000)
    with pytest.raises(InvalidAudio, match=too_little.format(75, 3, 75)):
        distill(output, audio=folder, clips_per_file=100)
    soundfile.write(folder / "3.wav", signals.clip(25.0, 8000), 8000)
    with pytest.raises(InvalidAudio, match=too_little.format(32, 4, 100)):  # clips, not files, are what counts
        distill(output, audio=folder)
    assert not output.exists()
    assert corpus.MINIMUM_SECONDS == 60


@pytest.mark.parametrize(("what", "number"), [("validation", 0), ("train", 1)])
def test_audio_that_cannot_be_read_after_all(
    what: str, number: int, distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers promised more than there is."""
    asked: list[int] = []
    read = examples._Maker._read

    def broken(self: Any, clip: Any) -> torch.Tensor | None:
        asked.append(1)
        return None if (len(asked) > PER_FILE) == (number == 1) else read(self, clip)

    monkeypatch.setattr(examples._Maker, "_read", broken)
    n = {"validation": PER_FILE, "train": PER_FILE * (N_FILES - 1)}[what]
    with pytest.raises(InvalidAudio, match=f"only 0 of the {n} clips for {what} could be read; see the messages above"):
        distill(tmp_path / "out", cache=None)
    assert not (tmp_path / "out" / "training.pt").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"\xff\xfe{",
        b"[" * 100_000,
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"sources": null}',
        b'{"sources": 3}',
        b'{"sources": [3]}',
        b'{"sources": ["a source"]}',
    ],
)
def test_sources_that_cannot_be_read(content: bytes, distill: Distill, tmp_path: Path) -> None:
    (tmp_path / "SOURCES.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"SOURCES\.json is not a list of sources.*mend it or remove it"):
        distill(tmp_path / "out", audio=tmp_path)
    assert not (tmp_path / "out").exists()


def test_sources_of_any_shape() -> None:
    """What a source does not say is left empty; nothing breaks the table."""
    found = result._table(
        [
            {},
            {"name": "a|b\nc", "licences": None},
            {"name": "d", "licences": "CC0", "hours": 2, "files": None},
            {"name": "e", "licences": 5},
            {"name": "f", "version": "1", "licences": ["CC0", 4]},
        ],
        ["d"],
    )
    assert found == [
        "|  |  |  |  |  |",
        "| a/b c |  |  |  |  |",
        "| d (held out) |  | 2 |  | CC0 |",
        "| e |  |  |  | 5 |",
        "| f | 1 |  |  | CC0, 4 |",
    ]
