"""An index whose bytes are not those that were written is never given to usearch, which trusts them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hear_edgel3.errors import DatasetError
from hear_edgel3.search import SoundSearch, build_index, hnsw
from hear_edgel3.search import index as index_module
from hear_edgel3.search.index import FILE, open_index
from support.neighbours import dataset, rows_of

pytest.importorskip("usearch", reason="an index needs the extra `search`")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    dataset(tmp_path)
    build_index(rows_of(tmp_path), 1)
    return tmp_path


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes usearch was given, each time."""
    given: list[int] = []
    new = hnsw.new

    class Watched:
        def __init__(self, index: Any) -> None:
            self._index = index

        def view(self, data: memoryview) -> None:
            given.append(len(data))
            self._index.view(data)

        load = view

        def __getattr__(self, name: str) -> Any:
            return getattr(self._index, name)

        def __len__(self) -> int:
            return len(self._index)

    monkeypatch.setattr(hnsw, "new", lambda *arguments, **options: Watched(new(*arguments, **options)))
    return given


def stored(folder: Path) -> tuple[bytes, dict[str, Any], dict[str, bytes]]:
    """The bytes of usearch, what is said of them, and the arrays."""
    with zipfile.ZipFile(folder / FILE) as archive:
        about = json.loads(archive.read("made_from.json"))
        arrays = {name: archive.read(name) for name in ("centre.npy", "axes.npy")}
    return (folder / FILE).read_bytes()[: about["bytes"]], about, arrays


def store(folder: Path, data: bytes, about: Any, arrays: dict[str, bytes], **options: Any) -> None:
    tail = io.BytesIO()
    with zipfile.ZipFile(tail, "w", **options) as archive:
        archive.writestr("made_from.json", about if isinstance(about, str) else json.dumps(about))
        for name, array in arrays.items():
            archive.writestr(name, array)
    (folder / FILE).write_bytes(data + tail.getvalue())


def test_sound_bytes_are_handed_over(made: Path, handed_over: list[int]) -> None:
    data, about, arrays = stored(made)
    store(made, data, about, arrays)
    assert open_index(rows_of(made)) is not None
    assert handed_over == [len(data)]


def test_one_bit_that_is_wrong_is_enough(made: Path, handed_over: list[int]) -> None:
    whole = (made / FILE).read_bytes()
    data, _, _ = stored(made)
    for position in range(0, len(data), 997):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        (made / FILE).write_bytes(damaged)
        with pytest.raises(
            DatasetError, match=r"_index\.usearch is damaged .*its bytes are not those that were written"
        ):
            open_index(rows_of(made))
    assert handed_over == []
    search = SoundSearch(made)
    assert search.note is not None
    assert search.note.endswith(f"`hear-edgel3 index {made}` builds it anew")
    build_index(rows_of(made), 1)
    assert SoundSearch(made).note is None


def test_a_part_is_known_by_its_footer_alone(made: Path) -> None:
    """Which is short, however long the part is; and other releases come to the same."""
    part = (made / "a.parquet").read_bytes()
    footer = part[-8 - int.from_bytes(part[-8:-4], "little") :]
    assert len(footer) < len(part) / 2
    assert index_module.fingerprint(made / "a.parquet") == hashlib.sha256(footer).hexdigest()[:32]


def changed(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda about: {**about, key: value}


@pytest.mark.parametrize(
    "change",
    [
        *(
            changed(key, value)
            for key in ("bytes", "fitted_rows", "space_rows", "not_finite")
            for value in (-1, "1", [])
        ),
        changed("bytes", 10**12),
        changed("bytes", 10),
        changed("sha256", 5),
        changed("format", 1),
        changed("format", [2]),
        changed("parts", 7),
        changed("parts", [["a.parquet", "0", -4]]),
        changed("parts", [["a.parquet", "0"]]),
        changed("parts", [["a.parquet", ["0"], 4]]),
        changed("parts", [["a.parquet", "0", 10**9]]),
        changed("description", [1]),
        changed("description", {}),
        lambda about: {**about, "description": {**about["description"], "size": 10**12}},
        lambda about: {**about, "description": {**about["description"], "size": [16]}},
        lambda about: {**about, "parts": [[name, found, n + 1] for name, found, n in about["parts"]]},
        lambda about: {k: v for k, v in about.items() if k != "sha256"},
        lambda about: [about],
        lambda about: "[" * 100_000,
        lambda about: "null",
    ],
)
def test_what_is_said_of_it_is_checked(
    change: Callable[[dict[str, Any]], object], made: Path, handed_over: list[int]
) -> None:
    data, about, arrays = stored(made)
    store(made, data, change(about), arrays)
    with pytest.raises(DatasetError, match=r"_index\.usearch (is damaged|is out of date|was made from)"):
        open_index(rows_of(made))
    assert handed_over == []


@pytest.mark.parametrize(
    "array", [b"", np.zeros(3, np.float32), np.zeros(16), np.full(16, np.nan, np.float32), np.zeros(16, object)]
)
def test_the_arrays_are_checked(array: Any, made: Path, handed_over: list[int]) -> None:
    data, about, arrays = stored(made)
    if isinstance(array, np.ndarray):
        file = io.BytesIO()
        np.save(file, array)
        array = file.getvalue()
    store(made, data, about, {**arrays, "centre.npy": array})
    with pytest.raises(DatasetError, match=r"_index\.usearch is damaged"):
        open_index(rows_of(made))
    assert handed_over == []


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, 77])
def test_a_tail_that_is_packed(packing: int, made: Path) -> None:
    """Packed, a few bytes may become very many; and 77 is no way to pack anything."""
    data, about, arrays = stored(made)
    store(made, data, about, arrays, compression=zipfile.ZIP_STORED if packing == 77 else packing)
    if packing == 77:
        whole = bytearray((made / FILE).read_bytes())
        for start, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
            place = whole.index(start, len(data)) + offset
            whole[place : place + 2] = packing.to_bytes(2, "little")
        (made / FILE).write_bytes(whole)
    with pytest.raises(DatasetError, match=r"made_from\.json is packed or too large"):
        open_index(rows_of(made))


def test_rows_that_are_not_there(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = open_index(rows_of(made))
    assert index is not None
    search = hnsw.search
    monkeypatch.setattr(hnsw, "search", lambda *arguments: (search(*arguments)[0] + 301, search(*arguments)[1]))
    with pytest.raises(DatasetError, match="it names rows that the dataset does not have"):
        index.search(np.ones((1, 16), np.float32), 3)


def test_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    x = dataset(tmp_path / "plain")
    for part in (tmp_path / "plain").iterdir():
        part.rename(folder / part.name)
    assert SoundSearch(folder).query(x[5], 1)[0].row == 5
    build_index(rows_of(folder), 1)
    assert sorted(os.listdir(os.fsencode(folder))) == [b"_index.usearch", b"a.parquet", b"b.parquet"]
    search = SoundSearch(folder)
    assert search.indexed
    assert search.note is None
    assert search.query(x[5], 1)[0].row == 5
    assert index_module.open_index(rows_of(folder)) is not None
