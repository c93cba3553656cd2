"""Runs attempts in processes that may die or hang, and says which ones did."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import queue
import random
import resource
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .kind import Kind, Sound
from .mutate import mutate

_POLL_S = 0.1
_KEPT_OF_EACH = 2
_UNCHANGED_EVERY = 100
_KEPT_WORDS = 20_000  # bytes of what a process said before it died


@dataclass
class Outcome:
    """What came of the mutants of one kind.

    Attributes:
        counts: How many were "read", "refused" by an error of the package, and so on.
        faults: What should not be: the number of the mutant, and what happened.
        memory_mb: The largest memory of a process.
        seconds: How long it took.
    """

    counts: dict[str, int] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)
    n_faults: int = 0
    memory_mb: float = 0.0
    seconds: float = 0.0

    def fault(self, number: int, what: str) -> None:
        """Counts it, and keeps the first ones of each sort."""
        self.n_faults += 1
        sort = _sort(what)
        if sum(_sort(kept) == sort for _, kept in self.faults) < _KEPT_OF_EACH:
            self.faults.append((number, what))


def _sort(what: str) -> str:
    """What faults of one cause have in common: where they were raised, and what."""
    lines = what.strip().splitlines()
    places = [line for line in lines if line.startswith("  File")]
    return f"{places[-1:]} {lines[-1].split(':')[0]}"


def mutant(kind: Kind, files: list[Sound], seed: int, number: int) -> Sound:
    """The one of that number; every hundredth is an unchanged file, which must be read."""
    source = random.Random(f"{kind.name} {seed} {number}")
    name, data = source.choice(files)
    if number % _UNCHANGED_EVERY == 0:
        return Sound(name, data)
    return Sound(name, mutate(data, source, [other.data for other in files], kind.text))


def run(kind: Kind, numbers: range, seed: int, workers: int, limit_s: float, progress: bool = False) -> Outcome:
    """Tries the mutants of some numbers.

    Args:
        kind: What is damaged, and what reads it.
        numbers: Which mutants.
        seed: Of all of them.
        workers: How many processes.
        limit_s: How long one may take.
        progress: Whether stderr says how far it is; counts come by the hundred.
    """
    outcome, begun = Outcome(), time.monotonic()
    crew = [_Watched(kind, numbers[i::workers], seed) for i in range(workers)]
    with tqdm(total=len(numbers), desc=kind.name, mininterval=10, disable=not progress) as bar:
        while crew:
            time.sleep(_POLL_S)
            for one in list(crew):
                if one.look(outcome, limit_s):
                    crew.remove(one)
            bar.set_postfix_str(f"{outcome.n_faults} faults", refresh=False)
            bar.update(sum(outcome.counts.values()) - bar.n)
    outcome.seconds = time.monotonic() - begun
    return outcome


class _Watched:
    """One process, started anew after each death, and the mutants that it goes through."""

    def __init__(self, kind: Kind, numbers: range, seed: int) -> None:
        self._kind, self._numbers, self._seed = kind, numbers, seed
        self._context = multiprocessing.get_context("spawn")
        self._at = self._context.Value("q", 0, lock=False)
        self._start(0)

    def _start(self, position: int) -> None:
        self._at.value = position
        self._seen, self._since = -1, time.monotonic() + 60  # it has a while to import things
        self._reports: Any = self._context.Queue()
        self._words = tempfile.NamedTemporaryFile()  # noqa: SIM115 - read when the process has died
        arguments = (self._kind.name, self._numbers, position, self._seed, self._at, self._reports, self._words.name)
        self._process = self._context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()

    def look(self, outcome: Outcome, limit_s: float) -> bool:
        """Takes in what there is to hear, and says whether all is done."""
        alive = self._process.is_alive()
        done = self._hear(outcome)
        if done:
            self._process.join()
            return True
        position = self._at.value
        if not alive:
            said = f"the process died with status {self._process.exitcode}"
            if position >= len(self._numbers):  # one that had nothing to do
                raise RuntimeError(f"{said}: {self._last_words()}")
            outcome.fault(self._numbers[position], f"{self._last_words()}\n{said}")
            return self._go_on(position + 1)
        if position != self._seen:
            self._seen, self._since = position, max(self._since if self._seen < 0 else 0, time.monotonic())
        elif time.monotonic() - self._since > limit_s:
            self._process.kill()
            self._process.join()
            self._hear(outcome)
            outcome.fault(self._numbers[position], f"it took longer than {limit_s:g} s")
            return self._go_on(position + 1)
        return False

    def _last_words(self) -> str:
        """What the process said last on its standard error: of an abort, which library's, and where Python was."""
        self._words.seek(0)
        return self._words.read()[-_KEPT_WORDS:].decode("utf-8", "replace").strip()

    def _go_on(self, position: int) -> bool:
        if position >= len(self._numbers):
            return True
        self._start(position)
        return False

    def _hear(self, outcome: Outcome) -> bool:
        while True:
            try:
                what, value = self._reports.get(timeout=0 if self._process.is_alive() else 0.2)
            except queue.Empty:
                return False
            if what == "fault":
                outcome.fault(*value)
            elif what == "counts":
                for name, n in value.items():
                    outcome.counts[name] = outcome.counts.get(name, 0) + n
            else:
                outcome.memory_mb = max(outcome.memory_mb, value)
                return True


def _end_with_parent() -> None:
    """Ends this process when the one that has started it was killed; else it would go on to its last mutant."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(name: str, numbers: range, position: int, seed: int, at: Any, reports: Any, words: str) -> None:
    """What a process does: the mutants from a position on."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from hear_edgel3.errors import HearEdgeL3Error

    from .kinds import KINDS

    kind = KINDS[name]
    os.environ["TQDM_DISABLE"] = "1"
    os.dup2(os.open(words, os.O_WRONLY | os.O_APPEND), 2)  # what libraries in C say of damaged files
    faulthandler.enable(2)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        try:
            files = kind.files(Path(place))
            attempt = kind.prepare(Path(place))
        except Exception:
            reports.put(("fault", (numbers[position], "nothing was tried: " + traceback.format_exc())))
            numbers = numbers[:0]
        for i in range(position, len(numbers)):
            at.value = i
            os.ftruncate(2, 0)  # it is of this mutant alone
            try:
                attempt(*mutant(kind, files, seed, numbers[i]))
                said = "read"
            except HearEdgeL3Error as error:
                said, why = "refused", str(error)
            except BaseException:
                reports.put(("fault", (numbers[i], traceback.format_exc())))
                said = "raised"
            if said == "refused" and numbers[i] % _UNCHANGED_EVERY == 0:
                reports.put(("fault", (numbers[i], f"a sound file was refused: {why}")))
            counts[said] = counts.get(said, 0) + 1
            if sum(counts.values()) >= 100:
                reports.put(("counts", counts))
                counts = {}
        os.chdir("/")
    reports.put(("counts", counts))
    reports.put(("memory", _peak_mb()))


def _peak_mb() -> float:
    """The most memory that this process had; getrusage would tell of the one that started it too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
