"""Weights in eight bits and back: what is lost, what is not, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_bytes
from safetensors.torch import save

import hear_edgel3
from hear_edgel3.errors import HearEdgeL3Error, WeightsCorrupt, WeightsMismatch
from hear_edgel3.weights.file import decode, encode, encode_quantized
from hear_edgel3.weights.quantized import dequantize_state, quantize_state
from support import synthetic
from support.mobilenetv3_files import state as mobilenetv3_state

State = dict[str, torch.Tensor]


def random(*shape: int, seed: int = 0, size: float = 1.0) -> torch.Tensor:
    return size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def back(weight: torch.Tensor) -> torch.Tensor:
    return dequantize_state(quantize_state({"w": weight}))["w"]


def squares(error: torch.Tensor) -> torch.Tensor:
    return error.double().square().flatten(1).sum(1)


def plainly_rounded(weight: torch.Tensor) -> torch.Tensor:
    scale = weight.abs().flatten(1).amax(1).clamp_min(1e-30).view(-1, *[1] * (weight.ndim - 1)) / 127
    return (weight / scale).round() * scale


@pytest.mark.parametrize("shape", [(64, 32), (240, 1, 3, 3), (16, 8, 5, 5), (8, 300)])
def test_no_channel_is_worse_than_by_plain_rounding(shape: tuple[int, ...]) -> None:
    weight = random(*shape) * torch.logspace(-1, 1, shape[0]).view(-1, *[1] * (len(shape) - 1))
    found, plain = squares(back(weight) - weight), squares(plainly_rounded(weight) - weight)
    # Where the scale of plain rounding is the best by chance, rounding that to float16 costs some of the luck.
    assert (found <= plain * 1.02).all()
    assert found.sum() < 0.98 * plain.sum()


def test_what_is_stored() -> None:
    stored = quantize_state(
        {
            "conv.weight": random(64, 32, 3, 3),
            "conv.bias": random(64),
            "few.weight": random(31, 66),
            "norm.num_batches_tracked": torch.tensor(7),
            "double": random(100).double(),
            "short.weight": random(2048, 2),
        }
    )
    found = {name: (value.dtype, tuple(value.shape)) for name, value in stored.items()}
    assert found == {
        "conv.weight": (torch.int8, (64, 32, 3, 3)),
        "conv.weight.scale": (torch.float16, (64,)),
        "conv.bias": (torch.float16, (64,)),
        "few.weight": (torch.float16, (31, 66)),
        "double": (torch.float16, (100,)),
        "short.weight": (torch.float16, (2048, 2)),
    }
    assert int(stored["conv.weight"].min()) >= -127
    assert quantize_state({"w": random(4, 5)})["w"].dtype == torch.float16
    assert quantize_state({"w": random(4, 5)}, fewest=20)["w"].dtype == torch.int8
    assert quantize_state({"w": random(4, 0)}, fewest=0)["w"].dtype == torch.float16
    state = dequantize_state(stored)
    assert {name: value.dtype for name, value in state.items()} == dict.fromkeys(
        ["conv.weight", "conv.bias", "few.weight", "double", "short.weight"], torch.float32
    )


def test_zeros_stay_zero() -> None:
    weight = random(64, 512) * (torch.rand(64, 512, generator=torch.Generator().manual_seed(1)) > 0.95)
    weight[5] = 0
    found = back(weight)
    assert ((weight == 0) <= (found == 0)).all()
    assert not found[5].any()
    assert float(quantize_state({"w": weight})["w.scale"][5]) == 1


def test_a_dead_channel_costs_the_others_nothing() -> None:
    weight = random(64, 64, size=0.05)
    weight[3] *= 1e-9
    weight[4] *= 1e-40
    stored = quantize_state({"w": weight})
    assert stored["w.scale"].dtype == torch.float16
    found = dequantize_state(stored)["w"]
    assert (found - weight)[3:5].abs().max() <= 2.0**-25
    alive = [channel for channel in range(64) if channel not in (3, 4)]
    assert torch.equal(found[alive], back(weight[alive]))


@pytest.mark.parametrize("size", [1e-30, 1e-6, 1e8, 1e30])
def test_scales_and_others_outside_of_float16(size: float) -> None:
    weight, bias = random(32, 64, size=size), random(32, size=size)
    stored = quantize_state({"w": weight, "b": bias})
    assert stored["w.scale"].dtype == torch.float32
    assert stored["b"].dtype == torch.float32
    assert torch.equal(stored["b"], bias)
    expected = quantize_state({"w": weight / size})
    # As good as for weights of ordinary size.
    ordinary = float(squares(dequantize_state(expected)["w"] - weight / size).sum().sqrt())
    found = float(squares((dequantize_state(stored)["w"] - weight) / size).sum().sqrt())
    assert found == pytest.approx(ordinary, rel=0.01)


def test_variances() -> None:
    """Overflow would make a channel silent; underflow adds less than a batch norm's epsilon hides."""
    variance = torch.tensor([7e-44, 1e-11, 1e-6, 1.0, 3e4])
    found = dequantize_state(quantize_state({"norm.running_var": variance}))["norm.running_var"]
    assert (found >= 0).all()
    gain, expected = (found + 1e-3).rsqrt(), (variance + 1e-3).rsqrt()
    assert ((gain / expected - 1).abs() < 2.0**-12 * 1.01).all()
    large = torch.cat([variance, torch.tensor([1e6])])
    assert torch.equal(dequantize_state(quantize_state({"running_var": large}))["running_var"], large)


