"""What the drop-in's functions check before the work, and remark on after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hear_edgel3._checks import check_flags, check_path
from hear_edgel3.errors import InvalidOption

if TYPE_CHECKING:
    from hear_edgel3.extractor.clip import ClipEmbedding
    from hear_edgel3.extractor.extractor import Extractor


def check_options(center: object, verbose: object, model: object = None) -> None:
    """Raises InvalidOption if one of them is not what edgel3 takes.

    Args:
        center: 0 or 1, of any type.
        verbose: 0 or 1, of any type.
        model: None, or what ``load_embedding_model`` (or ``hear_edgel3.load``) returned.
    """
    if model is not None:
        from hear_edgel3.extractor.extractor import Extractor

        if not isinstance(model, Extractor):
            raise InvalidOption(f"model must come from models.load_embedding_model, got {type(model).__name__}")
    check_flags(center=center, verbose=verbose)


def check_names(output_dir: object, suffix: object) -> None:
    """Raises InvalidOption if a result cannot be named by these.

    Args:
        output_dir: a path, or None.
        suffix: text, or None.
    """
    if output_dir is not None:
        check_path(output_dir, "output_dir", empty=True)
    if suffix is not None and not isinstance(suffix, str):
        raise InvalidOption(f"suffix must be text or None, got {suffix!r}")


def remarks(result: ClipEmbedding, model: Extractor) -> list[str]:
    """What edgel3 warns of: a silent clip, and one that is shorter than a window.

    Args:
        result: the clip's embeddings.
        model: what made them.
    """
    texts = []
    if result.silent:
        texts.append("Provided audio is all zeros")
    if result.duration < model.window / model.net_sample_rate:
        texts.append("Duration of provided audio is shorter than window size (1 second). Audio will be padded.")
    return texts
