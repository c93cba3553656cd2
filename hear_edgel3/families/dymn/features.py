"""The words that choose features of a DyMN: those of a MobileNetV3, with contexts in place of squeeze-and-excitation.

The authors' HEAR package has no DyMN. ``mel_avgs clf1 clf2 logits b5 all_b allmode``, pooling words and ``ts320`` mean
what they mean there for the MobileNetV3 of the same channels; ``ctx0 ... ctx14`` and ``all_ctx`` are this package's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from hear_edgel3.errors import UnknownFeatures
from hear_edgel3.families.dymn import layout as layouts
from hear_edgel3.families.mobilenetv3.features import (
    DEFAULT,
    POOLING_WORDS,
    bands_of,
    check_chosen,
    choose,
    describe,
    is_common_word,
    split,
)
from hear_edgel3.families.schema import Checkpoint, Features

_SETS = {"all_b": ("b5", "b11", "b13", "b15"), "allmode": ("mel_avgs", "logits")}
_CONTEXTS = tuple(f"ctx{i}" for i in range(layouts.N_BLOCKS))
_ALL_CONTEXTS = "all_ctx"
_ORDER = ("mel_avgs", "clf1", "clf2", "logits", *_CONTEXTS, *(f"b{i}" for i in range(16)), "teacher")

VOCABULARY = (
    "the words are mel_avgs, clf1, clf2, logits, ctx0 ... ctx14, all_ctx, b0 ... b15 (b5_11_13 for several), all_b, "
    f"allmode, of distilled nets teacher; one of {', '.join(POOLING_WORDS)}; ts160 or another window in milliseconds"
)


@dataclass(frozen=True)
class DyMNFeatures:
    """The vocabulary, for :class:`hear_edgel3.families.schema.Checkpoint`."""

    def read(self, row: Checkpoint, words: str) -> Features:
        """Reads words joined by underscores; ``all_ctx`` are all contexts that the net has.

        Raises:
            UnknownFeatures: An unknown or repeated word, or a feature this net lacks.
        """
        chosen = choose(split(words or row.default_features, _is_word, _refuse))
        arguments = row.net.arguments
        layout = layouts.make_layout(**{name: arguments[name] for name in layouts.OPTIONS if name in arguments})
        sets = {**_SETS, _ALL_CONTEXTS: layout.context_names()}
        wanted = {name for word in chosen.words or DEFAULT for name in sets.get(word, (word,))}
        names = tuple(name for name in _ORDER if name in wanted)
        check_chosen(chosen, names, "b0 ... b15, all_b")
        options: dict[str, Any] = {key: arguments.get(key) for key in ("n_mels", "head", "n_classes", "n_teacher")}
        pooling = chosen.pooling or "avg_ch"
        for name in names:
            problem = layouts.missing_feature(layout, name, options["head"], options["n_classes"], options["n_teacher"])
            if problem is not None:
                raise UnknownFeatures(problem)
        sizes = tuple(layouts.feature_size(layout, name, pooling, **options) for name in names)
        return Features(
            names,
            sum(sizes),
            sizes,
            {"outputs": names, "pooling": pooling},
            chosen.window_ms,
            describe(names, pooling),
            bands=bands_of(pooling, sizes, [layouts.feature_size(layout, name, **options) for name in names]),
        )


def _is_word(word: str) -> bool:
    return word in _ORDER or word in _SETS or word == _ALL_CONTEXTS or is_common_word(word)


def _refuse(word: str) -> NoReturn:
    if word == "b16":
        raise UnknownFeatures("b16 is no word of its own: pooled, it is clf1; the last block otherwise is b15")
    raise UnknownFeatures(f"{word!r} is no feature; {VOCABULARY}")
