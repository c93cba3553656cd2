"""Files for sets of labelled sounds. Labels are read without a look into the sounds, so that any bytes will do."""

from __future__ import annotations

from pathlib import Path


def touch(*names: str) -> None:
    """Files with different contents."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(name.encode())


def write(name: str, text: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")
    return name
