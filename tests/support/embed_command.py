"""``hear-edgel3 embed`` with a fast model, and what it wrote."""

from __future__ import annotations

from pathlib import Path

from hear_edgel3.cli import main


def run_embed(*arguments: str) -> int:
    """`hear-edgel3 embed` with a fast model and few windows."""
    return main(["embed", "-c", "sea_64", "-t", "0.5", *arguments])


def results(folder: str | Path = ".") -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.suffix == ".npz")


def snapshot(path: str | Path) -> tuple[bytes, int]:
    return Path(path).read_bytes(), Path(path).stat().st_mtime_ns
