"""Extractors whose net or front end somebody has changed: files compute what they do, or there is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hear_edgel3
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from support import signals


class Louder(nn.Module):
    """A layer around another one, as adapters are."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 1.3 * self.inner(x)


def wrap(extractor: Extractor) -> None:
    extractor.net.features[2] = Louder(extractor.net.features[2]).eval()


def hook(extractor: Extractor) -> None:
    extractor.net.features[2].block[1][0].register_forward_hook(lambda _module, _inputs, output: 1.3 * output)


def other_forward(extractor: Extractor) -> None:
    module = extractor.net.features[2]
    before = module.forward
    module.forward = lambda x: 1.3 * before(x)


def hook_the_front_end(extractor: Extractor) -> None:
    extractor.frontend.register_forward_hook(lambda _module, _inputs, output: 1.3 * output)


@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("change", [wrap, hook])
def test_an_onnx_file_computes_what_a_changed_net_does(
    change: Callable[[Extractor], None], quantize: str, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    extractor = hear_edgel3.load("tiny")
    samples = torch.from_numpy(signals.clip(1.0, 32000))[None].float()
    with torch.no_grad():
        before = extractor(samples).numpy()
        change(extractor)
        expected = extractor(samples).numpy()
    hear_edgel3.export(extractor, tmp_path / "changed.onnx", to="onnx", quantize=quantize)
    session = onnxruntime.InferenceSession(tmp_path / "changed.onnx")
    (found,) = session.run(["embedding"], {"samples": samples.numpy()})
    peak = np.abs(expected).max()
    assert np.abs(before - expected).max() > 0.05 * peak
    np.testing.assert_allclose(found, expected, rtol=0, atol=(1e-5 if quantize == "none" else 0.02) * peak)


@pytest.mark.parametrize(
    ("change", "target", "error"),
    [
        (wrap, "c", "tiny has no form in C, because it was changed: features.2 is another layer than it was made with"),
        (hook, "c", "tiny has no form in C, because it was changed: features.2.block.1.0 has hooks"),
        (other_forward, "c", "tiny cannot be exported: one of its modules has another forward"),
        (other_forward, "onnx", "tiny cannot be exported: one of its modules has another forward"),
        (hook_the_front_end, "c", "the front end of tiny has hooks or another forward"),
        (hook_the_front_end, "onnx", "the front end of tiny has hooks or another forward"),
    ],
)
def test_what_cannot_be_exported_is_named(
    change: Callable[[Extractor], None], target: str, error: str, tmp_path: Path
) -> None:
    if target == "onnx":
        pytest.importorskip("onnx")
    extractor = hear_edgel3.load("tiny")
    change(extractor)
    with pytest.raises(InvalidOption, match=error):
        hear_edgel3.export(extractor, tmp_path / "changed", to=target)
    assert list(tmp_path.iterdir()) == []
