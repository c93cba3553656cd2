"""One vocabulary of options: what every command calls them, and which old spellings are still understood."""

from __future__ import annotations

import argparse
import importlib
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

import hear_edgel3.cli
from hear_edgel3.cli import main, options
from hear_edgel3.cli.common import Failures
from hear_edgel3.cli.sources import audio_sources
from hear_edgel3.engine import table
from hear_edgel3.errors import AudioFileError

Captured = pytest.CaptureFixture[str]
VERBS = hear_edgel3.cli._VERBS


def parsed(monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    """What a command would be run with."""
    seen: list[argparse.Namespace] = []
    verb = next(word for word in words if word in VERBS)
    module = importlib.import_module(f"hear_edgel3.cli.{verb}")
    monkeypatch.setattr(module, "run", lambda arguments: seen.append(arguments) or 0)
    assert main([*words]) == 0
    return {key: value for key, value in vars(seen[0]).items() if key not in ("argv", "run")}


def help_of(*words: str, capsys: Captured) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


OLD = [
    ("embed a.wav --output-dir out", "embed a.wav --output out"),
    ("embed a.wav -o out", "embed a.wav --output out"),
    ("embed a.wav --hop-size 0.5", "embed a.wav --hop 0.5"),
    ("embed a.wav -t 0.5", "embed a.wav --hop 0.5"),
    ("extract in -o out --net-engine eager", "extract in --output out --engine eager"),
    ("listen sea_64", "listen --config sea_64"),
    ("info sea_64", "info --config sea_64"),
    ("--verbose list", "list --verbose"),
    ("--verbose weights list", "weights list --verbose"),
]


@pytest.mark.parametrize(("old", "new"), OLD)
def test_old_spellings_mean_the_new_ones(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "weights" in old:  # its commands have runs of their own
        monkeypatch.setattr("hear_edgel3.cli.weights._list", lambda arguments: int(not arguments.verbose))
        assert main(old.split()) == main(new.split()) == 0
        return
    assert parsed(monkeypatch, *old.split()) == parsed(monkeypatch, *new.split())


@pytest.mark.parametrize(
    ("verb", "hidden"),
    [
        ("embed", ["--output-dir", "--hop-size"]),
        ("extract", ["--net-engine", "{local,ray}  ["]),
        ("listen", ["CONFIG\n", "[config]", "positional"]),
    ],
)
def test_old_spellings_are_not_shown(verb: str, hidden: list[str], capsys: Captured) -> None:
    text = help_of(verb, capsys=capsys)
    for word in hidden:
        assert word not in text


@pytest.mark.parametrize(
    ("option", "verbs"),
    [
        ("--config NAME|FOLDER", "embed tag extract listen search info"),
        ("--weights FILE", "embed tag extract listen search"),
        ("--hop SECONDS", "embed tag extract listen"),
        ("--window SECONDS", "tag listen"),
        ("--output ", "embed tag extract explore distill"),
        ("--engine NAME", "embed tag extract listen"),
        ("--device ", "embed tag extract listen distill"),
        ("--workers N", "tag extract"),
        ("--threads N", "tag extract index"),
        ("--top N", "tag listen search"),
        ("--json", "tag extract search duplicates list info"),
        ("--quiet", "embed tag extract listen index search duplicates explore distill tune"),
        ("--verbose", " ".join(VERBS)),
    ],
)
def test_the_vocabulary(option: str, verbs: str, capsys: Captured) -> None:
    for verb in verbs.split():
        assert option in help_of(verb, capsys=capsys), verb


def test_engines_are_named_by_the_table(capsys: Captured) -> None:
    for verb in ("embed", "tag", "extract", "listen"):
        text = help_of(verb, capsys=capsys)
        assert all(name in text for name in table.NAMES)


@pytest.mark.parametrize(
    "words",
    [
        ["embed", "a.wav"],
        ["tag", "a.wav"],
        ["extract", "a.wav", "--output", "out"],
        ["extract", "a.wav", "--output", "out", "--net-engine", "ray"],
        ["listen"],
    ],
)
def test_an_unknown_engine_is_refused_everywhere(words: list[str], capsys: Captured, tmp_path: Path) -> None:
    if "--net-engine" not in words:
        words = [*words, "--engine", "steam"]
    assert main(words) == 2
    name = words[-1]
    assert capsys.readouterr().err == f"hear-edgel3: --engine must be one of {', '.join(table.NAMES)}; got '{name}'\n"


def test_a_configuration_cannot_be_named_twice(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["listen", "sea_64", "--config", "sea_512"])
    assert stopped.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("read", "good", "bad", "words"),
    [
        (options.positive("seconds"), ["1", "1e-3"], ["0", "-1", "nan", "inf", "x", ""], "positive number of seconds"),
        (options.positive(), ["2"], ["0"], "must be a positive number, got"),
        (options.share, ["0", "0.5", "2"], ["-1", "nan", "inf", "x"], "a number from 0"),
        (options.fraction, ["1", "0.5"], ["0", "1.1", "nan", "x"], "above 0 and at most 1"),
        (options.count, ["1", "007"], ["0", "-1", "1.0", "\u00b2", "", "9" * 5000], "a whole number from 1"),
        (options.seed, ["0", str(2**32 - 1)], ["-1", str(2**32), "9" * 5000], "a whole number from 0"),
    ],
)
def test_numbers(read: Any, good: list[str], bad: list[str], words: str) -> None:
    for text in good:
        assert read(text) == float(text)
    for text in bad:
        with pytest.raises(argparse.ArgumentTypeError, match=words):
            read(text)


def test_failures_take_no_memory(capsys: Captured) -> None:
    failures = Failures([("nowhere", AudioFileError("nowhere does not exist"))])
    for number in range(1500):
        with failures.of(f"{number}.wav"):
            raise RuntimeError("out of memory")
    with failures.of("good.wav"):
        pass
    assert len(failures) == 1501
    assert len(failures._first) == 1000
    capsys.readouterr()
    failures.summarise(2000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == ["failures:", "  nowhere does not exist", "  0.wav: out of memory"]
    assert lines[-1] == "  and 501 more"
    with pytest.raises(ZeroDivisionError), failures.of("a fault of the program"):
        raise ZeroDivisionError


def test_sources_mean_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Globs and lists too, as in `extract`."""
    monkeypatch.chdir(tmp_path)
    for name in ("d/a.wav", "d/b.flac", "d/deeper/c.wav"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(name, [0.0] * 100, 8000)
    Path("d/notes.md").write_text("no audio")
    Path("d/list.txt").write_text("a.wav\ndeeper/c.wav\n")
    Path("list.csv").write_text("path,kind\nd/b.flac,x\n")
    pq.write_table(pa.table({"file": ["d/deeper/c.wav"]}), "list.parquet")
    with tarfile.open("shard.tar", "w") as tar:
        tar.add("d/a.wav", "in/a.wav")
    found = audio_sources(["d/*.wav", "list.csv", "d/list.txt", "list.parquet", "d", "shard.tar"])
    assert [item.file for item in found.items] == [
        "d/a.wav",
        "d/b.flac",
        "d/deeper/c.wav",
        "shard.tar/in/a.wav",
    ]
    assert [item.shard for item in found.items] == [None, None, None, "shard.tar"]
    assert found.failures == []
    assert len(found.notes) == 1
    assert "1 .md, 1 .txt" in found.notes[0]
    Path("clips.csv").write_text("file,start,end\nd/a.wav,0,1\n")
    Path("bad.tar").write_bytes(b"x")
    found = audio_sources(["x/*.wav", "bad.tar", "nowhere.txt", "clips.csv", "d/*.wav"])
    assert [item.file for item in found.items] == ["d/a.wav", "d/a.wav"]  # the clip, and the file
    assert [str(error) for _, error in found.failures] == [
        "nothing matches x/*.wav",
        "bad.tar cannot be read as a tar file: truncated header",
        "nowhere.txt does not exist",
    ]
