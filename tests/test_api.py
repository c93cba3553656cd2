"""The package as Python sees it: cheap to import, a module per configuration, and a model that notices its changes."""

from __future__ import annotations

import copy
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.engine.runner import Runner
from hear_edgel3.engine.runner import names as engine_names
from hear_edgel3.errors import (
    HearEdgeL3Error,
    InvalidOption,
    UnknownConfiguration,
    WeightsNotFound,
)
from hear_edgel3.extractor.extractor import Extractor
from support import oracle, signals, synthetic

ENGINES = [name for name in engine_names() if name != "auto"]


@pytest.fixture
def sea(weights_folder: Path) -> Extractor:
    """A fresh model for every test, because tests change it."""
    return hear_edgel3.load("sea_64", weights_folder)


@pytest.fixture(scope="module")
def audio() -> torch.Tensor:
    return torch.from_numpy(signals.clip(0.7, 16000))[None]


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


# --- importing ---


def test_importing_is_cheap_silent_and_offline() -> None:
    code = """
import logging, socket, sys, threading, warnings

def forbidden(*arguments, **options):
    raise AssertionError("a socket was opened")

socket.socket.connect = forbidden
socket.create_connection = forbidden
socket.getaddrinfo = forbidden
before = set(sys.modules)
import hear_edgel3
import hear_edgel3.sparse_95, hear_edgel3.sea_64
assert "sparse_95" in dir(hear_edgel3)
hear_edgel3.list_configurations()
new = {name.partition(".")[0] for name in set(sys.modules) - before}
outside = {name for name in new if name not in sys.stdlib_module_names} - {"hear_edgel3"}
assert not outside, outside
assert threading.active_count() == 1
assert not logging.getLogger().handlers
assert not logging.getLogger("hear_edgel3").handlers
modules = ("extractor.extractor", "extractor.loading", "families.l3.net", "cli")
heavy = {f"hear_edgel3.{name}" for name in modules} & set(sys.modules)
assert not heavy, heavy
"""
    done = python(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_using_it_imports_torch_and_opens_no_socket(weights_folder: Path) -> None:
    code = """
import socket, sys
socket.socket.connect = socket.create_connection = socket.getaddrinfo = None
import hear_edgel3
assert "torch" not in sys.modules
extractor = hear_edgel3.load("sea_64", engine="torch")  # numba would say that it compiles
assert "torch" in sys.modules
assert "soundfile" not in sys.modules
import torch
print(tuple(extractor.scene_embeddings(torch.zeros(1, 16000)).shape))
"""
    done = python(code, HEAR_EDGEL3_WEIGHTS=str(weights_folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, "(1, 64)\n", "")


def test_dir() -> None:
    listed = dir(hear_edgel3)
    assert listed == sorted(set(listed))
    assert set(hear_edgel3.list_configurations()) < set(listed)
    public = {"load", "embed_file", "list_configurations", "Extractor", "TimestampContract", "HearEdgeL3Error"}
    assert public < set(listed)
    for name in listed:
        assert getattr(hear_edgel3, name) is not None, name


def test_configurations() -> None:
    names = hear_edgel3.list_configurations()
    levels = (53, 63, 72, 73, 81, 87, 90, 95)
    sparse = {f"sparse_{n}{end}" for n in levels for end in ("", "_kd")}
    assert set(hear_edgel3.list_configurations("l3")) == sparse | {f"sea_{n}" for n in (64, 128, 256, 512)}
    assert len(names) == len(set(names)) == 56
    assert names[0] == "tiny"  # the one that is there already
    of_families = [hear_edgel3.list_configurations(family) for family in ("l3", "mobilenetv3")]
    assert sorted(names) == sorted(of_families[0] + of_families[1])
    with pytest.raises(UnknownConfiguration, match="there is no family 'l4'; the families are: l3, mobilenetv3"):
        hear_edgel3.list_configurations("l4")
    names.clear()  # a copy: the table is not the caller's
    assert hear_edgel3.list_configurations()


@pytest.mark.parametrize("name", hear_edgel3.list_configurations())
def test_every_configuration_is_a_hear_module(name: str) -> None:
    module = importlib.import_module(f"hear_edgel3.{name}")
    assert module is getattr(hear_edgel3, name)
    assert module.__name__ == f"hear_edgel3.{name}"
    assert module.__doc__ is not None
    assert name in module.__doc__
    assert sorted(module.__all__) == ["get_scene_embeddings", "get_timestamp_embeddings", "load_model"]
    for function in module.__all__:
        assert callable(getattr(module, function))
        assert getattr(module, function).__doc__
    assert importlib.reload(module) is module


def test_a_module_loads_its_own_configuration(weights_folder: Path) -> None:
    from hear_edgel3 import sea_64, sea_128

    for module, size in ((sea_64, 64), (sea_128, 128)):
        model = module.load_model(str(weights_folder / f"sea_{size}.safetensors"), hop_ms=100.0)
        assert model.configuration.name == f"sea_{size}"
        assert module.get_scene_embeddings(torch.zeros(1, 16000), model).shape == (1, size)
        embeddings, timestamps = module.get_timestamp_embeddings(torch.zeros(1, 16000), model)
        assert timestamps[0].tolist() == [100.0 * k for k in range(11)]
        assert embeddings.shape == (1, 11, size)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("sparse_96", "sparse_95"),
        ("sea64", "sea_64"),
        ("sparse_95_kb", "sparse_95_kd"),
        ("mn10_as_clf3", "clf1, clf2"),
    ],
)
def test_unknown_modules_suggest_near_names(name: str, near: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"No module named 'hear_edgel3.{name}': there is no") as caught:
        importlib.import_module(f"hear_edgel3.{name}")
    assert near in str(caught.value)
    assert caught.value.name == f"hear_edgel3.{name}"
    assert f"hear_edgel3.{name}" not in sys.modules


