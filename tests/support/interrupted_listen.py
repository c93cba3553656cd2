"""``hear-edgel3 listen`` on a second of audio, in a process of its own, interrupted at a chosen moment.

python -m support.interrupted_listen waiting|working|before|twice [ARGUMENT ...]
"""

from __future__ import annotations

import io
import signal
import sys
from typing import Any

from hear_edgel3.cli import main
from hear_edgel3.extractor.streaming import AudioStream
from support import signals

_RATE = 48000


def _interrupt(*_: Any) -> None:
    signal.raise_signal(signal.SIGINT)


class Interrupting(io.RawIOBase):
    """A pipe of some bytes; an interrupt comes while more are being waited for, or while these are worked on."""

    def __init__(self, data: bytes, waiting: bool) -> None:
        self._data = data
        self._waiting = waiting

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._data:
            assert self._waiting, "it was read after the interrupt"
            _interrupt()
        n = min(len(buffer), len(self._data))
        buffer[:n] = self._data[:n]
        self._data = self._data[n:]
        if not self._data and not self._waiting:
            signal.setitimer(signal.ITIMER_REAL, 0.01)  # strikes in the net
        return n


def run(moment: str, arguments: list[str]) -> int:
    """Returns the command's exit code; the interrupt's handler must be Python's own again."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background
    signal.signal(signal.SIGALRM, _interrupt)
    data = b"" if moment in ("before", "twice") else (signals.clip(1.0, _RATE) * 32768).astype("<i2").tobytes()
    if moment == "twice":
        AudioStream.finish = _interrupt  # type: ignore[method-assign, assignment]
    source = io.BufferedReader(Interrupting(data, moment != "working"))
    sys.stdin = io.TextIOWrapper(source)
    code = main(["listen", *arguments])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
