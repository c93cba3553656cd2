"""Jobs that are stopped end at once, also while a file is read that never comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.files import write_clip
from support.paths import PACKAGE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

# Opening a file called `stuck` never ends, as on a disk or a network that does not answer.
_STUCK = """
import os, soundfile
opened = soundfile.SoundFile.__init__
def stuck(self, file, *arguments, **options):
    if b"stuck" in os.fsencode(getattr(file, "name", file)):
        open("reached", "w").close()
        os.read(os.pipe()[0], 1)
    opened(self, file, *arguments, **options)
soundfile.SoundFile.__init__ = stuck
"""
_PROGRAM = (
    "import signal, sys; from hear_edgel3.cli import main;"
    "signal.signal(signal.SIGINT, signal.default_int_handler);"  # where these tests run in the background
    "sys.exit(main(sys.argv[1:]))"
)


@pytest.mark.parametrize(
    ("number", "arguments"),
    [
        (signal.SIGINT, ["--workers", "1"]),
        (signal.SIGTERM, ["--workers", "1"]),
        (signal.SIGINT, ["--workers", "2", "--files-per-part", "1"]),
        (signal.SIGTERM, ["--workers", "2", "--files-per-part", "1"]),
    ],
)
def test_a_reader_that_is_stuck_does_not_hold_it_up(number: signal.Signals, arguments: list[str]) -> None:
    write_clip("in/0.wav")
    write_clip("in/1stuck.wav")
    Path("site").mkdir()
    Path("site/sitecustomize.py").write_text(_STUCK)
    path = os.pathsep.join(["site", os.fspath(PACKAGE.parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, "extract", "in", "--output", "out", *arguments],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    for _ in range(1200):
        if os.path.exists("reached"):
            break
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    time.sleep(0.3)
    begun = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    took = time.monotonic() - begun
    assert process.returncode == 130
    assert err.decode().rstrip().endswith("hear-edgel3: interrupted")
    assert b"Traceback" not in err
    assert [name for name in os.listdir("out") if name.startswith(".")] == []
    print(f"took {took:.2f} s")
    assert took < 2
