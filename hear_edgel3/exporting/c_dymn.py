"""A DyMN as C text."""

from __future__ import annotations

from typing import Any

import numpy as np

from hear_edgel3.exporting.c_constants import LANES, Constants, padded
from hear_edgel3.exporting.c_residuals import (
    HARDSWISH,
    NO_ACTIVATION,
    NO_LAYER,
    RELU,
    NetInC,
    ResidualWriter,
    check,
)
from hear_edgel3.exporting.int8 import Narrowed
from hear_edgel3.families.dymn import kernel_form
from hear_edgel3.families.dymn.layout import N_BLOCKS, last_block_needed
from hear_edgel3.families.dymn.net import DyMN
from hear_edgel3.families.kernel_residuals import Context, Linear, Lines
from hear_edgel3.families.mobilenetv3.layout import Block, halved

_PIXELS = 4  # as in c_library/head.c
# A block is computed in the way that takes less memory for a clip of so many frames: a second of EfficientAT's.
_USUAL_FRAMES = 100
_STRUCT = (
    "typedef struct {\n"
    "    int by_groups; /* whether LANES channels of all of the map are computed at a time, and not all of a row */\n"
    "    int kernels, n_lines, gated, kept; /* the last one a place in the embedding, or -1 */\n"
    "    int scale, start; /* of slopes and offsets: places in the constants */\n"
    "    layer joint, attention, lines, band_gates, frame_gates;\n} context;\n"
)


def dymn(net: DyMN, name: str, constants: Constants, own_logits: bool, n_mels: int, n_frames: int) -> NetInC:
    """A DyMN in its folded form; the arguments are those of :func:`hear_edgel3.exporting.c_nets.net_in_c`.

    Raises:
        InvalidOption: There is no such form of it.
    """
    names = net.outputs[:-1] if own_logits else net.outputs
    check(net, net.layout.plain.blocks, names, name)
    last = last_block_needed(net.outputs)
    return _Writer(net, net.layout.plain, last, names, constants, n_mels, n_frames).written(own_logits)


