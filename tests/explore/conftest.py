"""An empty folder for every test, a page with odd names, and a browser to open it in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hear_edgel3.disk.paths import text_of_path
from hear_edgel3.explore.build import explore
from support import chromium, signals
from support.datasets import description, write_rows
from support.pages import N_CLIPS, ODD, SIZE


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    """Every test runs in an empty folder."""


@pytest.fixture(scope="session")
def made_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page, its dataset and its sounds: odd names, then plain ones, one gone, and one in AU."""
    root = tmp_path_factory.mktemp("explore page #1")
    files = [root / "audio" / os.fsdecode(name) for name in ODD]
    files += [root / "audio" / f"kind {i % 12}" / f"clip {i}.wav" for i in range(N_CLIPS - len(ODD) - 2)]
    for i, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:
            soundfile.write(opened, signals.clip(0.4 + i / 200, 16000, seed=i), 16000, format="WAV")
    old = root / "audio" / "old.au"
    soundfile.write(old, signals.clip(0.4 + (N_CLIPS - 2) / 200, 16000), 16000)
    files += [old, root / "audio" / "gone.wav"]
    values = np.random.RandomState(0).randn(N_CLIPS, SIZE).astype(np.float32)
    rows: list[dict[str, Any]] = [
        {"file": text_of_path(file), "embedding": value, "duration_s": 0.4 + i / 200, "sample_rate": 16000}
        for i, (file, value) in enumerate(zip(files, values, strict=True))
    ]
    rows.append({"file": "bad<b>.wav", "error": "AudioFileError: bad<b>.wav is empty (0 bytes)"})
    write_rows(root / "embeddings", description(SIZE), rows)
    explore(root / "embeddings", root / "page.html", projection="pca", title="Odd </title> & <b>sounds</b>")
    return root


@pytest.fixture(scope="session")
def opened() -> Iterator[chromium.Chromium]:
    """A browser."""
    with chromium.Chromium() as browser:
        yield browser


@pytest.fixture
def browser(opened: chromium.Chromium, made_page: Path) -> chromium.Chromium:
    """The page, freshly loaded, in light colours."""
    opened.prefer("light")
    opened.resize(1280, 800)
    opened.open(made_page / "page.html")
    return opened
