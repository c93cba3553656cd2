"""Files and options that fail, and what is said of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.cli import main
from hear_edgel3.errors import AudioFileError, InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.jobs import writer
from support.files import write_clip
from support.jobs import clips, rows, run_extract


def test_bad_files_become_error_rows(capsys: pytest.CaptureFixture[str]) -> None:
    sources = clips()
    write_clip("in/bad.wav").write_bytes(b"")
    soundfile.write("in/nan.wav", np.array([0, np.nan, 0] * 100), 8000, subtype="FLOAT")
    cut = write_clip("in/cut.flac", 2.0)
    cut.write_bytes(cut.read_bytes()[:-9000])
    assert run_extract("in", "--config", "sea_64", "--json") == 1
    found = {row["file"]: row for row in rows()}
    assert [name for name, row in found.items() if row["error"] is None] == sources
    assert found["in/bad.wav"]["error"] == f"AudioFileError: {os.path.abspath('in/bad.wav')} is empty (0 bytes)"
    assert found["in/nan.wav"]["error"].startswith("InvalidAudio: ")
    assert found["in/cut.flac"]["error"].startswith("AudioFileError: ")
    assert (found["in/bad.wav"]["duration_s"], found["in/cut.flac"]["duration_s"]) == (None, 2.0)
    assert all(row["embedding"] is None for row in found.values() if row["error"])
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert (summary["files"], summary["failed"], summary["all_well"], summary["rows"]) == (9, 3, False, 9)
    assert [name for name, _ in summary["errors"]] == ["in/bad.wav", "in/cut.flac", "in/nan.wav"]
    assert "in/bad.wav is empty (0 bytes)" in err


def test_a_file_that_fails_late_leaves_its_error_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first rows may have been written by then; they are taken back."""
    monkeypatch.setattr(writer, "_GROUP_BYTES", 4 * 320 * 16)  # 16 rows
    write_clip("in/a.wav", 0.3)
    write_clip("in/b.wav", 20.0)
    write_clip("in/c.wav", 0.3)
    blocks = AudioFile.blocks

    def torn(self: AudioFile) -> Iterator[torch.Tensor]:
        for i, block in enumerate(blocks(self)):
            if i == 3 and self.path.name == "b.wav":
                raise AudioFileError(f"{self.path} is damaged")
            yield block

    monkeypatch.setattr(AudioFile, "blocks", torn)
    hear_edgel3.extract("in", "out", timestamps=True, workers=1)
    assert [(row["file"], row["timestamp_ms"]) for row in rows()] == [
        *[("in/a.wav", 50.0 * k) for k in range(7)],
        ("in/b.wav", None),
        *[("in/c.wav", 50.0 * k) for k in range(7)],
    ]
    assert sorted(path.name for path in Path("out").iterdir()) == ["_job", "part-000-000000.parquet"]


def test_a_net_that_fails_fails_only_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = clips(rate=32000)
    embed = Extractor.embed_windows

    def limited(self: Extractor, windows: torch.Tensor) -> torch.Tensor:
        if windows.shape[1] == 9600 or len(windows) > 1:
            raise RuntimeError("out of memory")
        return embed(self, windows)

    monkeypatch.setattr(Extractor, "embed_windows", limited)
    summary = hear_edgel3.extract("in", "out", workers=1)
    assert summary.failed == 1
    assert [row["error"] for row in rows()] == [f"ComputationError: {sources[0]}: out of memory"] + [None] * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float64"}, "dtype must be one of float32, float16"),
        ({"runner": "spark"}, "runner must be one of local, ray"),
        ({"engine": "spark"}, "engine must be one of auto, "),
        ({"runner": "ray", "engine": "local"}, "runner='ray' and engine='local' both say who does the parts"),
        ({"engine": "eager", "net_engine": "torch"}, "engine='eager' and net_engine='torch' both say what runs"),
        ({"workers": 0}, "workers must be a whole number from 1"),
        ({"threads": True}, "threads must be a whole number from 1"),
        ({"files_per_part": 1.5}, "files_per_part must be"),
        ({"hop_ms": 50.0}, "a hop is for embeddings at timestamps"),
        ({"timestamps": True, "hop_ms": 1e-3}, "less than one sample"),
        ({"net_engine": "abacus"}, "engine must be one of"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    write_clip("a.wav")
    with pytest.raises(InvalidOption, match=message):
        hear_edgel3.extract("a.wav", "out", **options)


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    write_clip("a.wav")
    assert run_extract("a.wav", "--hop", "0.1") == 2
    assert run_extract("a.wav", "--config", "unknown") == 2
    for wrong in (["--workers", "0"], ["--num-gpus", "-1"], ["--hop", "0"]):
        with pytest.raises(SystemExit) as ended:
            run_extract("a.wav", *wrong)
        assert ended.value.code == 2
    assert not Path("out").exists()


def test_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    sources = clips()
    for i in range(25):
        write_clip(f"in/x{i:02d}.wav").write_bytes(b"")
    assert main(["extract", "in", "--output", "out", "--workers", "1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "x real time, 25 failed" in err
    assert "in/x00.wav is empty" in err
    assert "in/x19.wav is empty" in err
    assert "in/x20.wav" not in err
    assert "5 more now; all are the rows of" in err
    assert f"{len(sources) + 25} files (0.00 h of audio" in err
    assert main(["extract", "--output", "out", "--workers", "1"]) == 1
    assert "25 in earlier runs" in capsys.readouterr().err
