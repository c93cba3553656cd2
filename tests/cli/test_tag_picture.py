"""``hear-edgel3 tag --plot``: what is drawn, and pictures that cannot be."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from support.tag_command import no_work, run_tag, write_loud_clip
from support.types import Captured

pytestmark = pytest.mark.usefixtures("tagging_weights")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would be drawn, without the time that drawing takes; tests/tagging/test_plot.py draws."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr("hear_edgel3.tagging.plot.draw_tags", lambda *arguments: calls.append(arguments))
    return calls


def test_plot(capsys: Captured) -> None:
    write_loud_clip("a.wav", 1.0)
    assert run_tag("a.wav", "--plot", "out.png", "--window", "0.5", "--top", "3", "--csv") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 1 + 3 * 5  # the tags are printed all the same
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(os.listdir()) == ["a.wav", "out.png"]


def test_what_is_drawn(drawn: list[tuple[Any, ...]], capsys: Captured) -> None:
    write_loud_clip("d/a.wav", 1.0)
    Path("out.SVG").write_text("an older picture")
    assert run_tag("d", "--plot", "out.SVG", "--window", "0.5", "--top", "3", "--ensemble", "mn02_as") == 0
    ((source, tags, extractor, target, top, channel),) = drawn
    assert (Path(source), target, top) == (Path("d/a.wav"), "out.SVG", 3)
    assert channel == "mean"
    assert tags.configurations == ("mn01_as", "mn02_as")
    assert len(tags.starts) == 5
    assert extractor.configuration.checkpoint.name == "mn01_as"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("inputs", "count"),
    [(["a.wav", "b.wav"], 2), (["d"], 2), (["a.wav", "nowhere.wav"], 2), (["a.wav", "b.wav", "d", "nowhere.wav"], 5)],
)
def test_plot_draws_one_file(
    inputs: list[str], count: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch, drawn: list[tuple[Any, ...]]
) -> None:
    no_work(monkeypatch)
    for name in ("a.wav", "b.wav", "d/c.wav", "d/e.wav"):
        write_loud_clip(name)
    assert run_tag(*inputs, "--plot", "out.png") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == f"hear-edgel3: --plot draws one file; {count} were given"
    assert not Path("out.png").exists()


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("out.gif", 2, "cannot draw out.gif: the name must end in one of .png, .pdf, .svg"),
        ("out", 2, "cannot draw out: the name must end"),
        (".png", 2, "cannot draw .png: the name must end"),
        ("", 2, "the name must end"),
        ("nowhere/out.png", 1, "the folder nowhere does not exist"),
        ("folder.png", 1, "cannot write folder.png: it is a folder"),
        (f"{'x' * 300}.png", 1, "File name too long"),
    ],
)
def test_pictures_that_cannot_be(
    target: str, code: int, message: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_work(monkeypatch)
    write_loud_clip("a.wav")
    Path("folder.png").mkdir()
    assert run_tag("a.wav", "--plot", target) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hear-edgel3: ")
    assert message in err
    assert sorted(os.listdir()) == ["a.wav", "folder.png"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    no_work(monkeypatch)
    write_loud_clip("a.wav")
    Path("d").mkdir()
    Path("d").chmod(0o555)
    try:
        assert run_tag("a.wav", "--plot", "d/out.png") == 1
    finally:
        Path("d").chmod(0o755)
    assert "no permission to write into d" in capsys.readouterr().err


def test_plot_without_matplotlib(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    no_work(monkeypatch)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_loud_clip("a.wav")
    assert run_tag("a.wav", "--plot", "out.png") == 1
    assert capsys.readouterr() == (
        "",
        "hear-edgel3: drawing tags needs the package 'matplotlib', which is not installed; install it with: "
        'pip install ".[plot]" in the folder of the clone\n',
    )


def test_a_picture_that_fails(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("hear_edgel3.tagging.plot.draw_tags", fails)
    write_loud_clip("a.wav")
    assert run_tag("a.wav", "--plot", "out.png") == 1
    assert capsys.readouterr() == ("", "error: a.wav: no room\n")


def test_a_picture_of_a_bad_file(capsys: Captured, drawn: list[tuple[Any, ...]]) -> None:
    Path("bad.wav").write_bytes(b"garbage" * 100)
    for name in ("bad.wav", "nowhere.wav"):
        assert run_tag(name, "--plot", "out.png") == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"error: {name} ")
    assert drawn == []
    assert os.listdir() == ["bad.wav"]
