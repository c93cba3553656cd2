"""``hear-edgel3 listen``: what it prints, when it does, what it refuses, and how it ends."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hear_edgel3
from hear_edgel3 import Tagger
from hear_edgel3.cli import main
from support import signals
from support.paths import TESTS
from support.types import Captured

RATE = 48000


def pcm(seconds: float, rate: int = RATE, channels: int = 1) -> bytes:
    return (signals.clip(seconds, rate, channels) * 32768).astype("<i2").tobytes()


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Any:
    """Runs the command on bytes; gives the exit code, the lines and what stderr says."""

    def run(data: bytes | io.RawIOBase, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        source = io.BytesIO(data) if isinstance(data, bytes) else data
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))  # type: ignore[arg-type]
        code = main(["listen", *arguments])
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return run


# --- what is printed ---


def test_tags(listen) -> None:
    code, lines, err = listen(pcm(1.6))
    assert code == 0
    what = "tiny listens to s16le, 48000 Hz, 1 channel; each line comes 502.0 ms of audio after its timestamp"
    assert err == f"hear-edgel3: {what}\n"
    whole = Tagger().tag_samples(signals.clip(1.6, RATE), RATE, 1.0, 0.25)
    assert [line["timestamp_ms"] for line in lines] == [500.0, 750.0, 1000.0, 1250.0]
    assert [(line["start_ms"], line["end_ms"]) for line in lines] == [(250.0 * k, 250.0 * k + 1000) for k in range(4)]
    for i, line in enumerate(lines):
        assert list(line) == ["timestamp_ms", "start_ms", "end_ms", "tags"]
        for found, expected in zip(line["tags"], whole.top(3, i), strict=True):
            assert (found["label"], found["mid"]) == (expected.label, expected.mid)
            assert found["probability"] == pytest.approx(expected.probability, abs=2e-6)


def test_options_of_tags(listen) -> None:
    arguments = ("--rate", "16000", "--channels", "2", "--top", "1", "--window", "0.5", "--hop", "0.2", "--quiet")
    code, lines, err = listen(pcm(0.9, 16000, 2), *arguments)
    assert (code, err) == (0, "")
    whole = Tagger().tag_samples(signals.clip(0.9, 16000, 2), 16000, 0.5, 0.2)
    assert [line["start_ms"] for line in lines] == [0.0, 200.0, 400.0]
    assert [[tag["label"] for tag in line["tags"]] for line in lines] == [[whole.top(1, i)[0].label] for i in range(3)]


def test_embeddings(listen, weights_folder: Path) -> None:
    extractor = hear_edgel3.load("sea_64", weights_folder)
    arguments = ("sea_64", "--weights", str(weights_folder), "--hop", "0.07")
    code, lines, err = listen(pcm(0.4, 16000), *arguments)
    assert code == 0
    assert "sea_64 listens to s16le, 16000 Hz" in err
    audio = signals.clip(0.4, 16000)
    embeddings, timestamps = extractor.timestamp_embeddings(audio[None], 70.0)
    assert [line["timestamp_ms"] for line in lines] == timestamps[0].tolist()
    found = np.array([line["embedding"] for line in lines])
    np.testing.assert_allclose(found, embeddings[0].numpy(), rtol=0, atol=1e-5 * float(embeddings.max()))
    # Printed to the last bit of float32
    own = [row.tolist() for _, row in extractor.stream([audio], hop_ms=70.0)]
    assert np.array_equal(found.astype(np.float32), np.array(own, np.float32))


def test_embeddings_of_a_net_that_tags(listen) -> None:
    code, lines, _ = listen(pcm(0.2), "--embeddings", "--engine", "eager")
    assert code == 0
    assert [line["timestamp_ms"] for line in lines] == [0.0, 50.0, 100.0, 150.0, 200.0]
    assert {len(line["embedding"]) for line in lines} == {320}


def test_other_formats_say_the_same(listen) -> None:
    audio = signals.clip(0.3, RATE)
    _, expected, _ = listen(pcm(0.3))
    for encoding, data in (("f32le", audio.astype("<f4")), ("s32be", (audio * 2**31).astype(">i4"))):
        assert listen(data.tobytes(), "--format", encoding)[1] == expected


# --- bad input ---


def test_an_incomplete_sample_is_left_out(listen) -> None:
    code, lines, err = listen(pcm(0.1) + b"\0\0\0", "--channels", "2")
    assert code == 0
    assert len(lines) == 1
    assert err.endswith("hear-edgel3: the last 3 bytes are no whole sample: left out\n")


def test_a_sample_that_is_not_finite(listen) -> None:
    audio = signals.clip(1.0, RATE, 2).astype("<f4")
    audio[43210, 1] = np.nan
    code, _, err = listen(audio.tobytes(), "--format", "f32le", "--channels", "2", "-q")
    assert code == 1
    assert err == (
        "hear-edgel3: standard input: audio: sample 43210 of channel 1 is NaN; remove or replace such samples first\n"
    )


def test_what_came_before_a_bad_sample_is_printed(listen) -> None:
    audio = signals.clip(20.0, RATE).astype("<f4")
    audio[-1] = np.inf
    code, lines, err = listen(audio.tobytes(), "--format", "f32le", "--hop", "1")
    assert code == 1
    assert "sample 959999 is infinite" in err
    assert len(lines) >= 10


@pytest.mark.parametrize(
    "header",
    [
        *(b"RIFF\x24\0\0\0WAVEfmt ", b"fLaC\0\0\0\x22", b"OggS\0\2", b"ID3\4\0\0\0\0\2\1", bytes.fromhex("1a45dfa3")),
        bytes.fromhex("000000206674797069736f6d"),
    ],
)
def test_a_file_with_a_header(header: bytes, listen) -> None:
    code, lines, err = listen(header + pcm(1.0), "-q")
    assert (code, lines) == (1, [])
    assert "standard input: this is a file with a header, not raw samples; use `arecord -t raw`" in err


@pytest.mark.parametrize("first", ["fffb90c0", "fff15080"])
def test_frames_without_a_header_and_samples_that_begin_like_them(first: str, listen) -> None:
    head = bytes.fromhex(first)
    code, lines, err = listen(head + np.random.default_rng(0).bytes(300_000), "-q")
    assert (code, lines) == (1, [])
    assert "this is a file with a header, not raw samples" in err
    code, lines, err = listen(head + pcm(1.0), "-q")
    assert (code, len(lines), err) == (0, 2, "")


def test_no_audio(listen) -> None:
    code, lines, err = listen(b"", "-q")
    assert (code, lines) == (1, [])
    assert err.startswith("hear-edgel3: standard input had no audio; pipe raw audio in, for example: arecord")


def test_too_little_audio(listen, weights_folder: Path) -> None:
    code, lines, err = listen(b"\0\0", "sea_64", "--weights", str(weights_folder), "-q")
    assert (code, lines) == (1, [])
    assert "standard input: audio of 1 samples at 16000 Hz is too short; sea_64 needs at least 2" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_net"], "no_such_net"),
        (["sea_64", "--tags"], "sea_64 has no classifier"),
        (["sea_64", "--top", "3"], "--top goes with tags"),
        (["--embeddings", "--window", "1"], "--window goes with tags"),
        (["--window", "99"], "--window 99.0 is more than 60 s"),
        (["--channels", "0"], "--channels must be a whole number from 1"),
        (["--rate", "0"], "--rate must be between 1000 and 768000 Hz, got 0"),
        (["--device", "nowhere"], "device 'nowhere' cannot be used"),
        (["--engine", "steam"], "engine must be one of"),
        (["--embeddings", "--hop", "0.00001"], "less than one sample"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, listen) -> None:
    code, lines, err = listen(pcm(0.1), *arguments)
    assert (code, lines) == (2, [])
    assert message in err


@pytest.mark.parametrize(
    "arguments", [["--format", "mp3"], ["--tags", "--embeddings"], ["--hop", "0"], ["--top", "0"], ["--rate", "x"]]
)
def test_usage_that_argparse_refuses(arguments: list[str], listen) -> None:
    with pytest.raises(SystemExit) as refused:
        listen(b"", *arguments)
    assert refused.value.code == 2


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_a_terminal_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    ours, theirs = os.openpty()
    try:
        with open(theirs, closefd=False) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            assert main(["listen"]) == 2
    finally:
        os.close(ours)
        os.close(theirs)
    assert "standard input is a terminal; pipe raw audio in, for example: arecord" in capsys.readouterr().err


@pytest.mark.parametrize("closed", [True, False])
def test_no_standard_input(closed: bool, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    stdin = io.TextIOWrapper(io.BytesIO())
    stdin.close()
    monkeypatch.setattr(sys, "stdin", stdin if closed else None)
    assert main(["listen"]) == 2
    assert "standard input is closed" in capsys.readouterr().err


# --- live ---


def interrupted(moment: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: what an interrupt might break is not these tests."""
    command = [sys.executable, "-m", "support.interrupted_listen", moment, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, cwd=TESTS)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals here")
