"""The MobileNetV3 front end and net against support/mobilenetv3_reference.py, with seeded weights; and as modules."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hear_edgel3.extractor.complexity import complexity_of
from hear_edgel3.families.mobilenetv3 import frontend as frontends
from hear_edgel3.families.mobilenetv3 import layout as layouts
from hear_edgel3.families.mobilenetv3.frontend import MobileNetV3MelSpectrogram
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from hear_edgel3.families.mobilenetv3.rows import architecture
from hear_edgel3.families.schema import Checkpoint, Configuration
from hear_edgel3.registry.names import checkpoints
from support import mobilenetv3_reference as reference
from support import signals
from support.mobilenetv3_reference import Spec

# Sums in float32 and in another order are all that differs: 4.6e-5 of a feature's peak was observed over all nets.
NET_TOLERANCE = 1e-4
# In float64 the same sums, folded or not, differ by 7e-14.
DOUBLE_TOLERANCE = 1e-12
# Log-mels are in fifths of a natural logarithm. In bands that are nearly empty beside loud ones float32 leaves rounding
# noise: 1.1e-4 was observed, and as much with the original's operations (convolution, torch.stft) in float32.
MEL_TOLERANCE = 2e-4

SPECS = {
    "width_0.1": Spec(0.1),
    "width_0.4": Spec(0.4),
    "width_1": Spec(1.0, n_frames=24),
    "no_classes": Spec(0.1, n_classes=None),
    "ten_classes": Spec(0.1, n_classes=10),
    "fully_convolutional": Spec(0.1, head="fully_convolutional", n_classes=50),
    "fully_convolutional_2221": Spec(0.1, head="fully_convolutional", strides=(2, 2, 2, 1)),  # block 13 adds its input
    "fully_convolutional_2211": Spec(0.4, head="fully_convolutional", strides=(2, 2, 1, 1), n_frames=24),
    "attention": Spec(0.1, head="multihead_attention_pooling"),
    "attention_of_two": Spec(0.1, head="multihead_attention_pooling", n_heads=2, n_classes=7),
    "strides_1222": Spec(0.1, strides=(1, 2, 2, 2), n_frames=31, n_mels=40),
    "strides_1111": Spec(0.1, strides=(1, 1, 1, 1), n_frames=9, n_mels=40),
    "reduced_tail": Spec(0.4, reduced_tail=True),
    "dilated": Spec(0.1, dilated=True),  # 13 has as many inputs as outputs, and its nominal stride forbids adding them
    "dilated_2221": Spec(0.1, dilated=True, strides=(2, 2, 2, 1)),
    "dilated_reduced_tail": Spec(0.4, dilated=True, reduced_tail=True, n_mels=64, n_frames=40),
    "no_se": Spec(0.1, se_dims=""),
    "se_f": Spec(0.1, se_dims="f"),
    "se_f_2211": Spec(0.1, se_dims="f", strides=(2, 2, 1, 1), n_mels=64),
    "se_t": Spec(0.1, se_dims="t", n_frames=77),
    "se_cf_max": Spec(0.1, se_dims="cf", se_agg="max"),
    "se_fc_avg": Spec(0.1, se_dims="fc", se_agg="avg"),
    "se_cf_add": Spec(0.1, se_dims="cf", se_agg="add"),
    "se_cf_min": Spec(0.4, se_dims="cf", se_agg="min", n_mels=64, n_frames=40),
    "se_cft": Spec(0.1, se_dims="cft", se_agg="avg", n_frames=64),
    "mels_40": Spec(0.1, n_mels=40),
    "mels_64": Spec(0.1, n_mels=64),
    "mels_256": Spec(0.1, n_mels=256),
    "odd_sizes": Spec(0.1, n_mels=41, n_frames=33),
}


def build(spec: Spec, **options: Any) -> MobileNetV3:
    net = MobileNetV3(**{**asdict(spec), **options})
    net.load_state_dict(reference.seeded_state(spec))
    return net.eval()


def names(spec: Spec) -> list[str]:
    """All features of a net."""
    found = ["mel_avgs", "clf1"]
    found += ["clf2"] if spec.head == "mlp" else []
    found += ["logits"] if spec.n_classes is not None else []
    found += [f"se{i}" for i in reference.SE_BLOCKS] if spec.se_dims else []
    return [*found, *(f"b{i}" for i in range(17))]


def mels(spec: Spec, n_frames: int | None = None) -> torch.Tensor:
    """(3, n_mels, n_frames) float32: pink noise, bursts and harmonics, as the reference's front end has them."""
    n_frames = spec.n_frames if n_frames is None else n_frames
    samples = signals.windows(max(514, 320 * n_frames))[1:4]
    return reference.log_mel(samples, 320, spec.n_mels)[:, :, :n_frames].float()


