"""A choice of a MobileNetV3's features, and its approximation of a teacher's embedding: sizes, values and what runs."""

from __future__ import annotations

import copy
import math
import random
from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import nn

from hear_edgel3.extractor.complexity import complexity_of
from hear_edgel3.families.mobilenetv3 import layout as layouts
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from hear_edgel3.families.mobilenetv3.rows import architecture
from hear_edgel3.families.schema import Checkpoint, Configuration
from hear_edgel3.registry.names import checkpoints
from support import mobilenetv3_reference as reference
from support.mobilenetv3_nets import (
    NET_TOLERANCE,
    SPECS,
    all_features,
    assert_features_close,
    build,
    by_feature,
    mels,
    run_on_meta,
)
from support.mobilenetv3_reference import Spec

# --- a choice of features ---


def test_sizes_are_real() -> None:
    """What a net puts out is as large as it says and as the registry says, for words of both vocabularies."""
    vocabulary = ["mel_avgs", "clf1", "clf2", "logits", "l_clf_all_se_mels", "e1_l_se_block", "all_b_all_se_ts640"]
    vocabulary += [f"b0_1_2_3_se4_{pooling}_pool" for pooling in reference.POOLINGS]
    for row in checkpoints():
        if row.name not in ("mn01_as", "mn01_im", "mn10_as_mels_40", "mn10_as_fc_s2211"):
            continue
        with torch.device("meta"):
            net = MobileNetV3(**row.net.arguments, outputs=["clf1"]).eval()
        done = 0
        for words in vocabulary:
            try:
                features = row.vocabulary.read(row, words)
            except ValueError:  # clf2 of a convolutional head, logits of ImageNet
                continue
            net.select(features.arguments["outputs"], features.arguments["pooling"])
            found = net(torch.empty(2, net.n_mels, 16, device="meta"))
            assert found.shape == (2, net.embedding_size) == (2, features.size), f"{row.name}_{words}"
            done += 1
        assert done >= len(vocabulary) - 3
    spec = SPECS["se_cf_min"]  # nets that have no row
    with torch.device("meta"):
        net = MobileNetV3(**asdict(spec)).eval()
        for pooling in reference.POOLINGS:
            net.select(all_features(spec), pooling)
            assert net(torch.empty(2, spec.n_mels, spec.n_frames)).shape == (2, net.embedding_size)


class Ran:
    """Which layers of a net run."""

    def __init__(self, net: nn.Module) -> None:
        self.layers: list[str] = []
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(lambda m, x, y, name=name: self.layers.append(name))

    def take(self) -> list[str]:
        """Names of the layers since the last time."""
        layers, self.layers[:] = self.layers.copy(), []
        return layers


@pytest.mark.parametrize("folded", [False, True], ids=["plain", "folded"])
def test_only_what_is_needed_runs(folded: bool) -> None:
    spec = SPECS["width_0.1"]
    mel = mels(spec)
    last = {
        **{"mel_avgs": -1, "clf1": 16, "clf2": 16, "logits": 16},
        **{f"se{i}": i for i in reference.SE_BLOCKS},
        **{f"b{i}": i for i in range(17)},
    }
    cases = [[name] for name in last] + [["b5", "se11"], ["mel_avgs", "b3"], ["se4", "clf1"], ["b15", "b0", "se15"]]
    net = build(spec)
    for case in cases:
        net.select(case)
        chosen = net.folded() if folded else copy.deepcopy(net)
        ran = Ran(chosen)
        with torch.no_grad():
            chosen(mel)
        layers = ran.take()
        assert len(layers) == len(set(layers)), "a layer ran twice"
        blocks = {int(layer.split(".")[1]) for layer in layers if layer.startswith("features")}
        assert blocks == set(range(max(last[name] for name in case) + 1)), case
        heads = {layer for layer in layers if layer.startswith("classifier")}
        wanted = {"clf2": {"classifier.2"}, "logits": {"classifier.2", "classifier.5"}}
        assert heads == set().union(*(wanted.get(name, set()) for name in case)), case


@pytest.mark.parametrize("key", ["width_0.1", "se_cf_max", "fully_convolutional", "attention"])
def test_any_choice_gives_the_same_numbers(key: str) -> None:
    """Bit for bit, in any order, and whether or not others are taken with it."""
    spec = SPECS[key]
    mel, which = mels(spec), all_features(spec)
    net = build(spec, outputs=which)
    with torch.no_grad():
        everything = by_feature(net, net(mel), which)
        whole_folded = by_feature(net, net.folded()(mel), which)
    rng = random.Random(0)
    for _ in range(10):
        chosen = rng.sample(which, rng.randint(1, 6))
        net.select(chosen)
        assert net.outputs == tuple(chosen)
        with torch.no_grad():
            assert torch.equal(net(mel), torch.cat([everything[name] for name in chosen], dim=1)), chosen
            assert torch.equal(net.folded()(mel), torch.cat([whole_folded[name] for name in chosen], dim=1)), chosen


