"""Operations, receptive fields and memory: the authors' table, counts by hand, and what gradients say."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from hear_edgel3.families.l3.net import L3Net
from hear_edgel3.families.mobilenetv3.net import MobileNetV3
from hear_edgel3.registry.names import resolve
from support.complexities import costs_of
from support.measured import count_macs, peak_memory, receptive_field

# name: parameters, 1e9 MACs of the whole net over ten seconds, as the authors count them
TABLE = {
    "mn01_as": (123_783, 0.0181),
    "mn02_as": (324_695, 0.0403),
    "mn04_as": (983_599, 0.1106),
    "mn05_as": (1_431_239, 0.1600),
    "mn10_as": (4_876_831, 0.5411),
    "mn20_as": (17_909_287, 2.0594),
    "mn30_as": (39_086_367, 4.5549),
    "mn40_as": (68_427_303, 8.0276),
}
# name: the same MACs, to two digits
VARIANTS = {
    "mn10_as_hop_5": 1.07,
    "mn10_as_hop_15": 0.36,
    "mn10_as_hop_20": 0.27,
    "mn10_as_hop_25": 0.22,
    "mn10_as_mels_40": 0.21,
    "mn10_as_mels_64": 0.27,
    "mn10_as_mels_256": 1.08,
}


# --- operations ---


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_the_authors(name: str) -> None:
    parameters, macs = TABLE[name]
    found = costs_of(name)
    assert found.parameters == parameters
    assert round(found.macs_10s / 1e9, 4) == macs


@pytest.mark.parametrize("name", VARIANTS)
def test_hops_and_mel_bands_of_the_authors(name: str) -> None:
    found = costs_of(name)
    assert found.parameters == TABLE["mn10_as"][0]
    assert round(found.macs_10s / 1e9, 2) == VARIANTS[name]


def test_the_counts_of_the_original_code(shared: Path) -> None:
    upstream = json.loads((shared / "reference" / "mobilenetv3" / "f_params_macs_arch.json").read_text())
    names = {name: name[:4] for name in TABLE}
    names |= {f"mn10_as_{kind}_{n}": f"mn10_{kind}{n}" for kind, n in (name.split("_")[2:] for name in VARIANTS)}
    names |= {f"mn10_as_fc{strides}": f"mn10_fc{strides}" for strides in ("", "_s2221", "_s2211")}
    for name, theirs in names.items():
        found = costs_of(name)
        assert found.parameters == upstream[theirs]["params"], name
        with torch.device("meta"):
            net = resolve(name).net.build()
        biases = sum(m.out_features for m in net.modules() if isinstance(m, nn.Linear))  # each an operation for them
        assert found.macs_10s == upstream[theirs]["macs_10s"] - biases, name


def test_a_window_of_sparse_l3() -> None:
    found = costs_of("sparse_95")
    assert round(found.macs_window / 1e9, 2) == 10.20
    assert found.macs_1s == found.macs_features_1s == found.macs_window  # its windows are a second long
    assert round(found.macs_timestamps_1s / 1e9) == 204
    assert costs_of("sparse_53_kd") == found


def test_operations_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, (5, 3), stride=2, padding=(2, 1), groups=4),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 2 * 3, 7),
    ).eval()
    macs = 9 * 4 * 8 * 12 + 15 * 4 * 4 * 6 + 24 * 7
    assert count_macs(net, torch.zeros(1, 1, 8, 12)) == macs
    assert count_macs(net.to("meta"), torch.empty(3, 1, 8, 12, device="meta")) == 3 * macs


def test_features_that_stop_early_cost_less() -> None:
    names = ["mn10_as_mel_avgs", "mn10_as_b0", "mn10_as_b5", "mn10_as_b11", "mn10_as", "mn10_as_clf1", "mn10_as_logits"]
    found = [costs_of(name) for name in names]
    for one, next_one in itertools.pairwise(found):
        assert one.macs_features_1s < next_one.macs_features_1s
        assert one.macs_features_10s < next_one.macs_features_10s
        assert one.macs_window < next_one.macs_window
        assert one.receptive_field_frames <= next_one.receptive_field_frames
        assert (one.macs_1s, one.macs_10s, one.parameters) == (found[-1].macs_1s, found[-1].macs_10s, 4_876_831)
    assert found[0].macs_features_10s == 0
    assert found[-1].macs_features_10s == found[-1].macs_10s
    # no more than the mean over time is made, and then the embedding
    assert found[0].memory_fp32 == 4 * (128 * 1000 + 128 + 128)
    assert found[0].memory_fp32 < found[1].memory_fp32 < found[2].memory_fp32
    # the first convolution alone: 3 x 3, one to 16 channels, at half the resolution
    assert found[1].macs_features_10s == 9 * 16 * 64 * 500


def test_longer_windows_cost_more() -> None:
    short, long = costs_of("mn10_as_b5"), costs_of("mn10_as_b5_ts640")
    assert long.macs_window == pytest.approx(4 * short.macs_window, rel=0.01)
    assert long.macs_timestamps_1s == 20 * long.macs_window
    assert long.memory_window_fp32 == pytest.approx(4 * short.memory_window_fp32, rel=0.02)
    assert long.macs_features_10s == short.macs_features_10s


def test_nets_without_a_classifier_run_to_their_hidden_layer() -> None:
    trained, without = costs_of("mn10_as_clf1"), costs_of("mn10_im_clf1")
    assert trained.macs_features_10s == without.macs_features_10s
    assert without.macs_10s - without.macs_features_10s == 960 * 1280
    assert trained.macs_10s - without.macs_10s == 1280 * 527


# --- receptive field ---


@pytest.mark.parametrize(
    ("stack", "field"),
    [
        ((), 1),
        (((1, 1, 1),), 1),
        (((3, 1, 1), (3, 1, 1)), 5),
        (((3, 2, 1), (3, 1, 1)), 7),
        (((3, 1, 1), (2, 2, 1), (3, 1, 1)), 8),
        (((5, 2, 1), (3, 2, 2), (1, 1, 1)), 13),
    ],
)
def test_receptive_field_by_hand(stack: tuple[tuple[int, int, int], ...], field: int) -> None:
    assert receptive_field(stack) == field


def _positive(net: nn.Module) -> nn.Module:
    """Weights that are means, so that every input that matters has a gradient."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1.0 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net.double().eval()


