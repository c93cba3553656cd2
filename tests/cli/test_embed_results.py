"""``hear-edgel3 embed``: results that exist already, and inputs that would share a name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hear_edgel3.cli import embed, main
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.weights.file import encode, read_tensors
from support import synthetic
from support.detectors import write_detector
from support.embed_command import results, run_embed, snapshot
from support.files import contents, write_clip
from support.types import Captured

pytestmark = pytest.mark.usefixtures("seeded_weights")

# --- embed: existing results ---


def test_existing_results_are_kept(capsys: Captured) -> None:
    write_clip("a.wav")
    write_clip("b.wav")
    assert run_embed("a.wav") == 0
    before = snapshot("a.npz")
    capsys.readouterr()
    assert run_embed("a.wav", "b.wav") == 0
    assert snapshot("a.npz") == before
    assert results() == ["a.npz", "b.npz"]
    assert "1 embedded, 1 kept as they were (--overwrite replaces them)" in capsys.readouterr().err
    there = contents("a.npz")
    np.savez(Path("a.npz"), **{**there, "embedding": there["embedding"] + 1})
    assert run_embed("a.wav", "--overwrite") == 0
    np.testing.assert_array_equal(contents("a.npz")["embedding"], there["embedding"])


def test_nothing_is_loaded_when_all_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip("a.wav")
    assert run_embed("a.wav") == 0
    monkeypatch.setattr(embed, "_load", lambda *arguments: pytest.fail("loaded a model"))
    assert run_embed("a.wav") == 0


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: p.write_bytes(b"precious"), "it exists, but cannot be read"),
        (lambda p: p.write_bytes(b""), "it exists, but cannot be read"),
        (lambda p: p.write_bytes(b"PK\x03\x04precious"), "it exists, but is damaged"),
        (
            lambda p: np.savez(p, configuration="sea_128"),
            "it exists and was made with configuration sea_128",
        ),
        (lambda p: np.savez(p, hop_size=0.25), "it exists and was made with hop_size 0.25, not 0.5"),
        (lambda p: np.savez(p, center=False), "it exists and was made with center False, not True"),
    ],
    ids=["other file", "empty", "damaged", "other configuration", "other hop", "other centring"],
)
def test_files_that_are_not_our_results_are_not_touched(
    make: Callable[[Path], object], reason: str, capsys: Captured
) -> None:
    write_clip("a.wav")
    make(Path("a.npz"))
    before = snapshot("a.npz")
    assert run_embed("a.wav") == 1
    assert snapshot("a.npz") == before
    error = capsys.readouterr().err
    assert f"not replacing a.npz: {reason}" in error
    assert "use --overwrite, or another --suffix or --output" in error
    assert run_embed("a.wav", "--overwrite") == 0
    assert contents("a.npz")["embedding"].shape == (2, 64)


def test_results_of_other_weights_are_not_kept(weights_folder: Path, tmp_path: Path, capsys: Captured) -> None:
    write_clip("a.wav")
    assert run_embed("a.wav") == 0
    other = {key: value * 1.01 for key, value in synthetic.state("sea_64").items()}
    (tmp_path / "other.safetensors").write_bytes(encode(other, {"configuration": "sea_64"}))
    assert run_embed("a.wav", "--weights", str(tmp_path / "other.safetensors")) == 1
    assert "it exists and was made with weights_sha256" in capsys.readouterr().err
    assert run_embed("a.wav", "--weights", str(weights_folder)) == 0


def test_results_of_the_net_of_another_folder_are_not_kept(tmp_path: Path, capsys: Captured) -> None:
    """Two that have one name; and one that was trained anew."""
    write_clip("a.wav")
    for kind, seed in (("one", 1), ("two", 2)):
        folder = write_detector(tmp_path / kind, "small", name="custom")
        values = json.loads((folder / "configuration.json").read_text())
        tensors, metadata = read_tensors(folder / "model.safetensors")
        data = encode({key: value * seed for key, value in tensors.items()}, metadata)
        (folder / "model.safetensors").write_bytes(data)
        values["weights_sha256"] = hashlib.sha256(data).hexdigest()
        (folder / "configuration.json").write_text(json.dumps(values))
    assert main(["embed", "a.wav", "--config", str(tmp_path / "one")]) == 0
    assert main(["embed", "a.wav", "--config", str(tmp_path / "one")]) == 0
    assert "1 kept as they were" in capsys.readouterr().err
    assert main(["embed", "a.wav", "--config", str(tmp_path / "two")]) == 1
    assert "it exists and was made with weights_sha256" in capsys.readouterr().err


def test_a_device_without_memory_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    write_clip("a.wav")
    write_clip("b.wav", 1.0)
    embed = Extractor.embed_windows
    calls = []

    def first_fails(self: Extractor, *arguments: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("CUDA out of memory")
        return embed(self, *arguments)

    monkeypatch.setattr(Extractor, "embed_windows", first_fails)
    assert run_embed("a.wav", "b.wav") == 1
    assert not Path("a.npz").exists()
    assert Path("b.npz").exists()
    assert "a.wav: CUDA out of memory" in capsys.readouterr().err


def test_results_of_the_old_program_are_kept() -> None:
    write_clip("a.wav")
    np.savez("a.npz", embedding=np.zeros((2, 64), np.float32), timestamps=np.arange(2.0))
    before = snapshot("a.npz")
    assert run_embed("a.wav") == 0
    assert snapshot("a.npz") == before


# --- embed: one name, several inputs ---


def sources(folder: str | Path = ".") -> dict[str, str]:
    """Result: the input it was made from."""
    base = Path.cwd()
    return {
        name: Path(str(contents(Path(folder) / name)["source"])).relative_to(base).as_posix()
        for name in results(folder)
    }


def test_same_name_different_endings() -> None:
    write_clip("a.wav", 1.0)
    write_clip("a.flac", 2.0)
    assert run_embed("a.wav", "a.flac") == 0
    assert sources() == {"a_wav.npz": "a.wav", "a_flac.npz": "a.flac"}
    assert len(contents("a_wav.npz")["timestamps"]) == 2
    assert len(contents("a_flac.npz")["timestamps"]) == 4


def test_same_name_different_folders() -> None:
    for folder in ("x", "y"):
        write_clip(f"{folder}/a.wav")
    write_clip("x/b.wav")
    assert run_embed("x/a.wav", "y/a.wav", "x/b.wav", "-o", "out") == 0
    assert sources("out") == {"x_a.npz": "x/a.wav", "y_a.npz": "y/a.wav", "b.npz": "x/b.wav"}
    assert run_embed("x/a.wav", "y/a.wav") == 0  # beside the inputs they need no longer names
    assert results("x") == ["a.npz"]
    assert results("y") == ["a.npz"]


def test_same_name_recursively() -> None:
    for name in ("d/a.wav", "d/x/a.wav", "d/x/a.flac", "d/y/x/a.wav"):
        write_clip(name)
    assert run_embed("d", "--recursive", "-o", "out") == 0
    assert sorted(sources("out").values()) == ["d/a.wav", "d/x/a.flac", "d/x/a.wav", "d/y/x/a.wav"]


def test_same_name_in_two_runs(capsys: Captured) -> None:
    for folder in ("x", "y"):
        write_clip(f"{folder}/a.wav", seed=ord(folder))
    assert run_embed("x/a.wav", "-o", "out") == 0
    before = snapshot("out/a.npz")
    capsys.readouterr()
    assert run_embed("y/a.wav", "-o", "out") == 1
    assert snapshot("out/a.npz") == before
    error = capsys.readouterr().err
    assert f"not replacing out{os.sep}a.npz: it exists and was made from {Path('x/a.wav').absolute()}" in error
    assert run_embed("y/a.wav", "-o", "out", "-x", "y") == 0
    assert sources("out") == {"a.npz": "x/a.wav", "a_y.npz": "y/a.wav"}


def test_two_endings_in_two_runs() -> None:
    write_clip("a.wav")
    write_clip("a.flac", 2.0)
    assert run_embed("a.wav") == 0
    before = snapshot("a.npz")
    assert run_embed("a.flac") == 1
    assert snapshot("a.npz") == before


def test_a_source_that_has_moved_keeps_its_result() -> None:
    write_clip("x/a.wav")
    assert run_embed("x/a.wav", "-o", "out") == 0
    before = snapshot("out/a.npz")
    Path("x").rename("y")
    assert run_embed("y/a.wav", "-o", "out") == 0
    assert snapshot("out/a.npz") == before


def test_a_longer_name_never_hits_another_input() -> None:
    for name in ("a.wav", "a.flac", "a_wav.ogg"):
        write_clip(name)
    assert run_embed("a.wav", "a.flac", "a_wav.ogg") == 0
    found = sources()
    assert found["a_wav.npz"] == "a_wav.ogg"
    assert sorted(found.values()) == ["a.flac", "a.wav", "a_wav.ogg"]
