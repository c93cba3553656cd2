"""What commands print: whole and valid wherever it goes, and nothing that a terminal would obey."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hear_edgel3.cli import main
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.disk.paths import printable, shortened
from hear_edgel3.edgel3.cli import main as edgel3_main
from support.files import write_clip
from support.folders import make_folder
from support.paths import PACKAGE
from support.processes import SCRIPT
from support.types import Captured
from weights_convert.__main__ import main as convert_main

pytestmark = [pytest.mark.usefixtures("here"), pytest.mark.skipif(sys.platform == "win32", reason="names are text")]
EVIL = "e\x1b[31m\x07\x9b\u202e\n.wav"
SHOWN = r"e\x1b[31m\x07\x9b\u202e\n.wav"


def test_json() -> None:
    value = {"a": [float("nan"), (float("-inf"), 1.5)], "b": "\x9b\ud800\u2028\x7f", "c": {"d": float("inf")}}
    text = json_text(value, ensure_ascii=False)
    assert text == r'{"a": [null, [null, 1.5]], "b": "\u009b\ud800\u2028\u007f", "c": {"d": null}}'
    assert json.loads(text)["b"] == value["b"]
    assert json_text({"a": 1}, indent=1) == json.dumps({"a": 1}, indent=1)


def test_text() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("a\nb\x1bc", keep="\n") == "a\nb\\x1bc"
    assert printable("caf\xe9 \u97f3\U0001f3b5") == "caf\xe9 \u97f3\U0001f3b5"
    assert shortened("x" * 80) == "x" * 80
    assert shortened("x" * 5000) == "x" * 40 + "... (5000 characters)"


@pytest.fixture
def dataset() -> str:
    write_clip("a.wav").rename(EVIL)
    write_clip("b.wav")  # the same sound
    assert main(["extract", EVIL, "b.wav", "-o", "d", "--workers", "1", "-q"]) == 0
    return "d"


def test_names_do_not_reach_a_terminal(dataset: str, capsys: Captured) -> None:
    Path("bad\x1b.wav").write_bytes(b"no audio")
    for command in (
        ["tag", EVIL],
        ["tag", EVIL, "--json"],
        ["embed", EVIL, "bad\x1b.wav"],
        ["search", dataset, EVIL],
        ["search", dataset, EVIL, "--json"],
        ["duplicates", dataset],
        ["duplicates", dataset, "--json"],
        ["extract", "bad\x1b.wav", "no\x1b.wav", "-o", "e\x1b", "--workers", "1"],
        ["tag", "no\x1b.wav", "bad\x1b.wav"],
        ["explore", "no\x1b"],
        ["info", "no\x1b"],
    ):
        main(command)
        said = "".join(capsys.readouterr())
        assert len(said) > 10
        for character in "\x1b\x07\x9b\u202e":
            assert character not in said.replace("\x1b[A", ""), command  # tqdm's own
    with pytest.raises(SystemExit):
        main(["list", "--no\x1b"])
    assert r"--no\x1b" in capsys.readouterr().err
    assert main(["search", dataset, EVIL, "--json", "--top", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["query"] == EVIL


def test_names_of_other_programs_do_not_either(capsys: Captured, seeded_weights: Path) -> None:
    shutil.copytree(PACKAGE / "checkpoints" / "tiny", "net\x1b")
    Path("out\x1b").mkdir()
    write_clip("a.wav", 1.2).rename(EVIL)
    weights = str(seeded_weights / "sea_64.safetensors")
    assert main(["weights", "verify", "./net\x1b"]) == 0
    assert main(["weights", "convert", "sea_64", "--source", weights, "--output", "out\x1b", "--quantize", "int8"]) == 0
    assert convert_main(["./net\x1b", "--quantize", "int8", "--output", "other\x1b"]) != 0
    assert convert_main(["sea_64", "--source", "no\x1b.h5"]) != 0
    for inputs in ([EVIL, "no\x1b.wav"], ["out\x1b"], [EVIL]):
        with suppress(SystemExit):
            edgel3_main([*inputs, "--model-type", "sea", "--emb-dim", "64", "--output-dir", "out\x1b"])
    said = "".join(capsys.readouterr())
    for shown in (r"net\x1b/model", r"out\x1b/sea_64", r"no\x1b.h5", r"no\x1b.wav", "Edgel3: Processing", SHOWN):
        assert shown in said
    for character in "\x1b\x07\x9b\u202e":
        assert character not in said


def test_csv_is_exact_where_it_is_no_terminal(dataset: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["tag", EVIL, "--csv", "-q"]) == 0
    assert EVIL in capsys.readouterr().out
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    assert main(["tag", EVIL, "--csv", "-q"]) == 0
    assert "\x1b" not in capsys.readouterr().out.replace("\x1b[A", "")


COMMANDS = [
    ["list"],
    ["list", "--json"],
    ["info", "tiny", "--json"],
    ["tag", "b.wav", "-q", "--json"],
    ["search", "d", "b.wav", "-q"],
    ["extract", "b.wav", "-o", "f", "-q", "--json", "--workers", "1"],
    ["listen", "-q"],
    ["--help"],
    ["tag", "--help"],
    ["--version"],
]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("buffered", ["", "1"])
def test_stdout_is_full_or_closed(dataset: str, buffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": buffered}
    for command in COMMANDS if buffered else COMMANDS[:4] + COMMANDS[-2:]:
        for where, words in (
            (">/dev/full", " to standard output: No space left"),
            (">&-", ": standard output is closed"),
        ):
            if where == ">&-" and (not buffered or command not in COMMANDS[:4] + COMMANDS[-1:]):
                continue  # it has no buffer; and who finds that it is closed is the same for all, before they begin
            shell = ["sh", "-c", f'"$@" {where}', "sh", str(SCRIPT), *command]
            done = subprocess.run(
                shell, input=bytes(400_000), stderr=subprocess.PIPE, env=environment, timeout=60, check=False
            )
            assert done.returncode == 1, (command, where)
            assert done.stderr.decode().count("\n") == 1, (command, where)
            assert done.stderr.decode().startswith(f"hear-edgel3: cannot write results{words}"), (command, where)


def test_a_reader_that_went_away() -> None:
    write_clip("b.wav")
    for command in (["listen", "-q"], ["tag", "b.wav", "-q"], ["list", "--json"], ["--help"]):
        with subprocess.Popen(
            [SCRIPT, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.close()
            process.stdout = None
            err = process.communicate(bytes(400_000), timeout=60)[1]
        assert (process.returncode, err) == (0, b"")


def test_stderr_that_is_closed() -> None:
    """Errors do not become results."""
    done = subprocess.run(
        ["sh", "-c", '"$@" 2>&-', "sh", SCRIPT, "tag", "no.wav"], stdout=subprocess.PIPE, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")


def test_outputs_of_odd_names(dataset: str, capsys: Captured) -> None:
    explore = ["explore", dataset, "--no-tags", "--projection", "pca", "-q"]
    assert main([*explore, "-o", "t.html", "--title", os.fsdecode(b"x\xff")]) == 0
    assert r"<title>x\udcff" in Path("t.html").read_text(encoding="utf-8")
    page = os.fsdecode(b"p\xff.html")
    assert main([*explore, "-o", page]) == 0
    assert os.path.isfile(page)
    assert main(["extract", "b.wav", "-o", os.fsdecode(b"o\xff"), "--workers", "1"]) == 0
    assert r"o\udcff" in capsys.readouterr().err
    long = "n" * 300
    for command in (
        [*explore, "-o", long],
        ["extract", "b.wav", "-o", long],
        ["extract", "b.wav", "-o", "b.wav"],
        ["embed", "b.wav", "-o", long],
        ["embed", "b.wav", "-x", long],
        ["tag", "b.wav", "-o", f"{long}.csv"],
        ["tag", "b.wav", "--plot", f"{long}.png"],
        ["distill", "--teacher", "tiny", "--audio", "b.wav", "--output", long],
    ):
        before = set(os.listdir())
        assert main(command) in (1, 2), command
        err = capsys.readouterr().err
        assert "cannot " in err, command
        assert "n" * 301 not in err
        assert set(os.listdir()) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"summary": "\ud800 \x1b[31m"},
        {"reported": {}, "made": {}},
        {"reported": {"AudioSet mAP": "x", "other": 3, "list": [1], "none": None}},
        {"reported": {"score": float("nan")}, "made": {"scores": 3, "teacher": 5, "recipe": [], "files": {}}},
        {"made": {"scores": {"loss": float("nan"), "x": None}, "teacher": {"a": 1}, "seconds": float("inf")}},
        {"made": {"scores": {}, "\x1b": "\x1b"}},
    ],
)
def test_info_of_odd_folders(changes: dict[str, Any], capsys: Captured) -> None:
    folder = make_folder(Path("net"))
    path = folder / "configuration.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    status = main(["info", "net"])
    text, err = capsys.readouterr()
    assert "\x1b" not in text + err
    if "nan" in repr(changes) or "ud800" in repr(changes):
        assert status == 1
        assert err.startswith(f"hear-edgel3: {path}")
        return
    assert status == 0
    text.encode()
    assert main(["info", "net", "--json"]) == 0
    found = capsys.readouterr().out

    def refuse(word: str) -> None:
        raise AssertionError(word)

    facts = json.loads(found, parse_constant=refuse)
    assert facts["name"]
    found.encode()


def test_whoever_wrote_odd_values_is_told(capsys: Captured) -> None:
    folder = make_folder(Path("net"))
    path = folder / "configuration.json"
    for key in ("reported", "made"):
        values = json.loads(path.read_text())
        (folder / "configuration.json").write_text(json.dumps({**values, key: 3}))
        assert main(["info", "net"]) == 1
        assert f"{key} must be a JSON object, got 3" in capsys.readouterr().err
        path.write_text(json.dumps(values))
