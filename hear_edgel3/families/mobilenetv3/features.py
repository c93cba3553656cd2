"""The words that choose features of a MobileNetV3: both vocabularies of its authors' HEAR package.

The newer one (EfficientAT_HEAR 0.0.2): ``mel_avgs clf1 clf2 logits se5 b11 all_b all_se allmode``, pooling words and
``ts320``; what it chooses always comes in the order mel_avgs, clf1, clf2, logits, se..., b.... The older one (0.0.1,
the names in the paper): ``e1 clf l mels se all_se block``, in the order l, e1, mels, clf, block, se. ``all_se`` means
other layers in the older one, which is meant as soon as one of its own words is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from hear_edgel3.errors import UnknownFeatures
from hear_edgel3.families.mobilenetv3 import layout as layouts
from hear_edgel3.families.schema import Checkpoint, Features

DEFAULT = ("all_b", "mel_avgs")  # what the authors recommend

_SE_LAYERS = (4, 5, 6, 11, 12, 13, 14, 15)
_NEW_SETS = {
    "all_b": ("b5", "b11", "b13", "b15"),
    "all_se": ("se5", "se11", "se13", "se15"),
    "allmode": ("mel_avgs", "logits"),
}
_NEW_ORDER = (
    *("mel_avgs", "clf1", "clf2", "logits"),
    *(f"se{i}" for i in _SE_LAYERS),
    *(f"b{i}" for i in range(16)),
    "teacher",
)
_OLD = {
    "l": ("logits",),
    "e1": ("clf1",),
    "mels": ("mel_avgs",),
    "clf": ("clf2",),
    "block": ("b0", "b5", "b10", "b16"),
    "se": ("se12", "se13", "se14", "se15"),
    "all_se": tuple(f"se{i}" for i in _SE_LAYERS),
}
POOLING_WORDS = {f"{name}_pool": name for name in layouts.POOLINGS}
_SHORTEST_MS, _LONGEST_MS = 20, 10_000
_LONGEST_WORD = max(word.count("_") for word in POOLING_WORDS) + 1

VOCABULARY = (
    "the words are mel_avgs, clf1, clf2, logits, se4 se5 se6 se11 ... se15, b0 ... b15 (b5_11_13 for several), all_b, "
    f"all_se, allmode, of distilled nets teacher; one of {', '.join(POOLING_WORDS)}; ts160 or another window in "
    f"milliseconds; or the older {', '.join(_OLD)}"
)


@dataclass(frozen=True)
class MobileNetV3Features:
    """The vocabulary of one family, for :class:`hear_edgel3.families.schema.Checkpoint`."""

    def read(self, row: Checkpoint, words: str) -> Features:
        """Reads words joined by underscores.

        Raises:
            UnknownFeatures: An unknown or repeated word, words of both vocabularies, or a feature this net lacks.
        """
        words = words or row.default_features
        chosen = choose(split(words, _is_word, _refuse))
        names = _names(chosen.words or [*DEFAULT])
        check_chosen(chosen, names, "b0 ... b15, all_b, block")
        return _features(row, names, chosen.pooling or "avg_ch", chosen.window_ms)


def _features(row: Checkpoint, names: tuple[str, ...], pooling: str, window_ms: int | None) -> Features:
    arguments = row.net.arguments
    given = {name: arguments[name] for name in layouts.OPTIONS if name in arguments}
    layout = layouts.make_layout(arguments["width_mult"], arguments["strides"], **given)
    options: dict[str, Any] = {option: arguments.get(option) for option in ("n_mels", "head", "n_classes", "n_teacher")}
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
        window_ms,
        describe(names, pooling),
        bands=bands_of(pooling, sizes, [layouts.feature_size(layout, name, **options) for name in names]),
    )


def bands_of(pooling: str, sizes: Sequence[int], means: Sequence[int]) -> tuple[int, ...]:
    """How many bands features have, as :attr:`hear_edgel3.families.schema.Features.bands`.

    Args:
        pooling: of the blocks.
        sizes: of the features.
        means: what their sizes are if the means of blocks are over the bands, too.
    """
    if pooling != "avg_time":
        return ()
    return tuple(size // mean for size, mean in zip(sizes, means, strict=True))


def split(text: str, is_word: Callable[[str], bool], refuse: Callable[[str], NoReturn]) -> Iterator[str]:
    """The words of ``text``, the longest first where several fit; ``b5_11`` gives b5 and b11.

    Args:
        text: words joined by underscores.
        is_word: says whether something is one.
        refuse: is called with what is none, and raises.
    """
    parts = text.split("_") if text else []
    run = ""  # "b" or "se" while bare numbers continue it
    i = 0
    while i < len(parts):
        for n in range(min(_LONGEST_WORD, len(parts) - i), 0, -1):
            word = "_".join(parts[i : i + n])
            if run and word.isdecimal():
                word = run + word
            if is_word(word):
                run = word.rstrip("0123456789") if re.fullmatch(r"(b|se|ctx)[0-9]+", word) else ""
                yield word
                i += n
                break
        else:
            refuse("b16" if (run, parts[i]) == ("b", "16") else parts[i] or "_")


@dataclass
class Chosen:
    """What words say.

    Attributes:
        words: those that name features, as they stand.
        pooling: of the blocks, or None.
        window_ms: length of windows, or None.
    """

    words: list[str]
    pooling: str | None = None
    window_ms: int | None = None


def choose(words: Iterable[str]) -> Chosen:
    """Tells poolings, windows and features apart.

    Raises:
        UnknownFeatures: something is there twice, or a window has a length that cannot be.
    """
    chosen = Chosen([])
    for word in words:
        if word in POOLING_WORDS:
            if chosen.pooling is not None:
                raise UnknownFeatures(f"it names two poolings, {chosen.pooling}_pool and {word}; keep one")
            chosen.pooling = POOLING_WORDS[word]
        elif word.startswith("ts"):
            if chosen.window_ms is not None:
                raise UnknownFeatures(f"it names two windows, ts{chosen.window_ms} and {word}; keep one")
            chosen.window_ms = int(word[2:])
        elif word in chosen.words:
            raise UnknownFeatures(f"{word} is there twice")
        else:
            chosen.words.append(word)
    return chosen


def check_chosen(chosen: Chosen, names: Iterable[str], words: str) -> None:
    """Checks what belongs together.

    Args:
        chosen: the words.
        names: the features that they choose.
        words: the words for blocks, for the message.

    Raises:
        UnknownFeatures: there is a pooling and no block, or a window that is too short or too long.
    """
    if chosen.pooling is not None and not any(name.startswith("b") for name in names):
        raise UnknownFeatures(f"{chosen.pooling}_pool pools blocks, and no block ({words}) is named")
    if chosen.window_ms is not None and not _SHORTEST_MS <= chosen.window_ms <= _LONGEST_MS:
        raise UnknownFeatures(f"ts{chosen.window_ms} must be from ts{_SHORTEST_MS} to ts{_LONGEST_MS} (milliseconds)")


def describe(names: tuple[str, ...], pooling: str) -> str:
    """Features in words."""
    description = ", ".join(names)
    return f"{description}; blocks pooled by {pooling}" if any(name.startswith("b") for name in names) else description


def _is_word(word: str) -> bool:
    return word in _NEW_ORDER or word in _NEW_SETS or word in _OLD or is_common_word(word)


def is_common_word(word: str) -> bool:
    """Whether a word names a pooling or the length of windows."""
    return word in POOLING_WORDS or re.fullmatch(r"ts[0-9]{1,6}", word) is not None


def _refuse(word: str) -> NoReturn:
    if word == "b16":
        raise UnknownFeatures("b16 is no word of its own: pooled, it is clf1; the last block otherwise is b15")
    raise UnknownFeatures(f"{word!r} is no feature; {VOCABULARY}")


def _names(words: list[str]) -> tuple[str, ...]:
    """The features that the words choose, in the order of their vocabulary."""
    old = [word for word in words if word in _OLD and word not in _NEW_SETS]
    new = [word for word in words if word not in _OLD]
    if old and new:
        raise UnknownFeatures(
            f"{', '.join(old)} and {', '.join(new)} belong to two vocabularies, which order features in different "
            f"ways; use e1 clf l mels se all_se block, or all the others"
        )
    if old:
        if "se" in words and "all_se" in words:
            raise UnknownFeatures("se is part of all_se; keep one")
        return tuple(name for word, names in _OLD.items() if word in words for name in names)
    wanted = {name for word in words for name in _NEW_SETS.get(word, (word,))}
    return tuple(name for name in _NEW_ORDER if name in wanted)
