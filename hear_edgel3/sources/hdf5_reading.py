"""What reads an HDF5 file of sounds, in a process apart; ``hdf5.py`` asks it."""

from __future__ import annotations

import os
from typing import Any

from hear_edgel3.disk.apart import Answer, Refused

NAMES, SOUNDS = "audio_name", "mp3"
_MAX_RATIO = 1100  # deflate, the strongest filter that every HDF5 library has, makes at most 1032 bytes of one

_opened: dict[str, Any] = {}  # the one file that this process reads


def answer(question: dict[str, Any], _: bytes) -> Answer:
    """Answers: ``open``, ``names``, ``sound`` of a row, or ``all`` of a data set.

    Raises:
        Refused: The file is not one of sounds.
    """
    import h5py

    ask = question["ask"]
    if ask == "open":
        _opened["file"] = file = h5py.File(question["path"], "r")
        _check(file)
        return {}, ()
    file = _opened["file"]
    if ask == "names":
        return {"names": [_text(name) for name in _all(file, NAMES)]}, ()
    if ask == "sound":
        row = question["row"]
        return {"name": _text(file[NAMES][row])}, (file[SOUNDS][row].tobytes(),)
    data = _all(file, question["name"])
    if data.dtype.kind not in "biuf":
        raise Refused(f"has a data set {question['name']} of {data.dtype} and not of numbers")
    return {"dtype": data.dtype.str, "shape": data.shape}, (data.tobytes(),)


def _all(file: Any, name: str) -> Any:
    data = file[name]
    # What is damaged may claim any size, and HDF5 makes up values that are not stored.
    if data.nbytes > _MAX_RATIO * os.path.getsize(file.filename):
        raise Refused(f"has a data set {name} that claims {data.nbytes} bytes, more than the file can hold")
    return data[:]


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name


def _check(file: Any) -> None:
    lacking = [name for name in (NAMES, SOUNDS) if name not in file]
    if lacking:
        raise Refused(f"has no data set {' and '.join(lacking)}, but {', '.join(file) or 'none'}")
    if file[NAMES].shape[:1] != file[SOUNDS].shape[:1] or not file[NAMES].shape:
        raise Refused(f"has data sets {NAMES} and {SOUNDS} of different lengths")
