"""Pages of datasets: what goes in, and what is in them."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hear_edgel3.explore import spectrograms
from support import chromium, signals
from support.datasets import description, write_rows
from support.paths import PACKAGE

SIZE = 8
PAGE = PACKAGE / "explore" / "page"


def vectors(n: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(n, size).astype(np.float32)


def write_odd_clip(name: str | Path, seconds: float = 0.5, rate: int = 16000, seed: int = 0) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # libsndfile's own opening of odd names is not what is tested
        data = io.BytesIO()
        soundfile.write(data, signals.clip(seconds, rate, seed=seed), rate, format=path.suffix[1:].upper())
        file.write(data.getvalue())
    return path


def write_dataset(names: list[str], seed: int = 0, **changes: Any) -> Path:
    made = description(SIZE, **changes)
    rows = [
        {"file": name, "embedding": row, "duration_s": 0.5, "sample_rate": 16000}
        for name, row in zip(names, vectors(len(names), seed=seed), strict=True)
    ]
    write_rows(Path("embeddings"), made, rows)
    return Path("embeddings")


def contents_of(page: str | Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', Path(page).read_text("utf-8"), re.S)
    assert found is not None
    contents: dict[str, Any] = json.loads(found[1])
    return contents


def decoded(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def thumbnails_of(page: str | Path, n: int) -> np.ndarray:
    blocks = re.findall(
        r'<script type="text/plain" id="spectrograms-\d+">(.*?)</script>', Path(page).read_text("utf-8")
    )
    raw = b"".join(zlib.decompress(base64.b64decode(block)) for block in blocks)
    differences = np.frombuffer(raw, np.uint8).reshape(n, spectrograms.BANDS, spectrograms.FRAMES)
    return np.cumsum(differences, axis=1, dtype=np.uint8)


needs_chromium = pytest.mark.skipif(
    chromium.find() is None, reason="no Chromium is installed (set HEAR_EDGEL3_CHROMIUM to one)"
)


ODD = [
    b"quotes\"'`.wav",
    b"<img src=x onerror=alert(1)>.wav",
    b"a</script>b.wav",  # a folder and a file
    b"new\nline.wav",
    "ünïcode 声 e\u0301.wav".encode(),
    b"100% #1?&x=1.wav",
    b"a:b.wav",
    b"\xff\xfe.wav",
    b"\\x41.wav",
    b"{{scripts}}${x}.wav",
]
N_CLIPS = 90  # more than one block of spectrograms


def text(browser: chromium.Chromium, name: str) -> str:
    found: str = browser.run(f"document.getElementById('{name}').textContent")
    return found


def chosen(browser: chromium.Chromium) -> int:
    number: int = browser.run("state.chosen")
    return number


def place_of(browser: chromium.Chromium, clip: int) -> tuple[float, float]:
    """Of a clip, in the browser's window."""
    x, y = browser.run(
        f"(({{left, top}}) => [left + screenX({clip}), top + screenY({clip})])(canvas.getBoundingClientRect())"
    )
    return x, y
