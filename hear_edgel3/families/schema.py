"""What a row of the registry holds. Plain data: nothing here imports torch or opens a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from hear_edgel3.errors import UnknownFeatures

if TYPE_CHECKING:
    from hear_edgel3.families.layers import Layers
    from hear_edgel3.heads.layout import HeadLayout

Padding = Literal["zeros", "reflection"]
FileFraming = Literal["hear", "edgel3"]


@dataclass(frozen=True)
class Component:
    """Something that a row builds.

    Attributes:
        make: The function that builds it. It imports what it needs when it is called, so that a row costs nothing.
        arguments: The keyword arguments that it is called with.
    """

    make: Callable[..., Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Any:
        """A new one, made with the row's arguments."""
        return self.make(**self.arguments)

    def __repr__(self) -> str:
        """The same in every process, unlike a function's own, which has an address."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.make.__module__}.{self.make.__qualname__}({arguments})"


@dataclass(frozen=True)
class HubFile:
    """Converted weights on the Hugging Face Hub.

    Attributes:
        repo_id: The repository, as "owner/name".
        filename: The name of the file in the repository.
        revision: The 40 hexadecimal digits of the commit; None before the first upload.
        sha256: The file's checksum; None before the first upload.
        size: The file's size in bytes; None before the first upload.
    """

    repo_id: str
    filename: str
    revision: str | None = None
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class PackagedFile:
    """A file that its authors publish inside a Python package.

    Attributes:
        distribution: The package's name on PyPI.
        path: The file's path in it, and where it is installed.
        extra: The extra of this package that brings it.
    """

    distribution: str
    path: str
    extra: str


@dataclass(frozen=True)
class Upstream:
    """Where the authors published a checkpoint.

    Attributes:
        url: The address of the file, or of the package (a wheel) that it is in.
        git_blob: The id that git gives to the file's bytes, which a download must have; None if it is not known.
        licence: The SPDX identifier of the licence; or words, where none is stated.
        copyright: The holder of the copyright.
        project: The home page of the project.
        sha256: The checksum of the file; None if it is not known.
        packaged: What the file is inside of a package; None if it is published by itself.
        md5: The older checksum, where its authors tell no other; None if it is not known.
    """

    url: str
    git_blob: str | None
    licence: str
    copyright: str
    project: str
    sha256: str | None = None
    packaged: PackagedFile | None = None
    md5: str | None = None

    @property
    def filename(self) -> str:
        """The last part of the URL."""
        return self.url.rsplit("/", 1)[1]

    @property
    def states_licence(self) -> bool:
        """Whether the authors say under which licence the file is."""
        return " " not in self.licence

    @property
    def checksums(self) -> dict[str, str]:
        """The checksums that are known, by name: git_blob, sha256, md5."""
        known = {"git_blob": self.git_blob, "sha256": self.sha256, "md5": self.md5}
        return {name: value for name, value in known.items() if value is not None}

    @property
    def has_checksum(self) -> bool:
        """Whether a file can be told to be the published one."""
        return bool(self.checksums)


@dataclass(frozen=True)
class Features:
    """What to take from a net, as a vocabulary has read it.

    Attributes:
        names: The features in the order they are put one behind the other; empty where there is no choice.
        size: The number of values altogether.
        sizes: The number of values of each of ``names``.
        arguments: The arguments that choose them when the net is built.
        window_ms: The length of timestamp windows, where the words ask for another than the row's; else None.
        description: The features in words.
        frontend: The arguments that the words change when the front end is built.
        kernels: Whether the engine "numba" can make these features, if it has kernels for the net.
        bands: Where features are means over time in several bands: of each of ``names`` how many bands, whose values
            stand side by side; 1 for a feature without. Empty where none has bands.
    """

    names: tuple[str, ...]
    size: int
    sizes: tuple[int, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    window_ms: float | None = None
    description: str = ""
    frontend: Mapping[str, Any] = field(default_factory=dict)
    kernels: bool = True
    bands: tuple[int, ...] = ()


class Vocabulary(Protocol):
    """The words that choose features of a checkpoint. A net with classes has the word "logits"."""

    def read(self, row: Checkpoint, words: str) -> Features:
        """Reads words joined by underscores, as they follow a checkpoint's name; none for the default.

        Raises:
            UnknownFeatures: They do not make sense for this checkpoint; the message says why and what would.
        """


@dataclass(frozen=True)
class OneKind:
    """The vocabulary of nets that have one kind of embedding.

    Attributes:
        size: The number of values of the embedding.
    """

    size: int

    def read(self, row: Checkpoint, words: str) -> Features:
        """The one kind.

        Raises:
            UnknownFeatures: There are words.
        """
        if words:
            raise UnknownFeatures(f"{row.name} has one kind of embedding; nothing can follow its name")
        return Features((), self.size)


def samples_in(milliseconds: float, sample_rate: int) -> int:
    """The whole samples in a duration at a rate in Hz, computed exactly."""
    return int(Fraction(milliseconds) * sample_rate / 1000)


@dataclass(frozen=True, kw_only=True)
class SceneRule:
    """How the embedding of a whole clip comes about: as the mean over windows, or as one of the whole clip.

    Attributes:
        sample_rate: The net's rate in Hz, in which ``window`` and ``whole_up_to`` count.
        hop_ms: The distance of the windows' middles, of which the first is at 0.
        window_ms: The length of a window; None for that of timestamps.
        whole_up_to_ms: The longest clip that is one window, whatever its length; 0 if there is none.
        segments: Whether windows lie one behind the other from 0 on instead, ``window_ms`` each, which ``hop_ms`` must
            be too, up to the first that reaches the clip's end. Zeros follow behind it, and in the mean it counts for
            the share of it that the clip fills.
    """

    sample_rate: int
    hop_ms: float
    window_ms: float | None = None
    whole_up_to_ms: float = 0.0
    segments: bool = False

    @property
    def window(self) -> int | None:
        """The samples of a window; None for the window of timestamps."""
        return None if self.window_ms is None else samples_in(self.window_ms, self.sample_rate)

    @property
    def whole_up_to(self) -> int:
        """The samples of the longest clip that is one window."""
        return samples_in(self.whole_up_to_ms, self.sample_rate)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint: everything needed to load and describe it. It is either :class:`Published` or :class:`Local`.

    Attributes:
        name: Its name here.
        family: The name of its family in the table.
        summary: One line for lists.
        sample_rate: The rate in Hz that callers feed by default; one that the HEAR tools accept.
        net_sample_rate: The rate in Hz of the front end and the net.
        window_ms: The length of a timestamp window.
        net: The net, with whatever it puts out by default.
        frontend: The front end.
        vocabulary: The features there are.
        n_parameters: The number of trained values, counted as the authors do.
        macs_10s: The multiply-accumulates of the net run once over ten seconds.
        citation: What to cite.
        scene: How scene embeddings come about.
        padding: What windows see beyond the ends of a clip: "zeros", or "reflection" of the clip, for which clips that
            are too short are first followed by zeros.
        file_framing: Where the windows of files lie: "hear" (as those of timestamp embeddings) or "edgel3" (as in that
            library).
        file_hop_ms: The default distance of the windows of files.
        n_classes: The size of its logits; None if it has none.
        labels: The name of the list of classes that its logits are of; None if it has none.
        reported: The scores that its authors report, by name.
        zeros: The fraction of the net's weights that are zero.
        windows_per_batch: The number of windows that run through the net at once on a CPU; more would only cost memory.
        hop_ms: The default distance of timestamp embeddings.
        default_features: The words of the vocabulary that are meant when there are none.
        embedding_version: A number that changes whenever the same audio would give other numbers.
        layers: What the net does, for what it costs; None if its family does not tell.
        kernels: Whether the engine "numba" has kernels for the net, or for its front end; not for all words, perhaps.
    """

    name: str
    family: str
    summary: str
    sample_rate: int
    net_sample_rate: int
    window_ms: float
    net: Component
    frontend: Component
    vocabulary: Vocabulary
    n_parameters: int
    macs_10s: int
    citation: str
    scene: SceneRule
    padding: Padding = "zeros"
    file_framing: FileFraming = "hear"
    file_hop_ms: float = 50.0
    n_classes: int | None = None
    labels: str | None = None
    reported: Mapping[str, float] = field(default_factory=dict)
    zeros: float = 0.0
    windows_per_batch: int = 16
    hop_ms: float = 50.0
    default_features: str = ""
    embedding_version: int = 1
    layers: Layers | None = None
    kernels: bool = False

    @property
    def window(self) -> int:
        """The samples of a timestamp window at the net's rate."""
        return samples_in(self.window_ms, self.net_sample_rate)

    @property
    def file_hop_size(self) -> float:
        """The default distance of the windows of files in seconds."""
        return self.file_hop_ms / 1000

    @property
    def filename(self) -> str:
        """The name of the weights file in folders and caches."""
        return f"{self.name}.safetensors"

    @property
    def tags(self) -> bool:
        """Whether its outputs have names: it tells classes, or guesses numbers."""
        return self.labels is not None

    @property
    def only_window_ms(self) -> float | None:
        """The only length of the windows that it is meant for; None if it takes any."""
        any_length = self.scene.window_ms is not None or self.scene.whole_up_to_ms > 0
        return None if any_length else self.window_ms


