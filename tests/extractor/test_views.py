"""Windows are views of the clips that callers have given, which nothing writes to; the net is looked at once a call."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

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
    audio = clips(32000).repeat(1, 20)
    expected = model.timestamp_embeddings(audio, sample_rate=32000)[0]
    assert expected.shape[1] > 2 * model.windows_at_once(model.window)
    looked, still = [], Seen.still

    def counted(seen: Seen, net: torch.nn.Module) -> bool:
        looked.append(net)
        return still(seen, net)

    monkeypatch.setattr(Seen, "still", counted)
    assert torch.equal(model.timestamp_embeddings(audio, sample_rate=32000)[0], expected)
    assert len(looked) == 1
    with torch.no_grad():
        next(model.net.parameters()).mul_(2)
    assert not torch.equal(model.timestamp_embeddings(audio, sample_rate=32000)[0], expected)


@pytest.mark.parametrize("autocast", [False, True])
def test_autocast_is_switched_off_where_it_is_on(autocast: bool) -> None:
    model = hear_edgel3.load("tiny", engine="eager")
    audio = clips(32000)
    expected = model.scene_embeddings(audio, sample_rate=32000)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        assert torch.equal(model.scene_embeddings(audio, sample_rate=32000), expected)
        assert torch.is_autocast_enabled("cpu") == autocast