def _seen(run: Callable[[torch.Tensor], torch.Tensor], bands: int, frames: int) -> tuple[int, int]:
    """Bands and frames of the input that the value in the middle of the output depends on."""
    x = torch.full((1, 1, bands, frames), 100.0, dtype=torch.float64, requires_grad=True)
    y = run(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    assert x.grad is not None
    touched = x.grad[0, 0] != 0
    return int(touched.any(1).sum()), int(touched.any(0).sum())


@pytest.mark.parametrize(
    ("options", "blocks"),
    [
        ({}, 16),
        ({}, 5),
        ({}, 0),
        ({"strides": (2, 2, 1, 1)}, 16),
        ({"dilated": True}, 16),
    ],
)
def test_receptive_field_of_mobilenets_by_gradients(options: dict[str, object], blocks: int) -> None:
    net = MobileNetV3(0.1, se_dims="", **options)
    field = receptive_field(net.convolutions()[: blocks + 1])
    _positive(net)
    run = net.features[: blocks + 1]
    assert _seen(run, 24, 1216) == (min(field, 24), field)
    assert _seen(run, 1216, 24) == (field, min(field, 24))


def test_receptive_field_of_l3_by_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    # The maximum is one of its inputs; the mean shows them all.
    monkeypatch.setattr(nn.functional, "max_pool2d", nn.functional.avg_pool2d)
    net = L3Net((2, 2, 2, 2, 2, 2, 3, 3), final_norm=True)
    _positive(net)
    found = []
    net.convs[-1].register_forward_hook(lambda module, inputs, output: found.append(output))

    def run(x: torch.Tensor) -> torch.Tensor:
        net(x.squeeze(1))
        return found[-1]

    assert _seen(run, 160, 208) == (68, 68)
    assert receptive_field(net.convolutions()) == 68


def test_receptive_fields_of_configurations() -> None:
    found = costs_of("mn10_as")
    assert (found.receptive_field_frames, found.receptive_field_bands, found.mel_bands) == (595, 128, 128)
    assert found.receptive_field_ms == 594 * 10 + 25
    assert costs_of("mn10_as_hop_5").receptive_field_ms == 594 * 5 + 25
    early = costs_of("mn10_as_b0")
    assert (early.receptive_field_frames, early.receptive_field_bands, early.receptive_field_ms) == (3, 3, 45.0)
    found = costs_of("sparse_95")
    assert (found.receptive_field_frames, found.receptive_field_bands, found.mel_bands) == (68, 68, 256)
    assert found.receptive_field_ms == pytest.approx(1000 * (67 * 242 + 2048) / 48000)
    found = costs_of("sea_64")
    assert (found.receptive_field_frames, found.receptive_field_bands, found.mel_bands) == (68, 64, 64)


# --- memory ---


def _tiny(in_place: bool) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),  # 4 x 8 x 8
        nn.ReLU(in_place),
        nn.Flatten(2),  # a view
        nn.Unflatten(2, (8, 8)),
        nn.Conv2d(4, 2, 1),  # 2 x 8 x 8
    )


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_memory_by_hand(device: str) -> None:
    image = torch.zeros(1, 1, 8, 8, device=device)
    assert peak_memory(_tiny(in_place=True).to(device), image) == 4 * 64 * (1 + 4 + 2)
    assert peak_memory(_tiny(in_place=False).to(device), image) == 4 * 64 * (1 + 4 + 4)
    assert peak_memory(nn.Flatten(), image) == 4 * 64
    if device == "meta":
        assert peak_memory(_tiny(in_place=True).half().to(device), image.half()) == 2 * 64 * (1 + 4 + 2)
    # what is kept for later counts, what is not does not
    assert peak_memory(lambda x: (x + 1) + (x + 2), image) == 4 * 64 * (1 + 3)
    assert peak_memory(lambda x: x.relu().relu().relu().relu(), image) == 4 * 64 * (1 + 2)


