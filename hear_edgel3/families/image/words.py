"""The words that choose what is taken from a net for photographs, and how its pictures are made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hear_edgel3.errors import UnknownFeatures
from hear_edgel3.families.image.graph import Graph
from hear_edgel3.families.image.kernel_plan import plan
from hear_edgel3.families.image.nets.table import graph_of
from hear_edgel3.families.image.options import COLOR_MAPS, PRESETS, RESIZE_METHODS, PictureOptions, options_of
from hear_edgel3.families.schema import Checkpoint, Features

_SHORTEST_MS, _LONGEST_MS = 100, 60_000
_KINDS = {"preset": tuple(PRESETS), "color_map": COLOR_MAPS, "resize_method": RESIZE_METHODS}


@dataclass(frozen=True)
class ImageFeatures:
    """The vocabulary of the family, for :class:`hear_edgel3.families.schema.Checkpoint`.

    Its words are layers of the net by their names, of which several can be taken; a preset; a colour map; a method of
    resizing; and ``ts2000`` or another window in milliseconds.
    """

    def read(self, row: Checkpoint, words: str) -> Features:
        """Reads words joined by underscores.

        Raises:
            UnknownFeatures: An unknown or repeated word, or two of one kind.
        """
        arguments = dict(row.net.arguments)
        net, made = arguments.pop("net"), arguments
        graph = graph_of(net, made["image_height"], made["image_width"])
        layers: list[str] = []
        chosen: dict[str, str] = {}
        for kind, word in _split(graph, words, row.name):
            if kind == "layer":
                if word in layers:
                    raise UnknownFeatures(f"{word} is there twice")
                layers.append(word)
            elif kind in chosen:
                raise UnknownFeatures(f"it names two of one kind, {chosen[kind]} and {word}; keep one")
            else:
                chosen[kind] = word
        window = chosen.pop("window", None)
        window_ms = None if window is None else int(window[2:])
        if window_ms is not None and not _SHORTEST_MS <= window_ms <= _LONGEST_MS:
            raise UnknownFeatures(f"{window} must be from ts{_SHORTEST_MS} to ts{_LONGEST_MS} (milliseconds)")
        options = _options(made, chosen)
        names = tuple(layers) or (graph.last,)
        sizes = tuple(graph.shape(name)[0] for name in names)
        values = options.to_dict()
        return Features(
            names,
            sum(sizes),
            sizes,
            {"outputs": names, **values},
            window_ms,
            _described(names, options),
            values,
            kernels=plan(graph, names) is not None,
        )


def _options(made: Mapping[str, Any], chosen: Mapping[str, str]) -> PictureOptions:
    """The row's options, or those of a preset, with the words' own."""
    given: dict[str, Any] = dict(chosen)
    preset = given.pop("preset", None)
    base = PictureOptions(**made) if preset is None else options_of(preset, {"sample_rate": made["sample_rate"]})
    sizes = {name: made[name] for name in ("image_width", "image_height")}
    method = given.get("resize_method")
    if method is not None:
        given = {**given, "anti_alias": method != "nearest"}
    return PictureOptions(**{**base.to_dict(), **sizes, **given})


def _described(names: tuple[str, ...], options: PictureOptions) -> str:
    what = f"{options.num_mfccs} MFCCs" if options.num_mfccs else f"{options.num_mel_bins} mel bands"
    frames = f"frames of {1000 * options.stft_window_size:g} ms every {1000 * options.stft_hop_size:g} ms"
    return f"means of {', '.join(names)}; {what}, {frames}, {options.color_map}, {options.resize_method}"


def _split(graph: Graph, text: str, name: str) -> Iterator[tuple[str, str]]:
    """The kinds of words and the words, the longest first where several fit."""
    parts = text.split("_") if text else []
    i = 0
    while i < len(parts):
        for n in range(len(parts) - i, 0, -1):
            found = _word(graph, "_".join(parts[i : i + n]))
            if found is not None:
                yield found
                i += n
                break
        else:
            raise UnknownFeatures(
                f"{parts[i] or '_'!r} is no feature of {name}; the words are its layers ({', '.join(graph.stages)}, "
                f"and those between by their names), {', '.join(PRESETS)}, {', '.join(COLOR_MAPS)}, "
                f"{', '.join(RESIZE_METHODS)}, and ts2000 or another window in milliseconds"
            )


def _word(graph: Graph, word: str) -> tuple[str, str] | None:
    layer = graph.find(word)
    if layer is not None:
        return "layer", layer
    if re.fullmatch(r"ts[0-9]{1,6}", word):
        return "window", word
    return next(((kind, word) for kind, allowed in _KINDS.items() if word in allowed), None)
