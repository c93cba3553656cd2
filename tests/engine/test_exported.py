"""The engines of exported nets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.engine.eval_mode import modules_of
from hear_edgel3.engine.runner import Runner
from hear_edgel3.families.l3.net import L3Net
from support import signals
from support.engines import EXPORTED_TOLERANCE, check_embeddings, make_small, run_net
from support.processes import in_threads


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_tiny(engine: str) -> None:
    """Any number of clips of any length, in any order."""
    extractor, plain = (hear_edgel3.load("tiny", engine=name) for name in (engine, "torch"))
    assert extractor.engine == engine
    for n, seconds in ((1, 1.0), (3, 0.37), (2, 2.5), (1, 1.0)):
        clips = np.stack([signals.clip(seconds, 32000, seed=i) for i in range(n)])
        found, expected = (each.scene_embeddings(torch.from_numpy(clips)).numpy() for each in (extractor, plain))
        check_embeddings(found, expected, EXPORTED_TOLERANCE)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_sea(engine: str, weights_folder: Path) -> None:
    extractor, plain = (hear_edgel3.load("sea_64", weights_folder, engine=name) for name in (engine, "torch"))
    for n, seconds in ((1, 0.1), (2, 1.3), (1, 6.0)):
        clips = torch.from_numpy(np.stack([signals.clip(seconds, 16000, seed=i) for i in range(n)]))
        for found, expected in zip(
            extractor.timestamp_embeddings(clips, 250.0)[0], plain.timestamp_embeddings(clips, 250.0)[0], strict=True
        ):
            check_embeddings(found.numpy(), expected.numpy(), EXPORTED_TOLERANCE)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_sparse(engine: str, decibels: torch.Tensor, sparse_net: L3Net) -> None:
    runner = Runner(engine)
    expected = run_net(sparse_net, decibels[:2], "torch")
    with torch.no_grad():
        for n in (1, 2):
            check_embeddings(runner(sparse_net, decibels[:n]).numpy(), expected[:n], EXPORTED_TOLERANCE)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_exported_in_two_python_threads(engine: str) -> None:
    """From the first call on, in which it is exported."""
    extractor, plain = (hear_edgel3.load("tiny", engine=name).eval() for name in (engine, "torch"))
    clips = [torch.from_numpy(signals.clip(4.5 + i, 32000, seed=i))[None] for i in range(2)]
    found = in_threads(lambda clip: [extractor.scene_embeddings(clip).numpy() for _ in range(20)], clips)
    for results, clip in zip(found, clips, strict=True):
        expected = plain.scene_embeddings(clip).numpy()
        for result in results:
            check_embeddings(result, expected, EXPORTED_TOLERANCE)


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
