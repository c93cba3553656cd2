"""Stored predictions of a teacher."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.errors import DatasetError
from hear_edgel3.training import TeacherPredictions, convert_teacher_predictions, write_teacher_predictions
from hear_edgel3.training.teacher_predictions import LOGITS, NAMES

_LOGITS = np.arange(12, dtype=np.float32).reshape(4, 3) / 4 - 1
_SOUNDS = ["b", "ä, with a comma", "-1", "a"]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    folder = tmp_path / "new" / "predictions"
    write_teacher_predictions(folder, _SOUNDS, iter([_LOGITS[:3], _LOGITS[3:]]), 3)
    return folder


def test_what_was_written_is_read(stored: Path) -> None:
    predictions = TeacherPredictions(stored)
    assert (len(predictions), predictions.n_classes) == (4, 3)
    logits, known = predictions.read([*_SOUNDS[::-1], "nobody", "", "zzz"])
    assert known.tolist() == [True] * 4 + [False] * 3
    assert np.array_equal(logits[:4], _LOGITS[::-1])
    assert not logits[4:].any()
    assert logits.dtype == np.float32
    assert np.load(stored / LOGITS).dtype == np.float16
    none, known = predictions.read([])
    assert none.shape == (0, 3)
    assert known.shape == (0,)


def test_the_array_stays_on_disk(stored: Path) -> None:
    assert isinstance(TeacherPredictions(stored)._logits, np.memmap)


def test_a_missing_row_is_no_row(stored: Path) -> None:
    assert TeacherPredictions(stored).rows(["a", "c", "b"]).tolist() == [3, -1, 0]


@pytest.mark.parametrize(
    ("names", "logits", "said"),
    [
        (["a", "a"], _LOGITS[:2], "'a' comes twice"),
        (["a", "b", "c"], _LOGITS[:2], "2 predictions for 3 names"),
        (["a", "b"], _LOGITS[:2, :2], r"\(n, 3\)"),
        (["a", "b"], np.full((2, 3), 1e6), "not finite as float16"),
        (["a", "b"], np.full((2, 3), np.nan), "not finite"),
    ],
)
def test_what_cannot_be_stored(names: list[str], logits: np.ndarray, said: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=said):
        write_teacher_predictions(tmp_path / "out", names, [logits], 3)
    assert not (tmp_path / "out" / LOGITS).exists()


def test_predictions_that_replace_others_are_not_mixed_with_them(stored: Path) -> None:
    """Those that were there stay until all others are."""
    before = {path.name: path.read_bytes() for path in stored.iterdir()}

    def interrupted() -> Iterator[np.ndarray]:
        yield np.zeros((1, 3))
        raise KeyboardInterrupt

    with pytest.raises(DatasetError, match="is not finite"):
        write_teacher_predictions(stored, ["x"], [np.full((1, 3), np.inf)], 3)
    with pytest.raises(KeyboardInterrupt):
        write_teacher_predictions(stored, ["x", "y"], interrupted(), 3)
    assert {path.name: path.read_bytes() for path in stored.iterdir()} == before
    write_teacher_predictions(stored, ["x"], [_LOGITS[:1]], 3, dtype="float32")
    assert TeacherPredictions(stored).read(["x", "b"])[1].tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name;row\na;0\n", "columns name and row"),
        ("", "columns name and row"),
        ("name,row\na,4\n", "the array has 4"),
        ("name,row\na,-1\n", "line 2"),
        ("name,row\na,0\na,1\n", "'a' twice"),
        ("name,row\na\n", "line 2"),
        (f"name,row\na,{'1' * 5000}\n", "line 2"),
        ("name,row\n", "no names"),
    ],
)
def test_tables_that_cannot_be(text: str, said: str, stored: Path) -> None:
    (stored / NAMES).write_text(text)
    with pytest.raises(DatasetError, match=said):
        TeacherPredictions(stored)


def test_arrays_that_cannot_be(stored: Path) -> None:
    for array in (np.zeros((4, 3), dtype=np.int64), np.zeros(4, dtype=np.float32)):
        np.save(stored / LOGITS, array)
        with pytest.raises(DatasetError, match="float16 or float32"):
            TeacherPredictions(stored)
    (stored / LOGITS).write_bytes(b"no array")
    with pytest.raises(DatasetError, match="damaged"):
        TeacherPredictions(stored)
    np.save(stored / LOGITS, np.array([{}] * 4, dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"no \.npy file of numbers"):
        TeacherPredictions(stored)
    (stored / LOGITS).unlink()
    with pytest.raises(DatasetError, match="no teacher predictions"):
        TeacherPredictions(stored)


def test_a_prediction_that_is_not_finite_is_named(stored: Path) -> None:
    array = np.load(stored / LOGITS)
    array[3, 1] = np.nan
    np.save(stored / LOGITS, array)
    predictions = TeacherPredictions(stored)
    assert predictions.read(["b"])[1].all()
    with pytest.raises(DatasetError, match=r"'a' in .* \(row 3\)"):
        predictions.read(["b", "a"])


def test_the_authors_array_is_converted(tmp_path: Path) -> None:
    """Rows in another order than names, and one that no name belongs to."""
    np.save(tmp_path / "ensemble.npy", _LOGITS.astype(np.float16))
    (tmp_path / "index.csv").write_text("name,row\n-x-,3\nAbc,0\nzz,2\n")
    convert_teacher_predictions(tmp_path / "ensemble.npy", tmp_path / "index.csv", tmp_path / "out")
    logits, known = TeacherPredictions(tmp_path / "out").read(["Abc", "zz", "-x-", "other"])
    assert np.array_equal(logits[:3], _LOGITS[[0, 2, 3]])
    assert known.tolist() == [True, True, True, False]


def test_a_pickle_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """What the error says works, where the file is trusted."""
    np.save(tmp_path / "ensemble.npy", _LOGITS)
    (tmp_path / "fname_to_index.pkl").write_bytes(pickle.dumps({"Abc": 0, "zz": 2}))
    with pytest.raises(DatasetError, match="is a pickle") as caught:
        convert_teacher_predictions(tmp_path / "ensemble.npy", tmp_path / "fname_to_index.pkl", tmp_path / "out")
    command = str(caught.value).split("own: ")[1].replace("python ", f"{sys.executable} ", 1)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    convert_teacher_predictions(tmp_path / "ensemble.npy", tmp_path / "fname_to_index.csv", tmp_path / "out")
    logits, _ = TeacherPredictions(tmp_path / "out").read(["zz"])
    assert np.array_equal(logits[0], _LOGITS[2])
