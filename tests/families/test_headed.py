"""Nets with a head of somebody's own, of every family, through every engine."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.errors import InvalidOption, UnknownFeatures
from hear_edgel3.families.headed import HeadedNet
from hear_edgel3.families.protocols import Net
from hear_edgel3.heads import ACTIVATIONS, HeadLayout, make_head
from hear_edgel3.registry.names import resolve
from support import signals
from support.detectors import CLASSES, RATES, straight, write_detector
from support.engines import ENGINES, EXPORTED_TOLERANCE, TORCH_TOLERANCE

KINDS = list(RATES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of every kind of net, with a linear head where there is one. Nobody changes them."""
    root = tmp_path_factory.mktemp("detectors")
    return {kind: write_detector(root / kind, kind) for kind in KINDS}


def tolerance(engine: str) -> float:
    return EXPORTED_TOLERANCE if engine in ("onnxruntime", "openvino") else 3 * TORCH_TOLERANCE


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_and_logits_through_every_engine(kind: str, engine: str, folders: dict[str, Path]) -> None:
    if engine != "eager" and engine != "torch":
        pytest.importorskip(engine)
    windows = signals.windows(RATES[kind])
    embedding, logits = straight(folders[kind], windows)
    for features, expected in ((None, embedding), (["logits"], logits)):
        if kind == "own" and features is None:
            continue  # its embedding is another layer's
        extractor = hear_edgel3.load(folders[kind], sample_rate=None, features=features, engine=engine)
        if engine == "numba" and features and kind != "own":  # the logits of a head behind a net
            with pytest.raises(InvalidOption, match="engine='numba' cannot run this net"):
                extractor.embed_windows(torch.from_numpy(windows))
            continue
        found = extractor.embed_windows(torch.from_numpy(windows)).numpy()
        assert found.shape == expected.shape
        # Of heads, the largest logit is of the size of the spread that the head was scaled by.
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance(engine) * np.abs(expected).max() * 4)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "own"])
@pytest.mark.parametrize("puts_out", [[], ["logits"]])
def test_the_net_is_one_of_the_protocols(kind: str, puts_out: list[str], folders: dict[str, Path]) -> None:
    extractor = hear_edgel3.load(folders[kind], features=puts_out or None)
    net: Any = extractor.net
    assert isinstance(net, HeadedNet)
    assert isinstance(net, Net)
    assert net.embedding_size == extractor.scene_embedding_size == extractor.configuration.embedding_size
    assert hasattr(net, "kernel_layers") == (kind in ("sea_64", "small_l3") and not puts_out)
    assert hasattr(net, "kernel_residuals") == (hasattr(net.net, "kernel_residuals") and not puts_out)
    bands, frames = net.example_shape
    images = torch.randn(3, bands, frames, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = net.folded()
    with torch.no_grad():
        expected = net(images)
        np.testing.assert_allclose(folded(images), expected, rtol=0, atol=3e-5 * float(expected.abs().max()))
        for value in folded.state_dict().values():
            value.fill_(7)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module.training for module in folded.modules())


def test_a_net_without_the_optional_parts() -> None:
    class Plain(torch.nn.Module):
        embedding_size, example_shape = 4, (8, 9)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=2)[:, :4]

    net = HeadedNet(Plain(), make_head(HeadLayout("linear", 4, 2), 0))
    images = torch.randn(2, 8, 9)
    assert net.n_mels is None
    assert not hasattr(net, "kernel_layers")
    assert torch.equal(net.folded()(images), net(images))
    with pytest.raises(ValueError, match="puts_out must be embedding or logits, got 'both'"):
        HeadedNet(Plain(), make_head(HeadLayout("linear", 4, 2), 0), "both")


