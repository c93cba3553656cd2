"""Windows cut from streams and batches, with zeros or a reflection at the ends."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hear_edgel3.framing.cutting import windows_of_batch
from hear_edgel3.framing.path import NetInput, WindowPath
from hear_edgel3.framing.rules import CentredFraming, CoveringFraming

NET = NetInput("a net", 1000, takes_nothing=False, device=torch.device("cpu"))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 400),
    window=st.integers(1, 50),
    hop=st.integers(1, 120),
    center=st.booleans(),
    block=st.integers(1, 401),
    group=st.integers(1, 7),
)
def test_a_stream_gives_the_windows_of_the_whole(
    n: int, window: int, hop: int, center: bool, block: int, group: int
) -> None:
    audio = torch.arange(1, n + 1, dtype=torch.float32)
    for framing in (CoveringFraming(window, 1000, hop / 1000, center), CentredFraming(window, 1000, float(hop))):
        count = framing.count(n, Fraction(n, 1000))
        whole = torch.cat(list(windows_of_batch(audio[None], framing, count, group)))
        path = WindowPath(framing, 1000, NET, lambda window: group)
        groups = list(path.groups(torch.split(audio, block)))
        assert torch.equal(torch.cat(groups), whole)
        assert all(len(g) <= group for g in groups)


def test_a_stream_holds_no_more_than_it_needs() -> None:
    """A hop far longer than the window: what lies between windows is dropped as it comes."""
    framing = CoveringFraming(100, 1000, 600.0, True)
    alive = []

    def blocks() -> Iterator[torch.Tensor]:
        for i in range(3600):
            block = torch.full((1000,), float(i))
            alive.append(weakref.ref(block.untyped_storage()))
            yield block
            assert sum(ref() is not None for ref in alive) < 40

    groups = list(WindowPath(framing, 1000, NET, lambda window: 16).groups(blocks()))
    assert torch.cat(groups)[:, -1].tolist() == [0, 600, 1200, 1800, 2400, 3000, 0]


def test_windows_of_a_batch_are_in_order() -> None:
    audio = torch.stack([torch.arange(10.0), 100 + torch.arange(10.0)])
    framing = CoveringFraming(4, 1000, 0.003, False)
    found = torch.cat(list(windows_of_batch(audio, framing, 3, 2)))
    assert found[:, 0].tolist() == [0, 3, 6, 100, 103, 106]
    assert list(windows_of_batch(audio[:0], framing, 3, 2)) == []


def by_numpy(audio: np.ndarray, window: int, hop: float, count: int) -> np.ndarray:
    """Windows of a clip at 1000 Hz: zeros up to half a window and one sample, then NumPy's reflection."""
    half = window // 2
    padded = np.pad(np.pad(audio, (0, max(0, half + 1 - len(audio)))), half, mode="reflect")
    starts = [round(Fraction(hop) * k) for k in range(count)]
    return np.stack([padded[start : start + window] for start in starts])


@settings(max_examples=150, deadline=None)
@given(
    n_samples=st.integers(1, 300),
    half=st.integers(1, 60),
    hop=st.one_of(st.integers(1, 150).map(float), st.floats(1.0, 150.0)),
    block=st.integers(1, 301),
    group=st.integers(1, 9),
)
def test_reflection_is_numpys(n_samples: int, half: int, hop: float, block: int, group: int) -> None:
    audio = torch.stack([torch.arange(1.0, n_samples + 1), -torch.arange(1.0, n_samples + 1)])
    framing = CentredFraming(2 * half, 1000, hop, True)
    count = framing.count(n_samples, Fraction(n_samples, 1000))
    expected = np.stack([by_numpy(clip, 2 * half, hop, count) for clip in audio.numpy()])
    whole = list(windows_of_batch(audio, framing, count, group))
    np.testing.assert_array_equal(torch.cat(whole), expected.reshape(2 * count, -1))
    for i, clip in enumerate(audio):
        path = WindowPath(framing, 1000, NetInput("a net", 1000, True, clip.device), lambda window: group)
        stream = list(path.groups(torch.split(clip, block)))
        np.testing.assert_array_equal(torch.cat(stream), expected[i])
        assert all(len(windows) <= group for windows in stream)


def test_reflection_by_hand() -> None:
    framing = CentredFraming(6, 1000, 2.0, True)
    windows = torch.cat(list(windows_of_batch(torch.arange(5.0)[None], framing, 3, 10)))
    assert windows.tolist() == [[3, 2, 1, 0, 1, 2], [1, 0, 1, 2, 3, 4], [1, 2, 3, 4, 3, 2]]
    shortest = torch.cat(list(windows_of_batch(torch.ones(1, 1), framing, 1, 10)))
    assert shortest.tolist() == [[0, 0, 0, 1, 0, 0]]  # 1 0 0 0, reflected
