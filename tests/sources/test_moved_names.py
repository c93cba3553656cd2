"""Tables whose absolute names are those of another machine, as BirdNET and Raven write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hear_edgel3.sources.lister import Listing, list_items
from hear_edgel3.sources.tables import TableOptions


def listed(*names: str, audio: str | None = "sound") -> Listing:
    rows = [f"{name},{i},{i + 3}\n" for i, name in enumerate(names)]
    Path("birdnet.csv").write_text("File,Start (s),End (s)\n" + "".join(rows))
    return list_items(["birdnet.csv"], TableOptions(audio=audio))


@pytest.fixture(autouse=True)
def sounds(here: Path) -> None:
    for name in ("north/a.wav", "south/a.wav", "south/b.wav", "c.wav", "other/wetland/south/d.wav"):
        path = Path("sound", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("/media/card/2024/south/a.wav", "sound/south/a.wav"),
        ("C:\\birds\\2024\\north\\a.wav", "sound/north/a.wav"),
        ("D:/birds/south/b.wav", "sound/south/b.wav"),
        ("\\\\server\\birds\\south\\b.wav", "sound/south/b.wav"),
        ("/media/card/c.wav", "sound/c.wav"),
        # The longest end counts.
        ("/media/other/wetland/south/d.wav", "sound/other/wetland/south/d.wav"),
    ],
)
def test_the_longest_end_that_is_there_is_meant(name: str, file: str) -> None:
    listing = listed(name, name)
    assert [item.file for item in listing.items] == [file, file]
    assert listing.failures == []
    said = f"found by the ends of their names, as they are not where birdnet.csv says: 1 files ({name} is {file})"
    assert listing.notes == [said]


def test_what_is_there_is_meant_as_it_is() -> None:
    there = Path("elsewhere/c.wav").absolute()
    there.parent.mkdir()
    there.touch()
    listing = listed(str(there))
    assert [item.file for item in listing.items] == [str(there)]
    assert listing.notes == []


def test_nothing_is_looked_for_unless_a_folder_is_given() -> None:
    """A file that is called so beside the table may be another one."""
    Path("c.wav").touch()
    assert [item.file for item in listed("/media/card/c.wav", audio=None).items] == ["/media/card/c.wav"]


@pytest.mark.parametrize("name", ["/media/card/e.wav", "/media/../c.wav", "gone/c.wav"])
def test_what_is_not_there_stays_as_it_is(name: str) -> None:
    listing = listed(name)
    assert [item.file.removeprefix("sound/") for item in listing.items] == [name]
    assert listing.notes == []


def test_two_files_that_may_be_one_are_refused() -> None:
    [(source, error)] = listed("/card/one/c.wav", "/card/one/c.wav", "/card/two/c.wav").failures
    assert source == "birdnet.csv"
    assert "/card/one/c.wav and /card/two/c.wav are not there, and of both sound/c.wav may be what they mean" in str(
        error
    )


@pytest.mark.parametrize("audio", ["sound", None])
def test_relative_names_of_windows(audio: str | None) -> None:
    name = "south\\b.wav" if audio else "sound\\south\\b.wav"
    listing = listed(name, audio=audio)
    assert [item.file for item in listing.items] == ["sound/south/b.wav"]
    assert listing.notes == []


@pytest.mark.parametrize("track", ["0\t1\tfrog\n", "Begin File\tBegin Time (s)\tEnd Time (s)\na.wav\t0\t1\n"])
def test_tracks_in_folders_are_of_sounds_in_folders_of_these_names(track: str) -> None:
    for site in ("north", "south"):
        Path("raven", site).mkdir(parents=True)
        Path("raven", site, "a.txt").write_text(track)
    listing = list_items(["raven/*/*.txt"], TableOptions(audio="sound"))
    assert [(item.file, item.error) for item in listing.items] == [
        ("sound/north/a.wav", None),
        ("sound/south/a.wav", None),
    ]
    # A sound of the folder itself is meant by a name that leads there, but not where a track has none.
    Path("sound/a.wav").touch()
    listing = list_items(["raven/south/a.txt"], TableOptions(audio="sound"))
    assert [item.file for item in listing.items] == ["sound/a.wav" if "File" in track else "sound/south/a.wav"]


def test_a_track_of_no_sound_says_where_it_was_looked_for() -> None:
    Path("raven/north").mkdir(parents=True)
    Path("raven/north/gone.txt").write_text("0\t1\tfrog\n")
    [(_, error)] = list_items(["raven/north/gone.txt"], TableOptions(audio="sound")).failures
    assert "sound has no audio file called as it is (gone.wav, for example)" in str(error)
