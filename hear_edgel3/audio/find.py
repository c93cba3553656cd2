"""Which files are audio: by their endings, and only ordinary files."""

from __future__ import annotations

import importlib.util
import os
from functools import cache

from hear_edgel3.audio.media import MEDIA_SUFFIXES
from hear_edgel3.disk.ordinary import what_else
from hear_edgel3.errors import AudioFileError

# Endings that libsndfile reads; used to pick files out of a folder (a file named by the user is always tried).
_ENDINGS = (
    "aif aifc aiff au avr caf flac htk ircam mp3 nist oga ogg opus paf pvf rf64 sf snd sph svx voc w64 wav wave wve xi"
)
AUDIO_SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())


def is_audio(path: str) -> bool:
    """Whether a path's ending is that of an audio file; also of one for the extra ``media``, where that is there."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix in AUDIO_SUFFIXES or (suffix in MEDIA_SUFFIXES and reads_media())


@cache
def reads_media() -> bool:
    """Whether the extra ``media`` is installed."""
    return importlib.util.find_spec("av") is not None


def check_ordinary(path: str | os.PathLike[str]) -> None:
    """Refuses what is no ordinary file before it is opened, for that may wait for ever.

    Raises:
        AudioFileError: it is a pipe, a socket or a device.
        OSError: there is no such thing.
    """
    if (kind := what_else(path)) is not None:
        raise AudioFileError(f"{path} is {kind}, no ordinary file; write what comes out of it into a file first")
