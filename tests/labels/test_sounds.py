"""Sounds that cannot be read are named; and the sounds of a set go to ``extract`` as what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.errors import OutputError
from hear_edgel3.labels.sounds import unreadable, write_sources
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.lister import list_items

pytestmark = pytest.mark.usefixtures("here")


def test_sounds_that_cannot_be_read() -> None:
    soundfile.write("a.wav", np.zeros(8000), 8000)
    soundfile.write("none.wav", np.zeros(0), 8000)
    Path("bad.wav").write_bytes(b"no sound")
    items = [Item("a.wav", 0), Item("bad.wav", 0), Item("a.wav", 0, start=2, end=3), Item("gone.wav", 0)]
    found = dict(unreadable([*items, Item("none.wav", 0), Item("a.wav", 0, start=0.5, end=1)]))
    assert list(found) == [1, 2, 3, 4]
    for row, name in ((1, "bad.wav"), (2, "a.wav (2-3 s)"), (3, "gone.wav"), (4, "none.wav")):
        assert name in found[row]


def test_sources_of_a_set(tmp_path: Path) -> None:
    items = [
        Item("a, b.wav", 0),
        Item("c.wav", 0, start=0.1, end=1 / 3),
        Item("x.hdf/1.mp3", 0, "x.hdf", 0),
        Item("x.hdf/2.mp3", 0, "x.hdf", 1),
        Item("c.wav", 0, start=0.1, end=1 / 3),
    ]
    assert write_sources(items, "list.csv") == ["list.csv", "x.hdf"]
    listed = [(item.file, item.start, item.end) for item in list_items(["list.csv"]).items]
    assert listed == [(str(tmp_path / "a, b.wav"), None, None), (str(tmp_path / "c.wav"), 0.1, 1 / 3)]
    assert write_sources(items[2:4], "list.csv") == ["x.hdf"]
    with pytest.raises(OutputError, match=r"cannot write gone/list\.csv"):
        write_sources(items, "gone/list.csv")