@dataclass(frozen=True, kw_only=True)
class Published(Checkpoint):
    """A checkpoint that its authors have published in a format of their own, which its family can read.

    Attributes:
        upstream: Where the authors' file is.
        hub: Where the converted weights are.
    """

    upstream: Upstream
    hub: HubFile


Targets = Literal["single", "several", "numbers"]


@dataclass(frozen=True)
class PublishedHead:
    """A linear head that the authors of a net published for it: classes of a data set, told by an embedding.

    Attributes:
        name: Its name here.
        checkpoint: The name of the only checkpoint that it fits.
        words: The words of the embedding that it is on.
        data: What it was trained on.
        n_classes: The number of its classes, which have numbers and no names: none were published.
        targets: How its logits are read.
        url: The address of the file.
        licence: As for :class:`Upstream`.
        citation: What to cite.
        read: Reads the file's bytes, given how to call it in errors, to a weight (n_classes, D) and a bias (n_classes,)
            in float32. Raises WeightsCorrupt or WeightsMismatch.
    """

    name: str
    checkpoint: str
    words: str
    data: str
    n_classes: int
    targets: Targets
    url: str
    licence: str
    citation: str
    read: Callable[[bytes, str], tuple[Any, Any]]


# What checkpoints in folders are called to which nobody gave a name.
UNNAMED = "custom"


