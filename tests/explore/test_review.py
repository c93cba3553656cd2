"""Training, finding events, looking at what is least certain, labelling it, and training again: from end to end."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.cli import main
from hear_edgel3.tagging.tagger import Tagger
from support import chromium
from support.pages import needs_chromium, text

RATE = 32000


def write_sounds() -> list[str]:
    """Ten whistles and ten hisses of half a second."""
    rs, t = np.random.RandomState(0), np.arange(RATE // 2) / RATE
    names = []
    for i in range(20):
        noise = rs.randn(len(t))
        sound = np.sin(2 * np.pi * rs.uniform(800, 2000) * t) + 0.02 * noise if i % 2 else 0.3 * noise
        names.append(f"sounds/{('hiss', 'whistle')[i % 2]}-{i:02}.wav")
        soundfile.write(names[-1], 0.4 * sound, RATE)
    return names


@needs_chromium
def test_the_review_loop(opened: chromium.Chromium) -> None:
    pytest.importorskip("sklearn")
    Path("sounds").mkdir()
    names = write_sounds()
    rows = [f"{name},{name[7:].split('-')[0]}" for name in names[:12]]
    Path("labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    assert main(["train", "--data", "labels.csv", "--output", "first"]) == 0
    assert main(["events", "sounds", "--config", "first", "--output", "events.csv", "--workers", "1"]) == 0
    assert {row["label"] for row in csv.DictReader(Path("events.csv").read_text().splitlines())} <= {"hiss", "whistle"}
    assert main(["extract", "sounds", "--output", "embeddings", "--workers", "1", "--quiet"]) == 0
    page = ["explore", "embeddings", "--tagger", "first", "--order", "uncertain", "--projection", "pca"]
    assert main([*page, "--output", "page.html", "--quiet"]) == 0

    opened.open(Path("page.html").resolve())
    opened.run(f"(element('loaded').textContent = loadLabels({Path('labels.csv').read_text()!r}), fillSelection(), 1)")
    assert text(opened, "loaded") == "12 labels loaded"
    values = opened.run("[...order].map((clip) => uncertainties[clip])")
    assert values == sorted(values, reverse=True)
    opened.run("canvas.focus()")
    opened.press(".")
    assert opened.run("state.chosen === order[0]")
    given = 0
    while given < 8:  # each that has no label yet gets one, by keys
        if not opened.run("labelled.has(state.chosen)"):
            label = opened.run("data.files[state.chosen]")[7:].split("-")[0]
            opened.press(*["s", "l"] if given % 2 else ["l"])  # selected before or not, as the last one is done with
            opened.type(label)
            opened.press("Enter", "Escape")
            given += 1
        opened.press(".")
    assert text(opened, "labels-given") == "20 clips with a label"
    labels = opened.run("[...labelled].map(([clip, label]) => [data.files[clip].slice(7).split('-')[0], label])")
    assert all(kind == label for kind, label in labels)
    Path("saved").mkdir()
    opened.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(Path("saved").resolve()))
    opened.run("(element('save-labels').click(), new Promise((done) => setTimeout(done, 300)))")
    for _ in range(100):
        if Path("saved/labels.csv").exists():
            break
        opened.run("new Promise((done) => setTimeout(done, 100))")
    command = shlex.split(text(opened, "train-command").replace("labels.csv", "saved/labels.csv"))
    assert opened.complaints == []
    opened.run("(localStorage.clear(), 1)")

    assert command[0] == "hear-edgel3"
    assert main(command[1:]) == 0
    tagger = Tagger("detector")
    assert [tagger.tag_file(name).top(1)[0].label for name in names[:2]] == ["hiss", "whistle"]
