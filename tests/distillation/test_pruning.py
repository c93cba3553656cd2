"""Which channels are left out, and what is made of those that stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from hear_edgel3.distillation.pruning import Limits, choose, importance
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.mobilenetv3 import layout as layouts
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from hear_edgel3.families.mobilenetv3.pruning import MobileNetV3Pruner
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.registry.names import published

ROW = published("mn01_as")
PRUNER = MobileNetV3Pruner()
OUTPUTS = ("b5", "b11", "b13", "b15")


def cost(sizes: Mapping[str, int]) -> tuple[int, int]:
    fields = FAMILIES["mobilenetv3"].architecture(**PRUNER.architecture(ROW, sizes))
    return fields["n_parameters"], fields["macs_10s"]


@pytest.fixture
def net() -> MobileNetV3:
    """Of random weights and statistics, as a trained net has them."""
    torch.manual_seed(3)
    made = MobileNetV3(0.1, outputs=OUTPUTS)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.1)
    return made.eval()


@pytest.fixture
def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(8, 128, 50, generator=generator) for _ in range(4)]


def sizes_of(net: MobileNetV3, images: list[torch.Tensor]) -> dict[str, int]:
    found: dict[str, int] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: found.update({name: output.shape[1]}))
        for name, module in PRUNER.groups(net).items()
    ]
    with net.adding("logits"):
        net(images[0])
    for hook in hooks:
        hook.remove()
    return found


def smaller(net: MobileNetV3, keep: dict[str, torch.Tensor]) -> MobileNetV3:
    architecture = PRUNER.architecture(ROW, {name: len(some) for name, some in keep.items()})
    made: MobileNetV3 = FAMILIES["mobilenetv3"].architecture(**architecture)["net"].build()
    made.load_state_dict(PRUNER.select(net, keep))
    made.select((*OUTPUTS, "logits"))
    return made.eval()


@torch.no_grad()
def put_out(net: MobileNetV3, images: list[torch.Tensor]) -> torch.Tensor:
    if "logits" in net.outputs:
        return torch.cat([net(batch) for batch in images])
    with net.adding("logits"):
        return torch.cat([net(batch) for batch in images])


def test_groups_are_those_of_the_layout(net: MobileNetV3, images: list[torch.Tensor]) -> None:
    layout = net.layout
    wanted = {f"e{i}": b.expanded for i, b in enumerate(layout.blocks, 1) if b.expands}
    wanted |= {f"s{i}": b.squeeze for i, b in enumerate(layout.blocks, 1) if b.has_se}
    assert sizes_of(net, images) == {**wanted, "last": layout.last, "hidden": layout.hidden}
    assert cost(sizes_of(net, images)) == (ROW.n_parameters, ROW.macs_10s)


def test_nothing_left_out_changes_nothing(net: MobileNetV3, images: list[torch.Tensor]) -> None:
    keep = {name: torch.arange(size) for name, size in sizes_of(net, images).items()}
    same = smaller(net, keep)
    assert torch.equal(put_out(same, images), put_out(net, images))
    PRUNER.refit(net, same, keep, images)
    # What solves the equations already stays, but for rounding.
    assert (put_out(same, images) - put_out(net, images)).abs().max() < 1e-4 * put_out(net, images).abs().max()


def test_what_does_nothing_is_left_out_first(net: MobileNetV3, images: list[torch.Tensor]) -> None:
    """Eight channels of two groups are dead; without them the net gives the same."""
    for number in (7, 13):
        layers: Any = net.features[number]
        norm = layers.block[1][1]
        norm.weight.data[8:16] = 0
        norm.bias.data[8:16] = 0
    with net.adding("logits"):
        found = importance(net, PRUNER.groups(net), images, torch.ones(net.embedding_size - 527), 527, 20.0)
    assert all(not found[name][8:16].any() and found[name].sum() > 0 for name in ("e7", "e13"))
    full, _ = cost({name: len(values) for name, values in found.items()})
    less, _ = cost({name: len(values) - 8 * (name in ("e7", "e13")) for name, values in found.items()})
    floors = {name: len(values) for name, values in found.items() if name not in ("e7", "e13")}
    keep = choose(found, floors, cost, Limits(less, None))
    for name, some in keep.items():
        gone = set(range(len(found[name]))) - set(some.tolist())
        assert gone == (set(range(8, 16)) if name in ("e7", "e13") else set())
    assert less < full
    wanted = put_out(net, images)
    assert (put_out(smaller(net, keep), images) - wanted).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("limits", [Limits(90_000, None), Limits(None, 12_600_000), Limits(100_000, 12_900_000)])
def test_limits_hold(net: MobileNetV3, images: list[torch.Tensor], limits: Limits) -> None:
    with net.adding("logits"):
        found = importance(net, PRUNER.groups(net), images, torch.ones(net.embedding_size - 527), 527, 20.0)
    sizes = {name: len(values) for name, values in found.items()}
    share = min((limits.parameters or 1e9) / ROW.n_parameters, (limits.macs or 1e9) / ROW.macs_10s)
    floors = PRUNER.floors(sizes, share)
    keep = choose(found, floors, cost, limits)
    left = {name: len(some) for name, some in keep.items()}
    parameters, macs = cost(left)
    assert parameters <= (limits.parameters or parameters)
    assert macs <= (limits.macs or macs)
    assert all(size % 8 == 0 and size >= floors.get(name, 8) for name, size in left.items())
    made = smaller(net, keep)
    assert sum(p.numel() for p in made.parameters()) == parameters
    assert all(torch.equal(some, some.sort().values) and len(set(some.tolist())) == len(some) for some in keep.values())
    # What stays matters more than what went, in each group.
    for name, some in keep.items():
        gone = sorted(set(range(sizes[name])) - set(some.tolist()))
        if gone:
            assert found[name][gone].max() <= found[name][some].min()


def test_with_two_limits_nothing_is_left_out_in_vain() -> None:
    """The head is cheap to leave out for parameters, but what has to go for MACs saves enough of these as well."""
    importances = {"head": torch.full((40,), 0.05), "body": torch.full((40,), 0.125)}

    def counted(sizes: Mapping[str, int]) -> tuple[int, int]:
        return 10 * sizes["head"] + 6 * sizes["body"], sizes["head"] + 10 * sizes["body"]

    keep = choose(importances, {}, counted, Limits(500, 240))
    assert {name: len(some) for name, some in keep.items()} == {"head": 40, "body": 16}


def test_refitting_mends_what_was_lost(net: MobileNetV3, images: list[torch.Tensor]) -> None:
    with net.adding("logits"):
        found = importance(net, PRUNER.groups(net), images, torch.ones(net.embedding_size - 527), 527, 20.0)
    keep = choose(found, {}, cost, Limits(70_000, None))
    made, wanted = smaller(net, keep), put_out(net, images)
    before = (put_out(made, images) - wanted).square().mean(dim=0)
    PRUNER.refit(net, made, keep, images)
    after = (put_out(made, images) - wanted).square().mean(dim=0)
    embedding = slice(0, before.shape[0] - 527)
    assert after[embedding].mean() < 0.5 * before[embedding].mean()
    assert after[-527:].mean() < 0.5 * before[-527:].mean()


def test_it_cannot_become_smaller_than_its_floors() -> None:
    importances = {"a": torch.arange(16.0), "b": torch.arange(24.0)}

    def counted(sizes: Mapping[str, int]) -> tuple[int, int]:
        return 100 + sizes["a"] + sizes["b"], 1000

    keep = choose(importances, {"b": 16}, counted, Limits(124, None))
    assert {name: some.tolist() for name, some in keep.items()} == {"a": [*range(8, 16)], "b": [*range(8, 24)]}
    with pytest.raises(InvalidOption, match=r"cannot be pruned to 120 parameters: at 124 parameters and 1,000 MACs"):
        choose(importances, {"b": 16}, counted, Limits(120, None))
    with pytest.raises(InvalidOption, match=r"cannot be pruned to 999 MACs per 10 s"):
        choose(importances, {}, counted, Limits(None, 999))


def test_importance_is_the_curvature_of_the_loss() -> None:
    """Of a linear net whose channels do not mix, the expectation is known: 2 / D * E[output ** 2] / scale ** 2."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gates = nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.gates(x * torch.ones(3, requires_grad=True))

    linear = Linear()
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(20_000, 3, generator=generator) * torch.tensor([1.0, 2.0, 0.0])
    scale = torch.tensor([1.0, 4.0, 1.0])
    found = importance(linear, {"gates": linear.gates}, [values], scale, 0, 20.0)["gates"]
    assert found.tolist() == pytest.approx([2 / 3, 2 / 3 * 4 / 16, 0.0], rel=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expanded": [16] * 14}, "expanded must be 15 positive numbers"),
        ({"expanded": [16] * 15}, "block 1 does not expand: it has 8 channels, not 16"),
        ({"squeeze": [8] * 7}, "squeeze must be 8 positive numbers"),
        ({"squeeze": [8] * 7 + [0]}, "squeeze must be 8 positive numbers"),
        ({"last": 0}, "last must be positive"),
        ({"hidden": -8}, "hidden must be positive"),
    ],
)
def test_widths_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layouts.make_layout(0.1, **changes)


def test_a_block_pruned_to_its_inputs_still_expands() -> None:
    layout = layouts.make_layout(0.4)
    block = layout.blocks[6]
    widths = [b.expanded for b in layout.blocks]
    widths[6] = block.inputs
    pruned = layouts.make_layout(0.4, expanded=widths)
    assert pruned.blocks[6].expanded == block.inputs
    assert pruned.blocks[6].expands
    assert pruned.blocks[6].squeeze == block.squeeze
    net = MobileNetV3(0.4, expanded=widths)
    assert sum(p.numel() for p in net.parameters()) == layouts.count_parameters(pruned)
