"""What a row of the registry holds. Plain data: nothing here imports torch or opens a file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
        git_blob: git's id of the file's bytes, which a download must have.
        licence: SPDX identifier.
        copyright: the holder.
        project: home page of the project.
    """

    url: str
    git_blob: str
    licence: str
    copyright: str
    project: str

    @property
    def filename(self) -> str:
        """Last part of the URL."""
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Checkpoint:
    """One published checkpoint: everything needed to load, verify and describe it.

    Attributes:
        name: its name here.
        family: the architecture it belongs to.
        summary: one line for lists.
        sample_rate: rate in Hz that callers feed by default; one the HEAR tools accept.
        net_sample_rate: rate in Hz of the front end and net.
        window: samples per window at the net's rate.
        net: the net.
        frontend: the front end.
        embedding_size: values per embedding.
        n_parameters: trained values, batch norm statistics included.
        converter: function of ``weights_convert`` that reads the upstream file.
        upstream: where it comes from.
        hub: where its converted weights are.
        citation: what to cite.
        reported: figures its authors report, or None.
        windows_per_batch: windows that run through the net at once on a CPU; more would only cost memory.
        hop_ms: default distance of timestamp embeddings.
        scene_hop_ms: distance of the windows that a scene embedding averages.
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
    embedding_size: int
    n_parameters: int
    converter: str
    upstream: Upstream
    hub: HubFile
    citation: str
    reported: str | None = None
    windows_per_batch: int = 16
    hop_ms: float = 50.0
    scene_hop_ms: float = 250.0
    embedding_version: int = 1

    @property
    def filename(self) -> str:
        """Name of the converted weights file in folders and caches."""
        return f"{self.name}.safetensors"


@dataclass(frozen=True)
class Configuration:
    """A checkpoint and what to take from it: the thing that has a name users type.

    Attributes:
        name: as typed, for example ``sea_64``.
        checkpoint: the row.
    """

    name: str
    checkpoint: Checkpoint
