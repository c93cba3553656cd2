"""What a head is like, as plain values. Imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hear_edgel3.errors import ConfigurationError, InvalidOption
from hear_edgel3.heads.names import ACTIVATIONS

KINDS = ("linear", "mlp")


@dataclass(frozen=True)
class HeadLayout:
    """The shape of a head.

    The classifier of EfficientAT's nets is :meth:`of_net`: an mlp with hardswish, dropout of 0.2, and small weights.

    Attributes:
        kind: "linear" or "mlp", which has one hidden layer.
        inputs: The values of an embedding.
        outputs: The values that are put out: logits of classes or labels, or numbers.
        units: The values of the hidden layer of an mlp.
        activation: Of the hidden layer.
        dropout: The share of the hidden layer that is left out in training; with "linear", of the embedding.
        standardize: Whether the embedding is first brought to mean 0 and deviation 1 by stored values, which have to be
            measured on the training part.
        initial: "uniform" (Glorot and Bengio 2010, as Keras), or "small" (normal, with a deviation of 0.01, as
            EfficientAT's nets); biases are 0.
    """

    kind: str
    inputs: int
    outputs: int
    units: int | None = None
    activation: str | None = None
    dropout: float = 0.0
    standardize: bool = False
    initial: str = "uniform"

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            InvalidOption: A value cannot be used.
        """
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise InvalidOption(f"the kind of a head must be one of {', '.join(KINDS)}; got {self.kind!r}")
        for name in ("inputs", "outputs"):
            _check_count(name, getattr(self, name))
        if self.kind == "mlp":
            _check_count("units", self.units)
            if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
                raise InvalidOption(f"activation must be one of {', '.join(ACTIVATIONS)}; got {self.activation!r}")
        elif self.units is not None or self.activation is not None:
            raise InvalidOption("a linear head has no units and no activation; leave them out, or choose mlp")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, (int, float)) or not 0 <= self.dropout < 1:
            raise InvalidOption(f"dropout must be from 0 to below 1, got {self.dropout!r}")
        if not isinstance(self.standardize, bool):
            raise InvalidOption(f"standardize must be True or False, got {self.standardize!r}")
        if not isinstance(self.initial, str) or self.initial not in ("uniform", "small"):
            raise InvalidOption(f"initial must be uniform or small, got {self.initial!r}")

    @classmethod
    def of_net(cls, inputs: int, outputs: int, units: int, dropout: float = 0.2) -> HeadLayout:
        """The shape of the classifier of EfficientAT's nets, behind their pooled last convolution (``clf1``).

        Args:
            inputs: The channels of the last convolution.
            outputs: The classes.
            units: The values of the hidden layer.
            dropout: As in the class.
        """
        return cls("mlp", inputs, outputs, units, "hardswish", dropout, initial="small")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a folder's description."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HeadLayout:
        """The layout of :meth:`to_dict`'s values.

        Raises:
            ConfigurationError: They are none.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                hint = f"; do you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
                raise ConfigurationError(f"the description of a head has an unknown value {name!r}{hint}")
        missing = [name for name in ("kind", "inputs", "outputs") if name not in values]
        if missing:
            raise ConfigurationError(f"the description of a head lacks {', '.join(missing)}")
        try:
            return cls(**values)
        except InvalidOption as error:
            raise ConfigurationError(f"the description of a head is damaged: {error}") from error


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidOption(f"{name} of a head must be a whole number of at least 1, got {value!r}")
