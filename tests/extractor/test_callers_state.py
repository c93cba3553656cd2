"""The caller's torch state neither matters nor changes: modes with threads, autocast, default types, generators."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import pytest
import torch

import hear_edgel3
from hear_edgel3.engine.eval_mode import in_eval_mode
from hear_edgel3.extractor.extractor import Extractor
from support import signals
from support.engines import ENGINES


@pytest.fixture(scope="module")
def clip() -> torch.Tensor:
    return torch.from_numpy(signals.clip(0.5, 48000))[None]


@pytest.fixture
def default_dtype() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


def state_of(model: Extractor) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_unchanged(model: Extractor, before: dict[str, torch.Tensor]) -> None:
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == []


@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_threads_share_a_model_in_train_mode(engine: str, clip: torch.Tensor) -> None:
    """Dropout, jittered mel bands and the batch's own statistics are for training alone."""
    model = hear_edgel3.load("tiny", engine=engine)
    expected, before = model.scene_embeddings(clip), state_of(model)
    model.train()
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: model.scene_embeddings(clip), range(24)))
    for scene in found:
        assert torch.equal(scene, expected)
    assert_unchanged(model, before)
    assert all(module.training for module in model.modules())


def test_another_thread_never_sees_it_switched(clip: torch.Tensor) -> None:
    model = hear_edgel3.load("tiny", engine="eager").train()
    seen, done = set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.update(module.training for module in model.modules())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(3):
        model.scene_embeddings(clip)
    done.set()
    watcher.join()
    assert seen == {True}


def test_a_copy_in_eval_mode_shares_its_tensors_and_hooks() -> None:
    shared = torch.nn.Linear(3, 3)
    net = torch.nn.Sequential(shared, torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(3), shared).train()
    twin = in_eval_mode(net)
    assert twin is not net
    assert {id(p) for p in twin.parameters()} == {id(p) for p in net.parameters()}
    assert twin[0] is twin[3]
    called = []
    net[1].register_forward_hook(lambda *_: called.append(1))
    twin(torch.zeros(2, 3))
    assert called == [1]
    assert all(module.training for module in net.modules())
    assert not any(module.training for module in twin.modules())
    net.eval()
    assert in_eval_mode(net) is net


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("engine", ENGINES)
def test_autocast_around_the_first_call_and_later_ones(engine: str, dtype: torch.dtype, clip: torch.Tensor) -> None:
    expected = hear_edgel3.load("tiny", engine=engine).scene_embeddings(clip)
    model = hear_edgel3.load("tiny", engine=engine)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(model.scene_embeddings(clip), expected)
        assert torch.is_autocast_enabled("cpu")
    assert torch.equal(model.scene_embeddings(clip), expected)


def test_autocast_around_everything(clip: torch.Tensor, weights_folder, tmp_path) -> None:
    """Loading, converting rates, streams and means."""
    expected = hear_edgel3.load("sea_64", weights_folder).scene_embeddings(clip)
    tags = hear_edgel3.Tagger().tag_samples(clip[0], 44100).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model = hear_edgel3.load("sea_64", weights_folder)
        assert torch.equal(model.scene_embeddings(clip), expected)
        assert (hear_edgel3.Tagger().tag_samples(clip[0], 44100).logits == tags).all()
        list(model.stream([clip[0]]))


def test_forward_is_the_callers(clip: torch.Tensor) -> None:
    """Who trains under autocast wants it."""
    model = hear_edgel3.load("tiny")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(clip[:, :16000])
    assert not torch.equal(found.float(), model(clip[:, :16000]))
    found.float().square().mean().backward()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_default_type(engine: str, clip: torch.Tensor, default_dtype: None) -> None:
    """While loading, while compiling, and after both."""
    expected = hear_edgel3.load("tiny", engine=engine).scene_embeddings(clip)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        torch.set_default_dtype(torch.float32)
        loaded_before = hear_edgel3.load("tiny", engine=engine)
        torch.set_default_dtype(dtype)
        loaded_within = hear_edgel3.load("tiny", engine=engine)
        assert {value.dtype for value in loaded_within.state_dict().values()} == {torch.float32, torch.int64}
        for model in (loaded_before, loaded_within):
            assert torch.equal(model.scene_embeddings(clip), expected), dtype
        moments = list(loaded_within.stream([clip[0]]))
        assert {moment.embedding.dtype for moment in moments} == {torch.float32}
        torch.set_default_dtype(torch.float32)
        assert torch.equal(loaded_within.scene_embeddings(clip), expected), dtype


