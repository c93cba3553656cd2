"""Whatever is given as samples becomes the right ones or a clear error, never a wrong number that looks right."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hear_edgel3.audio.samples import check_finite, hear_batch, mono, to_samples
from hear_edgel3.errors import InvalidAudio
from support import signals


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return signals.clip(1.5, 8000)


# --- types ---


SCALED = [
    (np.int8, [-128, 0, 127], [-1.0, 0.0, 127 / 128], torch.float32),
    (np.int16, [-32768, 0, 32767], [-1.0, 0.0, 32767 / 32768], torch.float32),
    (np.int32, [-(2**31), 0, 2**31 - 1], [-1.0, 0.0, (2**31 - 1) / 2**31], torch.float64),
    (np.uint8, [0, 128, 255], [-1.0, 0.0, 127 / 128], torch.float32),
]


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize(("dtype", "values", "expected", "result"), SCALED)
def test_integers_are_scaled_by_their_type(
    dtype: Any, values: list[int], expected: list[float], result: torch.dtype, as_tensor: bool
) -> None:
    array = np.array(values, dtype)
    found = to_samples(torch.from_numpy(array) if as_tensor else array)
    assert found.dtype == result
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        (np.float16, torch.float32),
        (np.float32, torch.float32),
        (np.float64, torch.float64),
        (np.longdouble, torch.float64),
        (">f4", torch.float32),
        (">f8", torch.float64),
        ("<f8", torch.float64),
    ],
)
def test_floats_keep_their_values(dtype: Any, result: torch.dtype) -> None:
    values = [0.5, -0.25, 2.0, 0.0]  # not clipped, not scaled
    found = to_samples(np.array(values, dtype))
    assert found.dtype == result
    assert found.tolist() == values


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_torch_floats_become_float32(dtype: torch.dtype) -> None:
    found = to_samples(torch.tensor([0.5, -0.25], dtype=dtype))
    assert found.dtype == torch.float32
    assert found.tolist() == [0.5, -0.25]


def test_float64_is_not_rounded() -> None:
    assert to_samples(np.array([1 / 3])).item() == 1 / 3


def test_big_endian_pcm() -> None:
    assert to_samples(np.array([16384, -32768], ">i2")).tolist() == [0.5, -1.0]


@pytest.mark.parametrize("values", [[1, -1, 0], (1, -1, 0), [1.0, -1.0, 0.0], [[1, -1, 0]], [[1.0], [-1.0]]])
def test_plain_numbers_are_sample_values(values: Any) -> None:
    found = to_samples(values)
    assert found.dtype == torch.float64
    assert found.tolist() == np.asarray(values, float).tolist()


def test_a_list_of_pcm_arrays_means_the_stacked_array() -> None:
    rows = [np.array([16384, -32768], np.int16), np.array([0, 8192], np.int16)]
    assert to_samples(rows).tolist() == [[0.5, -1.0], [0.0, 0.25]]


def test_each_array_of_a_list_has_its_own_type_and_gradients() -> None:
    """As where they differ in length: 16-bit PCM beside floats is not taken for floats, thousands of times too loud."""
    floats = torch.tensor([0.25, -0.125], dtype=torch.float64, requires_grad=True)
    for rows in ([np.array([16384, -32768], np.int16), floats], (torch.tensor([64, -128], dtype=torch.int8), floats)):
        assert (found := to_samples(rows)).tolist() == [[0.5, -1.0], [0.25, -0.125]]
        assert not found.requires_grad


def test_what_is_no_audio_is_not_shown_in_full() -> None:
    for given in (b"\1\0" * 100_000, bytearray(200_000), "x" * 200_000):
        with pytest.raises(InvalidAudio) as error:
            to_samples(given)
        assert len(str(error.value)) < 400


REFUSED_TYPES: dict[str, tuple[Any, str]] = {
    "int64": (np.zeros(8000, np.int64), "audio has type int64.*floats in"),
    "uint16": (np.zeros(8000, np.uint16), "audio has type uint16.*floats in"),
    "uint32": (np.zeros(8000, np.uint32), "audio has type uint32.*floats in"),
    "uint64": (np.zeros(8000, np.uint64), "audio has type uint64.*floats in"),
    "bool": (np.ones(8000, bool), "audio has type bool.*floats in"),
    "complex": (np.ones(8000, complex), "audio has type complex128.*floats in"),
    "object": (np.array([0.1, None], object), "audio has type object.*floats in"),
    "object of floats": (np.full(8000, 0.1, object), "audio has type object.*floats in"),
    "strings": (np.array(["a", "b"]), "audio has type <U1.*floats in"),
    "dates": (np.zeros(8, "M8[s]"), "audio has type datetime64.*floats in"),
    "torch int64": (torch.zeros(8000, dtype=torch.int64), "audio has type int64.*floats in"),
    "torch uint16": (torch.zeros(8000, dtype=torch.uint16), "audio has type uint16.*floats in"),
    "torch bool": (torch.zeros(8000, dtype=torch.bool), "audio has type bool.*floats in"),
    "torch complex": (torch.zeros(8000, dtype=torch.complex64), "audio has type complex64.*floats in"),
    "torch sparse": (torch.zeros(8000).to_sparse(), "audio is a sparse tensor; give a dense one"),
    "torch meta": (torch.zeros(8000, device="meta"), "audio is a meta tensor"),
    "None": (None, "audio must be an array of samples, got None"),
    "path as text": ("clip.wav", "audio must be an array of samples, got 'clip.wav'"),
    "path": (Path("clip.wav"), r"audio must be an array of samples, got \w*Path\('clip.wav'\)"),
    "bytes": (b"RIFF", "audio must be an array of samples, got b'RIFF': bytes do not say of what type samples are"),
    "bytes that can be changed": (bytearray(b"\1\0"), r'got b.*: bytes do not say.*np\.frombuffer\(data, "<i2"\)'),
    "a view of bytes": (memoryview(b"\1\0"), "got b.*: bytes do not say"),
    "list of bytes": ([bytearray(b"\1\0")], "got b.*: bytes do not say"),
    "list of int64 arrays": ([np.zeros(8000, np.int64)], "audio has type int64.*floats in"),
    "list of meta tensors": ([torch.zeros(8), torch.zeros(8, device="meta")], "audio is a meta tensor"),
    "list of other shapes": (
        [np.zeros((2, 8)), np.zeros((2, 9))],
        r"not a regular array.*\(2, 8\) on cpu, \(2, 9\) on",
    ),
    "ragged list": ([[0.1, 0.2], [0.3]], "audio is (not a regular array of numbers|2 clips of different lengths)"),
    "list of strings": (["0.1", "0.2"], "audio has type <U3"),
    "list of bools": ([True, False], "audio has type bool"),
    "list with None": ([0.1, None], "audio has type object"),
    "list of huge numbers": ([10**400], "audio has type object"),
    "list of tensors with gradients": ([torch.tensor(0.1, requires_grad=True)], "audio is not a regular array"),
    "generator": ((x for x in (0.1, 0.2)), "audio has type object"),
    "dictionary": ({"array": [0.1]}, "audio has type object"),
    "masked": (np.ma.masked_array([0.1, 9e9], mask=[False, True]), "audio is a masked array.*fill"),
}


@pytest.mark.parametrize("check", [to_samples, hear_batch, mono])
@pytest.mark.parametrize("case", REFUSED_TYPES)
def test_what_is_no_audio_is_refused(case: str, check: Callable[[Any], torch.Tensor]) -> None:
    given, message = REFUSED_TYPES[case]
    with pytest.raises(InvalidAudio, match=message):
        check(given)


def test_the_error_is_a_value_error_and_uses_the_given_name() -> None:
    with pytest.raises(ValueError, match=r"^left channel has type bool"):
        to_samples(np.ones(3, bool), "left channel")


def test_a_masked_array_without_masked_samples_is_an_array() -> None:
    assert to_samples(np.ma.masked_array([0.5, 0.25], mask=False)).tolist() == [0.5, 0.25]


# --- memory ---


def _other(x: np.ndarray) -> np.ndarray:
    """Another channel of the same type, which does not cancel the first."""
    return (-x / 2).astype(x.dtype)


VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "every second sample": lambda x: x[::2],
    "reversed": lambda x: x[::-1],
    "reversed every third": lambda x: x[::-3],
    "column": lambda x: np.stack([x, -x], axis=1)[:, 0],
    "transposed": lambda x: np.stack([x, _other(x)]).T,
    "Fortran order": lambda x: np.asfortranarray(np.stack([x, _other(x)], axis=1)),
    "columns swapped": lambda x: np.stack([x, -x, np.roll(x, 5)], axis=1)[:, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:, None], (len(x), 3)),
    "field of a record": lambda x: np.rec.fromarrays([x, x], names="l,r").l,
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, ">f8"])
@pytest.mark.parametrize("view", VIEWS)
def test_views_equal_their_contiguous_copy(view: str, dtype: Any, noise: np.ndarray) -> None:
    base = (noise * 32768).astype(dtype) if np.dtype(dtype).kind == "i" else noise.astype(dtype)
    given = VIEWS[view](base)
    expected = np.array(given, order="C", copy=True)
    scale = 32768 if np.dtype(dtype).kind == "i" else 1
    found = to_samples(given)
    assert np.abs(found.numpy()).max() > 0.05
    np.testing.assert_array_equal(found.numpy(), expected.astype(np.float64) / scale)
    assert torch.equal(mono(given), mono(expected))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[::-1][:1],
        lambda x: x[::-1][:0],
        lambda x: np.stack([x, x / 2], axis=1)[::-1][:1],
        lambda x: np.stack([x, x / 2], axis=1)[:, ::-1][:, :1],
        lambda x: np.rec.fromarrays([x.astype(np.int8), x.astype(np.float32)], names="l,r").r[:1],
    ],
)
def test_views_of_a_single_place_along_an_axis(view: Callable[[np.ndarray], np.ndarray], noise: np.ndarray) -> None:
    """However far the next place would be, and in which direction: NumPy takes them for contiguous."""
    given = view(noise)
    expected = np.array(given.tolist(), given.dtype).reshape(given.shape)
    np.testing.assert_array_equal(to_samples(given).numpy(), expected)


def test_views_of_tensors(noise: np.ndarray) -> None:
    both = torch.from_numpy(np.stack([noise, -noise / 2]))
    assert torch.equal(mono(both.T), both.T.contiguous().mean(dim=1))
    assert torch.equal(to_samples(both[:, ::3]), both[:, ::3].contiguous())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_read_only_arrays_are_taken_without_a_warning(dtype: Any) -> None:
    given = np.ones((100, 2), dtype)
    given.flags.writeable = False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mono(given)
        hear_batch(given)
    assert caught == []


def test_the_callers_array_is_left_alone(noise: np.ndarray) -> None:
    for given in (noise.copy(), noise.astype(np.float32), (noise * 100).astype(np.int8)):
        before = given.copy()
        hear_batch(given[None])
        mono(given)
        np.testing.assert_array_equal(given, before)


def test_tensors_that_require_gradients(noise: np.ndarray) -> None:
    given = torch.from_numpy(noise).requires_grad_()
    found = hear_batch(given[None])
    assert not found.requires_grad
    assert torch.equal(found[0], given.detach())
    assert given.grad is None


def test_memory_maps(tmp_path: Path, noise: np.ndarray) -> None:
    np.save(tmp_path / "clip.npy", noise)
    assert torch.equal(mono(np.load(tmp_path / "clip.npy", mmap_mode="r")), torch.from_numpy(noise))


# --- values that are not finite ---


BAD_VALUES = [
    (np.nan, np.float32, "NaN"),
    (np.nan, np.float64, "NaN"),
    (np.inf, np.float32, "infinite"),
    (-np.inf, np.float64, "infinite"),
    (np.inf, np.float16, "infinite"),
    (np.nan, np.longdouble, "NaN"),
    (1e39, np.float64, r"1e\+39, too large for float32"),
    (-1e300, np.float64, r"-1e\+300, too large for float32"),
    (np.longdouble("1e400"), np.longdouble, "infinite"),
]


@pytest.mark.parametrize(("value", "dtype", "words"), BAD_VALUES)
def test_the_position_of_a_bad_sample_is_named(value: Any, dtype: Any, words: str) -> None:
    clip = np.zeros(8000, dtype)
    clip[4321] = value
    with pytest.raises(InvalidAudio, match=f"^audio: sample 4321 is {words}; remove or replace"):
        mono(clip)
    with pytest.raises(InvalidAudio, match=f"^audio: sample 4321 is {words}; remove or replace"):
        hear_batch(clip[None])


def test_the_first_of_many_is_named_and_the_others_counted() -> None:
    clip = np.zeros(100)
    clip[[17, 30, 99]] = [np.inf, np.nan, np.nan]
    with pytest.raises(InvalidAudio, match=r"sample 17 is infinite \(and 2 more\)"):
        mono(clip)


def test_the_row_of_a_batch_is_named() -> None:
    batch = np.zeros((3, 16000))
    batch[2, 15999] = np.nan
    with pytest.raises(InvalidAudio, match="sample 15999 of clip 2 is NaN"):
        hear_batch(batch)


def test_the_channel_of_a_stereo_clip_is_named() -> None:
    clip = np.zeros((16000, 2))
    clip[12345, 1] = np.nan
    with pytest.raises(InvalidAudio, match="sample 12345 of channel 1 is NaN"):
        mono(clip)


def test_opposite_infinities_do_not_cancel() -> None:
    clip = np.zeros((100, 2))
    clip[50] = [np.inf, -np.inf]
    with pytest.raises(InvalidAudio, match="sample 50 of channel 0 is infinite"):
        mono(clip)


@pytest.mark.parametrize("place", [0, 4_194_303, 4_194_304, 5_000_000 - 1])
def test_bad_samples_of_long_clips(place: int) -> None:
    clip = np.zeros(5_000_000, np.float32)
    clip[place] = np.nan
    with pytest.raises(InvalidAudio, match=f"sample {place} is NaN"):
        mono(clip)
    with pytest.raises(InvalidAudio, match=f"sample {place} of channel 0 is NaN"):
        mono(np.stack([clip, np.zeros_like(clip)], axis=1))


def test_bad_samples_of_long_batches() -> None:
    batch = np.zeros((2, 3_000_000), np.float32)
    batch[1, 2_500_000] = np.inf
    with pytest.raises(InvalidAudio, match="sample 2500000 of clip 1 is infinite"):
        hear_batch(batch)


@pytest.mark.parametrize("channels", [1, 2])
def test_long_clips_with_channels_are_fine(channels: int) -> None:
    clip = np.full((5_000_000, channels), 0.25, np.float32)
    found = mono(clip)
    assert found.shape == (5_000_000,)
    assert bool((found == 0.25).all())
    with pytest.warns(UserWarning, match="looks like"):
        hear_batch(clip)


def test_the_largest_float32_is_fine() -> None:
    largest = float(np.finfo(np.float32).max)
    assert to_samples(np.array([largest, -largest])).tolist() == [largest, -largest]


def test_positions_count_from_the_whole() -> None:
    with pytest.raises(InvalidAudio, match=r"x: sample 1002 of channel 1 is NaN"):
        check_finite(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, float("nan")]]), "x", 1000, "channel")


# --- shapes ---


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), r"must have shape \(n_sounds, n_samples\), got \(\)"),
        ((8000,), r"must have shape \(n_sounds, n_samples\), got \(8000,\); for one clip use audio\[None\]"),
        ((1, 1, 8000), r"must have shape \(n_sounds, n_samples\), got \(1, 1, 8000\)"),
        ((1, 0), r"of shape \(1, 0\) has no samples"),
        ((0, 0), r"of shape \(0, 0\) has no samples"),
    ],
)
def test_shapes_that_hear_refuses(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InvalidAudio, match=message):
        hear_batch(np.zeros(shape))


@pytest.mark.parametrize("shape", [(8000, 2), (8000, 1), (3200, 32), (100, 1)])
def test_shapes_that_look_transposed_and_may_not_be(shape: tuple[int, int]) -> None:
    """Sounds may be short, and there may be many."""
    words = rf"\({shape[0]}, {shape[1]}\) looks like \(n_samples, channels\).*use audio.T"
    with pytest.warns(UserWarning, match=words):
        assert hear_batch(np.zeros(shape)).shape == shape


@pytest.mark.parametrize("shape", [(1, 1), (1, 8000), (999, 16), (2, 8000), (1000, 17), (0, 8000)])
def test_shapes_that_hear_takes(shape: tuple[int, ...]) -> None:
    assert hear_batch(np.zeros(shape)).shape == shape


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), r"must have shape \(n_samples,\) or \(n_samples, channels\), got 0 dimensions"),
        ((2, 2, 2), r"must have shape \(n_samples,\) or \(n_samples, channels\), got 3 dimensions \(2, 2, 2\)"),
        ((0, 2, 2), "got 3 dimensions"),
        ((0,), r"of shape \(0,\) is empty"),
        ((0, 2), r"of shape \(0, 2\) is empty"),
        ((8000, 0), r"of shape \(8000, 0\) is empty"),
        ((2, 8000), r"\(2, 8000\) looks like \(channels, n_samples\).*use audio.T"),
        ((1, 8000), r"\(1, 8000\) looks like \(channels, n_samples\).*use audio.T"),
    ],
)
def test_shapes_that_edgel3_refuses(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InvalidAudio, match=message):
        mono(np.zeros(shape))


def test_channels_are_averaged(noise: np.ndarray) -> None:
    other = np.roll(noise, 100)
    found = mono(np.stack([noise, other, -noise], axis=1))
    np.testing.assert_allclose(found.numpy(), other / 3, rtol=0, atol=1e-16)
    assert torch.equal(mono(noise[:, None]), torch.from_numpy(noise))


def test_pcm_channels_are_averaged_without_overflow() -> None:
    assert mono(np.array([[32767, 32767], [-32768, -32768]], np.int16)).tolist() == [32767 / 32768, -1.0]
