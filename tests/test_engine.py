"""Engines: which one runs a net and why, and what the one of compiled kernels promises."""

from __future__ import annotations

import copy
import importlib.util
import json
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.engine import folded
from hear_edgel3.engine import numba as numba_engine
from hear_edgel3.engine import runner as engines
from hear_edgel3.engine.expected import Choice
from hear_edgel3.engine.expected import expected as expected_engine
from hear_edgel3.engine.kernels import jit as compiled
from hear_edgel3.engine.runner import Runner, modules_of
from hear_edgel3.errors import InvalidOption, MissingExtra
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.registry.names import resolve
from support import signals

# Of an embedding's peak. On noise, float32 sums are all that differs from float64: observed at most 1.1e-6.
FLOAT64_TOLERANCE = 2e-6
# Two engines on the same spectrogram are each off by as much: observed at most 8e-7, on odd sounds too.
TORCH_TOLERANCE = 5e-6
EXPORTED_TOLERANCE = 1e-4  # what their modules promise; observed at most 8e-7

WIDE = (64, 64, 128, 128, 256, 256, 512, 512)
# Of the embedding size of sea_64, whose front end it gets; too few outputs for Winograd, so that little is compiled.
SMALL = (8, 8, 8, 8, 12, 8, 8, 64)
SPARSITIES = sorted({resolve(name).checkpoint.zeros for name in hear_edgel3.list_configurations("l3")} - {0.0})

Captured = pytest.CaptureFixture[str]


def masks(net: L3Net, zeros: float, how: str) -> None:
    """Sets a part of the weights to zero, and scales the others so that activations neither vanish nor explode.

    Args:
        net: of random weights.
        zeros: the part, of all.
        how: "uniform", the same part in every layer, or "early-dense", fewer in the first ones.
    """
    share = 1 - zeros
    factors = {"uniform": [1.0] * 8, "early-dense": [99.0, 4.0, 3.0, 2.0, 1.5, 1.2, 1.0, 0.8]}[how]
    for conv, factor in zip(net.convs, factors, strict=True):
        assert isinstance(conv, nn.Conv2d)
        density = min(1.0, share * factor)
        weights = torch.randn(conv.weight.shape) * (torch.rand(conv.weight.shape) < density)
        conv.weight.copy_(weights * (2 / (9 * density * conv.in_channels)) ** 0.5)


def make_net(channels: Sequence[int], zeros: float, how: str = "early-dense", seed: int = 0) -> L3Net:
    """A seeded net for decibels, in eval mode."""
    torch.manual_seed(seed)
    net = L3Net(channels, final_norm=False).eval()
    with torch.no_grad():
        masks(net, zeros, how)
        for conv, norm in zip(net.convs, [*net.norms, None], strict=True):
            conv.bias.normal_(std=0.1)
            if norm is not None:
                norm.weight.uniform_(0.8, 1.2)
                norm.bias.normal_(std=0.1)
                norm.running_mean.normal_(std=0.1)
                norm.running_var.uniform_(0.8, 1.2)
        net.input_norm.running_mean.fill_(-40.0)
        net.input_norm.running_var.fill_(300.0)
    return net


def make_small(engine: str = "auto", zeros: float = 0.8) -> Extractor:
    """An extractor that takes a millisecond for a window."""
    configuration = resolve("sea_64")
    return Extractor(configuration, configuration.checkpoint.frontend.build(), make_net(SMALL, zeros), engine=engine)


def run(net: nn.Module, x: torch.Tensor, engine: str) -> np.ndarray:
    with torch.no_grad():
        return Runner(engine)(net, x).numpy()


