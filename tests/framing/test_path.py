"""The way from samples to windows: whatever the blocks, the windows are those of the clip as a whole."""

from __future__ import annotations

import subprocess
import sys
import weakref
from collections.abc import Iterator
from fractions import Fraction
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hear_edgel3.audio.resample import resample
from hear_edgel3.errors import InvalidAudio
from hear_edgel3.framing import path as path_module
from hear_edgel3.framing.cutting import windows_of_batch
from hear_edgel3.framing.path import NetInput, WindowPath, windows_of_clips
from hear_edgel3.framing.rules import (
    CentredFraming,
    CoveringFraming,
    SceneFraming,
    SegmentFraming,
    WholeClip,
    WindowRule,
)

CPU = torch.device("cpu")
LENIENT = NetInput("a net", 1000, takes_nothing=True, device=CPU)
STRICT = NetInput("a net", 1000, takes_nothing=False, device=CPU)


def rules(window: int, hop: float) -> dict[str, WindowRule]:
    return {
        "centred": CentredFraming(window, 1000, hop),
        "reflected": CentredFraming(window, 1000, hop, reflect=True),
        "covering": CoveringFraming(window, 1000, hop / 1000, center=False),
        "covering, centred": CoveringFraming(window, 1000, hop / 1000, center=True),
        "covering, within": CoveringFraming(window, 1000, hop / 1000, center=False, within=True),
        "scene": SceneFraming(CentredFraming(window, 1000, hop, reflect=True), whole_up_to=120),
        "segments": SceneFraming(SegmentFraming(window)),
        "scene, never whole": SceneFraming(CentredFraming(window, 1000, hop)),
    }


def noise(n: int) -> torch.Tensor:
    return torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) - 0.5


def expected_windows(audio: torch.Tensor, rule: WindowRule, rate: int) -> torch.Tensor:
    """By converting and cutting the clip as a whole."""
    n = int(len(audio) * (1000 / rate)) if rate != 1000 else len(audio)
    converted = (resample(audio, rate, 1000) if n > 0 else audio[:0]).float()
    framing = rule.decide(n, ended=True)
    assert framing is not None
    count = framing.count(n, Fraction(len(audio), rate))
    return torch.cat(list(windows_of_batch(converted[None], framing, count, 1000)))


@settings(max_examples=40, deadline=None)
@given(
    n=st.one_of(st.integers(1, 20), st.integers(1, 900)),
    window=st.integers(1, 40).map(lambda half: 2 * half),
    hop=st.one_of(st.integers(1, 150).map(float), st.floats(1.0, 150.0)),
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=4),
    group=st.integers(1, 7),
    rate=st.sampled_from([1000, 1500, 4410]),
    name=st.sampled_from(sorted(rules(2, 1.0))),
)
def test_blocks_of_any_size_give_the_windows_of_the_whole(
    n: int, window: int, hop: float, sizes: list[int], group: int, rate: int, name: str
) -> None:
    rule, audio = rules(window, hop)[name], noise(n)
    expected = expected_windows(audio, rule, rate)
    path = WindowPath(rule, rate, LENIENT, lambda window: group)
    blocks: list[torch.Tensor] = []
    while sum(map(len, blocks)) < n:
        start = sum(map(len, blocks))
        blocks.append(audio[start : start + sizes[len(blocks) % len(sizes)]])
    found = list(path.groups(blocks))
    assert all(len(some) == group for some in found[:-1])
    assert torch.cat(found).dtype == torch.float32
    torch.testing.assert_close(torch.cat(found), expected, rtol=0, atol=0 if rate == 1000 else 1e-7)
    assert (path.fed, path.duration, path.done) == (n, Fraction(n, rate), len(expected))


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 700), hop=st.floats(1.0, 90.0), name=st.sampled_from(sorted(rules(2, 1.0))))
@pytest.mark.parametrize("rate", [1000, 1500])
def test_batches_at_hand_and_long_ones_are_the_same(n: int, hop: float, name: str, rate: int) -> None:
    rule = rules(20, hop)[name]
    audio = torch.stack([noise(n), -noise(n)])
    expected = torch.cat([expected_windows(clip, rule, rate) for clip in audio])
    for longest in (1 << 21, 64):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(path_module, "_LONGEST_AT_ONCE", longest)
            count, groups = windows_of_clips(audio, rule, rate, LENIENT, lambda window: 3)
            found = torch.cat(list(groups))
        assert len(found) == 2 * count
        torch.testing.assert_close(found, expected, rtol=0, atol=0 if rate == 1000 else 1e-7)


