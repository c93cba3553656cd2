"""Optimizers that write to parameters behind autograd's back are noticed by those whose net they change."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

import hear_edgel3
from hear_edgel3.engine.runner import Runner
from hear_edgel3.extractor import steps as watching
from hear_edgel3.extractor.extractor import Extractor
from support import signals


def windows(extractor: Extractor) -> torch.Tensor:
    return torch.from_numpy(signals.clip(extractor.window / extractor.net_sample_rate, extractor.net_sample_rate))[None]


def assert_as_computed(extractor: Extractor) -> None:
    """Its embedding is what its modules compute; the engine torch promises 3e-5 of the peak."""
    audio = windows(extractor)
    with torch.no_grad():
        expected = extractor(audio)
    found = extractor.embed_windows(audio)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-5 * float(expected.abs().max()))


class Quiet(torch.optim.Optimizer):
    """One that writes into ``.data``, as older optimizers of other packages do."""

    def __init__(self, params: object) -> None:
        super().__init__(params, {"lr": 0.01})

    def step(self, closure: object = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.data.mul_(1.02)


@pytest.mark.parametrize("engine", ["torch", "numba"])
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda parameters: torch.optim.Adam(parameters, 1e-3, fused=True),
        lambda parameters: torch.optim.SGD(parameters, 1e-4, fused=True),
        lambda parameters: torch.optim.Adam(parameters, 1e-3),
        Quiet,
    ],
)
def test_steps_of_optimizers_that_do_not_say_so_are_noticed(
    optimizer: Callable[[object], torch.optim.Optimizer], engine: str
) -> None:
    pytest.importorskip(engine)
    extractor = hear_edgel3.load("tiny", engine=engine)
    before = extractor.embed_windows(windows(extractor))
    for twin in (extractor, copy.deepcopy(extractor)):
        twin.embed_windows(windows(twin))
        steps = optimizer(twin.parameters())
        twin(windows(twin)).square().mean().backward()
        steps.step()
        assert float((twin.embed_windows(windows(twin)) - before).abs().max()) > 0
        assert_as_computed(twin)


def test_only_those_forget_whose_net_was_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen, tuned = hear_edgel3.load("tiny"), hear_edgel3.load("tiny")
    frozen.requires_grad_(False)
    frozen.embed_windows(windows(frozen))
    tuned.embed_windows(windows(tuned))
    forgot: list[int] = []
    monkeypatch.setattr(Runner, "forget", lambda self: forgot.append(id(self)))
    steps = torch.optim.SGD(tuned.parameters(), 1e-4, fused=True)
    tuned(windows(tuned)).square().mean().backward()
    steps.step()
    assert forgot == [id(tuned._runner)]
    plain = torch.optim.SGD(tuned.parameters(), 1e-4)
    plain.step()
    assert len(forgot) == 1


def test_watched_extractors_are_let_go_of() -> None:
    extractor = hear_edgel3.load("tiny")
    watching.watch_steps(extractor)
    assert extractor in watching._watching
    before = len(watching._watching)
    del extractor
    assert len(watching._watching) < before
