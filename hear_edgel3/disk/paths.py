"""Names of files as text, and back."""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path

# What a terminal may obey instead of showing it: control characters, and those that turn the direction of text.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def text_of_path(path: str | os.PathLike[str]) -> str:
    r"""A path as text that :func:`path_of_text` takes back: bytes that are not UTF-8 become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def path_of_text(text: str) -> Path:
    r"""The file that a ``file`` column names. ``\xNN`` stands for a byte unless there is a file of just that name."""
    path = Path(text)
    if r"\x" not in text or os.path.lexists(path):
        return path
    pieces = re.split(r"\\x([89a-f][0-9a-f])", text)
    raw = b"".join(bytes.fromhex(p) if i % 2 else p.encode() for i, p in enumerate(pieces))
    return Path(os.fsdecode(raw))


def folders_of(text: str) -> Path:
    """The folders of what a ``file`` column names, to be made below another one.

    ``..`` is called ``_..``, so that none leads out, and the beginning of an absolute name ``_root``. Each folder has a
    name of its own: what is called so already gets one more underscore.
    """
    folder = path_of_text(text).parent
    parts = ["root" if part == folder.anchor else part for part in folder.parts]
    marked = [bool(re.fullmatch(r"_*\.\.|_+root", part)) for part in parts]
    if folder.anchor:
        marked[0] = True
    return Path(*(f"_{part}" if mark else part for part, mark in zip(parts, marked, strict=True)))


def folders_meant(folders: str) -> str:
    """What :func:`folders_of` was given, of the folders that it gave."""
    parts = Path(folders).parts
    meant = [part[1:] if re.fullmatch(r"_+\.\.|__+root", part) else part for part in parts]
    if parts[:1] == ("_root",):
        meant[0] = os.sep
    return os.path.join("", *meant)


def why_not_there(path: str | os.PathLike[str]) -> str:
    """Why nothing is found under a name: it does not exist, or a folder on the way may not be looked into.

    ``os.path.exists`` says of both that there is nothing. Errors put what this gives behind the name.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        pass
    except OSError as error:
        return f"cannot be opened: {error.strerror or error}"
    return "does not exist"


def with_ending(name: str, ending: str, longest: int = 255) -> str:
    """A file's name with an ending, short enough for a file system; of two long ones each is another one.

    Args:
        name: Of the file, without folders.
        ending: What comes behind it.
        longest: How many bytes it may have.
    """
    raw = os.fsencode(name)
    if len(raw) + len(os.fsencode(ending)) <= longest:
        return name + ending
    mark = f"~{zlib.crc32(raw):08x}"
    raw = raw[: longest - len(os.fsencode(ending)) - len(mark)]
    return raw.decode("utf-8", "ignore") + mark + ending


def real_path(path: str | os.PathLike[str]) -> str:
    """The path that a name leads to, after all links.

    A name that no file can have, with a NUL in it or characters that the system's coding lacks, stays as it is: it
    equals no other file's, and opening it says what is wrong. Names that users give go through this function, for
    ``os.path.realpath`` raises a ``ValueError`` for these.
    """
    try:
        return os.fsdecode(os.path.realpath(path))
    except ValueError:
        return os.path.join(os.getcwd(), os.fsdecode(path))


def folder_of_names(begun: str, here: str, output: str | os.PathLike[str]) -> str:
    """The folder that relative names in an output begin in: that where it was begun, wherever it has been moved to.

    A folder of recordings with the results in it is moved, or its disk has another name on another computer: then the
    folder where the output was begun is no more, and the output is in the current one, where its names begin now.

    Args:
        begun: The text of the folder where it was begun.
        here: That of the current one.
        output: The output.
    """
    if begun == here or os.path.isdir(path_of_text(begun)):
        return begun
    return here if real_path(output).startswith(os.path.join(real_path(os.curdir), "")) else begun


def text_of(path: str | os.PathLike[str]) -> str:
    """A path as text: a file name may hold bytes that are none."""
    return os.fspath(path).encode("utf-8", "replace").decode("utf-8")


def printable(text: str, keep: str = "") -> str:
    r"""Text that a terminal shows as it is: of control characters and the like only ``\xNN`` or ``\uNNNN`` is left.

    Args:
        text: A file's name, for example.
        keep: Such characters that are left as they are: ends of lines, for a text of several.
    """
    return _OBEYED.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def shortened(text: str, length: int = 80) -> str:
    """Text that is too long for a line of an error, with its middle left out."""
    return text if len(text) <= length else f"{text[: length // 2]}... ({len(text)} characters)"
