"""A pruned net that is stored without its zeros, a folder, exported: to ONNX and to C."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.exporting import c, onnx
from hear_edgel3.exporting.run import export
from hear_edgel3.weights.file import encode_sparse, read_weights
from support import signals
from support.detectors import base_of


@pytest.fixture
def pruned(tmp_path: Path) -> Path:
    """A folder like sparse_95: 95 % of the weights of its convolutions, but for the first, are zero."""
    values, state = base_of("sea_64")
    generator = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if value.ndim == 4 and value.shape[1] > 1:
            state[name] = value * (torch.rand(value.shape, generator=generator) < 0.05) * 4.0
    folder = tmp_path / "pruned"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(encode_sparse(state, {"configuration": "pruned"}))
    values |= {"name": "pruned", "weights_file": "model.safetensors"}
    values["weights_sha256"] = sha256_of(folder / "model.safetensors")
    (folder / "configuration.json").write_text(json.dumps(values))
    stored = read_weights(folder / "model.safetensors")
    assert stored.quantization is not None
    assert (folder / "model.safetensors").stat().st_size < 0.2 * sum(4 * one.numel() for one in state.values())
    return folder


@pytest.mark.parametrize(
    "to", ["onnx", pytest.param("c", marks=pytest.mark.skipif(c.compiler() is None, reason="there is no C compiler"))]
)
def test_a_pruned_folder(to: str, pruned: Path) -> None:
    done = export(pruned, pruned.parent / f"net.{to}", to=to)
    assert done.proof.passed
    extractor = hear_edgel3.load(pruned)
    t = np.arange(8000) / 8000
    x = np.stack([signals.clip(1.1, 8000)[:8000], 0.9 * np.sin(2 * np.pi * 1000 * t)]).astype(np.float32)
    with torch.no_grad():
        images = extractor.frontend.in_float64(torch.from_numpy(x))
        expected = extractor.net.double()(images.double()).numpy()
    assert np.abs(expected[0] - expected[1]).max() > 0.1 * np.abs(expected).max()
    found = {"onnx": onnx, "c": c}[to].open_file(done.path)(x)["embedding"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