def pieces(net: MobileNetV3, found: torch.Tensor, which: list[str]) -> dict[str, torch.Tensor]:
    """What the net put out, by feature."""
    assert found.shape[1] == net.embedding_size
    return dict(zip(which, found.split([net._size(name) for name in which], dim=1), strict=True))


def assert_features_close(
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float, what: str
) -> None:
    for name, values in found.items():
        wanted = expected[name].numpy()
        atol = tolerance * np.abs(wanted).max()
        np.testing.assert_allclose(values.double().numpy(), wanted, rtol=0, atol=atol, err_msg=f"{what}, {name}")


# --- the net is the reference ---


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_every_feature(spec: Spec) -> None:
    """All features in all poolings: plain and folded, in float32 and, far more closely, in float64."""
    mel, which = mels(spec), names(spec)
    blocks = reference.run(spec, reference.seeded_state(spec), mel)
    assert set(blocks) == set(which)
    net = build(spec, outputs=which)
    double = copy.deepcopy(net).double()
    of_both_kinds = ("cat_avg_max_ch", "avg_max_time")  # they have all means and maxima
    variants = {
        "plain": (net, mel, NET_TOLERANCE, reference.POOLINGS),
        "folded": (net.folded(), mel, NET_TOLERANCE, reference.POOLINGS),
        "plain float64": (double, mel.double(), DOUBLE_TOLERANCE, of_both_kinds),
        "folded float64": (double.folded(), mel.double(), DOUBLE_TOLERANCE, of_both_kinds),
    }
    for what, (variant, x, tolerance, poolings) in variants.items():
        for pooling in poolings:
            expected = reference.pooled(blocks, pooling)
            variant.select(which, pooling)
            with torch.no_grad():
                found = variant(x)
            assert found.dtype == x.dtype
            assert_features_close(pieces(variant, found, which), expected, tolerance, f"{what}, {pooling}")


@pytest.mark.parametrize("n_frames", [1, 2, 11, 16, 17, 250])
def test_any_number_of_frames(n_frames: int) -> None:
    spec = SPECS["width_0.1"]
    mel, which = mels(spec, n_frames), names(spec)
    expected = reference.features(spec, reference.seeded_state(spec), mel, "avg_max_time")
    net = build(spec, outputs=which, pooling="avg_max_time")
    for variant in (net, net.folded()):
        with torch.no_grad():
            assert_features_close(pieces(net, variant(mel), which), expected, NET_TOLERANCE, str(n_frames))


@pytest.mark.parametrize("shift", [-200.0, -16.0, 200.0])
def test_attention_at_the_ends_of_its_range(shift: float) -> None:
    """It is held off 0 and 1, so that a net that hears nothing divides by no zero; at -16 half of it is."""
    spec = SPECS["attention_of_two"]
    net = build(spec, outputs=["logits"])
    changed = {name: value.clone() for name, value in reference.seeded_state(spec).items()}
    changed["classifier.subspace_proj.bias"][: spec.n_heads * 7] += shift
    net.load_state_dict(changed)
    mel = mels(spec)
    expected = reference.features(spec, changed, mel)
    with torch.no_grad():
        assert_features_close({"logits": net(mel)}, expected, NET_TOLERANCE, "attention")


# --- the parameters ---


@pytest.mark.parametrize("tenths", range(1, 41))
def test_parameters_of_every_width(tenths: int) -> None:
    spec = Spec(tenths / 10)
    with torch.device("meta"):
        net = MobileNetV3(spec.width_mult)
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert list(shapes.items()) == list(reference.shapes(spec).items())
    assert layouts.count_parameters(net.layout) == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_parameters_of_every_kind(spec: Spec) -> None:
    with torch.device("meta"):
        net = MobileNetV3(**asdict(spec), outputs=["clf1"])
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert list(shapes.items()) == list(reference.shapes(spec).items())
    if spec.se_dims == "c":
        found = layouts.count_parameters(net.layout, spec.head, spec.n_classes, spec.n_heads)
        assert found == sum(p.numel() for p in net.parameters())


