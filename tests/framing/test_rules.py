"""Where windows lie: the rules of edgel3 and of HEAR."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hear_edgel3.errors import InvalidOption
from hear_edgel3.framing.cutting import windows_of_batch
from hear_edgel3.framing.path import weight_of_last
from hear_edgel3.framing.rules import CentredFraming, CoveringFraming, SceneFraming, SegmentFraming
from support import oracle


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


def test_segments_weigh_what_the_clip_fills_of_them() -> None:
    framing = SegmentFraming(100)
    found = {n: (framing.count(n, Fraction(n, 1000)), framing.last_weight(n)) for n in (0, 1, 99, 100, 101, 250, 300)}
    assert found == {
        0: (1, 1.0),
        1: (1, 1.0),
        99: (1, 1.0),
        100: (1, 1.0),
        101: (2, 0.01),
        250: (3, 0.5),
        300: (3, 1.0),
    }
    assert [framing.start(k) for k in range(3)] == [0, 100, 200]
    for other in (CentredFraming(100, 1000, 50.0), CoveringFraming(100, 1000, 0.05, center=False)):
        assert other.last_weight(250) == 1.0
    scene = SceneFraming(framing, whole_up_to=40)
    assert weight_of_last(scene, 250, 1000, 1000) == 0.5
    assert weight_of_last(scene, 500, 2000, 1000) == 0.5
    assert weight_of_last(scene, 30, 1000, 1000) == 1.0


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


@pytest.mark.parametrize("hop", [0, -1, 0.0, "a", None, True, False, math.nan, math.inf, 1e-5, [0.1], 10**400])
def test_hops_that_cannot_be(hop: object) -> None:
    with pytest.raises(InvalidOption, match=r"^hop_size(=1e-05 is less| must be a positive number of seconds)"):
        CoveringFraming(8000, 8000, hop, True)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match=r"^hop_ms(=1e-05 is less| must be a positive number of milliseconds)"):
        CentredFraming(8000, 8000, hop)  # type: ignore[arg-type]
