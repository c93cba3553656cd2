"""``hear-edgel3 embed``: files, weights, disks and devices that fail."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.cli import main
from support import signals
from support.embed_command import results, run_embed
from support.files import contents, is_folder, write_clip
from support.types import Captured

pytestmark = pytest.mark.usefixtures("seeded_weights")


def test_a_nul_in_the_name_of_a_folder_of_a_list(capsys: Captured) -> None:
    write_clip("a.wav")
    Path("list.csv").write_text("file,label\na.wav,u\nx\0y/b.wav,u\n")
    for output in ([], ["-o", "out"]):
        assert run_embed("list.csv", *output) == 1
        assert "1 embedded, 1 failed" in capsys.readouterr().err
    assert results(".") == ["a.npz", "out/a.npz"]


def test_bad_files_among_good_ones(capsys: Captured) -> None:
    good = [write_clip("d/a.wav"), write_clip("d/z.flac", seed=1)]
    Path("d/m1.wav").write_bytes(b"garbage" * 100)
    Path("d/m2.wav").write_bytes(b"")
    bad = signals.clip(1.0, 8000)
    bad[1234] = np.nan
    soundfile.write("d/m3.wav", bad, 8000, subtype="FLOAT")
    assert run_embed("d", "nowhere.wav") == 1
    assert results("d") == ["a.npz", "z.npz"]
    for source in good:
        expected = hear_edgel3.embed_file(source, "sea_64", hop_size=0.5).embedding
        np.testing.assert_array_equal(contents(source.with_suffix(".npz"))["embedding"], expected)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[-6:] == [
        "2 embedded, 4 failed",
        "failures:",
        "  nowhere.wav does not exist",
        "  d/m1.wav cannot be read as audio: Format not recognised",
        "  d/m2.wav is empty (0 bytes)",
        "  d/m3.wav: sample 1234 is NaN; remove or replace such samples first",
    ]
    for line in lines[-4:]:  # each was also said when it happened
        assert any(f"error: {line.strip()}" in early for early in lines[:-6])


def test_one_bad_file_is_said_once(capsys: Captured) -> None:
    assert run_embed("nowhere.wav") == 1
    assert capsys.readouterr().err == "error: nowhere.wav does not exist\n"
    assert run_embed("") == 1
    assert "a source is empty" in capsys.readouterr().err


def test_failures_are_said_even_when_quiet(capsys: Captured) -> None:
    write_clip("a.wav")
    assert run_embed("a.wav", "nowhere.wav", "--quiet") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: nowhere.wav does not exist\nfailures:\n  nowhere.wav does not exist\n"


def test_missing_weights(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    write_clip("a.wav")
    assert main(["embed", "a.wav", "-c", "sparse_53"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("hear-edgel3: no weights for sparse_53 on this machine")
    assert "python -m weights_convert sparse_53" in error
    assert results() == []


@pytest.mark.parametrize("when", ["writing", "syncing"])
def test_a_full_disk(when: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip("a.wav")
    write_clip("b.wav")
    write, sync, calls = np.savez, os.fsync, []

    def fail_first(then: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == 1:
                if when == "writing":
                    arguments[0].write(b"some of it")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return then(*arguments, **options)

        return call

    if when == "writing":
        monkeypatch.setattr(np, "savez", fail_first(write))
    else:
        fail = fail_first(sync)
        monkeypatch.setattr(os, "fsync", lambda handle: (sync if is_folder(handle) else fail)(handle))
    assert run_embed("a.wav", "b.wav", "-o", "out") == 1
    assert sorted(p.name for p in Path("out").iterdir()) == ["b.npz"]
    assert contents("out/b.npz")["embedding"].shape == (2, 64)
    assert f"cannot write out{os.sep}a.npz: No space left on device" in capsys.readouterr().err.splitlines()[-1]


def test_ctrl_c(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip("a.wav")
    write_clip("b.wav")

    def interrupted(file: Any, **arrays: object) -> None:
        file.write(b"some of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    assert run_embed("a.wav", "b.wav", "-o", "out", "-q") == 130
    assert capsys.readouterr().err == "hear-edgel3: interrupted\n"
    assert list(Path("out").iterdir()) == []


def test_outputs_that_cannot_be(capsys: Captured) -> None:
    write_clip("a.wav")
    Path("file").write_text("in the way")
    assert run_embed("a.wav", "-o", "file") == 1
    assert "hear-edgel3: cannot make the output folder file: File exists" in capsys.readouterr().err
    assert run_embed("a.wav", "-o", "file/deeper") == 1
    assert "cannot make the output folder file/deeper: Not a directory" in capsys.readouterr().err
    assert Path("file").read_text() == "in the way"
    Path("a.npz").mkdir()
    assert run_embed("a.wav", "--overwrite") == 1
    assert "error: a.wav: cannot write a.npz: it is a folder" in capsys.readouterr().err
    assert run_embed("a.wav", "-x", "s" * 300) == 1
    assert "File name too long" in capsys.readouterr().err
    assert results() == ["a.npz"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(capsys: Captured) -> None:
    write_clip("d/a.wav")
    Path("d").chmod(0o555)
    try:
        assert run_embed("d/a.wav") == 1
    finally:
        Path("d").chmod(0o755)
    assert "no permission to write into d" in capsys.readouterr().err
