"""The net's own classifier with other classes: its last layer fitted to the sounds, all before it as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hear_edgel3.detectors.base import Base
from hear_edgel3.detectors.frozen import logits_of
from hear_edgel3.detectors.learning import Examples, Learned, read_logits
from hear_edgel3.detectors.linear import fit_linear
from hear_edgel3.errors import ComputationError, InvalidOption
from hear_edgel3.families.schema import Published
from hear_edgel3.families.table import FAMILIES
from hear_edgel3.labels.splits import Split
from hear_edgel3.registry.names import BUILT_IN, find

if TYPE_CHECKING:
    from hear_edgel3.detectors.options import TrainOptions
    from hear_edgel3.detectors.work import Work

_HIDDEN = "clf2"  # what the last layer of a MobileNetV3's classifier sees
_LAST = "classifier.5"


def check_own(base: Base) -> None:
    """Finds out whether a net has a classifier that can be fitted so.

    Raises:
        InvalidOption: It has not.
    """
    row = base.row
    if FAMILIES[row.family].with_classes is None:
        raise InvalidOption(f"{row.name} has no classifier of its own; use the head linear or mlp")
    if f"{_LAST}.weight" not in base.state():
        raise InvalidOption(
            f"the classifier of {row.name} has no last layer that can be fitted alone: train it with fine_tune, or use "
            f"the head linear or mlp"
        )
    named = isinstance(row, Published) or row.name == BUILT_IN
    if not named or find(f"{row.name}_{_HIDDEN}") is None:
        raise InvalidOption(
            f"the classifier of a folder ({row.name}) is fitted by training the net: give fine_tune, or use the head "
            f"linear or mlp"
        )


def learn_own(
    examples: Examples,
    split: Split,
    whole: bool = True,  # noqa: ARG001
    *,
    base: Base,
    options: TrainOptions,
    work: Work,
) -> Learned:
    """Fits the last layer; ``whole`` as for :data:`hear_edgel3.detectors.learning.Learn`.

    Raises:
        InvalidOption: The net has none that can be fitted.
        ComputationError: What it sees of a sound is not finite.
    """
    check_own(base)
    seen = work.embed(examples.labelled.items, f"{base.row.name}_{_HIDDEN}")
    if seen.failed:
        raise ComputationError(f"{seen.failed[0][1]} (it could be read before)")
    hidden = Examples(examples.labelled, seen.vectors, examples.units)
    fitted = fit_linear(hidden.part(split.train))
    head = fitted.head
    assert head.mean is not None
    assert head.deviation is not None
    with torch.no_grad():  # the layer sees values that are not standardised
        weight = head.output.weight.double() / head.deviation.double()
        bias = head.output.bias.double() - weight @ head.mean.double()
    state = {**base.state(), f"{_LAST}.weight": weight.float(), f"{_LAST}.bias": bias.float()}
    validation, test = (logits_of(head, seen.vectors[rows]) for rows in (split.validation, split.test))
    reading = read_logits(examples, split, validation, options.threshold)
    return Learned(split, None, state, reading, validation, test, fitted.about, fitted.notes)
