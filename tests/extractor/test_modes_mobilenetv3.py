"""The same of the MobileNetV3 family, where another net and front end carry it."""

from __future__ import annotations

import copy

import pytest
import torch

from hear_edgel3.extractor.extractor import Extractor
from support.wrapper import assert_same, noise_clips


def test_inference_mode_leaves_no_traces(load_native) -> None:
    audio = torch.from_numpy(noise_clips(9000))
    with torch.inference_mode():
        model = load_native("mn01_as_logits")
        inside = model.scene_embeddings(audio)
    assert torch.equal(model.scene_embeddings(audio), inside)
    samples = audio.clone().requires_grad_()
    model.train()(samples).square().sum().backward()
    assert samples.grad is not None
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_default_dtype_does_not_show(kind: torch.dtype, mn01: Extractor) -> None:
    audio = noise_clips(6000)
    expected, _ = mn01.timestamp_embeddings(audio)
    fresh = copy.deepcopy(mn01)
    fresh.frontend = fresh.configuration.checkpoint.frontend.build().eval()  # with no constants yet
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        embeddings, timestamps = fresh.timestamp_embeddings(audio)
    finally:
        torch.set_default_dtype(before)
    assert embeddings.dtype == timestamps.dtype == torch.float32
    assert_same(embeddings, expected)
