"""Batch norm that is folded while a net is trained: the same outputs and gradients, and nothing stays of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

import hear_edgel3
from hear_edgel3.detectors.folding import norm_folded
from hear_edgel3.detectors.two_phases import Batch, TwoPhaseTuning
from support.labelled_sounds import make_labelled, tune


def _learnt(net: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    net.zero_grad(set_to_none=True)
    outputs = net(images)
    outputs.square().sum().backward()
    gradients = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    return outputs.detach(), gradients


def test_outputs_and_gradients_are_the_same(mobilenetv3_folder: Path) -> None:
    net = copy.deepcopy(hear_edgel3.load("mn01_as", mobilenetv3_folder).net).double().requires_grad_(True)
    net.eval()
    images = torch.randn(2, 128, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    outputs, gradients = _learnt(net, images)
    with norm_folded(net) as n:
        assert n == norms > 10
        folded_outputs, folded_gradients = _learnt(net, images)
        assert net.state_dict().keys() == state.keys()
    torch.testing.assert_close(folded_outputs, outputs, rtol=1e-9, atol=1e-9)
    assert folded_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(folded_gradients[name], gradient, rtol=1e-7, atol=1e-9 * float(gradient.abs().max()))
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert not any("forward" in vars(module) for module in net.modules())
    assert torch.equal(_learnt(net, images)[0], outputs)


@pytest.mark.parametrize("freeze_norm", [True, False])
def test_it_is_folded_where_it_keeps_its_statistics(
    freeze_norm: bool, mobilenetv3_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = hear_edgel3.load("mn01_as", mobilenetv3_folder)
    folded = []
    loss = TwoPhaseTuning.loss

    def watched(self: TwoPhaseTuning, net: nn.Module, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        folded.append(any("forward" in vars(module) for module in net.modules()))
        return loss(self, net, batch)

    monkeypatch.setattr(TwoPhaseTuning, "loss", watched)
    tuned = tune(make_labelled(tmp_path / "sounds"), small, tmp_path / "out", epochs=1, freeze_norm=freeze_norm)
    assert set(folded) == {freeze_norm}
    assert not any("forward" in vars(module) for module in tuned.extractor.net.modules())


def test_what_cannot_be_folded_stays() -> None:
    """Another module between, one that is used twice, one that is watched, and statistics that are not kept."""
    shared = nn.Conv2d(1, 1, 1)
    watched = nn.Conv2d(1, 1, 1)
    watched.register_forward_hook(lambda *_: None)
    net = nn.ModuleList(
        [
            nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.BatchNorm2d(1)),
            nn.Sequential(shared, nn.BatchNorm2d(1)),
            nn.Sequential(shared, nn.ReLU()),
            nn.Sequential(watched, nn.BatchNorm2d(1)),
            nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, track_running_stats=False)),
        ]
    )
    with norm_folded(net) as n:
        assert n == 0


def test_all_is_as_it_was_after_an_error() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    with pytest.raises(TypeError), norm_folded(net):
        net(None)
    assert not any("forward" in vars(module) for module in net)
