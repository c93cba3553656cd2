"""Sounds that cannot be read are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.labels.sounds import unreadable
from hear_edgel3.sources.item import Item

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
