"""What is said on stderr, from many threads at once."""

from __future__ import annotations

import io
import sys
import threading
import time

import pytest

from hear_edgel3.disk.stderr import say


class _Slow(io.StringIO):
    """A file that lets other threads write between two pieces of one line."""

    def write(self, text: str) -> int:
        written = super().write(text)
        time.sleep(0.001)
        return written


def test_threads_do_not_tear_each_others_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = _Slow()
    monkeypatch.setattr(sys, "stderr", stderr)
    threads = [threading.Thread(target=lambda n=n: [say(f"line {n} of {i}") for i in range(5)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stderr.getvalue().splitlines()) == sorted(f"line {n} of {i}" for n in range(8) for i in range(5))


def test_a_program_without_stderr_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("nowhere to go")
    assert capfd.readouterr() == ("", "")


def test_nothing_that_a_terminal_obeys(capfd: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2Jb\tc\nd")
    assert capfd.readouterr().err == "a\\x1b[2Jb\tc\nd\n"
