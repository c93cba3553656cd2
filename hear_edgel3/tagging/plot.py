"""Draws what was heard over time, under the spectrogram. Needs matplotlib (the extra ``plot``)."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hear_edgel3._extras import require
from hear_edgel3.audio.channels import MEAN
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.audio.rates import check_rate
from hear_edgel3.audio.resample import resample_blocks
from hear_edgel3.disk.atomic import atomic_write
from hear_edgel3.disk.paths import text_of
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.scores.names_drawn import EXPLAINED, by_number, drawn_names
from hear_edgel3.tagging.reading import order
from hear_edgel3.tagging.records import value_name
from hear_edgel3.tagging.tags import ClipTags

FORMATS = (".png", ".pdf", ".svg")
_COLUMNS = 1600  # more cannot be seen
_STRETCH_S = 10


def require_matplotlib() -> Any:
    """Matplotlib's figure module.

    Raises:
        MissingExtra: it is not installed.
    """
    return require("matplotlib.figure", "drawing tags", "plot")


def check_plot(path: str | os.PathLike[str]) -> None:
    """Finds out before the work that nothing could be drawn.

    Raises:
        InvalidOption: the file's ending is of no known format.
        MissingExtra: matplotlib is not installed.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise InvalidOption(f"cannot draw {path}: the name must end in one of {', '.join(FORMATS)}")
    require_matplotlib()


def draw_tags(
    source: str | os.PathLike[str],
    tags: ClipTags,
    extractor: Extractor,
    target: str | os.PathLike[str],
    top: int = 10,
    channel: int | str = MEAN,
) -> None:
    """Draws the spectrogram of a file and, under it, the probabilities of its most probable classes over time.

    Args:
        source: the audio file.
        tags: what was heard in it.
        extractor: the net whose front end makes the spectrogram.
        target: .png, .pdf or .svg file.
        top: how many classes, by their highest probability in any window.
        channel: what of the file's channels: "mean" of all, or the number of one, from 0.

    Raises:
        InvalidOption: the format is not known.
        MissingExtra: matplotlib is not installed.
        AudioFileError: the source cannot be read.
        OutputError: the target cannot be written; no part of a file is left.
    """
    check_plot(target)
    spectrogram = _spectrogram(source, extractor, tags.duration, channel)
    classes = order(tags.outputs, tags.logits.max(axis=0))[:top]
    figure = require_matplotlib().Figure(figsize=(10, 3 + 0.28 * len(classes)), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 0.28 * len(classes) + 0.4))
    upper.imshow(
        spectrogram, origin="lower", aspect="auto", extent=(0, tags.duration, 0, len(spectrogram)), cmap="magma"
    )
    upper.set_ylabel("mel band")
    upper.set_title(f"{_printable(Path(source).name)}: {', '.join(tags.configurations)}", parse_math=False)
    edges, table = _timeline(tags, classes)
    limits = {} if tags.outputs.are_numbers else {"vmin": 0, "vmax": 1}
    mesh = lower.pcolormesh(edges, np.arange(len(classes) + 1), table.T, cmap="viridis", **limits)
    names = [label.name for label in tags.labels]
    numbers = by_number(names)
    drawn = drawn_names(names, numbers)
    lower.set_yticks(np.arange(len(classes)) + 0.5, [drawn[i] for i in classes])
    lower.invert_yaxis()
    lower.set_xlabel(f"seconds ({EXPLAINED})" if any(i + 1 in numbers for i in classes) else "seconds")
    lower.set_xlim(0, tags.duration)
    figure.colorbar(mesh, ax=lower, label=value_name(tags.outputs))
    # rendered in memory first, so that a failure leaves nothing behind
    image = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of characters in file names that the font lacks
        figure.savefig(image, format=Path(target).suffix.lower().lstrip("."), dpi=120)
    with atomic_write(Path(target)) as file:
        file.write(image.getvalue())


def _printable(name: str) -> str:
    """A file name as text that can be drawn: it may hold bytes that are no text, and control characters."""
    return "".join(c if c.isprintable() else "?" for c in text_of(name))


def _timeline(tags: ClipTags, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges (m + 1,) in seconds and probabilities (m, len(classes)), the mean over the windows that see a stretch."""
    probabilities = tags.probabilities[:, classes].astype(np.float64)
    starts, ends = tags.starts, np.minimum(tags.ends, tags.duration)
    edges = np.unique(np.concatenate([starts, ends]))
    if len(edges) < 2:
        return np.array([0.0, max(tags.duration, 1e-3)]), probabilities[:1]
    # What begins and ends at each edge, summed up from left to right: linear in the number of windows.
    change = np.zeros((len(edges), len(classes) + 1))
    each = np.concatenate([probabilities, np.ones((len(starts), 1))], axis=1)
    np.add.at(change, np.searchsorted(edges, starts), each)
    np.subtract.at(change, np.searchsorted(edges, ends), each)
    sums = np.cumsum(change, axis=0)[:-1]
    count = np.rint(sums[:, -1:])
    table = np.where(count > 0, sums[:, :-1] / np.maximum(count, 1), np.nan)  # nan between windows that do not touch
    return edges, table


def _spectrogram(
    source: str | os.PathLike[str], extractor: Extractor, duration: float, channel: int | str = MEAN
) -> np.ndarray:
    """(n_mels, some 1600 columns at most) of the front end, made in stretches: memory does not grow with the file."""
    frontend: Any = extractor.frontend
    rate = extractor.net_sample_rate
    device = next(extractor.net.parameters()).device
    per_column = max(1, round(duration * rate / frontend.hop_length / _COLUMNS))
    columns: list[np.ndarray] = []
    frames = np.zeros((0, 0), np.float32)
    for stretch in _stretches(source, rate, channel):
        with torch.no_grad():
            new = frontend(stretch[None].to(device))[0].cpu().numpy()
        frames = new if not frames.size else np.concatenate([frames, new], axis=1)
        whole = frames.shape[1] // per_column * per_column
        if whole:
            columns.append(frames[:, :whole].reshape(len(frames), -1, per_column).mean(axis=2))
            frames = frames[:, whole:]
    if frames.shape[1]:
        columns.append(frames.mean(axis=1, keepdims=True))
    return np.concatenate(columns, axis=1)


def _stretches(source: str | os.PathLike[str], rate: int, channel: int | str = MEAN) -> Any:
    held, out = torch.zeros(0), False
    with AudioFile(source, channel=channel) as file:
        for block in resample_blocks(file.blocks(watch=False), check_rate(file.sample_rate), rate):
            held = torch.cat([held, block.float()])
            while len(held) >= _STRETCH_S * rate:
                out = True
                yield held[: _STRETCH_S * rate]
                held = held[_STRETCH_S * rate :]
    if len(held) or not out:  # one stretch at least, of a clip too short for a sample at this rate
        yield held
