"""Heads, and what they are like as plain values."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from hear_edgel3.errors import ConfigurationError, InvalidOption
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from hear_edgel3.heads import ACTIVATIONS, Head, HeadLayout, make_head
from hear_edgel3.heads.activations import Activation

_LAYOUTS = [
    HeadLayout("linear", 5, 3),
    HeadLayout("linear", 5, 3, dropout=0.5, standardize=True),
    HeadLayout("mlp", 5, 3, 7, "arelu", 0.25),
    HeadLayout.of_net(5, 3, 8),
]


def test_arelu_is_deepspectrumlites() -> None:
    x = torch.tensor([-2.0, -0.0, 0.0, 1.0, 3.0], dtype=torch.float64)
    wanted = [-1.8, 0, 0, 1.880797, 5.642391]
    np.testing.assert_allclose(Activation("arelu")(x), wanted, rtol=0, atol=5e-7)
    slope = torch.tensor([1.0, -1.0], requires_grad=True)
    Activation("arelu")(slope).sum().backward()
    assert slope.grad is not None
    assert slope.grad.tolist() == pytest.approx([1.880797, 0.9], abs=1e-6)


def test_activations_by_hand() -> None:
    x = torch.tensor([-3.0, -1.0, 0.5, 4.0], dtype=torch.float64)
    e = np.exp(x.numpy())
    wanted = {
        "linear": x.numpy(),
        "relu": [0, 0, 0.5, 4],
        "elu": [np.exp(-3) - 1, np.exp(-1) - 1, 0.5, 4],
        "swish": x.numpy() * e / (1 + e),
        "sigmoid": e / (1 + e),
        "hard_sigmoid": [0, 0.3, 0.6, 1],
        "hardswish": [0, -1 / 3, 0.5 * 3.5 / 6, 4],
        "softplus": np.log1p(e),
        "softsign": [-0.75, -0.5, 1 / 3, 0.8],
        "exponential": e,
        "tanh": (e * e - 1) / (e * e + 1),
        "selu": 1.05070098 * np.where(x > 0, x, 1.67326324 * (e - 1)),
        "gelu": [v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.tolist()],
    }
    assert set(wanted) | {"arelu"} == set(ACTIVATIONS)
    for name, values in wanted.items():
        np.testing.assert_allclose(Activation(name)(x), values, atol=1e-7, err_msg=name)
    with pytest.raises(InvalidOption, match="arelu"):
        Activation("maxout")


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_a_layout_is_plain_values(layout: HeadLayout) -> None:
    assert HeadLayout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout


@pytest.mark.parametrize("layout", _LAYOUTS)
def test_a_head_comes_back_from_its_state(layout: HeadLayout) -> None:
    head = make_head(layout, 1).eval()
    x = torch.rand(4, 2, 5, generator=torch.Generator().manual_seed(0))
    if layout.standardize:
        head.standardize(x.mean(dim=(0, 1)), x.std(dim=(0, 1)))
    other = Head(layout).eval()
    assert head(x).shape == (4, 2, 3)
    assert not torch.equal(head(x), other(x))
    other.load_state_dict(head.state_dict())
    assert torch.equal(head(x), other(x))


def test_an_mlp_by_hand() -> None:
    head = Head(HeadLayout("mlp", 2, 1, 2, "arelu", 0.25)).eval()
    assert head.hidden is not None
    with torch.no_grad():
        head.hidden.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        head.hidden.bias.copy_(torch.tensor([1.0, -3.0]))
        head.output.weight.copy_(torch.tensor([[1.0, 10.0]]))
        head.output.bias.copy_(torch.tensor([0.5]))
    got = head(torch.tensor([[1.0, 1.0]]))  # hidden 2 and -2
    assert got.item() == pytest.approx(2 * 1.880797 - 18 + 0.5, abs=1e-5)


def test_dropout_is_for_training_alone() -> None:
    x = torch.ones(1, 5)
    for layout in _LAYOUTS[1:]:
        head = make_head(layout, 1)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            assert not torch.equal(head.train()(x), head.train()(x))
        assert torch.equal(head.eval()(x), head.eval()(x))


def test_the_head_of_a_net_is_its_classifier() -> None:
    """The same shape, and the same function with the net's weights."""
    net = MobileNetV3(0.1, n_classes=4).eval()
    classifier = net.classifier
    head = Head(HeadLayout.of_net(net.layout.last, 4, net.layout.hidden)).eval()
    assert head.hidden is not None
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in (classifier[2], classifier[5]):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
            layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator))
        head.hidden.load_state_dict(classifier[2].state_dict())
        head.output.load_state_dict(classifier[5].state_dict())
    x = torch.rand(3, net.layout.last, generator=generator)
    assert torch.equal(head(x), classifier(x[:, :, None, None]))
    assert head.dropout.p == classifier[4].p == 0.2


