"""Weights without their zeros: bit by bit what was there, as small as the page on the format says, and nothing else."""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_bytes

import hear_edgel3.weights.sparse
from hear_edgel3.errors import WeightsCorrupt
from hear_edgel3.weights.file import decode, encode, encode_quantized, encode_sparse
from hear_edgel3.weights.header import SPARSE, SPARSE_INT8
from hear_edgel3.weights.quantized import dequantize_state, quantize_state
from hear_edgel3.weights.sparse import GAPS, SHAPE, compress_state, expand_state
from support import synthetic
from support.l3_files import assert_is_seeded
from support.mobilenetv3_files import state as mobilenetv3_state

ORIGIN = {"configuration": "sparse_95"}


@lru_cache
def full_mantissa() -> dict[str, torch.Tensor]:
    """The seeded sparse_95 with values that use all bits, as trained ones do, and are as large: none is small."""
    rs = np.random.RandomState(0)
    return {
        name: value * torch.from_numpy((0.95 + 0.1 * rs.rand(*value.shape)).astype(np.float32))
        if value.ndim == 4
        else value
        for name, value in synthetic.state("sparse_95").items()
    }


def assert_same_bits(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert found[name].shape == value.shape, name
        assert bytes(found[name].reshape(-1).view(torch.uint8).numpy()) == value.numpy().tobytes(), name


# --- exactness ---


def test_the_seeded_net_bit_by_bit() -> None:
    state = synthetic.state("sparse_95")
    data = encode_sparse(state, ORIGIN)
    assert data == encode_sparse(state, ORIGIN)
    file = decode(data, "x")
    assert_is_seeded(file.tensors, "sparse_95")
    assert file.quantization is not None
    assert file.quantization.scheme == SPARSE
    assert not file.quantization.int8
    assert file.quantization.source_sha256 == decode(encode(state, ORIGIN), "x").sha256


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_all_bits_count(dtype: torch.dtype) -> None:
    """Negative zeros, subnormal numbers, NaNs of any payload and infinities are values like others."""
    bits = np.zeros(64 * 64, np.uint32 if dtype == torch.float32 else np.uint16)
    largest = np.iinfo(bits.dtype).max
    odd = [1, largest, largest // 2 + 1, largest // 2, 0x7C01, 2, 0xFC00, 1 << 8]
    bits[[0, 3, 256, 257, 1000, 2000, 4000, 4095]] = odd
    value = torch.from_numpy(bits.view(np.uint8)).view(dtype).reshape(64, 64)
    stored = compress_state({"w": value})
    assert stored["w"].shape == (bits.itemsize, 8)
    found = expand_state(stored)["w"]
    assert found.dtype == dtype
    assert np.array_equal(found.view(torch.uint8).numpy().reshape(-1).view(bits.dtype), bits)


@pytest.mark.parametrize("zeros", [253, 254, 255, 256, 509, 510, 511, 2000])
@pytest.mark.parametrize("behind", [0, 1, 254, 255, 256, 510])
def test_gaps_of_every_length(zeros: int, behind: int) -> None:
    """A value, some zeros, another value, and zeros to the end."""
    size = 2 + zeros + behind
    rows = -(-2048 // size)
    line = torch.zeros(size)
    line[0], line[zeros + 1] = 1.5, -2.5
    value = line.repeat(rows, 1)
    assert_same_bits(expand_state(compress_state({"w": value})), {"w": value})
    assert {"w.gaps", "w.shape"} < compress_state({"w": value}).keys()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("size", [4095, 4096, 4099])
def test_zeros_that_a_mask_has_left(dtype: torch.dtype, size: int) -> None:
    """Half of them are negative, and cost a bit each."""
    generator = torch.Generator().manual_seed(size)
    value = torch.randn(3, size, generator=generator) * (torch.rand(3, size, generator=generator) > 0.95)
    value = value.to(dtype)
    stored = compress_state({"w": value})
    assert stored["w"].shape[1] == int(value.count_nonzero())
    assert stored["w.signs"].shape == (-(-int((value == 0).sum()) // 8),)
    assert_same_bits(expand_state(stored), {"w": value})
    several = {"a.weight": value, "b.weight": torch.zeros(64, 64), "bias": torch.zeros(3)}
    assert_same_bits(decode(encode_sparse(several, ORIGIN), "x").tensors, several)


def test_int8_has_no_negative_zeros() -> None:
    value = torch.zeros(64, 64, dtype=torch.int8)
    value[::2, :20] = -128
    stored = compress_state({"w": value})
    assert "w.signs" not in stored
    assert_same_bits(expand_state(stored), {"w": value})
    with pytest.raises(WeightsCorrupt, match="and of floating point"):
        expand_state({**stored, "w.signs": torch.zeros((4096 - 640) // 8, dtype=torch.uint8)})


def test_a_tensor_of_zeros() -> None:
    value = torch.zeros(64, 64)
    stored = compress_state({"w": value})
    assert stored["w"].shape == (4, 0)
    assert stored["w.gaps"].tolist() == [255] * 16
    assert_same_bits(expand_state(stored), {"w": value})


@pytest.mark.parametrize("part", [0.0, 0.1, 0.2, 0.3, 0.5, 0.9, 0.99, 1.0])
def test_only_what_gets_smaller(part: float) -> None:
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(64, 64, 3, 3, generator=generator)
    value[torch.rand(64, 64, 3, 3, generator=generator) < part] = 0
    stored = compress_state({"w": value})
    assert_same_bits(expand_state(stored), {"w": value})
    assert ("w.gaps" in stored) == (part >= 0.3)
    assert sum(each.numel() * each.element_size() for each in stored.values()) <= value.numel() * 4


def test_what_stays_as_it_is() -> None:
    state = {
        "few": torch.zeros(2, 1000),
        "bias": torch.zeros(5000),
        "double": torch.zeros(64, 64, dtype=torch.float64),
        "brain": torch.zeros(64, 64, dtype=torch.bfloat16),
        "counter": torch.zeros(64, 64, dtype=torch.int64),
    }
    assert compress_state(state).keys() == state.keys()
    # Tensors that are called as the parts of others are.
    for odd in ("w.gaps", "w.shape", "w.signs", "v.gaps"):
        state = {"w": torch.zeros(64, 64), odd: torch.zeros(3)}
        assert_same_bits(decode(encode_sparse(state, {}), "x").tensors, state)


@pytest.mark.parametrize("name", ["sea_64", "mn01_as"])
def test_files_of_other_nets_are_what_they_were(name: str) -> None:
    """So that checksums of theirs stay what they are."""
    state = synthetic.state(name) if name == "sea_64" else mobilenetv3_state(name)
    assert encode_sparse(state, {"configuration": name}) == encode(state, {"configuration": name})
    dense = encode_quantized(state, {"configuration": name}, dense=True)
    assert encode_quantized(state, {"configuration": name}) == dense


def test_strided_tensors_and_other_devices() -> None:
    value = torch.zeros(64, 128)
    value[3, 5], value[40, 100] = 1, -0.0
    assert_same_bits(expand_state(compress_state({"w": value.t()})), {"w": value.t().contiguous()})
    with torch.device("meta"):
        assert_same_bits(expand_state(compress_state({"w": value.requires_grad_()})), {"w": value.detach()})


# --- sizes ---


@pytest.mark.parametrize("values", ["on a grid", "of full mantissa"])
def test_sizes(values: str) -> None:
    """As wheels and zip archives pack files: deflate."""
    state = synthetic.state("sparse_95") if values == "on a grid" else full_mantissa()
    data, small = encode_sparse(state, ORIGIN), encode_quantized(state, ORIGIN)
    assert len(encode(state, ORIGIN)) > 18.7e6
    assert len(data) <= 1.2e6
    assert len(zlib.compress(data)) <= 0.85e6
    assert len(small) <= 0.47e6
    assert len(zlib.compress(small)) <= 0.4e6


# --- int8 ---


def test_int8_without_zeros() -> None:
    state = synthetic.state("sparse_95")
    small = decode(encode_quantized(state, ORIGIN), "x")
    dense = decode(encode_quantized(state, ORIGIN, dense=True), "x")
    assert small.quantization is not None
    assert dense.quantization is not None
    assert (small.quantization.scheme, dense.quantization.scheme) == (SPARSE_INT8, "int8")
    assert small.quantization.int8
    assert small.quantization.source_sha256 == dense.quantization.source_sha256
    assert_same_bits(small.tensors, dense.tensors)
    assert_same_bits(small.tensors, dequantize_state(quantize_state(state)))
    for name, value in state.items():
        assert ((value == 0) <= (small.tensors[name] == 0)).all(), name


# --- what cannot be ---


def stored() -> dict[str, torch.Tensor]:
    value = torch.zeros(64, 64)
    value[0, 0], value[10, 10], value[63, 63] = 1, 2, 3
    return compress_state({"w": value, "b": torch.ones(3)})


def changed(value: torch.Tensor, place: int, number: int) -> torch.Tensor:
    value = value.clone()
    value[place] = number
    return value


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("w.shape", None, r"w has gaps, and its shape, w\.shape, is missing"),
        ("w.shape", torch.tensor([64, 64]), r"w\.shape is int64 of shape \(2,\); a shape is int32 of one axis"),
        ("w.shape", torch.ones(9, dtype=torch.int32), "1 to 8 values"),
        ("w.shape", torch.ones(0, dtype=torch.int32), "1 to 8 values"),
        ("w.shape", torch.tensor([[64, 64]], dtype=torch.int32), "of one axis"),
        (
            "w.shape",
            torch.tensor([-64, -64], dtype=torch.int32),
            r"\(-64, -64\); every number of a shape is at least 1",
        ),
        ("w.shape", torch.tensor([0, 64], dtype=torch.int32), "at least 1"),
        ("w.shape", torch.tensor([64, 63], dtype=torch.int32), r"w\.gaps leads beyond the end of w: to 4096 of 4032"),
        ("w.shape", torch.tensor([64, 128], dtype=torch.int32), r"leads not to the end of w: to 4096 of 8192 values"),
        ("w.shape", torch.tensor([2**31 - 1] * 8, dtype=torch.int32), "more than 1024 MB, and no checkpoint has"),
        ("w.shape", torch.tensor([1 << 14, (1 << 14) + 1], dtype=torch.int32), "more than 1024 MB"),
        ("w.gaps", torch.zeros(17, dtype=torch.int8), r"w\.gaps is int8 of shape \(17,\); gaps are uint8 of one axis"),
        ("w.gaps", torch.zeros(1, 17, dtype=torch.uint8), "gaps are uint8 of one axis"),
        ("w.gaps", torch.zeros(17, dtype=torch.uint8), r"w has 3 values, and w\.gaps is for 17"),
        ("w.gaps", torch.zeros(0, dtype=torch.uint8), r"w has 3 values, and w\.gaps is for 0"),
        ("w.gaps", torch.zeros(3, dtype=torch.uint8), r"leads not to the end of w: to 3 of 4096 values"),
        ("w.gaps", torch.full((100,), 255, dtype=torch.uint8), r"w has 3 values, and w\.gaps is for 0"),
        ("w", torch.zeros(4, 2, dtype=torch.uint8), r"w has 2 values, and w\.gaps is for 3"),
        (
            "w",
            torch.zeros(3, 3, dtype=torch.uint8),
            r"w has gaps, and is uint8 of shape \(3, 3\); its values are uint8",
        ),
        ("w", torch.zeros(4, 3), "its values are uint8 of shape"),
        ("w", torch.zeros(12, dtype=torch.uint8), "its values are uint8 of shape"),
        ("w.signs", torch.zeros(511, dtype=torch.uint8), r"signs are uint8 of one axis, a bit for each of 4093 zeros"),
        ("w.signs", torch.zeros(1, 512, dtype=torch.uint8), "signs are uint8 of one axis"),
        ("w.signs", torch.zeros(512), r"w\.signs is float32 of shape \(512,\); signs are uint8"),
    ],
)
def test_parts_that_cannot_be(part: str, change: torch.Tensor | None, words: str) -> None:
    parts = stored()
    if change is None:
        del parts[part]
    else:
        parts[part] = change
    with pytest.raises(WeightsCorrupt, match=words) as raised:
        expand_state(parts, "file.safetensors")
    assert str(raised.value).startswith("file.safetensors")


@pytest.mark.parametrize(("place", "number", "words"), [(-1, 254, "beyond the end"), (0, 254, "beyond the end")])
def test_a_gap_that_is_too_long(place: int, number: int, words: str) -> None:
    parts = stored()
    with pytest.raises(WeightsCorrupt, match=words):
        expand_state({**parts, "w.gaps": changed(parts["w.gaps"], place, number)})


def test_all_sizes_are_known_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tensors may be too large together; and the last one may be the one that cannot be."""
    made: list[str] = []
    monkeypatch.setattr(hear_edgel3.weights.sparse, "_expanded", lambda *_: made.append("something"))
    one = torch.tensor([1 << 12, 1 << 14], dtype=torch.int32)
    many = {f"{i}{key[1:]}": value for i in range(5) for key, value in stored().items() if key.startswith("w")}
    with pytest.raises(WeightsCorrupt, match="describes tensors of 335544320 values, which is more than 1024 MB"):
        expand_state({**many, **{f"{i}.shape": one for i in range(5)}})
    with pytest.raises(WeightsCorrupt, match=r"4\.gaps leads not to the end"):
        expand_state({**many, "4.shape": torch.tensor([64, 80], dtype=torch.int32), "4.x": torch.ones(1)})
    assert made == []


def test_parts_of_nothing_are_unknown_tensors() -> None:
    parts = {"b.gaps": torch.zeros(3), "c.shape": torch.zeros(3), "w": torch.ones(2)}
    assert expand_state(parts).keys() == parts.keys()


def test_damage_that_leaves_a_sound_file() -> None:
    """Also of gaps and shapes the digest inside the file knows."""
    state = {"w": stored()["w"], **stored()}
    data = encode_sparse(expand_state(state), ORIGIN)
    for name in ("w", "w" + GAPS, "w" + SHAPE):
        value = load_bytes(data)[name]
        needle = value.numpy().tobytes()
        place = data.rindex(needle)
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises(WeightsCorrupt, match="its values are not the ones that were written"):
            decode(bytes(damaged), "x")