def run_on_meta(net: MobileNetV3, n_frames: int) -> tuple[int, int]:
    """Values that come out, and multiply-accumulates of convolutions and linear layers, seen as they run."""
    macs = 0

    def count(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal macs
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        macs += output.numel() * weight.numel() // weight.shape[0]

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    found = net(torch.empty(1, net.n_mels, n_frames, device="meta"))
    for hook in hooks:
        hook.remove()
    return found.shape[1], macs


@pytest.mark.parametrize(
    "spec",
    [spec for spec in SPECS.values() if spec.se_dims == "c"],
    ids=[k for k, v in SPECS.items() if v.se_dims == "c"],
)
def test_counts_of_multiplications(spec: Spec) -> None:
    outputs = ["clf2"] if spec.n_classes is None else ["logits"]
    with torch.device("meta"):
        net = MobileNetV3(**asdict(spec), outputs=outputs).eval()
    for n_frames in (667, 16):
        found = layouts.count_macs(net.layout, spec.n_mels, n_frames, spec.head, spec.n_classes, spec.n_heads)
        assert found == run_on_meta(net, n_frames)[1]


def test_rows_of_the_registry_are_their_nets() -> None:
    """Every checkpoint: size of the default features, parameters and multiplications, from the net that is built."""
    rows = [row for row in checkpoints() if row.family == "mobilenetv3"]
    assert len(rows) == 35
    alike = {f"{row.net.arguments} {row.frontend.arguments}": row for row in rows}
    for row in alike.values():  # runs of the same training are nets of the same kind
        features = row.vocabulary.read(row, "")
        frames = MobileNetV3MelSpectrogram(**row.frontend.arguments).n_frames(320000)
        last = "clf2" if row.net.arguments["n_classes"] is None else "logits"
        with torch.device("meta"):
            net = MobileNetV3(**row.net.arguments, outputs=(*features.names, last)).eval()
        found, macs = run_on_meta(net, frames)
        assert found == net.embedding_size == features.size + net._size(last), row.name
        assert row.n_parameters == sum(p.numel() for p in net.parameters())
        assert row.macs_10s == macs, row.name
    for row in rows:
        twin = alike[f"{row.net.arguments} {row.frontend.arguments}"]
        assert (row.n_parameters, row.macs_10s) == (twin.n_parameters, twin.macs_10s), row.name


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
            net.select(names(spec), pooling)
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
    mel, which = mels(spec), names(spec)
    net = build(spec, outputs=which)
    with torch.no_grad():
        everything = pieces(net, net(mel), which)
        whole_folded = pieces(net, net.folded()(mel), which)
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
                found = pieces(net, variant(mel), outputs)
                assert found["teacher"].shape == (3, n_teacher)
                assert_features_close({"teacher": found["teacher"]}, expected, NET_TOLERANCE, what)


def test_the_teachers_output_beside_others() -> None:
    """It changes nothing of them; a folded net that does not put it out does not hold it either."""
    spec = SPECS["width_0.1"]
    plain = build(spec, outputs=names(spec))
    net = MobileNetV3(**asdict(spec), n_teacher=5).eval()
    missing, unexpected = net.load_state_dict(reference.seeded_state(spec), strict=False)
    assert (missing, unexpected) == (["approximation.weight", "approximation.bias"], [])
    mel = mels(spec)
    net.select(["teacher", *names(spec)])
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


# --- as a module ---


@pytest.fixture
def frontend() -> MobileNetV3MelSpectrogram:
    return MobileNetV3MelSpectrogram().eval()


def test_gradients_are_the_references(frontend: MobileNetV3MelSpectrogram) -> None:
    """Of the audio and of every parameter, through front end and net, in eval mode."""
    spec = SPECS["width_0.1"]
    net = build(spec, outputs=("mel_avgs", "clf2", "logits", "se5", "b11"))
    samples = torch.from_numpy(signals.windows(6400)[:2])
    mine = samples.clone().requires_grad_()
    (net(frontend(mine)).square().mean()).backward()

    theirs = samples.double().requires_grad_()
    parameters = {name: value.double() for name, value in reference.seeded_state(spec).items()}
    for name, _ in net.named_parameters():
        parameters[name].requires_grad_()
    found = reference.features(spec, parameters, reference.log_mel(theirs))
    torch.cat([found[name] for name in net.outputs], dim=1).square().mean().backward()

    gradients = {"audio": (mine.grad, theirs.grad)}
    gradients |= {name: (p.grad, parameters[name].grad) for name, p in net.named_parameters()}
    for name, (gradient, expected) in gradients.items():
        assert gradient is not None, name
        assert expected is not None, name
        assert expected.abs().max() > 0, name
        # a sum over every position of the input; where a unit is near its kink, float32 may be on the other side
        error = float((gradient.double() - expected).norm() / expected.norm())
        assert error < 1e-3, f"{name}: {error}"


def test_gradients_in_train_mode() -> None:
    net = MobileNetV3(0.1, outputs=("clf1", "logits")).train()
    torch.manual_seed(0)
    frontend = MobileNetV3MelSpectrogram(time_mask=50).train()  # half of the frames at most
    # silence included: a logarithm or square root of zero would give NaN there
    samples = torch.from_numpy(np.concatenate([signals.windows(32000)[:3], np.zeros((1, 32000), np.float32)]))
    samples.requires_grad_()
    net(frontend(samples)).square().sum().backward()
    assert samples.grad is not None
    assert samples.grad.isfinite().all()
    assert samples.grad[:3].abs().amax(dim=1).gt(0).all()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_net_from_scratch_learns() -> None:
    """A few steps on two sounds tell them apart; batch norms keep statistics with upstream's momentum."""
    torch.manual_seed(0)
    net = MobileNetV3(0.1, n_classes=2).train()
    frontend = MobileNetV3MelSpectrogram(freq_mask=0, time_mask=0).train()
    samples = torch.from_numpy(signals.windows(16000)[[0, 3]]).repeat(2, 1)
    target = torch.tensor([0, 1, 0, 1])
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(net(frontend(samples)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(n.eps, n.momentum) for n in norms} == {(1e-3, 0.01)}
    assert {int(n.num_batches_tracked) for n in norms if n.num_batches_tracked is not None} == {12}


def test_initial_weights() -> None:
    """Kaiming's for convolutions (by what goes out), deviation 0.01 for linear layers, no biases."""
    torch.manual_seed(0)
    net = MobileNetV3(0.4)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = module.weight.numel() // module.weight.shape[1]
            assert float(module.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_out), rel=0.1)
        elif isinstance(module, nn.Linear):
            assert float(module.weight.detach().std()) == pytest.approx(0.01, rel=0.2)
            assert module.bias.eq(0).all()
        elif isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()


def test_dropout_is_in_train_mode_only() -> None:
    spec = SPECS["width_0.4"]
    net = build(spec, outputs=["clf1", "clf2", "logits"])
    mel = mels(spec)[:1].expand(8, -1, -1)
    with torch.no_grad():
        still = pieces(net, net(mel), ["clf1", "clf2", "logits"])
        assert torch.equal(still["logits"][0], still["logits"][1])
        net.classifier.train()  # batch norms stay as they are
        torch.manual_seed(0)
        first, second = (pieces(net, net(mel), ["clf1", "clf2", "logits"]) for _ in range(2))
    assert torch.equal(first["clf1"], still["clf1"])
    assert torch.equal(first["clf2"], still["clf2"])  # the feature is taken before dropout
    assert not torch.equal(first["logits"], second["logits"])
    rows = first["logits"]
    assert all(not torch.equal(rows[i], rows[j]) for i in range(8) for j in range(i))
    dropout = [m for m in net.modules() if isinstance(m, nn.Dropout)]
    assert [m.p for m in dropout] == [0.2]


def test_folding_takes_nothing_from_the_net() -> None:
    spec = SPECS["width_0.1"]
    net = build(spec, outputs=names(spec)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = net.folded()
    assert net.training
    assert not any(module.training for module in folded.modules() if not isinstance(module, nn.Identity))
    mine = {value.untyped_storage().data_ptr() for value in net.state_dict().values()}
    assert not mine & {value.untyped_storage().data_ptr() for value in folded.state_dict().values()}
    assert not any(p.requires_grad for p in folded.parameters())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    mel = mels(spec)
    copied = mel.clone()
    with torch.no_grad():
        folded(mel)
        net.eval()(mel)
    assert torch.equal(mel, copied)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("key", ["width_0.1", "fully_convolutional", "attention", "se_cf_max"])
def test_empty_batches(key: str, frontend: MobileNetV3MelSpectrogram) -> None:
    spec = SPECS[key]
    for n_samples in (1, 5120, 200_000):
        mel = frontend(torch.zeros(0, n_samples))
        assert mel.shape == (0, 128, frontend.n_frames(n_samples))
    for pooling in reference.POOLINGS:
        net = build(spec, outputs=names(spec), pooling=pooling)
        with torch.no_grad():
            assert net(mel).shape == (0, net.embedding_size)
            assert net.folded()(mel).shape == (0, net.embedding_size)


@pytest.mark.parametrize(("kind", "tolerance"), [("double", 1e-9), ("half", 2e-2), ("bfloat16", 2e-1)])
@pytest.mark.parametrize("folded", [False, True], ids=["plain", "folded"])
def test_other_precisions(kind: str, tolerance: float, folded: bool, frontend: MobileNetV3MelSpectrogram) -> None:
    """The net takes the front end's float32 whatever its own type, as that of the L3 family does."""
    spec = SPECS["width_0.1"]
    net = getattr(build(spec, outputs=names(spec)), kind)()
    mel = getattr(frontend, kind)()(torch.from_numpy(signals.windows(16000)[1:3]))
    assert mel.dtype == torch.float32
    expected = reference.features(spec, reference.seeded_state(spec), mel)
    variant = net.folded() if folded else net
    with torch.no_grad():
        found = variant(mel)
    assert found.dtype == next(net.parameters()).dtype
    assert_features_close(pieces(net, found, names(spec)), expected, tolerance, kind)


# --- front end ---


@pytest.mark.parametrize("n_mels", [40, 64, 128, 256])
@pytest.mark.parametrize("hop", [160, 320, 480, 640, 800])
def test_front_end(hop: int, n_mels: int) -> None:
    frontend = MobileNetV3MelSpectrogram(hop_length=hop, n_mels=n_mels).eval()
    samples = signals.windows(9000)
    found, expected = frontend(torch.from_numpy(samples)), reference.log_mel(samples, hop, n_mels)
    assert found.dtype == torch.float32
    assert found.shape == expected.shape == (6, n_mels, frontend.n_frames(9000))
    np.testing.assert_allclose(found, expected, rtol=0, atol=MEL_TOLERANCE)


@pytest.mark.parametrize(("n_clips", "n_samples"), [(2, 240_000), (40, 5120), (300, 400), (3, 81920), (3, 82240)])
def test_front_end_of_many_frames(n_clips: int, n_samples: int, frontend: MobileNetV3MelSpectrogram) -> None:
    """However the work is divided: many short clips, few long ones."""
    rs = np.random.RandomState(0)
    samples = rs.uniform(-0.5, 0.5, (n_clips, n_samples)).astype(np.float32)
    found = frontend(torch.from_numpy(samples))
    np.testing.assert_allclose(found, reference.log_mel(samples), rtol=0, atol=MEL_TOLERANCE)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 100, 400, 401, 402, 512, 513, 514, 515, 640, 641, 642])