@pytest.mark.parametrize("moment", ["waiting", "working"])
def test_an_interrupt_is_the_end_of_the_input(moment: str) -> None:
    done = interrupted(moment, "--embeddings", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["timestamp_ms"] for line in done.stdout.splitlines()] == [50.0 * k for k in range(21)]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals here")
def test_an_interrupt_before_any_audio() -> None:
    """Nothing came, and that is no error."""
    done = interrupted("before", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals here")
def test_a_second_interrupt_is_not_held_up() -> None:
    done = interrupted("twice", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "hear-edgel3: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts of other processes are signals")
def test_lines_come_while_audio_does() -> None:
    """In a process of its own: every line as soon as its audio is in the pipe, then Ctrl-C."""
    program = (
        "import signal, sys; from hear_edgel3.cli import main;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # where these tests run in the background
        "sys.exit(main(['listen', '--window', '0.5', '--hop', '0.5']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        said = process.stderr.readline().decode()
        latency = float(re.findall(r"comes ([\d.]+) ms", said)[0])
        data = pcm(2.0)
        sent = 0
        for k in range(3):
            # to the sample; it would wait for ever if a single one more were needed
            until = 2 * round((250 + 500 * k + latency) * 48)
            process.stdin.write(data[sent:until])
            process.stdin.flush()
            sent = until
            assert json.loads(process.stdout.readline())["timestamp_ms"] == 250 + 500 * k
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert [json.loads(line)["start_ms"] for line in out.splitlines()] == [1500.0]
    assert (process.returncode, err) == (0, b"")
