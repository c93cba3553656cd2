"""Which sources nothing is learnt from, so that a net can be measured by what is new to it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

from hear_edgel3.errors import InvalidAudio, InvalidOption

# Fewer are too few to do without some.
FEWEST_SOURCES = 8
_FRACTION = 0.1
_FEWEST_HELD_OUT = 2
# Of the audio, that goes to sources that nobody asked to hold out.
_MOST_AUDIO = 0.15
_NAMED = 30


class Size(NamedTuple):
    """How much there is.

    Attributes:
        n_files: Of files with clips.
        seconds: Of clips.
    """

    n_files: int
    seconds: float


class Choice(NamedTuple):
    """What is held out.

    Attributes:
        names: Of the sources, in order.
        note: What the user should know: which they are, or why there are none. Nothing if they were named.
    """

    names: tuple[str, ...]
    note: str


def choose_sources(sizes: Mapping[str, Size], wanted: float | tuple[str, ...] | None, seed: int, least: Size) -> Choice:
    """Chooses the sources to hold out.

    Args:
        sizes: How much there is of each source.
        wanted: Their names, or the fraction of all sources, or None for what suits: a tenth of the sources, and at
            least two, which have no more than 15 % of the audio, if there are at least eight.
        seed: Of what is random.
        least: What must be left to learn from.

    Raises:
        InvalidOption: There is no such source.
        InvalidAudio: Too little would be left.
    """
    if isinstance(wanted, tuple):
        unknown = [name for name in wanted if name not in sizes]
        if unknown:
            more = f" and {len(sizes) - _NAMED} more" if len(sizes) > _NAMED else ""
            raise InvalidOption(
                f"hold_out_sources: there is no source {unknown[0]!r} with audio; there are "
                f"{', '.join(sorted(sizes)[:_NAMED])}{more}"
            )
        _check_rest(sizes, set(wanted), least)
        return Choice(tuple(sorted(wanted)), "")
    if wanted == 0:
        return Choice((), "")
    if wanted is None and len(sizes) < FEWEST_SOURCES:
        return Choice(
            (),
            f"validation is by file alone: {len(sizes)} source{'s' if len(sizes) > 1 else ''} (folders below the "
            f"inputs) of the {FEWEST_SOURCES} that it takes to hold some out; hold_out_sources names them",
        )
    n = max(_FEWEST_HELD_OUT, round(_FRACTION * len(sizes))) if wanted is None else max(1, round(wanted * len(sizes)))
    names = _drawn(sizes, n, seed, least, _MOST_AUDIO if wanted is None else 1.0)
    if wanted is not None and len(names) < n:
        _check_rest(sizes, set(_shuffled(sizes, seed)[:n]), least)
    if not names:
        return Choice((), "validation is by file alone: without any one source there is too little to learn from")
    return Choice(tuple(sorted(names)), f"held out of {len(sizes)} sources: {', '.join(sorted(names))}")


def _shuffled(sizes: Mapping[str, Size], seed: int) -> list[str]:
    names = sorted(sizes)
    random.Random(f"sources {seed}").shuffle(names)  # noqa: S311 - not for secrets
    return names


def _drawn(sizes: Mapping[str, Size], n: int, seed: int, least: Size, most_audio: float) -> list[str]:
    """At most ``n`` sources at random, without which enough is left; those that are too large are passed over."""
    files, seconds = (sum(size[i] for size in sizes.values()) for i in (0, 1))
    spare = Size(int(files) - least.n_files, min(most_audio * seconds, seconds - least.seconds))
    names: list[str] = []
    for name in _shuffled(sizes, seed):
        size = sizes[name]
        if len(names) < n and size.n_files <= spare.n_files and size.seconds <= spare.seconds:
            names.append(name)
            spare = Size(spare.n_files - size.n_files, spare.seconds - size.seconds)
    return names


def _check_rest(sizes: Mapping[str, Size], held_out: set[str], least: Size) -> None:
    """Finds out whether enough is left.

    Raises:
        InvalidAudio: It is not.
    """
    rest = [size for name, size in sizes.items() if name not in held_out]
    n_files, seconds = sum(size.n_files for size in rest), sum(size.seconds for size in rest)
    if n_files < least.n_files or seconds < least.seconds:
        raise InvalidAudio(
            f"hold_out_sources: without {', '.join(sorted(held_out))} clips of {seconds:.0f} s in {n_files} files are "
            f"left to distill from; at least {least.seconds:.0f} s in {least.n_files} files are needed"
        )
