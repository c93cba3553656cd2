"""``hear-edgel3 listen`` with classes of one's own."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hear_edgel3.cli import main
from hear_edgel3.event_detection import EventFinder
from hear_edgel3.tagging.tagger import Tagger
from support import signals
from support.detectors import CLASSES, write_detector
from support.types import Captured


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Any:
    """Runs the command on a sound at 16000 Hz; gives the exit code, the lines and what stderr says."""

    def run(samples: Any, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        data = (samples * 32768).astype("<i2").tobytes()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))  # type: ignore[arg-type]
        code = main(["listen", "--rate", "16000", *arguments])
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return run


@pytest.mark.parametrize("kind", ["small", "small_l3"])
def test_classes(kind: str, listen, tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "mine", kind, thresholds=[0.5, None, 0.25], temperature=2.0)
    sound = signals.clip(1.7, 16000)
    code, lines, err = listen(sound, "-c", str(folder), "--engine", "torch")
    assert code == 0
    assert err.startswith("hear-edgel3: mine listens to s16le, 16000 Hz, 1 channel; each line comes 50")
    whole = Tagger(folder, engine="torch").tag_samples(sound, 16000, 1.0, 0.25)
    assert [line["start_ms"] for line in lines] == [250.0 * k for k in range(len(whole.starts))]
    for i, line in enumerate(lines):
        for found, expected in zip(line["tags"], whole.top(3, i), strict=True):
            assert (found["label"], found["mid"]) == (expected.label, "")
            assert found["above_threshold"] is expected.above_threshold
            assert found["probability"] == pytest.approx(expected.probability, abs=1e-5)


def test_numbers_and_embeddings(listen, tmp_path: Path) -> None:
    names = tuple(f"n{i}" for i in range(5))
    folder = write_detector(tmp_path / "mine", targets="numbers", classes=names)
    code, lines, _ = listen(signals.clip(1.1, 16000), "-c", str(folder), "-q")
    assert code == 0
    assert [tag["label"] for tag in lines[0]["tags"]] == list(names)
    assert list(lines[0]["tags"][0]) == ["label", "mid", "value"]
    _, lines, _ = listen(signals.clip(1.1, 16000), "-c", str(folder), "-q", "--top", "2")
    assert len(lines[0]["tags"]) == 2
    code, lines, _ = listen(signals.clip(1.1, 16000), "-c", str(folder), "-q", "--embeddings")
    assert code == 0
    assert len(lines[0]["embedding"]) > len(CLASSES)


def test_windows_that_a_net_does_not_take(listen, tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "mine", "small_l3")
    code, lines, err = listen(signals.clip(1.1, 16000), "-c", str(folder), "--window", "0.5")
    assert (code, lines) == (2, [])
    assert "--window 0.5 is not what mine takes: its windows are 1 s" in err


def test_several_nets_together(listen, tmp_path: Path) -> None:
    """Of their mean answers both tags and events are made, as of a file; embeddings are one net's."""
    one, other = (str(write_detector(tmp_path / f"d{seed}", targets="several", seed=seed)) for seed in (1, 2))
    nets, sound = ("-c", one, "--ensemble", other, one), signals.clip(2.1, 16000)
    code, lines, err = listen(sound, *nets)
    assert code == 0
    assert err.startswith("hear-edgel3: mine and mine listen to s16le, 16000 Hz, 1 channel; each line comes 50")
    whole, alone = (Tagger(names).tag_samples(sound, 16000, 1.0, 0.25) for names in ([one, other], one))
    assert abs(whole.probabilities - alone.probabilities).max() > 1e-3
    for i, line in enumerate(lines):
        found = [(tag["label"], tag["probability"]) for tag in line["tags"]]
        assert found == [(tag.label, pytest.approx(tag.probability, abs=1e-5)) for tag in whole.top(3, i)]

    code, lines, _ = listen(sound, *nets, "--events", "--threshold", "0.5", "-q")
    expected = EventFinder([one, other], threshold=0.5).find_samples(sound, 16000)
    assert (code, len(lines)) == (0, len(expected))
    assert expected
    for line, event in zip(sorted(lines, key=lambda line: (line["start_ms"], line["label"])), expected, strict=True):
        assert (line["start_ms"], line["end_ms"]) == (1000 * event.start, 1000 * event.end)
        assert (line["label"], line["score"]) == (event.label, pytest.approx(event.score, abs=1e-5))

    code, _, err = listen(sound, *nets, "--embeddings")
    assert (code, "--ensemble goes with tags and events" in err) == (2, True)
    code, _, err = listen(sound, "--events", "--ensemble", "tiny", one)
    assert (code, "an ensemble needs nets with the same classes" in err) == (2, True)
    code, _, err = listen(sound, *nets, "--weights", "a", "--weights", "b", "--weights", "c")
    assert (code, "3 weights files for 2 configurations" in err) == (2, True)
