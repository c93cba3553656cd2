"""Recordings of which nobody says when or where they were made are counted, and told where that is of use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main
from hear_edgel3.recorded import Recorded, TimeAndPlace, Unknown

TIMED = Recorded("2024-05-01T05:00:00", "name", False, "north")
NO_TIME = " have no time (recorded_at): nothing in them or in their names says it in a form that is known"


def unknown(**recorded: Recorded) -> Unknown:
    found = Unknown()
    for name, one in recorded.items():
        other = Unknown()
        other.see(name, one)
        found.add(other)
    return found


def test_what_is_known_is_not_told() -> None:
    assert unknown(a=TIMED, b=TIMED).notes(TimeAndPlace()) == []
    assert Unknown().notes(TimeAndPlace(site="x")) == []


def test_times() -> None:
    some = unknown(a=TIMED, b=Recorded(), c=Recorded())
    (note,) = some.notes(TimeAndPlace())
    assert note.startswith(f"2 of 3 recordings (b, for example){NO_TIME}")
    assert some.notes(TimeAndPlace(), asked=False) == [note]  # as others have one
    none = unknown(b=Recorded(), c=Recorded())
    assert none.notes(TimeAndPlace(), asked=False) == []  # as these are no recordings of a recorder
    assert len(none.notes(TimeAndPlace())) == 1
    (note,) = none.notes(TimeAndPlace("%d%m%y_%H%M"))
    assert note.endswith("their names have nothing like the time pattern '%d%m%y_%H%M', which alone counts")


def test_sites() -> None:
    some = unknown(a=TIMED, b=Recorded(TIMED.began))
    assert some.notes(TimeAndPlace()) == []  # at the top of a disk, where nobody asked
    assert some.notes(TimeAndPlace(site=None)) == []
    (note,) = some.notes(TimeAndPlace(site=9))
    assert note == "1 of 2 recordings (b, for example) have no site: no folder is 9 above them"
    (note,) = some.notes(TimeAndPlace(site="plot-."))
    assert note.endswith("(b, for example) have no site: their paths have nothing like 'plot-.'")


@pytest.mark.parametrize(
    "words",
    [
        ["events", "north", "--output", "e.csv", "--workers", "1"],
        ["tag", "north", "--output", "t.csv", "--recorded"],
        ["tag", "north", "--csv", "--recorded"],
        ["extract", "north", "--output", "e", "--workers", "1", "--recorded"],
        ["extract", "north", "--output", "e", "--workers", "1", "--hop", "0.5", "--timestamps", "--recorded"],
    ],
)
def test_commands_tell_it(words: list[str], here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "north").mkdir()
    for name in ("20240501_050000", "x"):
        soundfile.write(f"north/{name}.wav", np.zeros(16000), 16000)
    Path("north/bad.wav").write_bytes(b"no sound")  # has failed, which is told otherwise
    assert main([*words, "--site", "plot"]) == 1
    error = capsys.readouterr().err
    assert f"hear-edgel3: 1 of 2 recordings (north/x.wav, for example){NO_TIME}" in error
    assert "hear-edgel3: 2 of 2 recordings (north/20240501_050000.wav, for example) have no site" in error
