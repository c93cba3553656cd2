"""What a row of the registry holds. Plain data: nothing here imports torch or opens a file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Component:
    """Something a row builds: the place of a class or function, and its arguments.

    Attributes:
        target: "package.module:name".
        arguments: keyword arguments.
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self) -> Any:
        """The class or function itself."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)

    def build(self) -> Any:
        """Calls it with the row's arguments."""
        return self.resolve()(**self.arguments)


@dataclass(frozen=True)
class HubFile:
    """Converted weights on the Hugging Face Hub.

    Attributes:
        repo_id: "owner/name".
        filename: file in the repository.
        revision: 40-hex commit; None before the first upload.
        sha256: of the file; None before the first upload.
        size: in bytes; None before the first upload.
    """

    repo_id: str
    filename: str
    revision: str | None = None
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Upstream:
    """Where the authors published a checkpoint.

    Attributes:
        url: of the file.
        git_blob: git's id of the file's bytes, which a download must have; None if it is not known.
        licence: SPDX identifier.
        copyright: the holder.
        project: home page of the project.
        sha256: of the file; None if it is not known.
    """

    url: str
    git_blob: str | None
    licence: str
    copyright: str
    project: str
    sha256: str | None = None

    @property
    def filename(self) -> str:
        """Last part of the URL."""
        return self.url.rsplit("/", 1)[1]

    @property
    def has_checksum(self) -> bool:
        """Whether a file can be told to be the published one."""
        return self.git_blob is not None or self.sha256 is not None


@dataclass(frozen=True)
class Features:
    """What to take from a net, as a vocabulary has read it.

    Attributes:
        names: the features in the order they are put one behind the other; empty where there is no choice.
        size: values altogether.
        sizes: values of each of ``names``.
        arguments: what chooses them when the net is built.
        window: samples per timestamp window, where the words ask for others than the row's; else None.
        description: in words.
    """

    names: tuple[str, ...]
    size: int
    sizes: tuple[int, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    window: int | None = None
    description: str = ""


class Vocabulary(Protocol):
    """The words that choose features of a checkpoint."""

    def read(self, row: Checkpoint, words: str) -> Features:
        """Reads words joined by underscores, as they follow a checkpoint's name; none for the default.

        Raises:
            ValueError: they do not make sense for this checkpoint; the message says why and what would.
        """


@dataclass(frozen=True)
class OneKind:
    """The vocabulary of nets that have one kind of embedding.

    Attributes:
        size: of the embedding.
    """

    size: int

    def read(self, row: Checkpoint, words: str) -> Features:
        """The one kind.

        Raises:
            ValueError: there are words.
        """
        if words:
            raise ValueError(f"{row.name} has one kind of embedding; nothing can follow its name")
        return Features((), self.size)


@dataclass(frozen=True)
class SceneRule:
    """How the embedding of a whole clip comes about: the mean over windows.

    Attributes:
        hop_ms: distance of the windows' middles, the first at 0.
        window: samples per window; None for the window of timestamps.
        whole_up_to: clips of up to this many samples are one window, whatever their length.
    """

    hop_ms: float
    window: int | None = None
    whole_up_to: int = 0


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint: everything needed to load and describe it. It is either :class:`Published` or :class:`Local`.

    Attributes:
        name: its name here.
        family: the architecture it belongs to.
        summary: one line for lists.
        sample_rate: rate in Hz that callers feed by default; one the HEAR tools accept.
        net_sample_rate: rate in Hz of the front end and net.
        window: samples per timestamp window at the net's rate.
        net: the net, with whatever it puts out by default.
        frontend: the front end.
        vocabulary: the features there are.
        n_parameters: trained values, counted as the authors do.
        macs_10s: multiply-accumulates of the net run once over ten seconds.
        citation: what to cite.
        scene: how scene embeddings come about.
        padding: what windows see beyond the ends of a clip: "zeros", or "reflection" of the clip, for which clips that
            are too short are first followed by zeros.
        file_framing: where the windows of files lie: "hear" (as timestamp embeddings) or "edgel3" (as that library).
        file_hop_size: default distance of windows of files in seconds.
        labels: name of the list of classes that its logits are of; None if it has none.
        reported: scores its authors report, by name.
        zeros: fraction of the net's weights that are zero.
        windows_per_batch: windows that run through the net at once on a CPU; more would only cost memory.
        hop_ms: default distance of timestamp embeddings.
        default_features: words of the vocabulary that are meant when there are none.
        embedding_version: changes whenever the same audio would give other numbers.
    """

    name: str
    family: str
    summary: str
    sample_rate: int
    net_sample_rate: int
    window: int
    net: Component
    frontend: Component
    vocabulary: Vocabulary
    n_parameters: int
    macs_10s: int
    citation: str
    scene: SceneRule
    padding: str = "zeros"
    file_framing: str = "hear"
    file_hop_size: float = 0.05
    labels: str | None = None
    reported: Mapping[str, float] = field(default_factory=dict)
    zeros: float = 0.0
    windows_per_batch: int = 16
    hop_ms: float = 50.0
    default_features: str = ""
    embedding_version: int = 1

    @property
    def filename(self) -> str:
        """Name of the weights file in folders and caches."""
        return f"{self.name}.safetensors"


@dataclass(frozen=True, kw_only=True)
class Published(Checkpoint):
    """A checkpoint that its authors have published in a format of their own, which ``weights_convert`` translates.

    Attributes:
        converter: function of ``weights_convert`` that reads the upstream file.
        upstream: where it comes from.
        hub: where its converted weights are.
    """

    converter: str
    upstream: Upstream
    hub: HubFile


@dataclass(frozen=True, kw_only=True)
class Local(Checkpoint):
    """A checkpoint in a folder of its own, as ``hear-edgel3 distill`` makes it.

    Attributes:
        folder: where it is.
        weights_file: the safetensors file in ``folder``.
        weights_sha256: of that file.
        licence: of the weights, in words.
        made: how it came about, as plain values: teacher, audio, seed, scores, ...
    """

    folder: Path
    weights_file: str
    weights_sha256: str
    licence: str
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weights_path(self) -> Path:
        """The weights file."""
        return self.folder / self.weights_file


@dataclass(frozen=True)
class Configuration:
    """A checkpoint and what to take from it: the thing that has a name users type.

    Attributes:
        name: as typed, for example ``sea_64`` or ``mn10_as_all_b_mel_avgs``.
        checkpoint: the row.
        features: what to take from it.
        words: those in the name that chose the features; none for the default.
    """

    name: str
    checkpoint: Checkpoint
    features: Features
    words: str = ""

    @property
    def embedding_size(self) -> int:
        """Values per embedding."""
        return self.features.size

    @property
    def window(self) -> int:
        """Samples per timestamp window at the net's rate."""
        return self.checkpoint.window if self.features.window is None else self.features.window

    @property
    def net(self) -> Component:
        """The net that puts these features out."""
        net = self.checkpoint.net
        return Component(net.target, {**net.arguments, **self.features.arguments})