def test_long_rows_have_several_scales() -> None:
    """As the weights of dynamic convolutions have, whose first axis is not the output channels'."""
    weight = random(1, 1, 4, 6000) * torch.tensor([1.0, 1e-3, 1.0, 1e-3]).view(1, 1, 4, 1)
    stored = quantize_state({"w": weight})
    assert stored["w.scale"].shape == (3,)
    whole, scale = stored["w"].numpy(), stored["w.scale"].numpy()
    by_hand = (whole.reshape(3, -1).astype(np.float32) * scale.astype(np.float32)[:, None]).reshape(whole.shape)
    assert np.array_equal(by_hand, dequantize_state(stored)["w"].numpy())


def test_the_callers_state_does_not_matter() -> None:
    state: State = {"w": torch.nn.Parameter(random(32, 64)), "b": random(32)}
    expected = quantize_state(state)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = quantize_state(state)
            again = dequantize_state(found)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert again["w"].dtype == torch.float32
    assert not again["w"].requires_grad
    strided = quantize_state({"w": state["w"].detach().t().contiguous().t(), "b": state["b"]})
    assert all(torch.equal(strided[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.tensor([[1.0, float("nan")]]), "w has values that are not finite and cannot be quantised"),
        (torch.tensor([1e300], dtype=torch.float64), "w has values that are not finite"),
        (torch.zeros(3, 3, dtype=torch.int8), r"w is of type torch\.int8 and cannot be quantised"),
    ],
)
def test_what_cannot_be_quantised(value: torch.Tensor, words: str) -> None:
    with pytest.raises(WeightsCorrupt, match=words):
        quantize_state({"w": value})


# --- files ---


@pytest.mark.parametrize("name", ["sea_64", "mn01_as"])
def test_a_file_gives_what_its_values_say(name: str, tmp_path: Path) -> None:
    state = synthetic.state(name) if name == "sea_64" else mobilenetv3_state(name)
    data = encode_quantized(state, {"configuration": name})
    assert data == encode_quantized(state, {"configuration": name})
    (tmp_path / "w.safetensors").write_bytes(data)
    model = hear_edgel3.load(name, tmp_path / "w.safetensors")
    expected = dequantize_state(quantize_state(state))
    inside = model.net.state_dict()
    assert all(torch.equal(inside[key], value) for key, value in expected.items())
    plain = encode(state, {"configuration": name})
    assert len(data) < 0.4 * len(plain)
    file = decode(data, "x")
    assert file.quantization is not None
    assert file.quantization.scheme == "int8"
    assert file.quantization.source_sha256 == decode(plain, "x").sha256
    assert decode(plain, "x").quantization is None


