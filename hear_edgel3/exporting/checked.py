"""Cards that come out of files: whether all is there, and of its kind, that this package reads in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hear_edgel3.errors import ConfigurationError


def _whole(value: object) -> bool:
    return type(value) is int and value > 0


def _text(value: object) -> bool:
    return isinstance(value, str)


def _or_none(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or check(value)


def _labels(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _shape(value: object) -> bool:
    return isinstance(value, list) and all(map(_or_none(_whole), value))


def _outputs(value: object) -> bool:
    return isinstance(value, dict) and all(map(_shape, value.values()))


def _quantization(value: object) -> bool:
    return isinstance(value, dict) and _text(value.get("method"))


_ENTRIES: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("name", "part", "input", "version", "licence", "citation"), _text),
    **dict.fromkeys(("sample_rate", "window", "frames", "minimum_samples", "embedding_version"), _whole),
    "weights_sha256": _or_none(_text),
    "length": _or_none(_whole),
    "outputs": _outputs,
    "contract": lambda value: isinstance(value, dict),
}
_OPTIONAL: dict[str, Callable[[object], bool]] = {
    "labels": _or_none(_labels),
    "quantization": _or_none(_quantization),
    "input_shape": _or_none(_shape),  # which files of earlier clones do not say
}


def checked_card(card: object, where: str) -> dict[str, Any]:
    """A card, if it is whole.

    Args:
        card: What was read.
        where: The file, for the error.

    Raises:
        ConfigurationError: Something in it is missing, or cannot be.
    """
    if not isinstance(card, dict):
        raise ConfigurationError(f"{where} is damaged, or of another version: what it says of itself is no JSON object")
    wrong = [name for name, check in _ENTRIES.items() if name not in card or not check(card[name])]
    wrong += [name for name, check in _OPTIONAL.items() if not check(card.get(name))]
    if wrong:
        raise ConfigurationError(
            f"{where} is damaged, or of another version: what it says of itself is incomplete or cannot be "
            f"({', '.join(wrong)}); export it again"
        )
    return card


def parsed_card(text: str, where: str) -> dict[str, Any]:
    """A card out of its text.

    Args:
        text: JSON.
        where: The file, for the error.

    Raises:
        ConfigurationError: It is none, or as :func:`checked_card` says.
    """
    try:
        card = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{where} is damaged: what it says of itself is no JSON ({error})") from error
    return checked_card(card, where)
