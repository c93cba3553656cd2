"""The compiled kernels of nets of inverted residuals that see pictures: EfficientNet-Lite0 and MobileNetV2."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from hear_edgel3.engine.expected import Choice
from hear_edgel3.engine.kernels.residual_net import ResidualKernels
from hear_edgel3.engine.runner import Runner
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.headed.net import make_headed
from hear_edgel3.families.image.kernel_plan import plan
from hear_edgel3.families.image.net import SpectrogramImageNet
from hear_edgel3.families.image.nets.table import NETS, graph_of
from hear_edgel3.heads.layout import HeadLayout
from hear_edgel3.registry.names import resolve, with_features
from support.kernel_checks import check

KINDS = ("effnet_lite0", "mobilenet_v2")
# Pictures cut into strips, and not; of short rows; and padded evenly in some maps and unevenly in others.
SIZES = ((224, 224), (64, 64), (64, 96), (100, 33), (47, 130))
FASTER = Choice("numba", "with its kernels nets of this kind are faster than in torch alone")
EVERYWHERE = Choice("torch", "it runs every net everywhere")


def stages(kind: str) -> tuple[str, ...]:
    """The maps whose means kernels put out."""
    nodes = graph_of(kind, 224, 224).stages.values()
    return tuple(name for name in nodes if plan(graph_of(kind, 224, 224), (name,)) is not None)


def build(
    kind: str, height: int = 224, width: int = 224, outputs: tuple[str, ...] | None = None
) -> SpectrogramImageNet:
    """A net of drawn weights, whose ReLU6 cut at both ends, and which magnifies no rounding."""
    net = SpectrogramImageNet(kind, outputs, image_height=height, image_width=width)
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, generator=generator)
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.weight.data.uniform_(0.3, 1.0, generator=generator)
            module.bias.data.normal_(1.0, 3.0, generator=generator)
            module.running_mean.normal_(0.0, 0.5, generator=generator)
            module.running_var.uniform_(1.0, 2.0, generator=generator)
    return net.eval()


def spectrograms(n: int, frames: int = 61) -> torch.Tensor:
    return torch.randn(n, 128, frames, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_all_of_a_net_is_known(kind: str) -> None:
    """The first map, all blocks, and the last one."""
    assert len(stages(kind)) == {"effnet_lite0": 18, "mobilenet_v2": 19}[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_every_map(kind: str, size: tuple[int, int]) -> None:
    """Against float64, alone and among others."""
    check(build(kind, *size, outputs=stages(kind)), spectrograms(3))


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_vectors_of_any_machine(lanes: int, n: int) -> None:
    net = build("effnet_lite0", 64, 64, outputs=("stem_relu", "block3_project_bn", "head_relu"))
    images = net.kernel_picture()(spectrograms(n)).numpy()
    found = ResidualKernels(net.kernel_residuals(), lanes)(images, 1)
    with torch.no_grad():
        expected = copy.deepcopy(net).double().features(torch.from_numpy(images)).numpy()
    peak = np.abs(expected).max(axis=1, keepdims=True)
    assert (np.abs(found - expected) / peak).max() < 3e-6


def test_a_number_that_is_none_stays_so() -> None:
    net, x = build("mobilenet_v2", 64, 64), spectrograms(3)
    x[1, 5, 7] = torch.nan
    with torch.no_grad():
        found = Runner("numba")(net, x)
    assert torch.isfinite(found[[0, 2]]).all()
    assert torch.isnan(found[1]).all()


def test_no_spectrograms() -> None:
    with torch.no_grad():
        assert Runner("numba")(build("effnet_lite0", 64, 64), spectrograms(0)).shape == (0, 1280)


def test_auto_takes_them() -> None:
    assert Runner().choose(build("effnet_lite0", 64, 64)) == FASTER
    assert Runner().choose(build("effnet_lite0", 64, 64).double()) == EVERYWHERE


@pytest.mark.parametrize(
    ("kind", "outputs"), [("vgg16", None), ("mobilenet", None), ("mobilenet_v2", ("block_3_depthwise_relu",))]
)
def test_what_kernels_do_not_know_runs_in_torch(kind: str, outputs: tuple[str, ...] | None) -> None:
    net = SpectrogramImageNet(kind, outputs, image_height=64, image_width=64).eval()
    assert Runner().choose(net) == EVERYWHERE
    with pytest.raises(InvalidOption, match="kernels run inverted residuals"):
        Runner("numba")(net, spectrograms(1))


def test_a_class_of_somebodys_own_is_not_taken_for_ours() -> None:
    class Doubled(SpectrogramImageNet):
        def forward(self, spectrograms: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(spectrograms)

    net = Doubled("effnet_lite0", image_height=64, image_width=64).eval()
    assert "Doubled" in str(net.kernel_obstacle())
    assert Runner().choose(net) == EVERYWHERE


@pytest.mark.parametrize("kind", NETS)
def test_names_say_whether_there_are_kernels(kind: str) -> None:
    """Without the net being built."""
    assert resolve(f"image_{kind}").kernels == (kind in KINDS)


@pytest.mark.parametrize(
    ("words", "kernels"),
    [
        ("block3", True),
        ("head_stem", True),
        ("block3_expand_relu", True),
        ("block1 block3_expand_relu", True),  # the net ends there
        ("block3_expand_relu block3", False),
        ("block3_depthwise_relu", False),
    ],
)
def test_words_say_whether_there_are_kernels(words: str, kernels: bool) -> None:
    configuration = with_features(resolve("image_effnet_lite0"), words.split())
    assert configuration.kernels is kernels
    assert (configuration.net.build().kernel_obstacle() is None) is kernels


def test_a_net_with_a_head() -> None:
    """A detector's embedding comes from kernels, pictures and all."""
    net = make_headed(build("effnet_lite0", 64, 64), HeadLayout("linear", 1280, 2), "embedding").eval()
    x = spectrograms(3)
    with torch.no_grad():
        assert Runner().choose(net) == FASTER
        found, expected = Runner()(net, x), Runner("torch")(net, x)
    torch.testing.assert_close(found, expected, rtol=0, atol=3e-6 * float(expected.abs().max()))
