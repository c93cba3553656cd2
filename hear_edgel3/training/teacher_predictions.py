"""A teacher's predictions, stored: a folder with an array, and a table of the sounds that its rows belong to.

``logits.npy``
    (n_rows, n_classes) float16 or float32, read where it lies, not as a whole.
``names.csv``
    With the columns ``name`` and ``row``, UTF-8. It is written last: without it, the folder is not finished.

Nothing here is a pickle, which runs code when it is read.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hear_edgel3._checks import check_path, check_several, check_whole, check_word, several_texts, shown
from hear_edgel3.disk.atomic import make_folder, written_together
from hear_edgel3.errors import DatasetError, InvalidOption

LOGITS = "logits.npy"
NAMES = "names.csv"
_TYPES = ("float16", "float32")
_ROWS_AT_ONCE = 4096


class TeacherPredictions:
    """The stored predictions of a folder.

    Args:
        folder: As :func:`write_teacher_predictions` makes it.

    Attributes:
        n_classes: The size of a row.

    Raises:
        DatasetError: The folder does not hold any, or they are damaged.
        InvalidOption: The folder is no path.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        check_path(folder, "folder")
        self._folder = Path(folder)
        self._logits = _open_array(self._folder / LOGITS)
        self.n_classes = int(self._logits.shape[1])
        names, rows = _read_table(self._folder / NAMES, len(self._logits))
        # Sorted bytes, because a dictionary of two million names takes ten times the memory.
        order = np.argsort(names, kind="stable")
        self._names, self._rows = names[order], rows[order]

    def __len__(self) -> int:
        """The sounds that have predictions."""
        return len(self._names)

    def rows(self, names: Sequence[str]) -> np.ndarray:
        """(n,) int64 rows of some sounds; -1 for one that has none."""
        wanted = np.array([name.encode() for name in names], dtype=bytes)
        if not len(wanted):
            return np.zeros(0, dtype=np.int64)
        place = np.searchsorted(self._names, wanted).clip(max=len(self._names) - 1)
        found: np.ndarray = np.where(self._names[place] == wanted, self._rows[place], -1)
        return found

    def read(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """What the teacher says of some sounds.

        Args:
            names: Of the sounds.

        Returns:
            (n, n_classes) float32 logits, zeros for a sound without predictions; and (n,) bool: whether it has some.

        Raises:
            DatasetError: A prediction is not finite.
        """
        rows = self.rows(names)
        known = rows >= 0
        logits = np.zeros((len(rows), self.n_classes), dtype=np.float32)
        logits[known] = self._logits[rows[known]]
        wrong = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(wrong):
            raise DatasetError(
                f"the prediction for {names[wrong[0]]!r} in {self._folder / LOGITS} (row {rows[wrong[0]]}) is not "
                f"finite; make the predictions anew"
            )
        return logits, known


def write_teacher_predictions(
    folder: str | os.PathLike[str],
    names: Sequence[str],
    batches: Iterable[np.ndarray],
    n_classes: int,
    dtype: str = "float16",
) -> None:
    """Stores a teacher's predictions.

    Args:
        folder: Is made where it is not there. Predictions that are in it are replaced when all new ones are there.
        names: (n,) of the sounds, in the order of their predictions, all different.
        batches: Parts of the predictions, (any number, n_classes) each: logits, not probabilities.
        n_classes: The size of a row.
        dtype: "float16" or "float32".

    Raises:
        DatasetError: Names come twice, or predictions are not finite in that type, or have another shape.
        InvalidOption: An argument is something else.
        OutputError: The folder cannot be written.
    """
    check_path(folder, "folder")
    check_word(dtype, "dtype", _TYPES)
    check_whole(n_classes, "n_classes", 1)
    if isinstance(names, str):
        raise InvalidOption(f"names must be a list of texts, one for each sound, got {shown(names)}")
    names = several_texts(names, "names")
    parts = check_several(batches, "batches", "arrays (n, n_classes), one by one")
    _write(Path(folder), names, range(len(names)), len(names), parts, n_classes, dtype)


def convert_teacher_predictions(
    array: str | os.PathLike[str], table: str | os.PathLike[str], folder: str | os.PathLike[str]
) -> None:
    """Makes a folder of stored predictions of EfficientAT's array (``passt_enemble_logits_mAP_495.npy``).

    Args:
        array: An ``.npy`` file of logits (n_rows, n_classes) in float16 or float32.
        table: A CSV file with the columns ``name`` (as the data set calls its sounds) and ``row``. The authors give it
            as a pickle, which is not read here, because it can run code; the error says how to make the table.
        folder: Where to; is made where it is not there.

    Raises:
        DatasetError: A file is not what it should be.
        InvalidOption: An argument is no path.
        OutputError: The folder cannot be written.
    """
    for name, given in (("array", array), ("table", table), ("folder", folder)):
        check_path(given, name)
    for path in (Path(array), Path(table)):
        if path.suffix.lower() in (".pkl", ".pickle", ".p"):
            raise DatasetError(
                f"{path} is a pickle, which can run any code when it is read, so it is not read here. Where you trust "
                f"it, make a CSV file of it with the columns name and row, in an environment of its own: "
                f"python -c \"import csv, pickle, sys; csv.writer(sys.stdout).writerows([('name', 'row'), "
                f"*pickle.load(open(sys.argv[1], 'rb')).items()])\" {path.name} > {path.stem}.csv"
            )
    logits = _open_array(Path(array))
    names, rows = _read_table(Path(table), len(logits))
    parts = (np.asarray(logits[first : first + _ROWS_AT_ONCE]) for first in range(0, len(logits), _ROWS_AT_ONCE))
    decoded = [name.decode() for name in names.tolist()]
    _write(Path(folder), decoded, rows.tolist(), len(logits), parts, logits.shape[1], logits.dtype.name)


def _write(
    folder: Path,
    names: Sequence[str],
    rows: Iterable[int],
    n_rows: int,
    batches: Iterable[np.ndarray],
    n_classes: int,
    dtype: str,
) -> None:
    twice = _first_twice(names)
    if twice is not None:
        raise DatasetError(f"the name {twice!r} comes twice; every sound needs a name of its own")
    make_folder(folder)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("name", "row"), *zip(names, rows, strict=True)])
    with written_together() as write:
        with write(folder / LOGITS) as file:
            kept = np.dtype(dtype).newbyteorder("<")
            header = {"descr": kept.str, "fortran_order": False, "shape": (n_rows, n_classes)}
            np.lib.format.write_array_header_1_0(file, header)
            count = 0
            for batch in batches:
                if getattr(batch, "ndim", None) != 2 or batch.shape[1] != n_classes:
                    got = getattr(batch, "shape", shown(batch))
                    raise DatasetError(f"batches of predictions must be arrays (n, {n_classes}), got {got}")
                with np.errstate(over="ignore"):
                    stored = np.ascontiguousarray(batch, dtype=kept)
                wrong = np.flatnonzero(~np.isfinite(stored).all(axis=1))
                if len(wrong):
                    raise DatasetError(f"prediction {count + int(wrong[0])} is not finite as {dtype}")
                file.write(stored.tobytes())
                count += len(batch)
            if count != n_rows:
                raise DatasetError(f"there are {count} predictions for {n_rows} names")
        with write(folder / NAMES) as file:
            file.write(text.getvalue().encode())


