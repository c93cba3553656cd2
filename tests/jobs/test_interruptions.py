"""Jobs that are stopped end at once, also while a file is read that never comes."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from support.files import write_clip
from support.stuck import start, wait_until_stuck

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.mark.parametrize(
    ("number", "arguments"),
    [
        (signal.SIGTERM, ["--workers", "1"]),
        (signal.SIGINT, ["--workers", "2", "--files-per-part", "1"]),
    ],
)
def test_a_reader_that_is_stuck_does_not_hold_it_up(number: signal.Signals, arguments: list[str]) -> None:
    write_clip("in/0.wav")
    write_clip("in/1stuck.wav")
    process = start("extract", "in", "--output", "out", *arguments)
    wait_until_stuck(process)
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
    # The reader is stuck for longer than anybody waits; machines with other work take seconds to end processes.
    assert took < 10
