"""The pieces of a job: windows in groups, in order, and faults that come through."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.jobs import reading
from hear_edgel3.jobs.batching import Batcher
from support.jobs import assert_close


def test_windows_of_many_files_share_groups() -> None:
    model = hear_edgel3.load("sea_64")
    seen: list[int] = []
    found: dict[int, list[np.ndarray]] = {}
    embed = model.embed_windows

    def watched(windows: torch.Tensor) -> torch.Tensor:
        seen.append(len(windows))
        return embed(windows)

    model.embed_windows = watched  # type: ignore[method-assign]
    batcher = Batcher(model)
    torch.manual_seed(0)
    windows = {key: torch.randn(n, 8000) * 0.1 for key, n in enumerate((3, 1, 16, 5, 20))}
    for key, some in windows.items():
        for owner, result in batcher.add(key, some):
            found.setdefault(owner, []).append(np.asarray(result))
    for owner, result in batcher.flush():
        found.setdefault(owner, []).append(np.asarray(result))
    assert seen == [16, 16, 13]
    for key, some in windows.items():
        assert_close(np.concatenate(found[key]), embed(some).numpy())


def test_lengths_that_differ_wait_for_their_like_but_not_for_ever() -> None:
    model = hear_edgel3.load("sea_64")
    ran: list[tuple[int, ...]] = []

    def fake(windows: torch.Tensor) -> torch.Tensor:
        ran.append(tuple(windows.shape))
        return torch.zeros(len(windows), 64)

    model.embed_windows = fake  # type: ignore[method-assign]
    delivered: list[int] = []
    batcher = Batcher(model)
    for key in range(64):
        delivered += [owner for owner, _ in batcher.add(key, torch.zeros(1, 8000 if key % 2 else 16000 + key))]
    assert (16, 8000) in ran
    waiting = sum(windows.numel() for bucket in batcher._waiting.values() for _, windows in bucket)
    assert waiting <= 8 * 16 * 8000
    delivered += [owner for owner, _ in batcher.flush()]
    assert sorted(delivered) == list(range(64))


def test_pieces_come_in_order_and_faults_come_through() -> None:
    def pieces(i: int) -> Iterator[int]:
        for k in range(i % 5):
            yield 10 * i + k
        if i == 17:
            raise ZeroDivisionError

    found = []

    def take() -> None:
        for i, piece in reading.in_order(pieces, 30, 3):  # type: ignore[arg-type]
            assert piece // 10 == i
            found.append(piece)

    with pytest.raises(ZeroDivisionError):
        take()
    assert found == [10 * i + k for i in range(18) for k in range(i % 5)]
    closed = []

    def endless(i: int) -> Iterator[int]:
        try:
            while True:
                yield i
        finally:
            closed.append(i)

    some = reading.in_order(endless, 30, 3)  # type: ignore[arg-type]
    next(some)
    some.close()  # type: ignore[attr-defined]
    assert 1 <= len(closed) <= 3


def test_what_waits_is_bounded() -> None:
    """Of lengths that are all different no group is ever full, and nothing would be run before the end."""
    model = hear_edgel3.load("sea_64")
    model.embed_windows = lambda windows: torch.zeros(len(windows), 64)  # type: ignore[method-assign, assignment]
    batcher = Batcher(model)
    bound = 8 * model.windows_at_once(1)
    delivered: list[int] = []
    most = 0
    for key in range(200):
        delivered += [owner for owner, _ in batcher.add(key, torch.zeros(1, 16000 + key))]
        most = max(most, sum(w.numel() for bucket in batcher._waiting.values() for _, w in bucket))
    assert 2 * bound < 200 * 16000  # or this would show nothing
    assert bound / 2 < most <= bound
    assert delivered == sorted(delivered)  # the oldest first
    delivered += [owner for owner, _ in batcher.flush()]
    assert delivered == list(range(200))


def test_as_much_waits_as_may() -> None:
    model = hear_edgel3.load("sea_64")
    model.embed_windows = lambda windows: torch.zeros(len(windows), 64)  # type: ignore[method-assign, assignment]
    batcher = Batcher(model)
    n_pairs = 8 * model.windows_at_once(1) // 32000
    lengths = [length for k in range(n_pairs) for length in (15999 - k, 16001 + k)]
    assert sum(lengths) == 8 * model.windows_at_once(1)
    for key, length in enumerate(lengths):
        assert not list(batcher.add(key, torch.zeros(1, length)))
    assert [owner for owner, _ in batcher.add(len(lengths), torch.zeros(1, 1))] == [0]


def test_threads_that_are_stuck_are_not_waited_for() -> None:
    """And what they read from is not closed under them."""
    free = threading.Event()
    closed = []

    def pieces(i: int) -> Iterator[int]:
        yield i
        free.wait(60)

    some = reading.in_order(pieces, 5, 2, lambda: closed.append(True))  # type: ignore[arg-type]
    assert next(some) == (0, 0)
    begun = time.monotonic()
    some.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begun < 2
    assert closed == []
    free.set()
    assert list(reading.in_order(pieces, 5, 2, lambda: closed.append(True))) == [(i, i) for i in range(5)]  # type: ignore[arg-type]
    assert closed == [True]


# A thread that is in torch, not in a read, for longer than a job waits for it.
_LEFT_IN_TORCH = """
import sys, time
import torch
from hear_edgel3.jobs import reading

def pieces(i):
    yield i
    end = time.monotonic() + 3 * reading._PATIENCE_S
    while time.monotonic() < end:
        torch.cat([torch.randn(1000)] * 2)

some = reading.in_order(pieces, 1, 1)
next(some)
some.close()
sys.exit(130)
"""


def test_threads_that_compute_are_waited_for_at_the_end() -> None:
    """The interpreter would abort, with another exit status and a message of C++."""
    done = subprocess.run([sys.executable, "-c", _LEFT_IN_TORCH], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")
