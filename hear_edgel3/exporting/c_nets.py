"""What of nets and front ends a C library needs: their layers as C text, and how much memory their maps take.

Two families have such a form: MobileNetV3 with channel-wise squeeze-and-excitation, and L3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from hear_edgel3.errors import InvalidOption
from hear_edgel3.exporting.c_constants import Constants, array, number, padded
from hear_edgel3.families.l3.frontend import L3MelSpectrogram
from hear_edgel3.families.l3.layout import POOLED
from hear_edgel3.families.l3.net import FoldedL3
from hear_edgel3.families.mobilenetv3.frontend import FLOOR, PREEMPHASIS, MobileNetV3MelSpectrogram
from hear_edgel3.families.mobilenetv3.layout import Block, halved, last_block_needed
from hear_edgel3.families.mobilenetv3.net import MobileNetV3

_NO_ACTIVATION, _RELU, _HARDSWISH = 0, 1, 2
_NO_LAYER = "{0, 0, 0, -1, 0, NO_ACTIVATION}"
_NO_BLOCK = "    {0}"


@dataclass(frozen=True)
class NetInC:
    """A net.

    Attributes:
        source: The file with its code.
        text: Its layers.
        most_sums: The longest vector of means.
        fixed: Floats that its maps and rows take at most, besides ``per_frame``.
        per_frame: The same for each frame of the front end.
        macs: Multiply-accumulates, of so many frames.
    """

    source: str
    text: str
    most_sums: int
    fixed: int
    per_frame: float
    macs: int


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
        return _mobilenetv3(net, name, constants, own_logits, n_mels, n_frames)
    if isinstance(net, FoldedL3):
        return _l3(net, constants, n_mels, n_frames)
    raise InvalidOption(f"{name} has no form in C: only MobileNetV3 and L3 nets have; use --to onnx")


def _values(parameter: torch.Tensor | None) -> np.ndarray:
    assert parameter is not None
    return parameter.detach().contiguous().numpy()


def _l3(net: FoldedL3, constants: Constants, n_mels: int, n_frames: int) -> NetInC:
    found, maps, rows, macs = [], [], [], 0
    bands, frames, before = n_mels, 1.0, 0.0  # of maps, as a fraction of the front end's frames
    for i, conv in enumerate(net.convs):
        assert isinstance(conv, nn.Conv2d)
        put = constants.layer if i else constants.channelwise
        activation = _RELU if i < net.n_relu else _NO_ACTIVATION
        text = put(f"net.convs.{i}.weight", _values(conv.weight), _values(conv.bias), activation)
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
    return NetInC("l3.c", text, 0, 0, max(maps) + max(rows), macs)


def _mobilenetv3(
    net: MobileNetV3, name: str, constants: Constants, own_logits: bool, n_mels: int, n_frames: int
) -> NetInC:
    names = net.outputs[:-1] if own_logits else net.outputs
    _check(net, names, name)
    writer = _MobileNetV3Writer(net, names, constants, n_mels, n_frames)
    text = writer.first() + writer.blocks() + writer.head() + f"#define OWN_LOGITS {int(own_logits)}\n"
    fixed, per_frame = writer.plan.sizes()
    return NetInC("mobilenetv3.c", text, max(writer.sums), fixed, per_frame, writer.macs)


class _MobileNetV3Writer:
    """Writes the layers down, in order.

    Attributes:
        plan: The memory that they take.
        macs: Multiply-accumulates.
        sums: The lengths of the vectors of means.
    """

    def __init__(
        self, net: MobileNetV3, names: tuple[str, ...], constants: Constants, n_mels: int, n_frames: int
    ) -> None:
        self._net, self._constants = net, constants
        self._last, self._wanted = last_block_needed(net.outputs), set(net.outputs)
        self._kept, self._inside = {}, 0
        for feature in names:
            self._kept[feature] = self._inside
            self._inside += net._size(feature)
        self._bands, self._frames = halved(n_mels, 2), halved(n_frames, 2)
        self.plan = _Plan(self._bands, padded(net.layout.first))
        self.macs, self.sums = 0, [padded(n_mels), padded(net.layout.first)]

    def first(self) -> str:
        """Block 0."""
        conv = cast(Any, self._net.features)[0][0]
        self.macs += conv.weight.numel() * self._bands * self._frames
        where = "net.features.0.0.weight"
        text = self._constants.channelwise(where, _values(conv.weight), _values(conv.bias), _HARDSWISH)
        return f"enum {{ INSIDE = {self._inside} }};\nstatic const layer FIRST = {text};\n"

    def blocks(self) -> str:
        """Blocks 1 to 15, as many as are needed."""
        found = [self._block(number, block) for number, block in enumerate(self._net.layout.blocks[: self._last], 1)]
        return (
            "typedef struct {\n    int kernel, stride, in, inside, out, expands, squeezes, residual;\n"
            "    int kept, kept_squeeze; /* places in the embedding, or -1 */\n"
            "    layer expand, depthwise, squeeze, excite, project;\n} block;\n"
            f"enum {{ N_BLOCKS = {len(found)}, MOST_KERNEL = 5 }};\n"
            f"static const block BLOCKS[{max(1, len(found))}] = {{\n{''.join(found) or _NO_BLOCK}}};\n"
        )

    def _block(self, number: int, block: Block) -> str:
        layers, prefix = [*cast(Any, self._net.features[number]).block], f"net.features.{number}.block"
        activation = _HARDSWISH if block.hardswish else _RELU
        kinds = [*(["expand"] if block.expands else []), "depthwise", *(["se"] if block.has_se else []), "project"]
        made_bands, made = halved(self._bands, block.step), halved(self._frames, block.step)
        parts = {}
        for i, (kind, layer) in enumerate(zip(kinds, layers, strict=True)):
            if kind == "se":
                for part, at in (("squeeze", "fc1"), ("excite", "fc2")):
                    linear = getattr(layer.conc_se_layers[0], at)
                    parts[part] = self._linear(f"{prefix}.{i}.conc_se_layers.0.{at}", linear)
                continue
            put = self._constants.channelwise if kind == "depthwise" else self._constants.layer
            weight, bias = _values(layer[0].weight), _values(layer[0].bias)
            parts[kind] = put(f"{prefix}.{i}.0.weight", weight, bias, 0 if kind == "project" else activation)
            self.macs += weight.size * (self._bands * self._frames if kind == "expand" else made_bands * made)
        numbers = (
            *(block.kernel, block.step, block.inputs, block.expanded, block.outputs),
            *(int(block.expands), int(block.has_se), int(block.residual)),
            *(self._kept.get(f"b{number}", -1), self._kept.get(f"se{number}", -1)),
        )
        described = ", ".join(parts.get(k, _NO_LAYER) for k in ("expand", "depthwise", "squeeze", "excite", "project"))
        self.plan.add(block)
        self.sums += [padded(block.expanded), padded(block.outputs)]
        self._bands, self._frames = made_bands, made
        return f"    {{{', '.join(map(str, numbers))},\n     {described}}},\n"

    def head(self) -> str:
        """Block 16, what follows it, and what of all that is wanted."""
        net, text = cast(Any, self._net), ""
        has_last, has_logits = self._last == len(net.features) - 1, "logits" in self._wanted
        has_hidden = net.head == "mlp" and bool(self._wanted & {"clf2", "logits"})
        if has_last:
            conv, where = net.features[self._last][0], f"net.features.{self._last}.0.weight"
            made = self._constants.layer(where, _values(conv.weight), _values(conv.bias), _HARDSWISH)
            text += f"static const layer LAST = {made};\n"
            self.macs += conv.weight.numel() * self._bands * self._frames
            self.sums.append(padded(conv.out_channels))
            self.plan.rows.append((0.0, 4 * padded(conv.out_channels)))
        if has_hidden:
            made = self._linear("net.classifier.2", net.classifier[2], _HARDSWISH)
            text += f"static const layer HIDDEN = {made};\n"
        if has_logits:
            at = 5 if net.head == "mlp" else 0
            text += f"static const layer CLASSIFIER = {self._linear(f'net.classifier.{at}', net.classifier[at])};\n"
        flags = {
            "HAS_LAST": int(has_last),
            "HAS_HIDDEN": int(has_hidden),
            "HAS_CLASSIFIER": int(has_logits),
            **{f"KEPT_{feature.upper()}": self._kept.get(feature, -1) for feature in ("clf1", "clf2", "logits")},
            "BANDS_APART": int(net.pooling == "avg_time"),
            "KEPT_MEL_AVERAGES": self._kept.get("mel_avgs", -1),
            "KEPT_FIRST": self._kept.get("b0", -1),
            "KEPT_LAST": self._kept.get("b16", -1),
        }
        return text + "".join(f"#define {flag} ({value})\n" for flag, value in flags.items())

    def _linear(self, name: str, linear: Any, activation: int = _NO_ACTIVATION) -> str:
        """A layer that sees one vector; a pointwise convolution too."""
        weight = _values(linear.weight)
        self.macs += weight.size
        flat = weight.reshape(weight.shape[:2])
        return self._constants.layer(f"{name}.weight", flat, _values(linear.bias), activation)


def _check(net: MobileNetV3, names: tuple[str, ...], name: str) -> None:
    if net.head == "multihead_attention_pooling" or net.se_dims != "c":
        raise InvalidOption(
            f"{name} has no form in C: its head or its squeeze-and-excitation is another; use --to onnx"
        )
    if any(block.dilation > 1 for block in net.layout.blocks):
        raise InvalidOption(f"{name} has no form in C: it has dilated convolutions; use --to onnx")
    if net.pooling not in ("avg_ch", "avg_time"):
        raise InvalidOption(f"the pooling {net.pooling}, which {name} has, has no form in C: means have; use --to onnx")
    if net.pooling == "avg_time" and "b16" in names:
        raise InvalidOption(f"the bands of the last convolution, which {name} has, have no form in C; use --to onnx")
    if "teacher" in names:
        raise InvalidOption(f"the feature teacher, which {name} has, has no form in C; use --to onnx")
    if set(names) == {"mel_avgs"} and set(net.outputs) == {"mel_avgs"}:
        raise InvalidOption(f"{name} is the mean of the front end's images alone, which has no form in C")
    if len(set(names)) < len(names):
        raise InvalidOption(f"{name} has a feature twice, which has no form in C")


class _Plan:
    """Bounds of what ``count_floats`` in c_library/mobilenetv3.c counts, linear in the frames of the front end.

    A map of a stride of s all in all has at most (frames + s - 1) / s frames.
    """

    def __init__(self, bands: int, channels: int) -> None:
        self.bands, self.stride = bands, 2
        self.maps = [self._linear(bands * channels)]
        self.rows: list[tuple[float, float]] = [(0.0, 0.0)]

    def _linear(self, floats: float, stride: int | None = None) -> tuple[float, float]:
        """Floats for each frame of a map, as a multiple of the front end's frames and what is added."""
        s = self.stride if stride is None else stride
        return floats / s, floats * (s - 1) / s

    def add(self, block: Block) -> None:
        """A block. What is not always in place is counted as if it never were."""
        n_in, inside, out = padded(block.inputs), padded(block.expanded), padded(block.outputs)
        made, then = halved(self.bands, block.step), self.stride * block.step
        in_place = not block.has_se and out <= n_in * block.step
        extra = (0.0, 0.0) if in_place else self._linear(made * inside, then)
        for size in (self._linear(self.bands * n_in), self._linear(made * out, then)):
            self.maps.append((size[0] + extra[0], size[1] + extra[1]))
        row, more = self._linear(block.kernel * inside), self._linear(inside, then)
        self.rows.append((row[0] + more[0], row[1] + more[1]))
        self.bands, self.stride = made, then

    def sizes(self) -> tuple[int, float]:
        """The most that is added, and the most for each frame."""
        fixed = max(size[1] for size in self.maps) + max(size[1] for size in self.rows)
        return int(fixed) + 1, max(size[0] for size in self.maps) + max(size[0] for size in self.rows)
