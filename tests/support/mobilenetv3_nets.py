"""Nets of every kind of the MobileNetV3 family beside support/mobilenetv3_reference.py."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from support import meta, signals
from support import mobilenetv3_reference as reference
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


def all_features(spec: Spec) -> list[str]:
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


def by_feature(net: MobileNetV3, found: torch.Tensor, which: list[str]) -> dict[str, torch.Tensor]:
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


def run_on_meta(net: MobileNetV3, n_frames: int) -> tuple[int, int]:
    """Values that come out, and multiply-accumulates of convolutions and linear layers, seen as they run."""
    macs = 0

    def count(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal macs
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        macs += output.numel() * weight.numel() // weight.shape[0]

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with meta.quickly(torch.device("meta")):
        found = net(torch.empty(1, net.n_mels, n_frames, device="meta"))
    for hook in hooks:
        hook.remove()
    return found.shape[1], macs