@dataclass(frozen=True, kw_only=True)
class Local(Checkpoint):
    """A checkpoint in a folder of its own, as ``hear-edgel3 distill`` and ``train`` make it.

    One that was trained on labels of somebody's own, a detector, has ``classes``; what comes behind them says nothing
    without.

    Attributes:
        folder: The folder that it is in.
        weights_file: The name of the safetensors file in ``folder``.
        weights_sha256: The checksum of that file.
        licence: The licence of the weights, in words.
        made: How it came about, as plain values: teacher, audio, seed, scores, and so on.
        classes: The names of its own classes, or of the numbers that it guesses, in the order of its outputs.
        targets: What its outputs are: "single" (logits of classes of which one is right; softmax), "several" (logits of
            classes of which any number are; sigmoid) or "numbers".
        head: The shape of the head on its embedding; None if its outputs are those of the net's own classifier.
        temperature: What logits are divided by before they become probabilities.
        thresholds: For each class the probability from which on it is said, None for a class without one; or None.
    """

    folder: Path
    weights_file: str
    weights_sha256: str
    licence: str
    made: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    targets: Targets = "single"
    head: HeadLayout | None = None
    temperature: float = 1.0
    thresholds: tuple[float | None, ...] | None = None

    @property
    def tags(self) -> bool:
        """Whether its outputs have names."""
        return bool(self.classes) or super().tags

    @property
    def weights_path(self) -> Path:
        """The path of the weights file."""
        return self.folder / self.weights_file


@dataclass(frozen=True)
class Configuration:
    """A checkpoint and what to take from it: the thing that has a name users type.

    Attributes:
        name: Its name as typed, for example ``sea_64`` or ``mn10_as_all_b_mel_avgs``.
        checkpoint: The row.
        features: What to take from it.
        words: The words in the name that chose the features; none for the default.
    """

    name: str
    checkpoint: Checkpoint
    features: Features
    words: str = ""

    @property
    def embedding_size(self) -> int:
        """The number of values per embedding."""
        return self.features.size

    @property
    def window(self) -> int:
        """The samples of a timestamp window at the net's rate."""
        return samples_in(self.window_ms, self.checkpoint.net_sample_rate)

    @property
    def window_ms(self) -> float:
        """The length of a timestamp window."""
        return self.checkpoint.window_ms if self.features.window_ms is None else self.features.window_ms

    @property
    def kernels(self) -> bool:
        """Whether the engine "numba" has kernels for the net that puts these features out, or for its front end."""
        return self.checkpoint.kernels and self.features.kernels

    @property
    def net(self) -> Component:
        """The net that puts these features out."""
        net = self.checkpoint.net
        return Component(net.make, {**net.arguments, **self.features.arguments})

    @property
    def frontend(self) -> Component:
        """The front end that these features are taken with."""
        frontend = self.checkpoint.frontend
        return Component(frontend.make, {**frontend.arguments, **self.features.frontend})
