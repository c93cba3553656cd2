"""Small audio embedding extractors: EdgeL3, SEA and EfficientAT, exact and fast, in PyTorch.

>>> import hear_edgel3
>>> extractor = hear_edgel3.load("sea_64")
>>> embeddings, timestamps = extractor.timestamp_embeddings(audio)

``hear_edgel3.<configuration>`` (for example ``hear_edgel3.sparse_95``) is a module with the HEAR 2021 API.
Importing this package is cheap and silent; torch is imported when something that needs it is used.
"""

import importlib as _importlib

from hear_edgel3._version import __version__ as __version__
from hear_edgel3.errors import UnknownConfiguration as _UnknownConfiguration
from hear_edgel3.hear import install_finder as _install_finder
from hear_edgel3.registry.names import by_name as _by_name
from hear_edgel3.registry.names import list_configurations

_LAZY = {
    "load": "hear_edgel3.extractor.loading",
    "embed_file": "hear_edgel3.extractor.clip",
    "embed_scene": "hear_edgel3.extractor.clip",
    "load_audio": "hear_edgel3.audio.loading",
    "extract": "hear_edgel3.jobs.run",
    "tag": "hear_edgel3.tagging.tagger",
    "export": "hear_edgel3.exporting.run",
    "events": "hear_edgel3.event_detection.finder",
    "EventFinder": "hear_edgel3.event_detection.finder",
    "distill": "hear_edgel3.distillation.run",
    "train": "hear_edgel3.detectors.run",
    "evaluate": "hear_edgel3.detectors.evaluation",
    "Tagger": "hear_edgel3.tagging.tagger",
    "Extractor": "hear_edgel3.extractor.extractor",
    "TimestampContract": "hear_edgel3.extractor.contract",
    "HearEdgeL3Error": "hear_edgel3.errors",
}

# Modules for users, which are imported when somebody asks for them.
_ROOMS = ("adapters", "custom", "dataset", "edgel3", "errors", "explore", "heads", "labels", "scores", "search")

__all__ = [
    "EventFinder",
    "Extractor",
    "HearEdgeL3Error",
    "Tagger",
    "TimestampContract",
    "__version__",
    "distill",
    "embed_file",
    "embed_scene",
    "evaluate",
    "events",
    "export",
    "extract",
    "list_configurations",
    "load",
    "load_audio",
    "tag",
    "train",
]

_install_finder()


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(_importlib.import_module(_LAZY[name]), name)
    if name.startswith("_"):  # which inspection asks for, and no configuration is called
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _ROOMS:
        try:
            _by_name(name)
        except _UnknownConfiguration as error:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}: {error}") from None
    return _importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS, *list_configurations()])