def test_shortest_clips(n_samples: int, frontend: MobileNetV3MelSpectrogram) -> None:
    assert frontend.minimum_samples == 514
    samples = signals.windows(1000)[:, :n_samples]
    found = frontend(torch.from_numpy(samples))
    zeros = np.zeros((6, max(0, 514 - n_samples)), np.float32)
    followed = frontend(torch.from_numpy(np.concatenate([samples, zeros], axis=1)))
    assert torch.equal(found, followed)
    np.testing.assert_allclose(found, reference.log_mel(samples), rtol=0, atol=MEL_TOLERANCE)


@pytest.mark.parametrize("hop", [160, 320, 480, 640, 800])
def test_number_of_frames(hop: int) -> None:
    frontend = MobileNetV3MelSpectrogram(hop_length=hop, n_mels=4).eval()
    edges = [k * hop + d for k in range(1, 12) for d in (-1, 0, 1, 2)]
    for n_samples in [*range(1, 40), *range(505, 530), *edges, 5120, 31999, 32000, 32001]:
        n_frames = frontend(torch.zeros(1, n_samples)).shape[2]
        assert frontend.n_frames(n_samples) == n_frames == 1 + (max(n_samples, 514) - 1) // hop
    assert MobileNetV3MelSpectrogram().n_frames(320000) == 1000
    assert MobileNetV3MelSpectrogram().n_frames(5120) == 16