def test_dropout_is_for_training_and_gradients_reach_the_net(tmp_path: Path) -> None:
    extractor = hear_edgel3.load(write_detector(tmp_path / "d", mlp=True), features=["logits"])
    windows = torch.from_numpy(signals.windows(32000))
    still = extractor.embed_windows(windows)
    extractor.train()
    assert torch.equal(extractor.embed_windows(windows), still)
    torch.manual_seed(0)
    assert not torch.allclose(extractor(windows), extractor(windows))
    extractor(windows).square().sum().backward()
    missing = [n for n, p in extractor.net.named_parameters() if p.grad is None]
    unused = ("net.classifier", "net.approximation", "net.features.16")  # behind the blocks that the embedding is of
    assert all(name.startswith(unused) for name in missing), missing
    assert not any(name.startswith("head.") for name in missing)


def test_changes_of_the_head_and_of_what_is_put_out_are_noticed(folders: dict[str, Path]) -> None:
    extractor = hear_edgel3.load(folders["small"], features=["logits"])
    net: Any = extractor.net
    windows = torch.from_numpy(signals.windows(32000))
    before = extractor.embed_windows(windows)
    with torch.no_grad():
        net.head.output.bias += 1
    np.testing.assert_allclose(extractor.embed_windows(windows), before + 1, atol=1e-5)
    net.puts_out = "embedding"
    assert extractor.embed_windows(windows).shape == (6, net.head.layout.inputs)
    assert copy.deepcopy(net).variant == net.variant


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_exported(activation: str, tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "d", "small_l3", mlp=True)
    values = json.loads((folder / "configuration.json").read_text())
    values["head"]["layout"]["activation"] = activation
    (folder / "configuration.json").write_text(json.dumps(values))
    windows = torch.from_numpy(signals.windows(8000))
    _, expected = straight(folder, windows.numpy())
    found = hear_edgel3.load(folder, features=["logits"], engine="onnxruntime").embed_windows(windows)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_words(folders: dict[str, Path], tmp_path: Path) -> None:
    on_block = write_detector(tmp_path / "d", words="b5_ts320")
    plain = resolve(on_block)
    assert (plain.features.names, plain.window_ms) == (("b5",), 320)
    assert plain.checkpoint.default_features == "b5_ts320"
    logits = hear_edgel3.load(on_block, features=["logits"]).configuration
    assert (logits.features.names, logits.embedding_size, logits.window_ms) == (("logits",), len(CLASSES), 320)
    other = hear_edgel3.load(on_block, features=["clf1"])
    base = hear_edgel3.load(folders["small"], features=["clf1"])
    windows = torch.from_numpy(signals.windows(32000))
    assert torch.equal(other.embed_windows(windows), base.embed_windows(windows))
    for folder, word, message in (
        (on_block, "b99", "'b99' is no feature.*; or logits, what its head puts out"),
        (folders["sea_64"], "clf1", "one kind of embedding.*; or logits"),
    ):
        with pytest.raises(UnknownFeatures, match=message):
            hear_edgel3.load(folder, features=[word])


@pytest.mark.parametrize("mlp", [False, True])
@pytest.mark.parametrize("kind", ["sea_64", "small", "small_l3"])
def test_costs(kind: str, mlp: bool, tmp_path: Path) -> None:
    """Counted by hand from the modules of torch."""
    from hear_edgel3.extractor.complexity import complexity_of

    folder = write_detector(tmp_path / "d", kind, mlp=mlp)
    embeds, tags = resolve(folder), hear_edgel3.load(folder, features=["logits"]).configuration
    net: Any = embeds.checkpoint.net.build()
    linear = [module for module in net.head.modules() if isinstance(module, torch.nn.Linear)]
    macs = sum(module.weight.numel() for module in linear)
    base = net.net.state_dict() if kind != "small" else dict(net.net.named_parameters())
    counted = sum(value.numel() for name, value in base.items() if "num_batches" not in name)
    row = embeds.checkpoint
    assert row.n_parameters == counted + sum(p.numel() for p in net.head.parameters())
    for found, head in ((complexity_of(embeds), 0), (complexity_of(tags), macs)):
        assert found is not None
        without = complexity_of(embeds)
        assert without is not None
        assert found.parameters == row.n_parameters
        assert found.macs_10s == row.macs_10s
        assert found.macs_features_10s == without.macs_features_10s + head
        assert found.receptive_field_frames == without.receptive_field_frames
        assert found.memory_window_fp32 >= without.memory_window_fp32


