"""The errors of hear_edgel3: one class per kind of failure, all under :class:`HearEdgeL3Error`.

Each message names the input, says what was wrong with it and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping


class HearEdgeL3Error(Exception):
    """Base of every error this package raises on purpose."""


class UnknownConfiguration(HearEdgeL3Error, LookupError):
    """No configuration has the name that was asked for."""


class ConfigurationError(HearEdgeL3Error, ValueError):
    """A folder does not hold a configuration, or one that is damaged."""


class InvalidOption(HearEdgeL3Error, ValueError):
    """An option (hop, sample rate of a model, engine, ...) has a value that cannot be used."""


class InvalidAudio(HearEdgeL3Error, ValueError):
    """An array is not audio: wrong type or shape, not finite, empty, or too short."""


class UnknownFeatures(UnknownConfiguration, InvalidOption):
    """The words for the features of a checkpoint make no sense for it."""


class StreamFinished(HearEdgeL3Error, RuntimeError):
    """A stream of audio was fed after its end."""


class AudioFileError(HearEdgeL3Error, OSError):
    """A file could not be read as audio."""


class ComputationError(HearEdgeL3Error, RuntimeError):
    """The device could not do the work (out of memory, for example)."""


class DatasetError(HearEdgeL3Error, ValueError):
    """A folder is not a dataset of embeddings, or one that is damaged or does not fit."""


class LabelsError(HearEdgeL3Error, ValueError):
    """Labelled sounds cannot be learnt from or scored as they are: labels, numbers, splits or files make no sense."""


class ExportFailed(HearEdgeL3Error, ValueError):
    """A file for another engine does not compute there what PyTorch does, so it was not written.

    Args:
        text: What is wrong.
        report: The comparison, as plain values.

    Attributes:
        report: As given.
    """

    def __init__(self, text: str, report: Mapping[str, object] | None = None) -> None:
        super().__init__(text)
        self.report = {} if report is None else dict(report)

    def __reduce__(self) -> tuple[type[ExportFailed], tuple[str, dict[str, object]]]:
        """How it is pickled, for worker processes."""
        return type(self), (str(self), self.report)


class OutputError(HearEdgeL3Error, OSError):
    """A result could not be written."""


class WeightsNotFound(HearEdgeL3Error, FileNotFoundError):
    """No weights for a checkpoint were found in any of the places they can come from."""


class WeightsMismatch(HearEdgeL3Error, ValueError):
    """A weights file is sound, but it is not for the checkpoint that was asked for."""


class WeightsCorrupt(HearEdgeL3Error, ValueError):
    """A weights file is damaged: not the format, truncated, or not the expected checksum."""


class DownloadError(HearEdgeL3Error, OSError):
    """A file could not be fetched."""


class AudioWarning(UserWarning):
    """Audio can be read, but hardly be what was meant: channels that cancel each other, samples far beyond [-1, 1]."""


def how_to_install(extra: str) -> str:
    """The command that installs an extra of this package. It works from a clone: there is no release yet."""
    return f'pip install ".[{extra}]" in the folder of the clone'


class MissingExtra(HearEdgeL3Error, ImportError):
    """An optional dependency is not installed."""

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str, str]]:
        """How it is pickled, for worker processes."""
        return type(self), (self.purpose, self.package, self.extra)

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; install it with: {how_to_install(extra)}"
        )
        self.purpose = purpose
        self.package = package
        self.extra = extra


# What one of many inputs may raise while the next one may well succeed: torch says with a plain RuntimeError that a
# device is out of memory.
INPUT_ERRORS = (HearEdgeL3Error, RuntimeError, MemoryError)
