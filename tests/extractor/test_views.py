"""Windows are views of the clips that callers have given, which nothing writes to; the net is looked at once a call."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3 import Extractor
from hear_edgel3.engine.seen import Seen
from hear_edgel3.framing.cutting import windows_of_batch
from hear_edgel3.framing.path import NetInput, WindowPath
from hear_edgel3.framing.rules import CentredFraming, WholeClip
from support import signals

ENGINES = ["eager", "torch", "numba", "onnxruntime", "openvino"]


def clips(rate: int) -> torch.Tensor:
    return torch.from_numpy(signals.clip(1.0, rate)).float()[None]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["tiny", "sea"])
def test_the_callers_samples_stay_as_they_are(
    name: str, engine: str, own_sea: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "tiny":
        model = hear_edgel3.load("tiny", engine=engine)
    else:
        sea = own_sea
        model = Extractor(sea.configuration, sea.frontend, sea.net, engine=engine).eval()
    audio = clips(model.net_sample_rate)
    before, seen = audio.clone(), []
    embed = Extractor._embed

    def spied(model: Extractor, windows: torch.Tensor, *more: Any) -> torch.Tensor:
        seen.append(windows.untyped_storage().data_ptr() == audio.untyped_storage().data_ptr())
        return embed(model, windows, *more)

    monkeypatch.setattr(Extractor, "_embed", spied)
    model.scene_embeddings(audio, sample_rate=model.net_sample_rate)
    model.timestamp_embeddings(audio, sample_rate=model.net_sample_rate)
    assert torch.equal(audio, before)
    assert any(seen) or name == "sea"  # whose windows begin before the clip


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_channels_of_an_array_of_samples(engine: str) -> None:
    """Their samples do not lie side by side."""
    model = hear_edgel3.load("tiny", engine=engine)
    stereo = torch.from_numpy(np.stack([signals.clip(20.0, 32000, seed=i) for i in range(2)], axis=1)).float()
    found = model.timestamp_embeddings(stereo.T, sample_rate=32000)[0]
    assert torch.equal(found, model.timestamp_embeddings(stereo.T.contiguous(), sample_rate=32000)[0])
    windows = stereo[:, 0].unfold(0, model.window, 320)[:40]
    assert torch.equal(model.embed_windows(windows), model.embed_windows(windows.contiguous()))


@pytest.mark.parametrize("engine", ["eager", "torch", "numba"])
def test_hooks_may_write_to_what_a_front_end_is_given(engine: str) -> None:
    model = hear_edgel3.load("tiny", engine=engine)
    audio = clips(32000)
    expected = [model.timestamp_embeddings(audio / 2, sample_rate=32000)[0], model.scene_embeddings(audio / 2)]
    before = audio.clone()
    model.frontend.register_forward_pre_hook(lambda _, given: (given[0].mul_(0.5),))
    found = [model.timestamp_embeddings(audio, sample_rate=32000)[0], model.scene_embeddings(audio)]
    assert torch.equal(audio, before)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rate", [32000, 48000])
def test_samples_that_are_marked_as_negative(rate: int, dtype: torch.dtype) -> None:
    audio = clips(rate).to(dtype)
    marked = torch.complex(audio, -audio).conj().imag
    assert marked.is_neg()
    model = hear_edgel3.load("tiny", engine="numba")
    assert torch.equal(
        model.scene_embeddings(marked, sample_rate=rate), model.scene_embeddings(marked.resolve_neg(), sample_rate=rate)
    )
    windows = marked[:, : model.window]
    assert torch.equal(model.embed_windows(windows), model.embed_windows(windows.resolve_neg()))


def test_what_lies_between_windows_is_not_copied() -> None:
    framing = CentredFraming(400, 1000, 5000.0, reflect=True)
    audio = torch.arange(60_000.0)[None]
    [group] = windows_of_batch(audio, framing, 13, 20)
    assert group.untyped_storage().nbytes() == 4 * 13 * 400


def test_windows_of_a_group_lie_in_memory_once() -> None:
    framing = CentredFraming(400, 1000, 50.0, reflect=True)
    audio = torch.arange(5000.0)[None]
    count = framing.count(5000, Fraction(5))
    for group in windows_of_batch(audio, framing, count, 30):
        assert group.stride() == (50, 1)
        assert group.untyped_storage().nbytes() <= 4 * (audio.numel() + 400)
    whole = next(windows_of_batch(audio.expand(3, -1), WholeClip(5000), 1, 2))
    assert whole.untyped_storage().data_ptr() == audio.untyped_storage().data_ptr()


def test_windows_of_a_stream_keep_no_more_than_themselves() -> None:
    framing = CentredFraming(400, 1000, 50.0)
    net = NetInput("a net", 1000, takes_nothing=False, device=torch.device("cpu"))
    path = WindowPath(framing, 1000, net, lambda window: 10)
    path.push(torch.zeros(100_000))
    group = path.next_group()
    assert group is not None
    assert group.shape == (10, 400)
    assert group.untyped_storage().nbytes() == 4 * (9 * 50 + 400)


def test_the_net_is_looked_at_once_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    model = hear_edgel3.load("tiny")
    net = model.net  # what nobody has is not looked at
    audio = clips(32000).repeat(1, 20)
    expected = model.timestamp_embeddings(audio, sample_rate=32000)[0]
    assert expected.shape[1] > 2 * model.windows_at_once(model.window)
    looked, still = [], Seen.still

    def counted(seen: Seen, net: torch.nn.Module) -> bool:
        looked.append(net)
        return still(seen, net)

    monkeypatch.setattr(Seen, "still", counted)
    assert torch.equal(model.timestamp_embeddings(audio, sample_rate=32000)[0], expected)
    assert looked == [net]
    with torch.no_grad():
        next(net.parameters()).mul_(2)
    assert not torch.equal(model.timestamp_embeddings(audio, sample_rate=32000)[0], expected)


@pytest.mark.parametrize("autocast", [False, True])
def test_autocast_is_switched_off_where_it_is_on(autocast: bool) -> None:
    model = hear_edgel3.load("tiny", engine="eager")
    audio = clips(32000)
    expected = model.scene_embeddings(audio, sample_rate=32000)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        assert torch.equal(model.scene_embeddings(audio, sample_rate=32000), expected)
        assert torch.is_autocast_enabled("cpu") == autocast
