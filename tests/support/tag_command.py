"""``hear-edgel3 tag`` with a small net, and what it should print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.cli import main
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.tagging.tags import ClipTags
from support import signals

HEADER = ["file", "start", "end", "rank", "label", "mid", "probability"]


def write_loud_clip(path: str | Path, seconds: float = 0.6, rate: int = 16000, seed: int = 0) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signals.clip(seconds, rate, seed=seed), rate)
    return path


def run_tag(*arguments: str) -> int:
    return main(["tag", *arguments, "-c", "mn01_as"])


def rows_of(tags: ClipTags, name: str, top: int = 10) -> list[list[str]]:
    """What --csv should print."""
    return [
        [name, f"{tags.starts[i]:g}", f"{tags.ends[i]:g}", str(rank), t.label, t.mid, f"{t.probability:.6f}"]
        for i in range(len(tags.starts))
        for rank, t in enumerate(tags.top(top, i), 1)
    ]


def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(*arguments: object, **options: object) -> None:
        pytest.fail("a net was loaded")

    monkeypatch.setattr("hear_edgel3.tagging.tagger.Tagger", loads)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are tagged from here on."""
    seen: list[str] = []
    tag_opened = Tagger.tag_opened

    def watched(self: Tagger, file: AudioFile, *arguments: Any, **more: Any) -> Any:
        seen.append(str(file.path))
        return tag_opened(self, file, *arguments, **more)

    monkeypatch.setattr(Tagger, "tag_opened", watched)
    return seen
