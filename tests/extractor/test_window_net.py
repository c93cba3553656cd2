"""Clips that run through nets block by block, and what becomes of a stream when a net fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3 import Tagger
from hear_edgel3.errors import InvalidAudio, StreamFinished
from hear_edgel3.extractor import window_net
from hear_edgel3.extractor.clip import embed_samples
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import file_framing
from hear_edgel3.extractor.window_net import WindowNet, embed_blocks
from hear_edgel3.framing.path import NetInput, WindowPath
from hear_edgel3.framing.rules import CoveringFraming, WindowRule
from hear_edgel3.registry.names import resolve
from support import signals


class FirstSamples:
    """A net whose embedding is the first sample of a window."""

    sample_rate = net_sample_rate = 1000

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.sizes: list[int] = []

    def window_path(
        self,
        rule: WindowRule,
        sample_rate: int,
        group: Callable[[int], int] | None = None,
        device: torch.device | None = None,
    ) -> WindowPath:
        net = NetInput("first samples", 1000, False, torch.device("cpu") if device is None else device)
        return WindowPath(rule, sample_rate, net, self.windows_at_once if group is None else group)

    def windows_at_once(self, window: int) -> int:
        return self.at_once

    def embed_windows(self, windows: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(windows))
        return windows[:, :1].clone()


def test_very_many_rows_stay_in_order() -> None:
    """More than three tables of them."""
    net: WindowNet = FirstSamples(512)
    samples = torch.arange(3.0 * window_net._ROWS_PER_TABLE + 7)
    path = net.window_path(CoveringFraming(1, 1000, 0.001, center=False), 1000)
    [found] = embed_blocks([net], samples.split(5000), path)
    assert (found.dtype, found.shape) == (np.float32, (len(samples), 1))
    np.testing.assert_array_equal(found[:, 0], samples.numpy())


def test_nets_together_get_groups_of_their_own_size() -> None:
    few, many = FirstSamples(2), FirstSamples(6)
    path = many.window_path(CoveringFraming(2, 1000, 0.001, center=False), 1000)
    one, other = embed_blocks([few, many], [torch.arange(9.0), torch.arange(9.0, 12.0)], path)
    np.testing.assert_array_equal(one, other)
    assert one[:, 0].tolist() == list(range(11))
    assert (few.sizes, many.sizes) == ([2, 2, 2, 2, 2, 1], [6, 5])


def test_hops_of_files_are_decimal() -> None:
    """0.07 s are 70 ms, and 0.7 s have 11 windows: not one less for a rounding error."""
    framing = file_framing(resolve("tiny"), 0.07)
    assert framing.hop_size * 1000 == 70.0
    result = embed_samples(np.zeros(33600), 48000, hear_edgel3.load(), hop_size=0.07)
    assert len(result.embedding) == 11


# --- a net that fails ---


class OutOfMemory(RuntimeError):
    """As devices raise it."""


class Failing:
    """Makes ``embed_windows`` of all extractors raise at certain calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *calls: int) -> None:
        self.calls = 0
        embed = Extractor.embed_windows

        def sometimes(extractor: Extractor, windows: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls in calls:
                raise OutOfMemory
            return embed(extractor, windows)

        monkeypatch.setattr(Extractor, "embed_windows", sometimes)


@pytest.fixture(scope="module")
def tiny() -> Extractor:
    return hear_edgel3.load()


def fed(stream: Any, blocks: list[np.ndarray]) -> tuple[list[Any], int]:
    """What a stream finds though its net fails, and how often it did; blocks' memory is used again at once."""
    found, failures = [], 0
    for block in blocks:
        memory = block.copy()
        try:
            found += stream.feed(memory)
        except OutOfMemory:
            failures += 1
        memory.fill(1e9)
    for _ in range(5):
        try:
            found += stream.finish()
            break
        except OutOfMemory:
            failures += 1
    return found, failures


@pytest.mark.parametrize("rate", [32000, 48000])
@pytest.mark.parametrize("block", [0.03, 0.4, 2.0])
@pytest.mark.parametrize("calls", [(1,), (2, 3), (6,)])
def test_no_timestamp_is_lost(
    calls: tuple[int, ...], block: float, rate: int, tiny: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Extractor, "windows_at_once", lambda self, window: 7)
    audio = signals.clip(2.0, rate)
    blocks = np.array_split(audio, round(2.0 / block))
    expected = [moment for part in (tiny.stream(blocks, sample_rate=rate),) for moment in part]
    Failing(monkeypatch, *calls)
    found, failures = fed(tiny.stream(sample_rate=rate), blocks)
    assert failures == len(calls)
    assert [moment.timestamp_ms for moment in found] == [50.0 * k for k in range(41)]
    assert all(torch.equal(a.embedding, b.embedding) for a, b in zip(found, expected, strict=True))


def test_the_block_in_which_the_net_failed_has_been_taken(tiny: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its results come with the next call, even of an empty block; those found before the failure too."""
    monkeypatch.setattr(Extractor, "windows_at_once", lambda self, window: 2)
    Failing(monkeypatch, 2)
    stream = tiny.stream(sample_rate=32000)
    with pytest.raises(OutOfMemory):
        stream.feed(np.zeros(32000))
    assert stream.fed == 32000
    with pytest.raises(InvalidAudio, match="sample 32000 is NaN"):
        stream.feed([np.nan])
    assert [timestamp for timestamp, _ in stream.feed([])] == [50.0 * k for k in range(19)]
    assert stream.feed([]) == []


def test_a_failed_end_can_be_tried_again(tiny: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = tiny.stream(sample_rate=32000)
    stream.feed(np.zeros(4000))
    Failing(monkeypatch, 1)
    with pytest.raises(OutOfMemory):
        stream.finish()
    with pytest.raises(StreamFinished):
        stream.feed(np.zeros(1))
    assert [timestamp for timestamp, _ in stream.finish()] == [50.0, 100.0]
    with pytest.raises(StreamFinished):
        stream.finish()


def test_a_block_longer_than_what_is_taken_at_once_is_not_lost(
    tiny: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor must its rest change with the caller's memory."""
    audio = signals.clip(10.0, 32000)
    expected = list(tiny.stream([audio], sample_rate=32000, hop_ms=500))
    Failing(monkeypatch, 1)
    found, failures = fed(tiny.stream(sample_rate=32000, hop_ms=500), [audio])
    assert (failures, len(found)) == (1, 21)
    assert all(torch.equal(a.embedding, b.embedding) for a, b in zip(found, expected, strict=True))


def test_no_tags_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = Tagger("tiny")
    blocks = np.array_split(signals.clip(2.0, 48000), 13)
    expected = list(tagger.stream(blocks, sample_rate=48000, window=0.2, hop=0.045))
    Failing(monkeypatch, 3, 5)
    found, failures = fed(tagger.stream(sample_rate=48000, window=0.2, hop=0.045), blocks)
    assert (failures, len(found)) == (2, 41)
    for one, other in zip(found, expected, strict=True):
        assert (one.start_ms, one.end_ms) == (other.start_ms, other.end_ms)
        np.testing.assert_array_equal(one.logits, other.logits)


def test_warming_up_runs_the_net(tiny: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    count = Failing(monkeypatch)
    stream = tiny.stream()
    assert count.calls == 0
    stream.warm_up()
    assert count.calls == 1
    tagging = Tagger("tiny").stream()
    tagging.warm_up()
    assert count.calls == 2
