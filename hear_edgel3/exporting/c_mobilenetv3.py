"""A MobileNetV3 as C text."""

from __future__ import annotations

from hear_edgel3.errors import InvalidOption
from hear_edgel3.exporting.c_constants import Constants, padded
from hear_edgel3.exporting.c_residuals import HARDSWISH, RELU, NetInC, ResidualWriter, check, values
from hear_edgel3.families.mobilenetv3.layout import Block, last_block_needed
from hear_edgel3.families.mobilenetv3.net import MobileNetV3


def mobilenetv3(
    net: MobileNetV3, name: str, constants: Constants, own_logits: bool, n_mels: int, n_frames: int
) -> NetInC:
    """A MobileNetV3 in its folded form; the arguments are those of :func:`hear_edgel3.exporting.c_nets.net_in_c`.

    Raises:
        InvalidOption: There is no such form of it.
    """
    names = net.outputs[:-1] if own_logits else net.outputs
    if net.head == "multihead_attention_pooling" or net.se_dims != "c":
        raise InvalidOption(
            f"{name} has no form in C: its head or its squeeze-and-excitation is another; use --to onnx"
        )
    check(net, net.layout.blocks, names, name)
    last = last_block_needed(net.outputs)
    return _Writer(net, net.layout, last, names, constants, n_mels, n_frames).written(own_logits)


class _Writer(ResidualWriter):
    def _convolution(self, number: int) -> tuple[str, object]:
        return f"net.features.{number}.0", self._net.features[number][0]

    def _block(self, number: int, block: Block) -> str:
        layers, prefix = [*self._net.features[number].block], f"net.features.{number}.block"
        activation = HARDSWISH if block.hardswish else RELU
        kinds = [*(["expand"] if block.expands else []), "depthwise", *(["se"] if block.has_se else []), "project"]
        before, behind = self._pixels(block)
        parts = {}
        for i, (kind, layer) in enumerate(zip(kinds, layers, strict=True)):
            if kind == "se":
                for part, at in (("squeeze", "fc1"), ("excite", "fc2")):
                    linear = getattr(layer.conc_se_layers[0], at)
                    parts[part] = self._linear(f"{prefix}.{i}.conc_se_layers.0.{at}", linear)
                continue
            put = self._constants.channelwise if kind == "depthwise" else self._constants.layer
            weight, bias = values(layer[0].weight), values(layer[0].bias)
            parts[kind] = put(f"{prefix}.{i}.0.weight", weight, bias, 0 if kind == "project" else activation)
            self.macs += weight.size * (before if kind == "expand" else behind)
        self.plan.add(block, self.plan.rows(block, block.has_se))
        self.sums += [padded(block.expanded), padded(block.outputs)]
        return self._described(number, block, parts, self._kept.get(f"se{number}", -1))
