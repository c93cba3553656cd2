"""Folders, as the page names them."""

from __future__ import annotations

import os
from collections.abc import Sequence


def common_folder(files: Sequence[str]) -> str:
    """The innermost folder that all the files are in; empty where they have none in common."""
    try:
        return os.path.commonpath([os.path.dirname(file) for file in files])
    except ValueError:  # absolute and relative names, or several drives
        return ""


def below(folder: str, file: str) -> str:
    """The folder of ``file``, as seen from ``folder`` and with slashes; empty for that folder itself."""
    own = os.path.dirname(file)
    return own.removeprefix(folder).lstrip(os.sep).replace(os.sep, "/") if folder else own.replace(os.sep, "/")
