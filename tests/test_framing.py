from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hear_edgel3.errors import InvalidOption
from hear_edgel3.framing.cutting import windows_of_batch
from hear_edgel3.framing.path import NetInput, WindowPath
from hear_edgel3.framing.rules import CentredFraming, CoveringFraming
from support import oracle

NET = NetInput("a net", 1000, takes_nothing=False, device=torch.device("cpu"))


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("hop", [0.1, 0.33, 0.5, 1.0, 2.0, 0.29, 0.57])
@pytest.mark.parametrize("n", [1, 7999, 8000, 8001, 12000, 20000])
def test_edgel3_windows_equal_the_oracles(n: int, hop: float, center: bool) -> None:
    audio = np.arange(1, n + 1, dtype=np.float64)
    frames, seconds = oracle.get_frames(audio, 8000, center, hop)
    framing = CoveringFraming(8000, 8000, hop, center)
    count = framing.count(n, Fraction(n, 8000))
    found = torch.cat(list(windows_of_batch(torch.from_numpy(audio)[None], framing, count, 4)))
    np.testing.assert_array_equal(found.numpy(), frames)
    np.testing.assert_array_equal(framing.timestamps_s(count), seconds)


def test_edgel3_counts_of_the_facts() -> None:
    counts = [CoveringFraming(48000, 48000, 0.1, True).count(48000 * s, Fraction(s)) for s in (1, 2, 10)]
    assert counts == [6, 16, 96]


def test_edgel3_hop_is_truncated_and_hears_is_not() -> None:
    assert CoveringFraming(48000, 48000, 0.29, True).hop == 13919
    exact = CentredFraming(48000, 48000, 290.0)
    assert [exact.start(k) + 24000 for k in (0, 1, 1000)] == [0, 13920, 13_920_000]


def test_centred_is_hear_baselines() -> None:
    """2.0 s at 50 ms: 41 frames, the last at 2000 ms, each starting half a window early."""
    framing = CentredFraming(8000, 8000, 50.0)
    assert framing.count(16000, Fraction(2)) == 41
    times = framing.timestamps_ms(41, Fraction(2))
    assert times.dtype == torch.float32
    assert times[-1] == 2000.0
    assert (framing.start(0), framing.start(40)) == (-4000, 12000)


@given(st.sampled_from([8000, 11025, 32000]), st.floats(0.2, 1e4) | st.just(12.5), st.integers(0, 10**8))
def test_centred_rounds_as_python_does(rate: int, hop_ms: float, k: int) -> None:
    found = CentredFraming(160, rate, hop_ms).start(k) + 80
    assert found == round(Fraction(hop_ms) * rate * k / 1000)


def test_centred_never_drifts() -> None:
    """25 ms at 44100 Hz is 1102.5 samples; rounding the hop itself would be 25 ms off after 37 minutes."""
    framing = CentredFraming(44100, 44100, 25.0)
    k = 37 * 60 * 40
    assert framing.start(k) + 22050 == k * 11025 // 10
    assert abs(framing.start(3) + 22050 - 3 * 1102.5) <= 0.5


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 10_000_000),
    rate=st.sampled_from([8000, 16000, 44100, 48000]),
    hop=st.one_of(st.sampled_from([1.0, 10.0, 25.0, 50.0, 33.3, 1 / 3, 0.7]), st.floats(0.2, 5000)),
)
def test_centred_timestamps_stay_within_the_clip(n: int, rate: int, hop: float) -> None:
    framing = CentredFraming(rate, rate, hop)
    duration = Fraction(n, rate)
    count = min(framing.count(n, duration), 1_000_000)
    times = framing.timestamps_ms(count, duration).double().numpy()
    assert times[0] == 0
    assert times[-1] <= 1000 * n / rate
    if count == framing.count(n, duration):
        assert count * Fraction(hop) > duration * 1000  # one more would lie beyond
    exact = np.arange(count) * hop
    np.testing.assert_allclose(times, exact, rtol=2**-23, atol=0)


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


@pytest.mark.parametrize("hop", [0, -1, 0.0, "a", None, True, False, math.nan, math.inf, 1e-5, [0.1], 10**400])
def test_hops_that_cannot_be(hop: object) -> None:
    with pytest.raises(InvalidOption, match="hop_size"):
        CoveringFraming(8000, 8000, hop, True)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="hop_ms"):
        CentredFraming(8000, 8000, hop)  # type: ignore[arg-type]
