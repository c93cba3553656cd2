"""The arithmetic of costs against what torch does: every figure, exactly."""

from __future__ import annotations

import random

import pytest
import torch

import hear_edgel3
from hear_edgel3.engine import folded
from hear_edgel3.extractor import complexity
from hear_edgel3.families.l3 import rows as l3
from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.families.layers import Recorder, Values
from hear_edgel3.families.mobilenetv3 import layout as layouts
from hear_edgel3.families.mobilenetv3 import rows as mobilenetv3
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from hear_edgel3.registry.names import list_configurations, resolve
from support import measured

FEATURES = (
    *("mel_avgs", "b0", "b5", "b11", "clf1", "clf2", "logits", "se4", "all_se", "allmode", "e1_l_mels_clf_block_se"),
    *("all_b_cat_avg_max_ch_pool", "all_b_avg_max_time_pool", "se15_ts640", "se4_ts20", "b5_ts10000"),
)


def kinds() -> list[str]:
    """Names of configurations, one of each shape."""
    found = {}
    for name in [*list_configurations(), *(f"mn04_as_{words}" for words in FEATURES), "mn10_as_fc_logits", "mn01_im"]:
        configuration = resolve(name)
        if configuration.checkpoint.layers is None:  # one picture, whatever the length
            continue
        if configuration.checkpoint.family == "dymn" or name == "ssondo_matpac_dymn":
            # What is stated of a DyMN is what its authors count, with the mixing of kernels, and not what a form of it
            # that can be exported does: that convolves with each kernel (tests/families/test_dymn_exactness.py).
            continue
        key = repr((configuration.net, configuration.checkpoint.frontend, configuration.window))
        found.setdefault(key, name)
    return list(found.values())


@pytest.mark.parametrize("name", kinds())
def test_every_figure(name: str) -> None:
    configuration = resolve(name)
    assert complexity.complexity_of(configuration) == measured.measure(configuration)


def _compare(layers: object, plain: torch.nn.Module, features: dict[str, object], bands: int, frames: int) -> None:
    net = folded.compile_net(plain)
    image = torch.empty((1, bands, frames), device="meta")
    operations = layers.operations(frames, features)
    assert complexity.count_macs(operations) == measured.count_macs(net, image)
    assert complexity.peak_memory(operations, 4) == measured.peak_memory(net, image)
    assert complexity.receptive_field(operations) == measured.receptive_field(plain.convolutions())
    net.half()
    assert complexity.peak_memory(operations, 2) == measured.peak_memory(net, image.half())
    measured.run_to_the_end(plain)
    assert complexity.count_macs(layers.operations(frames)) == measured.count_macs(plain, image)


@pytest.mark.parametrize("seed", range(24))
def test_nets_that_have_no_name(seed: int) -> None:
    """Every head, with and without a teacher's embedding, features in any number, order and pooling, odd sizes."""
    rng = random.Random(seed)
    head = layouts.HEADS[seed % 3]
    n_classes = rng.choice([None, 10, 527]) if head == "mlp" else rng.choice([10, 527])
    bands, n_teacher = rng.choice([40, 64, 127]), rng.choice([None, 40])
    strides = rng.choice([(2, 2, 2, 2), (2, 2, 1, 1), (1, 2, 2, 1)])
    fields = mobilenetv3.architecture(rng.choice([0.1, 0.4, 1.0]), n_classes, head, bands, 10, strides, n_teacher)
    layers = fields["layers"]
    names = ("mel_avgs", "clf1", "clf2", "logits", *(f"se{i}" for i in range(16)), *(f"b{i}" for i in range(17)))
    there = [n for n in names if layouts.missing_feature(layers.layout, n, head, n_classes, n_teacher) is None]
    if n_teacher is not None:
        there += ["teacher"] * 6  # often
    outputs = tuple(dict.fromkeys(rng.sample(there, rng.choice([1, 1, 2, 5]))))
    features = {"outputs": outputs, "pooling": rng.choice(layouts.POOLINGS)}
    with torch.device("meta"):
        plain = MobileNetV3(**fields["net"].arguments, **features).eval()
    _compare(layers, plain, features, bands, rng.choice([1, 2, 3, 16, 37, 100, 1000]))


@pytest.mark.parametrize(("bands", "frames"), [(8, 8), (9, 15), (64, 50), (31, 200)])
@pytest.mark.parametrize("final_norm", [True, False])
def test_other_nets_of_l3(bands: int, frames: int, final_norm: bool) -> None:
    channels = (4, 7, 8, 3, 16, 16, 5, 9)
    fields = l3.architecture(channels, final_norm, 16000, 1024, 160, bands)
    with torch.device("meta"):
        plain = L3Net(channels, final_norm).eval()
    _compare(fields["layers"], plain, {}, bands, frames)


@pytest.mark.parametrize("name", ["sea_64", "sparse_95", "mn01_as", "mn10_as_hop_15", "mn10_as_mels_40"])
def test_images_are_those_of_the_front_end(name: str) -> None:
    row = resolve(name).checkpoint
    frontend = row.frontend.build()
    assert row.layers is not None
    assert (row.layers.n_mels, row.layers.hop_length) == (frontend.n_mels, frontend.hop_length)
    assert row.layers.frame_length == getattr(frontend, "win_length", frontend.n_fft)
    for n_samples in (row.window, row.window + 1, 10 * row.net_sample_rate):
        found = frontend(torch.zeros(1, n_samples)).shape
        assert found == (1, row.layers.n_mels, row.layers.n_frames(n_samples))


@pytest.mark.parametrize("name", ["sea_64", "tiny", "mn01_as_b5"])
def test_a_scene_costs_what_runs(name: str, weights_folder, mobilenetv3_folder) -> None:
    """All images that the net is given for ten seconds, counted one by one."""
    folder = {"sea_64": weights_folder, "mn01_as_b5": mobilenetv3_folder, "tiny": None}[name]
    extractor = hear_edgel3.load(name, folder, engine="eager")
    given: list[torch.Size] = []
    extractor.net.register_forward_pre_hook(lambda net, inputs: given.append(inputs[0].shape))
    extractor.scene_embeddings(torch.zeros(1, 10 * extractor.sample_rate))
    shape, n_images = given[0][1:], sum(one[0] for one in given)
    assert all(one[1:] == shape for one in given)
    each = measured.count_macs(extractor.net, torch.zeros(1, *shape))
    found = complexity.complexity_of(extractor.configuration)
    assert found is not None
    assert found.macs_scene_10s == n_images * each


def test_by_hand() -> None:
    """One convolution with a residual, whose input is there until the sum is made, and a pooling with its indices."""
    net = Recorder()
    image = Values(1, 8, 6)
    x = net.convolution(image, 4, kernel=3)
    y = net.convolution(x, 4, kernel=5, dilation=2, groups=4)
    y = net.add_to(y, x)
    net.linear(net.make((4,), net.max_pool(y, 2)), 7)
    assert complexity.count_macs(net.operations) == 9 * 4 * 48 + 25 * 4 * 48 + 4 * 7
    assert complexity.receptive_field(net.operations) == 1 + 2 + 4 * 2 + 1
    convolved = 48 + 4 * 48 + 4 * 48
    pooled = 48 + 4 * 48 + 4 * 12
    for size in (4, 2):
        assert complexity.peak_memory(net.operations, size) == max(size * convolved, size * pooled + 8 * 4 * 12)