def check(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Equal to a fraction of each embedding's peak."""
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    peaks = np.abs(expected).max(axis=1, keepdims=True)
    assert (peaks > 0.05).all()
    assert (np.ptp(expected, axis=1) > 0.05).all()
    np.testing.assert_allclose(found / peaks, expected / peaks, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def decibels() -> torch.Tensor:
    """(6, 256, 199), of noise-like sounds at 48 kHz."""
    frontend = resolve("sparse_95").checkpoint.frontend.build()
    return frontend(torch.from_numpy(signals.windows(48000)))


@pytest.fixture(scope="module")
def sparse_net() -> L3Net:
    """Of the real shape. Nobody changes it."""
    return make_net(WIDE, 0.9)


@pytest.fixture
def audio() -> torch.Tensor:
    """Half a second at 16 kHz."""
    return torch.from_numpy(signals.clip(0.5, 16000))[None]


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of torch's threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes it look as if a package were not installed."""

    def hide(package: str) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == package else find(name))

    return hide


# --- numbers ---


@pytest.mark.parametrize("how", ["uniform", "early-dense"])
@pytest.mark.parametrize("zeros", SPARSITIES)
def test_sparse_nets_equal_float64(zeros: float, how: str, decibels: torch.Tensor) -> None:
    """Every published sparsity, with as many zeros everywhere and with fewer in the first layers."""
    number = SPARSITIES.index(zeros)
    net = make_net(WIDE, zeros, how, seed=number)
    x = decibels[number % 6 : number % 6 + 1]
    with torch.no_grad():
        found = run(net, x, "numba")
        expected = net.double()(x).numpy()
    check(found, expected, FLOAT64_TOLERANCE)


@pytest.mark.parametrize("seed", range(3))
def test_dense_nets_of_sea_equal_float64(seed: int) -> None:
    """All layers by Winograd's algorithm, several windows to a vector; torch itself was off by 1.6e-6 to 2.1e-6."""
    x = resolve("sea_512").checkpoint.frontend.build()(torch.from_numpy(signals.windows(8000)))
    net = make_net(WIDE, 0.0, seed=seed)
    found = run(net, x, "numba")
    with torch.no_grad():
        expected = net.double()(x).numpy()
    check(found, expected, FLOAT64_TOLERANCE)


def test_there_are_eight_sparsities() -> None:
    assert len(SPARSITIES) == 8


def test_batches_and_threads_give_the_same_bits(decibels: torch.Tensor, sparse_net: L3Net, threads) -> None:
    runner = Runner("numba")
    many = torch.cat([decibels, decibels.flip(2), decibels[:1].flip(1)])
    with torch.no_grad():
        alone = torch.cat([runner(sparse_net, window[None]) for window in many])
        for n, n_threads in ((2, 1), (3, 2), (7, 3), (13, 8)):
            threads(n_threads)
            assert torch.equal(runner(sparse_net, many[:n]), alone[:n])
    check(alone.numpy()[:2], run(sparse_net, many[:2], "torch"), TORCH_TOLERANCE)


def test_every_number_of_threads(threads) -> None:
    net, runner = make_net(SMALL, 0.8), Runner("numba")
    x = 20 * torch.randn(9, 64, 50) - 40
    with torch.no_grad():
        expected = runner(net, x)
        for n in range(1, 9):
            threads(n)
            assert torch.equal(runner(net, x), expected)


def odd_sounds() -> torch.Tensor:
    t = torch.arange(48000) / 48000
    click = torch.zeros(48000)
    click[24000] = 1
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * t)
    return torch.stack([torch.zeros(48000), click, tone, torch.full((48000,), 0.25), torch.full((48000,), 1e-40)])


def test_odd_sounds(sparse_net: L3Net) -> None:
    """Silence, a click, a tone, a constant and subnormal samples: the same spectrograms go into both nets."""
    x = resolve("sparse_95").checkpoint.frontend.build()(odd_sounds())
    assert torch.isfinite(x).all()
    check(run(sparse_net, x, "numba"), run(sparse_net, x, "torch"), TORCH_TOLERANCE)


