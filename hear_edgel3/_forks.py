"""Locks that a fork waits for: in the child, a lock that some other thread held would never be free.

All of them are taken here, the outermost first: handlers that each took one, in the order in which modules happen to be
imported, could wait for a thread that holds one and waits for the next.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol

# How far out a lock is: who holds one takes no other that is further out. A net is compiled; sizes of it are built;
# and for those numba compiles.
COMPILING, BUILDING, NUMBA = range(3)


class Lock(Protocol):
    """What can be taken, by the thread that has it too, and given back."""

    def acquire(self) -> object:
        """Takes it."""

    def release(self) -> object:
        """Gives it back."""


_locks: list[tuple[int, Lock]] = []
_own = threading.local()  # the locks that the thread that forks has taken


def wait_for(lock: Lock, place: int) -> None:
    """Has forks wait for a lock, as long as the process lives.

    Args:
        lock: It.
        place: How far out it is, one of the numbers above.
    """
    _locks.append((place, lock))


def _take() -> None:
    # The fork goes on whatever is raised here, and gives back what there is in this list: after Ctrl-C not all of them.
    taken: list[Lock] = []
    _own.taken = taken
    while True:
        known = [*_locks]
        for _, lock in sorted(known, key=lambda one: one[0]):
            lock.acquire()
            taken.append(lock)
        if len(known) == len(_locks):
            return
        # While this waited, a module was imported that has another one, which may be further out.
        _give_back()


def _give_back() -> None:
    while _own.taken:
        _own.taken.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take, after_in_parent=_give_back, after_in_child=_give_back)
