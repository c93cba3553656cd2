"""The compiled kernels of the DyMN family: clips that have vectors for themselves, that share them, and single ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hear_edgel3.engine.kernels.residual_net import ResidualKernels
from hear_edgel3.engine.runner import Runner
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.dymn import layout as layouts
from hear_edgel3.families.dymn.net import DyMN
from hear_edgel3.families.kernel_residuals import ResidualNet
from hear_edgel3.families.mobilenetv3.layout import POOLINGS
from hear_edgel3.registry.names import resolve
from support import dymn_files, signals
from support.kernel_checks import check

# Frames of clips that fill the vectors of any machine, and of windows, which share them.
LONG, SHORT = 500, 17
FORMS: dict[str, dict[str, Any]] = {
    "published": {},
    "replace_se": {"use_dy_blocks": "replace_se"},
    "three_lines": {"dyrelu_k": 3},
    "one_line": {"dyrelu_k": 1},
    "no_lines": {"no_dyrelu": True},
    "no_gates": {"no_ca": True},
    "nine_kernels": {"dyconv_k": 9},
    "one_kernel": {"dyconv_k": 1},
    "no_kernels": {"no_dyconv": True},
    "context_alone": {"no_dyconv": True, "no_dyrelu": True, "no_ca": True},
    "gates_alone": {"no_dyconv": True, "no_dyrelu": True},
    "lines_alone": {"no_dyconv": True, "no_ca": True},
    "dilated": {"dilated": True},
    "reduced_tail": {"reduced_tail": True},
    "strides": {"strides": (2, 1, 2, 1)},
    "fully_convolutional": {"head": "fully_convolutional", "n_classes": 13},
    "tau": {"tau": 30.0},
    "few_bands": {"n_mels": 40, "n_teacher": 29},
    "context": {"context_ratio": 3, "min_context_size": 5, "max_context_size": 45},
}


# With larger weights nets without gates magnify every rounding, torch's as well.
GAIN = 1.6


def build(outputs: tuple[str, ...] | None = None, **options: Any) -> DyMN:
    """A narrow net."""
    return dymn_files.build(gain=GAIN, outputs=outputs, **{"width_mult": 0.3, **options}).eval()


def every_feature(net: DyMN) -> tuple[str, ...]:
    """The words for all that a net has."""
    words = ("mel_avgs", "clf1", "clf2", "logits", *(f"b{i}" for i in range(17)), "teacher")
    words += tuple(f"ctx{i}" for i in range(layouts.N_BLOCKS))
    return tuple(word for word in words if net._problem(word) is None)


def noise(n: int, n_frames: int, n_mels: int = 128) -> torch.Tensor:
    """(n, n_mels, n_frames) like log-mels."""
    generator = torch.Generator().manual_seed(n_frames)
    return 0.6 * torch.randn(n, n_mels, n_frames, generator=generator) - 0.3


def kernels_of(net: DyMN, lanes: int) -> ResidualKernels:
    form = net.kernel_residuals()
    assert isinstance(form, ResidualNet)
    return ResidualKernels(form, lanes)


def test_slopes_and_offsets_that_are_nearly_none() -> None:
    """A net of small random weights lives by them: one minus nearly one would be wrong by more than all its values."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = DyMN(1.0, 0.4, outputs=["b3", "b8", "b15", "clf1"]).eval()
    for n_frames in (SHORT, LONG):
        check(net, noise(1, n_frames), of_torch=4)


@pytest.mark.parametrize("name", FORMS)
def test_every_feature_of_every_form(name: str) -> None:
    net = build(**FORMS[name])
    net.select(every_feature(net))
    assert net.kernel_obstacle() is None
    check(net, noise(2, LONG, net.n_mels))
    if "strides" not in FORMS[name] and "dilated" not in FORMS[name]:  # there would be many kernels more to compile
        check(net, noise(3, SHORT, net.n_mels))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_poolings(pooling: str) -> None:
    net = build(("b0", "mel_avgs", "b4", "ctx4", "b15", "clf1"))
    net.select(net.outputs, pooling)
    for n_frames in (SHORT, 101, 700):
        check(net, noise(2, n_frames))


@pytest.mark.parametrize("outputs", [("mel_avgs",), ("b0",), ("ctx0",), ("b2", "mel_avgs"), ("logits", "clf2")])
def test_only_what_is_needed(outputs: tuple[str, ...]) -> None:
    check(build(outputs), noise(1, LONG))