def _first_twice(names: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _open_array(path: Path) -> np.ndarray:
    """An array where it lies."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DatasetError(f"there are no teacher predictions at {path}") from error
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} is no .npy file of numbers, or it is damaged: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.name not in _TYPES or array.ndim != 2 or not array.shape[1]:
        what = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "several arrays"
        raise DatasetError(f"{path} must have logits (n_rows, n_classes) in {' or '.join(_TYPES)}, got {what}")
    return array


def _read_table(path: Path, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) names as bytes, and (n,) int64 rows."""
    names: list[bytes] = []
    rows: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            if sorted(header) != ["name", "row"]:
                raise DatasetError(f"{path} must have the columns name and row, got {', '.join(header) or 'nothing'}")
            name_at, row_at = header.index("name"), header.index("row")
            for line in lines:
                if not line:
                    continue
                if len(line) != 2 or re.fullmatch(r"[0-9]{1,18}", line[row_at]) is None:
                    raise DatasetError(f"line {lines.line_num} of {path} is no name and a row: {', '.join(line)[:200]}")
                if int(line[row_at]) >= n_rows:
                    raise DatasetError(
                        f"line {lines.line_num} of {path} names the row {line[row_at]}, but the array has {n_rows}; "
                        f"the table belongs to another array, or one of them is cut off"
                    )
                names.append(line[name_at].encode())
                rows.append(int(line[row_at]))
    except FileNotFoundError as error:
        raise DatasetError(f"there is no table of names at {path}: the predictions are not finished") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read as a table: {error}") from error
    if not names:
        raise DatasetError(f"{path} has no names")
    array = np.array(names, dtype=bytes)
    unique, counts = np.unique(array, return_counts=True)
    if len(unique) < len(array):
        raise DatasetError(f"{path} has the name {unique[counts.argmax()].decode()!r} twice")
    return array, np.array(rows, dtype=np.int64)