def test_silence_and_gain(frontend: MobileNetV3MelSpectrogram) -> None:
    assert frontend(torch.zeros(1, 3200)).sub(-1.402585).abs().max() < 1e-6
    samples = torch.from_numpy(signals.windows(3200)[:1])
    step = frontend(samples * 10) - frontend(samples)
    assert step.max() == pytest.approx(math.log(100) / 5, abs=2e-3)


def test_a_row_does_not_see_the_others(frontend: MobileNetV3MelSpectrogram) -> None:
    samples = torch.from_numpy(signals.windows(5120))
    together = frontend(samples)
    for i in range(6):
        torch.testing.assert_close(frontend(samples[i : i + 1])[0], together[i], rtol=0, atol=2e-6)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_front_end_is_float32_inside(kind: torch.dtype, frontend: MobileNetV3MelSpectrogram) -> None:
    samples = torch.from_numpy(signals.windows(3200)).to(kind)
    found = frontend(samples)
    assert found.dtype == torch.float32
    assert torch.equal(found, frontend(samples.float()))


def test_front_end_holds_nothing(frontend: MobileNetV3MelSpectrogram) -> None:
    """Nothing in the state dict, nothing that a change of type reaches: its constants stay exact."""
    samples = torch.from_numpy(signals.windows(3200))
    before = frontend(samples)
    assert dict(frontend.state_dict()) == {}
    assert list(frontend.parameters()) == list(frontend.buffers()) == []
    for changed in (copy.deepcopy(frontend).half(), copy.deepcopy(frontend).double(), copy.deepcopy(frontend).cpu()):
        assert torch.equal(changed(samples), before)
    assert "hop_length=320, n_mels=128" in repr(frontend)


