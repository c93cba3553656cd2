"""``--channel`` of the commands, and how they print warnings of audio."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main
from support.embed_command import run_embed
from support.jobs import rows, run_extract

_A, _B = 0.2 * np.random.default_rng(0).standard_normal((2, 32000))


@pytest.fixture(autouse=True)
def _sounds(seeded_weights: Path) -> None:
    for name, channels in {"both": (_A, _B), "b": (_B,), "opposite": (_A, -_A)}.items():
        soundfile.write(f"{name}.wav", np.stack(channels, 1), 32000, subtype="DOUBLE")


def test_embed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_embed("both.wav", "b.wav", "--channel", "0", "-q") == 0
    assert run_embed("both.wav", "--channel", "1", "-x", "1", "-q") == 0
    assert run_embed("b.wav", "-x", "mean", "-q") == 0
    one, b = np.load("both_1.npz"), np.load("b_mean.npz")
    np.testing.assert_array_equal(one["embedding"], b["embedding"])
    assert str(one["channel"]) == "1"
    assert "channel" not in b
    # What was made of another channel is not taken for the same.
    assert run_embed("both.wav", "-x", "1", "-q") == 1
    assert "made with channel 1, not mean" in capsys.readouterr().err
    assert run_embed("b.wav", "-x", "mean", "--channel", "0", "-q") == 1
    assert run_embed("both.wav", "--channel", "1", "-x", "1", "-q") == 0


def test_extract(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_extract("both.wav", "-c", "sea_64", "--channel", "1") == 0
    [found] = rows()
    assert main(["extract", "b.wav", "-c", "sea_64", "--output", "other", "--workers", "1", "--quiet"]) == 0
    np.testing.assert_array_equal(found["embedding"], rows("other")[0]["embedding"])
    assert run_extract("both.wav", "-c", "sea_64", "--channel", "1") == 0
    with pytest.raises(SystemExit):
        run_extract("both.wav", "--channel", "left")
    assert run_extract("both.wav", "-c", "sea_64") == 2
    assert "was begun with channel 1, and now mean" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["embed", "extract", "tag", "events"])
def test_a_tables_channels_are_not_left_alone_without_a_word(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("table.csv").write_text("file,channel\nb.wav,1\n")
    assert main([command, "table.csv", "-c", "tiny", *(("-o", "found") if command == "extract" else ())]) == 0
    assert "whatever the column 'channel' of table.csv says (1); the option `channel`" in capsys.readouterr().err


def test_a_channel_that_a_file_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_embed("both.wav", "b.wav", "--channel", "1", "-q") == 1
    assert "b.wav has 1 channel, number 0; there is no channel 1" in capsys.readouterr().err
    assert Path("both.npz").exists()
    assert run_extract("b.wav", "-c", "sea_64", "--channel", "1") == 1
    assert "there is no channel 1" in rows()[0]["error"]


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_embed("opposite.wav", "-q") == 0
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: opposite.wav: its 2 channels cancel each other")


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "command", ["extract in -o out --workers 2 --files-per-part 1 -q", "tag in --workers 2 --json -q"]
)
def test_a_warning_of_a_worker_is_one_line_too(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in").mkdir()
    for name in ("1.wav", "2.wav"):
        Path("in", name).write_bytes(Path("opposite.wav").read_bytes())
    assert main(command.split()) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    for name, line in zip(("1.wav", "2.wav"), sorted(lines), strict=True):
        assert re.fullmatch(rf"warning: (/.*/)?in/{name}: its 2 channels cancel each other: .*", line)


def test_listen_has_to_have_the_channel(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listen", "--channels", "2", "--channel", "2"]) == 2
    assert "there is no channel 2: --channels says there are 2" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["--tags", "--embeddings"])
def test_listen_to_each(what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sound = (np.tile(np.stack([_A, _B, -_A], 1), (2, 1)) * 32767).astype("<i2").tobytes()

    def listened(*more: str) -> list[dict[str, object]]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sound)))
        assert main(["listen", "--channels", "3", "--rate", "32000", "--hop", "0.5", what, "-q", *more]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    each = listened("--channel", "each")
    assert len(each) > 3
    for channel in range(3):
        lines = [line for line in each if line["channel"] == channel]
        assert lines == [{"channel": channel, **line} for line in listened("--channel", str(channel))]
    assert all("channel" not in line for line in listened())
    times = [line["timestamp_ms"] for line in each]
    assert times[0] == 500.0 if what == "--tags" else times[0] == 0.0
