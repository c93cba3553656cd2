from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from hear_edgel3.audio.buffer import StreamBuffer


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(-5, 30), st.booleans()), max_size=30))
def test_it_keeps_what_was_not_forgotten(steps: list[tuple[int, int, bool]]) -> None:
    """Blocks of any length, some of them nobody else's; what is forgotten may lie ahead of what has come."""
    buffer = StreamBuffer()
    received = start = 0
    handed_out = []
    for length, further, fresh in steps:
        buffer.append(torch.arange(received, received + length, dtype=torch.float32), fresh=fresh)
        received += length
        assert buffer.received == received
        assert buffer.samples.tolist() == list(range(start, received))
        handed_out.append((buffer.samples, list(range(start, received))))
        buffer.forget(start + further)
        start = max(start, start + further)
        assert buffer.start == start
        assert buffer.samples.tolist() == list(range(start, received))
    assert all(view.tolist() == expected for view, expected in handed_out)


def test_only_what_is_nobody_else_s_is_not_copied() -> None:
    for fresh in (False, True):
        buffer, block = StreamBuffer(), torch.zeros(4)
        buffer.append(block, fresh=fresh)
        buffer.append(torch.zeros(0))
        assert (buffer.samples.data_ptr() == block.data_ptr()) == fresh
        buffer.append(torch.ones(2), fresh=fresh)
        assert buffer.samples.tolist() == [0, 0, 0, 0, 1, 1]
        assert block.tolist() == [0, 0, 0, 0]


def test_what_is_kept_as_it_came_may_be_of_inference_mode() -> None:
    buffer = StreamBuffer()
    with torch.inference_mode():
        buffer.append(torch.ones(3), fresh=True)
    buffer.append(torch.zeros(0))
    buffer.append(torch.zeros(1), fresh=True)
    assert buffer.samples.tolist() == [1, 1, 1, 0]


def test_its_buffer_does_not_grow() -> None:
    buffer = StreamBuffer()
    largest = 0
    for i in range(1000):
        buffer.append(torch.zeros(100))
        buffer.forget(100 * i - 250)
        largest = max(largest, len(buffer._buffer))
    assert largest <= 2 * 500


def test_the_widest_type_wins_in_any_mode() -> None:
    buffer = StreamBuffer()
    with torch.inference_mode():
        buffer.append(torch.ones(2))
    assert buffer.samples.dtype == torch.float32
    buffer.append(torch.full((2,), 0.1, dtype=torch.float64))
    buffer.append(torch.ones(1))
    assert buffer.samples.tolist() == [1.0, 1.0, 0.1, 0.1, 1.0]
