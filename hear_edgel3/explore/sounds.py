"""How a page comes by the sound of a clip: by a relative link, or by a preview inside the page."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from urllib.parse import quote

import torch

from hear_edgel3.dataset.dataset import Dataset
from hear_edgel3.disk.paths import path_of_text, real_path, text_of_path
from hear_edgel3.explore.spectrograms import RATE

# What Chromium, Firefox and Safari all play.
_PLAYABLE = frozenset(".wav .wave .flac .mp3 .ogg .oga .opus".split())


def audio_path(file: str, folder: str | os.PathLike[str] | None) -> Path:
    """The file that a clip's name means.

    Args:
        file: The name of the file, as the dataset has it.
        folder: The folder that relative names are relative to; None for the current folder.
    """
    return path_of_text(file if folder is None else os.path.join(text_of_path(folder), file))


def in_place_of(page: Path, dataset: Dataset, folder: str | os.PathLike[str] | None) -> list[Path]:
    """The sounds of a dataset that may be the file that a page is to replace: those that are called as it is.

    Args:
        page: Where the page is to be.
        dataset: The dataset.
        folder: As for :func:`audio_path`.

    Raises:
        DatasetError: A part of it is damaged.
    """
    if not page.is_file():
        return []
    called = {text_of_path(page.name), text_of_path(os.path.basename(real_path(page)))}
    names = (name for batch in dataset.batches(["file"]) for name in batch.column(0).unique().to_pylist())
    return [audio_path(name, folder) for name in names if name is not None and os.path.basename(name) in called]


def link(path: Path, page: Path) -> str:
    """A file's address as seen from the page, percent-encoded byte by byte: a name may hold any of them."""
    try:
        relative = os.path.relpath(path, page.parent)
    except ValueError:  # on another drive
        return path.absolute().as_uri()
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def fragment(span: tuple[float, float | None] | None) -> str:
    """What an address ends in for a clip to be played, and not its whole file (W3C, Media Fragments URI 1.0)."""
    if span is None:
        return ""
    start, end = span
    return f"#t={start:.6g}" if end is None else f"#t={start:.6g},{end:.6g}"


def is_playable(path: Path) -> bool:
    """Whether browsers play files with this ending."""
    return path.suffix.lower() in _PLAYABLE


def preview(samples: torch.Tensor) -> str:
    """Samples as the address of a sound that is inside it: MP3, or Vorbis where libsndfile is too old for that.

    Args:
        samples: (n,) float32 at :data:`~hear_edgel3.explore.spectrograms.RATE`.
    """
    import soundfile

    container, subtype, kind = ("OGG", "VORBIS", "audio/ogg")
    if "MP3" in soundfile.available_formats():
        container, subtype, kind = ("MP3", "MPEG_LAYER_III", "audio/mpeg")
    file = io.BytesIO()
    soundfile.write(file, samples.clamp(-1, 1).numpy(), RATE, format=container, subtype=subtype)
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
