"""Commands for which some files never open, as on a disk or a network that does not answer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from support.paths import PACKAGE

# Opening a file called `stuck` never ends, and one called `slow` takes a while.
_SITE = """
import os, time, soundfile
opened = soundfile.SoundFile.__init__
def stuck(self, file, *arguments, **options):
    name = os.fsencode(getattr(file, "name", file))
    if b"stuck" in name or b"slow" in name:
        open("reached", "w").close()
    if b"stuck" in name:
        os.read(os.pipe()[0], 1)
    if b"slow" in name:
        for _ in range(10):  # while the process is stopped, but one of them ends
            time.sleep(0.1)
    opened(self, file, *arguments, **options)
soundfile.SoundFile.__init__ = stuck
"""
_PROGRAM = (
    "import signal, sys; from hear_edgel3.cli import main;"
    "signal.signal(signal.SIGINT, signal.default_int_handler);"  # where these tests run in the background
    "sys.exit(main(sys.argv[1:]))"
)


def start(*arguments: str) -> subprocess.Popen[bytes]:
    """Starts a command, in a process group of its own."""
    Path("site").mkdir(exist_ok=True)
    Path("site/sitecustomize.py").write_text(_SITE)
    path = os.pathsep.join(["site", os.fspath(PACKAGE.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def wait_until_stuck(process: subprocess.Popen[bytes]) -> None:
    """Waits until the command opens such a file."""
    for _ in range(1200):
        if os.path.exists("reached"):
            return
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    raise AssertionError("the command has opened no such file in a minute")
