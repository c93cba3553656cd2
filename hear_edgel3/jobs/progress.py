"""What a job says while it runs."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from hear_edgel3.jobs.worker import Tally

_KEPT = 20
_LOG_EVERY_S = 30.0


class Progress:
    """A bar on stderr with files per second, how many times real time, what is left and what has failed.

    Args:
        files: to be embedded.
        quiet: show nothing.

    Attributes:
        files: that are finished, failed ones included.
        failed: of these.
        rows: of the dataset.
        seconds: of audio.
        errors: the first files that failed, and what their rows say.
    """

    def __init__(self, files: int, quiet: bool) -> None:
        self.files = self.failed = self.rows = 0
        self.seconds = 0.0
        self.errors: list[tuple[str, str]] = []
        self._running: dict[int, Tally] = {}
        self._quiet = quiet
        self._total = files
        self._begun = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
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

    def report(self, worker: int, tally: Tally) -> None:
        """Takes what a worker has done of its part."""
        self._running[worker] = tally
        self._show()

    def finished(self, tally: Tally) -> None:
        """Takes a finished part."""
        self.files += tally.files
        self.failed += len(tally.failed)
        self.rows += tally.rows
        self.seconds += tally.seconds
        self.errors += tally.failed[: _KEPT - len(self.errors)]
        self._show()

    def _show(self) -> None:
        if self._bar is None:
            return
        seconds = self.seconds + sum(tally.seconds for tally in self._running.values())
        failed = self.failed + sum(len(tally.failed) for tally in self._running.values())
        times = seconds / max(time.monotonic() - self._begun, 1e-9)
        self._bar.set_postfix_str(f"{times:.0f} x real time, {failed} failed", refresh=False)
        self._bar.update(self.files + sum(tally.files for tally in self._running.values()) - self._bar.n)
