"""What the caller's modes and types have to do with embeddings: nothing; and their own modes come back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.audio.filter_bank import filter_bank
from hear_edgel3.audio.resample import resample
from hear_edgel3.engine.runner import Ready, Runner
from hear_edgel3.errors import HearEdgeL3Error
from hear_edgel3.extractor.extractor import Extractor
from support import signals, synthetic
from support.engines import ENGINES
from support.wrapper import TOLERANCE, assert_same, embedder, noise_clips

# --- modes and gradients ---


@pytest.mark.parametrize("method", ["scene_embeddings", "timestamp_embeddings"])
def test_the_mode_comes_back(method: str, own_sea: Extractor, audio: torch.Tensor) -> None:
    expected = own_sea.scene_embeddings(audio)
    statistics = own_sea.net.norms[0].running_mean.clone()
    own_sea.train()
    own_sea.net.norms[3].eval()
    modes = {name: module.training for name, module in own_sea.named_modules()}
    assert sorted(set(modes.values())) == [False, True]
    getattr(own_sea, method)(audio)
    assert {name: module.training for name, module in own_sea.named_modules()} == modes
    assert torch.equal(own_sea.net.norms[0].running_mean, statistics)
    assert torch.equal(own_sea.scene_embeddings(audio), expected)  # in eval mode all the same


def test_the_mode_comes_back_after_an_error(own_sea: Extractor) -> None:
    own_sea.train()
    with pytest.raises(HearEdgeL3Error):
        own_sea.scene_embeddings(torch.full((1, 16000), float("nan")))

    class Broken(Runner):
        def ready(self, net: torch.nn.Module, kept: object | None = None) -> Ready:
            raise RuntimeError("out of memory")

    own_sea._runner = Broken()
    with pytest.raises(RuntimeError, match="out of memory"):
        own_sea.scene_embeddings(torch.zeros(1, 16000))
    assert all(module.training for module in own_sea.modules())
    assert torch.is_grad_enabled()


def test_files_leave_the_mode_alone(own_sea: Extractor, tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", signals.clip(0.5, 8000), 8000)
    expected = hear_edgel3.embed_file(tmp_path / "a.wav", own_sea).embedding
    own_sea.train()
    np.testing.assert_array_equal(hear_edgel3.embed_file(tmp_path / "a.wav", own_sea).embedding, expected)
    assert all(module.training for module in own_sea.modules())


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


def test_forward_is_the_embedding_of_one_window(own_sea: Extractor) -> None:
    windows = torch.from_numpy(signals.windows(8000))
    native = own_sea.eval()(windows)
    assert native.requires_grad
    with np.load(synthetic.DATA / "golden.npz") as golden:
        np.testing.assert_allclose(native.detach(), golden["emb__sea_64"], rtol=0, atol=4e-5)


@pytest.mark.parametrize("name", ["sea_64", "mn01_as"])
def test_results_carry_no_gradient_and_can_be_trained_on(name: str, load: Callable[..., Extractor]) -> None:
    model = load(name)
    scene = model.scene_embeddings(signals.clip(0.3, model.sample_rate)[None])
    assert not scene.requires_grad
    probe = torch.nn.Linear(model.scene_embedding_size, 2)
    probe(scene).sum().backward()  # inference tensors could not be saved for this
    assert probe.weight.grad is not None


def test_inference_mode_leaves_no_traces(weights_folder: Path) -> None:
    """Loading and embedding inside it work, and training afterwards does too."""
    filter_bank.cache_clear()
    audio = torch.from_numpy(signals.clip(0.3, 16000)).float()[None]
    with torch.inference_mode():
        model = hear_edgel3.load("sea_64", weights_folder)
        inside = model.scene_embeddings(audio)
    torch.testing.assert_close(model.scene_embeddings(audio), inside, rtol=0, atol=0)
    half = resample(audio.clone().requires_grad_(), 16000, 8000)
    windows = torch.nn.functional.pad(half, (0, 8000 - half.shape[1]))
    model.train()(torch.cat([windows, windows * 0.5])).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_default_dtype_does_not_show(kind: torch.dtype, sea: Extractor) -> None:
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        embeddings, timestamps = sea.timestamp_embeddings(signals.clip(0.3, 16000)[None])
    finally:
        torch.set_default_dtype(before)
    assert embeddings.dtype == timestamps.dtype == torch.float32


# --- as a module ---


def test_train_mode_does_not_show(load_native) -> None:
    """HEAR's tools never call eval(): embeddings are those of eval mode, and the caller's mode comes back."""
    extractor, audio = load_native("mn01_as_logits"), noise_clips(9000)
    expected, scenes = extractor.timestamp_embeddings(audio)[0], extractor.scene_embeddings(audio)
    state = {name: value.clone() for name, value in extractor.state_dict().items()}
    extractor.train()
    assert torch.equal(extractor.timestamp_embeddings(audio)[0], expected)
    assert torch.equal(extractor.scene_embeddings(audio), scenes)
    assert all(module.training for module in extractor.modules())
    assert all(torch.equal(value, state[name]) for name, value in extractor.state_dict().items())
    assert all(name.startswith("net.") for name in state)


def test_forward_is_front_end_and_net(mn04: Extractor) -> None:
    windows = torch.from_numpy(noise_clips(5120, 3))
    with torch.no_grad():
        found = mn04(windows)
    assert torch.equal(found, mn04.net(mn04.frontend(windows)))
    assert_same(found, embedder("mn04_as")(windows), TOLERANCE)
    assert_same(found, torch.stack([mn04.scene_embeddings(w[None])[0] for w in windows]), 3e-5)


@pytest.mark.parametrize(("kind", "tolerance"), [("double", 1e-6), ("half", 2e-2)])
def test_other_precisions(kind: str, tolerance: float, load_native) -> None:
    """As of the L3 family: the model converts, and embeddings stay float32."""
    model, audio = load_native("mn01_as"), noise_clips(9000)
    expected, scenes = model.timestamp_embeddings(audio)[0], model.scene_embeddings(audio)
    getattr(model, kind)()
    found, found_scenes = model.timestamp_embeddings(audio)[0], model.scene_embeddings(audio)
    assert found.dtype == found_scenes.dtype == torch.float32
    tolerance = max(tolerance, TOLERANCE)
    assert_same(found, expected, tolerance)
    assert_same(found_scenes, scenes, tolerance)
    windows = torch.from_numpy(noise_clips(5120))
    with torch.no_grad():
        assert model(windows).dtype == next(model.parameters()).dtype


def test_loading_under_another_default_dtype(load_native, mn01: Extractor) -> None:
    audio = noise_clips(6000)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model = load_native("mn01_as")
        found = model.scene_embeddings(audio)
    finally:
        torch.set_default_dtype(before)
    assert found.dtype == torch.float32
    assert_same(found, mn01.scene_embeddings(audio), TOLERANCE)
