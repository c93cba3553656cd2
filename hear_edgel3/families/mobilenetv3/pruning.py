"""How nets of the MobileNetV3 family are pruned: channels inside of blocks, bottlenecks, and the two last layers.

What goes from block to block keeps its channels, and with them the embeddings made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from hear_edgel3.families.mobilenetv3 import layout as layouts
from hear_edgel3.families.mobilenetv3.rows import hop_ms_of

if TYPE_CHECKING:
    from hear_edgel3.families.mobilenetv3.net import MobileNetV3
    from hear_edgel3.families.schema import Checkpoint, Features

# Parts of the last two layers that stay, as factors of the share of all parameters: without such floors the greedy
# choice takes nearly all of the head, which costs more of the tags than it saves.
_FLOORS = {"last": 1.1, "hidden": 0.65}
_POSITIONS = 48  # of each map that a fit looks at
_RIDGE, _RIDGE_HEAD = 1e-3, 3e-2


class MobileNetV3Pruner:
    """Prunes nets with channel-wise squeeze-and-excitation and the mlp head, as EfficientAT's are published.

    The groups are e2 to e15 (channels inside of blocks that expand), s4, s5, s6, s11 to s15 (bottlenecks), last and
    hidden.
    """

    def problem(self, row: Checkpoint, features: Features) -> str | None:
        """Whether the head is the mlp with classes, and the features are of layers that keep their channels."""
        arguments = row.net.arguments
        if arguments.get("head", "mlp") != "mlp" or arguments.get("n_classes", 1) is None:
            return "only nets with the mlp head and classes can be"
        if "teacher" in features.names:
            return "its embedding is an approximation of another net's, made from layers that are pruned"
        pruned = [name for name in features.names if not re.fullmatch(r"mel_avgs|b\d|b1[0-5]|logits", name)]
        return f"its embedding has {', '.join(pruned)}, of layers that are pruned" if pruned else None

    def sizes(self, row: Checkpoint) -> dict[str, int]:
        """The channels of every group."""
        layout = _layout(row)
        numbered = list(enumerate(layout.blocks, 1))
        found = {f"e{number}": block.expanded for number, block in numbered if block.expands}
        found |= {f"s{number}": block.squeeze for number, block in numbered if block.has_se}
        return {**found, "last": layout.last, "hidden": layout.hidden}

    def groups(self, net: MobileNetV3) -> dict[str, nn.Module]:
        """The modules whose outputs are the groups."""
        found: dict[str, nn.Module] = {}
        for number, block, layers in _blocks(net):
            if block.expands:
                found[f"e{number}"] = layers[1]
            if block.has_se:
                found[f"s{number}"] = _excitation(layers).fc1
        return {**found, "last": net.features[-1], "hidden": _head(net)[3]}

    def floors(self, sizes: Mapping[str, int], share: float) -> dict[str, int]:
        """Of the last two layers, in proportion to what is kept of the net."""
        return {name: int(min(1.0, factor * share) * sizes[name]) for name, factor in _FLOORS.items()}

    def architecture(self, row: Checkpoint, sizes: Mapping[str, int]) -> dict[str, Any]:
        """The arguments of :func:`hear_edgel3.families.mobilenetv3.rows.architecture`."""
        arguments = row.net.arguments
        layout = _layout(row)
        numbered = list(enumerate(layout.blocks, 1))
        return {
            **{key: arguments[key] for key in ("width_mult", "head", "n_classes", "n_mels")},
            "hop_ms": hop_ms_of(row),
            "strides": list(arguments["strides"]),
            "expanded": [sizes.get(f"e{number}", block.expanded) for number, block in numbered],
            "squeeze": [sizes.get(f"s{number}", block.squeeze) for number, block in numbered if block.has_se],
            "last": sizes["last"],
            "hidden": sizes["hidden"],
        }

    def select(self, net: MobileNetV3, keep: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The state of the smaller net."""
        state = {name: value.detach().clone() for name, value in net.state_dict().items()}

        def cut(prefix: str, outputs: torch.Tensor | None = None, inputs: torch.Tensor | None = None) -> None:
            for name in [name for name in state if name.startswith(f"{prefix}.")]:
                value = state[name]
                if outputs is not None and value.ndim:
                    value = value[outputs]
                if inputs is not None and value.ndim > 1:
                    value = value[:, inputs]
                state[name] = value.clone()

        for number, block, layers in _blocks(net):
            path = f"features.{number}.block"
            inside = keep.get(f"e{number}")
            if inside is not None:
                cut(f"{path}.0", inside)
                cut(f"{path}.1", inside)  # one input channel each
                cut(f"{path}.{len(layers) - 1}.0", inputs=inside)
            if block.has_se:
                excitation = f"{path}.{len(layers) - 2}.conc_se_layers.0"
                cut(f"{excitation}.fc1", keep[f"s{number}"], inside)
                cut(f"{excitation}.fc2", inside, keep[f"s{number}"])
        cut(f"features.{len(net.features) - 1}", keep["last"])
        cut("classifier.2", keep["hidden"], keep["last"])
        cut("classifier.5", inputs=keep["hidden"])
        return {name: value for name, value in state.items() if not name.startswith("approximation.")}

    @torch.no_grad()
    def refit(
        self,
        teacher: MobileNetV3,
        net: MobileNetV3,
        keep: Mapping[str, torch.Tensor],
        images: Sequence[torch.Tensor],
    ) -> None:
        """Fits each projection, the last convolution and the head, one after the other, on the teacher's own outputs.

        What a block of the smaller net gets is what its fitted predecessors give, so that later layers make up for what
        earlier ones lack too.
        """
        generator = torch.Generator().manual_seed(0)
        theirs = [teacher.features[0](batch.unsqueeze(1)) for batch in images]
        ours = [net.features[0](batch.unsqueeze(1)) for batch in images]
        for number, block, _ in _blocks(net):
            if block.expands:
                _refit_block(teacher, net, number, theirs, ours, generator)
            # One by one, so that old and new maps are not all in memory.
            for i, (x, y) in enumerate(zip(ours, theirs, strict=True)):
                ours[i], theirs[i] = net.features[number](x), teacher.features[number](y)
        last = len(net.features) - 1
        convolution, norm = _parts(net.features[last])
        wanted, _ = _parts(teacher.features[last])
        fit = _Fit(convolution.weight.flatten(1))
        for x, y in zip(ours, theirs, strict=True):
            fit.add(*_at_positions(x, wanted(y)[:, keep["last"]], generator))
        _set_convolution(convolution, norm, *fit.solve(_RIDGE))
        pooled_theirs = torch.cat([teacher.features[last](x).mean(dim=(2, 3)) for x in theirs])
        pooled_ours = torch.cat([net.features[last](x).mean(dim=(2, 3)) for x in ours])
        for layer, chosen in ((2, keep["hidden"]), (5, slice(None))):
            linear, wanted_linear = _head(net)[layer], _head(teacher)[layer]
            target = wanted_linear(pooled_theirs)
            fit = _Fit(linear.weight)
            fit.add(pooled_ours, target[:, chosen])
            weight, bias = fit.solve(_RIDGE_HEAD)
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
            pooled_theirs, pooled_ours = functional.hardswish(target), functional.hardswish(linear(pooled_ours))