def test_a_family_that_nobody_knows(tmp_path: Path) -> None:
    """It has one kind of embedding, windows of half a second, no layers told, and nothing folded."""
    from hear_edgel3.families.schema import Local
    from hear_edgel3.families.table import registered
    from hear_edgel3.registry import folder as local
    from hear_edgel3.tagging.tagger import Tagger
    from hear_edgel3.weights.file import encode
    from support.made_up.family import MURMUR
    from support.made_up.rows import RATE

    layout = HeadLayout("linear", 6, 2, standardize=True)
    values = {
        "format": 1,
        "family": "murmur",
        "architecture": {"channels": 4, "size": 6},
        **dict.fromkeys(("name", "summary", "licence", "citation", "weights_file"), "x"),
        "weights_sha256": "0" * 64,
        "classes": ["low", "high"],
        "targets": "single",
        "head": {"layout": layout.to_dict(), "words": ""},
    }
    with registered(MURMUR):
        row = local.make_row(values, tmp_path)
        assert isinstance(row, Local)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net: Any = row.net.build()
        net.head.start(torch.Generator().manual_seed(0))
        (tmp_path / "x").write_bytes(encode(net.state_dict(), {}))
        values["weights_sha256"] = sha256_of(tmp_path / "x")
        (tmp_path / "configuration.json").write_text(json.dumps(values))
        clip = signals.clip(1.5, RATE).astype(np.float32)
        tagger = Tagger(tmp_path)
        windows = tagger.tag_samples(clip, RATE, window=0.5)
        expected = hear_edgel3.load(tmp_path, features=["logits"]).embed_windows(torch.from_numpy(clip[:8000])[None])
        np.testing.assert_allclose(windows.logits[:1], expected, rtol=1e-5, atol=1e-6)
        found = list(tagger.stream([clip], sample_rate=RATE))
        np.testing.assert_allclose([one.logits for one in found], windows.logits, rtol=1e-5, atol=1e-6)
        scene = hear_edgel3.load(tmp_path).scene_embeddings(clip[None])
        with torch.no_grad():
            logits = net.head.eval()(scene)
        np.testing.assert_allclose(tagger.tag_samples(clip, RATE).logits, logits, rtol=1e-5, atol=1e-6)


def test_weights_in_eight_bits(folders: dict[str, Path], tmp_path: Path) -> None:
    from hear_edgel3.cli import main

    output = tmp_path / "int8"
    command = ["weights", "convert", str(folders["small"]), "--quantize", "int8", "--output", str(output)]
    assert main(command) == 0
    windows = torch.from_numpy(signals.windows(32000))
    exact, found = (
        hear_edgel3.load(folders["small"], weights, features=["logits"]).embed_windows(windows)
        for weights in (None, output)
    )
    assert float((found - exact).abs().max()) < 0.2 * float(exact.abs().max())
    assert not torch.equal(found, exact)


def test_a_net_with_a_head_is_not_pruned(folders: dict[str, Path], tmp_path: Path) -> None:
    from hear_edgel3.distillation.pruned import _pruner
    from hear_edgel3.distillation.teacher import Teacher

    with pytest.raises(InvalidOption, match="mine cannot be pruned: it has a head of its own"):
        _pruner(Teacher(str(folders["small"])))


def test_extractors_can_be_pickled(folders: dict[str, Path]) -> None:
    windows = torch.from_numpy(signals.windows(8000))
    for features in (None, ["logits"]):
        extractor = hear_edgel3.load(folders["small_l3"], features=features, engine="torch")
        again = pickle.loads(pickle.dumps(extractor))
        assert torch.equal(again.embed_windows(windows), extractor.embed_windows(windows))
        assert again.labels == extractor.labels
