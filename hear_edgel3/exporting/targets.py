"""The targets by name. A new one is one module here and one line in this table, which imports nothing."""

from __future__ import annotations

import importlib
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from hear_edgel3._checks import check_word
from hear_edgel3.errors import ConfigurationError
from hear_edgel3.exporting.folders import folder_target

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hear_edgel3.exporting.program import Program

MODULES = {
    "onnx": "hear_edgel3.exporting.onnx",
    "openvino": "hear_edgel3.exporting.openvino",
    "web": "hear_edgel3.exporting.web",
    "c": "hear_edgel3.exporting.c",
    "litert": "hear_edgel3.exporting.litert",
    "executorch": "hear_edgel3.exporting.executorch",
}


class Session(Protocol):
    """A file that was written, opened by its own engine."""

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """What the file puts out, by name, each (n, ...) float32.

        Args:
            x: (n, samples) float32, or images (n, n_mels, n_frames) for a file without the front end.
        """


class Target(Protocol):
    """What the module of a target has. It imports torch only where it writes.

    Attributes:
        EXTRA: The extra of this package that brings what it needs.
        SUFFIX: What its files end in, or folders where nobody says otherwise.
        FOLDER: Whether it writes a folder, which has its card in it as :mod:`hear_edgel3.exporting.folders` says.
        PARTS: The parts of a configuration that it takes (:mod:`hear_edgel3.exporting.card`).
        ENGINE: What runs them, for reports.
        FLOAT64: Whether that computes in float64.
        INT8: Whether there are files in eight bits; those that have none need no ``quantize``.
        TOLERANCES: By the kind of sound (:class:`hear_edgel3.exporting.clips.ProofClip`), the largest difference from
            PyTorch in float64 that is let through, as a fraction of the largest value; under "" that of kinds without.
        BESIDE: What else than a file's own ending files have that belong to it, and lie beside it under the same name;
            those that write one file, or a folder, need not have it.
        FIXED_S: Of those whose files take one window at a time, and of one length only: its seconds, where nobody says
            otherwise and the net takes others; those that take any need not have it.
        HINT: What to do with what was written, with ``{path}`` in it, where a shell shall find it; those that
            say nothing need not have it.
    """

    EXTRA: str
    SUFFIX: str
    FOLDER: bool
    PARTS: tuple[str, ...]
    ENGINE: str
    FLOAT64: bool
    INT8: bool
    TOLERANCES: Mapping[str, float]

    def check_installed(self) -> None:
        """Raises MissingExtra, InvalidOption or DownloadError if something that it needs is not there."""

    def write(self, program: Program, path: Path) -> None:
        """Writes a program, with its card."""

    def quantize(self, program: Program, source: Path, path: Path, inputs: Sequence[torch.Tensor]) -> dict[str, Any]:
        """Writes a file in eight bits.

        Args:
            program: What it is.
            source: The same in float, written before.
            path: The file.
            inputs: Sounds to measure on, batches as the program takes them.

        Returns:
            Its card, with ``quantization``: "method" ("static", weights and activations; or "weights"), and of weights
            "in_float", the blocks that are not in eight bits.
        """

    def open_file(self, path: Path, threads: int | None = 1) -> Session:
        """Opens a file in the engine, on so many threads, or as many as it likes."""

    def engine_version(self) -> str:
        """The version of the engine."""

    def size_of(self, path: Path) -> int:
        """The bytes of what is put on a device."""

    def read_card(self, path: Path) -> dict[str, Any]:
        """The card in a file.

        Raises:
            ConfigurationError: It is not a file that was exported here, or damaged.
        """

    def describe(self, path: Path, card: Mapping[str, Any]) -> dict[str, Any]:
        """What a file consists of and costs: operators, parameters and macs, at least."""


def target_of(name: str) -> Target:
    """A target by its name.

    Raises:
        InvalidOption: There is none.
    """
    check_word(name, "to", MODULES)
    return cast(Target, importlib.import_module(MODULES[name]))


def tolerance_of(target: Target, kind: str) -> float:
    """The largest difference that is let through for sounds of a kind, as a fraction of the largest value."""
    return target.TOLERANCES.get(kind, target.TOLERANCES[""])


def files_of(target: Target, path: Path) -> list[Path]:
    """The files that a target writes, the given one last: whoever sees it sees all of them."""
    return [*(path.with_suffix(ending) for ending in getattr(target, "BESIDE", ())), path]


def fixed_s_of(target: Target) -> float | None:
    """The seconds of windows of a target whose files take one of one length only; None for those that take any."""
    found: float | None = getattr(target, "FIXED_S", None)
    return found


def hint_of(target: Target, path: Path) -> str | None:
    """What to do with what was written, in a line; None if there is nothing to say."""
    hint: str | None = getattr(target, "HINT", None)
    return None if hint is None else hint.format(path=shlex.quote(str(path)))


def target_of_file(path: str | os.PathLike[str]) -> str | None:
    """The name of the target whose file something may be, by its ending, or whose folder; None if it is no such.

    Raises:
        ConfigurationError: It is a folder that was exported for a target that there is not.
    """
    if os.path.isdir(path):
        found = folder_target(Path(path))
        if found is not None and found not in MODULES:
            raise ConfigurationError(
                f"{Path(path)} says that it was exported for {found!r}, which this version of hear_edgel3 does not "
                "know; it is damaged, or of another version"
            )
        return found
    if not os.path.isfile(path):
        return None
    ending = Path(path).suffix.lower()
    files = (name for name in MODULES if not target_of(name).FOLDER)
    return next((name for name in files if ending == target_of(name).SUFFIX), None)
