"""The command that says how many small changes the tests notice, on a package of one file and without mutmut."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fuzz import mutants, mutants_kept, mutants_server
from fuzz.mutants_kept import CannotGoOn, Change, Kept, Result, Seen
from support.paths import REPOSITORY

# As mutmut writes it, with the choice by the environment in the function itself.
_CHANGED = """
import os

def x_half__mutmut_orig(n):
    # a comment
    return (
        n // 2
    )

def x_half__mutmut_1(n):
    # a comment
    return (
        n / 2
    )

def x_half__mutmut_2(n):
    # a comment
    return (
        n // 3
    )

def half(n):
    which = os.environ["MUTANT_UNDER_TEST"].rpartition(".")[2]
    if which == "x_half__mutmut_3":
        os.abort()
    while which == "x_half__mutmut_4":
        pass
    return globals().get(which, x_half__mutmut_orig)(n)
"""
_TESTS = """
from package import half

def test_none(): assert half(0) == 0
def test_some(): assert half(4) == 2
"""
_ALL = {f"package.x_half__mutmut_{i}": None for i in range(1, 6)}


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    place = tmp_path / "room" / "mutants"
    (place / "tests").mkdir(parents=True)
    (place / "package.py").write_text(_CHANGED)
    (place / "package.py.meta").write_text(json.dumps({"exit_code_by_key": _ALL}))
    (place / "tests" / "test_half.py").write_text(_TESTS)
    (place / "pytest.ini").write_text("[pytest]\nmarkers = slow\n  gpu\n")
    return Kept(place.parent, tmp_path, 0, 5)


def test_mutants_are_killed_or_survive(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUTANT_UNDER_TEST", raising=False)
    names = [f"tests/test_half.py::test_{name}" for name in ("none", "some")]
    found = []
    with kept.server(()) as ask:
        for i, hang_s in ((1, 60), (2, 60), (3, 60), (4, 0.5)):
            asked = {"mutant": f"package.x_half__mutmut_{i}", "tests": dict.fromkeys(names, 0.0), "limit_s": 60}
            found.append(ask({**asked, "hang_s": hang_s}))
        stopped = ask({"mutant": "package.x_half__mutmut_2", "tests": dict.fromkeys(names, 0.0), "limit_s": 0})
    assert [(one["what"], one["by"], one["how"], one["tests"]) for one in (*found, stopped)] == [
        ("survived", None, None, 2),  # 2.0 == 2
        ("killed", names[1], None, 2),
        ("killed", names[0], "ends the process", 1),
        ("killed", names[0], "hangs", 1),
        ("survived", None, None, 1),
    ]


def _result(i: int, what: str, by: str | None = None) -> Result:
    return Result(f"package.x_half__mutmut_{i}", what, by, None, 1.5, 2)


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(mutant: str, *_: object) -> Result:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(mutant)
        return Result(mutant, "survived" if mutant.endswith("1") else "killed", None, None, 0, 1)

    monkeypatch.setattr(mutants, "attempt", ask)
    monkeypatch.setattr(Kept, "learned", lambda *_: {})
    monkeypatch.setattr(mutants_server, "WARM", ())
    code = tmp_path / "hear_edgel3" / "code.py"
    for path in (code, tmp_path / "weights_convert" / "code.py", tmp_path / "tests" / "test_a.py"):
        path.parent.mkdir()
        path.write_text("pass\n")
    kept.note()
    with pytest.raises(KeyboardInterrupt):
        mutants.try_room("framing", kept, 1, again=False)
    with (kept.folder / "results.jsonl").open("a") as file:
        file.write('{"mutant": "package.x_ha')  # it was killed while it wrote
    asked.clear()
    mutants.try_room("framing", kept, 1, again=False)
    assert len(asked) == 2
    assert kept.results().keys() == _ALL.keys()
    asked.clear()
    mutants.try_room("framing", kept, 1, again=True)
    assert asked == ["package.x_half__mutmut_1"]

    for other in (Kept(kept.folder, tmp_path, 1, 5), Kept(kept.folder, tmp_path, 0, 4)):
        with pytest.raises(CannotGoOn, match=r"was begun with another --(seed|sample): take a new folder"):
            other.make(())
    kept.make(())
    code.write_text("None\n")
    with pytest.raises(CannotGoOn, match="was begun with other code"):
        kept.make(())


def test_figures(kept: Kept, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    source = kept.folder.parent / "package.py"
    source.write_text("\n\ndef half(n):\n    # a comment\n    return (\n        n // 2\n    )\n")
    for result in (
        _result(2, "survived"),
        _result(1, "survived"),
        _result(2, "killed", "a"),
        _result(3, "killed", "b"),
    ):
        kept.add(result)
    monkeypatch.setattr(mutants, "_ROOT", kept.folder.parent)
    assert mutants.report("half", kept)["killed"] == 2
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == "half 3 2 1 0 66.7% of all, 66.7% of the others".split()
    assert said[1:] == [
        "    package.x_half__mutmut_1 after 2 tests, package.py:6",
        "        - n // 2",
        "        + n / 2",
    ]

    monkeypatch.setattr(mutants_kept, "equivalents", lambda: {Change("package.py", "half", "n // 2", "n / 2"): "even"})
    mutants.report("half", kept)
    assert capsys.readouterr().out.split() == "half 3 2 0 1 66.7% of all, 100.0% of the others".split()


def test_the_likeliest_tests_come_first() -> None:
    tests = {
        name: Seen(seconds, frozenset(functions))
        for name, seconds, functions in (
            ("tests/test_other.py::test_far", 0.1, ["package.x_half"]),
            ("tests/test_other.py::test_killer", 9.0, ["package.x_half"]),
            ("tests/test_half.py::test_long", 4.0, ["package.x_half"]),
            ("tests/test_half.py::test_near", 0.1, ["package.x_half"]),
            ("tests/test_half.py::test_without", 0.1, []),
        )
    }
    kills = [_result(1, "killed", "tests/test_other.py::test_killer")]
    order = mutants_kept.in_order("package.x_half__mutmut_9", tests, kills)
    assert [name.partition("::")[2] for name in order] == ["test_killer", "test_near", "test_far", "test_long"]
    # Where none was seen to go through it, programs that tests start may: all of them.
    assert len(mutants_kept.in_order("package.x_double__mutmut_9", tests, [])) == 5


def test_what_is_said_to_be_equivalent_is_there() -> None:
    for change, reason in mutants_kept.equivalents().items():
        lines = [line.strip() for line in (REPOSITORY / change.file).read_text().splitlines()]
        was = change.was.split("\n")
        assert any(lines[i : i + len(was)] == was for i in range(len(lines))), f"{change} is not there any more"
        assert len(reason) > 10


def test_options_that_say_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--again"], ["--figures"], ["--sample", "2"], ["cellar"]):
        monkeypatch.setattr(sys, "argv", ["mutants", *options])
        with pytest.raises(SystemExit):
            mutants.main()
    assert "cellar" not in capsys.readouterr().out
