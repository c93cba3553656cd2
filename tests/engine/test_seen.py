"""What is noticed of a net that changes, where nothing but the place of its numbers says so."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from hear_edgel3.engine.seen import Seen, first_parameter


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(300, 300), nn.ReLU(), nn.Linear(300, 300), nn.BatchNorm1d(300))


def other_data(net: _Net) -> None:
    net.layers[0].weight.data = net.layers[0].weight.data + 1


def half_and_back(net: _Net) -> None:
    net.half().float()


def without_a_layer(net: _Net) -> None:
    """A Sequential gets another table by that."""
    del net.layers[1]


def another_layer_after_nothing_was_deleted(net: _Net) -> None:
    """A Sequential gets another table by that, which has all that was in the one before."""
    del net.layers[len(net.layers) :]
    net.layers[1] = nn.SiLU()


def restored(net: _Net) -> None:
    net.layers[0].__setstate__(nn.Linear(300, 300).__dict__)


def taken_over(net: _Net) -> None:
    net.layers[3].__dict__.update(nn.BatchNorm1d(300).__dict__)


def another_layer(net: _Net) -> None:
    net.layers[1] = nn.SiLU()


def a_buffer_more(net: _Net) -> None:
    net.layers[1].register_buffer("more", torch.zeros(1))


def a_layer_more(net: _Net) -> None:
    net.layers[1].more = nn.Linear(2, 2)


def written(net: _Net) -> None:
    with torch.no_grad():
        net.layers[3].running_mean.add_(1)


def no_bias(net: _Net) -> None:
    net.layers[0].bias = None


CHANGES = [
    other_data,
    half_and_back,
    without_a_layer,
    another_layer,
    another_layer_after_nothing_was_deleted,
    restored,
    taken_over,
    a_buffer_more,
    a_layer_more,
    written,
    no_bias,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed(change: Callable[[_Net], None]) -> None:
    net = _Net()
    seen = Seen(net)
    assert seen.still(net)
    net.train()
    assert seen.still(net)  # whatever mode it is in
    change(net)
    assert not seen.still(net)
    assert Seen(net).still(net)


def test_what_it_looks_at_is_fetched_first() -> None:
    net = _Net()
    seen, fetched = Seen(net), []
    seen.fetch_with(fetched.append)
    del fetched[:]
    assert seen.still(net)
    [lines] = fetched
    assert lines.dtype == np.int64
    looked_at = [net.layers[1], net.layers[3]._buffers, net.layers[2].weight]
    looked_at += [vars(net.layers[0]), net.layers[1]._parameters]
    addresses = [*map(id, looked_at), net.layers[2].weight._cdata, net.layers[3].running_var._cdata + 100]
    assert {address // 64 * 64 for address in addresses} <= set(lines.tolist())
    written(net)
    assert not seen.still(net)


def test_memory_is_not_used_again_while_it_is_remembered() -> None:
    """Else other numbers could come to lie at the same address."""
    net = _Net()
    numbers = np.zeros(300, np.float32)
    net.layers[0].bias.data = torch.from_numpy(numbers)
    seen, memory = Seen(net), weakref.ref(numbers)
    del numbers
    net.layers[0].bias.data = torch.zeros(300)
    assert memory() is not None
    assert not seen.still(net)
    del seen
    assert memory() is None


def test_another_net_is_not_the_same() -> None:
    assert not Seen(_Net()).still(_Net())


def test_tensors_of_inference_mode() -> None:
    """They do not count how often they were written."""
    with torch.inference_mode():
        net = _Net()
    seen = Seen(net)
    assert seen.still(net)
    net.layers[0].bias = nn.Parameter(torch.zeros(300))
    assert not seen.still(net)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript, from some release on
def test_nets_of_torchscript() -> None:
    """They have tables of their own."""
    net = torch.jit.script(_Net().layers)
    seen = Seen(net)
    assert seen.still(net)
    with torch.no_grad():
        next(net.parameters()).mul_(2)
    assert not seen.still(net)


def test_the_first_parameter_is_that_of_torch() -> None:
    net = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Identity(), nn.Linear(2, 3)), nn.Linear(3, 4))
    assert first_parameter(net) is next(net.parameters())
    net.register_parameter("none", None)
    net.register_module("nothing", None)
    assert first_parameter(net) is next(net.parameters())
    net.register_parameter("own", nn.Parameter(torch.zeros(1)))
    assert first_parameter(net) is next(net.parameters()) is net.own
    with pytest.raises(StopIteration):
        first_parameter(nn.ReLU())


@pytest.mark.filterwarnings("ignore:.*jit:DeprecationWarning")
def test_what_was_traced() -> None:
    """TorchScript keeps its tables elsewhere."""
    net = torch.jit.trace(_Net().layers.eval(), torch.rand(2, 300))
    seen = Seen(net)
    assert seen.still(net)
    with torch.no_grad():
        next(iter(net.parameters())).add_(1)
    assert not seen.still(net)
