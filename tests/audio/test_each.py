"""Each channel by itself: in Python, in ``embed`` and in ``tag``."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.audio.file import AudioFile
from hear_edgel3.cli import main
from hear_edgel3.errors import InvalidOption
from hear_edgel3.extractor.clip import embed_samples
from hear_edgel3.extractor.extractor import Extractor
from support import signals
from support.types import Captured

_CHANNELS = 3


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", signals.clip(2.3, 32000, _CHANNELS), 32000, subtype="DOUBLE")
    return Path("a.wav")


def test_embeddings(path: Path, sea: Extractor) -> None:
    found = hear_edgel3.embed_file(path, sea, channel="each")
    assert found.channel == "each"
    assert found.embedding.shape[0] == _CHANNELS
    samples = signals.clip(2.3, 32000, _CHANNELS)
    for one in (hear_edgel3.embed_file(path.read_bytes(), sea, channel="each"), found):
        np.testing.assert_array_equal(one.embedding, found.embedding)
    np.testing.assert_array_equal(embed_samples(samples, 32000, sea, channel="each").embedding, found.embedding)
    for channel, embedding in enumerate(found.embedding):
        alone = hear_edgel3.embed_file(path, sea, channel=channel)
        np.testing.assert_array_equal(embedding, alone.embedding)
        np.testing.assert_array_equal(found.timestamps, alone.timestamps)
        soundfile.write("b.wav", samples[:, channel], 32000, subtype="DOUBLE")
        np.testing.assert_array_equal(embedding, hear_edgel3.embed_file("b.wav", sea).embedding)


@pytest.mark.parametrize("how", [{"hop_size": 0.25}, {"center": False}], ids=["hop_size", "center"])
def test_what_is_asked_for_is_for_each(path: Path, sea: Extractor, how: dict[str, Any]) -> None:
    of_array = embed_samples(signals.clip(2.3, 32000, _CHANNELS), 32000, sea, channel="each", **how)
    for found in (of_array, hear_edgel3.embed_file(path, sea, channel="each", **how)):
        for channel, embedding in enumerate(found.embedding):
            alone = hear_edgel3.embed_file(path, sea, channel=channel, **how)
            np.testing.assert_array_equal(embedding, alone.embedding)
            np.testing.assert_array_equal(found.timestamps, alone.timestamps)
            assert (found.hop_size, found.center) == (alone.hop_size, alone.center)


def test_silent_is_a_clip_all_of_whose_channels_are(sea: Extractor, path: Path) -> None:
    for silent in ([0, 1], [0, 1, 2]):
        samples = signals.clip(1.0, 32000, _CHANNELS)
        samples[:, silent] = 0
        assert embed_samples(samples, 32000, sea, channel="each").silent == (len(silent) == _CHANNELS)


def test_tags(path: Path) -> None:
    tagger = hear_edgel3.Tagger()
    found = tagger.tag_file(path, 1.0, channel="each")
    with path.open("rb") as opened:
        assert len(hear_edgel3.tag(opened, channel="each")) == _CHANNELS
    of_samples = tagger.tag_samples(signals.clip(2.3, 32000, _CHANNELS), 32000, 1.0, channel="each")
    assert len(found) == len(of_samples) == _CHANNELS
    for channel, (tags, other) in enumerate(zip(found, of_samples, strict=True)):
        np.testing.assert_array_equal(tags.logits, tagger.tag_file(path, 1.0, channel=channel).logits)
        np.testing.assert_array_equal(tags.logits, other.logits)
    assert len(tagger.tag_samples(np.zeros(32000), 32000, channel="each")) == 1


def test_a_file_of_each_channel_has_no_blocks_itself(path: Path) -> None:
    with AudioFile(path, channel="each") as file:
        assert file.channels == _CHANNELS
        with pytest.raises(InvalidOption, match="channel must be 'mean' or the number of a channel"):
            list(file.blocks())


def test_embed(path: Path, capsys: Captured) -> None:
    assert main(["embed", "a.wav", "--channel", "each"]) == 0
    assert f"of each of {_CHANNELS} channels" in capsys.readouterr().err
    with np.load("a.npz") as result:
        right = hear_edgel3.embed_file(path, channel="each")
        np.testing.assert_array_equal(result["embedding"], right.embedding)
        assert str(result["channel"]) == "each"
    assert main(["embed", "a.wav", "--channel", "each"]) == 0
    assert "1 kept" in capsys.readouterr().err
    assert main(["embed", "a.wav"]) == 1
    assert "made with channel each, not mean" in capsys.readouterr().err


def test_tag(path: Path, capsys: Captured) -> None:
    options = ["--channel", "each", "--window", "1", "--top", "2"]
    arguments = ["tag", "a.wav", *options]
    assert main([*arguments, "--csv"]) == 0
    out = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0]) == ["file", "channel", "start", "end", "rank", "label", "mid", "probability"]
    assert [row["channel"] for row in rows[:: len(rows) // _CHANNELS]] == ["0", "1", "2"]
    right = hear_edgel3.Tagger().tag_file(path, 1.0, channel=1)
    assert [row["label"] for row in rows if row["channel"] == "1"][:2] == [tag.label for tag in right.top(2)]

    assert main([*arguments, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [window["channel"] for window in record["windows"]] == [k for k in range(3) for _ in right.starts]

    assert main(arguments) == 0
    assert "a.wav  channel 2  0.00 - 1.00 s" in capsys.readouterr().out

    assert main([*arguments, "--output", "tags.csv"]) == 0
    assert Path("tags.csv").read_text() == out
    soundfile.write("b.wav", signals.clip(1.3, 32000, 2), 32000)
    assert main(["tag", "a.wav", "b.wav", *options, "--output", "tags.csv"]) == 0  # goes on
    added = list(csv.DictReader(io.StringIO(Path("tags.csv").read_text())))
    assert added[: len(rows)] == rows
    assert {row["file"] for row in added[len(rows) :]} == {"b.wav"}
    assert main(["tag", "a.wav", "--window", "1", "--top", "2", "--output", "tags.csv"]) == 2
    assert "was begun with channel each" in capsys.readouterr().err


def test_where_it_is_not_for(path: Path, capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main(["extract", "a.wav", "--output", "o", "--channel", "each"])
    assert "takes one channel at a time here: run it with --channel 0, then --channel 1" in capsys.readouterr().err


def test_a_picture_is_of_one(path: Path, capsys: Captured) -> None:
    assert main(["tag", "a.wav", "--channel", "each", "--plot", "a.png"]) == 2
    assert "--plot draws one channel" in capsys.readouterr().err
