"""The resampler against resampy 0.2.2: a plain NumPy statement of it, and (where they are) its own outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hear_edgel3.audio.filter_bank import FilterBank, filter_bank
from hear_edgel3.audio.rates import check_rate, minimum_samples, resampled_length
from hear_edgel3.audio.resample import StreamResampler, resample, resample_blocks
from hear_edgel3.errors import InvalidAudio, InvalidOption
from support import resampy022, signals

# The 15 pairs of the reference, and odd ones: no common factor, extreme, and long periods.
PAIRS = [
    *[(rate, 8000) for rate in (11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000)],
    *[(rate, 48000) for rate in (8000, 11025, 16000, 22050, 32000, 44100, 96000)],
    *[(12000, 8000), (192000, 8000), (44101, 8000), (47999, 48000), (7999, 8000), (2000, 48000), (384000, 8000)],
]


# Both compute in float64. What differs is upstream's read position, a running sum that drifts by 1e-12 samples per
# output: 2e-7 after a second of upsampling.
@pytest.mark.parametrize(("sr_orig", "sr_new"), PAIRS)
def test_equals_resampy(sr_orig: int, sr_new: int) -> None:
    x = signals.clip(0.4, sr_orig, seed=sr_orig)
    expected = resampy022.resample(x, sr_orig, sr_new)
    found = resample(torch.from_numpy(x), sr_orig, sr_new).numpy()
    assert found.shape == expected.shape
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7)


@pytest.mark.parametrize(("sr_orig", "sr_new"), [(44100, 8000), (11025, 48000)])
def test_upstreams_late_outputs_are_followed(sr_orig: int, sr_new: int) -> None:
    """Where the running sum falls short of a whole input sample upstream takes another filter, and so do we."""
    assert filter_bank(sr_orig, sr_new).has_late_outputs
    x = np.full(3 * sr_orig, 0.5)  # a constant shows the filters' gain, which is what differs
    expected = resampy022.resample(x, sr_orig, sr_new)
    found = resample(torch.from_numpy(x), sr_orig, sr_new).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_reference_outputs_of_resampy_itself(shared: Path) -> None:
    with np.load(shared / "reference" / "l3" / "resampy022_refs.npz") as file:
        arrays = dict(file)
    pairs = [key.removeprefix("pcm__") for key in arrays if key.startswith("pcm__")]
    assert len(pairs) == 15
    for pair in pairs:
        sr_orig, sr_new = map(int, pair.split("_"))
        found = resample(torch.from_numpy(arrays[f"pcm__{pair}"] / 32768.0), sr_orig, sr_new)
        # The reference is rounded to float32: half a unit in its last place is 3e-8.
        np.testing.assert_allclose(found.numpy(), arrays[f"y__{pair}"], rtol=0, atol=5e-8, err_msg=pair)


@pytest.mark.parametrize(("sr_orig", "sr_new"), [(44100, 8000), (16000, 8000), (22050, 48000), (44101, 8000)])
@pytest.mark.parametrize("block", [1, 977, 50_000])
def test_a_stream_equals_the_whole(sr_orig: int, sr_new: int, block: int) -> None:
    seconds = 0.05 if block == 1 else 1.3
    x = torch.from_numpy(signals.clip(seconds, sr_orig))
    whole = resample(x, sr_orig, sr_new)
    stream = StreamResampler(sr_orig, sr_new)
    parts = [stream.push(piece) for piece in torch.split(x, block)]
    parts.append(stream.flush())
    found = torch.cat(parts)
    assert found.shape == whole.shape
    # the same float64 sums in other groupings
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-14)


# What is common on recorders and in data sets; one with a period of one output, one of three; late outputs; a long one.
COMPILED = [
    (48000, 32000), (44100, 32000), (16000, 32000), (96000, 32000), (32000, 48000), (11025, 48000), (44100, 8000),
    (48000, 8000), (12000, 8000), (47999, 48000),
]  # fmt: skip


@pytest.mark.parametrize(("sr_orig", "sr_new"), COMPILED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_compiled_kernel_has_the_float64_result(
    sr_orig: int, sr_new: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounded to float32, too: only sums that lie within 1e-16 of a half may be rounded otherwise."""
    pytest.importorskip("numba")
    x = torch.from_numpy(np.stack([signals.clip(0.7, sr_orig, seed=i) for i in range(2)])).float().to(dtype)
    bank = filter_bank(sr_orig, sr_new)
    assert (bank._compiled(x) is None) == (sr_orig == 47999)  # whose filters are too many to be kept
    for n in (x.shape[1], 3000, 700, 7):
        found = resample(x[:, :n], sr_orig, sr_new)
        with monkeypatch.context() as without_kernels:
            without_kernels.setattr(FilterBank, "_compiled", lambda *_: None)
            expected = resample(x[:, :n].double(), sr_orig, sr_new)
        assert found.dtype == dtype
        assert found.shape == expected.shape
        assert int((found.float() != expected.float()).sum()) <= 1
        if dtype == torch.float64:
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-15)
        else:
            torch.testing.assert_close(found, expected.float(), rtol=2e-7, atol=1e-12)


