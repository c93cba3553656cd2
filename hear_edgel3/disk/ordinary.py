"""Ordinary files: others, such as pipes, may wait for ever when they are opened."""

from __future__ import annotations

import errno
import os
import stat


def what_else(path: str | os.PathLike[str]) -> str | None:
    """What is there, in words, if it is neither an ordinary file nor a folder; None if it is one of these.

    Raises:
        OSError: there is nothing; a name with a NUL in it, which Python refuses otherwise, is also of nothing.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
