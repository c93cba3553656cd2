"""Ctrl-C, and SIGTERM of a batch system, end a command soon, with one line, and nothing half-written is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main

pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.skipif(sys.platform == "win32", reason="signals")]


@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("command", ["embed in -o out", "tag in", "tag in --workers 2", "search ds in/a.wav in/b.wav"])
def test_commands_end(command: str, stop: str) -> None:
    rate = 48000
    sound = np.random.default_rng(0).standard_normal(rate * 600).astype("f4") / 10
    os.mkdir("in")
    for name in "abcd":
        soundfile.write(f"in/{name}.wav", sound, rate)
    if command.startswith("search"):
        soundfile.write("short.wav", sound[:rate], rate)
        assert main(["extract", "short.wav", "-o", "ds", "--workers", "1", "-q"]) == 0
    before = set(Path().rglob("*"))
    with subprocess.Popen(
        [sys.executable, "-m", "hear_edgel3", *command.split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        time.sleep(2.5)
        assert process.poll() is None, "it ended before it could be stopped"
        process.send_signal(getattr(signal, stop))
        began = time.monotonic()
        err = process.communicate(timeout=60)[1].decode()
    assert time.monotonic() - began < 2
    assert process.returncode == 130
    assert err.splitlines()[-1].endswith("hear-edgel3: interrupted")
    assert "Traceback" not in err
    assert {path for path in set(Path().rglob("*")) - before if path.suffix != ".npz" and path.name != "out"} == set()
