"""``hear-edgel3 weights``, and that it and ``python -m weights_convert`` do the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hear_edgel3.cli import main
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.errors import WeightsCorrupt
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.file import encode, read_weights
from hear_edgel3.weights.header import provenance, size_of_file
from hear_edgel3.weights.inventory import stored_weights
from weights_convert.__main__ import main as converter

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def good(weights_folder: Path) -> Path:
    return weights_folder / "sea_64.safetensors"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def test_the_list(good: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    given = tmp_path / "given"
    given.mkdir()
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(given))
    shutil.copy(good, given)
    shutil.copy(good, cache / "sea_128.safetensors")
    (cache / "sea_64.safetensors").write_bytes(good.read_bytes()[:-1])
    (cache / "sea_256.safetensors").write_bytes(b"no weights")
    (cache / "mine.safetensors").write_bytes(good.read_bytes())
    (cache / ".0123.part").write_bytes(b"half")
    (cache / "kernels").mkdir()
    assert main(["weights", "list", "--json"]) == 0
    found = {
        Path(entry["path"]).name: entry for entry in json.loads(capsys.readouterr().out) if entry["place"][0] != "$"
    }
    assert {name: entry["state"] for name, entry in found.items()} == {
        "sea_128.safetensors": "made for sea_64",
        "sea_64.safetensors": f"damaged: {good.stat().st_size - 1} bytes instead of {good.stat().st_size}",
        "sea_256.safetensors": "not a safetensors file",
        "mine.safetensors": "no checkpoint is called so",
        ".0123.part": "left by an interrupted write",
    }
    first, *_ = stored_weights()
    assert first.path == given / "sea_64.safetensors"
    assert (first.place, first.configuration, first.state) == ("$HEAR_EDGEL3_WEIGHTS", "sea_64", "sound")
    assert (first.size, first.sha256) == (good.stat().st_size, sha256_of(good))
    assert main(["weights", "list"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("$HEAR_EDGEL3_WEIGHTS:\n")
    assert f"{sha256_of(good)}  {given / 'sea_64.safetensors'}  (sound)" in out


def test_nothing_there(cache: Path, capsys: Captured) -> None:
    cache.rmdir()
    assert main(["weights", "list"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"hear-edgel3: no weights are stored on this machine; they would be in {cache} (cache of")
    assert err.endswith("; there is no such folder)\n")


def test_fetch_says_where_it_is(
    good: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))
    assert main(["weights", "fetch", "sea_64"]) == 0
    assert capsys.readouterr().out == f"{good}  sha256={sha256_of(good)}\n"


def test_fetch_goes_on_after_one_that_fails(
    weights_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["weights", "fetch", "sparse_53", "sea_64"]) == 1
    out, err = capsys.readouterr()
    assert "sea_64.safetensors" in out
    assert err.startswith("error: sparse_53: no weights for sparse_53 on this machine")
    assert err.endswith("1 of 2 checkpoints were not fetched\n")


def test_verify(good: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["weights", "verify", "sea_64", "--weights", str(good)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{good}  sha256={sha256_of(good)}\n"
    assert err.startswith("sea_64: sound, ")
    bad = tmp_path / "bad.safetensors"
    data = bytearray(good.read_bytes())
    data[-1000] ^= 1
    bad.write_bytes(data)
    assert main(["weights", "verify", "sea_64", "--weights", str(bad)]) == 1
    assert "its values are not the ones that were written" in capsys.readouterr().err
    assert main(["weights", "verify", "sea_128", "--weights", str(good)]) == 1
    assert "holds the weights of sea_64, not of sea_128" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["fetch"], 2, "give the names of checkpoints, or --all"),
        (["fetch", "sea_64", "--all"], 2, "give the names of checkpoints, or --all"),
        (["fetch", "tiny"], 2, "tiny is part of this package"),
        (["convert", "sea64"], 2, "there is no configuration 'sea64'; did you mean sea_64"),
        (["convert", "sea_64", "--source", "nowhere.h5"], 1, "--source nowhere.h5 does not exist"),
        (["convert", "sea_64", "sea_128", "--source", __file__], 2, "--source takes a folder"),
        (["verify", "sea_64", "--reference", "nowhere.npz"], 1, "--reference nowhere.npz does not exist"),
        (["publish", "sea_64", "sea_128", "--repo-id", "a/b"], 2, "--repo-id takes one checkpoint"),
    ],
)
def test_wrong_usage(words: list[str], code: int, message: str, capsys: Captured) -> None:
    assert main(["weights", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


def test_both_commands_are_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What each command asks for reaches the same function with the same values."""
    calls: list[tuple[Any, ...]] = []

    def convert(*arguments: Any) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr("weights_convert.commands.convert_all", convert)
    monkeypatch.setattr("weights_convert.commands.publish_all", lambda *arguments: calls.append(arguments))
    source, reference = tmp_path / "x.h5", tmp_path / "r.npz"
    source.touch()
    reference.touch()
    words = ["sea_64", "--source", str(source), "--output", "out", "--verify", str(reference), "--tolerance", "0.1"]
    assert converter(words) == main(["weights", "convert", *words]) == 0
    assert converter(["--all", "--output", "out/"]) == main(["weights", "convert", "--all", "--output", "out/"]) == 0
    assert converter(["sea_64"]) == main(["weights", "convert", "sea_64"]) == 0
    words = ["sea_64", "--repo-id", "a/b", "--upload"]
    assert converter(["publish", *words]) == main(["weights", "publish", *words]) == 0
    assert len(calls) == 8
    assert all(calls[i] == calls[i + 1] for i in range(0, 8, 2))


# --- a file is read once ---


def test_the_sha256_is_of_the_bytes_that_were_read(good: Path, tmp_path: Path) -> None:
    file = read_weights(good)
    assert file.sha256 == sha256_of(good)
    assert file.provenance["configuration"] == "sea_64"
    with pytest.raises(WeightsCorrupt, match="has the wrong checksum: expected sha256 0000"):
        read_weights(good, "0" * 64)
    with pytest.raises(WeightsCorrupt, match="is not a sound safetensors file"):
        read_weights(tmp_path)


def test_a_header_is_read_without_torch(good: Path, tmp_path: Path) -> None:
    with good.open("rb") as file:
        assert provenance(file)["configuration"] == "sea_64"
        file.seek(0)
        assert size_of_file(file) == good.stat().st_size
    net = resolve("sea_64").checkpoint.net.build()
    other = tmp_path / "other.safetensors"
    for data in (b"", b"\0" * 8, b"\xff" * 20, b"\x05" + b"\0" * 7 + b"[[[[[", encode(net.state_dict(), {})[:50]):
        other.write_bytes(data)
        with other.open("rb") as file:
            assert provenance(file) == {}
            file.seek(0)
            assert size_of_file(file) is None
