"""What folders, globs and explicit names mean: hidden names, links, other kinds, and what is no ordinary file."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from hear_edgel3.jobs.manifest import identities, new_items
from hear_edgel3.sources.lister import Listing, list_items
from support.files import write_clip

pytestmark = pytest.mark.usefixtures("here")


def listed(*sources: str) -> Listing:
    return list_items(list(sources))


def names(*sources: str) -> list[str]:
    """Each once, as a job has them."""
    folder = os.getcwd()
    return [item.file for item in new_items(listed(*sources).items, folder, folder, set())]


def empty(*files: str) -> None:
    for name in files:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def test_names_that_begin_with_a_dot_are_no_data() -> None:
    empty("card/R1.WAV", "card/._R1.WAV", "card/.Trash-1000/files/x.wav", "card/sub/.x.wav", "card/sub/y.wav")
    assert names("card") == ["card/R1.WAV", "card/sub/y.wav"]
    assert names("card/*") == ["card/R1.WAV", "card/sub/y.wav"]
    assert listed("card").notes == []
    # What is named is meant.
    assert names("card/._R1.WAV", "card/.Trash-1000") == ["card/._R1.WAV", "card/.Trash-1000/files/x.wav"]


def with_media(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    """Whether the extra is installed does not matter to what is tested."""
    for room in ("audio.find", "sources.folders"):
        monkeypatch.setattr(f"hear_edgel3.{room}.reads_media", lambda: there)


def test_what_the_extra_media_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    empty("d/a.wav", "d/b.m4a", "d/e/c.WEBM", "d/x.ts")
    with_media(monkeypatch, True)
    found = listed("d")
    assert sorted(item.file for item in found.items) == ["d/a.wav", "d/b.m4a", "d/e/c.WEBM"]
    [note] = found.notes
    assert ": 1 .ts. " in note
    with_media(monkeypatch, False)
    found = listed("d")
    assert [item.file for item in found.items] == ["d/a.wav"]
    [note] = found.notes
    assert ": 1 .m4a, 1 .ts, 1 .webm. " in note
    assert 'or read with the extra media (pip install ".[media]"' in note


def test_other_kinds_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with_media(monkeypatch, False)
    empty("d/a.wav", "d/b.m4a", "d/e/c.M4A", "d/e/list.csv", "d/e/README", "d/x.npz")
    os.mkfifo("d/e/pipe.wav")
    os.symlink("b.m4a", "d/link.m4a")
    [note] = listed("d").notes
    assert ": 3 .m4a, 1 .csv, 1 pipes, sockets or devices, 1 without ending. " in note
    assert "ffmpeg" in note
    # Once, though they are met several times; and what a glob matches in folders that are not gone through.
    assert listed("d", "d/*", "d/**", "./d/e").notes == [note]
    [note] = listed("d/*.m4a", "d/*.wav").notes
    assert ": 2 .m4a. " in note
    for i in range(12):
        empty(f"many/x.{i}")
    empty("many/a.wav")
    [note] = listed("many").notes
    assert note.count("1 .") == 8
    assert ", 4 others. " in note


def test_links_are_followed_once_and_after_what_is_really_there() -> None:
    empty("data/z/a.wav", "other/b.wav", "other/deep/c.wav", "alone.wav")
    os.symlink("z", "data/a_link")
    os.symlink("../other", "data/site")
    os.symlink("../../data", "data/z/round")
    os.symlink("../alone.wav", "data/0.wav")
    os.symlink("z/a.wav", "data/1.wav")
    os.symlink("gone.wav", "data/2.wav")
    assert names("data") == ["data/z/a.wav", "data/0.wav", "data/2.wav", "data/site/b.wav", "data/site/deep/c.wav"]
    assert names("data", "other", "alone.wav", "data/site/b.wav") == names("data")
    assert names("other", "data") == ["other/b.wav", "other/deep/c.wav", "data/z/a.wav", "data/0.wav", "data/2.wav"]
    # A job that goes on knows them, by whatever name.
    folder = os.getcwd()
    first = new_items(listed("data").items, folder, folder, set())
    known = set(identities(first, folder))
    assert new_items(listed("data", "other", "data/../other/deep").items, folder, folder, known) == []
    empty("other/new.wav")
    assert [i.file for i in new_items(listed("data").items, folder, folder, known)] == ["data/site/new.wav"]


def test_sizes() -> None:
    path = write_clip("a.wav")
    os.symlink("a.wav", "b.wav")
    folder = os.getcwd()
    [item] = new_items(listed("b.wav", "a.wav").items, folder, folder, set())
    assert (item.file, item.size) == ("b.wav", path.stat().st_size)


@pytest.mark.parametrize("name", ["p.wav", "p.tar", "p.txt", "p.csv", "p.parquet", "p.tar.gz"])
def test_pipes_sockets_and_devices_are_refused(name: str) -> None:
    os.mkfifo(name)
    [(source, error)] = listed(name).failures
    assert source == name
    assert str(error) == f"{name} is a pipe, no ordinary file; write what comes out of it into a file first"
    os.symlink(name, f"l_{name}")
    [(_, error)] = listed(f"l_{name}").failures
    assert "is a pipe" in str(error)
    if name.endswith((".tar", ".gz")):
        os.unlink(f"l_{name}")
        Path("list.txt").write_text(name)
        [(_, error)] = listed("list.txt").failures
        assert "is a pipe" in str(error)


def test_devices_and_sockets() -> None:
    os.symlink("/dev/zero", "zero.wav")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("s.wav")
    failures = listed("zero.wav", "s.wav", "/dev/null").failures
    assert [str(error).split(",")[0] for _, error in failures] == [
        "zero.wav is a device",
        "s.wav is a socket",
        "/dev/null is a device",
    ]


def test_a_folder_that_is_deep_or_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "d"
    for _ in range(1200):
        os.mkdir(deep)
        deep += "/x"
    deep = os.path.dirname(deep)
    Path(deep, "a.wav").touch()
    assert names("d") == [f"{deep}/a.wav"]
    subprocess.run(["rm", "-rf", "d"], check=True)  # pytest cannot: it recurses
    scandir = os.scandir

    def refused(path: str) -> object:
        if path == "e/secret":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    empty("e/secret/a.wav", "e/b.wav")
    found = listed("e")
    assert [item.file for item in found.items] == ["e/b.wav"]
    assert [str(error) for _, error in found.failures] == ["e/secret cannot be listed: Permission denied"]
