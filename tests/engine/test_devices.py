"""Nets that are moved to where there is nothing, or to types that they cannot have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor


@pytest.fixture(name="tiny")
def _tiny() -> Extractor:
    return hear_edgel3.load("tiny")


@pytest.mark.parametrize("device", ["", "gpu", "abacus:1", -1, 1.5, 3j, True, float("nan"), b"x", [], {}, object()])
def test_what_is_no_device(tiny: Extractor, device: Any) -> None:
    for movable in (tiny, hear_edgel3.Tagger("tiny"), hear_edgel3.EventFinder("tiny")):
        with pytest.raises(InvalidOption, match=r"^device .* cannot be used: torch knows no device"):
            movable.to(device)
    with pytest.raises(InvalidOption, match=r"^device device=.* cannot be used: torch knows no device"):
        tiny.to(device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:7", torch.device("cuda")])
def test_a_device_that_is_not_there(tiny: Extractor, device: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^device 'cuda.* cannot be used: .*(CUDA|NVIDIA)"):
        tiny.to(device)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool, torch.complex64])
def test_types_that_nets_cannot_have(tiny: Extractor, dtype: torch.dtype) -> None:
    for move in (lambda: tiny.to(dtype), lambda: tiny.to(dtype=dtype), lambda: tiny.to("cpu", dtype)):
        with pytest.raises(InvalidOption, match="floating-point ones only"):
            move()


def test_what_refuses_leaves_the_net_as_it_was(tiny: Extractor) -> None:
    sound = np.sin(np.arange(16000) / 9)[None]
    before = tiny.scene_embeddings(sound)
    for wrong in ("gpu", torch.int8):
        with pytest.raises(InvalidOption):
            tiny.to(wrong)
    assert torch.equal(tiny.scene_embeddings(sound), before)
    assert tiny.kept is not None
    for right in (("cpu",), (torch.device("cpu"), torch.float32), (torch.zeros(1),), (None,)):
        assert tiny.to(*right) is tiny
    assert torch.equal(tiny.scene_embeddings(sound), before)


def test_a_net_without_numbers_embeds_nothing(tiny: Extractor) -> None:
    """Its shapes can still be asked for, as of any module of torch."""
    tiny.to("meta")
    sound = np.zeros((1, 16000), np.float32)
    for embed in (
        lambda: tiny.scene_embeddings(sound),
        lambda: tiny.timestamp_embeddings(sound),
        lambda: tiny.embed_windows(torch.zeros(1, 16000)),
        lambda: list(tiny.stream([sound[0]])),
    ):
        with pytest.raises(InvalidOption, match=r"tiny is on the device meta, which holds shapes and no numbers"):
            embed()
    with pytest.raises(InvalidOption, match="float32 on meta, not float32 on cpu; load it anew"):
        hear_edgel3.export(tiny, "x.onnx")
    assert tiny(torch.zeros(2, 16000, device="meta")).shape == (2, tiny.embedding_size)