def test_names_that_resemble_nothing() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'hear_edgel3.zzzzzzzz': .*`hear-edgel3 list`"):
        importlib.import_module("hear_edgel3.zzzzzzzz")
    with pytest.raises(ImportError, match="cannot import name 'nope' from 'hear_edgel3'"):
        from hear_edgel3 import nope  # noqa: F401
    with pytest.raises(AttributeError, match="module 'hear_edgel3' has no attribute 'nope'"):
        hear_edgel3.nope  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("hear_edgel3.sea_64.deeper")
    assert not hasattr(hear_edgel3, "__wrapped__")


def test_other_packages_are_left_to_others() -> None:
    assert importlib.util.find_spec("sparse_95") is None
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'sea_64'$"):
        importlib.import_module("sea_64")


def test_the_finder_is_installed_once() -> None:
    importlib.reload(hear_edgel3)
    assert sum(type(finder).__name__ == "ConfigurationFinder" for finder in sys.meta_path) == 1


# --- load ---

BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"sample_rate": 0}, "sample_rate must be between 8000 and 192000 Hz, got 0"),
    ({"sample_rate": 7999}, "sample_rate must be between 8000 and 192000 Hz, got 7999"),
    ({"sample_rate": 192001}, "sample_rate must be between 8000 and 192000 Hz, got 192001"),
    ({"sample_rate": "16000"}, "sample_rate must be a whole number of Hz, got '16000'"),
    ({"sample_rate": 16000.5}, "sample_rate must be a whole number of Hz, got 16000.5"),
    ({"sample_rate": True}, "sample_rate must be a whole number of Hz, got True"),
    ({"hop_ms": 0}, "hop_ms must be a positive number of milliseconds, got 0"),
    ({"hop_ms": -50}, "hop_ms must be a positive number"),
    ({"hop_ms": float("nan")}, "hop_ms must be a positive number"),
    ({"hop_ms": float("inf")}, "hop_ms must be a positive number"),
    ({"hop_ms": "50"}, "hop_ms must be a positive number of milliseconds, got '50'"),
    ({"hop_ms": 0.1}, "hop_ms=0.1 is less than one sample at 8000 Hz; use at least 0.125"),
    ({"engine": "jax"}, "engine must be one of auto, numba, torch, onnxruntime, openvino, eager; got 'jax'"),
    ({"engine": None}, "engine must be one of auto, numba, torch, onnxruntime, openvino, eager; got None"),
    ({"features": ["logits"]}, "sea_64 has one kind of embedding"),
    ({"features": []}, "features is empty"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=str)
