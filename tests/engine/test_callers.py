"""Engines with several callers: threads, processes, copies; compiling once; and memory that does not grow."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numba.core.codegen import JITCodeLibrary
from torch import nn

import hear_edgel3
from hear_edgel3.compiled.jit import address
from hear_edgel3.engine import folded
from hear_edgel3.engine.kernels.one_image import one_linear
from hear_edgel3.engine.runner import Runner
from hear_edgel3.engine.table import NAMES
from support import signals
from support.engines import SMALL, make_net, make_small, run_net
from support.processes import in_threads, python


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


@pytest.mark.parametrize("engine", [name for name in NAMES if name != "eager"])
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
@pytest.mark.parametrize("calls", [300, 2000])
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
        process = multiprocessing.get_context("fork").Process(target=lambda: run_net(make_net(SMALL, 0.8), x, "numba"))
        process.start()
        thread.join()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_waits_while_another_thread_asks_for_a_kernels_address(monkeypatch) -> None:
    """llvmlite is asked under a lock of its own, which in the child would never be free."""
    asked, answered = threading.Event(), threading.Event()
    original = JITCodeLibrary.get_pointer_to_function

    def slowly(library: JITCodeLibrary, name: str) -> int:
        found = original(library, name)
        asked.set()
        time.sleep(0.5)
        answered.set()
        return found

    address(one_linear)  # it is compiled
    monkeypatch.setattr(JITCodeLibrary, "get_pointer_to_function", slowly)
    thread = threading.Thread(target=address, args=(one_linear,))
    thread.start()
    assert asked.wait(10)
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    assert answered.is_set()
    thread.join()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize("name", ["sea_64", "tiny", "dymn04_as"])
def test_a_net_that_runs_imports_nothing_of_ours(name: str) -> None:
    """A fork does not wait for that: a module that some thread was importing would stay locked in the child."""
    code = f"""
import sys, torch
from hear_edgel3.engine.runner import Runner
from hear_edgel3.registry.names import resolve
configuration = resolve({name!r})
net, frontend = configuration.net.build().eval(), configuration.checkpoint.frontend.build().eval()
with torch.no_grad():
    ready = Runner("numba").ready(net)
    before = set(sys.modules)
    ready(frontend, torch.zeros(1, configuration.window))
print(sorted(name for name in set(sys.modules) - before if name.startswith("hear_edgel3")))
"""
    found = python(code)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr
