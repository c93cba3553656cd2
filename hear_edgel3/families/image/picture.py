"""Spectrograms to the pictures that nets for photographs see: a colour map, another size, each net's own numbers."""

from __future__ import annotations

import csv
import functools
import importlib.resources
from typing import Any

import torch
from torch import nn

from hear_edgel3.families.image.options import PICTURE, PictureOptions
from hear_edgel3.families.image.resizing import resize

# What nets take of red, green and blue from 0 to 255: the order of channels, what is subtracted, and what the rest is
# divided by. As Keras calls its kinds of ``preprocess_input``; "lite" is EfficientNet-Lite's.
COLOURS: dict[str, tuple[tuple[int, int, int], tuple[float, float, float], tuple[float, float, float]]] = {
    "caffe": ((2, 1, 0), (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "tf": ((0, 1, 2), (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "torch": ((0, 1, 2), (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "lite": ((0, 1, 2), (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
}
_STEPS = 255


def color_maps() -> dict[str, torch.Tensor]:
    """The colour maps, those of matplotlib: (256, 3) float32 red, green and blue from 0 to 1, by name."""
    with torch.inference_mode(False), torch.device("cpu"):
        return {name: torch.tensor(table, dtype=torch.float32) for name, table in _read_color_maps().items()}


@functools.lru_cache(maxsize=1)
def _read_color_maps() -> dict[str, list[list[float]]]:
    text = (importlib.resources.files(__package__) / "color_maps.csv").read_text("utf-8")
    rows: dict[str, list[list[float]]] = {}
    for row in csv.DictReader(text.splitlines()):
        rows.setdefault(row["map"], []).append([float(row[colour]) for colour in ("red", "green", "blue")])
    return rows


class Picture(nn.Module):
    """Spectrograms to images, differentiable, with nothing stored in the state dict.

    The least value of a spectrogram gets the first colour of the map, the greatest one the last, and what lies between
    two of its colours a mixture of them. What is the same everywhere gets the first colour. Frequencies go upwards.

    Args:
        options: As those of :class:`hear_edgel3.families.image.options.PictureOptions` that make pictures.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = PictureOptions(**options)
        self._tables: dict[torch.device, torch.Tensor] = {}
        self._table(torch.device("cpu"))

    def _table(self, device: torch.device) -> torch.Tensor:
        """(256, 3) the colour map, from 0 to 255."""
        if device not in self._tables:
            with torch.inference_mode(False), torch.device("cpu"):
                self._tables[device] = (color_maps()[self.options.color_map] * _STEPS).to(device)
        return self._tables[device]

    def forward(self, spectrograms: torch.Tensor) -> torch.Tensor:
        """Pictures.

        Args:
            spectrograms: (n, n_mels, n_frames) floating point.

        Returns:
            (n, 3, image_height, image_width) float32 red, green and blue from 0 to 255.
        """
        o = self.options
        x = spectrograms.float()
        colours = self._colours(x, *_range(x))
        # Means of colours are none that have to be clamped.
        means = o.resize_method in ("nearest", "area", "bilinear")
        images = resize(colours, o.image_height, o.image_width, o.resize_method, o.anti_alias, upwards=True)
        return images if means else images.clamp(0.0, float(_STEPS))

    def _colours(self, x: torch.Tensor, lowest: torch.Tensor, highest: torch.Tensor) -> torch.Tensor:
        """(n, 3, rows, columns) the colours of (n, rows, columns)."""
        spread = highest - lowest
        place = (x - lowest) / torch.where(spread > 0, spread, torch.ones_like(spread)) * _STEPS
        lower = place.detach().floor().nan_to_num(0.0).clamp(0, _STEPS - 1)  # what is NaN stays so by its share
        table = self._table(x.device)
        steps = torch.cat([table[:-1], table.diff(dim=0)], dim=1)  # (255, 6): a colour, and what leads to the next
        found = steps[lower.long()]
        colours = found[..., :3] + (place - lower).unsqueeze(-1) * found[..., 3:]
        return colours.permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Shown when the module is printed."""
        return ", ".join(f"{name}={getattr(self.options, name)!r}" for name in PICTURE)


def _range(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, 1, 1) the least and the greatest value of each spectrogram."""
    return x.amin(dim=(1, 2), keepdim=True), x.amax(dim=(1, 2), keepdim=True)


def normalised(images: torch.Tensor, colours: str) -> torch.Tensor:
    """Images as a net takes them.

    Args:
        images: (n, 3, height, width) red, green and blue from 0 to 255.
        colours: One of the names in :data:`COLOURS`.
    """
    order, mean, deviation = COLOURS[colours]
    if order != (0, 1, 2):
        images = images[:, list(order)]
    less, divided = (images.new_tensor(values).view(3, 1, 1) for values in (mean, deviation))
    return (images - less) / divided