@pytest.mark.parametrize("n_frames", [300, 559, 682])
def test_dilation_that_reaches_over_more_than_a_strip(n_frames: int) -> None:
    check(build(("b12", "b13", "clf1"), dilated=True), noise(1, n_frames))


@pytest.mark.parametrize("n_frames", [1, 2, 16, 33, 101, 256, 257, 481, 512, 513, 1000, 1001, 2500])
def test_lengths(n_frames: int) -> None:
    check(build(("b1", "b6", "ctx14", "logits")), noise(2, n_frames))


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_vectors_of_any_machine(lanes: int) -> None:
    net = build(("mel_avgs", "b0", "ctx1", "b4"))
    kernels = kernels_of(net, lanes)
    net.double()
    for n, n_frames in ((2, 600), (3, SHORT), (1, 50)):
        x = noise(n, n_frames)
        with torch.no_grad():
            expected = net(x.double()).numpy()
        found = kernels(x.numpy(), 1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("n_frames", [SHORT, 101, LONG])
def test_batches_and_threads_give_the_same_bits(n_frames: int, threads: Callable[[int], None]) -> None:
    net, x, runner = build(("ctx3", "b5", "clf1")), noise(19, n_frames), Runner("numba")
    with torch.no_grad():
        alone = torch.cat([runner(net, image[None]) for image in x])
        for n, n_threads in ((1, 1), (3, 2), (5, 1), (17, 4), (19, 1)):
            threads(n_threads)
            assert torch.equal(runner(net, x[-n:]), alone[-n:])
        assert runner(net, x[:0]).shape == (0, alone.shape[1])


@pytest.mark.parametrize("n_frames", [SHORT, 101, LONG])
def test_what_is_not_finite_stays_alone_and_leaves_nothing(n_frames: int) -> None:
    net, x, runner = build(("ctx3", "b5", "clf1")), noise(3, n_frames), Runner("numba")
    with torch.no_grad():
        expected = runner(net, x)
        for value in (torch.nan, torch.inf):
            wrong = x.clone()
            wrong[1, 64, 9] = value
            found = runner(net, wrong)
            assert not torch.isfinite(found[1]).all()
            assert torch.equal(found[[0, 2]], expected[[0, 2]])
            assert torch.equal(runner(net, x), expected)


def test_another_temperature_and_other_weights_are_noticed() -> None:
    net, x, runner = build(("b5",)), noise(1, LONG), Runner("numba")
    with torch.no_grad():
        before = runner(net, x)
        net.set_tau(5.0)
        warmer = runner(net, x)
        assert not torch.equal(warmer, before)
        net.layers[2].depth_conv.weight.mul_(1.1)  # type: ignore[union-attr]
        assert not torch.equal(runner(net, x), warmer)


def test_temperatures_of_single_convolutions() -> None:
    net = build(("b5",))
    for i, name in enumerate(("exp_conv", "depth_conv", "proj_conv")):
        getattr(net.layers[2], name).tau = 0.2 + i
    check(net, noise(1, LONG))


def test_a_class_of_somebodys_own_runs_in_torch() -> None:
    class Doubled(DyMN):
        def forward(self, mel: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(mel)

        def folded(self) -> torch.nn.Module:
            return self

    net = Doubled(1.0, 0.1, outputs=["b2"]).eval()
    assert "Doubled" in str(net.kernel_obstacle())
    x = noise(1, LONG)
    with torch.no_grad():
        torch.testing.assert_close(Runner()(net, x), net(x))


@pytest.mark.parametrize("name", ["dymn04_as", "ssondo_matpac_dymn"])
def test_whole_extractors(name: str) -> None:
    """In a batch with others as alone, and as with the engine torch."""
    configuration = resolve(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = configuration.net.build()
    ours, torchs = (
        Extractor(configuration, configuration.checkpoint.frontend.build(), net, engine=engine)
        for engine in ("auto", "torch")
    )
    assert ours.engine == "numba"
    clips = torch.from_numpy(np.stack([signals.clip(6.0, ours.sample_rate), signals.clip(6.0, ours.sample_rate)[::-1]]))
    found, expected = ours.scene_embeddings(clips), torchs.scene_embeddings(clips)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    assert torch.equal(ours.scene_embeddings(clips[1:]), found[1:])
    found, expected = (extractor.timestamp_embeddings(clips[:1])[0] for extractor in (ours, torchs))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
