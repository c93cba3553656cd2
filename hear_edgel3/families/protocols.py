"""What a family consists of: its front end, its net, its student, and the one object that the table names.

Nothing here imports torch when it runs, so that the table costs nothing. Whatever else this package does (framing,
streams, engines, tagging, datasets, conversion, distillation) knows families through these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from hear_edgel3.families.schema import Checkpoint, Features, Published, PublishedHead


@runtime_checkable
class FrontEnd(Protocol):
    """Turns samples into the images that a net sees. It is a ``torch.nn.Module`` with nothing in its state dict.

    A front end may have a method ``mask(images, factor)``, which hides parts of images while a student learns; 1 hides
    as much as the family's authors do when they train, and 0 nothing.

    One that can be exported has ``portable(float64)``: the same function in eval mode as a ``torch.nn.Module`` of
    operations that engines outside of torch have, or None if there is no such form; ``float64`` is whether the engine
    computes in that type. It has ``in_float64(windows)`` as well: the images in eval mode, computed and put out in that
    type, which such forms are measured by. Both take any number of windows of any length from ``minimum_samples`` on,
    if the front end has that attribute, and from 1 on else. ``portable_in_pairs()`` may be a third form, for engines
    without float64 and nets that float32 is not enough for: slower than ``portable(False)``, and far more exact.

    Attributes:
        n_mels: The number of mel bands.
        n_fft: The points of the DFT.
        hop_length: The samples between frames, at the net's rate.
    """

    n_mels: int
    n_fft: int
    hop_length: int

    def n_frames(self, n_samples: int) -> int:
        """The frames that a clip of ``n_samples`` at the net's rate gives."""

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        """Computes the images of windows, differentiably.

        Args:
            windows: (n, samples) floating point, nominally in [-1, 1], at the net's rate.

        Returns:
            (n, n_mels, n_frames) float32.
        """


@runtime_checkable
class Net(Protocol):
    """Turns a front end's images into embeddings. It is a ``torch.nn.Module``.

    Two examples of a batch never influence each other in eval mode. Whoever uses one of the optional parts asks for it
    and does without where it is missing. They are:

    - ``n_mels``, the mel bands that it must be given, where it does not take any number;
    - ``folded()``, a ``torch.nn.Module`` that shares no tensor and gives the same in eval mode, but faster;
    - ``exportable()``, the same of operations that can be exported for any number of images, where those of
      ``folded()`` cannot;
    - ``kernel_layers()``, for the compiled kernels (:mod:`hear_edgel3.families.kernel_description`);
    - ``kernel_obstacle()`` and ``kernel_residuals()``, for those of the other kind
      (:mod:`hear_edgel3.families.kernel_residuals`), with ``kernel_picture()`` if it sees pictures of the images;
    - what :class:`SelectingNet` has.
    """

    @property
    def embedding_size(self) -> int:
        """The values that it puts out for each image."""

    @property
    def example_shape(self) -> tuple[int, int]:
        """The mel bands and the frames of an image to trace it with; other images may have other sizes."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Computes embeddings.

        Args:
            images: (n, n_mels, n_frames) float32, as the family's front end makes them.

        Returns:
            (n, embedding_size) in the type of the parameters.
        """


@runtime_checkable
class SelectingNet(Net, Protocol):
    """A net with a choice of what it puts out. A teacher that tags must have it."""

    @property
    def variant(self) -> tuple[object, ...]:
        """What is chosen now; whoever keeps something made from the net compares it."""

    def adding(self, *names: str) -> AbstractContextManager[None]:
        """Makes it put out further features behind the chosen ones, for as long as the block runs."""


class StudentOptions(Protocol):
    """What a student's family reads of the options of a distillation."""

    @property
    def width_mult(self) -> float:
        """The factor of all channel counts, relative to the family's own measure."""

    @property
    def sample_rate(self) -> int:
        """The rate in Hz that was asked for."""

    @property
    def bands(self) -> int:
        """The mel bands: those that were asked for, or the family's own number."""

    @property
    def embedding(self) -> str:
        """What it puts out: "teacher", the approximation of the teacher's embedding, or "own", its own layers."""


class Student(Protocol):
    """How nets of a family are distilled. A family's own class inherits from this one, for what it leaves out.

    Attributes:
        title: What a net of the family is called in summaries.
        n_mels: The mel bands where none are asked for.
        approximation: The name of the layer whose outputs approximate the teacher's embedding, a linear map or a
            convolution with bias. Whatever follows it lets positive factors and added constants through.
        tags: Whether its nets learn the teacher's logits too.
        window_ms: The only length of the clips that its nets learn from, because they embed windows of it that may
            reach beyond a clip's ends; None if they take clips of any length in one piece.
    """

    title: str
    n_mels: int
    approximation: str
    tags: bool = False
    window_ms: float | None = None

    def settle(self, options: StudentOptions) -> Mapping[str, Any]:  # noqa: ARG002
        """Checks the options that concern the family.

        Returns:
            The options that must have other values than were asked for, by name.

        Raises:
            InvalidOption: An option has a value that the family cannot use.
        """
        return {}

    def architecture(
        self, options: StudentOptions, embedding_size: int | None, n_classes: int | None
    ) -> dict[str, Any]:
        """The arguments of the family's architecture function.

        Args:
            options: The settled options.
            embedding_size: The values of the approximation; None for the published net of a family whose nets can be
                without it, where ``options.embedding`` is "own".
            n_classes: The size of the logits that it learns; None for none, as always where it does not tag.
        """

    def prepare(self, net: Any) -> None:  # noqa: ARG002
        """Makes a new net put out what it learns: the approximation, and the logits behind it if it has classes."""
        return

    def expect(self, net: Any, probabilities: torch.Tensor) -> None:  # noqa: ARG002
        """Makes a new net begin with the classes' mean probabilities (n_classes,); called for nets that tag only."""
        return

    def default_features(self, options: StudentOptions) -> str:  # noqa: ARG002
        """The words that choose the embedding of the published net; none where there is no choice."""
        return ""

    def describe(self, options: StudentOptions) -> str:
        """What tells the family's nets apart, for the summary: "width 0.4", for example."""
        return f"width {options.width_mult:g}"