def test_memory_of_residuals_and_pooling() -> None:
    image = torch.empty(1, 1, 8, 8, device="meta")
    # The first block of a residual net: its input is there until the sum is made.
    assert peak_memory(lambda x: x + x.cos().sin().exp(), image) == 4 * 64 * 3
    # eight bytes for each index of a maximum, in both precisions
    pool = nn.MaxPool2d(2)
    assert peak_memory(pool, image) == 4 * 64 + 4 * 16 + 8 * 16
    assert peak_memory(pool, image.half()) == 2 * 64 + 2 * 16 + 8 * 16


def test_memory_of_configurations() -> None:
    widths = [costs_of(name) for name in ("mn01_as", "mn04_as", "mn10_as", "mn20_as", "mn40_as")]
    for one, next_one in itertools.pairwise(widths):
        assert one.memory_fp32 < next_one.memory_fp32
        assert one.memory_window_fp32 < next_one.memory_window_fp32
    for found in widths:
        assert found.memory_input_ms == 10_000
        assert found.memory_fp32 == 2 * found.memory_fp16
        assert found.memory_window_fp32 == 2 * found.memory_window_fp16
    # Width 1: the spectrogram and the means over time, the input of block 2, what it expands to, and that at half the
    # resolution.
    assert widths[2].memory_fp32 == 4 * (128 * 1000 + 128 + (16 + 64) * 64 * 500 + 64 * 32 * 250)
    # The spectrogram, and both ends of the second convolution.
    found = costs_of("sparse_95")
    assert found.memory_input_ms == 1000
    assert found.memory_fp32 == found.memory_window_fp32 == 4 * 256 * 199 * (1 + 2 * 64)


@pytest.mark.parametrize("name", ["mn01_as", "sea_64"])
def test_memory_needs_no_data(name: str) -> None:
    configuration = resolve(name)
    frontend = configuration.checkpoint.frontend.build()
    net = configuration.net.build().eval().folded()
    image = torch.zeros(1, frontend.n_mels, frontend.n_frames(configuration.window))
    assert peak_memory(net, image) == costs_of(name).memory_window_fp32
