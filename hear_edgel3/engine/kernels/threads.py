"""Threads over images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from hear_edgel3 import _forks

# Nets are built one at a time, so that two first callers do not build one twice.
BUILDING = threading.RLock()
_forks.wait_for(BUILDING, _forks.BUILDING)


def share_out(work: Callable[[int, int], None], shares: Sequence[tuple[int, int]], threads: int) -> None:
    """Has shares of work done, several at once.

    Args:
        work: called with each share.
        shares: the first image of each, and how many there are.
        threads: how many may run at once.

    Raises:
        BaseException: the first one that a thread raised, with a note where others failed too.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            for first, n in todo:  # each share goes to one thread: a list's iterator is never torn
                work(first, n)
        except BaseException as error:
            errors.append(error)

    todo = iter(shares)
    # New threads each time: they cost less than a tenth of a millisecond, survive a fork, and leave nothing behind.
    helpers = [threading.Thread(target=run) for _ in range(min(threads, len(shares)) - 1)]
    for helper in helpers:
        helper.start()
    run()
    for helper in helpers:
        helper.join()
    if errors:
        for other in errors[1:]:
            errors[0].add_note(f"Another thread failed too: {type(other).__name__}: {other}")
        raise errors[0]
