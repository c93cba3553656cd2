"""Streams against the same audio as a whole: the same embeddings, as early as can be, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidAudio, InvalidOption, StreamFinished
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.extractor.framings import timestamp_framing
from hear_edgel3.extractor.window_net import embed_blocks
from support import signals
from support.streams import TOLERANCE, Watched, assert_latency, assert_moments_equal, in_blocks

# Name, rate, hop in ms, seconds. Two are shorter than the window, and two too short to be reflected.
CLIPS = [
    ("sparse_95", 48000, 700.0, 1.2),
    ("sparse_95", 44100, 333.3, 0.4),
    ("sea_64", 16000, 50.0, 1.6),
    ("sea_64", 8000, 70.0, 1.3),
    ("sea_64", 44100, 99.9, 0.7),
    ("mn04_as", 48000, 50.0, 0.6),
    ("mn04_as", 32000, 25.0, 0.31),
    ("mn04_as", 22050, 33.3, 0.5),
    ("mn04_as", 48000, 12.5, 0.05),
    ("mn10_as_hop_15", 44100, 250.0, 0.6),
    ("tiny", 48000, 50.0, 0.5),
]


@pytest.mark.parametrize(("name", "rate", "hop", "seconds"), CLIPS)
def test_blocks_of_any_size_give_the_whole(name: str, rate: int, hop: float, seconds: float, load) -> None:
    # numba would first compile, for longer than all of this takes
    whole = load(name, sample_rate=rate, engine="torch")
    audio = signals.clip(seconds, rate, seed=3)
    expected = whole.timestamp_embeddings(audio[None], hop)
    for size in (7, 160, 1024, 4800, 10 * rate):
        assert_moments_equal(list(whole.stream(in_blocks(audio, size), hop_ms=hop)), expected)


@pytest.mark.parametrize("n", [1, 2, 3, 77, 2561, 5000])
@pytest.mark.parametrize(("name", "rate"), [("sea_64", 8000), ("sea_64", 44100), ("tiny", 48000), ("tiny", 32000)])
def test_single_samples_give_the_whole(n: int, name: str, rate: int, load) -> None:
    whole = load(name, sample_rate=rate)
    audio = signals.clip(0.2, rate)[:n]
    if n < whole.contract.minimum_samples:
        with pytest.raises(InvalidAudio, match=f"of {n} samples at {rate} Hz is too short; {name} needs at least"):
            list(whole.stream(audio[:, None]))
        return
    assert_moments_equal(list(whole.stream(audio[:, None])), whole.timestamp_embeddings(audio[None]))


def test_an_empty_stream_has_no_moments(tiny: Extractor) -> None:
    assert list(tiny.stream([])) == []
    assert list(tiny.stream([np.zeros(0), np.zeros((0, 2)), []])) == []


def test_any_rate_that_the_resampler_takes(load) -> None:
    """Far from what a model may be told that it is fed; the whole is converted first."""
    sea = load("sea_64", sample_rate=8000)
    for rate in (1000, 11025, 768_000):
        audio = signals.clip(0.6, rate)
        found = list(sea.stream(in_blocks(audio, rate // 10), sample_rate=rate, hop_ms=200))
        path = sea.window_path(timestamp_framing(sea.configuration, 200), rate)
        [expected] = embed_blocks([sea], [torch.from_numpy(audio)], path)
        rows = torch.stack([row for _, row in found]).numpy()
        assert len(rows) == 4
        np.testing.assert_allclose(rows, expected, rtol=0, atol=TOLERANCE * expected.max())


def test_blocks_of_any_kind(tiny: Extractor) -> None:
    """Of integers, tensors, lists and channels, all in one stream, and empty ones among them."""
    stereo = signals.clip(0.5, 48000, channels=2)
    audio = stereo.mean(axis=1)
    full_scale = np.round(stereo * 32768).astype(np.int16)
    blocks = [
        full_scale[:3000],
        np.zeros((0, 2), np.int16),
        torch.from_numpy(audio[3000:7000]).float(),
        audio[7000:7100].tolist(),
        torch.from_numpy(stereo[7100:15000]),
        np.asfortranarray(stereo[15000:15001]),
        (full_scale[15001:20000].astype(np.int32) * 65536).astype(">i4"),
        audio[20000:],
    ]
    assert_moments_equal(list(tiny.stream(blocks)), tiny.timestamp_embeddings(audio[None]))


def test_push_is_pull(tiny: Extractor) -> None:
    blocks = in_blocks(signals.clip(0.4, 48000), 960)
    stream = tiny.stream()
    pushed = [moment for block in blocks for moment in stream.feed(block)]
    assert stream.fed == 960 * len(blocks)
    assert [timestamp for timestamp, _ in pushed] == [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0]
    last = stream.finish()
    assert [timestamp for timestamp, _ in last] == [350.0, 400.0]
    for one, other in zip(pushed + last, tiny.stream(blocks), strict=True):
        assert one.timestamp_ms == other.timestamp_ms
        assert torch.equal(one.embedding, other.embedding)


def test_what_is_found_comes_before_the_next_block_is_asked_for(tiny: Extractor) -> None:
    asked = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal asked
        while True:
            asked += 1
            yield np.zeros(480)

    moments = tiny.stream(blocks())
    # 82 ms of latency, in blocks of 10 ms
    for k, needed in enumerate((9, 14, 19, 24)):
        assert next(moments).timestamp_ms == 50.0 * k
        assert asked == needed


@pytest.mark.parametrize(
    ("name", "rate", "hop", "expected"),
    [
        ("sparse_95", 48000, 10.0, 500.0),  # half a window, to the sample
        ("sparse_95", 48000, 10.01, 500.0104),  # the middle of a window is rounded up by half a sample
        ("sea_64", 16000, 5.0, 507.875),
        ("sea_64", 8000, 5.0, 500.0),
        ("sea_64", 44100, 7.7, 508.0324),
        ("tiny", 48000, 5.0, 82.0),
        ("tiny", 32000, 5.0, 80.03125),  # before the first timestamp the reflection takes in a sample more
        ("tiny", 44100, 9.1, 82.0024),
        ("tiny", 16000, 9.1, 84.0156),
    ],
)
def test_latency_is_true_and_tight(
    name: str, rate: int, hop: float, expected: float, load, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Watched(load(name), monkeypatch).stream(sample_rate=rate, hop_ms=hop)
    assert stream.latency_ms == pytest.approx(expected, abs=1e-4)
    assert_latency(stream, round(rate * (expected + 40) / 1000))


def test_a_window_could_not_have_come_earlier(tiny: Extractor) -> None:
    """The last sample waited for is in the window; so at the net's own rate, where no filter is between."""
    audio = torch.from_numpy(signals.clip(0.3, 32000)).float()
    for k in range(3):
        found = []
        for last in (0.0, 0.5):
            stream = tiny.stream(sample_rate=32000)
            n = stream.needed(k)
            changed = torch.cat([audio[: n - 1], torch.tensor([last])])
            found.append(stream.feed(changed)[k].embedding)
        assert not torch.equal(*found)


