"""What a row says of a net with a head: the words, the shape and the costs. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hear_edgel3.errors import UnknownFeatures
from hear_edgel3.families.layers import Layers, Operation, Recorder, Values
from hear_edgel3.families.schema import Checkpoint, Component, Features, Local
from hear_edgel3.heads.layout import HeadLayout

if TYPE_CHECKING:
    from hear_edgel3.families.headed.net import HeadedNet

LOGITS = "logits"


def build_net(net: Component, layout: HeadLayout, chosen: Mapping[str, Any], puts_out: str) -> HeadedNet:
    """The net with its head.

    Args:
        net: The net that the head is on.
        layout: The head's.
        chosen: The arguments that choose the net's features.
        puts_out: As for :class:`hear_edgel3.families.headed.HeadedNet`.
    """
    from hear_edgel3.families.headed.net import make_headed

    return make_headed(net.make(**{**net.arguments, **chosen}), layout, puts_out)


@dataclass(frozen=True)
class HeadedVocabulary:
    """The words of a net with a head: those of the net, and "logits" for what the head puts out.

    Attributes:
        base: The row of the net without the head.
        words: The words of the embedding that the head is on, which is the one that is meant without words.
        outputs: The values that the head puts out.
    """

    base: Local
    words: str
    outputs: int

    def read(self, row: Checkpoint, words: str) -> Features:  # noqa: ARG002
        """Reads words as the net's own vocabulary does; "logits" alone are the head's.

        Raises:
            UnknownFeatures: As of the net's own vocabulary.
        """
        if words == LOGITS:
            seen = self.base.vocabulary.read(self.base, self.words)
            arguments = {"chosen": dict(seen.arguments), "puts_out": "logits"}
            size, text = self.outputs, "logits of its head"
            return Features((LOGITS,), size, (size,), arguments, seen.window_ms, text, seen.frontend, False)
        try:
            found = self.base.vocabulary.read(self.base, words or self.words)
        except UnknownFeatures as error:
            raise UnknownFeatures(f"{error}; or logits, what its head puts out") from error
        return replace(found, arguments={"chosen": dict(found.arguments), "puts_out": "embedding"})


@dataclass(frozen=True)
class HeadedLayers:
    """What a net with a head does, for :class:`hear_edgel3.families.layers.Layers`.

    Attributes:
        net: The net's.
        layout: The head's.
    """

    net: Layers
    layout: HeadLayout

    @property
    def n_mels(self) -> int:
        """Mel bands of an image."""
        return self.net.n_mels

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        return self.net.hop_length

    @property
    def frame_length(self) -> int:
        """Samples under one frame."""
        return self.net.frame_length

    def n_frames(self, n_samples: int) -> int:
        """Frames of the image that the front end makes of ``n_samples``."""
        return self.net.n_frames(n_samples)

    def operations(self, n_frames: int, features: Mapping[str, Any] | None = None) -> Sequence[Operation]:
        """What is done with one image: by the net and, unless its embedding is all that is wanted, by the head."""
        if features is None:  # everything: the net to its end, and the head on what it takes from it
            recorder = Recorder([*self.net.operations(n_frames)])
            embedding = recorder.make((self.layout.inputs,), recorder.operations[-1].output)
        else:
            recorder = Recorder([*self.net.operations(n_frames, features["chosen"])])
            embedding = recorder.operations[-1].output
        if features is None or features["puts_out"] == "logits":
            _add_head(recorder, embedding, self.layout)
        return recorder.operations


def _add_head(net: Recorder, x: Values, layout: HeadLayout) -> None:
    """What a head does in eval mode, as ``Head.forward``."""
    if layout.standardize:
        x = net.make(x.shape, net.make(x.shape, x))  # less the mean, and then by the deviation
    if layout.units is not None:
        x = net.linear(x, layout.units)
        x = net.make(x.shape, x)
    net.linear(x, layout.outputs)


def headed(row: Local, layout: HeadLayout, words: str) -> Local:
    """A net with a head on it.

    Args:
        row: The net's.
        layout: The head's.
        words: The words of the embedding that the head is on; none for the net's default.

    Raises:
        UnknownFeatures: The net has no such embedding.
        ValueError: The embedding has another size than the head takes.
    """
    seen = row.vocabulary.read(row, words)
    if seen.size != layout.inputs:
        which = f"{words!r}" if words else "its default"
        raise ValueError(f"the head takes {layout.inputs} values, and the embedding ({which}) has {seen.size}")
    own = {"net": row.net, "layout": layout, "chosen": dict(seen.arguments), "puts_out": "logits"}
    return replace(
        row,
        net=Component(build_net, own),
        vocabulary=HeadedVocabulary(row, words, layout.outputs),
        n_parameters=row.n_parameters + _n_parameters(layout),
        macs_10s=row.macs_10s + sum(inputs * outputs for inputs, outputs in _maps(layout)),
        layers=None if row.layers is None else HeadedLayers(row.layers, layout),
        n_classes=layout.outputs,
        default_features=words or row.default_features,
        head=layout,
    )


def _maps(layout: HeadLayout) -> list[tuple[int, int]]:
    """What goes into the linear layers of a head, and what comes out."""
    if layout.units is None:
        return [(layout.inputs, layout.outputs)]
    return [(layout.inputs, layout.units), (layout.units, layout.outputs)]


def _n_parameters(layout: HeadLayout) -> int:
    """The trained values of a head; mean and deviation are measured, as batch norm's are."""
    return sum((inputs + 1) * outputs for inputs, outputs in _maps(layout))