def altered(**changes: object) -> bytes:
    """sea_64 in eight bits, with other tensors (None: without) or another "quantization"."""
    stored = quantize_state(synthetic.state("sea_64"))
    origin = {"configuration": "sea_64", "quantization": {"scheme": "int8", "version": 1, "source_sha256": None}}
    for key, change in changes.items():
        if key == "quantization":
            origin[key] = change  # type: ignore[assignment]
        elif change is None:
            del stored[key.replace("__", ".")]
        else:
            assert isinstance(change, torch.Tensor)
            stored[key.replace("__", ".")] = change
    return encode(stored, origin)


SCALE = "convs__2__weight__scale"


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        (
            {SCALE: None},
            WeightsCorrupt,
            r"convs\.2\.weight is int8, and its scale, convs\.2\.weight\.scale, is missing",
        ),
        ({SCALE: torch.ones(31)}, WeightsCorrupt, r"scale has shape \(31,\), and convs\.2\.weight \(\d+, .*one scale"),
        ({SCALE: torch.ones(64, 1)}, WeightsCorrupt, r"scale has shape \(64, 1\)"),
        ({SCALE: torch.ones(0)}, WeightsCorrupt, r"scale has shape \(0,\)"),
        ({SCALE: torch.full((64,), torch.nan)}, WeightsCorrupt, "not finite numbers above zero"),
        ({SCALE: torch.full((64,), torch.inf)}, WeightsCorrupt, "not finite numbers above zero"),
        ({SCALE: torch.zeros(64)}, WeightsCorrupt, "not finite numbers above zero"),
        ({SCALE: -torch.ones(64)}, WeightsCorrupt, "not finite numbers above zero"),
        ({SCALE: torch.full((64,), 3e38)}, WeightsCorrupt, r"convs\.2\.weight has values that are not finite"),
        ({SCALE: torch.ones(64, dtype=torch.int8)}, WeightsCorrupt, r"scale is (of type torch\.)?int8"),
        ({SCALE: torch.ones(64, dtype=torch.float64)}, WeightsCorrupt, r"scales are float16 or float32"),
        ({"convs__2__bias__scale": torch.ones(64)}, WeightsMismatch, r"1 are unknown \(convs\.2\.bias\.scale\)"),
        ({"convs__2__weight": None}, WeightsMismatch, r"1 tensors are missing \(convs\.2\.weight\)"),
        ({"quantization": None}, WeightsMismatch, r"are unknown \(.*\.scale"),
        ({"quantization": "int8"}, WeightsCorrupt, "does not say in which format its values are quantised, but 'int8'"),
        ({"quantization": "x" * 100_000}, WeightsCorrupt, r"are quantised, but 'x+\.\.\. \(100002 characters\)"),
        ({"quantization": {"scheme": "int8"}}, WeightsCorrupt, "does not say in which format"),
        ({"quantization": {"scheme": "int8", "version": True}}, WeightsCorrupt, "does not say in which format"),
        ({"quantization": {"scheme": "int8", "version": 2}}, WeightsMismatch, "'int8', version 2, and this version of"),
        ({"quantization": {"scheme": "int4", "version": 1}}, WeightsMismatch, "'int4', version 1, .*reads 'int8'"),
    ],
)
def test_files_that_cannot_be(
    changes: dict[str, object], kind: type[HearEdgeL3Error], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(altered(**changes))
    with pytest.raises(kind, match=words) as raised:
        hear_edgel3.load("sea_64", path)
    assert str(path) in str(raised.value)


def test_damage_that_leaves_a_sound_file(tmp_path: Path) -> None:
    data = bytearray(encode_quantized(synthetic.state("sea_64"), {"configuration": "sea_64"}))
    data[-1000] ^= 1
    load_bytes(bytes(data))
    with pytest.raises(WeightsCorrupt, match="its values are not the ones that were written"):
        decode(bytes(data), "x")


def test_eight_bits_that_nobody_explains(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(save({"w": torch.zeros(3, dtype=torch.int8)}))
    assert decode((tmp_path / "w.safetensors").read_bytes(), "x").tensors["w"].dtype == torch.int8