def test_options_are_checked_before_weights_are_looked_for(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        hear_edgel3.load("sea_64", weights="nowhere.safetensors", **options)
    assert message in str(caught.value)
    with pytest.raises(InvalidOption):
        hear_edgel3.sea_64.load_model("nowhere.safetensors", **options)


@pytest.mark.parametrize("name", ["sparse_96", "SEA_64", "", "load", None, 5, "../sea_64"])
def test_unknown_names(name: Any) -> None:
    with pytest.raises(UnknownConfiguration, match="there is no configuration") as caught:
        hear_edgel3.load(name)
    assert isinstance(caught.value, LookupError)
    assert isinstance(caught.value, HearEdgeL3Error)


def test_unknown_options() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'hop_size'"):
        hear_edgel3.load("sea_64", hop_size=0.1)


def test_missing_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound, match=r"nowhere.safetensors does not exist"):
        hear_edgel3.load("sea_64", tmp_path / "nowhere.safetensors")
    with pytest.raises(FileNotFoundError, match=r"has no sea_64.safetensors"):
        hear_edgel3.load("sea_64", tmp_path)


@pytest.mark.parametrize("rate", [8000, 16000.0, np.int64(44100), 192000])
def test_rates_that_can_be_fed(rate: Any, weights_folder: Path) -> None:
    extractor = hear_edgel3.load("sea_64", weights_folder, sample_rate=rate)
    assert extractor.sample_rate == rate
    assert type(extractor.sample_rate) is int


def test_a_loaded_model_is_ready_to_run(sea: Extractor, weights_folder: Path) -> None:
    assert isinstance(sea, torch.nn.Module)
    assert not any(module.training for module in sea.modules())
    assert {p.device.type for p in sea.parameters()} == {"cpu"}
    assert all(p.dtype == torch.float32 and p.requires_grad for p in sea.parameters())
    assert sea.weights is not None
    assert sea.weights.path == str(weights_folder / "sea_64.safetensors")
    assert (sea.sample_rate, sea.net_sample_rate, sea.window) == (16000, 8000, 8000)
    assert (sea.scene_embedding_size, sea.timestamp_embedding_size) == (64, 64)
    assert sea.engine == "numba"


# --- a model that changes ---


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


def test_double_precision_is_the_oracles(sea: Extractor) -> None:
    """In float64 nothing but the rounding of the spectrogram to float32 is left."""
    windows = signals.windows(8000)[:2]
    expected = oracle.forward(synthetic.oracle_weights("sea_64"), windows.astype(np.float64))
    with torch.no_grad():
        found = sea.double()(torch.from_numpy(windows))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_copies_are_independent(sea: Extractor, audio: torch.Tensor) -> None:
    before = sea.scene_embeddings(audio)
    twin = copy.deepcopy(sea)
    change_in_place(twin)
    assert not torch.equal(twin.scene_embeddings(audio), before)
    assert torch.equal(sea.scene_embeddings(audio), before)


def test_state_dict_round_trip(sea: Extractor, weights_folder: Path, audio: torch.Tensor) -> None:
    state = {k: v.clone() for k, v in sea.state_dict().items()}
    assert all(key.startswith("net.") for key in state)  # nothing of the front end, nothing of an engine
    before = sea.scene_embeddings(audio)
    load_state(sea)
    sea.load_state_dict(state)
    assert torch.equal(sea.scene_embeddings(audio), before)


# --- modes and gradients ---


@pytest.mark.parametrize("method", ["scene_embeddings", "timestamp_embeddings"])
def test_the_mode_comes_back(method: str, sea: Extractor, audio: torch.Tensor) -> None:
    expected = sea.scene_embeddings(audio)
    statistics = sea.net.norms[0].running_mean.clone()
    sea.train()
    sea.net.norms[3].eval()
    modes = {name: module.training for name, module in sea.named_modules()}
    assert sorted(set(modes.values())) == [False, True]
    getattr(sea, method)(audio)
    assert {name: module.training for name, module in sea.named_modules()} == modes
    assert torch.equal(sea.net.norms[0].running_mean, statistics)
    assert torch.equal(sea.scene_embeddings(audio), expected)  # in eval mode all the same