def test_a_feature_twice() -> None:
    spec = SPECS["width_0.1"]
    net = build(spec, outputs=["b1", "b1"])
    with torch.no_grad():
        found = net(mels(spec))
    assert found.shape[1] == net.embedding_size
    assert torch.equal(found[:, : found.shape[1] // 2], found[:, found.shape[1] // 2 :])


def test_selecting_leaves_the_parameters() -> None:
    net = MobileNetV3(0.1)
    before = [(name, id(value)) for name, value in net.named_parameters()]
    net.select(["b5"], "max_ch")
    assert [(name, id(value)) for name, value in net.named_parameters()] == before
    assert net.pooling == "max_ch"


BAD_CHOICES: list[tuple[dict[str, Any], Any, str]] = [
    ({}, [], "outputs must be one or more names of features"),
    ({}, (), "outputs must be one or more names of features"),
    ({}, "clf1", "outputs must be one or more names of features, got 'clf1'"),
    ({}, ["clf3"], "there is no feature 'clf3'"),
    ({}, ["b17"], "there is no feature 'b17'"),
    ({}, ["b05"], "there is no feature 'b05'"),
    ({}, ["b-1"], "there is no feature 'b-1'"),
    ({}, ["b"], "there is no feature 'b'"),
    ({}, ["se0"], "there is no feature 'se0'"),
    (
        {},
        ["se7"],
        "there is no feature 'se7'; there are mel_avgs, clf1, clf2, logits, se4, se5, se6, se11, .* b0 to b16",
    ),
    ({}, ["se16"], "there is no feature 'se16'"),
    ({}, ["all_b"], "there is no feature 'all_b'"),
    ({}, ["logits", ""], "there is no feature ''"),
    ({"se_dims": ""}, ["se5"], "this net has no squeeze-and-excitation"),
    ({"head": "fully_convolutional"}, ["clf2"], "clf2 is the hidden layer of the mlp head.*fully_convolutional"),
    ({"head": "multihead_attention_pooling"}, ["clf2"], "clf2 is the hidden layer of the mlp head"),
]


@pytest.mark.parametrize(("options", "outputs", "message"), BAD_CHOICES)
def test_features_that_there_are_not(options: dict[str, Any], outputs: Any, message: str) -> None:
    with torch.device("meta"):
        net = MobileNetV3(0.1, **options)
    with pytest.raises(ValueError, match=message):
        net.select(outputs)
    assert (net.outputs, net.pooling) == (("logits",), "avg_ch")
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        MobileNetV3(0.1, **options, outputs=outputs)


def test_poolings_that_there_are_not() -> None:
    net = MobileNetV3(0.1)
    for pooling in ("avg", "avg_ch_pool", "", None):
        with pytest.raises(ValueError, match="pooling must be one of avg_ch, max_ch,"):
            net.select(["b1"], pooling)  # type: ignore[arg-type]
    assert net.outputs == ("logits",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"head": "mlp2"}, "head must be one of mlp, fully_convolutional, multihead_attention_pooling; got 'mlp2'"),
        ({"head": "fully_convolutional", "n_classes": None}, "n_classes cannot be None"),
        ({"head": "multihead_attention_pooling", "n_classes": None}, "n_classes cannot be None"),
        ({"n_classes": None, "outputs": ["logits"]}, "logits are the outputs of a classifier, and this net has none"),
        ({"se_dims": "x"}, "se_dims must be made of the letters c, f and t"),
        ({"se_dims": "cc"}, "se_dims must be made of the letters c, f and t, each at most once; got 'cc'"),
        ({"se_agg": "mean"}, "se_agg must be one of max, avg, add, min; got 'mean'"),
        ({"pooling": "sum"}, "pooling must be one of"),
        ({"strides": (2, 2, 2)}, "strides must be four numbers"),
        ({"strides": (2, 2, 2, 3)}, "strides must be four numbers, each 1 or 2"),
        ({"strides": (2, 2, 2, 0)}, "strides must be four numbers, each 1 or 2"),
        ({"width_mult": 0}, "width_mult must be positive"),
        ({"width_mult": -1.0}, "width_mult must be positive"),
        ({"width_mult": math.nan}, "width_mult must be positive"),
    ],
)
def test_nets_that_cannot_be_built(options: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        MobileNetV3(**{"width_mult": 0.1, **options})


# --- the approximation of a teacher's embedding ---


@pytest.mark.parametrize(
    ("options", "n_teacher"),
    [({}, 6), ({"n_mels": 40}, 300), ({"head": "fully_convolutional"}, 1), ({"n_classes": None}, 2)],
)
def test_the_teachers_output(options: dict[str, Any], n_teacher: int) -> None:
    """One linear map from mel_avgs, clf1, b5, b11, b13 and b15, pooled by their mean, plain and folded."""
    torch.manual_seed(0)
    net = MobileNetV3(**{"width_mult": 0.1, **options}, n_teacher=n_teacher).eval()
    inputs = ["mel_avgs", "clf1", "b5", "b11", "b13", "b15"]
    assert tuple(inputs) == layouts.APPROXIMATION_INPUTS
    assert isinstance(net.approximation, nn.Linear)
    nn.init.normal_(net.approximation.bias)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:  # so that folding does something
            module.running_mean.normal_()
    mel = mels(Spec(0.1, n_mels=net.n_mels))
    with torch.no_grad():
        net.select(inputs)
        seen = net(mel).double()
        weight, bias = net.approximation.weight.double(), net.approximation.bias.double()
        expected = {"teacher": seen @ weight.T + bias}
        assert weight.shape == (n_teacher, seen.shape[1])
        assert layouts.approximation_inputs(net.layout, net.n_mels) == seen.shape[1]
        # The pooling that was chosen for blocks does not reach it.
        for outputs, pooling in ((["teacher"], "avg_ch"), (["b5", "teacher", "b15"], "cat_avg_max_ch")):
            net.select(outputs, pooling)
            assert net._size("teacher") == n_teacher
            for variant, what in ((net, "plain"), (net.folded(), "folded")):
                found = by_feature(net, variant(mel), outputs)
                assert found["teacher"].shape == (3, n_teacher)
                assert_features_close({"teacher": found["teacher"]}, expected, NET_TOLERANCE, what)


def test_the_teachers_output_beside_others() -> None:
    """It changes nothing of them; a folded net that does not put it out does not hold it either."""
    spec = SPECS["width_0.1"]
    plain = build(spec, outputs=all_features(spec))
    net = MobileNetV3(**asdict(spec), n_teacher=5).eval()
    missing, unexpected = net.load_state_dict(reference.seeded_state(spec), strict=False)
    assert (missing, unexpected) == (["approximation.weight", "approximation.bias"], [])
    mel = mels(spec)
    net.select(["teacher", *all_features(spec)])
    with torch.no_grad():
        assert torch.equal(net(mel)[:, 5:], plain(mel))
    net.select(["logits"])
    assert not any(name.startswith("approximation") for name, _ in net.folded().named_parameters())
    with pytest.raises(ValueError, match="which this net was not distilled with"):
        plain.select(["teacher"])


def approximating(words: str, **options: Any) -> Configuration:
    """A configuration of a net of width 0.1."""
    row = Checkpoint(**architecture(width_mult=0.1, **options), name="a", summary="b", citation="c")
    return Configuration("a", row, row.vocabulary.read(row, words))


@pytest.mark.parametrize(
    "options", [{}, {"n_mels": 40}, {"n_classes": None}, {"head": "fully_convolutional"}, {"strides": (2, 2, 2, 1)}]
)
def test_counts_with_the_teachers_output(options: dict[str, Any]) -> None:
    """Parameters and multiplications of a row are those of its net, all of whose layers run."""
    configuration = approximating("clf1_teacher", **options, n_teacher=7)
    row = configuration.checkpoint
    with torch.device("meta"):
        net = configuration.net.build().eval()
    assert row.n_parameters == sum(p.numel() for p in net.parameters())
    net.select((net.last_output, "teacher"))
    assert row.macs_10s == run_on_meta(net, 1000)[1]
    without = approximating("clf1", **options).checkpoint
    n_inputs = net.approximation.in_features
    assert row.n_parameters - without.n_parameters == 7 * (n_inputs + 1)
    assert row.macs_10s - without.macs_10s == 7 * n_inputs


def test_costs_of_the_teachers_output() -> None:
    """It is counted with the whole net, and with the features that are put out if it is one of them."""
    n_inputs = layouts.approximation_inputs(layouts.make_layout(0.1), 40)
    bare = complexity_of(approximating("clf1", n_mels=40))
    full = complexity_of(approximating("clf1", n_mels=40, n_teacher=7))
    out = complexity_of(approximating("clf1_teacher", n_mels=40, n_teacher=7))
    assert full.parameters - bare.parameters == 7 * (n_inputs + 1)
    assert full.macs_10s - bare.macs_10s == full.macs_1s - bare.macs_1s == 7 * n_inputs
    assert (out.parameters, out.macs_10s) == (full.parameters, full.macs_10s)
    assert full.macs_features_10s == bare.macs_features_10s
    assert out.macs_features_10s - full.macs_features_10s == out.macs_window - full.macs_window == 7 * n_inputs
