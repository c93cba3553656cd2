"""Files that were cut off, in the page that listens: what it says of them is what the package says.

Skipped where there is no Chromium.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import soundfile

from hear_edgel3.audio.file import AudioFile
from hear_edgel3.errors import AudioFileError
from hear_edgel3.exporting import web
from support import chromium, signals
from support.pages import needs_chromium
from support.served import served

pytestmark = needs_chromium
RATE = 44100
SECONDS = 4
# Seconds, of what is said to two decimals: of a frame that was cut (where that is depends on the encoder's last bits)
# one decoder makes sound, and another one none.
_FRAME_OF_MP3 = 1152 / RATE + 0.01
# What Chromium decodes, and what it does not, but other browsers do.
KINDS = {
    "wav": {"subtype": "PCM_16"},
    "float": {"format": "WAV", "subtype": "FLOAT"},
    "ulaw": {"format": "WAV", "subtype": "ULAW"},
    "wavex": {"format": "WAVEX", "subtype": "PCM_24"},
    "rf64": {"format": "RF64"},
    "flac": {},
    "mp3": {},
    "ogg": {},
    "aiff": {},
    "au": {},
    "caf": {},
}
_DECODED = """
(async () => {
  const { compared } = await import("./lengths.js");
  const bytes = await (await fetch("sound", { cache: "no-store" })).arrayBuffer();
  const copy = bytes.slice(0);
  let seconds = %s;
  try {
    seconds = (await new OfflineAudioContext(1, 1, 32000).decodeAudioData(bytes)).duration;
  } catch {}
  return JSON.stringify(compared(copy, seconds, 32000));
})()
"""


@pytest.fixture(scope="module")
def said_by_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], tuple[str, str]]]:
    """What the page says of a file: that it is cut, or what is to be known of it."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "lengths.js").write_bytes((Path(web.__file__).parent / "web_page" / "lengths.js").read_bytes())
    (folder / "index.html").write_text("<!doctype html><title>lengths</title>")
    with served(folder) as address, chromium.Chromium() as browser:
        browser.open(address)

        def ask(data: bytes) -> tuple[str, str]:
            (folder / "sound").write_bytes(data)
            samples = 0  # for what this browser does not decode
            with suppress(AudioFileError), AudioFile(data) as file:
                for block in file.blocks(watch=False):
                    samples += len(block)
            found = json.loads(browser.run(_DECODED % (samples / RATE)))
            return found["cut"], found["note"]

        yield ask


def said_here(data: bytes) -> tuple[str, str]:
    """What the package says of it."""
    with AudioFile(data) as file:
        try:
            for _ in file.blocks(watch=False):
                pass
        except AudioFileError as error:
            return str(error).removeprefix(f"{file.path} "), ""
        return "", "; ".join(file.notes)


def alike(one: tuple[str, str], other: tuple[str, str], slack: float) -> bool:
    """Whether the same is said, but for seconds that are so far apart, to two decimals."""
    texts = ["; ".join(said) for said in (one, other)]
    if len({re.sub(r"\d+\.\d+", "#", text) for text in texts}) > 1:
        return False
    numbers = zip(*(map(float, re.findall(r"\d+\.\d+", text)) for text in texts), strict=True)
    return all(abs(x - y) <= slack for x, y in numbers)


def written(kind: str, seconds: float = SECONDS) -> bytes:
    file = io.BytesIO()
    options = {"format": kind, **KINDS[kind]}
    soundfile.write(file, signals.clip(seconds, RATE)[: int(seconds * RATE)], RATE, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_off_is_said_as_here(kind: str, said_by_page: Callable[[bytes], tuple[str, str]]) -> None:
    whole = written(kind)
    assert said_by_page(whole) == said_here(whole) == ("", "")
    refused = 0
    for share in (0.3, 0.5, 0.985, 0.996):
        cut = whole[: int(share * len(whole))]
        found = said_by_page(cut)
        assert alike(found, said_here(cut), _FRAME_OF_MP3 if kind == "mp3" else 0.0), (share, found, said_here(cut))
        refused += "is truncated" in found[0]
    assert refused == {"ogg": 0, "mp3": 2, "flac": 4}.get(kind, 3)


@pytest.mark.parametrize("length", [0, 2**32 - 1, 2**31 - 4096, 100_000])
@pytest.mark.parametrize("labels", [b"", b"LIST\x04\0\0\0INFO"])
def test_lengths_that_a_header_does_not_know_or_has_wrong(
    length: int, labels: bytes, said_by_page: Callable[[bytes], tuple[str, str]]
) -> None:
    whole = written("wav")
    data = whole[:40] + length.to_bytes(4, "little") + whole[44:] + labels
    assert said_by_page(data) == said_here(data)


@pytest.mark.parametrize("times", [2, 1.37])
def test_flac_whose_header_counts_more_than_there_is(
    times: float, said_by_page: Callable[[bytes], tuple[str, str]]
) -> None:
    """Nothing is cut off: its last frame is short, as an encoder's is that has come to the end."""
    data = bytearray(written("flac"))
    count = int.from_bytes(data[21:26], "big")
    data[21:26] = (count + int((times - 1) * SECONDS * RATE)).to_bytes(5, "big")
    found = said_by_page(bytes(data))
    assert found == said_here(bytes(data))
    assert "all that there is was read" in found[1]
