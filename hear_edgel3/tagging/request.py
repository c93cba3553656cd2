"""What can be asked of a tagger, checked before any net is loaded. Imports neither torch nor NumPy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from hear_edgel3._checks import check_positive, check_several
from hear_edgel3.errors import InvalidOption
from hear_edgel3.families.schema import Checkpoint, Local
from hear_edgel3.registry.names import list_configurations, resolve
from hear_edgel3.tagging.outputs import outputs_of

# Without windows, a clip of up to this long is one pass of the net, as EfficientAT's inference.py has it whatever the
# length; a longer one is the mean of the logits of windows of ten seconds, so that memory stays bounded.
LONGEST_WHOLE_S = 60

Path = str | os.PathLike[str]


def tagging_rows(configurations: Path | Sequence[Path]) -> list[Checkpoint]:
    """The checkpoints that tag together, each once.

    Args:
        configurations: one name (or folder), or several with the same classes.

    Raises:
        UnknownConfiguration: no such name.
        InvalidOption: there is none, one has no classifier, or their classes, rates or paddings differ.
    """
    if isinstance(configurations, (str, os.PathLike)):
        names = [configurations]
    elif isinstance(configurations, Iterable) and not isinstance(configurations, bytes):
        names = list(configurations)
    else:
        raise InvalidOption(
            f"configurations must be the name of a configuration, a folder, or a list of these; got {configurations!r}"
        )
    if not names:
        raise InvalidOption("name at least one configuration to tag with")
    rows: list[Checkpoint] = []
    for name in names:
        row = resolve(name).checkpoint
        if row not in rows:
            rows.append(row)
    for row in rows:
        if not row.tags:
            able = [n for n in list_configurations() if resolve(n).checkpoint.tags]
            raise InvalidOption(f"{row.name} has no classifier and cannot tag; these can: {', '.join(able)}")
    check_ensemble(rows)
    return rows


def check_tags_alongside(row: Checkpoint) -> None:
    """Finds out before anything is loaded whether tags can be had with a net's embeddings.

    Raises:
        InvalidOption: It has no classes, or guesses numbers.
    """
    (row,) = tagging_rows(row.folder if isinstance(row, Local) else row.name)
    if outputs_of(row).are_numbers:
        raise InvalidOption(f"{row.name} guesses numbers, and has no classes to tag with; leave the tags out")


def check_ensemble(rows: Sequence[Checkpoint]) -> None:
    """Checks that nets can tag together: they get the same windows, and their logits are averaged.

    Args:
        rows: The nets; all have a classifier.

    Raises:
        InvalidOption: Their classes, rates, paddings or windows differ.
    """
    differences: tuple[tuple[str, Callable[[Checkpoint], str]], ...] = (
        ("the same classes", _classes),
        ("outputs of one kind", lambda row: outputs_of(row).targets),
        ("one sample rate inside", lambda row: f"{row.net_sample_rate} Hz"),
        ("the same padding beyond a clip's ends", lambda row: row.padding),
        ("one way to tag a whole clip", _whole_clips),
    )
    for what, of in differences:
        if len({of(row) for row in rows}) > 1:
            which = ", ".join(f"{row.name} has {of(row)}" for row in rows)
            raise InvalidOption(f"an ensemble needs nets with {what}, but {which}; tag with them one by one")
    if len({row.classes for row in rows if isinstance(row, Local)} - {()}) > 1:
        which = ", ".join(row.name for row in rows)
        raise InvalidOption(
            f"an ensemble needs nets with the same classes, but those of {which} differ; tag one by one"
        )


def _classes(row: Checkpoint) -> str:
    return f"{len(row.classes)} of its own" if isinstance(row, Local) and row.classes else str(row.labels)


def _whole_clips(row: Checkpoint) -> str:
    if not isinstance(row, Local) or row.head is None:
        return "one pass up to a minute"
    scene, window = row.scene, row.vocabulary.read(row, "").window_ms
    windows = scene.window_ms or window or row.window_ms
    whole = f", and whole clips up to {scene.whole_up_to_ms:g} ms" if scene.whole_up_to_ms else ""
    what = "segments" if scene.segments else "windows"
    return f"a head on the mean over {what} of {windows:g} ms every {scene.hop_ms:g} ms{whole}"


def check_length(row: Checkpoint, window: float) -> None:
    """Checks that a net takes windows of a length.

    Args:
        row: The net's.
        window: The length in seconds.

    Raises:
        InvalidOption: It takes others only.
    """
    only = row.only_window_ms
    if only is not None and int(window * row.net_sample_rate) != row.window:
        raise InvalidOption(
            f"window={window!r} is not what {row.name} takes: its windows are {only / 1000:g} s; use that"
        )


def one_each(rows: Sequence[Checkpoint], weights: Path | Sequence[Path | None] | None) -> list[Path | None]:
    """What was given as weights for each checkpoint.

    Args:
        rows: the checkpoints.
        weights: None, a folder for all, or one for each.

    Raises:
        InvalidOption: there are too few or too many.
    """
    names = [row.name for row in rows]
    if weights is None or isinstance(weights, (str, os.PathLike)):
        if len(names) > 1 and weights is not None and not os.path.isdir(weights):
            raise InvalidOption(
                f"weights is one file, {os.fspath(weights)}, for {len(names)} configurations; give a folder, or one "
                f"file for each"
            )
        return [weights] * len(names)
    several: list[Path | None] = list(check_several(weights, "weights", "a path, or a list of paths"))
    if len(several) == 1:
        return one_each(rows, several[0])
    if len(several) != len(names):
        raise InvalidOption(f"{len(several)} weights files for {len(names)} configurations ({', '.join(names)})")
    return several


def check_windows(window: float | None, hop: float | None) -> None:
    """Raises InvalidOption if windows of these lengths in seconds cannot be placed."""
    if window is None:
        if hop is not None:
            raise InvalidOption(f"hop={hop!r} goes with a window; give `window` (--window) too")
        return
    if check_positive(window, "window", "seconds") > LONGEST_WHOLE_S:
        raise InvalidOption(f"window={window!r} is more than {LONGEST_WHOLE_S} s; use a shorter one")
    if window < 0.02:
        raise InvalidOption(f"window={window!r} is less than 0.02 s; use a longer one")
    if hop is not None and check_positive(hop, "hop", "seconds") < 0.001:
        raise InvalidOption(f"hop={hop!r} is less than 0.001 s; use a longer one")
