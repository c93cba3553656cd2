"""Options that contradict each other, or would do nothing, are refused by name: nothing is silently left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import InvalidOption
from hear_edgel3.jobs.options import Options
from support.types import Captured


def refused(command: str, capsys: Captured) -> str:
    """What a command says that is wrong usage."""
    try:
        status = main(command.split())
    except SystemExit as stopped:
        status = stopped.code  # type: ignore[assignment]
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    return err


@pytest.mark.parametrize(
    ("command", "first", "second"),
    [
        ("embed a.wav --hop 0.5 --hop-size 0.2", "--hop", "--hop-size"),
        ("embed a.wav --hop-size 0.2 -t 0.5", "--hop", "--hop-size"),
        ("embed a.wav --output-dir a --output b", "--output", "--output-dir"),
        ("extract a.wav -o out --engine eager --net-engine numba", "--engine", "--net-engine"),
        ("extract a.wav -o out --runner local --engine ray", "--runner local", "--engine ray"),
        ("weights convert sea_64 --verify a.npz --reference b.npz", "--verify", "--reference"),
    ],
)
def test_two_spellings_at_once(command: str, first: str, second: str, capsys: Captured) -> None:
    err = refused(command, capsys)
    assert first in err
    assert second in err


@pytest.mark.parametrize(
    "command",
    [
        *("embed a.wav", "extract a.wav -o out", "tag a.wav", "predict a.wav", "events a.wav", "listen"),
        *("search out a.wav", "train sounds -o out", "export", "info"),
    ],
)
def test_one_net_at_a_time(command: str, capsys: Captured) -> None:
    err = refused(f"{command} --config tiny -c mn04_as", capsys)
    assert "argument --config/-c: given twice, tiny and mn04_as: one net at a time" in err
    # A command that was refused leaves nothing behind for the next one.
    assert "given twice" not in refused(f"{command} --config tiny --no-such-option", capsys)


@pytest.mark.parametrize(
    ("command", "runner", "engine"),
    [
        ("--engine ray", "ray", "auto"),
        ("--engine local", "local", "auto"),
        ("--runner ray --engine ray", "ray", "auto"),
        ("--engine ray --engine numba", "ray", "numba"),
        ("--runner ray --engine numba", "ray", "numba"),
        ("--net-engine eager", "local", "eager"),
        ("", "local", "auto"),
    ],
)
def test_old_words_for_who_and_what(
    command: str, runner: str, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def extract(*given: Any, **how: Any) -> None:
        seen.append(how)
        raise InvalidOption("enough")

    monkeypatch.setattr("hear_edgel3.jobs.run.extract", extract)
    assert main(["extract", str(tmp_path), "-o", str(tmp_path / "out"), *command.split()]) == 2
    assert (seen[0]["runner"], seen[0]["engine"]) == (runner, engine)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("extract a.wav -o out --runner ray --workers 2", "--workers is for processes on this machine"),
        ("extract a.wav -o out --concurrency 2", "--concurrency is for Ray tasks: give --runner ray too"),
        ("extract a.wav -o out --num-gpus 0.5", "--num-gpus is for Ray tasks: give --runner ray too"),
        ("extract a.wav -o out --hop 0.5", "give --timestamps too"),
        ("tune --dry-run --reset", "argument --reset: not allowed with argument --dry-run"),
        ("explore d --projection pca --seed 3", "--seed is for UMAP"),
        ("weights convert sea_64 --tolerance 1e-3", "--tolerance is for --reference"),
        ("weights verify sea_64 --tolerance 1e-3", "--tolerance is for --reference"),
        ("tag a.wav --hop 1", "--hop 1.0 goes with a window"),
        ("tag a.wav --overwrite", "--overwrite is for --output"),
        ("listen -c sea_64 --top 3", "--top goes with tags"),
    ],
)
def test_options_that_would_do_nothing(command: str, words: str, capsys: Captured) -> None:
    err = refused(command, capsys)
    # argparse names the two in the order in which they came
    assert (
        words in err or words.replace("--reset", "*").replace("--dry-run", "--reset").replace("*", "--dry-run") in err
    )


@pytest.mark.parametrize(
    "how", [{"runner": "ray", "workers": 2}, {"concurrency": 2}, {"num_gpus": 1}, {"runner": "local", "num_gpus": 0.5}]
)
def test_options_that_would_do_nothing_in_python(how: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"workers|concurrency|num_gpus"):
        Options(**how)
    with pytest.raises(InvalidOption, match=r"workers|concurrency|num_gpus"):
        hear_edgel3.extract([tmp_path], tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["embed a.wav --ho 1", "extract a.wav --outp x", "list --js", "weights list --js"])
def test_options_are_given_in_full(command: str, capsys: Captured) -> None:
    assert "unrecognized arguments" in refused(command, capsys) or command.startswith("extract")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("embed a.wav --hop 1e-9 -c sea_64", "--hop 1e-09 is less than one sample"),
        ("extract a.wav -o out --timestamps --hop 1e-9", "--hop 1e-09 is less than one sample at "),
        ("listen -c sea_64 --hop 1e-9", "--hop 1e-09 is less than one sample at "),
        ("tag a.wav --window 61", "--window 61.0 is more than 60 s"),
        ("listen --rate " + "1" + "0" * 400, "--rate: must be a whole number, got 1000"),
        ("listen --rate " + "1" + "0" * 50, "--rate must be "),
        ("extract a.wav -o out --partition 0/" + "9" * 5000, "partition 0/999"),
        ("extract a.wav -o out --partition 1", "--partition must be I/N"),
    ],
)
def test_errors_name_the_option(command: str, words: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hear_edgel3.cli.listen.StandardInput", lambda hint: None)
    err = refused(command, capsys)
    assert words in err
    assert "hop_size" not in err
    assert len(err) < 3000
