"""Streams: fed in blocks, compared with the whole, and their latency measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.streaming import AudioStream, Moment
from support import signals

# Of the peak. A window alone and one in a batch differ by the order of float32 sums (5e-6, as in test_batches.py of the
# extractor), and the resampler's float64 sums in other groupings (1e-14) may round to the neighbouring float32.
TOLERANCE = 1e-5


def in_blocks(audio: np.ndarray, size: int) -> list[np.ndarray]:
    return [audio[i : i + size] for i in range(0, len(audio), size)]


def assert_moments_equal(found: list[Moment], expected: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Against the result of ``timestamp_embeddings`` for one clip."""
    embeddings, timestamps = expected
    assert [type(moment.timestamp_ms) for moment in found] == [float] * len(found)
    np.testing.assert_array_equal(np.array([m.timestamp_ms for m in found], np.float32), timestamps[0].numpy())
    rows = torch.stack([moment.embedding for moment in found])
    assert rows.dtype == torch.float32
    peak = float(embeddings.abs().max())
    torch.testing.assert_close(rows, embeddings[0], rtol=0, atol=TOLERANCE * peak)


class Watched:
    """An extractor whose net does nothing but show the middle of its windows."""

    def __init__(self, extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
        middle = extractor.window // 2
        monkeypatch.setattr(Extractor, "embed_windows", lambda self, windows: windows[:, middle : middle + 1])
        monkeypatch.setattr(Extractor, "windows_at_once", lambda self, window: 16)
        self.stream = extractor.stream


def assert_latency(stream: AudioStream[Any], n: int) -> None:
    """Feeds ``n`` samples one by one: everything comes exactly when it is said to."""
    rate, net_rate = stream.sample_rate, stream._net_rate
    arrived: list[tuple[int, float]] = []
    for sample in torch.from_numpy(signals.clip(n / rate, rate)).split(1):
        arrived += [(stream.fed, found.timestamp_ms) for found in stream.feed(sample)]
    assert len(arrived) >= 3
    assert [fed for fed, _ in arrived] == [stream.needed(k) for k in range(len(arrived))]
    waits = [1000 * fed / rate - timestamp for fed, timestamp in arrived]
    latency = stream.latency_ms
    assert max(waits) <= latency + 1e-9
    assert min(waits) >= latency - 1000 / rate - 1000 / net_rate - 1e-9
    assert stream.needed(len(arrived)) > stream.fed