# --- for ever ---


def test_twenty_minutes_neither_drifts_nor_piles_up(load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hop that is no whole number of samples, and no binary fraction; every window has the samples that it should."""
    hop, period = 33.3, 8191
    stream = Watched(load("sea_64"), monkeypatch).stream(sample_rate=8000, hop_ms=hop)
    second = torch.arange(80_000 + period) % period / 32768.0
    count = largest = 0
    for start in range(0, 1200 * 8000, 80_000):
        for timestamp, middle in stream.feed(second[start % period :][:80_000]):
            assert timestamp == float(Fraction(hop) * count)
            assert round(float(middle) * 32768) == round(Fraction(hop) * 8 * count) % period
            count += 1
        largest = max(largest, len(stream._path._buffer._buffer))
    assert count == 1200 * 1000 // hop + 1 - 15  # but for those that reach beyond the end
    assert largest < 4 * 90_000


@pytest.mark.parametrize("rate", [48000, 44100])
def test_what_lies_between_windows_is_dropped(rate: int, tiny: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Watched(tiny, monkeypatch).stream(sample_rate=rate, hop_ms=60_000)
    largest = 0
    found = []
    for _ in range(200):
        found += stream.feed(np.ones(rate))
        held = [stream._path._buffer._buffer, stream._path._resampler._buffer._buffer]
        largest = max(largest, sum(len(buffer) for buffer in held))
    assert [timestamp for timestamp, _ in found] == [0.0, 60_000.0, 120_000.0, 180_000.0]
    assert largest < 4 * rate


def test_a_large_block_is_embedded_in_groups(tiny: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def embed(self: Extractor, windows: torch.Tensor) -> torch.Tensor:
        sizes.append(len(windows))
        return windows[:, :1]

    monkeypatch.setattr(Extractor, "embed_windows", embed)
    stream = tiny.stream(hop_ms=1)
    stream.feed(np.zeros(48000 * 5))
    assert max(sizes) <= tiny.windows_at_once(tiny.window)
    assert sum(sizes) == 5000 - 81


# --- states ---


def test_neither_mode_nor_gradients_matter(tiny: Extractor) -> None:
    audio = signals.clip(0.6, 48000)
    blocks = in_blocks(audio, 4800)
    with torch.inference_mode():
        stream = tiny.stream()
        found = stream.feed(blocks[0])
    tiny.train()
    try:
        found += [moment for block in blocks[1:3] for moment in stream.feed(block)]
        assert tiny.training
    finally:
        tiny.eval()
    with torch.inference_mode():
        found += stream.feed(torch.from_numpy(blocks[3]))
    rest = torch.from_numpy(np.concatenate(blocks[4:])).requires_grad_()
    found += stream.feed(rest) + stream.finish()
    assert_moments_equal(found, tiny.timestamp_embeddings(audio[None]))
    assert not found[-1].embedding.requires_grad


def test_a_refused_block_changes_nothing(tiny: Extractor) -> None:
    audio = signals.clip(0.3, 48000)
    stream = tiny.stream()
    found = stream.feed(audio[:5000])
    bad = audio[5000:9000].copy()
    bad[[100, 200]] = np.nan, np.inf
    with pytest.raises(InvalidAudio, match=r"audio: sample 5100 is NaN \(and 1 more\)"):
        stream.feed(bad)
    with pytest.raises(InvalidAudio, match="audio: sample 5001 of channel 1 is infinite"):
        stream.feed(np.array([[0, 0], [0, -np.inf]]))
    for block, message in [
        (0.5, "must have shape .* got 0 dimensions"),
        (np.zeros((2, 2, 2)), "must have shape .* got 3 dimensions"),
        (np.zeros((2, 480)), "looks like .channels, n_samples."),
        (np.zeros(9, np.complex64), "has type complex64"),
        (b"\0\0", "must be an array of samples"),
        (bytearray(960), "must be an array of samples"),
        (np.zeros((480, 0)), "audio of shape .480, 0. has no channels"),
        (None, "must be an array of samples"),
    ]:
        with pytest.raises(InvalidAudio, match=message):
            stream.feed(block)
    assert stream.fed == 5000
    found += stream.feed(audio[5000:]) + stream.finish()
    assert_moments_equal(found, tiny.timestamp_embeddings(audio[None]))


def test_after_the_end(tiny: Extractor) -> None:
    stream = tiny.stream()
    assert stream.finish() == []
    for again in (stream.finish, lambda: stream.feed(np.zeros(10)), lambda: list(stream.follow([[0.0]]))):
        with pytest.raises(StreamFinished, match="make a new one"):
            again()
    assert issubclass(StreamFinished, hear_edgel3.HearEdgeL3Error)


def test_options_are_checked_at_once(tiny: Extractor) -> None:
    for rate in (0, 999, 768_001, 44100.5, "48000", True):
        with pytest.raises(InvalidOption, match="sample_rate"):
            tiny.stream([], sample_rate=rate)  # type: ignore[arg-type]
    for hop in (0, -1, float("nan"), "50", 1e-3):
        with pytest.raises(InvalidOption, match="hop_ms"):
            tiny.stream([], hop_ms=hop)  # type: ignore[arg-type]


def test_defaults_are_the_extractors() -> None:
    extractor = hear_edgel3.load(sample_rate=22050, hop_ms=20)
    stream = extractor.stream()
    assert stream.sample_rate == 22050
    assert [timestamp for timestamp, _ in stream.feed(np.zeros(3000))] == [0.0, 20.0, 40.0]


def test_warming_up_leaves_no_trace(tiny: Extractor) -> None:
    audio = signals.clip(0.2, 48000)
    stream = tiny.stream()
    stream.warm_up()
    assert stream.fed == 0
    assert_moments_equal(stream.feed(audio) + stream.finish(), tiny.timestamp_embeddings(audio[None]))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_and_back() -> None:
    """The net may move while the stream goes on; blocks may come from there; embeddings stay on the CPU."""
    extractor = hear_edgel3.load()
    audio = signals.clip(1.0, 48000)
    expected = extractor.timestamp_embeddings(audio[None])
    stream = extractor.to("cuda").stream()
    stream.warm_up()
    found = stream.feed(audio[:20000]) + stream.feed(torch.from_numpy(audio[20000:30000]).cuda())
    extractor.to("cpu")
    found += stream.feed(audio[30000:]) + stream.finish()
    assert {row.device.type for _, row in found} == {"cpu"}
    rows = torch.stack([row for _, row in found])
    # sums in other orders, and convolutions in TF32 where a GPU has it
    torch.testing.assert_close(rows, expected[0][0], rtol=0, atol=2e-3 * float(expected[0].abs().max()))
