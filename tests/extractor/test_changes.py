"""A model that changes: new weights, other types, other nets are noticed; copies are independent."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from support import oracle, signals, synthetic
from support.engines import ENGINES
from support.wrapper import noise_clips


def by_the_net(extractor: Extractor, audio: torch.Tensor) -> torch.Tensor:
    """The scene embedding through a fresh copy of the plain net, which cannot know what was compiled before."""
    plain = copy.deepcopy(extractor).eval()
    plain._runner = type(plain._runner)("eager")
    return plain.scene_embeddings(audio)


def other_state() -> dict[str, torch.Tensor]:
    rs = torch.Generator().manual_seed(1)
    state = synthetic.state("sea_64")
    return {k: v * (1 + 0.2 * torch.rand(v.shape, generator=rs)) for k, v in state.items()}


def load_state(extractor: Extractor) -> None:
    extractor.net.load_state_dict(other_state(), strict=False)


def assign_state(extractor: Extractor) -> None:
    extractor.net.load_state_dict(other_state(), strict=False, assign=True)


def change_in_place(extractor: Extractor) -> None:
    with torch.no_grad():
        extractor.net.convs[7].weight.mul_(1.5)


def change_a_norm(extractor: Extractor) -> None:
    extractor.net.norms[7].running_mean.add_(0.5)


def optimise(extractor: Extractor) -> None:
    optimizer = torch.optim.SGD(extractor.net.parameters(), lr=1e-3)
    extractor(torch.from_numpy(signals.windows(8000)[3:4])).sum().backward()
    optimizer.step()


def replace_a_parameter(extractor: Extractor) -> None:
    extractor.net.convs[7].bias = torch.nn.Parameter(extractor.net.convs[7].bias.detach() + 1)


def replace_the_net(extractor: Extractor) -> None:
    net = synthetic.row("sea_64").net.build()
    net.load_state_dict(other_state(), strict=False)
    extractor.net = net


def train_the_norms(extractor: Extractor) -> None:
    extractor.train()
    with torch.no_grad():
        extractor(torch.from_numpy(signals.windows(8000)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "change",
    [
        load_state,
        assign_state,
        change_in_place,
        change_a_norm,
        optimise,
        replace_a_parameter,
        replace_the_net,
        train_the_norms,
    ],
)
def test_changes_are_noticed(
    change: Callable[[Extractor], None], engine: str, weights_folder: Path, audio: torch.Tensor
) -> None:
    extractor = hear_edgel3.load("sea_64", weights_folder, engine=engine)
    before = extractor.scene_embeddings(audio)  # compiles the net
    change(extractor)
    after = extractor.scene_embeddings(audio)
    assert float((after - before).abs().max()) > 1e-2
    peak = float(after.max())  # what the folded engine promises is 3e-5 of it
    np.testing.assert_allclose(after, by_the_net(extractor, audio), rtol=0, atol=3e-5 * peak)


@pytest.mark.parametrize("engine", ["torch", "eager", "auto"])
@pytest.mark.parametrize(
    ("dtype", "atol"),
    [(torch.float64, 5e-5), (torch.float16, 0.1), (torch.bfloat16, 0.8)],  # of embeddings up to 20
)
def test_moves_to_other_types_are_noticed(
    dtype: torch.dtype, atol: float, engine: str, weights_folder: Path, audio: torch.Tensor
) -> None:
    extractor = hear_edgel3.load("sea_64", weights_folder, engine=engine)
    before = extractor.scene_embeddings(audio)
    extractor.to(dtype)
    after = extractor.scene_embeddings(audio)
    assert after.dtype == torch.float32
    assert not torch.equal(after, before)  # it did run in the other type
    np.testing.assert_allclose(after, before, rtol=0, atol=atol)
    extractor.load_state_dict({f"net.{k}": v for k, v in synthetic.state("sea_64").items()}, strict=False)
    extractor.float()
    back = extractor.scene_embeddings(audio)
    assert not torch.equal(back, after)
    np.testing.assert_allclose(back, before, rtol=0, atol=atol)


@pytest.mark.parametrize("engine", sorted(set(ENGINES) - {"torch", "eager"}))
def test_what_cannot_be_run_is_refused(engine: str, weights_folder: Path, audio: torch.Tensor) -> None:
    extractor = hear_edgel3.load("sea_64", weights_folder, engine=engine).double()
    message = f"engine='{engine}' cannot run this net: the net is float64 on cpu, not float32 on cpu; use engine='auto'"
    with pytest.raises(InvalidOption, match=re.escape(message)):
        extractor.scene_embeddings(audio)


def test_double_precision_is_the_oracles(own_sea: Extractor) -> None:
    """In float64 nothing but the rounding of the spectrogram to float32 is left."""
    windows = signals.windows(8000)[:2]
    expected = oracle.forward(synthetic.oracle_weights("sea_64"), windows.astype(np.float64))
    with torch.no_grad():
        found = own_sea.double()(torch.from_numpy(windows))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_copies_are_independent(own_sea: Extractor, audio: torch.Tensor) -> None:
    before = own_sea.scene_embeddings(audio)
    twin = copy.deepcopy(own_sea)
    change_in_place(twin)
    assert not torch.equal(twin.scene_embeddings(audio), before)
    assert torch.equal(own_sea.scene_embeddings(audio), before)


def test_state_dict_round_trip(own_sea: Extractor, weights_folder: Path, audio: torch.Tensor) -> None:
    state = {k: v.clone() for k, v in own_sea.state_dict().items()}
    assert all(key.startswith("net.") for key in state)  # nothing of the front end, nothing of an engine
    before = own_sea.scene_embeddings(audio)
    load_state(own_sea)
    own_sea.load_state_dict(state)
    assert torch.equal(own_sea.scene_embeddings(audio), before)


def test_new_weights_are_noticed(load_native) -> None:
    """Changed in place, the net is compiled anew; a copy and a pickle are models of their own."""
    model, audio = load_native("mn01_as"), noise_clips(6000)
    before = model.scene_embeddings(audio)
    twin, again = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    with torch.no_grad():
        model.net.features[0][0].weight.mul_(1.5)
    after = model.scene_embeddings(audio)
    assert not torch.equal(after, before)
    assert torch.equal(twin.scene_embeddings(audio), before)
    assert torch.equal(again.scene_embeddings(audio), before)
    assert len(pickle.dumps(model)) < 1.5e6  # 124,000 parameters, once
    model.net.select(["mel_avgs", "b5", "b11", "b13", "b15"], "max_ch")
    assert not torch.equal(model.scene_embeddings(audio), after)


def test_a_pickle_holds_the_weights_once(sea: Extractor) -> None:
    sea.scene_embeddings(torch.zeros(1, 16000))
    data = pickle.dumps(sea)
    assert len(data) < 2.5e6  # the parameters are 1.6 MB
    again = pickle.loads(data)
    audio = signals.clip(0.3, 16000)[None]
    assert torch.equal(again.scene_embeddings(audio), sea.scene_embeddings(audio))
