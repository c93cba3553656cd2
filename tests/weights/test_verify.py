"""`--verify`: embeddings of the original against those of what was converted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import WeightsMismatch
from support import signals, synthetic
from support.files import files_under
from weights_convert.__main__ import main
from weights_convert.verify import verify


@pytest.fixture(scope="module")
def references() -> dict[str, np.ndarray]:
    """What the float64 oracle computes for two of the nets, as 16-bit windows and as float ones."""
    windows = signals.windows(8000)
    with np.load(synthetic.DATA / "golden.npz") as golden:
        embeddings = golden["emb__sea_64"]
    return {
        "pcm__integers": np.round(windows * 32768).astype(np.int16),
        "emb__integers": embeddings,
        "pcm__floats": windows[:2],
        "emb__floats": embeddings[:2].astype(np.float64),
        "unrelated": np.zeros(3),
    }


def test_verify_passes_on_the_oracles_embeddings(references, sea_file: Path, tmp_path: Path, capsys) -> None:
    np.savez(tmp_path / "r.npz", **references)
    arguments = ["sea_64", "--source", str(sea_file), "--output", str(tmp_path / "x.safetensors")]
    assert main([*arguments, "--verify", str(tmp_path / "r.npz"), "--tolerance", "4e-5"]) == 0
    error = capsys.readouterr().err
    assert "verified sea_64 on integers: 6 windows, largest error " in error
    assert "verified sea_64 on floats: 2 windows" in error
    assert (tmp_path / "x.safetensors").is_file()


def test_verify_passes_on_a_sparse_net(l3_downloads: Path, tmp_path: Path) -> None:
    with np.load(synthetic.DATA / "golden.npz") as golden:
        np.savez(tmp_path / "r.npz", pcm__a=signals.windows(48000)[:2], emb__a=golden["emb__sparse_95"][:2])
    arguments = ["sparse_95", "--source", str(l3_downloads), "--output", str(tmp_path / "x.safetensors")]
    assert main([*arguments, "--verify", str(tmp_path / "r.npz")]) == 0


def changed(references: dict[str, np.ndarray], key: str, change: Callable[[np.ndarray], np.ndarray]) -> dict:
    return references | {key: change(references[key].copy())}


def one_nan(values: np.ndarray) -> np.ndarray:
    values[0, 3] = np.nan
    return values


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: changed(r, "emb__integers", lambda e: e + 1e-3), "integers by 0.001.*allowed 0.0005"),
        (lambda r: changed(r, "emb__integers", lambda e: e * 1.01), "integers by 0.*smallest cosine (1.0|0.9999999)"),
        (lambda r: changed(r, "emb__floats", lambda e: e[::-1]), "floats by "),
        (lambda r: changed(r, "emb__floats", one_nan), "floats by nan"),
        (lambda r: changed(r, "pcm__floats", np.zeros_like), "floats by "),
        (lambda r: changed(r, "emb__floats", lambda e: e[:1]), "pcm__floats has shape"),
        (lambda r: changed(r, "pcm__floats", lambda w: w[:, :-1]), "pcm__floats has shape"),
        (lambda r: changed(r, "emb__floats", lambda e: e[:, :-1]), "pcm__floats has shape"),
        (lambda r: {"pcm__a": np.zeros((0, 8000)), "emb__a": np.zeros((0, 64))}, "pcm__a has shape"),
        (lambda r: {"pcm__a": np.zeros(8000), "emb__a": np.float64(1)}, "pcm__a has shape"),
        (lambda r: {"pcm__a": r["pcm__floats"], "emb__b": r["emb__floats"]}, "has no pairs .*emb__b, pcm__a"),
        (lambda r: changed(r, "pcm__floats", lambda w: w * np.inf), "pcm__floats"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # 0 * inf above
def test_verify_fails_and_nothing_is_written(change, words: str, references, sea_file: Path, tmp_path, capsys) -> None:
    np.savez(tmp_path / "r.npz", **change(references))
    arguments = ["sea_64", "--source", str(sea_file), "--verify", str(tmp_path / "r.npz")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("error: sea_64: ")
    assert re.search(words, error), error
    assert files_under(cache_folder()) == []


def test_verify_takes_the_tolerance_it_is_given(references, sea_file: Path, tmp_path: Path, capsys) -> None:
    np.savez(tmp_path / "r.npz", **references)
    arguments = ["sea_64", "--source", str(sea_file), "--verify", str(tmp_path / "r.npz")]
    assert main([*arguments, "--tolerance", "0"]) == 1
    assert main([*arguments, "--tolerance", "nan"]) == 1
    np.savez(tmp_path / "r.npz", **changed(references, "emb__integers", lambda e: np.roll(e, 1, axis=1)))
    assert main([*arguments, "--tolerance", "1000"]) == 1  # the direction counts all the same
    assert files_under(cache_folder()) == []


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "npy", "text", "pickles"])
def test_a_reference_that_cannot_be_read(kind: str, references, sea_file: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "r.npz"
    if kind in ("empty", "text"):
        path.write_bytes(b"" if kind == "empty" else b"some text, long enough")
    elif kind == "npy":
        np.save(tmp_path / "r.npy", np.zeros(3))
        path = tmp_path / "r.npy"
    elif kind == "pickles":
        np.savez(path, pcm__a=np.array([{}], dtype=object))
    elif kind == "truncated":
        np.savez(path, **references)
        path.write_bytes(path.read_bytes()[:3000])
    assert main(["sea_64", "--source", str(sea_file), "--verify", str(path)]) == 1
    assert f"error: sea_64: the reference {path} cannot be read" in capsys.readouterr().err
    assert files_under(cache_folder()) == []


def test_embeddings_of_nothing_but_zeros(tmp_path: Path) -> None:
    """They have no direction; what counts is how far the found ones are from them."""
    row, state = synthetic.row("sea_64"), synthetic.state("sea_64")
    state["norms.7.bias"] = torch.full((64,), -1e6)  # the last rectifier lets nothing through
    windows = signals.windows(8000)[:2]
    np.savez(tmp_path / "zeros.npz", pcm__a=windows, emb__a=np.zeros((2, 64)))
    [result] = verify(row, state, tmp_path / "zeros.npz", 1e-6)
    assert (result.max_error, result.min_cosine) == (0.0, 1.0)
    state["norms.7.bias"] = torch.full((64,), 1e3)
    with pytest.raises(WeightsMismatch, match="a by "):
        verify(row, state, tmp_path / "zeros.npz", 1e-6)
    # only one of them zero: a cosine of nothing
    np.savez(tmp_path / "some.npz", pcm__a=windows, emb__a=np.full((2, 64), 1e-4))
    state["norms.7.bias"] = torch.full((64,), -1e6)
    with pytest.raises(WeightsMismatch, match=r"smallest cosine 0\.0"):
        verify(row, state, tmp_path / "some.npz", 1e-3)