class _Writer(ResidualWriter):
    """The blocks as :func:`hear_edgel3.families.dymn.kernel_form.make` has them, which folds temperatures in."""

    def __init__(self, net: DyMN, *arguments: Any) -> None:
        super().__init__(net, *arguments)
        self._described_blocks = kernel_form.make(net).blocks
        self._written_contexts: list[str] = []

    def _convolution(self, number: int) -> tuple[str, Any]:
        where = "out_c" if number > N_BLOCKS else "in_c"
        return f"net.{where}.0", getattr(self._net, where)[0]

    def _block(self, number: int, block: Block) -> str:
        described = self._described_blocks[number - 1]
        context = described.context
        activation = HARDSWISH if block.hardswish else RELU
        before, behind = self._pixels(block)
        names, parts = self._names(number - 1), {}
        for kind, layer in (
            ("expand", described.expand),
            ("depthwise", described.depthwise),
            ("project", described.project),
        ):
            if layer is None:
                continue
            lines = kind == "depthwise" and context is not None and context.lines is not None
            used = NO_ACTIVATION if kind == "project" or lines else activation
            weights = layer.weights if context is not None and context.kernels else layer.weights[None]
            put = self._constants.mixed_channelwise if kind == "depthwise" else self._constants.mixed
            parts[kind] = put(names[kind], weights, layer.bias, used)
            self.macs += weights[0].size * (before if kind == "expand" else behind)
            self.macs += weights.size if context is not None and context.kernels else 0
        if context is None:
            self._written_contexts.append(f"    {{0, 0, 0, 0, -1, 0, 0, {', '.join([NO_LAYER] * 5)}}},\n")
            self.plan.add(block, self.plan.rows(block, False))
        else:
            rows, groups = self._bounds(block, context)
            usual = np.array([_USUAL_FRAMES, 1])
            by_groups = bool(groups @ usual < rows @ usual)
            self._written_contexts.append(self._context(number, block, context, by_groups))
            self.plan.add(block, groups if by_groups else rows)
            self.sums.append(padded(len(context.joint.bias)))
        self.sums += [padded(block.inputs), padded(block.outputs)]
        return self._described(number, block, parts, -1)

    def _names(self, i: int) -> dict[str, str]:
        """What the weights of a block's convolutions are called in the net."""
        where = f"net.layers.{i}"
        if self._net.layout.contexts[i] is None:
            kinds = ["expand", "depthwise", "project"][-len(self._net.layers[i].block) :]
            return {kind: f"{where}.block.{at}.0.weight" for at, kind in enumerate(kinds)}
        leaf = "weight" if self._net.layout.kernels else "module.weight"
        parts = {"expand": "exp_conv", "depthwise": "depth_conv", "project": "proj_conv"}
        return {kind: f"{where}.{part}.{leaf}" for kind, part in parts.items()}

    def _contexts(self) -> str | None:
        written = self._written_contexts
        if all(block.context is None for block in self._described_blocks):
            return None
        return f"{_STRUCT}static const context CONTEXTS[N_BLOCKS] = {{\n{''.join(written)}}};\n"

    def _bounds(self, block: Block, context: Context) -> tuple[np.ndarray, np.ndarray]:
        """What ``count_dynamic`` in c_library/dymn.c counts, of a block that is computed by rows and by groups."""
        plan, fixed = self.plan, np.array([0, 1])
        size, inside = padded(len(context.joint.bias)), padded(block.expanded)
        sequences = (plan.bands() * fixed + plan.frames()) * size + _PIXELS * max(size, padded(block.inputs)) * fixed
        made = plan.bands(block.step) * fixed + plan.frames(block.step)
        rest = (made * inside if context.gates is not None else 0) + 2 * _lines(context) * inside * fixed
        taps, inputs = block.kernel**2, block.inputs if block.expands else 0
        whole = inside * (inputs + taps) + block.expanded * padded(block.outputs)
        part = LANES * max(inputs + taps, block.expanded)
        in_place = padded(block.outputs) <= padded(block.inputs) * block.step
        maps = LANES * (plan.bands() * plan.frames() + plan.frames(block.step))
        return (
            plan.maps(block, in_place) + np.maximum(sequences, plan.only_rows(block)) + rest + whole * fixed,
            plan.maps(block, False) + np.maximum(sequences, maps) + rest + part * fixed,
        )

    def _context(self, number: int, block: Block, context: Context, by_groups: bool) -> str:
        constants, where = self._constants, f"net.layers.{number - 1}.context_gen"
        layers = {
            "joint": self._put(f"{where}.joint_conv.weight", context.joint, self._bands + self._frames, HARDSWISH)
        }
        scale = start = 0
        if context.attention is not None:
            layers["attention"] = self._put("", context.attention)
        if context.lines is not None:
            scale, start = (constants.put(values) for values in (context.lines.scale, context.lines.start))
            layers["lines"] = self._slopes(number, context.lines)
        if context.gates is not None:
            bands, frames = self._after(block)
            layers["band_gates"] = self._put(f"{where}.conv_f.weight", context.gates[0], bands)
            layers["frame_gates"] = self._put(f"{where}.conv_t.weight", context.gates[1], frames)
        numbers = (
            *(int(by_groups), max(1, context.kernels), _lines(context), int(context.gates is not None)),
            *(self._kept.get(f"ctx{number - 1}", -1), scale, start),
        )
        names = ("joint", "attention", "lines", "band_gates", "frame_gates")
        described = ", ".join(layers.get(name, NO_LAYER) for name in names)
        return f"    {{{', '.join(map(str, numbers))},\n     {described}}},\n"

    def _put(self, name: str, layer: Linear, times: int = 1, activation: int = NO_ACTIVATION) -> str:
        """A layer that is used for so many vectors."""
        self.macs += layer.weights.size * times
        return self._constants.layer(name, layer.weights, layer.bias, activation)

    def _slopes(self, number: int, lines: Lines) -> str:
        """The layer that makes lines; of its weights in eight bits a channel's stand together, as in the net."""
        n, constants = 2 * lines.n, self._constants
        narrowed = constants.narrowed.get(f"net.layers.{number - 1}.depth_act.coef_net.0.weight")
        if narrowed is not None:
            values, scale = (
                _in_lanes(one.reshape(-1, n, one.shape[1]).swapaxes(0, 1).reshape(one.shape), n)
                for one in (narrowed.values, narrowed.scale)
            )
            narrowed = Narrowed(values, scale)
        self.macs += lines.linear.weights.size
        return constants.apart(_in_lanes(lines.linear.weights, n), _in_lanes(lines.linear.bias, n), narrowed)

    def _after(self, block: Block) -> tuple[int, int]:
        """Bands and frames of the map that comes out of a block."""
        return halved(self._bands, block.step), halved(self._frames, block.step)


def _lines(context: Context) -> int:
    return 0 if context.lines is None else context.lines.n


def _in_lanes(values: np.ndarray, n: int) -> np.ndarray:
    """Of n coefficients for each channel, (n * channels, ...), filled up with zeros to groups of LANES channels."""
    each = values.reshape(n, len(values) // n, -1)
    wide = np.pad(each, ((0, 0), (0, padded(each.shape[1]) - each.shape[1]), (0, 0)))
    return wide.reshape(-1, *values.shape[1:])
