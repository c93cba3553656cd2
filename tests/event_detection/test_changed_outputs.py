"""``hear-edgel3 events``: what people have changed in what an earlier run wrote is theirs, and not lost in the next."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main
from hear_edgel3.event_detection.output import Output
from hear_edgel3.event_detection.work import Worker

Captured = pytest.CaptureFixture[str]
RATE = 16000
CORRECTED = "0\t1\tcorrected by hand\n"


def record(name: str) -> None:
    """A second of what the built-in net knows."""
    Path(name).parent.mkdir(exist_ok=True)
    soundfile.write(name, 0.4 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE), RATE)


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    record("north/b.wav")


def events(*words: str) -> int:
    return main(["events", *words, "--classes", "Sine wave", "--workers", "1", "-q"])


@pytest.mark.parametrize("name", ["e.csv", "e.jsonl", "e.parquet"])
def test_a_table_that_was_changed_is_not_replaced(name: str, capsys: Captured) -> None:
    assert events("north", "-o", name) == 0
    corrected = Path(name).read_bytes() + b"by hand"
    Path(name).write_bytes(corrected)
    assert events("north", "-o", name) == 0  # there is nothing to add to it
    assert Path(name).read_bytes() == corrected
    record("north/c.wav")
    assert events("north", "-o", name) == 1
    error = capsys.readouterr().err
    assert f"not replacing {name}: it is not as an earlier run has written it; move it away" in error
    assert Path(name).read_bytes() == corrected
    # As the error says: what was done is not done again.
    Path(name).rename("mine")
    done = Path(f"{name}.done.jsonl").read_text().count('"north/b.wav"')
    assert events("north", "-o", name) == 0
    assert Path(f"{name}.done.jsonl").read_text().count('"north/b.wav"') == done
    record("north/d.wav")
    assert events("north", "-o", name) == 0  # as it is what that run has written
    Path(name).write_bytes(corrected)
    assert events("north", "-o", name, "--overwrite") == 0
    assert Path(name).read_bytes() != corrected


def test_the_same_events_in_another_format_do_not_replace_it() -> None:
    assert events("north", "-o", "e.csv") == 0
    Path("e.csv").write_text("corrected")
    assert events("north", "-o", "e.csv", "--format", "birdnet") == 1
    assert Path("e.csv").read_text() == "corrected"


def test_tracks_that_were_changed_stay_beside_new_ones(capsys: Captured) -> None:
    record("north/c.wav")
    assert events("north", "-o", "tracks", "--format", "raven") == 0
    whole = Path("tracks/c.txt").read_bytes()
    Path("tracks/b.txt").write_text(CORRECTED)
    Path("tracks/c.txt").unlink()
    record("north/d.wav")
    assert events("north", "-o", "tracks", "--format", "raven") == 0
    assert Path("tracks/b.txt").read_text() == CORRECTED
    assert Path("tracks/c.txt").read_bytes() == whole  # what is gone is written again
    assert Path("tracks/d.txt").exists()

    # Other contents, another format or another name would replace it.
    soundfile.write("north/b.wav", np.zeros(2 * RATE), RATE)
    assert events("north", "-o", "tracks", "--format", "raven") == 1
    assert events("north/c.wav", "-o", "tracks", "--format", "audacity") == 1
    record("south/b.wav")
    assert events("south", "-o", "tracks", "--format", "raven") == 1
    name = os.path.join("tracks", "b.txt")
    assert capsys.readouterr().err.count(f"not replacing {name}: it is not as an earlier run has written it") == 3
    assert Path("tracks/b.txt").read_text() == CORRECTED
    assert not Path("tracks/south").exists()
    # Those that nobody has changed may change.
    record("south/d.wav")
    assert events("south/d.wav", "-o", "tracks", "--format", "raven") == 0
    assert not Path("tracks/d.txt").exists()
    assert events("north", "-o", "tracks", "--format", "raven", "--overwrite") == 0
    assert Path("tracks/b.txt").read_text() != CORRECTED


def test_what_a_run_that_was_killed_has_written_is_not_taken_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the output and what is noted of it a run may be killed: nobody knows then, and it is written."""
    assert events("north", "-o", "e.csv") == 0
    record("north/c.wav")

    def killed(*_: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_find", killed)
        patched.setattr(Output, "write", lambda *_: None)
        assert events("north", "-o", "e.csv") == 130
    Path("e.csv").write_text("whatever it had written")
    assert events("north", "-o", "e.csv") == 0
    assert "north/c.wav" in Path("e.csv").read_text()


@pytest.mark.parametrize(("output", "track"), [("e.csv", "e.csv"), ("tracks", "tracks/b.txt")])
def test_what_is_changed_while_a_run_goes_on(output: str, track: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night of recordings takes its time, and somebody looks at those of the night before meanwhile."""
    words = ("north", "-o", output, *(() if output == "e.csv" else ("--format", "audacity")))
    assert events(*words) == 0
    soundfile.write("north/b.wav", np.zeros(2 * RATE), RATE)
    find = Worker._find

    def corrects(*those: object) -> object:
        Path(track).write_text(CORRECTED)
        return find(*those)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_find", corrects)
        assert events(*words) == 1
    assert Path(track).read_text() == CORRECTED
    assert events(*words) == 1  # what it lacks is not forgotten
    assert Path(track).read_text() == CORRECTED
    Path(track).unlink()  # what was found is kept
    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_find", None)
        assert events(*words) == 0
    assert Path(track).exists()


def test_journals_of_earlier_versions_go_on() -> None:
    """They do not say what the output was like."""
    assert events("north", "-o", "e.csv") == 0
    lines = Path("e.csv.done.jsonl").read_text().splitlines()
    old = [line for line in lines if not {"writing", "written"} & json.loads(line).keys()]
    assert len(old) == 2
    Path("e.csv.done.jsonl").write_text("".join(f"{line}\n" for line in old))
    record("north/c.wav")
    assert events("north", "-o", "e.csv") == 0
    assert "north/c.wav" in Path("e.csv").read_text()
