"""``hear-edgel3 index``, ``search`` and ``duplicates``, with the built-in net and datasets of its embeddings."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.dataset.dataset import Dataset, Description
from hear_edgel3.errors import DatasetError
from hear_edgel3.extractor import loading
from hear_edgel3.search import SoundSearch
from hear_edgel3.search.duplicates import THRESHOLD
from hear_edgel3.search.index import FILE
from support.datasets import clustered, write_part
from support.paths import PACKAGE
from support.types import Captured

RATE = 32000
NAMES = [f"audio/{i}.wav" for i in range(6)]


def sound(number: int) -> np.ndarray:
    """Six kinds of sound, a second long."""
    random = np.random.RandomState(number)
    t = np.arange(RATE) / RATE
    noise = random.randn(RATE)
    if number == 0:
        return 0.3 * np.sin(2 * np.pi * 440 * t)
    if number == 1:
        return 0.2 * noise
    if number == 2:
        return 0.3 * np.sin(2 * np.pi * (200 + 5000 * t) * t)
    if number == 3:
        return 0.8 * (np.arange(RATE) % 4000 < 40) * noise / 3
    if number == 4:
        return 0.1 * np.cumsum(noise) / 30
    return sum(0.1 * np.sin(2 * np.pi * 150 * k * t) for k in range(1, 20)) * (t % 0.25 < 0.1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six clips, a louder copy of the first, and datasets of their scenes and of their timestamps."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "audio").mkdir()
    model = hear_edgel3.load(sample_rate=RATE)
    assert model.weights is not None
    scenes, moments, files, times = [], [], [], []
    for name in [*NAMES, "audio/copy.wav"]:
        number = 0 if "copy" in name else int(name[6])
        clip = sound(number) * (0.5 if "copy" in name else 1.0)
        soundfile.write(folder / name, clip, RATE, subtype="FLOAT")
        samples = soundfile.read(folder / name, dtype="float32", always_2d=True)[0].mean(axis=1)[None]
        scenes.append(model.scene_embeddings(samples)[0].numpy())
        embeddings, at = model.timestamp_embeddings(samples, 200)
        moments += list(embeddings[0].numpy())
        files += [name] * embeddings.shape[1]
        times += at[0].tolist()
    made_by: dict[str, Any] = {
        "weights_sha256": model.weights.sha256,
        "embedding_version": model.configuration.checkpoint.embedding_version,
    }
    write_part(folder / "scenes" / "0.parquet", [*scenes, None], [*NAMES, "audio/copy.wav", "audio/bad.wav"], **made_by)
    write_part(folder / "moments" / "0.parquet", moments, files, times, hop_ms=200.0, **made_by)
    return folder


@pytest.fixture(autouse=True)
def _inside(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)


def json_lines(capsys: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def _made_by(description: Description) -> dict[str, Any]:
    return {k: v for k, v in vars(description).items() if k != "size"}


# --- search ---


def test_search_by_audio(capsys: Captured) -> None:
    assert main(["search", "scenes", "audio/3.wav", "audio/0.wav", "--top", "2"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "audio/3.wav"
    assert lines[1] == "   1.000  audio/3.wav"
    assert lines[3:5] == ["audio/0.wav", "   1.000  audio/0.wav"]
    assert lines[5].endswith("  audio/copy.wav")
    assert len(lines) == 6


def test_search_in_json(capsys: Captured) -> None:
    assert main(["search", "scenes", "audio/0.wav", "--json", "--exclude-self"]) == 0
    found = json_lines(capsys)
    assert [list(line) for line in found] == [["query", "rank", "similarity", "file", "timestamp_ms", "row"]] * 6
    assert [line["rank"] for line in found] == [1, 2, 3, 4, 5, 6]
    assert {line["query"] for line in found} == {"audio/0.wav"}
    assert {line["file"] for line in found} == {*NAMES[1:], "audio/copy.wav"}
    expected = SoundSearch("scenes").neighbours_of(0)
    for line, match in zip(found, expected, strict=True):
        assert (line["file"], line["row"], line["timestamp_ms"]) == (match.file, match.row, None)
        assert line["similarity"] == pytest.approx(match.similarity, abs=1e-3)
    assert found[0]["file"] == "audio/copy.wav"


def test_search_for_moments(capsys: Captured) -> None:
    assert main(["search", "moments", "audio/4.wav", "--json"]) == 0
    found = json_lines(capsys)
    assert sorted(line["file"] for line in found) == sorted([*NAMES, "audio/copy.wav"])
    assert {line["timestamp_ms"] for line in found} <= {0.0, 200.0, 400.0, 600.0, 800.0, 1000.0}
    stored = SoundSearch("moments").neighbours_of_file("audio/4.wav")
    # Moments that are alike to within the rounding of the stored rows may change places, on some kinds of processors.
    assert [line["similarity"] for line in found] == pytest.approx([match.similarity for match in stored], abs=1e-3)
    similar = {match.file: match.similarity for match in stored}
    assert {line["file"]: line["similarity"] for line in found} == pytest.approx(similar, abs=1e-3)
    assert main(["search", "moments", "audio/4.wav", "--all-moments", "--top", "100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(Dataset("moments"))
    assert all(" at " in line for line in lines[1:])


def test_stored_queries_need_neither_audio_nor_net(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["search", "scenes", "audio/2.wav", "--json"]) == 0
    by_audio = json_lines(capsys)
    monkeypatch.setattr("hear_edgel3.search.sound_search.QueryEmbedder", lambda *a: pytest.fail("a net was loaded"))
    monkeypatch.setattr("hear_edgel3.search.rows.Path.open", lambda *a: pytest.fail("a file was opened"))
    assert main(["search", "scenes", "audio/2.wav", "--stored", "--json"]) == 0
    assert [line["row"] for line in json_lines(capsys)] == [line["row"] for line in by_audio]
    assert main(["search", "scenes", "audio/bad.wav", "audio/none.wav", "--stored"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "no embedding of the file audio/bad.wav" in err
    assert "no embedding of the file audio/none.wav" in err


def test_a_bad_query_does_not_stop_the_others(capsys: Captured) -> None:
    Path("audio/noise.wav").write_bytes(b"not audio")
    assert main(["search", "scenes", "audio/noise.wav", "nowhere.wav", "audio/1.wav", "--top", "1"]) == 1
    out, err = capsys.readouterr()
    assert out == "audio/1.wav\n   1.000  audio/1.wav\n"
    assert "error: audio/noise.wav" in err
    assert "error: nowhere.wav" in err
    assert "failures:" in err


def test_a_clip_in_memory(made: Path) -> None:
    search = SoundSearch("scenes")
    clip, rate = soundfile.read("audio/5.wav")
    assert search.query(clip, 3, sample_rate=rate) == search.query("audio/5.wav", 3)
    assert search.query(Path("audio/5.wav"), 3)[0].row == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights_sha256": "f" * 64}, "other weights of tiny .sha256 ffffffffffff"),
        ({"embedding_version": 99}, "tiny version 99, and this hear_edgel3 makes version"),
    ],
)
def test_a_dataset_of_another_net(change: dict[str, Any], message: str, tmp_path: Path, capsys: Captured) -> None:
    made_by = replace(Dataset("scenes").description, **change)
    fields = {k: v for k, v in vars(made_by).items() if k != "size"}
    write_part(tmp_path / "0.parquet", clustered(4, made_by.size), **fields)
    with pytest.raises(DatasetError, match=message):
        SoundSearch(tmp_path).query("audio/0.wav")
    assert main(["search", str(tmp_path), "audio/0.wav"]) == 1
    assert "the dataset " in capsys.readouterr().err


def test_a_dataset_of_one_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """Of a query with several channels that of the dataset is heard; one with a single channel is what it is."""
    monkeypatch.chdir(tmp_path)
    for i in range(5):
        soundfile.write(f"{i}.wav", np.stack([sound(5), sound(i)], axis=1), RATE, subtype="FLOAT")
    soundfile.write("single.wav", sound(3), RATE, subtype="FLOAT")
    assert hear_edgel3.extract([f"{i}.wav" for i in range(5)], "data", channel=1, workers=1).all_well
    search = SoundSearch("data")
    for query in ("3.wav", Path("single.wav")):
        best = search.query(query)[0]
        assert (best.file, best.similarity) == ("3.wav", pytest.approx(1, abs=1e-5))
    both = np.stack([sound(5), sound(3)], axis=1)
    for clip in (both, both[:, 1], both[:, 1:]):
        assert search.query(clip, sample_rate=RATE)[0].similarity == pytest.approx(1, abs=1e-5)
    soundfile.write("third.wav", np.stack([sound(0), sound(1), sound(3)], axis=1), RATE, subtype="FLOAT")
    assert hear_edgel3.extract("third.wav", "third", channel=2, workers=1).all_well
    assert main(["search", "third", "third.wav"]) == 0
    assert main(["search", "third", "3.wav"]) == 1
    assert "3.wav has 2 channels, 0 to 1; there is no channel 2" in capsys.readouterr().err


def test_a_dataset_of_a_net_that_has_no_name_here(tmp_path: Path, capsys: Captured) -> None:
    fields = {k: v for k, v in vars(Dataset("scenes").description).items() if k != "size"}
    write_part(tmp_path / "0.parquet", clustered(4), **{**fields, "configuration": "owls"})
    assert main(["search", str(tmp_path), "audio/0.wav"]) == 2
    assert "was made with owls, and there is no configuration 'owls'; " in (said := capsys.readouterr().err)
    assert "if it is a net of your own, give its folder (--config)" in said


def test_another_configuration(capsys: Captured) -> None:
    assert main(["search", "scenes", "audio/0.wav", "--config", "mn02_as"]) == 1
    assert "made with tiny, not with mn02_as" in capsys.readouterr().err


def test_a_net_of_its_own_folder(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = PACKAGE / "checkpoints" / "tiny"
    shutil.copytree(checkpoint, "net")
    loaded = []
    load = loading.load
    monkeypatch.setattr(loading, "load", lambda net, **options: loaded.append(str(net)) or load(net, **options))
    assert main(["search", "scenes", "audio/0.wav", "--config", "net", "--top", "1"]) == 0
    assert capsys.readouterr().out == "audio/0.wav\n   1.000  audio/0.wav\n"
    assert loaded == ["net"]  # not the one that the dataset names


@pytest.mark.parametrize(
    "arguments", [["--stored", "--config", "tiny"], ["--stored", "--weights", "w"], ["--top", "0"], ["--top", "x"]]
)
def test_wrong_usage(arguments: list[str], capsys: Captured) -> None:
    try:
        status = main(["search", "scenes", "audio/0.wav", *arguments])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", ["index", "duplicates", "search"])
def test_no_dataset(command: str, capsys: Captured) -> None:
    assert main([command, "audio", *(["x.wav"] if command == "search" else [])]) == 1
    assert "audio has no Parquet files" in capsys.readouterr().err


# --- index ---


def test_index(capsys: Captured, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    shutil.copytree("scenes", folder)
    assert main(["index", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "8 rows" in err
    assert "without an index (--overwrite builds one)" in err
    assert not (folder / FILE).exists()
    assert main(["index", str(folder), "--force", "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder / FILE}\n"
    assert err.splitlines()[-1] == "7 embeddings in the index, 7 added"
    write_part(folder / "1.parquet", clustered(3, 320), **_made_by(Dataset(folder).description))
    assert main(["search", str(folder), "audio/0.wav", "--top", "1"]) == 0
    out, err = capsys.readouterr()
    assert "3 rows are not in the index yet" in err
    assert out.splitlines()[1] == "   1.000  audio/0.wav"
    assert main(["search", str(folder), "audio/0.wav", "--top", "1", "--exact"]) == 0
    assert capsys.readouterr() == (out, "")
    assert main(["index", str(folder), "--quiet"]) == 0
    assert capsys.readouterr() == (f"{folder / FILE}\n", "")
    assert main(["index", str(folder)]) == 0
    assert "10 embeddings in the index, nothing to add" in capsys.readouterr().err


def test_an_index_that_cannot_be_written(capsys: Captured, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    shutil.copytree("scenes", folder)
    (folder / FILE).mkdir()
    assert main(["index", str(folder), "--quiet"]) == 1
    assert f"cannot write {folder / FILE}: it is a folder" in capsys.readouterr().err
    assert main(["search", str(folder), "audio/0.wav", "--top", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1] == "   1.000  audio/0.wav"
    assert "searching without the index" in err


# --- duplicates ---


def test_duplicates(capsys: Captured) -> None:
    assert main(["duplicates", "scenes", "--threshold", "0.8"]) == 0
    out, err = capsys.readouterr()
    assert out == "audio/0.wav\naudio/copy.wav\n"
    assert err == "groups: 1, files in them: 2 (similarity 0.8 or more)\n"


def test_duplicates_in_json_and_in_moments(capsys: Captured) -> None:
    assert main(["duplicates", "moments", "--threshold", "0.9", "--json"]) == 0
    (group,) = json_lines(capsys)
    assert group["files"] == ["audio/0.wav", "audio/copy.wav"]
    assert 0.9 <= group["similarity"] <= 1


def test_groups_are_apart(tmp_path: Path, capsys: Captured) -> None:
    x = clustered(20, spread=0.9)
    x[10] = x[3]
    x[12] = x[5]
    write_part(tmp_path / "a.parquet", x, [f"{np.base_repr(i, 36)}.wav" for i in range(20)])
    assert main(["duplicates", str(tmp_path), "--threshold", "1"]) == 0
    assert capsys.readouterr().out == "3.wav\nA.wav\n\n5.wav\nC.wav\n"


def test_the_default_threshold_is_told(capsys: Captured) -> None:
    with pytest.raises(SystemExit):
        main(["duplicates", "--help"])
    assert f"(default {THRESHOLD:g};" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("threshold", ["0", "1.5", "x", "nan"])
def test_thresholds_out_of_range(threshold: str, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["duplicates", "scenes", "--threshold", threshold])
    assert stop.value.code == 2
    assert "above 0 and at most 1" in capsys.readouterr().err
