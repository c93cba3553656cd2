"""The weights of dynamic blocks, and where what is made for them lies (:mod:`hear_edgel3.engine.kernels.dynamic`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from hear_edgel3.engine.kernels.dynamic import MIXED
from hear_edgel3.engine.kernels.dynamic_facts import DynamicFacts
from hear_edgel3.engine.kernels.one_image import OneFacts, one_linear
from hear_edgel3.engine.kernels.pointwise import GROUP, NONE, make_pointwise, packed
from hear_edgel3.engine.kernels.residual import Facts
from hear_edgel3.engine.kernels.residual_parts import Map, Rooms, Weights, even
from hear_edgel3.engine.kernels.strips_of_time import StripsOfTime
from hear_edgel3.families import kernel_residuals as described

F = TypeVar("F", Facts, OneFacts)
# Of what fills up an attention: its share is none.
_NEVER = -1e30


def with_dynamic(
    facts: F, told: DynamicFacts, rooms: Rooms, prepare: Callable[..., None], bend: Callable[..., None]
) -> F:
    """What the kernel of blocks is told of a dynamic one.

    Args:
        facts: What it is told of any block.
        told: What the other two kernels are told.
        rooms: Where the latter lies.
        prepare: The kernel that makes what the block works with.
        bend: The kernel of what follows the depthwise convolution.
    """
    facts = facts._replace(
        dynamic=rooms.told(told),
        prepare=rooms.kernel(prepare),
        bend=rooms.kernel(bend) if told.lines or told.gated else 0,
        act_inside=NONE if told.lines else facts.act,
    )
    if told.n_mixed and not told.shared:
        mixed = [told.mixed_0, told.mixed_1, told.mixed_2][: told.n_mixed]
        facts = facts._replace(depthwise_weights=mixed[-2], project_weights=mixed[-1])
        if facts.expands:
            facts = facts._replace(expand_weights=mixed[0])
    return facts


class Dynamic:
    """What is told of a dynamic block for images of any size.

    Args:
        block: with a context.
        weights: where arrays are kept.

    Attributes:
        n_context: values of the context.
    """

    def __init__(self, block: described.InvertedResidual, weights: Weights) -> None:
        assert block.context is not None
        context = block.context
        inside = even(len(block.depthwise.bias))
        self.n_context = len(context.joint.bias)
        joint_weights, joint_bias = weights.linear(context.joint)
        self._facts = DynamicFacts(
            inputs=context.joint.weights.shape[1],
            n_context=even(self.n_context),
            inside=inside,
            stride=block.depthwise.stride,
            joint_weights=joint_weights,
            joint_bias=joint_bias,
        )
        self._n_at_once = self._bank_by_tap = 0
        self._made = [np.zeros((0, self.n_context), np.float32)]
        self._made_bias = [np.zeros(0, np.float32)]
        if context.attention is not None:
            self._mix(block, context.attention, context.kernels, inside, weights)
        if context.lines is not None:
            lines = context.lines
            self._facts = self._facts._replace(
                lines=lines.n,
                first_line=sum(map(len, self._made)),
                scale=weights.keep(lines.scale),
                start=weights.keep(lines.start),
            )
            for part, bias in zip(
                np.split(lines.linear.weights, 2 * lines.n), np.split(lines.linear.bias, 2 * lines.n), strict=True
            ):
                self._add(part, bias, inside)
        if context.gates is not None:
            bands, frames = (self._linear(gate, weights) for gate in context.gates)
            self._facts = self._facts._replace(
                gated=1, bands_weights=bands[0], bands_bias=bands[1], frames_weights=frames[0], frames_bias=frames[1]
            )
        if n_made := sum(map(len, self._made)):
            made = described.Linear(np.concatenate(self._made), np.concatenate(self._made_bias))
            address, bias_address = self._linear(made, weights)
            self._facts = self._facts._replace(n_made=n_made, made_weights=address, made_bias=bias_address)

    @property
    def mixes(self) -> bool:
        """Whether its convolutions are mixed."""
        return self._facts.n_mixed > 0

    def _linear(self, linear: described.Linear, weights: Weights) -> tuple[int, int]:
        """The addresses of the weights and the bias of a layer that takes a context."""
        return weights.linear(linear, self._facts.n_context)

    def _add(self, weights: np.ndarray, bias: np.ndarray, room: int, fill: float = 0.0) -> None:
        """Adds to what is made of a context, filled up to so many numbers."""
        beside = room - len(weights)
        self._made.append(np.pad(weights, ((0, beside), (0, 0))))
        self._made_bias.append(np.pad(bias, (0, beside), constant_values=np.float32(fill)))

    def _mix(
        self,
        block: described.InvertedResidual,
        attention: described.Linear,
        kernels: int,
        inside: int,
        weights: Weights,
    ) -> None:
        """Keeps the kernels that are mixed, each in the form in which it is used."""
        banks = [] if block.expand is None else [[packed(w) for w in block.expand.weights]]
        shape = (inside, *block.depthwise.weights.shape[2:])
        taps = np.zeros((kernels, *shape), np.float32)
        taps[:, : block.depthwise.weights.shape[1]] = block.depthwise.weights
        banks += [list(taps), [packed(w, inside) for w in block.project.weights]]
        # Weights of GROUP outputs of the layer with most inputs, or of GROUP channels.
        self._n_at_once = GROUP * max(self._facts.inputs, inside, taps[0, 0].size)
        told: dict[str, int] = {"kernels": kernels, "n_attention": even(kernels), "n_mixed": len(banks)}
        for i, bank in enumerate(banks):
            size = -(-bank[0].size // MIXED) * MIXED
            filled = np.zeros((kernels, size), np.float32)
            for row, kernel in zip(filled, bank, strict=True):
                row[: kernel.size] = kernel.reshape(-1)
            told |= {f"size_{i}": size, f"bank_{i}": weights.keep(filled)}
        for part, bias in zip(
            np.split(attention.weights, len(banks)), np.split(attention.bias, len(banks)), strict=True
        ):
            self._add(part, bias, even(kernels), _NEVER)
        self._facts = self._facts._replace(**told)
        by_taps = np.zeros((kernels, -(-taps[0].size // MIXED) * MIXED), np.float32)
        by_taps[:, : taps[0].size] = np.moveaxis(taps, 1, -1).reshape(kernels, -1)
        self._bank_by_tap = weights.keep(by_taps)

    def facts_alone(self, x: OneFacts, strip: int, rooms: Rooms) -> DynamicFacts:
        """All that is told of the block if an image is alone, with its channels in the lanes.

        Args:
            x: what else the block is told.
            strip: columns of a strip of its input, if that were cut into some.
            rooms: where everything else lies.
        """
        f = self._facts
        if f.n_mixed:
            f = f._replace(**{f"bank_{f.n_mixed - 2}": self._bank_by_tap})
        n_inputs = even(f.inputs)
        numbers = {
            "means": x.width * n_inputs,
            "band_means": x.height * n_inputs,
            "sequence": x.width * f.n_context,
            "bands": x.height * f.n_context,
            "flat": f.n_context,
            "made": f.n_made,
            "coefficients": 2 * f.lines * f.inside,
            "averaged": x.width_out * f.n_context,
            "averaged_bands": x.height_out * f.n_context,
            "gates": x.width_out * f.inside,
            "band_gates": x.height_out * f.inside,
        }
        told = {name: rooms.room(f"dynamic {name}", -(-n // GROUP)) for name, n in numbers.items()}
        sizes = (f.size_0, f.size_1, f.size_2)[: f.n_mixed]
        told |= {f"mixed_{i}": rooms.room(f"mixed {i}", -(-n // GROUP)) for i, n in enumerate(sizes)}
        return f._replace(
            x=x.x, channel=x.pitch, height=x.height, width=x.width, frames=x.width, strips=x.strips, strip=strip,
            room=x.room, height_out=x.height_out, width_out=x.width_out, channel_middle=4 * f.inside, context=x.kept,
            n_kept=self.n_context, multiply_each=x.multiply, **told,
        )  # fmt: skip

    def facts(
        self,
        x: Map,
        out: Map,
        channel_middle: int,
        context: int,
        sharing: StripsOfTime,
        edges: int,
        rooms: Rooms,
    ) -> DynamicFacts:
        """All that is told of the block.

        Args:
            x: its input.
            out: its output.
            channel_middle: bytes from a channel of what the depthwise convolution puts out to the next.
            context: address of room for the context.
            sharing: how images share vectors, if they do.
            edges: address of what tells the first and last strips.
            rooms: where everything else lies.
        """
        f, lanes = self._facts, sharing.lanes
        size, height, width = 4 * lanes, out.height, out.width
        begin, end = sharing.before_convolving(x.width, x.frames, 1)
        channels = {
            "means": rooms.stride(x.width),
            "sequence": rooms.stride(x.width + 2),
            "averaged": rooms.stride(width),
            "gates": rooms.stride(width),
        }
        n = {"means": f.inputs, "sequence": f.n_context, "averaged": f.n_context, "gates": f.inside}
        told = {name: rooms.room(f"dynamic {name}", n[name] * channel // size) for name, channel in channels.items()}
        told |= {f"channel_{name}": channel for name, channel in channels.items()}
        numbers = {
            "flat": f.n_context,
            "made": f.n_made,
            "coefficients": 2 * f.lines * f.inside,
            "band_means": x.height * f.inputs,
            "bands": x.height * f.n_context,
            "averaged_bands": height * f.n_context,
            "band_gates": height * f.inside,
        }
        shared = sharing.images > 1  # then each number is a vector
        per_vector = 1 if shared else lanes
        told |= {name: rooms.room(f"dynamic {name}", -(-n // per_vector)) for name, n in numbers.items()}
        if shared:
            told["lane_weights"] = rooms.room("lane weights", self._n_at_once)
        else:
            sizes = (f.size_0, f.size_1, f.size_2)[: f.n_mixed]
            told |= {f"mixed_{i}": rooms.room(f"mixed {i}", -(-n // lanes)) for i, n in enumerate(sizes)}
        return f._replace(
            x=x.x, channel=x.channel, height=x.height, width=x.width, frames=x.frames, begin_sum=x.begin, mask=x.mask,
            begin=begin, end=end, strips=sharing.strips, shared=shared, edges=edges,
            height_out=height, width_out=width, channel_middle=channel_middle, context=context,
            multiply=rooms.kernel(make_pointwise(lanes)), multiply_each=rooms.kernel(one_linear),
            **told,
        )  # fmt: skip