def test_first_weights() -> None:
    uniform = make_head(HeadLayout("linear", 300, 100), 3).output
    limit = np.sqrt(6 / 400)
    assert uniform.weight.abs().max().item() == pytest.approx(limit, rel=0.01)
    assert uniform.weight.std().item() == pytest.approx(limit / np.sqrt(3), rel=0.02)
    small = make_head(HeadLayout.of_net(300, 10, 100), 3).hidden
    assert small is not None
    assert small.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not uniform.bias.any()
    assert torch.equal(make_head(HeadLayout("linear", 300, 100), 3).output.weight, uniform.weight)
    assert not torch.equal(make_head(HeadLayout("linear", 300, 100), 4).output.weight, uniform.weight)


def test_nothing_global_matters_or_changes() -> None:
    wanted = make_head(_LAYOUTS[2], 1).state_dict()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            got = make_head(_LAYOUTS[2], 1).state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(wanted[key], got[key]) and got[key].dtype == torch.float32 for key in wanted)


def test_embeddings_are_standardized() -> None:
    head = make_head(_LAYOUTS[1], 1).eval()
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]])
    plain = functional.linear((x - 2.0) / torch.tensor([2.0, 2, 2, 2, 1]), head.output.weight)
    head.standardize(torch.full((5,), 2.0), torch.tensor([2.0, 2, 2, 2, 0]))
    torch.testing.assert_close(head(x), plain)
    with pytest.raises(InvalidOption, match="finite"):
        head.standardize(torch.full((5,), float("nan")), torch.ones(5))
    with pytest.raises(InvalidOption, match="5 finite"):
        head.standardize(torch.zeros(4), torch.ones(4))
    with pytest.raises(InvalidOption, match="standardize=True"):
        make_head(_LAYOUTS[0], 1).standardize(torch.zeros(5), torch.ones(5))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "svm"}, "linear, mlp"),
        ({"inputs": 0}, "inputs"),
        ({"outputs": 2.0}, "outputs"),
        ({"units": 3}, "no units"),
        ({"kind": "mlp"}, "units"),
        ({"kind": "mlp", "units": 3, "activation": "mish"}, "activation"),
        ({"dropout": 1.0}, "dropout"),
        ({"standardize": 1}, "standardize"),
        ({"initial": "big"}, "initial"),
    ],
)
def test_layouts_that_cannot_be(wrong: dict, said: str) -> None:
    values = {"kind": "linear", "inputs": 5, "outputs": 3, **wrong}
    with pytest.raises(InvalidOption, match=said):
        HeadLayout(**values)
    with pytest.raises(ConfigurationError, match=said):
        HeadLayout.from_dict(values)


def test_descriptions_that_cannot_be() -> None:
    with pytest.raises(ConfigurationError, match="dropout"):
        HeadLayout.from_dict({"kind": "linear", "inputs": 5, "outputs": 3, "droput": 0.1})
    with pytest.raises(ConfigurationError, match="lacks inputs, outputs"):
        HeadLayout.from_dict({"kind": "linear"})
