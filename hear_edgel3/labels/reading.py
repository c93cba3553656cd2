"""From a folder or file to its labelled sounds, whatever layout it has."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields

from hear_edgel3._checks import check_made, check_path
from hear_edgel3.audio.channels import TABLE
from hear_edgel3.audio.find import is_audio
from hear_edgel3.disk.paths import shortened, why_not_there
from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.labels import published
from hear_edgel3.labels.folders import folders_in, read_folders
from hear_edgel3.labels.hear_tasks import METADATA, read_hear_task
from hear_edgel3.labels.labelled import Labelled
from hear_edgel3.labels.names import listed
from hear_edgel3.labels.options import AS_IT_IS, LabelOptions
from hear_edgel3.labels.packed import LAYOUTS as PACKED
from hear_edgel3.labels.packed import packed_files, read_packed
from hear_edgel3.labels.tables import is_track, read_table, read_tracks
from hear_edgel3.sources.folders import LeftOut, files_below
from hear_edgel3.sources.tables import is_list


@dataclass(frozen=True)
class _Layout:
    """A layout of a set.

    Attributes:
        fits: Whether a folder or file has it.
        read: Reads it.
        is_sure: Whether it goes before those that are not.
    """

    fits: Callable[[str], bool]
    read: Callable[[str, LabelOptions], Labelled]
    is_sure: bool = True


def _has(*names: str) -> Callable[[str], bool]:
    return lambda source: all(os.path.exists(os.path.join(source, name)) for name in names)


def _packed(layout: str) -> _Layout:
    return _Layout(lambda source: bool(packed_files(source, layout)), lambda s, o: read_packed(s, layout, o))


def _holds_tracks(source: str) -> bool:
    """Whether a text is a track; or a folder has one in it, or has some in the folders inside it, and no sound."""
    if not os.path.isdir(source):
        return is_track(source)
    try:
        names = os.listdir(source)
    except OSError:
        return False
    if any(is_track(os.path.join(source, name)) for name in names if not name.startswith(".")):
        return True
    # The search for a sound ends with the first one, and there is one in most folders of classes.
    return not any(files_below(source, is_audio, LeftOut(), _pass_over)) and bool(_tracks_below(source, _pass_over))


def _tracks_below(folder: str, unreadable: Callable[[OSError], object]) -> list[str]:
    """The tracks in a folder and those inside it: `events` puts those of equal names into folders of their own."""
    return [path for path in files_below(folder, _is_text, LeftOut(), unreadable) if is_track(path)]


def _is_text(path: str) -> bool:
    return path.lower().endswith(".txt")


def _pass_over(error: OSError) -> None:
    """Leaves out a folder that cannot be listed."""


def _refuse(error: OSError) -> None:
    raise LabelsError(f"{os.fspath(error.filename)} cannot be listed: {error.strerror or error}")


def _read_tracks(source: str, options: LabelOptions) -> Labelled:
    is_folder = os.path.isdir(source)
    paths = _tracks_below(source, _refuse) if is_folder else [source]
    if not paths:
        raise LabelsError(f"{source} has no track of labels (*.txt of Audacity or Raven, called as its sound)")
    return read_tracks(source, paths, options, source if is_folder else None)


_LAYOUTS = {
    "esc50": _Layout(_has(os.path.join("meta", "esc50.csv")), published.read_esc50),
    "urbansound8k": _Layout(_has(os.path.join("metadata", "UrbanSound8K.csv")), published.read_urbansound8k),
    "fsd50k": _Layout(_has("FSD50K.ground_truth"), published.read_fsd50k),
    "tau2020": _Layout(_has("meta.csv", "evaluation_setup"), published.read_tau2020),
    "openmic": _Layout(_has("openmic-2018-aggregated-labels.csv", "partitions"), published.read_openmic),
    **{layout: _packed(layout) for layout in PACKED},
    "hear": _Layout(_has(METADATA), read_hear_task),
    "tracks": _Layout(_holds_tracks, _read_tracks),
    "table": _Layout(lambda source: os.path.isfile(source) and is_list(source), read_table, is_sure=False),
    "folders": _Layout(lambda source: os.path.isdir(source) and bool(folders_in(source)), read_folders, is_sure=False),
}
LAYOUTS = tuple(_LAYOUTS)
_WITH_COLUMNS = ("table", "tracks")
_OF_TABLES = ("label", "labels", "separator", "numbers", "relevances", "part", "fold", "group", "whole_files")


def layout_of(source: str | os.PathLike[str]) -> str:
    """The layout of a folder or file.

    Raises:
        LabelsError: It has none, or several.
    """
    check_path(source, "source")
    path = os.fspath(source)
    if not os.path.exists(path):
        raise LabelsError(f"{path} {why_not_there(path)}")
    fitting = [name for name, layout in _LAYOUTS.items() if layout.fits(path)]
    sure = [name for name in fitting if _LAYOUTS[name].is_sure]
    if len(sure) > 1:
        raise LabelsError(f"{path} may be any of {', '.join(sure)}; the option `layout` says which")
    if not fitting:
        raise LabelsError(
            f"{path} has no labels that are understood: neither a folder per class, nor a table (.csv, .tsv, .parquet, "
            f"label tracks as .txt), nor one of the published layouts ({', '.join(LAYOUTS[:-3])})"
        )
    layout = (sure or fitting)[0]
    if layout == "folders":
        _check_no_folder_of_tables(path)
    return layout


def _check_no_folder_of_tables(folder: str) -> None:
    """Refuses a folder of tables, which would be one of classes without sounds.

    Raises:
        LabelsError: It has tables, in it or in the folders inside it, and no sound.
    """
    if any(files_below(folder, is_audio, LeftOut(), _pass_over)):
        return
    table = next(iter(files_below(folder, is_list, LeftOut(), _pass_over)), None)
    if table is not None:
        raise LabelsError(
            f"{folder} has tables ({table}, for example) and no sounds: give one table, joined of these if need be; of "
            f"folders only label tracks by Audacity and selection tables by Raven (.txt) are read"
        )


def read_labelled(source: str | os.PathLike[str], options: LabelOptions = AS_IT_IS) -> Labelled:
    """Reads labelled sounds. No sound is decoded; files must be there, and not be empty.

    Args:
        source: A folder with a folder per class; a table (CSV, TSV, Parquet); tracks of labels by Audacity or Raven;
            or the folder of a published set: ESC-50, UrbanSound8K, FSD50K, TAU 2020 Mobile, OpenMIC-2018, HDF5 files of
            AudioSet, FSD50K and OpenMIC, tasks of HEAR.
        options: How labels are read; ``layout`` names one of :data:`LAYOUTS`.

    Returns:
        The sounds. Paths are relative to the current folder if that of the source is.

    Raises:
        InvalidOption: There is no such layout.
        LabelsError: It cannot be read, or something is wrong with it; the message names all of that.
        MissingExtra: A package that is needed is not installed.
    """
    check_path(source, "source")
    check_made(options, "options", LabelOptions, "LabelOptions, which say how labels are read")
    path = os.fspath(source)
    if options.layout is not None and options.layout not in _LAYOUTS:
        raise InvalidOption(f"layout {options.layout!r} is none of {listed(LAYOUTS, 20)}")
    if not os.path.exists(path):
        raise LabelsError(f"{path} {why_not_there(path)}")
    layout = options.layout or layout_of(path)
    if dead := _dead_options(layout, options):
        does = "does" if len(dead) == 1 else "do"
        raise InvalidOption(f"{path} has the layout {layout}, to which {', '.join(dead)} {does} not apply")
    if options.channel == TABLE and layout not in _WITH_COLUMNS:
        raise InvalidOption(
            f"{path} has the layout {layout}, in which no column says a channel of each sound: the option `channel` "
            f"may be the number of one, or mean"
        )
    return _LAYOUTS[layout].read(path, options)


def as_labelled(data: str | os.PathLike[str] | Labelled, options: LabelOptions) -> Labelled:
    """Labelled sounds, read if they are not yet.

    Raises:
        InvalidOption: Options say how to read what has been read; ``skip`` alone also counts later.
        InvalidOption, LabelsError, MissingExtra: As of :func:`read_labelled`.
    """
    if not isinstance(options, LabelOptions):
        raise InvalidOption(
            f"labels must be LabelOptions, which say how labels are read, got {shortened(repr(options))}"
        )
    if not isinstance(data, (str, os.PathLike, Labelled)):
        raise InvalidOption(
            f"data must be a folder or a table by its path, or what read_labelled returned, got {shortened(repr(data))}"
        )
    if not isinstance(data, Labelled):
        return read_labelled(data, options)
    plain = LabelOptions(skip=options.skip)
    given = [f.name for f in fields(LabelOptions) if getattr(options, f.name) != getattr(plain, f.name)]
    if given:
        raise InvalidOption(
            f"{listed(given)} would do nothing here: {data.name} has been read already; give such options to "
            f"read_labelled"
        )
    return data


def _dead_options(layout: str, options: LabelOptions) -> list[str]:
    """The options that are given, and mean nothing for a layout."""
    dead = {*_OF_TABLES, "audio"}
    if layout in _WITH_COLUMNS:
        return []
    if layout not in ("folders", *PACKED):
        dead.remove("audio")
    return [name for name in sorted(dead) if getattr(options, name) != getattr(AS_IT_IS, name)]