def test_front_end_at_another_rate() -> None:
    """fmax follows the rate: 1000 Hz below half of it."""
    assert MobileNetV3MelSpectrogram(sample_rate=16000).fmax == 7000
    assert MobileNetV3MelSpectrogram().fmax == 15000
    assert MobileNetV3MelSpectrogram(fmax=8000.0).fmax == 8000.0


# --- augmentation ---


@pytest.fixture
def seeded() -> Iterator[None]:
    before = torch.get_rng_state()
    torch.manual_seed(0)
    yield
    torch.set_rng_state(before)


def test_eval_mode_repeats_itself(frontend: MobileNetV3MelSpectrogram) -> None:
    samples = torch.from_numpy(signals.windows(16000))
    before = torch.get_rng_state()
    net = build(SPECS["width_0.1"])
    first = frontend(samples)
    assert torch.equal(frontend(samples), first)
    with torch.no_grad():
        assert torch.equal(net(first), net(first))
    training = copy.deepcopy(frontend).train()
    assert not torch.equal(training(samples), training(samples))
    assert torch.equal(training.eval()(samples), first)
    torch.set_rng_state(before)
    frontend(samples)
    assert torch.equal(torch.get_rng_state(), before), "eval mode must not draw random numbers"


def stretches(masked: np.ndarray) -> tuple[int, int]:
    """Length of the one run of True, and its start."""
    places = np.flatnonzero(masked)
    if len(places) == 0:
        return 0, 0
    assert places[-1] - places[0] + 1 == len(places), "masked places must lie side by side"
    return len(places), int(places[0])


@pytest.mark.usefixtures("seeded")
def test_masks() -> None:
    """One stretch of bands and one of frames per example, of any length below 48 and 192, anywhere, of 0.9."""
    frontend = MobileNetV3MelSpectrogram(fmin_jitter=1, fmax_jitter=2).train()
    samples = torch.from_numpy(signals.clip(10.0, 32000, 8).T.astype(np.float32))
    bands, frames = [], []
    for _ in range(20):
        for mel in frontend(samples).numpy():
            hit = mel == np.float32(0.9)
            rows, columns = hit.all(axis=1), hit.all(axis=0)
            assert not hit[~rows][:, ~columns].any()
            bands.append(stretches(rows))
            frames.append(stretches(columns))
    for found, most, length in ((bands, 48, 128), (frames, 192, 1000)):
        sizes, starts = (np.array(values) for values in zip(*found, strict=True))
        assert sizes.max() <= most
        assert sizes.max() > 0.9 * most
        assert sizes.min() < 0.1 * most
        assert abs(sizes.mean() - most / 2) < 0.12 * most
        assert len(set(found)) > 100  # every example has its own
        assert starts.min() < 0.1 * length
        assert (starts + sizes).max() > 0.9 * length
        assert (starts + sizes).max() <= length


