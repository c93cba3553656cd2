"""Nets whose parameters are computed from others: pruned or reparametrized by PyTorch's own tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

import hear_edgel3
from hear_edgel3.engine.eval_mode import plain
from hear_edgel3.engine.table import MODULES
from support import signals


class _Half(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 0.5 * weight


def pruned(conv: nn.Module) -> None:
    prune.l1_unstructured(conv, "weight", 0.5)


def pruned_twice(conv: nn.Module) -> None:
    prune.random_unstructured(conv, "weight", 0.3)
    prune.ln_structured(conv, "weight", 0.25, n=1, dim=0)


def halved_twice(conv: nn.Module) -> None:
    parametrize.register_parametrization(conv, "weight", _Half())
    parametrize.register_parametrization(conv, "weight", _Half())


def of_norm_one(conv: nn.Module) -> None:
    parametrizations.spectral_norm(conv)


def weight_and_norm(conv: nn.Module) -> None:
    parametrizations.weight_norm(conv)


def by_older_tools(conv: nn.Module) -> None:
    weight_norm(conv)


def of_norm_one_by_older_tools(conv: nn.Module) -> None:
    spectral_norm(conv)


WAYS: list[Callable[[nn.Module], None]] = [
    pruned, pruned_twice, halved_twice, of_norm_one, weight_and_norm, by_older_tools, of_norm_one_by_older_tools,
]  # fmt: skip


def convolutions(net: nn.Module) -> list[nn.Conv2d]:
    return [module for module in net.modules() if isinstance(module, nn.Conv2d)]


def sound(rate: int) -> torch.Tensor:
    return torch.from_numpy(signals.clip(1.2, rate))[None]


def baked(extractor: hear_edgel3.Extractor, changed: nn.Module) -> None:
    """Writes what a changed net computes its weights to be into another extractor's net."""
    changed.eval()
    for module, source in zip(convolutions(extractor.net), convolutions(changed), strict=True):
        for hook in source._forward_pre_hooks.values():
            hook(source, ())
        module.weight.data.copy_(source.weight.detach())


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*spectral_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize("engine", MODULES)
@pytest.mark.parametrize("way", WAYS)
def test_they_embed_as_nets_that_hold_the_same_weights(engine: str, way: Callable[[nn.Module], None]) -> None:
    if engine in ("onnxruntime", "openvino"):
        pytest.importorskip(engine)
    changed, right = (hear_edgel3.load("tiny", engine=engine) for _ in range(2))
    audio = sound(changed.sample_rate)
    before = changed.scene_embeddings(audio)
    for conv in convolutions(changed.net)[2:9:3]:
        way(conv)
    baked(right, changed.net)
    state = {name: value.clone() for name, value in changed.net.state_dict().items()}
    found = changed.scene_embeddings(audio)
    assert torch.equal(found, right.scene_embeddings(audio))
    assert not torch.equal(found, before) or way in (weight_and_norm, by_older_tools)
    after = changed.net.state_dict()
    assert after.keys() == state.keys()
    assert all(torch.equal(value, after[name]) for name, value in state.items())


def test_in_training_mode_nothing_is_written() -> None:
    """What spectral norms keep of their last step moves on with each run in that mode."""
    extractor = hear_edgel3.load("tiny")
    parametrizations.spectral_norm(convolutions(extractor.net)[2])
    extractor.net.train()
    state = {name: value.clone() for name, value in extractor.net.state_dict().items()}
    extractor.scene_embeddings(sound(extractor.sample_rate))
    assert all(torch.equal(value, extractor.net.state_dict()[name]) for name, value in state.items())
    assert extractor.net.training


def test_changes_of_what_they_are_computed_from_are_noticed() -> None:
    extractor = hear_edgel3.load("tiny")
    audio = sound(extractor.sample_rate)
    conv = convolutions(extractor.net)[2]
    prune.identity(conv, "weight")
    before = extractor.scene_embeddings(audio)
    with torch.no_grad():
        conv.weight_mask[0] = 0
    masked = extractor.scene_embeddings(audio)
    assert not torch.equal(masked, before)
    prune.remove(conv, "weight")
    assert torch.equal(extractor.scene_embeddings(audio), masked)


def test_a_net_that_is_pruned_so_runs_sparse(weights_folder: Path) -> None:
    """Its zeros are those of what it computes, not of what it computes that from."""
    extractor = hear_edgel3.load("sea_64", weights_folder)
    for conv in convolutions(extractor.net)[1:]:
        prune.l1_unstructured(conv, "weight", 0.9)
    assert "% of its weights are zero" in extractor._runner.choose(extractor.net).reason


def test_hooks_of_somebody_s_own_stay() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3))
    seen: list[int] = []
    module[0].register_forward_pre_hook(lambda _module, _inputs: seen.append(1))
    pruned(module[0])
    made = plain(module)
    assert made is not module
    x = torch.randn(1, 1, 5, 5)
    assert torch.equal(made(x), module(x))
    assert seen == [1, 1]
    assert dict(made[0].named_parameters()).keys() == {"weight", "bias"}
    assert plain(made) is made