def test_windows_stay_until_they_are_dealt_with() -> None:
    path = WindowPath(CoveringFraming(4, 1000, 0.002, center=False), 1000, STRICT, lambda window: 3)
    assert path.next_group() is None
    path.push(torch.arange(20.0))
    first = path.next_group()
    assert first is not None
    assert first[:, 0].tolist() == [0, 2, 4]
    path.push(torch.arange(20.0, 24.0))
    again = path.next_group()
    assert again is not None
    assert torch.equal(again, first)
    path.advance(1)
    later = path.next_group()
    assert later is not None
    assert (path.done, later[:, 0].tolist()) == (1, [2, 4, 6])
    assert path.fed == 24


def test_a_full_group_is_waited_for_until_the_end() -> None:
    path = WindowPath(CoveringFraming(4, 1000, 0.004, center=False), 1000, STRICT, lambda window: 3)
    path.push(torch.zeros(9))
    assert path.next_group(full=True) is None
    some = path.next_group()
    assert some is not None
    assert len(some) == 2
    path.end()
    rest = path.next_group(full=True)
    assert rest is not None
    assert len(rest) == 3


@pytest.mark.parametrize("rate", [1000, 2000])
def test_no_more_than_a_group_is_cut_ahead(rate: int) -> None:
    """A block with very many windows takes memory for its samples, not for its windows."""
    path = WindowPath(CentredFraming(500, 1000, 1.0), rate, STRICT, lambda window: 4)
    path.push(torch.zeros(60_000))
    assert path._n_cut == 4
    for _ in range(100):
        group = path.next_group()
        assert group is not None
        path.advance(len(group))
    assert (path.done, path._n_cut) == (400, 4)


@pytest.mark.parametrize("reflect", [False, True])
@pytest.mark.parametrize("rate", [1000, 1500])
def test_long_gaps_between_windows_are_not_kept(rate: int, reflect: bool) -> None:
    """Though nobody asks for the windows before the end."""
    path = WindowPath(CentredFraming(100, 1000, 60_000.0, reflect), rate, STRICT, lambda window: 16)
    alive: list[weakref.ref[object]] = []
    for _ in range(300):
        block = torch.ones(rate)
        alive.append(weakref.ref(block.untyped_storage()))
        path.push(block)
    del block
    assert sum(reference() is not None for reference in alive) == 0
    assert len(path._buffer._buffer) < 5 * 1000
    path.end()
    group = path.next_group()
    assert group is not None
    assert len(group) == 6  # at 0, 60, ..., 300 s
    assert group[1:5].allclose(torch.ones(()), atol=0.02)  # the filters' own gain


def test_a_blocks_memory_can_be_used_again() -> None:
    """Also before the rule has decided."""
    for rule in rules(20, 10.0).values():
        path = WindowPath(rule, 1000, STRICT, lambda window: 100)
        block = torch.empty(50, dtype=torch.float32)
        for i in range(2):
            block.copy_(torch.arange(50.0) + 50 * i)
            path.push(block)
        block.fill_(-1)
        path.end()
        found = path.next_group()
        assert found is not None
        torch.testing.assert_close(found, expected_windows(torch.arange(100.0).double(), rule, 1000), rtol=0, atol=0)


