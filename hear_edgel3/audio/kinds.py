"""Which kinds of sound files there are, by the endings of their names, and what reads each.

Endings only pick files out of folders, archives and globs. A file that a user names is always tried, and what it is
follows from its contents.
"""

from __future__ import annotations

from importlib.util import find_spec

MEDIA_EXTRA = "media"

# What libsndfile reads, which every installation has.
_BASIC = (
    "aif aifc aiff au avr bw64 caf flac htk ircam mp1 mp2 mp3 nist oga ogg opus paf pvf rf64 sf snd sph svx voc w64 "
    "wav wave wve xi"
)
# What FFmpeg reads beside it: phones and players, Windows, the web, broadcasting, films, and the sound of videos. Not
# `.ts`, which most often is a program's text.
_MEDIA = (
    "3g2 3gp 3gpp aac ac3 adts amr ape asf avi awb dff dsf dts eac3 ec3 f4a f4v flv g722 loas m2ts m4a m4b m4p m4r m4v "
    "mka mkv mlp mov mp4 mpa mpc mpeg mpg mts oma ogv ogx qoa qt ra rm rmvb sbc shn spx tak thd tta vob weba webm wma "
    "wmv wv"
)

BASIC_SUFFIXES = frozenset(f".{ending}" for ending in _BASIC.split())
"""Endings of what is read in any installation, in lower case and with the dot."""

MEDIA_SUFFIXES = frozenset(f".{ending}" for ending in _MEDIA.split())
"""Endings of what is read where the extra ``media`` is installed, in lower case and with the dot."""


def has_media() -> bool:
    """Whether the extra ``media`` is installed: PyAV, which brings FFmpeg. Imports nothing."""
    return find_spec("av") is not None


def readable_suffixes() -> frozenset[str]:
    """Endings of the files to take out of a folder here, in lower case and with the dot.

    What of ``BASIC_SUFFIXES | MEDIA_SUFFIXES`` is not among them is sound that the extra ``media`` would read.
    """
    return BASIC_SUFFIXES | MEDIA_SUFFIXES if has_media() else BASIC_SUFFIXES
