"""Heads: small nets that make logits, or numbers, of embeddings."""

from __future__ import annotations

import math
from numbers import Integral

import torch
from torch import nn

from hear_edgel3._checks import check_made, shown
from hear_edgel3.errors import InvalidOption
from hear_edgel3.heads.activations import Activation
from hear_edgel3.heads.layout import HeadLayout

_LEAST_DEVIATION = 1e-6


class Head(nn.Module):
    """A head of any layout. It puts out logits: no softmax or sigmoid.

    Args:
        layout: Its shape.
        generator: Where its first weights come from; None for zeros, where they are going to be read from a file. The
            global stream is never used.

    Attributes:
        layout: As given.
        mean: (inputs,) of the training part, or None where the layout does not standardise.
        deviation: (inputs,) likewise.
    """

    mean: torch.Tensor | None
    deviation: torch.Tensor | None

    def __init__(self, layout: HeadLayout, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.layout = layout
        # Buffers, so that they are stored with the weights, and go where those go.
        for name, value in (("mean", 0.0), ("deviation", 1.0)):
            values = torch.full((layout.inputs,), value, device="cpu", dtype=torch.float32)
            self.register_buffer(name, values if layout.standardize else None)
        self.dropout = nn.Dropout(layout.dropout)
        self.hidden: nn.Linear | None = None
        self.activation: Activation | None = None
        last = layout.inputs
        if layout.kind == "mlp":
            assert layout.units is not None
            assert layout.activation is not None
            self.hidden = _linear(layout.inputs, layout.units)
            self.activation = Activation(layout.activation)
            last = layout.units
        self.output = _linear(last, layout.outputs)
        self.start(generator)

    def start(self, generator: torch.Generator | None) -> None:
        """Gives it new first weights.

        Args:
            generator: On the CPU; None for zeros.
        """
        for layer in (self.hidden, self.output):
            if layer is None:
                continue
            shape = (layer.out_features, layer.in_features)
            first = torch.zeros(shape, device="cpu", dtype=torch.float32)
            if generator is not None and self.layout.initial == "small":
                first.normal_(0.0, 0.01, generator=generator)
            elif generator is not None:
                limit = math.sqrt(6.0 / sum(shape))
                first.uniform_(-limit, limit, generator=generator)
            with torch.no_grad():
                layer.weight.copy_(first)
                layer.bias.zero_()

    @torch.no_grad()
    def standardize(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        """Stores the mean and the deviation of the training part's embeddings.

        Args:
            mean: (inputs,).
            deviation: (inputs,); a value that does not vary counts as 1, so that it stays what it is, about 0.

        Raises:
            InvalidOption: The layout does not standardise, or a value is not finite.
        """
        if self.mean is None or self.deviation is None:
            raise InvalidOption("this head does not standardize; make it with standardize=True")
        for name, values in (("mean", mean), ("deviation", deviation)):
            if values.shape != (self.layout.inputs,) or not bool(torch.isfinite(values).all()):
                raise InvalidOption(f"the {name} must be {self.layout.inputs} finite values")
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > _LEAST_DEVIATION, deviation, 1.0))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Logits.

        Args:
            embeddings: (..., inputs) floating point.

        Returns:
            (..., outputs).
        """
        x = embeddings
        if self.mean is not None and self.deviation is not None:
            x = (x - self.mean) / self.deviation
        if self.hidden is not None and self.activation is not None:
            x = self.activation(self.hidden(x))
        result: torch.Tensor = self.output(self.dropout(x))
        return result


def make_head(layout: HeadLayout, seed: int) -> Head:
    """A head with random first weights, the same for the same seed.

    Args:
        layout: Its shape.
        seed: A whole number.

    Raises:
        InvalidOption: One of them is something else.
    """
    check_made(layout, "layout", HeadLayout, "a HeadLayout")
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise InvalidOption(f"seed must be a whole number, got {shown(seed)}")
    return Head(layout, torch.Generator().manual_seed(seed))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer whose weights are not drawn yet, whatever torch's defaults are."""
    return _Undrawn(inputs, outputs, device="cpu", dtype=torch.float32)


class _Undrawn(nn.Linear):
    """A layer that leaves the global stream alone.

    ``torch.nn.utils.skip_init`` does too, by way of the meta device, for which torch imports half of its compiler.
    """

    def reset_parameters(self) -> None:
        """Draws nothing: whoever makes the layer fills it."""
