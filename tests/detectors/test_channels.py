"""Detectors that learn from single channels, whose files have other sounds in the others."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from accelerate import Accelerator

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.detectors.cache import embed_labelled
from hear_edgel3.detectors.clips import decode
from hear_edgel3.errors import LabelsError
from hear_edgel3.labels import Dividing, LabelOptions
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener
from support.detector_sounds import RATE, sound

PAIRS = (("hum", "hiss"), ("hiss", "hum"))


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of channels of files, and each channel as a file of its own: ``hum-hiss-0.wav``, ``hum-hiss-0.1.wav``."""
    folder, rng = tmp_path_factory.mktemp("stereo"), np.random.default_rng(0)
    rows = ["file,channel,label"]
    for pair in PAIRS:
        for i in range(5):
            channels = [sound(label, rng) for label in pair]
            name = f"{'-'.join(pair)}-{i}"
            soundfile.write(folder / f"{name}.wav", np.stack(channels, axis=1), RATE)
            for number, (label, samples) in enumerate(zip(pair, channels, strict=True)):
                soundfile.write(folder / f"{name}.{number}.wav", samples, RATE)
                rows.append(f"{name}.wav,{number},{label}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def items_of(folder: Path, channel: bool) -> list[Item]:
    names = [(f"{'-'.join(pair)}-{i}", n) for pair in PAIRS for i in range(2) for n in (0, 1)]
    if channel:
        return [Item(str(folder / f"{name}.wav"), 0, channel=n) for name, n in names]
    return [Item(str(folder / f"{name}.{n}.wav"), 0) for name, n in names]


def test_a_channel_is_embedded_as_the_file_of_it(stereo: Path, tmp_path: Path) -> None:
    mono = embed_labelled(items_of(stereo, False), "tiny", tmp_path / "c", workers=1)
    found = embed_labelled(items_of(stereo, True), "tiny", tmp_path / "c", workers=1)
    np.testing.assert_array_equal(found.vectors, mono.vectors)
    (folder,) = mono.folders
    assert [one.name for one in found.folders] == [f"{folder.name}-channel0", f"{folder.name}-channel1"]
    assert (found.new, embed_labelled(items_of(stereo, True)[::-1], "tiny", tmp_path / "c", workers=1).new) == (8, 0)


def test_a_net_is_trained_on_the_channel(stereo: Path, tmp_path: Path) -> None:
    items = items_of(stereo, True)[:2]
    both = [decode([item], np.arange(1), tmp_path, RATE, Accelerator(cpu=True), quiet=True) for item in items]
    for item, decoded in zip(items_of(stereo, False), both, strict=False):
        wanted = soundfile.read(item.file, dtype="float32")[0]
        np.testing.assert_allclose(decoded.read(0), wanted, atol=1e-4)


def test_an_item_goes_before_its_opener(stereo: Path) -> None:
    item = items_of(stereo, True)[0]
    with closing(ItemOpener("", 1)) as opener:
        for one, number in ((item, 0), (item._replace(channel=None), 1), (item._replace(channel="mean"), "mean")):
            with opener.open(one) as file:
                assert file.channel == number


def test_a_detector_of_channels(stereo: Path, cache: Path, tmp_path: Path) -> None:
    by_table = LabelOptions(channel="table")
    folder = hear_edgel3.train(
        stereo / "labels.csv",
        tmp_path / "d",
        cache=cache,
        labels=by_table,
        workers=1,
        split=Dividing("random", test=0.4),
    )
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["channels"] == [0, 1]
    assert scores["test"]["overall"]["accuracy"]["value"] == 1
    assert "--channel each" in (folder / "README.md").read_text()
    with (folder / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["channel"] for row in rows[:2]] == ["0", "1"]
    assert rows[0]["digest"] != rows[1]["digest"]
    assert rows[0]["part"] == rows[1]["part"]  # of one recording
    found = hear_edgel3.evaluate(stereo / "labels.csv", folder, labels=by_table, cache=cache, workers=1)
    assert "own test part" in found.what
    assert found.as_json()["channels"] == [0, 1]
    # Its recordings, heard in another way.
    whole = tmp_path / "whole.csv"
    names = [f"{stereo / '-'.join(pair)}-{i}.wav,{pair[0]}" for pair in PAIRS for i in range(5)]
    whole.write_text("\n".join(["file,label", *names]) + "\n")
    with pytest.raises(LabelsError, match=r"other clips or channels(.|\n)*custom learnt from other channels"):
        hear_edgel3.evaluate(whole, folder, cache=cache, workers=1)


def test_one_channel_by_the_command(
    stereo: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    names = [(stereo / f"{'-'.join(pair)}-{i}.wav", pair[1]) for pair in PAIRS for i in range(5)]
    table.write_text("\n".join(["file,label", *(f"{name},{label}" for name, label in names)]) + "\n")
    command = [
        "train",
        "--data",
        str(table),
        "--output",
        str(tmp_path / "d"),
        "--cache",
        str(cache),
        "--workers",
        "1",
        "--quiet",
    ]
    assert main([*command, "--channel", "1"]) == 0
    assert "hear that of recordings with several channels with `--channel 1`" in (tmp_path / "d/README.md").read_text()
    assert "counted from 0" in (tmp_path / "d/README.md").read_text()
    assert main([*command[:3], "--output", str(tmp_path / "e"), *command[5:], "--channel", "2"]) == 1
    assert "hum-hiss-0.wav has 2 channels, 0 to 1; there is no channel 2" in capsys.readouterr().err
