"""A process that tries one mutant after the other, each in a fork of its own: importing takes longer than most tests.

It runs in mutmut's folder of changed code. A line on stdin is a mutant in JSON, with the node ids of its tests in their
order; a line on stdout is what came of it. A mutant is killed when a test fails, ends the process, or goes on for much
longer than it should. What is not killed within the limit has survived.

Asked for no mutant but for some files, it runs their tests on the code as it was, and appends what each went through.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What the tests import and no mutant changes. Not the package itself, for a mutant may be in what runs on import.
WARM = (
    "pytest", "numpy", "torch", "numba", "scipy.signal", "soundfile", "pyarrow.parquet", "matplotlib.figure",
    "hypothesis.strategies",
)  # fmt: skip
_HANG_S, _HANG_TIMES = 60.0, 10.0  # a test hangs after so long, and so many times as long as usual besides
_COLLECT_S = 300.0  # and collecting the tests, on a machine that has much else to do


class _Watched:
    """A plugin of pytest: the tests in the order given, what they come to, and an end in time."""

    def __init__(self, order: list[str], limit_s: float, pipe: int) -> None:
        self._place = {nodeid: i for i, nodeid in enumerate(order)}
        self._end = time.monotonic() + limit_s
        self._pipe = pipe

    def say(self, **what: Any) -> None:
        os.write(self._pipe, json.dumps(what).encode() + b"\n")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._place), key=lambda item: self._place[item.nodeid]
        )

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.say(failed=report.nodeid)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.say(begun=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.say(failed=report.nodeid)

    def pytest_runtest_logfinish(self) -> None:
        if time.monotonic() > self._end:
            self.say(ended=True)
            os._exit(0)


class _Learning:
    """A plugin of pytest: appends which changed functions each test went through, how long it took, and if it passed.

    Tests that start programs go through functions there too, which is not seen.
    """

    def __init__(self, known: set[str], notes: Path, stamps: dict[str, str]) -> None:
        self._known, self._stamps = known, stamps
        self._notes = notes.open("a")
        self._parent = os.getppid()
        self._seconds, self._outcome = 0.0, "passed"

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if item.nodeid not in self._known]

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._seconds += report.duration
        if report.outcome != "passed":
            self._outcome = report.outcome

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        from mutmut.state import state  # type: ignore[import-not-found, unused-ignore]

        functions, stamp = sorted(state()._stats), self._stamps[nodeid.partition("::")[0]]
        state()._stats.clear()
        line = {"test": nodeid, "stamp": stamp, "seconds": round(self._seconds, 3), "outcome": self._outcome}
        self._notes.write(json.dumps({**line, "functions": functions}) + "\n")
        self._notes.flush()
        if os.getppid() != self._parent:
            os._exit(1)  # whoever has asked is gone
        self._seconds, self._outcome = 0.0, "passed"


def _pytest(files: list[str], plugin: object, *options: str) -> int:
    import pytest

    quiet = ["-q", "--rootdir=.", "--tb=no", "-p", "no:cacheprovider"]
    return int(pytest.main([*quiet, *options, "-m", "not slow and not gpu", *files], plugins=[plugin]))


def learn(known: list[str], stamps: dict[str, str], notes: Path) -> int:
    """Runs the tests of some files, but for those that are known."""
    from mutmut.configuration import config  # type: ignore[import-not-found, unused-ignore]
    from mutmut.mutation import trampoline  # type: ignore[import-not-found, unused-ignore]

    config()  # read once, here where its settings are
    # For this process only: what the tests start would look for mutmut's settings where there are none.
    trampoline._mutant_under_test = "stats"
    os.environ.pop("MUTANT_UNDER_TEST", None)
    return _pytest(list(stamps), _Learning(set(known), notes, stamps))


def _run(mutant: str, tests: list[str], limit_s: float, pipe: int) -> None:
    os.setsid()  # so that it can be ended with what it has started
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.environ["MUTANT_UNDER_TEST"] = mutant
    watched = _Watched(tests, limit_s, pipe)
    status = _pytest(list(dict.fromkeys(nodeid.partition("::")[0] for nodeid in tests)), watched, "-x")
    watched.say(**({"ended": True} if status == 0 else {"failed": f"pytest's status {status}"}))
    os._exit(0)


def _lines(pipe: int) -> Iterator[dict[str, Any] | None]:
    """What the fork says, and None every second."""
    rest = b""
    while True:
        if not select.select([pipe], [], [], 1)[0]:
            yield None
            continue
        data = os.read(pipe, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from map(json.loads, lines)


def attempt(mutant: str, tests: dict[str, float], limit_s: float, hang_s: float = _HANG_S) -> dict[str, Any]:
    """Tries one.

    Args:
        mutant: Its name.
        tests: The tests in the order in which they are to run, with the seconds that each takes usually.
        limit_s: When to stop.
        hang_s: For how long a test may go on that takes no time usually.

    Returns:
        ``what``, killed or survived; ``by``, the test that did it; ``how``, if it did not just fail; ``seconds``, and
        ``tests``, how many were begun.
    """
    start = time.monotonic()
    ours, theirs = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(ours)
            _run(mutant, list(tests), limit_s, theirs)
        finally:
            os._exit(3)
    os.close(theirs)
    by, how, now, n, since = None, None, None, 0, start
    for line in _lines(ours):
        if line is None:
            if time.monotonic() - since > (hang_s + _HANG_TIMES * tests[now] if now else _COLLECT_S):
                by, how = now or "collecting", "hangs"
                break
        elif "begun" in line:
            now, since, n = line["begun"], time.monotonic(), n + 1
        else:  # what it leaves behind may go on for long, and hold the pipe
            by = line.get("failed")
            break
    else:
        by, how = now or "collecting", "ends the process"
    os.close(ours)
    for kill in (os.killpg, os.kill):  # it may not have had the time for a group of its own
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    seconds = round(time.monotonic() - start, 1)
    return {"what": "killed" if by else "survived", "by": by, "how": how, "seconds": seconds, "tests": n}


def main() -> int:
    """Goes on until there is nothing more on stdin."""
    sys.path[0] = os.getcwd()  # not the folder of this file
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what else is printed is no answer
    for name in sys.argv[1:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # pytest collects garbage at the end of each run
    for line in sys.stdin:
        asked = json.loads(line)
        if "learn" in asked:
            status = learn(asked["known"], asked["learn"], Path(asked["notes"]))
            print(json.dumps({"status": status}), file=answers, flush=True)
            return 0  # having run them, it is not fit to be forked from
        print(json.dumps(attempt(**asked)), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
