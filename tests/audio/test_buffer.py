from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from hear_edgel3.audio.buffer import Tail


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(-5, 30)), max_size=30))
def test_it_keeps_what_was_not_forgotten(steps: list[tuple[int, int]]) -> None:
    """Blocks of any length; what is forgotten may lie ahead of what has come."""
    tail = Tail()
    received = start = 0
    handed_out = []
    for length, further in steps:
        tail.append(torch.arange(received, received + length, dtype=torch.float32))
        received += length
        assert tail.received == received
        assert tail.samples.tolist() == list(range(start, received))
        handed_out.append((tail.samples, list(range(start, received))))
        tail.forget(start + further)
        start = max(start, start + further)
        assert tail.start == start
        assert tail.samples.tolist() == list(range(start, received))
    assert all(view.tolist() == expected for view, expected in handed_out)


def test_its_buffer_does_not_grow() -> None:
    tail = Tail()
    largest = 0
    for i in range(1000):
        tail.append(torch.zeros(100))
        tail.forget(100 * i - 250)
        largest = max(largest, len(tail._buffer))
    assert largest <= 2 * 500


def test_the_widest_type_wins_in_any_mode() -> None:
    tail = Tail()
    with torch.inference_mode():
        tail.append(torch.ones(2))
    assert tail.samples.dtype == torch.float32
    tail.append(torch.full((2,), 0.1, dtype=torch.float64))
    tail.append(torch.ones(1))
    assert tail.samples.tolist() == [1.0, 1.0, 0.1, 0.1, 1.0]