def test_odd_spectrograms() -> None:
    """All of one value, subnormal or large ones, and other layouts and types than the front end's."""
    net = make_net(SMALL, 0.8)
    noise = 20 * torch.randn(3, 64, 50) - 40
    for x in (torch.zeros(1, 64, 50), torch.full((1, 64, 50), -80.0), noise * 1e-42, noise * 1e4):
        check(run(net, x, "numba"), run(net, x, "torch"), TORCH_TOLERANCE)
    expected = run(net, noise, "numba")
    np.testing.assert_array_equal(run(net, noise.transpose(1, 2).contiguous().transpose(1, 2), "numba"), expected)
    np.testing.assert_array_equal(run(net, noise.double(), "numba"), expected)
    np.testing.assert_array_equal(run(net, noise.repeat_interleave(2, 0)[::2], "numba"), expected)
    np.testing.assert_array_equal(run(net, noise.clone().requires_grad_(), "numba"), expected)
    assert run(net, noise[:0], "numba").shape == (0, 64)


@pytest.mark.parametrize("height", [64, 256, 40])
def test_heights(height: int) -> None:
    """One net, images of any height; 40 rows cannot be shared out to lanes, and go through torch."""
    net, runner = make_net(SMALL, 0.8), Runner("numba")
    for width in (8, 33, 50, 8):
        x = 20 * torch.randn(2, height, width) - 40
        with torch.no_grad():
            found, expected = runner(net, x).numpy(), run(net, x, "torch")
        check(found, expected, TORCH_TOLERANCE)
        assert np.array_equal(found, expected) == (height == 40)


def test_the_input_and_earlier_results_are_left_alone() -> None:
    net, runner = make_net(SMALL, 0.8), Runner("numba")
    x, y = 20 * torch.randn(2, 2, 64, 50) - 40
    kept = x.clone()
    with torch.no_grad():
        first = runner(net, x)
        again = first.clone()
        runner(net, y)
    assert torch.equal(x, kept)
    assert torch.equal(first, again)


# --- several callers, copies, time ---


def in_threads(call: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
    """What a call gives for each argument, all at once in a thread each."""
    results: list[Any] = [None] * len(arguments)
    start = threading.Barrier(len(arguments))

    def work(i: int) -> None:
        start.wait()
        try:
            results[i] = call(arguments[i])
        except Exception as error:
            results[i] = error

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(arguments))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def test_several_python_threads(threads) -> None:
    """One extractor, from its first call on."""
    extractor = make_small().eval()
    assert extractor.engine == "numba"
    clips = [torch.from_numpy(signals.clip(0.4 + 0.1 * i, 16000, seed=i))[None] for i in range(4)]
    expected = [make_small().scene_embeddings(clip) for clip in clips]
    threads(2)
    found = in_threads(lambda clip: [extractor.scene_embeddings(clip) for _ in range(10)], clips)
    for results, right in zip(found, expected, strict=True):
        for result in results:
            assert torch.equal(result, right)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # of a process with threads, which ours has not
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_a_forked_child(audio: torch.Tensor, threads) -> None:
    """With what its parent has compiled, and with threads of its own."""
    extractor = make_small().eval()
    x = 20 * torch.randn(5, 64, 50) - 40
    threads(3)
    with torch.no_grad():
        several = extractor._runner(extractor.net, x)
    threads(1)
    scene = extractor.scene_embeddings(audio)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)

    def child() -> None:
        again = extractor.scene_embeddings(audio).numpy()
        torch.set_num_threads(3)
        with torch.no_grad():
            there.send((again, extractor._runner(extractor.net, x).numpy()))

    process = context.Process(target=child)
    process.start()
    try:
        assert here.poll(60)
        for found, expected in zip(here.recv(), (scene, several), strict=True):
            np.testing.assert_array_equal(found, expected.numpy())
    finally:
        process.kill()
        process.join()
    assert torch.equal(extractor.scene_embeddings(audio), scene)


