"""Gradients of the L3 family: finite, right, and good enough to train with."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch

from hear_edgel3.extractor.extractor import Extractor
from support import signals, synthetic

SOUNDS: dict[str, Callable[[], torch.Tensor]] = {
    "noise": lambda: torch.from_numpy(signals.windows(8000)[3:4]),
    "silence": lambda: torch.zeros(1, 8000),
    "constant": lambda: torch.full((1, 8000), 0.5),
    "impulse": lambda: torch.nn.functional.one_hot(torch.tensor([4000]), 8000).float(),
    "denormal": lambda: torch.full((1, 8000), 1e-42),
    "loud": lambda: torch.from_numpy(signals.windows(8000)[:1]) * 1e6,
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("sound", SOUNDS)
def test_gradients_are_finite(sound: str, train: bool, own_sea: Extractor) -> None:
    windows = SOUNDS[sound]().requires_grad_()
    own_sea.train(train)
    result = own_sea(windows)
    assert result.shape == (1, 64)
    assert bool(torch.isfinite(result).all())
    result.square().sum().backward()
    assert windows.grad is not None
    assert bool(torch.isfinite(windows.grad).all())
    for name, parameter in own_sea.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
    if sound == "noise":
        assert float(windows.grad.abs().max()) > 0
        assert all(float(p.grad.abs().max()) > 0 for p in own_sea.parameters() if p.grad is not None and p.ndim == 4)


@pytest.mark.parametrize("sound", SOUNDS)
def test_gradients_of_the_front_end_are_finite(sound: str, own_sea: Extractor) -> None:
    windows = SOUNDS[sound]().requires_grad_()
    image = own_sea.frontend(windows)
    assert image.shape == (1, 64, 50)
    image.mean().backward()
    assert windows.grad is not None
    assert bool(torch.isfinite(windows.grad).all())
    if sound == "silence":
        assert float(image.detach().abs().max()) == 0
        assert float(windows.grad.abs().max()) == 0
    if sound == "noise":
        assert float(windows.grad.abs().max()) > 0


def test_gradients_of_the_net_alone(own_sea: Extractor) -> None:
    image = torch.full((2, 64, 50), -40.0).requires_grad_()
    own_sea.net(image).sum().backward()
    assert image.grad is not None
    assert bool(torch.isfinite(image.grad).all())
    assert float(image.grad.abs().max()) > 0


def test_a_step_of_training_learns(own_sea: Extractor) -> None:
    windows = torch.from_numpy(signals.windows(8000))
    target = torch.zeros(len(windows), 64)
    optimizer = torch.optim.Adam(own_sea.parameters(), lr=1e-3)
    losses = []
    own_sea.train()
    for _ in range(3):
        optimizer.zero_grad()
        loss = (own_sea(windows) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[2] < losses[0]


def test_gradients_reach_the_audio(load: Callable[[str], Extractor]) -> None:
    for name in ("sea_64", "sparse_95"):
        model = load(name)
        # silence included: a square root before the logarithm would give NaN there
        windows = torch.from_numpy(np.stack([signals.windows(model.window)[1], np.zeros(model.window, np.float32)]))
        windows.requires_grad_()
        model(windows).square().sum().backward()
        assert windows.grad is not None
        assert windows.grad.isfinite().all()
        assert windows.grad[0].abs().max() > 0
        gradients = [p.grad for p in model.parameters()]
        assert all(g is not None and g.isfinite().all() for g in gradients)


def test_front_end_gradient_is_right(sea: Extractor) -> None:
    frontend = synthetic.row("sea_64").frontend.build()
    x = torch.from_numpy(signals.windows(8000)[:1]).double().requires_grad_()

    def loudness(x: torch.Tensor) -> torch.Tensor:
        return frontend(x).double().square().mean()

    (gradient,) = torch.autograd.grad(loudness(x), x)
    step = torch.from_numpy(np.random.RandomState(0).randn(1, 8000)) * 1e-3
    with torch.no_grad():
        slope = (loudness(x + step) - loudness(x - step)) / 2
    # a finite difference through a front end that returns float32
    torch.testing.assert_close((gradient * step).sum(), slope, rtol=2e-2, atol=0)


def test_front_end_and_net_alone_in_half_precision(sea: Extractor) -> None:
    half = copy.deepcopy(sea).half()
    windows = torch.from_numpy(signals.windows(8000))
    torch.testing.assert_close(half.net(half.frontend(windows)), half(windows), rtol=0, atol=0)
