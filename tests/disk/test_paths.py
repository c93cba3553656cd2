"""Names of files that no file can have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hear_edgel3.disk.atomic import check_writable
from hear_edgel3.disk.ordinary import what_else
from hear_edgel3.disk.paths import real_path
from hear_edgel3.disk.temporary import sweep
from hear_edgel3.errors import OutputError
from hear_edgel3.sources.item import Identities, Item

pytestmark = pytest.mark.usefixtures("here")


def test_links_are_followed() -> None:
    Path("real").mkdir()
    Path("link").symlink_to("real")
    assert real_path("link/a.wav") == real_path(Path("real/a.wav")) == os.path.join(os.path.realpath("real"), "a.wav")


@pytest.mark.parametrize("name", ["a\0b", "a\0b/c.wav", "\0", "a/\ud800.wav"])  # of the last the coding has no bytes
def test_names_that_no_file_can_have(name: str) -> None:
    assert real_path(name) == os.path.join(os.getcwd(), name)
    with pytest.raises(FileNotFoundError):
        what_else(name)


def test_nothing_is_there_to_be_written_or_swept() -> None:
    folder = Path("a\0b")
    with pytest.raises(OutputError, match="does not exist"):
        check_writable(folder / "c.npz")
    sweep([folder / "c.npz"])


def test_names_with_different_nuls_are_different() -> None:
    same = Identities(os.getcwd())
    names = ["a\0b/c.wav", "a\0/c.wav", "a/c.wav", "a\0b/d.wav"]
    assert len({same.of(Item(name, 0)) for name in names}) == len(names)
    assert len({same.of_target(Item(name, 0)) for name in names}) == len(names)
    assert same.of(Item("x\0/s.tar/m.wav", 0, "x\0/s.tar")) != same.of(Item("x/s.tar/m.wav", 0, "x/s.tar"))