def test_a_scene_decides_on_its_first_blocks() -> None:
    long = CentredFraming(20, 1000, 10.0)
    rule = SceneFraming(long, whole_up_to=100)
    assert rule.window == 20
    assert [rule.decide(n, ended=False) for n in (0, 100, 101)] == [None, None, long]
    assert [rule.decide(n, ended=True) for n in (0, 100, 101)] == [WholeClip(0), WholeClip(100), long]
    asked: list[int] = []

    def group(window: int) -> int:
        asked.append(window)
        return 2

    path = WindowPath(rule, 1000, STRICT, group)
    path.push(torch.zeros(100))
    assert (path.next_group(), asked) == (None, [])
    path.push(torch.zeros(1))
    found = path.next_group()
    assert found is not None
    assert (found.shape, asked) == ((2, 20), [20])


def test_clips_without_a_sample_at_the_nets_rate() -> None:
    rule = CoveringFraming(4, 1000, 0.004, center=False)
    for lenient in (False, True):
        path = WindowPath(rule, 44100, LENIENT if lenient else STRICT, lambda window: 2)
        blocks: Iterator[torch.Tensor] = iter([torch.ones(20), torch.ones(24)])
        if lenient:
            assert torch.equal(torch.cat(list(path.groups(blocks))), torch.zeros(1, 4))
        else:
            with pytest.raises(InvalidAudio, match="of 44 samples at 44100 Hz is too short; a net needs at least 45"):
                list(path.groups(blocks))
            with pytest.raises(InvalidAudio, match="audio of 44 samples"):
                windows_of_clips(torch.ones(1, 44), rule, 44100, STRICT, lambda window: 2)


# --- rules ---


def test_an_odd_window_rounded_to_the_clips_end_reads_the_first_sample_once_more() -> None:
    """Its reflection at the end reaches one sample beyond the first, where the shortest clip has nothing."""
    framing = CentredFraming(5, 1000, 3.0, reflect=True)
    clip = torch.tensor([1.0, 2.0, 3.0])
    expected = [[3, 2, 1, 2, 3], [2, 3, 2, 1, 1]]
    assert torch.cat(list(windows_of_batch(clip[None], framing, 2, 10))).tolist() == expected
    path = WindowPath(framing, 1000, STRICT, lambda window: 10)
    assert torch.cat(list(path.groups(clip.split(1)))).tolist() == expected


def test_no_timestamp_is_rounded_beyond_the_clip() -> None:
    """304 samples at 48 kHz are 19 thirds of a millisecond: float32 rounds the last timestamp up, were it let."""
    framing = CentredFraming(480, 48000, 1 / 3)
    duration = Fraction(304, 48000)
    count = framing.count(304, duration)
    exact = (count - 1) * framing.hop_ms
    assert float(np.float32(exact)) > float(1000 * duration)
    times = framing.timestamps_ms(count, duration)
    assert float(times[-1]) <= float(1000 * duration)
    assert float(times[-1]) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    ("n", "window", "hop", "starts"),
    [
        (2000, 500, 2.0, 1),
        (2001, 500, 2.0, 2),
        (0, 500, 2.0, 1),
        (5000, 1000, 2.0, 3),
        (4000, 1000, 2.0, 2),
        (9, 5, 0.002, 3),
    ],
)
def test_a_window_behind_the_end_can_be_left_out(n: int, window: int, hop: float, starts: int) -> None:
    covering = CoveringFraming(window, 1000, hop, center=False)
    within = CoveringFraming(window, 1000, hop, center=False, within=True)
    count = within.count(n, Fraction(n, 1000))
    assert count == starts
    assert count <= covering.count(n, Fraction(n, 1000)) <= count + 1
    assert count == 1 or within.start(count - 1) < n


@pytest.mark.parametrize(("kind", "narrowed"), [("cpu", False), ("cuda", False), ("mps", True)])
def test_only_devices_without_float64_get_float32(kind: str, narrowed: bool) -> None:
    samples = Mock()
    moved = NetInput("a net", 1000, True, torch.device(kind)).on_device(samples)
    assert moved is (samples.float() if narrowed else samples).to.return_value


def test_rules_need_neither_torch_nor_numpy() -> None:
    code = "import sys, hear_edgel3.framing.rules; sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
