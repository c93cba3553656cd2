"""``hear-edgel3 tag``: which nets, their weights, and options that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.cli import main
from support.tag_command import no_work, run_tag, write_loud_clip
from support.types import Captured

pytestmark = pytest.mark.usefixtures("tagging_weights")


def test_the_default_configuration(capsys: Captured) -> None:
    write_loud_clip("a.wav")
    assert main(["tag", "a.wav", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["configurations"] == ["tiny"]
    top = hear_edgel3.tag("a.wav").top(10)
    assert [t["mid"] for t in record["windows"][0]["tags"]] == [t.mid for t in top]


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["-c", "mn02_as_e1_l"], ["mn02_as"]),
        (["-c", "mn01_as", "--ensemble", "mn02_as"], ["mn01_as", "mn02_as"]),
        (["--ensemble", "mn02_as", "mn01_as"], ["mn02_as", "mn01_as"]),
        (["--config", "mn02_as", "--ensemble", "mn01_as", "mn02_as", "mn01_as"], ["mn02_as", "mn01_as"]),
    ],
)
def test_ensembles(flags: list[str], names: list[str], capsys: Captured) -> None:
    write_loud_clip("a.wav", 1.5)
    assert main(["tag", "a.wav", "--json", "--window", "1", *flags]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    record = json.loads(out)
    assert record["configurations"] == names
    tags = hear_edgel3.tag("a.wav", names, window=1.0)
    assert [[t["mid"] for t in w["tags"]] for w in record["windows"]] == [
        [t.mid for t in tags.top(10, i)] for i in range(3)
    ]


def test_weights(capsys: Captured, tagging_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEAR_EDGEL3_WEIGHTS")
    write_loud_clip("a.wav")
    one, two = (str(tagging_folder / f"{name}.safetensors") for name in ("mn01_as", "mn02_as"))
    outputs = []
    for weights in ([str(tagging_folder)], [one]):
        assert run_tag("a.wav", *(word for path in weights for word in ("--weights", path))) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    outputs = []
    for weights in ([str(tagging_folder)], [one, two], [str(tagging_folder), two]):
        given = [word for path in weights for word in ("--weights", path)]
        assert run_tag("a.wav", "--ensemble", "mn02_as", *given) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] == outputs[2]


def test_weights_that_cannot_be_used(capsys: Captured, tagging_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEAR_EDGEL3_WEIGHTS")
    write_loud_clip("a.wav")
    one, two = (str(tagging_folder / f"{name}.safetensors") for name in ("mn01_as", "mn02_as"))
    Path("empty").mkdir()
    Path("net.pt").write_bytes(b"PK")
    Path("damaged.safetensors").write_bytes(Path(one).read_bytes()[:-100])
    expected = [
        ([], 1, "no weights for mn01_as on this machine"),
        (["--weights", "nowhere"], 1, "the weights file nowhere does not exist"),
        (["--weights", "empty"], 1, "the folder empty has no mn01_as.safetensors"),
        (["--weights", two], 1, "holds the weights of mn02_as, not of mn01_as"),
        (["--weights", "damaged.safetensors"], 1, "is not a sound safetensors file"),
        (["--weights", "net.pt"], 1, "python -m weights_convert mn01_as --source net.pt"),
        (["--weights", one, "--weights", two], 2, "2 weights files for 1 configurations"),
        (["--weights", one, "--ensemble", "mn02_as"], 2, "for 2 configurations; give a folder, or one file for each"),
        (["--weights", two, "--weights", one, "--ensemble", "mn02_as"], 1, "holds the weights of mn02_as"),
    ]
    for flags, code, message in expected:
        for form in ([], ["--csv"]):
            assert run_tag("a.wav", *flags, *form) == code, flags
            out, err = capsys.readouterr()
            assert out == ""
            assert err.startswith("hear-edgel3: ")
            assert message in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hop", "1"], "--hop 1.0 goes with a window; give `window` (--window) too"),
        (["--window", "61"], "--window 61.0 is more than 60 s"),
        (["--window", "0.01"], "--window 0.01 is less than 0.02 s"),
        (["--window", "1", "--hop", "1e-4"], "--hop 0.0001 is less than 0.001 s"),
        (["--window", "1", "--hop", "1e10"], "hop must be at most"),
        (["-c", "sea_64"], "sea_64 has no classifier and cannot tag; these can: tiny, mn01_as, "),
        (["-c", "mn01_im"], "mn01_im has no classifier"),
        (["--ensemble", "sparse_95"], "sparse_95 has no classifier"),
        (["-c", "mn10_as_fx"], "there is no configuration 'mn10_as_fx'"),
        (["--ensemble", "mn02_as", "bogus"], "there is no configuration 'bogus'"),
        (["--device", "toaster"], "device 'toaster' cannot be used"),
    ],
)
def test_values_that_cannot_be_used(flags: list[str], message: str, capsys: Captured) -> None:
    write_loud_clip("a.wav")
    given = flags if "-c" in flags else [*flags, "-c", "mn01_as"]
    assert main(["tag", "a.wav", *given]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hear-edgel3: ")
    assert message in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.wav", "--top", "0"],
        ["a.wav", "--top", "-1"],
        ["a.wav", "--top", "2.5"],
        ["a.wav", "--top", "ten"],
        ["a.wav", "--top", "\u0663"],  # a digit, but not one of ours
        ["a.wav", "--window", "0"],
        ["a.wav", "--window", "-1"],
        ["a.wav", "--window", "nan"],
        ["a.wav", "--window", "inf"],
        ["a.wav", "--window", "ten"],
        ["a.wav", "--window", "10", "--hop", "0"],
        ["a.wav", "--window", "10", "--hop", "nan"],
        ["a.wav", "--json", "--csv"],
        ["a.wav", "--ensemble"],
        ["a.wav", "--weights"],
        ["a.wav", "--bogus"],
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str], capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    no_work(monkeypatch)
    write_loud_clip("a.wav")
    with pytest.raises(SystemExit) as stopped:
        main(["tag", *arguments])
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: hear-edgel3" in err
    if "--top" in arguments:
        assert f"must be a whole number from 1, got {arguments[-1]}" in err
    elif {"--window", "--hop"} & {*arguments}:
        assert f"must be a positive number of seconds, got {arguments[-1]}" in err


def test_help_names_every_flag(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["tag", "--help"])
    assert not stopped.value.code
    out = capsys.readouterr().out
    for flag in "--config --ensemble --weights --top --window --hop --json --csv --plot --recursive --device".split():
        assert flag in out
    assert "default tiny" in out
