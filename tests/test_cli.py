"""The ``hear-edgel3`` command: what it writes, where, what it says on which stream, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import hear_edgel3
from hear_edgel3.audio.find import audio_files
from hear_edgel3.cli import embed, main
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.npz import output_path, plan_outputs
from hear_edgel3.registry.names import list_configurations
from hear_edgel3.weights.file import encode
from support import signals, synthetic

SCRIPT = Path(sysconfig.get_path("scripts")) / "hear-edgel3"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder and find the seeded weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def clip(path: str | Path, seconds: float = 0.6, rate: int = 8000, seed: int = 0) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signals.clip(seconds, rate, seed=seed), rate)
    return path


def run(*arguments: str) -> int:
    """`hear-edgel3 embed` with a fast model and few windows."""
    return main(["embed", "-c", "sea_64", "-t", "0.5", *arguments])


def results(folder: str | Path = ".") -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.suffix == ".npz")


def contents(path: str | Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def snapshot(path: str | Path) -> tuple[bytes, int]:
    return Path(path).read_bytes(), Path(path).stat().st_mtime_ns


Captured = pytest.CaptureFixture[str]


# --- embed: what is written ---


def test_a_file(capsys: Captured) -> None:
    source = clip("a.wav", 1.2)
    assert main(["embed", "a.wav", "--config", "sea_64"]) == 0
    found = contents("a.npz")
    expected = hear_edgel3.embed_file(source, "sea_64")
    assert sorted(found) == [
        "center",
        "configuration",
        "embedding",
        "embedding_version",
        "hop_size",
        "source",
        "timestamps",
        "weights_sha256",
    ]
    np.testing.assert_array_equal(found["embedding"], expected.embedding)
    np.testing.assert_array_equal(found["timestamps"], np.arange(8) * 0.1)
    assert str(found["configuration"]) == "sea_64"
    assert int(found["embedding_version"]) == expected.embedding_version
    assert str(found["weights_sha256"]) == expected.weights_sha256
    assert len(expected.weights_sha256) == 64
    assert str(found["source"]) == str(source.absolute())
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "a.wav -> a.npz (8 embeddings of size 64)\n"


def test_hop_and_centring() -> None:
    source = clip("a.wav", 2.0)
    assert main(["embed", "a.wav", "-c", "sea_64", "--hop-size", "0.25", "--no-centering"]) == 0
    expected = hear_edgel3.embed_file(source, "sea_64", hop_size=0.25, center=False)
    assert len(expected.timestamps) == 5
    np.testing.assert_array_equal(contents("a.npz")["timestamps"], expected.timestamps)
    np.testing.assert_array_equal(contents("a.npz")["embedding"], expected.embedding)


@pytest.mark.parametrize("flag", ["--output-dir", "--output", "-o"])
def test_output_folders_are_made(flag: str) -> None:
    clip("in/a.wav")
    assert run("in/a.wav", flag, "new/deep/out") == 0
    assert results() == ["new/deep/out/a.npz"]


@pytest.mark.parametrize("flag", ["--suffix", "-x"])
def test_suffix(flag: str) -> None:
    clip("in/a.b.wav")
    assert run("in/a.b.wav", flag, "kd") == 0
    assert run("in/a.b.wav", flag, ".kd") == 0
    assert results() == ["in/a.b.kd.npz", "in/a.b_kd.npz"]


def test_weights_from_a_file_and_from_a_folder(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEAR_EDGEL3_WEIGHTS")
    clip("a.wav")
    assert run("a.wav", "--weights", str(weights_folder), "-x", "folder") == 0
    assert run("a.wav", "--weights", str(weights_folder / "sea_64.safetensors"), "-x", "file") == 0
    assert results() == ["a_file.npz", "a_folder.npz"]


def test_folders(capsys: Captured) -> None:
    for name in ("d/b.wav", "d/a.FLAC", "d/deeper/c.ogg"):
        clip(name)
    Path("d/notes.txt").write_text("no audio")
    Path("d/old.npz").write_bytes(b"no audio either")
    assert run("d") == 0
    assert results("d") == ["a.npz", "b.npz", "old.npz"]
    assert "2 embedded\n" in capsys.readouterr().err
    assert run("d", "--recursive") == 0
    assert results("d") == ["a.npz", "b.npz", "deeper/c.npz", "old.npz"]
    assert "1 embedded, 2 kept" in capsys.readouterr().err


def test_empty_folders_fail(capsys: Captured) -> None:
    clip("d/deeper/c.wav")
    assert run("d") == 1
    assert "the folder d has no audio files (--recursive looks into the folders inside)" in capsys.readouterr().err
    Path("e").mkdir()
    assert run("e", "--recursive") == 1
    assert "the folder e has no audio files\n" in capsys.readouterr().err


def test_a_file_named_twice_is_embedded_once(capsys: Captured) -> None:
    clip("d/a.wav")
    assert run("d/a.wav", "d", "./d/../d/a.wav", str(Path("d/a.wav").absolute())) == 0
    assert results() == ["d/a.npz"]
    assert capsys.readouterr().err == "d/a.wav -> d/a.npz (2 embeddings of size 64)\n"


# --- embed: which configuration ---


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--model-type", "sea", "--emb-dim", "64"], "sea_64"),
        (["-mtype", "sea", "-e", "64"], "sea_64"),
        (["-mtype", "sea"], "sea_128"),
    ],
)
def test_old_flags_embed(flags: list[str], name: str) -> None:
    clip("a.wav")
    assert main(["embed", "a.wav", "-n", "-t", "0.5", "-q", *flags]) == 0
    assert str(contents("a.npz")["configuration"]) == name


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["--model-type", "sparse", "-e", "64"], "sparse_95"),
        (["--model-type", "sparse"], "sparse_95"),
        (["--retrain-type", "kd"], "sparse_95_kd"),
        (["-retrain", "kd", "-sp", "53.5"], "sparse_53_kd"),
        (["--model-sparsity", "81.0"], "sparse_81"),
        (["-sp", "87"], "sparse_87"),
        (["-sp", "73.5", "-retrain", "ft"], "sparse_73"),
        (["-mtype", "sparse", "-sp", "90.5", "-e", "64"], "sparse_90"),
        (["-mtype", "sea", "-e", "256"], "sea_256"),
        (["-mtype", "sea", "-e", "512", "-sp", "53.5"], "sea_512"),
        (["--config", "sparse_63_kd"], "sparse_63_kd"),
        (["-c", "sea_512"], "sea_512"),
    ],
)
def test_flags_choose_the_configuration(flags: list[str], name: str, capsys: Captured) -> None:
    Path("none").mkdir()
    clip("a.wav")
    assert main(["embed", "a.wav", "--weights", "none", *flags]) == 1
    assert capsys.readouterr().err == f"hear-edgel3: the folder none has no {name}.safetensors, which {name} needs\n"
    assert results() == []


@pytest.mark.parametrize(
    "flags", [["--model-type", "sea"], ["--emb-dim", "64"], ["-retrain", "ft"], ["-sp", "95.45"], ["-mtype", "sparse"]]
)
def test_config_and_old_flags_do_not_mix(flags: list[str], capsys: Captured) -> None:
    clip("a.wav")
    assert run("a.wav", *flags) == 2
    assert "give --config, or the old flags (--model-type, --emb-dim, ...), but not both" in capsys.readouterr().err
    assert results() == []


@pytest.mark.parametrize(
    ("name", "near"), [("sparse_96", "sparse_95"), ("sea64", "sea_64"), ("sparse95_kd", "sparse_95_kd")]
)
def test_unknown_configurations(name: str, near: str, capsys: Captured) -> None:
    clip("a.wav")
    assert main(["embed", "a.wav", "--config", name]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"hear-edgel3: there is no configuration '{name}'; did you mean ")
    assert near in error.split("did you mean ")[1].rstrip("?\n").split(" or ")
    assert main(["info", name]) == 2
    assert capsys.readouterr().err == error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-sp", "40"], "invalid sparsity 40.0; it must be one of 53.5"),
        (["-sp", "nan"], "invalid sparsity nan"),
        (["-mtype", "sea", "-e", "50"], "invalid emb_dim 50; it must be one of 64, 128, 256, 512"),
        (["-c", "sea_64", "-t", "0.00001"], "hop_size=1e-05 is less than one sample at 8000 Hz"),
        (["-c", "sea_64", "--device", "toaster"], "device 'toaster' cannot be used"),
        (["-c", "sea_64", "-x", f"..{os.sep}up"], "a suffix is part of a file name"),
    ],
)
def test_values_that_cannot_be_used(flags: list[str], message: str, capsys: Captured) -> None:
    clip("a.wav")
    assert main(["embed", "a.wav", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert results() == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bogus"],
        ["embed"],
        ["embed", "a.wav", "-t", "0"],
        ["embed", "a.wav", "-t", "nan"],
        ["embed", "a.wav", "-t", "inf"],
        ["embed", "a.wav", "-t", "-1"],
        ["embed", "a.wav", "-t", "fast"],
        ["embed", "a.wav", "-e", "5.0"],
        ["embed", "a.wav", "-sp", "most"],
        ["embed", "a.wav", "-mtype", "openl3"],
        ["embed", "a.wav", "-retrain", "FT"],
        ["embed", "a.wav", "--bogus"],
        ["list", "--family", "bogus"],
        ["list", "extra"],
        ["info"],
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: hear-edgel3" in err
    if "-t" in arguments:
        assert f"must be a positive number of seconds, got {arguments[-1]}" in err


# --- embed: failures ---


def test_bad_files_among_good_ones(capsys: Captured) -> None:
    good = [clip("d/a.wav"), clip("d/z.flac", seed=1)]
    Path("d/m1.wav").write_bytes(b"garbage" * 100)
    Path("d/m2.wav").write_bytes(b"")
    bad = signals.clip(1.0, 8000)
    bad[1234] = np.nan
    soundfile.write("d/m3.wav", bad, 8000, subtype="FLOAT")
    assert run("d", "nowhere.wav") == 1
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
    assert run("nowhere.wav") == 1
    assert capsys.readouterr().err == "error: nowhere.wav does not exist\n"
    assert run("") == 1
    assert "an input is empty" in capsys.readouterr().err


def test_failures_are_said_even_when_quiet(capsys: Captured) -> None:
    clip("a.wav")
    assert run("a.wav", "nowhere.wav", "--quiet") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: nowhere.wav does not exist\nfailures:\n  nowhere.wav does not exist\n"


def test_missing_weights(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    clip("a.wav")
    assert main(["embed", "a.wav", "-c", "sparse_53"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("hear-edgel3: no weights for sparse_53 on this machine")
    assert "python -m weights_convert sparse_53" in error
    assert results() == []


@pytest.mark.parametrize("when", ["writing", "syncing"])
def test_a_full_disk(when: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    clip("a.wav")
    clip("b.wav")
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
        monkeypatch.setattr(os, "fsync", fail_first(sync))
    assert run("a.wav", "b.wav", "-o", "out") == 1
    assert sorted(p.name for p in Path("out").iterdir()) == ["b.npz"]
    assert contents("out/b.npz")["embedding"].shape == (2, 64)
    assert f"cannot write out{os.sep}a.npz: No space left on device" in capsys.readouterr().err.splitlines()[-1]


def test_ctrl_c(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    clip("a.wav")
    clip("b.wav")

    def interrupted(file: Any, **arrays: object) -> None:
        file.write(b"some of it")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", interrupted)
    assert run("a.wav", "b.wav", "-o", "out", "-q") == 130
    assert capsys.readouterr().err == "hear-edgel3: interrupted\n"
    assert list(Path("out").iterdir()) == []


def test_outputs_that_cannot_be(capsys: Captured) -> None:
    clip("a.wav")
    Path("file").write_text("in the way")
    assert run("a.wav", "-o", "file") == 1
    assert "hear-edgel3: cannot make the output folder file: File exists" in capsys.readouterr().err
    assert run("a.wav", "-o", "file/deeper") == 1
    assert "cannot make the output folder file/deeper: Not a directory" in capsys.readouterr().err
    assert Path("file").read_text() == "in the way"
    Path("a.npz").mkdir()
    assert run("a.wav", "--overwrite") == 1
    assert "error: a.wav: cannot write a.npz: it is a folder" in capsys.readouterr().err
    assert run("a.wav", "-x", "s" * 300) == 1
    assert "File name too long" in capsys.readouterr().err
    assert results() == ["a.npz"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(capsys: Captured) -> None:
    clip("d/a.wav")
    Path("d").chmod(0o555)
    try:
        assert run("d/a.wav") == 1
    finally:
        Path("d").chmod(0o755)
    assert "no permission to write into d" in capsys.readouterr().err


# --- embed: existing results ---


def test_existing_results_are_kept(capsys: Captured) -> None:
    clip("a.wav")
    clip("b.wav")
    assert run("a.wav") == 0
    before = snapshot("a.npz")
    clip("a.wav", 2.0, seed=9)  # even if the audio has changed
    capsys.readouterr()
    assert run("a.wav", "b.wav") == 0
    assert snapshot("a.npz") == before
    assert results() == ["a.npz", "b.npz"]
    assert "1 embedded, 1 kept as they were (--overwrite replaces them)" in capsys.readouterr().err
    assert run("a.wav", "--overwrite") == 0
    assert len(contents("a.npz")["timestamps"]) == 4


def test_nothing_is_loaded_when_all_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    clip("a.wav")
    assert run("a.wav") == 0
    monkeypatch.setattr(embed, "_load", lambda *arguments: pytest.fail("loaded a model"))
    assert run("a.wav") == 0


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
    clip("a.wav")
    make(Path("a.npz"))
    before = snapshot("a.npz")
    assert run("a.wav") == 1
    assert snapshot("a.npz") == before
    error = capsys.readouterr().err
    assert f"not replacing a.npz: {reason}" in error
    assert "use --overwrite, or another --suffix or --output" in error
    assert run("a.wav", "--overwrite") == 0
    assert contents("a.npz")["embedding"].shape == (2, 64)


def test_results_of_other_weights_are_not_kept(weights_folder: Path, tmp_path: Path, capsys: Captured) -> None:
    clip("a.wav")
    assert run("a.wav") == 0
    other = {key: value * 1.01 for key, value in synthetic.state("sea_64").items()}
    (tmp_path / "other.safetensors").write_bytes(encode(other, {"configuration": "sea_64"}))
    assert run("a.wav", "--weights", str(tmp_path / "other.safetensors")) == 1
    assert "it exists and was made with weights_sha256" in capsys.readouterr().err
    assert run("a.wav", "--weights", str(weights_folder)) == 0


def test_a_device_without_memory_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    clip("a.wav")
    clip("b.wav", 1.0)
    embed_stream = Extractor.embed_stream
    calls = []

    def first_fails(self: Extractor, *arguments: Any) -> np.ndarray:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("CUDA out of memory")
        return embed_stream(self, *arguments)

    monkeypatch.setattr(Extractor, "embed_stream", first_fails)
    assert run("a.wav", "b.wav") == 1
    assert not Path("a.npz").exists()
    assert Path("b.npz").exists()
    assert "a.wav: CUDA out of memory" in capsys.readouterr().err


def test_results_of_the_old_program_are_kept() -> None:
    clip("a.wav")
    np.savez("a.npz", embedding=np.zeros((2, 64), np.float32), timestamps=np.arange(2.0))
    before = snapshot("a.npz")
    assert run("a.wav") == 0
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
    clip("a.wav", 1.0)
    clip("a.flac", 2.0)
    assert run("a.wav", "a.flac") == 0
    assert sources() == {"a_wav.npz": "a.wav", "a_flac.npz": "a.flac"}
    assert len(contents("a_wav.npz")["timestamps"]) == 2
    assert len(contents("a_flac.npz")["timestamps"]) == 4


def test_same_name_different_folders() -> None:
    for folder in ("x", "y"):
        clip(f"{folder}/a.wav")
    clip("x/b.wav")
    assert run("x/a.wav", "y/a.wav", "x/b.wav", "-o", "out") == 0
    assert sources("out") == {"x_a.npz": "x/a.wav", "y_a.npz": "y/a.wav", "b.npz": "x/b.wav"}
    assert run("x/a.wav", "y/a.wav") == 0  # beside the inputs they need no longer names
    assert results("x") == ["a.npz"]
    assert results("y") == ["a.npz"]


def test_same_name_recursively() -> None:
    for name in ("d/a.wav", "d/x/a.wav", "d/x/a.flac", "d/y/x/a.wav"):
        clip(name)
    assert run("d", "--recursive", "-o", "out") == 0
    assert sorted(sources("out").values()) == ["d/a.wav", "d/x/a.flac", "d/x/a.wav", "d/y/x/a.wav"]


def test_same_name_in_two_runs(capsys: Captured) -> None:
    for folder in ("x", "y"):
        clip(f"{folder}/a.wav", seed=ord(folder))
    assert run("x/a.wav", "-o", "out") == 0
    before = snapshot("out/a.npz")
    capsys.readouterr()
    assert run("y/a.wav", "-o", "out") == 1
    assert snapshot("out/a.npz") == before
    error = capsys.readouterr().err
    assert f"not replacing out{os.sep}a.npz: it exists and was made from {Path('x/a.wav').absolute()}" in error
    assert run("y/a.wav", "-o", "out", "-x", "y") == 0
    assert sources("out") == {"a.npz": "x/a.wav", "a_y.npz": "y/a.wav"}


def test_two_endings_in_two_runs() -> None:
    clip("a.wav")
    clip("a.flac", 2.0)
    assert run("a.wav") == 0
    before = snapshot("a.npz")
    assert run("a.flac") == 1
    assert snapshot("a.npz") == before


def test_a_source_that_has_moved_keeps_its_result() -> None:
    clip("x/a.wav")
    assert run("x/a.wav", "-o", "out") == 0
    before = snapshot("out/a.npz")
    Path("x").rename("y")
    assert run("y/a.wav", "-o", "out") == 0
    assert snapshot("out/a.npz") == before


def test_a_longer_name_never_hits_another_input() -> None:
    for name in ("a.wav", "a.flac", "a_wav.ogg"):
        clip(name)
    assert run("a.wav", "a.flac", "a_wav.ogg") == 0
    found = sources()
    assert found["a_wav.npz"] == "a_wav.ogg"
    assert sorted(found.values()) == ["a.flac", "a.wav", "a_wav.ogg"]


FOLDERS = st.sampled_from(["", "x", "y", "x/y", "x_y", "X", "y/x"])
STEMS = st.sampled_from(["a", "A", "a_1", "a_2", "a_wav", "x_a", "a_s", "a.b", "y_x_a_wav", ".a"])
ENDINGS = st.sampled_from([".wav", ".WAV", ".flac", ".b.wav", ""])
PATHS = st.builds(lambda folder, stem, ending: Path(folder) / (stem + ending), FOLDERS, STEMS, ENDINGS)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(PATHS, unique=True, min_size=1, max_size=12),
    st.sampled_from([None, "s", ".s", "1"]),
    st.sampled_from([None, "out", ""]),
)
def test_planned_outputs(inputs: list[Path], suffix: str | None, folder: str | None) -> None:
    planned = plan_outputs(inputs, suffix, folder)
    assert planned == plan_outputs(list(inputs), suffix, folder)
    assert len(planned) == len(inputs)
    # different even where upper and lower case are the same
    assert len({os.path.abspath(p).lower() for p in planned}) == len(inputs)
    plain = [output_path(p, suffix, folder) for p in inputs]
    shared = [os.path.abspath(p).lower() for p in plain]
    for source, found, simple, key in zip(inputs, planned, plain, shared, strict=True):
        assert found.suffix == ".npz"
        assert found.parent == (source.parent if folder is None else Path(folder))
        if shared.count(key) == 1:
            assert found == simple


def test_audio_files_of_folders_and_lists() -> None:
    for name in ("d/b.wav", "d/a.mp3", "d/sub/c.wav"):
        clip(name)
    Path("d/t.txt").write_text("")
    Path("d/folder.wav").mkdir()
    files, failures = audio_files(["d", "d/t.txt", "d/b.wav", "nowhere", "d/sub"])
    assert [f.as_posix() for f in files] == ["d/a.mp3", "d/b.wav", "d/t.txt", "d/sub/c.wav"]
    assert [(name, str(error)) for name, error in failures] == [("nowhere", "nowhere does not exist")]
    assert [f.name for f in audio_files(["d"], recursive=True)[0]] == ["a.mp3", "b.wav", "c.wav"]


# --- embed: progress ---


def test_progress_only_with_several_files(capsys: Captured) -> None:
    clip("a.wav")
    clip("b.wav")
    assert run("a.wav") == 0
    assert "%|" not in capsys.readouterr().err
    assert run("a.wav", "b.wav", "--overwrite") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%|" in err
    assert err.endswith("2 embedded\n")
    assert run("a.wav", "b.wav", "--overwrite", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert run("a.wav", "--overwrite", "-q") == 0
    assert capsys.readouterr() == ("", "")
    assert run("a.wav", "b.wav", "-q") == 0  # both kept
    assert capsys.readouterr() == ("", "")


# --- list and info ---


def test_list(capsys: Captured) -> None:
    assert main(["list"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    header, *lines = out.splitlines()
    assert header.split() == ["name", "dim", "Hz", "params", "MACs/10", "s", "mAP", "description"]
    assert [line.split()[0] for line in lines] == list_configurations()
    row = next(line for line in lines if line.startswith("sea_64 "))
    assert row.split()[:4] == ["sea_64", "64", "16000", "399,460"]
    assert next(line for line in lines if line.startswith("sparse_95_kd ")).split()[1:4] == [
        "512",
        "48000",
        "4,689,860",
    ]


def test_list_as_json(capsys: Captured) -> None:
    assert main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list_configurations()
    assert {"name", "family", "embedding_size", "features", "sample_rate", "n_parameters", "macs_10s", "reported"} < {
        *rows[0]
    }
    sea = next(row for row in rows if row["name"] == "sea_512")
    assert (sea["family"], sea["embedding_size"], sea["n_parameters"]) == ("l3", 512, 4_691_908)


def test_list_of_a_family(capsys: Captured) -> None:
    assert main(["list", "--family", "l3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list_configurations("l3")
    assert len(rows) >= 20


def test_info(capsys: Captured, weights_folder: Path) -> None:
    assert main(["info", "sea_64"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    words = {line.strip().split("  ")[0]: line for line in out.splitlines()}
    assert words["name"].endswith(" sea_64")
    assert words["parameters"].endswith(" 399460")
    assert words["hop ms"].endswith(" 50.0")
    assert words["window ms"].endswith(" 1000.0")
    assert words["net sample rate"].endswith(" 8000")
    assert words["MACs for 10 s"].endswith(" 1.244 G in one pass of the whole net")
    assert "2.449 G per second of audio: 0.1224 G for a window of 1000 ms every 50 ms" in words["MACs for timestamps"]
    assert "68 frames (1468 ms) by 64 of 64 mel bands" in words["receptive field"]
    assert "0.832 MB in fp32, 0.467 MB in fp16" in words["memory for 1 s"]
    assert "MIT, (c) 2019 Sangeeta Kumari" in words["licence"]
    assert "Specialized Embedding Approximation" in words["citation"]
    assert str(weights_folder / "sea_64.safetensors") in words["from"]


def test_info_of_features(capsys: Captured) -> None:
    assert main(["info", "mn04_as_b5_mel_avgs"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    words = {line.strip().split("  ")[0]: line for line in out.splitlines()}
    assert words["features"].endswith(" mel_avgs, b5; blocks pooled by avg_ch")
    assert words["MACs for 10 s"].endswith(
        " 0.1106 G in one pass of the whole net, 0.04029 G of them for these features"
    )
    assert "67 frames (685 ms) by 67 of 128 mel bands" in words["receptive field"]
    assert "5.38 MB in fp32, 2.69 MB in fp16: peak of activations of one clip" in words["memory for 10 s"]
    assert "peak of activations of one window" in words["memory for 0.16 s"]


def test_info_as_json(capsys: Captured) -> None:
    assert main(["info", "sparse_81_kd", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == "sparse_81_kd"
    assert facts["embedding_size"] == 512
    assert facts["size_mb"] == round(4 * 4_689_860 / 1e6, 2)
    assert facts["timestamps"]["sample_rate"] == facts["timestamps"]["net_sample_rate"] == 48000
    assert facts["timestamps"]["centred"] is True
    assert facts["complexity"]["macs_window"] == 10_202_628_096
    assert facts["complexity"]["memory_input_ms"] == 1000.0
    assert facts["weights"]["upstream_git_blob"] == "f522214d1f7e55cc2dd5c260051aa8b7b3fd0c65"
    assert facts["weights"]["upstream_file"].endswith("edgel3_kd_audio_sparsity_81.0.h5.gz")
    assert "first use" in facts["weights"]["from"] or "Hub" in facts["weights"]["from"]


@pytest.mark.parametrize("name", list_configurations())
def test_info_of_every_configuration(name: str, capsys: Captured) -> None:
    assert main(["info", name, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == name
    assert facts["parameters"] > 50_000


# --- the installed program ---


def script(*arguments: str, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert check is None or done.returncode == check, done.stderr
    return done


def test_the_script_embeds() -> None:
    clip("a.wav")
    done = script("embed", "a.wav", "-mtype", "sea", "-e", "64", "-t", "0.5")
    # The first run on a machine says that it compiles.
    assert (done.stdout, done.stderr.splitlines()[-1]) == ("", "a.wav -> a.npz (2 embeddings of size 64)")
    np.testing.assert_array_equal(
        contents("a.npz")["embedding"], hear_edgel3.embed_file("a.wav", "sea_64", hop_size=0.5).embedding
    )


def test_the_script_fails_in_words() -> None:
    Path("a.wav").write_bytes(b"no audio")
    done = script("embed", "a.wav", "-c", "sea_64", check=1)
    assert done.stderr == "error: a.wav cannot be read as audio: Format not recognised\n"
    assert script("embed", "-t", "0", check=2).stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
def test_names_that_are_no_text() -> None:
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x8e\xb5.wav")
    clip("plain.wav").rename(name)
    Path(os.fsdecode(b"bad\xe9.wav")).write_bytes(b"no audio")
    done = script("embed", ".", "-c", "sea_64", "-t", "0.5", check=1)
    assert done.stderr.endswith("\n  bad\\udce9.wav cannot be read as audio: Format not recognised\n")
    assert results() == [name.replace(".wav", ".npz")]
    assert str(contents(results()[0])["source"]).startswith(str(Path.cwd()))
    assert run(name) == 0


def test_the_script_says_its_version() -> None:
    assert script("--version").stdout == f"hear-edgel3 {hear_edgel3.__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of a shell")
def test_a_reader_that_goes_away() -> None:
    with subprocess.Popen([SCRIPT, "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.wait(60)


HEAVY = {"torch", "soundfile", "safetensors", "huggingface_hub", "h5py", "weights_convert"}


@pytest.mark.parametrize("arguments", [["--help"], ["embed", "--help"], ["list"], ["list", "--json"], ["--version"]])
def test_cheap_commands_do_not_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from hear_edgel3.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"heavy = {HEAVY!r} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print('cheap')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("cheap\n")
    assert len(done.stdout.splitlines()) > 1


def test_help_names_every_flag(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["embed", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    long = "config weights output suffix hop engine no-centering overwrite recursive device quiet"
    old = "--model-type -mtype --emb-dim -e --retrain-type -retrain --model-sparsity -sp -o -x -n -t -q"
    for flag in [*(f"--{name}" for name in long.split()), *old.split()]:
        assert f"{flag}," in out or f"{flag} " in out or f"{flag}\n" in out, flag


def test_verbose_says_where_weights_come_from(weights_folder: Path) -> None:
    clip("a.wav")
    done = script("--verbose", "embed", "a.wav", "-c", "sea_64", "-t", "0.5")
    assert done.stdout == ""
    assert f"weights of sea_64: {weights_folder / 'sea_64.safetensors'} ($HEAR_EDGEL3_WEIGHTS)" in done.stderr
