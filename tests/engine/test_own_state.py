"""What a caller has asked torch for does not matter to what is made within, and is there again behind it."""

from __future__ import annotations

import threading

import numpy as np
import torch

from hear_edgel3.engine.callers_state import own_state
from support.states import strange_state


def test_what_is_made_is_what_torch_makes_if_nothing_was_asked_for() -> None:
    made = {
        "empty": lambda: torch.empty(1),
        "full": lambda: torch.full((2,), 0.5),
        "full of whole numbers": lambda: torch.full((2,), 5),
        "tensor": lambda: torch.tensor([[1, 0.1], [2, 3]]),
        "tensor of whole numbers": lambda: torch.tensor([1, 2]),
        "tensor of an array": lambda: torch.tensor(np.array([0.1])),
        "arange": lambda: torch.arange(0, 1, 0.25),
        "arange of whole numbers": lambda: torch.arange(5),
        "a type": lambda: torch.zeros(2, dtype=torch.float64),
        "a layer": lambda: torch.nn.Linear(2, 3).weight,
        "a product": lambda: torch.ones(2, 2) @ torch.ones(2, 2),
        "drawn": lambda: torch.rand(3, generator=torch.Generator("cpu").manual_seed(1)),
    }
    usual = {name: make() for name, make in made.items()}
    with strange_state(), own_state():
        found = {name: make() for name, make in made.items()}
        learns = torch.nn.Linear(2, 1)(torch.ones(1, 2)).sum()
        learns.backward()
    for name, value in usual.items():
        assert (found[name].dtype, found[name].device, found[name].requires_grad) == (
            value.dtype,
            value.device,
            value.requires_grad,
        ), name
        if name not in ("empty", "a layer"):
            assert torch.equal(found[name], value), name


def test_other_threads_notice_nothing() -> None:
    seen = []
    torch.set_default_dtype(torch.float64)
    try:
        with own_state():
            assert torch.zeros(1).dtype == torch.float32
            thread = threading.Thread(target=lambda: seen.append(torch.zeros(1).dtype))
            thread.start()
            thread.join()
    finally:
        torch.set_default_dtype(torch.float32)
    assert seen == [torch.float64]