def _layout(row: Checkpoint) -> layouts.Layout:
    arguments = row.net.arguments
    given = {name: arguments[name] for name in layouts.OPTIONS if name in arguments}
    return layouts.make_layout(arguments["width_mult"], arguments["strides"], **given)


def _refit_block(
    teacher: MobileNetV3,
    net: MobileNetV3,
    number: int,
    theirs: Sequence[torch.Tensor],
    ours: Sequence[torch.Tensor],
    generator: torch.Generator,
) -> None:
    """Fits the projection of one block, given what goes into it in both nets."""
    their_block: Any = teacher.features[number]
    our_block: Any = net.features[number]
    convolution, norm = _parts(our_block.block[-1])
    wanted, _ = _parts(their_block.block[-1])
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    fit = _Fit(convolution.weight.flatten(1))
    for x, y in zip(ours, theirs, strict=True):
        target = wanted(their_block.block[:-1](y))
        if our_block.residual:
            # What is added to the block's output differs too; the projection makes up for it before its norm.
            target = target + (y - x) / scale.view(1, -1, 1, 1)
        fit.add(*_at_positions(our_block.block[:-1](x), target, generator))
    _set_convolution(convolution, norm, *fit.solve(_RIDGE))


class _Fit:
    """Least squares with an intercept, and a ridge towards the weights that there are.

    Args:
        weight: (outputs, inputs) those weights.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        outputs, inputs = weight.shape
        self._weight = weight.double()
        self._count = 0
        self._x = torch.zeros(inputs, dtype=torch.float64)
        self._y = torch.zeros(outputs, dtype=torch.float64)
        self._xx = torch.zeros(inputs, inputs, dtype=torch.float64)
        self._xy = torch.zeros(inputs, outputs, dtype=torch.float64)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Takes rows (n, inputs) and what is wanted of them (n, outputs)."""
        x, y = x.double(), y.double()
        self._count += len(x)
        self._x += x.sum(dim=0)
        self._y += y.sum(dim=0)
        self._xx += x.T @ x
        self._xy += x.T @ y

    def solve(self, ridge: float) -> tuple[torch.Tensor, torch.Tensor]:
        """The weights (outputs, inputs) and the intercepts (outputs,), float32."""
        mean_x, mean_y = self._x / self._count, self._y / self._count
        xx = self._xx - self._count * torch.outer(mean_x, mean_x)
        xy = self._xy - self._count * torch.outer(mean_x, mean_y)
        # At least a little, so that inputs that are always zero do no harm.
        strength = ridge * xx.diagonal().mean() + 1e-9
        change = torch.linalg.solve(xx + strength * torch.eye(len(xx), dtype=xx.dtype), xy - xx @ self._weight.T).T
        weight = self._weight + change
        return weight.float(), (mean_y - weight @ mean_x).float()


def _at_positions(x: torch.Tensor, y: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of two maps (n, channels, bands, frames) at the same places, drawn at random."""
    x, y = x.flatten(2), y.flatten(2)
    places = torch.randint(x.shape[2], (min(_POSITIONS, x.shape[2]),), generator=generator)
    return x[:, :, places].transpose(1, 2).flatten(0, 1), y[:, :, places].transpose(1, 2).flatten(0, 1)


def _set_convolution(
    convolution: nn.Conv2d, norm: nn.BatchNorm2d, weight: torch.Tensor, intercept: torch.Tensor
) -> None:
    """Sets a 1x1 convolution without bias; its intercept goes into the mean of the norm behind it."""
    assert norm.running_mean is not None
    convolution.weight.copy_(weight[:, :, None, None])
    norm.running_mean.sub_(intercept)


def _blocks(net: MobileNetV3) -> Iterator[tuple[int, layouts.Block, Any]]:
    """Number, shape and layers of the blocks 1 to 15."""
    for number, block in enumerate(net.layout.blocks, 1):
        layer: Any = net.features[number]
        yield number, block, layer.block


def _excitation(layers: Any) -> Any:
    """The channel-wise squeeze-and-excitation of a block."""
    return layers[-2].conc_se_layers[0]


def _head(net: MobileNetV3) -> Any:
    return net.classifier


def _parts(layers: Any) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return layers[0], layers[1]
