"""Exported folders, for targets that write more than one file. Their card is a file of its own, as JSON."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from hear_edgel3.disk.atomic import check_folder_name, copy_together, make_folder
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.errors import ConfigurationError, OutputError
from hear_edgel3.exporting.checked import checked_card

CARD = "hear_edgel3.json"
_LARGEST = 16_000_000


def write_card(folder: Path, target: str, card: dict[str, Any], facts: dict[str, Any] | None = None) -> None:
    """Puts the card into a folder that a target has written, and what else that target wants to know of it later."""
    files = sorted({*(one.name for one in folder.iterdir()), CARD})
    found = {"target": target, "files": files, "card": card, "facts": facts or {}}
    (folder / CARD).write_text(json_text(found, indent=1) + "\n", encoding="utf-8")


def folder_target(folder: Path) -> str | None:
    """The name of the target that has written a folder; None if none has."""
    try:
        found = _read(folder)
    except ConfigurationError:
        return None
    name = found.get("target")
    return name if isinstance(name, str) else None


def read_folder_card(folder: Path) -> dict[str, Any]:
    """The card in a folder.

    Raises:
        ConfigurationError: It is not a folder that was exported here, or damaged.
    """
    return checked_card(_read(folder).get("card"), str(folder / CARD))


def read_folder_facts(folder: Path) -> dict[str, Any]:
    """What else a target has put down.

    Raises:
        ConfigurationError: It is not a folder that was exported here, or damaged.
    """
    facts = _read(folder).get("facts")
    if not isinstance(facts, dict):
        raise ConfigurationError(f"{folder / CARD} is damaged, or of another version: it is incomplete")
    return facts


def _read(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigurationError(f"{path} was not written by hear_edgel3: it is too large")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is damaged: it is no JSON ({error})") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} is damaged: it is no JSON object")
    return found


def check_folder(path: Path) -> None:
    """Finds out before the work that a folder could not be written.

    Raises:
        OutputError: There is a file in its place, its parent is missing or not writable, or there are files in it of
            somebody's own.
    """
    check_folder_name(path)
    if path.is_dir():
        if any(path.iterdir()) and folder_target(path) is None:
            raise OutputError(
                f"cannot write into {path}: there are files in it that export did not write; name another folder"
            )
        place = path
    else:
        place = path.absolute().parent
        if not place.is_dir():
            raise OutputError(f"cannot write {path}: the folder {path.parent} does not exist")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: no permission to write into {place}")


def put_folder(staged: Path, path: Path) -> None:
    """Copies the files of a folder: all or none, the card last. Those of an earlier export that are not among them go.

    Others that are there already stay. If it fails, a folder that was not there before is not left, either: it would be
    one without a card, into which nothing can be exported.
    """
    files = sorted(staged.iterdir(), key=lambda one: (one.name == CARD, one.name))
    new = not path.exists()
    try:
        make_folder(path)
        earlier = _files_of(path) - {one.name for one in files}
        copy_together([(one, path / one.name) for one in files], without=[path / name for name in sorted(earlier)])
    except BaseException:
        if new:
            with suppress(OSError):
                path.rmdir()  # unless it is whole, and what came in between is an interrupt
        raise


def _files_of(folder: Path) -> set[str]:
    """The files that an export has written into a folder, as it says itself: names in it, and in no other folder."""
    try:
        names = _read(folder).get("files")
    except ConfigurationError:
        return set()
    given = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return {name for name in given if Path(name).name == name}