class Pruner(Protocol):
    """How nets of a family are made smaller by leaving channels out.

    What can be left out are groups of channels that no other layer but the next one sees. A group has a name; its
    channels are left out by eights, which suits processors.
    """

    def problem(self, row: Checkpoint, features: Features) -> str | None:
        """Why the net of a row of the family cannot be pruned and give the same features; None if it can."""

    def sizes(self, row: Checkpoint) -> Mapping[str, int]:
        """The channels of every group of the net of a row."""

    def groups(self, net: Any) -> Mapping[str, torch.nn.Module]:
        """The modules whose outputs (n, channels, ...) are the groups, by name."""

    def floors(self, sizes: Mapping[str, int], share: float) -> Mapping[str, int]:
        """The fewest channels that must stay of each group when a net keeps ``share`` of its parameters.

        Groups that it does not name may be cut down to eight.
        """

    def architecture(self, row: Checkpoint, sizes: Mapping[str, int]) -> dict[str, Any]:
        """The arguments of the family's architecture function for a net like a row's with groups of other sizes.

        Args:
            row: That of the net that is pruned.
            sizes: The channels of every group.
        """

    def select(self, net: Any, keep: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The state of the smaller net: the parameters of the channels that stay.

        Args:
            net: The net that is pruned.
            keep: (kept,) The channels of every group that stay, ascending, int64.
        """

    def refit(self, teacher: Any, net: Any, keep: Mapping[str, torch.Tensor], images: Sequence[torch.Tensor]) -> None:
        """Fits the linear layers behind pruned groups by least squares, so that they make up for what is missing.

        Args:
            teacher: The net that was pruned, in eval mode.
            net: The smaller net, in eval mode, with what :meth:`select` gave; its parameters are changed.
            keep: As for :meth:`select`.
            images: Batches (n, n_mels, n_frames) to fit on.
        """


def _one_form(name: str) -> str:
    return name


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """All that the rest of the package needs of a family. The table names one of these for each.

    Attributes:
        name: The name that rows, folders and options call it by.
        rows: Its published checkpoints, in the order in which they are listed.
        architecture: The fields of a row that follow from the net's shape, which it takes as keyword arguments of plain
            values. A folder that holds a net made here keeps these arguments.
        check_architecture: Raises ValueError, TypeError or KeyError if such arguments, read from a file, cannot be.
        canonical: Translates other names of its configurations to ours, and hands on those that are not its own.
        read_upstream: Reads an authors' file, given its bytes, how to call it in errors, and the row that it is said
            to be, to the state dict of that row's net. Raises WeightsCorrupt or WeightsMismatch.
        student: Makes what knows how its nets are distilled; None if they cannot be.
        pruner: Makes what knows how its nets are pruned; None if they cannot be.
        with_classes: Makes the fields of a row that are other ones if its net was trained further on so many classes of
            its own; None if nets of this family have no classifier.
        settings: The arguments of the net that change its results and that no tensor shows, which
            ``check_architecture`` must be able to check alone. Converted weights carry them, and are refused if they do
            not, or have others than the row; those of a net with classes of its own are its own. Of a net that learns
            here they are what its attributes of these names say when its parameters are best.
        heads: The linear heads that its authors published for its nets.
        shape: Gives the arguments of ``architecture`` that made a row, as plain values, so that a folder can keep a net
            that was published; None if folders cannot hold nets of this family.
        head_words: The words of the features that heads of one's own are on, where none are chosen; empty for the
            default ones.
    """

    name: str
    rows: tuple[Published, ...]
    architecture: Callable[..., dict[str, Any]]
    check_architecture: Callable[[Mapping[str, Any]], None]
    read_upstream: Callable[[bytes, str, Published], dict[str, torch.Tensor]]
    canonical: Callable[[str], str] = _one_form
    student: Callable[[], Student] | None = None
    pruner: Callable[[], Pruner] | None = None
    with_classes: Callable[[Checkpoint, int], dict[str, Any]] | None = None
    settings: tuple[str, ...] = ()
    heads: tuple[PublishedHead, ...] = ()
    shape: Callable[[Checkpoint], dict[str, Any]] | None = None
    head_words: str = ""