@pytest.mark.parametrize(("sr_orig", "sr_new"), COMPILED)
@pytest.mark.parametrize("block", [1, 977])
def test_a_float32_stream_has_the_bits_of_the_whole(sr_orig: int, sr_new: int, block: int) -> None:
    pytest.importorskip("numba")
    x = torch.from_numpy(signals.clip(0.01 if block == 1 else 0.5, sr_orig)).float()
    stream = StreamResampler(sr_orig, sr_new)
    parts = [*(stream.push(piece) for piece in torch.split(x, block)), stream.flush()]
    assert torch.equal(torch.cat(parts), resample(x, sr_orig, sr_new))


def test_gradients_pass_through_the_resampler_of_float32() -> None:
    x = torch.from_numpy(signals.clip(0.05, 48000)).float()
    plain = resample(x, 48000, 32000)
    wanted = resample(x.requires_grad_(), 48000, 32000)
    torch.testing.assert_close(wanted.detach(), plain, rtol=2e-7, atol=1e-12)
    (gradient,) = torch.autograd.grad(wanted.sum(), x)
    assert float(gradient.abs().max()) > 0.1


@pytest.mark.parametrize(
    ("sr_orig", "sr_new"), [(48000, 8000), (16000, 8000), (44100, 8000), (48000, 32000), (22050, 48000), (8000, 48000)]
)
def test_a_stream_waits_for_what_the_filters_read_and_no_more(sr_orig: int, sr_new: int) -> None:
    """The first sample that is not waited for has no weight; the last one has, where positions agree."""
    bank = filter_bank(sr_orig, sr_new)
    for n in (1, 2, 3, *range(500, 520)):
        needed = StreamResampler(sr_orig, sr_new).needed(n)
        impulses = torch.zeros(2, needed + 2, dtype=torch.float64)
        impulses[0, needed] = impulses[1, needed - 1] = 1.0
        beyond, last = bank.apply(impulses, 0, n - 1, n, None)[:, 0]
        assert beyond == 0
        if (n - 1) * sr_orig % sr_new == 0:
            assert last != 0
        stream = StreamResampler(sr_orig, sr_new)
        before = len(stream.push(torch.zeros(needed - 1)))
        assert before < n <= before + len(stream.push(torch.zeros(1)))


def test_a_stream_holds_only_what_the_filters_reach() -> None:
    stream = StreamResampler(48000, 8000)
    for _ in range(20):
        stream.push(torch.zeros(48000, dtype=torch.float64))
    assert 0 < len(stream._buffer.samples) < 48000
    assert len(stream._buffer._buffer) <= 4 * 48000


def test_a_stream_of_nothing_is_empty() -> None:
    assert len(torch.cat(list(resample_blocks(iter([]), 44100, 8000)))) == 0