@pytest.mark.usefixtures("seeded")
def test_masks_of_short_clips_and_none() -> None:
    """A clip shorter than the longest mask, and no masks at all."""
    short = MobileNetV3MelSpectrogram().train()
    samples = torch.from_numpy(signals.windows(5120))
    for _ in range(20):
        assert short(samples).isfinite().all()
    unmasked = MobileNetV3MelSpectrogram(fmin_jitter=1, fmax_jitter=1, fmax=15000, freq_mask=0, time_mask=0)
    assert torch.equal(unmasked.train()(samples), unmasked.eval()(samples))
    assert short.train()(samples[:0]).shape == (0, 128, 16)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("n_mels", "n_frames", "bands", "frames"),
    [(128, 1000, 48, 192), (128, 100, 48, 20), (40, 16, 15, 3), (64, 4, 24, 0)],
)
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_masks_of_a_finished_spectrogram(n_mels: int, n_frames: int, bands: int, frames: int, strength: float) -> None:
    """One stretch of each per example, of at most three eighths of the bands and a fifth of the frames."""
    frontend = MobileNetV3MelSpectrogram(n_mels=n_mels).eval()
    mel = torch.randn(60, n_mels, n_frames)
    before = mel.clone()
    masked = frontend.mask(mel, strength)
    assert torch.equal(mel, before)
    hit = masked != mel
    assert torch.equal(masked[hit], torch.full_like(masked[hit], 0.9))  # what zero is before logarithms are scaled
    found = []
    for one in hit.numpy():
        rows, columns = one.all(axis=1), one.all(axis=0)
        assert not one[~rows][:, ~columns].any()
        found.append((stretches(rows)[0], stretches(columns)[0]))
    sizes = np.array(found)
    for axis, most in enumerate((strength * bands, strength * frames)):
        assert sizes[:, axis].max() <= most
        assert sizes[:, axis].max() >= int(0.8 * most) - 1  # of sixty that are uniform
    assert len(set(found)) > 10 or bands * frames * strength < 30


def test_a_mask_follows_from_the_seed(frontend: MobileNetV3MelSpectrogram) -> None:
    mel = torch.randn(8, 128, 100, generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng([]):
        torch.manual_seed(5)
        first, second = frontend.mask(mel), frontend.mask(mel)
        torch.manual_seed(5)
        assert torch.equal(frontend.mask(mel), first)
        assert not torch.equal(first, second)
        assert torch.equal(frontend.mask(mel, 0.0), mel)
        assert not torch.equal(frontend.mask(mel, 0.5), mel)


@pytest.mark.usefixtures("seeded")
def test_the_mel_range_jitters(monkeypatch: pytest.MonkeyPatch) -> None:
    """fmin by 0 to 9 Hz, fmax by -999 to 1000 Hz; the bank is the one of that range."""
    drawn: list[tuple[float, float]] = []
    bank = frontends.kaldi_mel_bank

    def watched(n_mels: int, n_fft: int, sample_rate: int, fmin: float, fmax: float) -> torch.Tensor:
        drawn.append((fmin, fmax))
        return bank(n_mels, n_fft, sample_rate, fmin, fmax)

    frontend = MobileNetV3MelSpectrogram(freq_mask=0, time_mask=0)
    samples = torch.from_numpy(signals.windows(1600)[:2])
    still = frontend.eval()(samples)
    frontend.train()
    monkeypatch.setattr(frontends, "kaldi_mel_bank", watched)
    for i in range(300):
        found = frontend(samples)
        if i < 3:
            expected = reference.log_mel(samples, low_hz=drawn[-1][0], high_hz=drawn[-1][1])
            np.testing.assert_allclose(found, expected, rtol=0, atol=MEL_TOLERANCE)
            assert not torch.equal(found, still)
    low, high = (np.array(values) for values in zip(*drawn, strict=True))
    assert len(drawn) == 300  # one per batch
    assert set(low) == set(range(10))
    assert 14001 <= high.min() < 14050
    assert 15950 < high.max() <= 16000
    assert torch.equal(frontend.eval()(samples), still)
