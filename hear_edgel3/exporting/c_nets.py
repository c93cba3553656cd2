"""What of nets a C library needs: their layers as C text, and how much memory their maps take.

Three kinds have such a form: MobileNetV3 with channel-wise squeeze-and-excitation, DyMN, and L3.
"""

from __future__ import annotations

from torch import nn

from hear_edgel3.errors import InvalidOption
from hear_edgel3.exporting.c_constants import Constants, number, padded
from hear_edgel3.exporting.c_dymn import dymn
from hear_edgel3.exporting.c_mobilenetv3 import mobilenetv3
from hear_edgel3.exporting.c_residuals import NO_ACTIVATION, RELU, NetInC, values
from hear_edgel3.extractor.as_it_is import AsItIs
from hear_edgel3.families.dymn.blocks import DynamicConvolution
from hear_edgel3.families.dymn.net import DyMN
from hear_edgel3.families.l3.layout import POOLED
from hear_edgel3.families.l3.net import FoldedL3
from hear_edgel3.families.mobilenetv3.net import MobileNetV3


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
    if isinstance(net, AsItIs):
        raise InvalidOption(f"{name} has no form in C, because it was changed: {net.changed}; use --to onnx")
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