def test_batches_equal_single_clips() -> None:
    x = torch.from_numpy(np.stack([signals.clip(0.3, 22050, seed=i) for i in range(3)])).reshape(3, 1, -1)
    y = resample(x, 22050, 8000)
    assert y.shape == (3, 1, resampled_length(x.shape[-1], 22050, 8000))
    for i in range(3):
        torch.testing.assert_close(y[i, 0], resample(x[i, 0], 22050, 8000), rtol=0, atol=1e-14)


def test_long_input_runs_in_several_blocks() -> None:
    """More than one matrix product per call; the seams must not show."""
    x = torch.from_numpy(signals.clip(90, 48000))
    y = resample(x, 48000, 8000)
    middle = 8000 * 45
    expected = resampy022.resample(x.numpy()[6 * (middle - 2000) : 6 * (middle + 2000)], 48000, 8000)
    np.testing.assert_allclose(y[middle - 1000 : middle + 1000], expected[1000:3000], rtol=0, atol=1e-12)


def test_positions_do_not_drift() -> None:
    """An impulse 100 s into the clip comes out where it should, however long the running sum has been."""
    x = torch.zeros(44100 * 101, dtype=torch.float64)
    x[44100 * 100] = 1.0
    y = resample(x, 44100, 8000)
    expected = resample(torch.cat([torch.zeros(44100), torch.ones(1), torch.zeros(44099)]).double(), 44100, 8000)
    # (output 800000 itself may be one that upstream reads late)
    difference = (y[800_000 - 500 : 800_000 + 500] - expected[7500:8500]).abs()
    assert difference[:499].max() < 1e-12
    assert difference[501:].max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_computed_in_float64(dtype: torch.dtype) -> None:
    x = torch.from_numpy(signals.clip(0.2, 44100)).to(dtype)
    y = resample(x, 44100, 8000)
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), resample(x.double(), 44100, 8000), rtol=0, atol=3e-8)


def test_gradients() -> None:
    x = torch.from_numpy(signals.clip(0.01, 44100)).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: resample(t, 44100, 8000), x, fast_mode=True)


def test_same_rate_is_untouched() -> None:
    x = torch.randn(10)
    assert resample(x, 8000, 8000) is x


def test_empty_batch() -> None:
    assert resample(torch.zeros(0, 4800), 48000, 8000).shape == (0, 800)


def test_banks_are_cached_per_pair_and_large_ones_are_not_kept() -> None:
    assert filter_bank(44100, 8000) is filter_bank(44100, 8000)
    bank = filter_bank(191_999, 48_000)
    x = torch.from_numpy(signals.clip(0.02, 191_999))
    found = resample(x, 191_999, 48_000)
    np.testing.assert_allclose(found, resampy022.resample(x.numpy(), 191_999, 48_000), rtol=0, atol=1e-7)
    assert not bank._matrices


@pytest.mark.parametrize(("sr_orig", "sr_new", "n"), [(48000, 8000, 6), (16000, 8000, 2), (44100, 8000, 6)])
def test_too_short(sr_orig: int, sr_new: int, n: int) -> None:
    assert minimum_samples(sr_orig, sr_new) == n
    assert resample(torch.ones(n), sr_orig, sr_new).shape == (1,)
    with pytest.raises(InvalidAudio, match=f"at least {n} are needed"):
        resample(torch.ones(n - 1), sr_orig, sr_new)


@pytest.mark.parametrize("rate", [0, -8000, 44100.5, "8000", None, True, float("nan"), float("inf"), 10_000_000, 999])
def test_rates_that_cannot_be(rate: object) -> None:
    with pytest.raises(InvalidOption, match=r"sr_orig must be .* got"):
        resample(torch.ones(100), rate, 8000)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [8000, 8000.0, np.int64(8000), np.float32(8000)])
def test_rates_that_can_be(rate: object) -> None:
    value = check_rate(rate)
    assert value == 8000
    assert type(value) is int


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu() -> None:
    x = torch.from_numpy(signals.clip(1.0, 44100))
    y = resample(x.cuda(), 44100, 8000)
    assert y.is_cuda
    torch.testing.assert_close(y.cpu(), resample(x, 44100, 8000), rtol=0, atol=1e-12)
