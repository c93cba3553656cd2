"""``hear-edgel3 embed``: what it writes, where, with which configuration, and what it says on which stream."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

import hear_edgel3
from hear_edgel3.cli import main
from support.embed_command import results, run_embed
from support.files import RESULT, contents, write_clip
from support.types import Captured

pytestmark = pytest.mark.usefixtures("seeded_weights")

# --- embed: what is written ---


def test_a_file(capsys: Captured) -> None:
    source = write_clip("a.wav", 1.2)
    assert main(["embed", "a.wav", "--config", "sea_64"]) == 0
    found = contents("a.npz")
    expected = hear_edgel3.embed_file(source, "sea_64")
    assert sorted(found) == RESULT
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
    source = write_clip("a.wav", 2.0)
    assert main(["embed", "a.wav", "-c", "sea_64", "--hop-size", "0.25", "--no-centering"]) == 0
    expected = hear_edgel3.embed_file(source, "sea_64", hop_size=0.25, center=False)
    assert len(expected.timestamps) == 5
    np.testing.assert_array_equal(contents("a.npz")["timestamps"], expected.timestamps)
    np.testing.assert_array_equal(contents("a.npz")["embedding"], expected.embedding)


@pytest.mark.parametrize("flag", ["--output-dir", "--output", "-o"])
def test_output_folders_are_made(flag: str) -> None:
    write_clip("in/a.wav")
    assert run_embed("in/a.wav", flag, "new/deep/out") == 0
    assert results() == ["new/deep/out/a.npz"]


@pytest.mark.parametrize("flag", ["--suffix", "-x"])
def test_suffix(flag: str) -> None:
    write_clip("in/a.b.wav")
    assert run_embed("in/a.b.wav", flag, "kd") == 0
    assert run_embed("in/a.b.wav", flag, ".kd") == 0
    assert results() == ["in/a.b.kd.npz", "in/a.b_kd.npz"]


def test_weights_from_a_file_and_from_a_folder(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEAR_EDGEL3_WEIGHTS")
    write_clip("a.wav")
    assert run_embed("a.wav", "--weights", str(weights_folder), "-x", "folder") == 0
    assert run_embed("a.wav", "--weights", str(weights_folder / "sea_64.safetensors"), "-x", "file") == 0
    assert results() == ["a_file.npz", "a_folder.npz"]


def test_folders(capsys: Captured) -> None:
    for name in ("d/b.wav", "d/a.FLAC", "d/deeper/c.ogg"):
        write_clip(name)
    Path("d/notes.txt").write_text("no audio")
    Path("d/old.npz").write_bytes(b"no audio either")
    assert run_embed("d") == 0
    assert results("d") == ["a.npz", "b.npz", "deeper/c.npz", "old.npz"]
    err = capsys.readouterr().err
    assert "left out of folders, since they are of no kind that is read there: 1 .txt. " in err
    assert "3 embedded\n" in err
    assert run_embed("d", "--recursive") == 0  # folders inside are looked into in any case
    assert "0 embedded, 3 kept" in capsys.readouterr().err


def test_empty_folders_fail(capsys: Captured) -> None:
    Path("d/deeper").mkdir(parents=True)
    assert run_embed("d") == 1
    assert "the folder d has no audio files\n" in capsys.readouterr().err


def test_tar_files(capsys: Captured) -> None:
    content = {name: write_clip(name, seed=seed).read_bytes() for seed, name in enumerate(("x/a.wav", "x/b.wav"))}
    for name, mode in {"s.tar": "w", "t.tgz": "w:gz"}.items():
        with tarfile.open(name, mode) as tar:
            for member in content:
                tar.add(member)
    Path("x").rename("y")
    assert run_embed("s.tar") == 2
    assert "s.tar/x/a.wav is inside another file: give --output" in capsys.readouterr().err
    assert run_embed("s.tar", "t.tgz", "y", "-o", "out") == 0
    found = {name: contents(Path("out") / name)["embedding"] for name in results("out")}
    assert len(found) == 6
    for letter in "ab":
        [own, *others] = [found[name] for name in found if Path(name).stem.endswith(f"_{letter}")]
        assert len(others) == 2
        for other in others:
            np.testing.assert_array_equal(other, own)
    assert not np.array_equal(found[next(iter(found))], found[list(found)[1]])


def test_a_file_named_twice_is_embedded_once(capsys: Captured) -> None:
    write_clip("d/a.wav")
    assert run_embed("d/a.wav", "d", "./d/../d/a.wav", str(Path("d/a.wav").absolute())) == 0
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
    write_clip("a.wav")
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
    write_clip("a.wav")
    assert main(["embed", "a.wav", "--weights", "none", *flags]) == 1
    assert capsys.readouterr().err == f"hear-edgel3: the folder none has no {name}.safetensors, which {name} needs\n"
    assert results() == []


@pytest.mark.parametrize(
    "flags", [["--model-type", "sea"], ["--emb-dim", "64"], ["-retrain", "ft"], ["-sp", "95.45"], ["-mtype", "sparse"]]
)
def test_config_and_old_flags_do_not_mix(flags: list[str], capsys: Captured) -> None:
    write_clip("a.wav")
    assert run_embed("a.wav", *flags) == 2
    assert "give --config, or the old flags (--model-type, --emb-dim, ...), but not both" in capsys.readouterr().err
    assert results() == []


@pytest.mark.parametrize(
    ("name", "near"), [("sparse_96", "sparse_95"), ("sea64", "sea_64"), ("sparse95_kd", "sparse_95_kd")]
)
def test_unknown_configurations(name: str, near: str, capsys: Captured) -> None:
    write_clip("a.wav")
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
        (["-c", "sea_64", "-t", "0.00001"], "--hop 1e-05 is less than one sample at 8000 Hz"),
        (["-c", "sea_64", "--device", "toaster"], "device 'toaster' cannot be used"),
        (["-c", "sea_64", "-x", f"..{os.sep}up"], "a suffix is part of a file name"),
    ],
)
def test_values_that_cannot_be_used(flags: list[str], message: str, capsys: Captured) -> None:
    write_clip("a.wav")
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


# --- embed: progress ---


def test_progress_only_with_several_files(capsys: Captured) -> None:
    write_clip("a.wav")
    write_clip("b.wav")
    assert run_embed("a.wav") == 0
    assert "%|" not in capsys.readouterr().err
    assert run_embed("a.wav", "b.wav", "--overwrite") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%|" in err
    assert err.endswith("2 embedded\n")
    assert run_embed("a.wav", "b.wav", "--overwrite", "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert run_embed("a.wav", "--overwrite", "-q") == 0
    assert capsys.readouterr() == ("", "")
    assert run_embed("a.wav", "b.wav", "-q") == 0  # both kept
    assert capsys.readouterr() == ("", "")