def test_the_default_type_and_no_clips(default_dtype: None) -> None:
    model = hear_edgel3.load("tiny")
    torch.set_default_dtype(torch.float64)
    none = torch.zeros(0, 16000)
    found = (model.scene_embeddings(none), *model.timestamp_embeddings(none))
    assert {values.dtype for values in found} == {torch.float32}


@pytest.mark.parametrize("name", ["sea_64", "sparse_95"])
def test_the_default_type_and_the_kernels(name: str, load, default_dtype: None) -> None:
    audio = torch.from_numpy(signals.clip(0.5, 16000))[None]
    expected = load(name).scene_embeddings(audio)
    torch.set_default_dtype(torch.float64)
    assert torch.equal(load(name).scene_embeddings(audio), expected)


def test_a_default_device_while_running(clip: torch.Tensor) -> None:
    model = hear_edgel3.load("tiny")
    expected = model.scene_embeddings(clip)
    with torch.device("meta"):
        assert torch.equal(hear_edgel3.load("tiny").scene_embeddings(clip), expected)
        stream = model.stream()
        stream.warm_up()
        assert len(stream.feed(clip[0])) > 0


@pytest.mark.parametrize("name", ["tiny", "sea_64"])
def test_the_callers_random_numbers(name: str, load, clip: torch.Tensor) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load(name).scene_embeddings(clip[:, :8000])
    assert torch.equal(torch.rand(3), expected)


def test_no_lock_is_held_while_an_extractor_embeds() -> None:
    """A lock that another thread holds at a fork is never free in the child: Python 3.11 has one there."""
    assert [name for name, value in vars(Extractor).items() if isinstance(value, cached_property)] == []


class _SameMemory(torch.nn.Module):
    """What it puts out is always in the same place, as with ``torch.compile(mode="reduce-overhead")`` on a GPU."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net
        self.found: dict[torch.Size, torch.Tensor] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.net(x)
        return self.found.setdefault(found.shape, torch.empty_like(found)).copy_(found)


@pytest.mark.parametrize("engine", ["torch", "eager"])
def test_embeddings_are_the_callers_whatever_net_made_them(engine: str, clip: torch.Tensor) -> None:
    model = hear_edgel3.load("tiny", engine=engine)
    model.net = _SameMemory(model.net)
    windows = clip[:, :5120]
    calls = [
        lambda x: model.timestamp_embeddings(x, hop_ms=1000)[0],
        model.scene_embeddings,
        model.embed_windows,
    ]
    for call in calls:
        first = call(windows)
        before = first.clone()
        assert not torch.equal(call(0.3 * windows.flip(1)), before)
        assert torch.equal(first, before)


@pytest.mark.parametrize(("name", "samples"), [("tiny", 5120), ("sea_64", 8000)])
def test_a_fresh_extractor_is_exported(name: str, samples: int, load) -> None:
    windows = 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    model = load(name)
    exported = torch.export.export(model, (windows,)).module()
    torch.testing.assert_close(exported(windows), model(windows), rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ["torch", "numba", "onnxruntime", "eager"])
def test_writes_through_data(engine: str, own_sea: Extractor, weights_folder) -> None:
    """They cannot be noticed; a call says that there were some."""
    audio = torch.from_numpy(signals.clip(0.5, 16000))[None]
    model = hear_edgel3.load("sea_64", weights_folder, engine=engine)
    first = model.scene_embeddings(audio)
    for parameter in model.parameters():
        parameter.data.mul_(1.05)
    model.forget_compiled()
    changed = model.scene_embeddings(audio)
    own_sea.load_state_dict(model.state_dict())
    torch.testing.assert_close(changed, own_sea.scene_embeddings(audio), rtol=0, atol=1e-4 * float(changed.abs().max()))
    assert float((changed - first).abs().max()) > 0.01 * float(first.abs().max())
