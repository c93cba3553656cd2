"""Which engine runs a net, why, what happens when the net changes, and what the command line says of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.engine import numba as numba_engine
from hear_edgel3.engine.expected import Choice
from hear_edgel3.engine.expected import expected as expected_engine
from hear_edgel3.engine.runner import Runner
from hear_edgel3.errors import InvalidOption, MissingExtra
from hear_edgel3.registry.names import resolve
from support import signals
from support.engines import EXPORTED_TOLERANCE, SMALL, TORCH_TOLERANCE, check_embeddings, make_net, make_small
from support.types import Captured

# --- which engine ---


def test_auto_takes_numba_for_pruned_nets(weights_folder: Path) -> None:
    extractor = hear_edgel3.load("sparse_95", weights_folder)
    choice = extractor._runner.choose(extractor.net)
    assert (choice.name, extractor.engine) == ("numba", "numba")
    assert re.fullmatch(r"9\d\.\d % of its weights are zero", choice.reason)


def test_auto_takes_numba_for_the_others_of_the_family(weights_folder: Path) -> None:
    sea = hear_edgel3.load("sea_64", weights_folder)
    reason = "with its kernels nets of this kind are faster than in torch alone"
    assert sea._runner.choose(sea.net) == Choice("numba", reason)


def test_auto_takes_numba_for_mobilenetv3(audio: torch.Tensor) -> None:
    tiny = hear_edgel3.load("tiny")
    assert tiny.engine == "numba"
    assert tiny._runner.choose(tiny.net) == Choice(
        "numba", "with its kernels nets of this kind are faster than in torch alone"
    )
    sound = torch.from_numpy(signals.clip(0.5, tiny.sample_rate))[None]
    expected = hear_edgel3.load("tiny", engine="numba").scene_embeddings(sound)
    assert torch.equal(tiny.scene_embeddings(sound), expected)
    assert tiny.double().engine == "torch"


def test_auto_takes_torch_for_other_families() -> None:
    pictures = resolve("image_squeezenet_v1").net.build()
    assert Runner().choose(pictures) == Choice("torch", "it runs every net everywhere")


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
    assert choice.reason.endswith('is not installed: pip install ".[fast]" in the folder of the clone')
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
        f'install it with: pip install ".[{extra}]" in the folder of the clone'
    )
    assert hear_edgel3.load("tiny").engine == ("torch" if package == "numba" else "numba")


def test_numba_does_not_run_other_families(audio: torch.Tensor) -> None:
    extractor = hear_edgel3.load("tiny", engine="numba")
    extractor.net = nn.Sequential(extractor.net)  # of no kind that it knows
    message = "engine='numba' cannot run this net: it has no kernels for this net's layers; use engine='auto'"
    for call in (lambda: extractor.engine, lambda: extractor.scene_embeddings(torch.zeros(1, 32000))):
        with pytest.raises(InvalidOption, match=re.escape(message)):
            call()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_nets_that_cannot_be_exported(engine: str) -> None:
    with pytest.raises(InvalidOption, match=r"the net does not say what image to trace it with \(example_shape\)"):
        Runner(engine)(nn.Linear(2, 2).eval(), torch.zeros(1, 2))


def test_a_net_that_is_pruned_after_its_first_call(audio: torch.Tensor) -> None:
    extractor = make_small(zeros=0.0)
    dense = extractor.scene_embeddings(audio)
    assert "faster than in torch" in extractor._runner.choose(extractor.net).reason
    weights = [conv.weight for conv in extractor.net.convs]
    kept = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight in weights:
            weight.mul_(torch.rand_like(weight) < 0.3)
    pruned = extractor.scene_embeddings(audio)
    assert extractor._runner.choose(extractor.net).reason.endswith("% of its weights are zero")
    plain = make_small("eager")
    plain.load_state_dict(extractor.state_dict())
    check_embeddings(pruned.numpy(), plain.scene_embeddings(audio).numpy(), TORCH_TOLERANCE)
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
    check_embeddings(
        extractor.scene_embeddings(audio).numpy(), plain.scene_embeddings(audio).numpy(), EXPORTED_TOLERANCE
    )


def test_windows_at_once(threads) -> None:
    """Each of the kernels' threads takes a window, so that there are some for each; torch keeps its own number."""
    net = make_net(SMALL, 0.8)
    for n in (1, 4):
        threads(n)
        assert Runner("torch").windows_at_once(net, 3) == 3
        assert Runner("numba").windows_at_once(net, 3) == max(3, n * numba_engine.WINDOWS_PER_THREAD)
        assert Runner("numba").windows_at_once(net, 1000) == 1000


# --- the command line ---


def test_info(capsys: Captured) -> None:
    assert main(["info", "sparse_81_kd"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^engine +numba$", printed, re.MULTILINE)
    assert re.search(r"^engine reason +81\.\d % of its weights are zero$", printed, re.MULTILINE)
    assert main(["info", "sea_64", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["engine"], facts["engine_reason"][:26]) == ("numba", "with its kernels nets of t")


def test_info_without_numba(capsys: Captured, without) -> None:
    without("numba")
    assert main(["info", "sparse_81_kd", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["engine"] == "torch"
    assert 'pip install ".[fast]"' in facts["engine_reason"]


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
    check_embeddings(found, expected, TORCH_TOLERANCE)
    capsys.readouterr()
    assert main(["embed", str(source), "-c", "sea_64", "--overwrite", "--engine", "jax"]) == 2
    assert "engine must be one of auto, " in capsys.readouterr().err
    without("openvino")
    assert main(["embed", str(source), "-c", "sea_64", "--overwrite", "--engine", "openvino"]) != 0
    assert 'pip install ".[openvino]"' in capsys.readouterr().err


# --- half precision ---


# Of an embedding's peak, on noise; observed 1.2e-3 / 1.1e-2 (sea_64), 7.8e-3 / 5.6e-2 (tiny, which has this from
# mn04_as: 1.2e-2 / 1.1e-1). docs/engines.md states them.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 1.2e-2), (torch.bfloat16, 9e-2)])
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
