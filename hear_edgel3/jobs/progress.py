"""What a job says while it runs."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from hear_edgel3.jobs.worker import PartCounts
from hear_edgel3.recorded import Unknown

_ERRORS_KEPT = 20
_LOG_EVERY_S = 30.0


class JobProgress:
    """A bar on stderr with files per second, how many times real time, what is left and what has failed.

    Args:
        files: How many files are to be embedded.
        quiet: Whether to show nothing.

    Attributes:
        files: How many files are finished, failed ones included.
        failed: How many of these failed.
        rows: How many rows of the dataset were written.
        seconds: How many seconds of audio were read.
        errors: The first files that failed, and what their rows say.
        unknown: Of how many files it is not known when and where they were recorded.
    """

    def __init__(self, files: int, quiet: bool) -> None:
        self.files = self.failed = self.rows = 0
        self.seconds = 0.0
        self.errors: list[tuple[str, str]] = []
        self.unknown = Unknown()
        self._running: dict[int, PartCounts] = {}
        self._quiet = quiet
        self._total = files
        self._started_at = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> JobProgress:
        if not self._quiet:
            from tqdm import tqdm

            # In a log file a line now and then is enough.
            pause = 0.5 if sys.stderr.isatty() else _LOG_EVERY_S
            self._bar = tqdm(total=self._total, unit="file", file=sys.stderr, dynamic_ncols=True, mininterval=pause)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._show()
            self._bar.close()

    def report(self, worker: int, counts: PartCounts) -> None:
        """Takes what a worker has done of its part."""
        self._running[worker] = counts
        self._show()

    def finished(self, counts: PartCounts) -> None:
        """Takes a finished part."""
        self.files += counts.files
        self.failed += len(counts.failed)
        self.rows += counts.rows
        self.seconds += counts.seconds
        self.errors += counts.failed[: _ERRORS_KEPT - len(self.errors)]
        self.unknown.add(counts.unknown)
        self._show()

    def _show(self) -> None:
        if self._bar is None:
            return
        seconds = self.seconds + sum(counts.seconds for counts in self._running.values())
        failed = self.failed + sum(len(counts.failed) for counts in self._running.values())
        times = seconds / max(time.monotonic() - self._started_at, 1e-9)
        self._bar.set_postfix_str(f"{times:.0f} x real time, {failed} failed", refresh=False)
        self._bar.update(self.files + sum(counts.files for counts in self._running.values()) - self._bar.n)
