"""What of nets and front ends a C library needs: their layers as C text, and how much memory their maps take.

Three families have such a form: MobileNetV3 with channel-wise squeeze-and-excitation, DyMN, and L3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from hear_edgel3.errors import InvalidOption
from hear_edgel3.exporting.c_constants import Constants, array, number, padded
from hear_edgel3.exporting.c_dymn import dymn
from hear_edgel3.exporting.c_mobilenetv3 import mobilenetv3
from hear_edgel3.exporting.c_residuals import NO_ACTIVATION, RELU, NetInC, values
from hear_edgel3.families.dymn.blocks import DynamicConvolution
from hear_edgel3.families.dymn.net import DyMN
from hear_edgel3.families.l3.frontend import L3MelSpectrogram
from hear_edgel3.families.l3.layout import POOLED
from hear_edgel3.families.l3.net import FoldedL3
from hear_edgel3.families.mobilenetv3.frontend import FLOOR, PREEMPHASIS, MobileNetV3MelSpectrogram
from hear_edgel3.families.mobilenetv3.net import MobileNetV3


@dataclass(frozen=True)
class FrontendInC:
    """A front end.

    Attributes:
        source: The file with its code.
        text: Its constants.
        frames: The frames of ``samples``, as a C expression.
        minimum: Samples; shorter clips are followed by zeros up to that many.
        hop_length: Samples from frame to frame.
        n_mels: Mel bands.
        n_bytes: What its constants take.
    """

    source: str
    text: str
    frames: str
    minimum: int
    hop_length: int
    n_mels: int
    n_bytes: int


def frontend_in_c(frontend: nn.Module, name: str) -> FrontendInC:
    """A front end, or an error that says that there is no such form of it."""
    if type(frontend) is MobileNetV3MelSpectrogram:
        window, bank = frontend.constants()
        least = frontend.minimum_samples
        frames = f"((((size_t)(samples) < {least} ? {least} : (size_t)(samples)) - 1) / {frontend.hop_length} + 1)"
        own = f"#define PREEMPHASIS {number(PREEMPHASIS)}\n#define FLOOR {number(FLOOR)}\n"
        source, minimum = "log_mel.c", least
    elif type(frontend) is L3MelSpectrogram:
        window, bank = frontend.constants()
        described = frontend.kernel_spectrogram()
        assert described is not None
        frames = f"(((size_t)(samples) - 1) / {frontend.hop_length} + 1)"
        own = (
            f"#define LEAST_POWER {number(described.amin**2)}\n#define RANGE_DB {number(described.dynamic_range_db)}f\n"
        )
        source, minimum = "decibels.c", 1
    else:
        raise InvalidOption(f"the front end of {name} has no form in C; MobileNetV3's and L3's have; use --to onnx")
    n_fft: int = frontend.n_fft
    if n_fft & (n_fft - 1) or n_fft < 8 or len(window) % 2:
        raise InvalidOption(f"a DFT of {n_fft} points, which {name} has, has no form in C: it is no power of two")
    first, count, place, weights = [], [], [], []
    values, total = bank.numpy().astype(np.float32), 0
    for row in values:
        used = np.flatnonzero(row)
        begin, end = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)
        first.append(begin)
        count.append(end - begin)
        place.append(total)
        weights.append(row[begin:end])
        total += end - begin
    cosines = np.cos(2 * np.pi * np.arange(n_fft // 2 + 1) / n_fft)
    cosines[n_fft // 4] = 0.0
    text = (
        f"enum {{ FFT_SIZE = {n_fft}, FRAME_SIZE = {len(window)}, FRAME_HOP = {frontend.hop_length} }};\n{own}"
        + "/* cos(2 pi i / FFT_SIZE) */\n"
        + array("double", "COSINES", cosines)
        + array("float", "WINDOW", window.numpy())
        + array("short", "MEL_FIRST", np.array(first))
        + array("short", "MEL_COUNT", np.array(count))
        + array("int", "MEL_PLACE", np.array(place))
        + array("float", "MEL_WEIGHTS", np.concatenate(weights))
    )
    n_bytes = 8 * len(cosines) + 4 * (len(window) + total) + 8 * len(values)
    return FrontendInC(source, text, frames, minimum, frontend.hop_length, len(values), n_bytes)


def net_in_c(net: nn.Module, name: str, constants: Constants, own_logits: bool, n_mels: int, n_frames: int) -> NetInC:
    """A net in its folded form.

    Args:
        net: The net.
        name: What to call it in errors.
        constants: Where its weights are put.
        own_logits: Whether the last of its outputs are logits that do not belong to the embedding.
        n_mels: Mel bands that it is given.
        n_frames: Frames to count operations for.

    Raises:
        InvalidOption: There is no such form of it.
    """
    if isinstance(net, MobileNetV3):
        return mobilenetv3(net, name, constants, own_logits, n_mels, n_frames)
    if isinstance(net, DyMN):
        return dymn(net, name, constants, own_logits, n_mels, n_frames)
    if isinstance(net, FoldedL3):
        return _l3(net, constants, n_mels, n_frames)
    raise InvalidOption(f"{name} has no form in C: only MobileNetV3, DyMN and L3 nets have; use --to onnx")


def int8_rows(net: nn.Module | None) -> dict[str, int]:
    """In how many rows, a scale for each, weights are put into eight bits whose first axis is not that of outputs.

    They are those of dynamic convolutions: a row is an output of one of the kernels.
    """
    if not isinstance(net, DyMN):
        return {}
    return {
        f"net.{name}.weight": module.weight.shape[2] * module.kernel_shape[0]
        for name, module in net.named_modules()
        if isinstance(module, DynamicConvolution)
    }


def stays_in_float(name: str) -> bool:
    """Whether a parameter stays in float: what decides how kernels are mixed, which is small."""
    return ".residuals." in name


def _l3(net: FoldedL3, constants: Constants, n_mels: int, n_frames: int) -> NetInC:
    found, maps, rows, macs = [], [], [], 0
    bands, frames, before = n_mels, 1.0, 0.0  # of maps, as a fraction of the front end's frames
    for i, conv in enumerate(net.convs):
        assert isinstance(conv, nn.Conv2d)
        put = constants.layer if i else constants.channelwise
        activation = RELU if i < net.n_relu else NO_ACTIVATION
        text = put(f"net.convs.{i}.weight", values(conv.weight), values(conv.bias), activation)
        pools, channels = i in POOLED, padded(conv.out_channels)
        found.append(f"    {{{text}, {int(pools)}}},\n")
        macs += conv.weight.numel() * bands * int(n_frames * frames)
        rows.append(frames * channels * (2 if pools else 1))
        bands, frames = (bands // 2, frames / 2) if pools else (bands, frames)
        made = 0.0 if i == len(net.convs) - 1 else bands * frames * channels
        maps.append(before + made)
        before = made
    widest = max(padded(conv.in_channels) for conv in net.convs if isinstance(conv, nn.Conv2d))
    size = padded(net.convs[-1].out_channels)  # type: ignore[arg-type]
    constants.most_values = max(constants.most_values, size)
    text = (
        f"enum {{ N_LAYERS = {len(net.convs)}, INSIDE = {net.convs[-1].out_channels} }};\n"
        f"#define INPUT_SCALE {number(float(net.scale), 9)}f\n#define INPUT_OFFSET {number(float(net.offset), 9)}f\n"
        "#define OWN_LOGITS 0\n"
        f"static const float ZEROS[{widest}] = {{0}};\n"
        "static const struct {\n    layer convolution;\n    int pools; /* whether maxima of 2 by 2 follow */\n} "
        f"LAYERS[N_LAYERS] = {{\n{''.join(found)}}};\n"
    )
    return NetInC(("l3.c",), text, 0, ((max(maps) + max(rows), 0.0),), macs)
