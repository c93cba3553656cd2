"""``hear-edgel3 tag`` says once where the built-in net is unsure, and which nets give better tags at what cost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hear_edgel3.cli import doubts, main
from hear_edgel3.registry.names import by_name
from support.paths import PACKAGE
from support.tag_command import write_loud_clip
from support.types import Captured

LINE = (
    "hear-edgel3: tiny is unsure of {what}: no class has a probability of {below:g}, and then it is often wrong. "
    "Better tags:\n"
    "  --config mn04_as: 4 MB to download, once (hear-edgel3 weights fetch mn04_as)\n"
    "  --config mn10_as: 20 MB to download, once (hear-edgel3 weights fetch mn10_as)\n"
)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sounds, no weights but the built-in net's, no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("HEAR_EDGEL3_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hear_edgel3.weights.locate._from_upstream", lambda row: pytest.fail("something is fetched"))
    write_loud_clip("a.wav")
    write_loud_clip("b.wav", seed=1)


@pytest.fixture
def unsure(monkeypatch: pytest.MonkeyPatch) -> float:
    """Whatever the net says, it is not enough."""
    monkeypatch.setattr(doubts, "UNSURE_BELOW", 1.5)
    return doubts.UNSURE_BELOW


@pytest.mark.parametrize(
    "form", [[], ["--csv"], ["--json"], ["--window", "0.25"], ["--workers", "2"], ["--channel", "each"]]
)
def test_once_a_run_on_stderr(form: list[str], unsure: float, capsys: Captured) -> None:
    assert main(["tag", "a.wav", "b.wav", *form]) == 0
    out, err = capsys.readouterr()
    assert err.count("unsure") == 1
    assert err.endswith(LINE.format(what="2 of 2 files", below=unsure))
    assert "unsure" not in out
    assert main(["tag", "a.wav", "--config", "tiny", *form]) == 0
    assert capsys.readouterr().err == LINE.format(what="this file", below=unsure)


def test_into_a_file(unsure: float, capsys: Captured) -> None:
    """Of what was tagged now; what was there is not looked at again."""
    assert main(["tag", "a.wav", "--output", "tags.csv"]) == 0
    assert LINE.format(what="this file", below=unsure) in capsys.readouterr().err
    assert main(["tag", "a.wav", "b.wav", "--output", "tags.csv"]) == 0
    assert LINE.format(what="this file", below=unsure) in capsys.readouterr().err
    assert main(["tag", "a.wav", "b.wav", "--output", "tags.csv"]) == 0
    assert "unsure" not in capsys.readouterr().err


@pytest.mark.usefixtures("unsure")
def test_when_nothing_is_said(mobilenetv3_folder: Path, capsys: Captured) -> None:
    """With -q, of any other net, of several, of weights of one's own, and of a folder that bears the same name."""
    shutil.copytree(PACKAGE / "checkpoints" / "tiny", "mine")
    own = str(PACKAGE / "checkpoints" / "tiny" / "model.safetensors")
    for options in (
        ["-q"],
        ["--config", "mn01_as", "--weights", str(mobilenetv3_folder)],
        ["--ensemble", "tiny", "./mine"],
        ["--weights", own],
        ["--config", "./mine"],
    ):
        assert main(["tag", "a.wav", *options]) == 0
        assert "unsure" not in capsys.readouterr().err, options


def test_nothing_is_said_by_a_net_that_is_sure(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(doubts, "UNSURE_BELOW", 0.0)
    assert main(["tag", "a.wav", "b.wav"]) == 0
    assert capsys.readouterr().err == ""


def test_what_is_here_costs_nothing(tmp_path: Path, unsure: float, capsys: Captured) -> None:
    """No file is opened to know that."""
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "mn10_as.safetensors").touch()
    assert main(["tag", "a.wav"]) == 0
    said = LINE.format(what="this file", below=unsure)
    fetched = "20 MB to download, once (hear-edgel3 weights fetch mn10_as)"
    assert capsys.readouterr().err == said.replace(fetched, "its weights are on this machine")


def record(*tops: float) -> dict[str, Any]:
    return {"windows": [{"tags": [{"probability": top}, {"probability": top / 2}]} for top in tops]}


@pytest.mark.parametrize(
    ("tops", "unsure"),
    [
        ((0.31,), False),
        ((0.3,), False),
        ((0.29,), True),
        ((0.1, 0.9), True),  # half of it
        ((0.1, 0.9, 0.8), False),  # a pause
        ((), False),
    ],
)
def test_the_rule(tops: tuple[float, ...], unsure: bool) -> None:
    assert doubts.is_unsure(record(*tops)) == unsure


def test_better_nets_are_larger_and_published() -> None:
    sizes = [by_name(name).checkpoint.n_parameters for name in ("tiny", *doubts.BETTER)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)
