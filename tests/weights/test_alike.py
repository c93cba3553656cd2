"""Files that store tensors as another file does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hear_edgel3.weights.alike import encode_alike
from hear_edgel3.weights.file import decode, encode, encode_quantized, encode_sparse, load_stored


def state_of(zeros: float) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(64, 96, generator=generator)
    values[torch.rand(64, 96, generator=generator) < zeros] = 0.0
    return {"conv.weight": values, "conv.bias": torch.randn(64, generator=generator)}


FILES = {
    "int8": encode_quantized(state_of(0.0), {}),
    "sparse": encode_sparse(state_of(0.9), {}),
    "sparse-int8": encode_quantized(state_of(0.9), {}),
}


@pytest.mark.parametrize("scheme", FILES)
def test_what_is_the_same_is_stored_the_same(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    path.write_bytes(FILES[scheme])
    base = decode(FILES[scheme], "base").tensors
    head = {"head.output.weight": torch.randn(10, 320), "head.output.bias": torch.randn(10)}
    wanted = {f"net.{name}": value for name, value in base.items()} | head
    data = encode_alike(wanted, {"configuration": "mine"}, path, {f"net.{name}": name for name in base})
    assert len(data) < len(FILES[scheme]) + 4 * (3200 + 10) + 1000
    found = decode(data, "mine")
    assert found.quantization is not None
    assert found.quantization.scheme == scheme
    assert found.tensors.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found.tensors[name].dtype == value.dtype
        assert found.tensors[name].view(torch.uint8).equal(value.view(torch.uint8))
    raw, before = load_stored(data, "mine"), load_stored(FILES[scheme], "base")
    for name, value in before.items():
        assert raw[f"net.{name}"].equal(value)


def test_what_has_changed_is_stored_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    path.write_bytes(FILES["int8"])
    base = decode(FILES["int8"], "base").tensors
    trained = {name: value + 1e-3 for name, value in base.items()}
    names = {name: name for name in base}
    assert encode_alike(trained, {}, path, names) == encode(trained, {})
    half = {**base, "conv.weight": trained["conv.weight"]}
    found = decode(encode_alike(half, {}, path, names), "mine").tensors
    assert all(found[name].equal(value) for name, value in half.items())


def test_of_a_plain_file_it_is_the_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    state = state_of(0.0)
    path.write_bytes(encode(state, {}))
    assert encode_alike(state, {"a": 1}, path, {name: name for name in state}) == encode(state, {"a": 1})
