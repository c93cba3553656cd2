"""Nets that run in torch, whose spectrograms kernels make: DyMN, S-SONDO's, and forms that kernels do not know."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hear_edgel3.engine.kernels.images import images_of
from hear_edgel3.engine.kernels.log_mel import LogMel
from hear_edgel3.engine.numba import CompiledImages
from hear_edgel3.engine.runner import Runner
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.dymn.net import DyMN
from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram
from hear_edgel3.registry.names import resolve
from support import signals
from support.engines import TORCH_TOLERANCE
from support.mobilenetv3_nets import MEL_TOLERANCE, SPECS, build

FrontEnd = MobileNetV3MelSpectrogram | SsondoMelSpectrogram
both = pytest.mark.parametrize("kind", [MobileNetV3MelSpectrogram, SsondoMelSpectrogram])


def make(name: str) -> nn.Module:
    """A net in eval mode, and so that it can be told whether each of its values is right."""
    if name != "dymn":
        return build(SPECS[name], outputs=["logits", "b15"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DyMN(0.1, outputs=["b5", "clf1"]).eval()


@both
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize(("n", "n_samples"), [(1, 1024), (1, 5120), (17, 5120), (3, 32000), (1, 90000), (2, 90001)])
def test_images_of_any_number_and_length(kind: type[FrontEnd], lanes: int, n: int, n_samples: int) -> None:
    frontend = kind().eval()
    samples = np.resize(signals.windows(32000), (n, n_samples))
    with torch.no_grad():
        exact = frontend.in_float64(torch.from_numpy(samples)).numpy()
        torchs = frontend(torch.from_numpy(samples)).numpy()
    log_mel = LogMel(frontend, lanes)
    found = images_of(log_mel, samples, lanes, 1)
    assert found.shape == exact.shape
    assert np.abs(found - exact).max() < max(MEL_TOLERANCE, 2 * np.abs(torchs - exact).max())
    np.testing.assert_array_equal(images_of(log_mel, samples, lanes, 3), found)
    for i in range(n):
        np.testing.assert_array_equal(images_of(log_mel, samples[i : i + 1], lanes, 1)[0], found[i])


@both
@pytest.mark.parametrize("name", ["dymn", "attention", "se_cf_max"])
def test_nets_in_torch(kind: type[FrontEnd], name: str) -> None:
    net = make(name)
    frontend = kind(n_mels=getattr(net, "n_mels", 128)).eval()
    windows = torch.from_numpy(signals.windows(32000)[:5, :9000])
    compiled = CompiledImages(net)
    with torch.no_grad():
        exact = net.double()(frontend.in_float64(windows))
        expected = net.float()(frontend(windows))
        found = compiled.from_samples(frontend, windows)
    assert found is not None
    peak = exact.abs().max()
    assert (found - exact).abs().max() <= max(2 * (expected - exact).abs().max(), TORCH_TOLERANCE * peak)
    assert torch.equal(found, compiled.from_samples(frontend, windows.double()))
    assert compiled.from_samples(frontend, windows[:0]).shape == (0, expected.shape[1])  # type: ignore[union-attr]


def test_which_front_ends_are_compiled() -> None:
    class Own(MobileNetV3MelSpectrogram):
        pass

    compiled, windows = CompiledImages(make("dymn")), torch.from_numpy(signals.windows(32000)[:2, :5120])
    frontend = MobileNetV3MelSpectrogram().eval()
    with torch.no_grad():
        few = compiled.from_samples(frontend, windows[:, :100])  # which zeros follow
        torch.testing.assert_close(few, compiled(frontend(windows[:, :100])), rtol=0, atol=1e-4)
        assert compiled.from_samples(Own(), windows) is None
        assert compiled.from_samples(frontend, windows.int()) is None
        frontend.register_forward_hook(lambda *_: None)
        assert compiled.from_samples(frontend, windows) is None


@pytest.mark.parametrize("name", ["dymn04_as", "ssondo_matpac_dymn", "ssondo_matpac_mn"])
def test_whole_extractors(name: str) -> None:
    """Whatever calls: clips, windows, streams; and in train mode as in eval mode."""
    configuration = resolve(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = configuration.net.build()
    ours, torchs = (
        Extractor(configuration, configuration.checkpoint.frontend.build(), copy.deepcopy(net), engine=engine)
        for engine in ("auto", "torch")
    )
    assert ours.engine == "numba"
    assert torchs.engine == "torch"
    clip = torch.from_numpy(signals.clip(1.3, ours.sample_rate))[None]
    expected = torchs.eval().scene_embeddings(clip)
    found = ours.train().scene_embeddings(clip)
    tolerance = 1e-4 * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(
        ours.timestamp_embeddings(clip)[0], torchs.timestamp_embeddings(clip)[0], rtol=0, atol=tolerance
    )
    assert ours.double().engine == "torch"


def test_a_net_that_puts_all_into_the_same_memory() -> None:
    class Same(DyMN):
        def __init__(self) -> None:
            super().__init__(0.1, outputs=["b5"])
            self.memory = torch.zeros(1, self.embedding_size)

        def forward(self, mel: torch.Tensor) -> torch.Tensor:
            return self.memory.copy_(super().forward(mel))

        def folded(self) -> nn.Module:
            return self

    frontend = MobileNetV3MelSpectrogram().eval()
    ready = Runner("numba").ready(Same().eval())
    one, other = (torch.from_numpy(signals.windows(32000)[i : i + 1, :5120]) for i in range(2))
    with torch.no_grad():
        first = ready(frontend, one)
        kept = first.clone()
        ready(frontend, other)
    assert torch.equal(first, kept)
