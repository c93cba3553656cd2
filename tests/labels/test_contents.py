"""Digests of contents: files are read once, for copies too."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.errors import AudioFileError
from hear_edgel3.labels import Dividing, Kind, Labelled, divide, leaks
from hear_edgel3.labels.contents import contents_of, digests_by, digests_of
from hear_edgel3.labels.leaks import Bond, bonds, exact_copies
from hear_edgel3.labels.splits import How
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.lister import list_items


def labelled_of(folder: Path) -> Labelled:
    for name, content in {"a": b"one", "b": b"two", "c": b"one", "d": b"three", "e": b"four!", "f": b"fives"}.items():
        (folder / name).write_bytes(content)
    items = [Item(str(folder / name), 0) for name in "abcdef"]
    items.append(Item(str(folder / "b"), 0, start=0.0, end=1.0))
    return Labelled("some", Kind.SINGLE, ("x", "y"), tuple(items), np.array([0, 1, 0, 1, 0, 1, 1]))


def test_copies_by_digests_that_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled = labelled_of(tmp_path)
    contents = contents_of(labelled.items)
    assert digests_by(labelled.items, contents) == digests_of(labelled.items)
    wanted = bonds(labelled)
    assert [(one.bond, one.rows) for one in wanted] == [(Bond.RECORDING, (1, 6)), (Bond.COPY, (0, 2))]
    splits = divide(labelled, Dividing(How.RANDOM))

    def refuse(*_: object) -> None:
        raise AssertionError("a file is read again")

    monkeypatch.setattr(leaks, "readable_contents_of", refuse)
    assert bonds(labelled, contents=contents) == wanted
    again = divide(labelled, Dividing(How.RANDOM), contents=contents)
    for one, other in zip(splits, again, strict=True):
        for part in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


def test_a_link_to_a_file_is_as_a_copy(tmp_path: Path) -> None:
    labelled = labelled_of(tmp_path)
    (tmp_path / "g").symlink_to(tmp_path / "d")
    items = (*labelled.items, Item(str(tmp_path / "g"), 0))
    more = Labelled("some", Kind.SINGLE, ("x", "y"), items, np.append(labelled.targets, 1))
    wanted = bonds(more)
    assert bonds(more, contents=contents_of(items)) == wanted
    assert Bond.COPY in {one.bond for one in wanted if 7 in one.rows}


def test_copies_inside_a_tar_file_and_beside_it(tmp_path: Path) -> None:
    for name, content in {"a.wav": b"one", "b.wav": b"another"}.items():
        (tmp_path / name).write_bytes(content)
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        tar.add(tmp_path / "b.wav", "c.wav")
    items = [
        *list_items([str(tmp_path / "some.tar")]).items,
        *(Item(str(tmp_path / name), 0) for name in ("a.wav", "b.wav")),
    ]
    assert exact_copies(items) == [(0, 2)]
    (tmp_path / "some.tar").write_bytes(b"no tar file")
    assert exact_copies(items) == []
    with pytest.raises(AudioFileError, match=r"some\.tar"):
        contents_of(items)
