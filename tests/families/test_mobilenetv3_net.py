"""The MobileNetV3 net against support/mobilenetv3_reference.py, with seeded weights, and its number of parameters."""

from __future__ import annotations

import copy
from dataclasses import asdict

import pytest
import torch

from hear_edgel3.families.mobilenetv3 import layout as layouts
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from support import mobilenetv3_reference as reference
from support.mobilenetv3_nets import (
    DOUBLE_TOLERANCE,
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

# --- the net is the reference ---


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_every_feature(spec: Spec) -> None:
    """All features in all poolings: plain and folded, in float32 and, far more closely, in float64."""
    mel, which = mels(spec), all_features(spec)
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
            assert_features_close(by_feature(variant, found, which), expected, tolerance, f"{what}, {pooling}")


@pytest.mark.parametrize("n_frames", [1, 2, 11, 16, 17, 250])
def test_any_number_of_frames(n_frames: int) -> None:
    spec = SPECS["width_0.1"]
    mel, which = mels(spec, n_frames), all_features(spec)
    expected = reference.features(spec, reference.seeded_state(spec), mel, "avg_max_time")
    net = build(spec, outputs=which, pooling="avg_max_time")
    for variant in (net, net.folded()):
        with torch.no_grad():
            assert_features_close(by_feature(net, variant(mel), which), expected, NET_TOLERANCE, str(n_frames))


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