def test_a_spawned_child(audio: torch.Tensor, tmp_path: Path) -> None:
    extractor = make_small().eval()
    path = tmp_path / "clip.wav"
    soundfile.write(path, audio[0].numpy(), 16000)
    expected = hear_edgel3.embed_file(path, extractor).embedding
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(hear_edgel3.embed_file, path, extractor).result(120).embedding
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("engine", [name for name in engines.names() if name != "eager"])
def test_copies_of_an_extractor_that_has_run(engine: str, audio: torch.Tensor) -> None:
    extractor = make_small(engine)
    expected = extractor.scene_embeddings(audio)
    for made in (copy.deepcopy(extractor), pickle.loads(pickle.dumps(extractor))):
        assert made.engine == extractor.engine
        assert torch.equal(made.scene_embeddings(audio), expected)
        with torch.no_grad():
            for parameter in made.net.parameters():
                parameter.mul_(0.5)
        assert not torch.allclose(made.scene_embeddings(audio), expected)
        assert torch.equal(extractor.scene_embeddings(audio), expected)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
@pytest.mark.parametrize("calls", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_memory_does_not_grow(calls: int, threads) -> None:
    """Memory that each call kept, a third of a megabyte, would be 100 MB in the end."""
    net, runner = make_net(SMALL, 0.8), Runner("numba")
    x = 20 * torch.randn(3, 64, 50) - 40
    threads(2)
    with torch.no_grad():
        for _ in range(30):
            runner(net, x)
        before = resident_bytes()
        for _ in range(calls):
            runner(net, x)
    assert resident_bytes() - before < 16e6


# --- compiled kernels on disk ---


def python(code: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Runs code in a process of its own, without the variables that are None."""
    merged = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={key: value for key, value in merged.items() if value is not None},
    )


NOTICE = "hear_edgel3: compiling kernels for this machine; this takes some seconds, once\n"
TINY_NET = """
import torch
torch.set_num_threads(1)
from hear_edgel3.engine import Runner
from hear_edgel3.nets.l3 import L3Net

torch.manual_seed(0)
net = L3Net((2,) * 8, final_norm=False).eval()
x = torch.randn(2, 64, 8)
with torch.no_grad():
    for conv in net.convs[1:]:
        conv.weight.mul_(torch.rand_like(conv.weight) < 0.2)
    embedding = Runner("numba")(net, x)
    assert torch.allclose(embedding, net(x), atol=1e-5)
"""


def test_a_second_process_loads_what_the_first_compiled(tmp_path: Path) -> None:
    """The first one says on stderr, once, what takes so long; HEAR_EDGEL3_CACHE says where it is kept."""
    first = python(TINY_NET, HEAR_EDGEL3_CACHE=str(tmp_path / "here"))
    assert (first.returncode, first.stdout, first.stderr) == (0, "", NOTICE)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "here" / "kernels").iterdir()}
    assert len(kept) >= 2
    second = python(TINY_NET, HEAR_EDGEL3_CACHE=str(tmp_path / "here"))
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "here" / "kernels").iterdir()} == kept


def test_without_a_home(tmp_path: Path) -> None:
    """Of an account that the system does not know, with no variable that says where to keep anything."""
    code = """
import pwd

def unknown(number):
    raise KeyError(number)

pwd.getpwuid = unknown
from hear_edgel3.engine.lanes import compiled

@compiled.kernel
def homeless(x):
    return x + 1

assert homeless(2) == 3
"""
    done = python(code, HOME=None, HEAR_EDGEL3_CACHE=None)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", NOTICE)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[float, bool]]:
    """What a kernel gives, and whether it had to be compiled, as in a new process."""
    said: list[None] = []
    monkeypatch.setattr(compiled, "_say_once", lambda: said.append(None))

    def call() -> tuple[float, bool]:
        said.clear()

        @compiled.kernel
        def series(x: float, n: int) -> float:
            total = 0.0
            for i in range(n):
                total += x * i
            return total

        return series(2.0, 5), bool(said)

    return call


def kernels() -> list[Path]:
    return sorted(compiled.kernels_folder().glob("series-*.bin"))


def test_a_kernel_is_kept(fresh) -> None:
    assert compiled.kernels_folder() == Path(os.environ["HEAR_EDGEL3_CACHE"]) / "kernels"
    assert fresh() == (20.0, True)
    assert len(kernels()) == 1
    assert fresh() == (20.0, False)
    assert [path.suffix for path in compiled.kernels_folder().iterdir()] == [".bin"]  # nothing half-written


def test_the_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in (None, ""):
        monkeypatch.delenv("HEAR_EDGEL3_CACHE") if value is None else monkeypatch.setenv("HEAR_EDGEL3_CACHE", value)
        assert compiled.kernels_folder() == tmp_path / ".cache" / "hear_edgel3" / "kernels"


def test_other_sources_are_compiled_again(fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fresh() == (20.0, True)
    monkeypatch.setattr(compiled, "_sources", lambda: "of another version")
    assert fresh() == (20.0, True)
    assert len(kernels()) == 2


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "other": lambda content: b"not a kernel",
    "a pickle": lambda content: pickle.dumps((1, 2)),
    "cut": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\0",
    # machine code that would crash
    **{
        f"flipped {i}": lambda content, i=i: bytes(
            b ^ (255 if j == len(content) * i // 10 else 0) for j, b in enumerate(content)
        )
        for i in range(10)
    },
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_kernel_is_compiled_again(damage: str, fresh) -> None:
    fresh()
    (path,) = kernels()
    good = path.read_bytes()
    path.write_bytes(DAMAGES[damage](good))
    assert path.read_bytes() != good
    assert fresh() == (20.0, True)
    assert fresh() == (20.0, False)  # and the file is whole again


def test_a_file_where_the_folder_should_be(fresh) -> None:
    compiled.kernels_folder().parent.mkdir(parents=True, exist_ok=True)
    compiled.kernels_folder().write_text("in the way")
    assert fresh() == (20.0, True)
    assert fresh() == (20.0, True)
    assert compiled.kernels_folder().read_text() == "in the way"


def test_a_folder_where_the_file_should_be(fresh) -> None:
    fresh()
    (path,) = kernels()
    path.unlink()
    path.mkdir()
    assert fresh() == (20.0, True)


def test_a_folder_that_cannot_be_written(fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):  # root may write anywhere, but here
        folder = Path("/proc")
    if not folder.is_dir() or sys.platform != "linux":
        pytest.skip("every folder can be written")
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(folder))
    assert fresh() == (20.0, True)
    assert not (folder / "kernels").exists()


# --- which engine ---


def test_auto_takes_numba_for_pruned_nets(weights_folder: Path) -> None:
    extractor = hear_edgel3.load("sparse_95", weights_folder)
    choice = extractor._runner.choose(extractor.net)
    assert (choice.name, extractor.engine) == ("numba", "numba")
    assert re.fullmatch(r"9\d\.\d % of its weights are zero", choice.reason)


def test_auto_takes_numba_for_the_others_of_the_family(weights_folder: Path) -> None:
    sea = hear_edgel3.load("sea_64", weights_folder)
    reason = "its kernels are faster than torch's for nets of the L3 family"
    assert sea._runner.choose(sea.net) == Choice("numba", reason)


def test_auto_takes_torch_for_other_families() -> None:
    tiny = hear_edgel3.load("tiny")
    assert tiny.engine == "torch"
    assert tiny._runner.choose(tiny.net) == Choice("torch", "it runs every net everywhere")


def test_auto_in_double_precision(audio: torch.Tensor) -> None:
    extractor = make_small()
    before = extractor.scene_embeddings(audio)
    assert extractor.engine == "numba"
    assert extractor.double().engine == "torch"
    np.testing.assert_allclose(extractor.scene_embeddings(audio), before, rtol=0, atol=1e-4)
    assert extractor.float().engine == "numba"
    assert torch.equal(extractor.scene_embeddings(audio), before)


def test_expected_is_what_is_chosen(weights_folder: Path) -> None:
    for name in ("sea_64", "sparse_95", "tiny"):
        extractor = hear_edgel3.load(name, None if name == "tiny" else weights_folder)
        row = extractor.configuration.checkpoint
        assert expected_engine(row.kernels, row.zeros).name == extractor.engine


def test_without_numba(without, audio: torch.Tensor) -> None:
    expected = make_small("torch").scene_embeddings(audio)
    without("numba")
    extractor = make_small()
    assert extractor.engine == "torch"
    assert torch.equal(extractor.scene_embeddings(audio), expected)
    choice = expected_engine(True, 0.95)
    assert choice.name == "torch"
    assert choice.reason.endswith("is not installed: pip install 'hear-edgel3[fast]'")
    assert expected_engine(False, 0.0) == Choice("torch", "it runs every net everywhere")


@pytest.mark.parametrize(
    ("engine", "package", "extra"),
    [
        ("numba", "numba", "fast"),
        ("onnxruntime", "onnxruntime", "onnxruntime"),
        ("onnxruntime", "onnx", "onnxruntime"),
        ("openvino", "openvino", "openvino"),
        ("openvino", "onnx", "openvino"),
    ],
)
def test_what_is_not_installed_is_named(engine: str, package: str, extra: str, without) -> None:
    without(package)
    with pytest.raises(MissingExtra) as caught:
        hear_edgel3.load("tiny", engine=engine)
    assert str(caught.value) == (
        f'engine="{engine}" needs the package {package!r}, which is not installed; '
        f"install it with: pip install 'hear-edgel3[{extra}]'"
    )
    assert hear_edgel3.load("tiny").engine == "torch"


def test_numba_does_not_run_other_families(audio: torch.Tensor) -> None:
    extractor = hear_edgel3.load("tiny", engine="numba")
    message = "engine='numba' cannot run this net: it runs nets of the L3 family only; use engine='auto'"
    for call in (lambda: extractor.engine, lambda: extractor.scene_embeddings(torch.zeros(1, 32000))):
        with pytest.raises(InvalidOption, match=re.escape(message)):
            call()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_nets_that_cannot_be_exported(engine: str) -> None:
    with pytest.raises(InvalidOption, match="it runs nets of the L3 and MobileNetV3 families only"):
        Runner(engine)(nn.Linear(2, 2).eval(), torch.zeros(1, 2))


def test_a_net_that_is_pruned_after_its_first_call(audio: torch.Tensor) -> None:
    extractor = make_small(zeros=0.0)
    dense = extractor.scene_embeddings(audio)
    assert "faster than torch" in extractor._runner.choose(extractor.net).reason
    weights = [conv.weight for conv in extractor.net.convs]
    kept = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight in weights:
            weight.mul_(torch.rand_like(weight) < 0.3)
    pruned = extractor.scene_embeddings(audio)
    assert extractor._runner.choose(extractor.net).reason.endswith("% of its weights are zero")
    plain = make_small("eager")
    plain.load_state_dict(extractor.state_dict())
    check(pruned.numpy(), plain.scene_embeddings(audio).numpy(), TORCH_TOLERANCE)
    with torch.no_grad():
        for weight, old in zip(weights, kept, strict=True):
            weight.copy_(old)
    assert torch.equal(extractor.scene_embeddings(audio), dense)


@pytest.mark.parametrize("engine", ["numba", "onnxruntime", "openvino"])
def test_changed_weights_are_noticed(engine: str, audio: torch.Tensor) -> None:
    extractor, plain = make_small(engine), make_small("eager")
    extractor.scene_embeddings(audio)
    with torch.no_grad():
        extractor.net.convs[3].weight.mul_(1.5)
        extractor.net.norms[0].running_mean.add_(0.1)
    plain.load_state_dict(extractor.state_dict())
    check(extractor.scene_embeddings(audio).numpy(), plain.scene_embeddings(audio).numpy(), EXPORTED_TOLERANCE)


def test_windows_at_once(threads) -> None:
    """Each of the kernels' threads takes a window, so that there are some for each; torch keeps its own number."""
    net = make_net(SMALL, 0.8)
    for n in (1, 4):
        threads(n)
        assert Runner("torch").windows(net, 3) == 3
        assert Runner("numba").windows(net, 3) == max(3, n * numba_engine.WINDOWS_PER_THREAD)
        assert Runner("numba").windows(net, 1000) == 1000


# --- the command line ---


def test_info(capsys: Captured) -> None:
    assert main(["info", "sparse_81_kd"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^engine +numba$", printed, re.MULTILINE)
    assert re.search(r"^engine reason +81\.\d % of its weights are zero$", printed, re.MULTILINE)
    assert main(["info", "sea_64", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["engine"], facts["engine_reason"][:26]) == ("numba", "its kernels are faster tha")


def test_info_without_numba(capsys: Captured, without) -> None:
    without("numba")
    assert main(["info", "sparse_81_kd", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["engine"] == "torch"
    assert "pip install 'hear-edgel3[fast]'" in facts["engine_reason"]


def test_embed_with_an_engine(
    tmp_path: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured, without
) -> None:
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(weights_folder))
    source = tmp_path / "clip.wav"
    soundfile.write(source, signals.clip(1.2, 8000), 8000)

    def embed(name: str) -> np.ndarray:
        words = ["embed", str(source), "-c", "sea_64", "-q", "--overwrite"]
        assert main([*words, "--engine", name]) == 0
        with np.load(tmp_path / "clip.npz") as file:
            return file["embedding"]

    expected = hear_edgel3.embed_file(source, hear_edgel3.load("sea_64", engine="eager")).embedding
    np.testing.assert_array_equal(embed("eager"), expected)
    found = embed("torch")
    assert not np.array_equal(found, expected)
    check(found, expected, TORCH_TOLERANCE)
    capsys.readouterr()
    assert main(["embed", str(source), "-c", "sea_64", "--overwrite", "--engine", "jax"]) == 2
    assert "engine must be one of auto, " in capsys.readouterr().err
    without("openvino")
    assert main(["embed", str(source), "-c", "sea_64", "--overwrite", "--engine", "openvino"]) != 0
    assert "pip install 'hear-edgel3[openvino]'" in capsys.readouterr().err


# --- the engines of exported nets ---


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_tiny(engine: str) -> None:
    """Any number of clips of any length, in any order."""
    extractor, plain = (hear_edgel3.load("tiny", engine=name) for name in (engine, "torch"))
    assert extractor.engine == engine
    for n, seconds in ((1, 1.0), (3, 0.37), (2, 2.5), (1, 1.0)):
        clips = np.stack([signals.clip(seconds, 32000, seed=i) for i in range(n)])
        found, expected = (each.scene_embeddings(torch.from_numpy(clips)).numpy() for each in (extractor, plain))
        check(found, expected, EXPORTED_TOLERANCE)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_sea(engine: str, weights_folder: Path) -> None:
    extractor, plain = (hear_edgel3.load("sea_64", weights_folder, engine=name) for name in (engine, "torch"))
    for n, seconds in ((1, 0.1), (2, 1.3), (1, 6.0)):
        clips = torch.from_numpy(np.stack([signals.clip(seconds, 16000, seed=i) for i in range(n)]))
        for found, expected in zip(
            extractor.timestamp_embeddings(clips, 250.0)[0], plain.timestamp_embeddings(clips, 250.0)[0], strict=True
        ):
            check(found.numpy(), expected.numpy(), EXPORTED_TOLERANCE)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_sparse(engine: str, decibels: torch.Tensor, sparse_net: L3Net) -> None:
    runner = Runner(engine)
    expected = run(sparse_net, decibels[:2], "torch")
    with torch.no_grad():
        for n in (1, 2):
            check(runner(sparse_net, decibels[:n]).numpy(), expected[:n], EXPORTED_TOLERANCE)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_in_two_python_threads(engine: str) -> None:
    """From the first call on, in which it is exported."""
    extractor, plain = (hear_edgel3.load("tiny", engine=name).eval() for name in (engine, "torch"))
    clips = [torch.from_numpy(signals.clip(4.5 + i, 32000, seed=i))[None] for i in range(2)]
    found = in_threads(lambda clip: [extractor.scene_embeddings(clip).numpy() for _ in range(20)], clips)
    for results, clip in zip(found, clips, strict=True):
        expected = plain.scene_embeddings(clip).numpy()
        for result in results:
            check(result, expected, EXPORTED_TOLERANCE)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_results_are_the_callers(engine: str) -> None:
    """The next call does not write into them."""
    extractor = make_small(engine)
    x, y = 20 * torch.randn(2, 2, 64, 50) - 40
    with torch.no_grad():
        first = extractor._runner(extractor.net, x)
        again = first.clone()
        extractor._runner(extractor.net, y)
    assert torch.equal(first, again)


def test_all_modules_are_found() -> None:
    """Empty places are passed over, and what is used twice comes twice."""
    twice = torch.nn.ReLU()
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), twice, torch.nn.Sequential(twice, torch.nn.Identity()))
    net.register_module("none", None)
    found = modules_of(net)
    assert set(found) == set(net.modules())
    assert found.count(twice) == 2


# --- compiling ---


def test_simultaneous_first_calls_compile_once(monkeypatch) -> None:
    compiled = []

    def compile_net(net: nn.Module):
        compiled.append(net)
        time.sleep(0.2)
        return lambda x: x

    monkeypatch.setattr(folded, "compile_net", compile_net)
    runner, net, x = Runner("torch"), nn.Linear(2, 2).eval(), torch.zeros(1, 2)
    threads = [threading.Thread(target=runner, args=(net, x)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compiled) == 1


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_compiles(monkeypatch) -> None:
    """The child finds no lock that nobody will ever free."""
    compiling = threading.Event()

    def compile_net(net: nn.Module):
        compiling.set()
        time.sleep(0.5)
        return lambda x: x

    x = 20 * torch.randn(1, 64, 50) - 40
    with monkeypatch.context() as patch:
        patch.setattr(folded, "compile_net", compile_net)
        thread = threading.Thread(target=Runner("torch"), args=(nn.Linear(2, 2).eval(), torch.zeros(1, 2)))
        thread.start()
        assert compiling.wait(10)
        process = multiprocessing.get_context("fork").Process(target=lambda: run(make_net(SMALL, 0.8), x, "numba"))
        process.start()
        thread.join()
    process.join(60)
    assert process.exitcode == 0


# --- half precision ---


# Of an embedding's peak, on noise; observed 1.2e-3 / 1.1e-2 (sea_64), 9e-4 / 1.2e-2 (tiny). README states them.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 4e-3), (torch.bfloat16, 4e-2)])
def test_half_precision(dtype: torch.dtype, tolerance: float) -> None:
    """The net in half precision: front end and results stay as they were, and the error is what half precision has."""
    extractor = hear_edgel3.load("tiny")
    audio = torch.from_numpy(signals.clip(1.0, extractor.sample_rate))[None]
    expected = extractor.scene_embeddings(audio)
    found = extractor.to(dtype).scene_embeddings(audio)
    assert found.dtype == torch.float32
    error = float((found - expected).abs().max() / expected.abs().max())
    assert 0 < error < tolerance
    assert extractor.engine == "torch"