def test_the_mode_comes_back_after_an_error(sea: Extractor) -> None:
    sea.train()
    with pytest.raises(HearEdgeL3Error):
        sea.scene_embeddings(torch.full((1, 16000), float("nan")))

    class Broken(Runner):
        def embed(self, net: torch.nn.Module, frontend: torch.nn.Module, windows: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("out of memory")

    sea._runner = Broken()
    with pytest.raises(RuntimeError, match="out of memory"):
        sea.scene_embeddings(torch.zeros(1, 16000))
    assert all(module.training for module in sea.modules())
    assert torch.is_grad_enabled()


def test_files_leave_the_mode_alone(sea: Extractor, tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", signals.clip(0.5, 8000), 8000)
    expected = hear_edgel3.embed_file(tmp_path / "a.wav", sea).embedding
    sea.train()
    np.testing.assert_array_equal(hear_edgel3.embed_file(tmp_path / "a.wav", sea).embedding, expected)
    assert all(module.training for module in sea.modules())


@pytest.mark.parametrize("engine", ENGINES)
def test_no_gradients_through_embeddings(engine: str, weights_folder: Path, audio: torch.Tensor) -> None:
    extractor = hear_edgel3.load("sea_64", weights_folder, engine=engine)
    given = audio.clone().requires_grad_()
    scene = extractor.scene_embeddings(given)
    embeddings, timestamps = extractor.timestamp_embeddings(given)
    for result in (scene, embeddings, timestamps):
        assert not result.requires_grad
        assert not result.is_inference()  # so that a head can be trained on it
    assert given.grad is None
    assert all(p.grad is None and p.requires_grad for p in extractor.parameters())


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
def test_gradients_are_finite(sound: str, train: bool, sea: Extractor) -> None:
    windows = SOUNDS[sound]().requires_grad_()
    sea.train(train)
    result = sea(windows)
    assert result.shape == (1, 64)
    assert bool(torch.isfinite(result).all())
    result.square().sum().backward()
    assert windows.grad is not None
    assert bool(torch.isfinite(windows.grad).all())
    for name, parameter in sea.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
    if sound == "noise":
        assert float(windows.grad.abs().max()) > 0
        assert all(float(p.grad.abs().max()) > 0 for p in sea.parameters() if p.grad is not None and p.ndim == 4)


@pytest.mark.parametrize("sound", SOUNDS)
def test_gradients_of_the_front_end_are_finite(sound: str, sea: Extractor) -> None:
    windows = SOUNDS[sound]().requires_grad_()
    image = sea.frontend(windows)
    assert image.shape == (1, 64, 50)
    image.mean().backward()
    assert windows.grad is not None
    assert bool(torch.isfinite(windows.grad).all())
    if sound == "silence":
        assert float(image.detach().abs().max()) == 0
        assert float(windows.grad.abs().max()) == 0
    if sound == "noise":
        assert float(windows.grad.abs().max()) > 0


def test_gradients_of_the_net_alone(sea: Extractor) -> None:
    image = torch.full((2, 64, 50), -40.0).requires_grad_()
    sea.net(image).sum().backward()
    assert image.grad is not None
    assert bool(torch.isfinite(image.grad).all())
    assert float(image.grad.abs().max()) > 0


def test_forward_is_the_embedding_of_one_window(sea: Extractor) -> None:
    windows = torch.from_numpy(signals.windows(8000))
    native = sea.eval()(windows)
    assert native.requires_grad
    with np.load(synthetic.DATA / "golden.npz") as golden:
        np.testing.assert_allclose(native.detach(), golden["emb__sea_64"], rtol=0, atol=4e-5)


def test_a_step_of_training_learns(sea: Extractor) -> None:
    windows = torch.from_numpy(signals.windows(8000))
    target = torch.zeros(len(windows), 64)
    optimizer = torch.optim.Adam(sea.parameters(), lr=1e-3)
    losses = []
    sea.train()
    for _ in range(3):
        optimizer.zero_grad()
        loss = (sea(windows) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[2] < losses[0]
