"""One HEAR module per configuration, made when it is imported.

``import hear_edgel3.sparse_95`` finds no file of that name; the finder below then makes a module with the three
functions of the HEAR 2021 common API. It does so for configuration names and for nothing else.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hear_edgel3.errors import InvalidOption, UnknownConfiguration
from hear_edgel3.registry import names as registry

if TYPE_CHECKING:
    import torch

    from hear_edgel3.extractor.extractor import Extractor

_PACKAGE = __name__.rpartition(".")[0]


class ConfigurationFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes ``hear_edgel3.<configuration>`` importable. Asked last, so real modules come first."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a configuration's module; None for other modules.

        Raises:
            ModuleNotFoundError: an import statement names a module of this package that is no configuration; the
                message has near names. Whoever only asks (``importlib.util.find_spec``) gets None, as of any finder.
        """
        package, _, name = fullname.rpartition(".")
        if package != _PACKAGE or name.startswith("_"):
            return None
        try:
            registry.by_name(name)
        except UnknownConfiguration as error:
            if not _is_importing():
                return None
            raise ModuleNotFoundError(f"No module named {fullname!r}: {error}", name=fullname) from error
        return importlib.machinery.ModuleSpec(fullname, self, origin="the registry of configurations")

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """The default module object will do."""

    def exec_module(self, module: ModuleType) -> None:
        """Fills the module with the HEAR functions."""
        name = module.__name__.rpartition(".")[2]
        configuration = registry.by_name(name)

        def load_model(model_file_path: str | os.PathLike[str] = "", **options: Any) -> Extractor:
            from hear_edgel3.extractor.loading import load

            return load(name, weights=model_file_path, **options)

        load_model.__doc__ = f"""Loads {name} for HEAR.

        Args:
            model_file_path: a converted safetensors file; empty to find or fetch it.
            **options: those of :func:`hear_edgel3.load`: sample_rate, features, hop_ms, engine, ...

        Returns:
            The model, on the CPU in eval mode, with sample_rate, scene_embedding_size and timestamp_embedding_size.
        """
        load_model.__module__ = module.__name__
        described = f" Features: {configuration.features.description}." if configuration.features.description else ""
        module.__doc__ = f"HEAR module of {name}.\n\n{configuration.checkpoint.summary}.{described}"
        contents = {
            "load_model": load_model,
            "get_timestamp_embeddings": get_timestamp_embeddings,
            "get_scene_embeddings": get_scene_embeddings,
        }
        module.__dict__.update(contents, __all__=list(contents))


def _is_importing() -> bool:
    """Whether a finder is asked by an import, not by somebody who wants to know what there is.

    Both ask in the same way, and Python words the error of an import itself, so only the stack tells. Where it looks
    otherwise (another implementation of Python) the answer is no, and the error has no near names.
    """
    frame = sys._getframe(1).f_back  # what has called the finder
    while frame is not None and frame.f_globals.get("__name__") == "importlib._bootstrap":
        if frame.f_code.co_name == "_find_and_load":
            return True
        frame = frame.f_back
    return False


def install_finder() -> None:
    """Appends the finder to ``sys.meta_path``, once."""
    if not any(type(finder).__qualname__ == ConfigurationFinder.__qualname__ for finder in sys.meta_path):
        sys.meta_path.append(ConfigurationFinder())


def get_timestamp_embeddings(
    audio: torch.Tensor, model: Extractor, hop_ms: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings at regular times (HEAR 2021 common API).

    Args:
        audio: (n_sounds, n_samples) at ``model.sample_rate``, in [-1, 1].
        model: from ``load_model``, of whichever of these modules: this function is the same in all of them.
        hop_ms: milliseconds between timestamps; default the model's.

    Returns:
        (n_sounds, T, timestamp_embedding_size) float32, and (n_sounds, T) float32 timestamps in milliseconds: the
        middles of the windows, from 0 to at most the clip's duration. Both on the device of ``audio``.

    Raises:
        InvalidAudio: wrong shape or type, not finite, or too short.
        InvalidOption: the model is of another kind, or the hop is not a positive number of milliseconds.
    """
    return _checked(model).timestamp_embeddings(audio, hop_ms)


def get_scene_embeddings(audio: torch.Tensor, model: Extractor) -> torch.Tensor:
    """One embedding per clip (HEAR 2021 common API).

    Args:
        audio: (n_sounds, n_samples) at ``model.sample_rate``, in [-1, 1].
        model: from ``load_model``, of whichever of these modules: this function is the same in all of them.

    Returns:
        (n_sounds, scene_embedding_size) float32 on the device of ``audio``.

    Raises:
        InvalidAudio: wrong shape or type, not finite, or too short.
        InvalidOption: the model is of another kind.
    """
    return _checked(model).scene_embeddings(audio)


def _checked(model: object) -> Extractor:
    """Returns a model, or raises InvalidOption if ``load_model`` has not given it."""
    from hear_edgel3.extractor.extractor import Extractor

    if not isinstance(model, Extractor):
        raise InvalidOption(f"model must be what load_model() gave, got an object of type {type(model).__name__}")
    return model
