"""Bytes from standard input, as soon as they come."""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import FrameType, TracebackType
from typing import cast

from hear_edgel3.errors import InvalidOption

_AT_ONCE = 1 << 18
_PIPE = 1 << 20


class StandardInput:
    """Iterating gives portions of what is piped in, each as soon as there is any, up to the end of the input.

    Within a ``with`` block an interrupt (Ctrl-C) ends the input as its own end would, and nothing else; a second one
    interrupts as usual.

    Args:
        hint: what to do where there is no pipe, for the error.

    Attributes:
        interrupted: whether an interrupt has ended it.

    Raises:
        InvalidOption: standard input is a terminal, or closed.
    """

    def __init__(self, hint: str) -> None:
        if sys.stdin is None or sys.stdin.closed:
            raise InvalidOption(f"standard input is closed; {hint}")
        if sys.stdin.isatty():
            raise InvalidOption(f"standard input is a terminal; {hint}")
        self.interrupted = False
        self._source = cast(io.BufferedReader, sys.stdin.buffer)
        self._reading = False
        _enlarge_pipe()

    def __enter__(self) -> StandardInput:
        # An interrupt that is ignored, as in a script's background, stays ignored.
        if threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT)):
            self._usual = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if signal.getsignal(signal.SIGINT) == self._interrupt:
            signal.signal(signal.SIGINT, self._usual)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        signal.signal(signal.SIGINT, self._usual)
        self.interrupted = True
        if self._reading:
            raise KeyboardInterrupt

    def __iter__(self) -> Iterator[bytes]:
        while data := self._read():
            yield data

    def _read(self) -> bytes:
        try:
            self._reading = True
            data = b"" if self.interrupted else self._source.read1(_AT_ONCE)
            self._reading = False
        except KeyboardInterrupt:
            if not self.interrupted:
                raise
            data = b""
        return data


def _enlarge_pipe() -> None:
    """Lets a recorder go on while a net is loaded, for which the usual 64 KiB are too few. Linux only."""
    try:
        import fcntl
    except ImportError:
        return
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError, io.UnsupportedOperation):  # a file, or no file at all
            fcntl.fcntl(sys.stdin.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
