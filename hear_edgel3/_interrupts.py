"""Ctrl-C, and SIGTERM of a batch system, end a command: once, with its own exit code, whatever was running."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class _Interrupted(KeyboardInterrupt):
    """An interrupt that comes again if a library has swallowed it, as some do while they are imported."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number
        self._command = _commands[0]

    def __del__(self) -> None:
        if _commands and self._command in _commands:
            # Not from here, where what is raised only gets printed.
            _thread.start_new_thread(_come_again, (self._number, self._command))


# What runs here, one inside the other, and has not been left by an interrupt: an object for each.
_commands: list[object] = []
# How signals are handled where nobody handles them in another way.
_USUAL: dict[int, Callable[[int, FrameType | None], Any] | int] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
# The signals that have come while the outermost of them was being left.
_late: list[int] = []


@contextmanager
def interruptible() -> Iterator[None]:
    """Has SIGINT and SIGTERM raise ``KeyboardInterrupt`` in what runs inside, until that is left, so that it tidies up.

    A signal that is ignored, as SIGINT is in a script's background, or that the program around handles, stays so. So
    does everything outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    command = object()
    usual: dict[int, Callable[[int, FrameType | None], Any] | int] = {}
    reported = sys.unraisablehook

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        # What is raised where C calls Python, as compilers do, only gets printed; this comes again.
        if not isinstance(unraisable.exc_value, _Interrupted):
            reported(unraisable)

    _commands.append(command)
    try:
        sys.unraisablehook = report
        for number, handler in _USUAL.items():
            if signal.getsignal(number) == handler:
                usual[number] = handler
                signal.signal(number, _interrupt)
        yield
    except KeyboardInterrupt:
        # CPython remembers that an interrupt left code which was compiled from a text, as methods of dataclasses are,
        # though it was caught further out: the process then dies by SIGINT at its end, whatever its exit code. Other
        # such code makes it forget.
        exec("")  # noqa: S102
        raise
    finally:
        # First of all: from here on nothing is raised before everything is as it was.
        _commands.remove(command)
        if sys.unraisablehook is report:
            sys.unraisablehook = reported
        for number, handler in usual.items():
            signal.signal(number, handler)
        while usual and _late:
            signal.raise_signal(_late.pop())


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Has SIGINT and SIGTERM wait until what runs inside has ended, which is to take no time that anybody notices.

    A signal that is ignored stays so. Outside the main thread, the only one that they interrupt, nothing is done.
    """
    usual: dict[int, Callable[[int, FrameType | None], Any] | int] = {}
    waiting: list[int] = []
    stops: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
    try:
        if threading.current_thread() is threading.main_thread():
            for number in stops:
                handler = signal.getsignal(number)
                if handler not in (None, signal.SIG_IGN):  # None: one that is none of Python's, and cannot be put back
                    assert handler is not None
                    usual[number] = handler
                    signal.signal(number, lambda number, _: waiting.append(number))
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(waiting):
            signal.raise_signal(number)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    if _commands:
        raise _Interrupted(number)
    _late.append(number)


def _come_again(number: int, command: object) -> None:
    time.sleep(0.01)
    if command in _commands:
        # For whoever handles it in the main thread by then: if the command has just ended, that may be nobody, and a
        # true signal would end the program around.
        _thread.interrupt_main(signal.Signals(number))
