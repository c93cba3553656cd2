"""Events out of probabilities that come slice by slice; what is held does not grow with the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hear_edgel3._checks import check_made, check_positive
from hear_edgel3.timeline.rules import EventRules

# Times are sums of binary fractions: what is less than this apart is not.
_CLOSE = 1e-9


class Found(NamedTuple):
    """An event of a class.

    Attributes:
        start: Where it starts, in seconds.
        end: Where it ends, in seconds.
        place: The number of its class.
        score: The highest probability in it, after smoothing.
    """

    start: float
    end: float
    place: int
    score: float


@dataclass
class _Run:
    """A stretch in which a class goes on."""

    start: float
    end: float
    score: float
    is_event: bool

    @property
    def length(self) -> float:
        return self.end - self.start


class EventDecoder:
    """Makes events of the probabilities of slices of time.

    What is found does not depend on how the slices are cut into portions.

    Args:
        rules: What makes an event.
        slice_length: How long a slice is, in seconds.
    """

    def __init__(self, rules: EventRules, slice_length: float) -> None:
        check_made(rules, "rules", EventRules, "EventRules")
        check_positive(slice_length, "slice_length", "seconds")
        self._rules = rules
        self._high = np.asarray(rules.thresholds, np.float64)
        self._low = self._high * rules.hysteresis
        self._longest = float("inf") if rules.max_length is None else rules.max_length + _CLOSE
        self._half = max(0, int(rules.smooth / slice_length + _CLOSE) - 1) // 2  # slices before and behind
        self._runs: dict[int, _Run] = {}  # those that the last slice belongs to
        self._waiting: dict[int, _Run] = {}  # events that the next run may be joined to
        self._rows: np.ndarray | None = None  # those that are not smoothed yet, and what they need before them
        self._times: list[tuple[float, float]] = []  # of the rows that are not smoothed yet
        self._finished = False

    @property
    def delay(self) -> int:
        """How many slices must follow one before it is looked at."""
        return self._half

    def push(self, starts: np.ndarray, ends: np.ndarray, probabilities: np.ndarray) -> list[Found]:
        """Takes more slices.

        Args:
            starts: (n,) where they start, in seconds.
            ends: (n,) where they end.
            probabilities: (n, n_classes).

        Returns:
            The events that are over for sure, in the order in which that was known.
        """
        found: list[Found] = []
        for start, end, row in self._smoothed(starts, ends, np.asarray(probabilities, np.float64)):
            self._take(start, end, row, found)
        return found

    def finish(self, end: float | None = None) -> list[Found]:
        """Ends it.

        Args:
            end: Where the sound ends: the last slice reaches to there. None for its own end.

        Returns:
            The events that were not over, in the order of their classes.
        """
        found: list[Found] = []
        for start, until, row in self._rest():
            self._take(start, until, row, found)
        for index, run in sorted(self._runs.items()):
            if end is not None:
                run.end = max(end, run.start)
            self._end_run(index, run, found)
        self._runs = {}
        for index, run in sorted(self._waiting.items()):
            self._tell(index, run, found)
        self._waiting = {}
        return found

    def _smoothed(
        self, starts: np.ndarray, ends: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[float, float, np.ndarray]]:
        """The slices that have all that they need behind them."""
        times = list(zip(starts.tolist(), ends.tolist(), strict=True))
        if self._half == 0:
            busy = np.flatnonzero((rows >= self._low).any(axis=1))
            busy_rows = set(busy.tolist())
            for number, ((start, end), row) in enumerate(zip(times, rows, strict=True)):
                if number in busy_rows or self._runs or self._waiting:
                    yield start, end, row
            return
        self._times += times
        self._rows = rows if self._rows is None else np.concatenate([self._rows, rows])
        yield from self._medians(len(self._times) - self._half)

    def _rest(self) -> Iterator[tuple[float, float, np.ndarray]]:
        """The last slices, which have less behind them."""
        yield from self._medians(len(self._times))

    def _medians(self, count: int) -> Iterator[tuple[float, float, np.ndarray]]:
        rows = self._rows
        if rows is None or count <= 0:
            return
        before = len(rows) - len(self._times)
        for number in range(count):
            place = before + number
            row = np.median(rows[max(0, place - self._half) : place + self._half + 1], axis=0)
            yield *self._times[number], row
        del self._times[:count]
        self._rows = rows[max(0, before + count - self._half) :]

    def _take(self, start: float, end: float, row: np.ndarray, found: list[Found]) -> None:
        """Takes a smoothed slice."""
        going = set(np.flatnonzero(row >= self._low).tolist())
        for index in sorted(self._runs.keys() - going):
            self._end_run(index, self._runs.pop(index), found)
        for index in sorted(going):
            score = float(row[index])
            run = self._runs.get(index)
            if run is not None and end - run.start > self._longest:
                goes_on = run.is_event
                self._end_run(index, run, found)
                run = None
            else:
                goes_on = False
            if run is None:
                self._runs[index] = _Run(start, end, score, goes_on or score >= self._high[index])
            else:
                run.end, run.score = end, max(run.score, score)
                run.is_event |= bool(score >= self._high[index])
        for index, run in sorted(self._waiting.items()):
            coming = self._runs.get(index)
            if (end if coming is None else coming.start) - run.end > self._rules.merge + _CLOSE:
                self._tell(index, self._waiting.pop(index), found)

    def _end_run(self, index: int, run: _Run, found: list[Found]) -> None:
        """A stretch is over: it joins the event before it, or is the one that waits now."""
        if not run.is_event:
            return
        before = self._waiting.pop(index, None)
        if before is not None:
            near = run.start - before.end <= self._rules.merge + _CLOSE
            if near and run.end - before.start <= self._longest:
                run = _Run(before.start, run.end, max(before.score, run.score), True)
            else:
                self._tell(index, before, found)
        self._waiting[index] = run

    def _tell(self, index: int, run: _Run, found: list[Found]) -> None:
        if run.length >= self._rules.min_length - _CLOSE:
            found.append(Found(run.start, run.end, index, run.score))


def found_in(probabilities: np.ndarray, starts: np.ndarray, ends: np.ndarray, rules: EventRules) -> list[Found]:
    """The events of a whole recording.

    Args:
        probabilities: (n, n_classes) of slices of one length.
        starts: (n,) where the slices start, in seconds.
        ends: (n,) where they end.
        rules: What makes an event.

    Returns:
        The events by start, and then by class.
    """
    length = float(ends[-1] - starts[-1]) if len(ends) else 1.0
    decoder = EventDecoder(rules, length)
    return sorted([*decoder.push(starts, ends, probabilities), *decoder.finish()])
