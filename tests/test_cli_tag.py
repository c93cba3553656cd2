"""``hear-edgel3 tag``: what it prints in each form, what it refuses, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.audio.resample import resample
from hear_edgel3.cli import main
from hear_edgel3.registry.labels import Label
from hear_edgel3.registry.names import resolve
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.tagging.tags import ClipTags
from hear_edgel3.weights.file import encode
from support import signals

SCRIPT = Path(sysconfig.get_path("scripts")) / "hear-edgel3"
NETS = ("mn01_as", "mn02_as", "mn10_as")
HEADER = ["file", "start", "end", "rank", "label", "mid", "probability"]

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded weights of NETS whose logits depend on the sound."""
    made = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(NETS):
        row = resolve(name).checkpoint
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            net: Any = row.net.build()
            for module in net.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = 1.0  # statistics of this one batch
            sounds = resample(torch.from_numpy(signals.windows(8000)), 16000, 32000)  # as the clips below
            mel = row.frontend.build().eval()(sounds)
            net.train()(mel)
            net.classifier[-1].weight /= net.eval()(mel).std()
            net.classifier[-1].bias.normal_()
        (made / f"{name}.safetensors").write_bytes(encode(net.state_dict(), {"configuration": name}))
    return made


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in an empty folder and find the seeded weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def clip(path: str | Path, seconds: float = 0.6, rate: int = 16000, seed: int = 0) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signals.clip(seconds, rate, seed=seed), rate)
    return path


def run(*arguments: str) -> int:
    return main(["tag", *arguments, "-c", "mn01_as"])


def rows_of(tags: ClipTags, name: str, top: int = 10) -> list[list[str]]:
    """What --csv should print."""
    return [
        [name, f"{tags.starts[i]:g}", f"{tags.ends[i]:g}", str(rank), t.label, t.mid, f"{t.probability:.6f}"]
        for i in range(len(tags.starts))
        for rank, t in enumerate(tags.top(top, i), 1)
    ]


def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(*arguments: object, **options: object) -> None:
        pytest.fail("a net was loaded")

    monkeypatch.setattr("hear_edgel3.tagging.tagger.Tagger", loads)


# --- what is printed ---


def test_text(capsys: Captured) -> None:
    source = clip("a.wav", 1.25)
    assert run("a.wav") == 0
    out, err = capsys.readouterr()
    assert err == ""
    head, *lines = out.splitlines()
    assert head == "a.wav  0.00 - 1.25 s"
    expected = hear_edgel3.tag(source, "mn01_as").top(10)
    assert len(lines) == 10
    for line, found in zip(lines, expected, strict=True):
        assert line == f"  {found.probability:.3f}  {found.label}"


def test_text_of_windows_and_files(capsys: Captured) -> None:
    clip("a.wav", 2.0)
    clip("d/b.wav", 0.7, seed=1)
    assert run("a.wav", "d/b.wav", "--top", "2", "--window", "1", "--hop", "0.5") == 0
    out, err = capsys.readouterr()
    assert err == ""
    heads = [line for line in out.splitlines() if not line.startswith(" ")]
    assert heads == [
        "a.wav  0.00 - 1.00 s",
        "a.wav  0.50 - 1.50 s",
        "a.wav  1.00 - 2.00 s",
        f"d{os.sep}b.wav  0.00 - 1.00 s",
    ]
    a = hear_edgel3.tag("a.wav", "mn01_as", window=1.0, hop=0.5)
    blocks = re.split(r"^\S.*\n", out, flags=re.MULTILINE)[1:]
    assert len(blocks) == 4
    for number in range(3):
        expected = "".join(f"  {t.probability:.3f}  {t.label}\n" for t in a.top(2, number))
        assert blocks[number] == expected
    assert len({*blocks}) > 1


def test_json(capsys: Captured) -> None:
    sources = [clip("a.wav", 1.5), clip("b.flac", 0.5, seed=2)]
    assert run("a.wav", "b.flac", "--json", "--top", "3", "--window", "1.0") == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == 2
    for source, record in zip(sources, found, strict=True):
        tags = hear_edgel3.tag(source, "mn01_as", window=1.0)
        assert list(record) == ["file", "configurations", "duration", "windows"]
        assert record["file"] == source.name
        assert record["configurations"] == ["mn01_as"]
        assert record["duration"] == tags.duration
        assert [w["start"] for w in record["windows"]] == tags.starts.tolist()
        assert [w["end"] for w in record["windows"]] == tags.ends.tolist()
        for number, window in enumerate(record["windows"]):
            assert window["tags"] == [
                {"label": t.label, "mid": t.mid, "probability": pytest.approx(t.probability, abs=1e-6)}
                for t in tags.top(3, number)
            ]
    assert [w["start"] for w in found[0]["windows"]] == [0.0, 0.25, 0.5]


def test_csv(capsys: Captured) -> None:
    sources = [clip("a.wav", 2.0), clip("with, comma.wav", 0.5, seed=2)]
    assert run("a.wav", "with, comma.wav", "--csv", "--top", "5", "--window", "1", "--hop", "0.75") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\r" not in out
    header, *rows = csv.reader(io.StringIO(out))
    assert header == HEADER
    expected = [
        row
        for source in sources
        for row in rows_of(hear_edgel3.tag(source, "mn01_as", window=1.0, hop=0.75), source.name, 5)
    ]
    assert rows == expected
    assert [row[1:4] for row in rows[::5]] == [
        ["0", "1", "1"],
        ["0.75", "1.75", "1"],
        ["1.5", "2.5", "1"],
        ["0", "1", "1"],
    ]
    assert '"with, comma.wav",0,1,1,' in out


def test_labels_with_commas_are_quoted_in_csv(capsys: Captured) -> None:
    clip("a.wav")
    assert run("a.wav", "--csv", "--top", "527") == 0
    out = capsys.readouterr().out
    _, *rows = csv.reader(io.StringIO(out))
    assert {len(row) for row in rows} == {7}
    assert [row[3] for row in rows] == [str(rank) for rank in range(1, 528)]
    assert {(row[4], row[5]) for row in rows} == {
        (label.name, label.mid) for label in hear_edgel3.Tagger("mn01_as").labels
    }
    assert ',"Male speech, man speaking",/m/05zppz,' in out


@pytest.mark.parametrize(("top", "count"), [("1", 1), ("10", 10), ("527", 527), ("1000", 527)])
def test_top(top: str, count: int, capsys: Captured) -> None:
    clip("a.wav")
    assert run("a.wav", "--top", top, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["windows"][0]["tags"]) == count


def test_the_whole_clip_and_the_default_hop(capsys: Captured) -> None:
    clip("a.wav", 2.0)
    assert run("a.wav", "--json") == 0
    assert [(w["start"], w["end"]) for w in json.loads(capsys.readouterr().out)["windows"]] == [(0.0, 2.0)]
    assert run("a.wav", "--json", "--window", "1.6") == 0
    assert [w["start"] for w in json.loads(capsys.readouterr().out)["windows"]] == [0.0, 0.4]


def test_what_is_done_is_out_before_the_next_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        clip(name)
    for form in ([], ["--json"], ["--csv"]):
        raw = io.BytesIO()
        seen: list[bytes] = []
        tag_file = Tagger.tag_file

        def watched(self: Tagger, *arguments: Any, raw: io.BytesIO = raw, seen: list[bytes] = seen) -> ClipTags:
            seen.append(raw.getvalue())
            return tag_file(self, *arguments)  # noqa: B023

        with monkeypatch.context() as patch:
            patch.setattr(Tagger, "tag_file", watched)
            stdout = io.TextIOWrapper(raw, encoding="utf-8")
            patch.setattr(sys, "stdout", stdout)
            assert run("a.wav", "b.wav", "c.wav", *form) == 0
        assert b"a.wav" not in seen[0]
        assert b"a.wav" in seen[1]
        assert b"b.wav" not in seen[1]
        assert b"b.wav" in seen[2]
        assert raw.getvalue().startswith(seen[2])
        assert b"c.wav" in raw.getvalue()
        stdout.close()


# --- which files ---


def test_folders(capsys: Captured) -> None:
    for name in ("d/b.wav", "d/a.FLAC", "d/deeper/c.ogg"):
        clip(name)
    Path("d/notes.txt").write_text("no audio")

    def found(*arguments: str) -> list[str]:
        assert run("d", *arguments, "--json", "--top", "1") == 0
        out, err = capsys.readouterr()
        assert err == ""
        return [Path(json.loads(line)["file"]).as_posix() for line in out.splitlines()]

    assert found() == ["d/a.FLAC", "d/b.wav"]
    assert found("--recursive") == ["d/a.FLAC", "d/b.wav", "d/deeper/c.ogg"]
    assert found("d/b.wav", str(Path("d/a.FLAC").absolute())) == ["d/a.FLAC", "d/b.wav"]  # each once


def test_an_empty_folder(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    no_work(monkeypatch)
    clip("d/deeper/c.wav")
    assert run("d") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: the folder d has no audio files (--recursive looks into the folders inside)\n"


@pytest.mark.parametrize("form", ["", "--json", "--csv"])
def test_bad_files_among_good_ones(form: str, capsys: Captured) -> None:
    good = [clip("d/a.wav"), clip("d/z.flac", seed=1)]
    Path("d/m1.wav").write_bytes(b"garbage" * 100)
    Path("d/m2.wav").write_bytes(b"")
    bad = signals.clip(1.0, 16000)
    bad[1234] = np.nan
    soundfile.write("d/m3.wav", bad, 16000, subtype="FLOAT")
    soundfile.write("d/m4.wav", bad[:9], 500)
    assert run("d", "nowhere.wav", *([form] if form else [])) == 1
    out, err = capsys.readouterr()
    if form == "--json":
        assert [json.loads(line)["file"] for line in out.splitlines()] == list(map(str, good))
    elif form == "--csv":
        header, *rows = csv.reader(io.StringIO(out))
        assert header == HEADER
        assert rows == [row for source in good for row in rows_of(hear_edgel3.tag(source, "mn01_as"), str(source))]
    else:
        assert [line for line in out.splitlines() if not line.startswith("  ")] == [f"{f}  0.00 - 0.60 s" for f in good]
        assert len(out.splitlines()) == 22
    d = f"d{os.sep}"
    lines = [
        "nowhere.wav does not exist",
        f"{d}m1.wav cannot be read as audio: Format not recognised",
        f"{d}m2.wav is empty (0 bytes)",
        f"{d}m3.wav: sample 1234 is NaN; remove or replace such samples first",
        f"{d}m4.wav: the file's sample rate must be between 1000 and 768000 Hz, got 500",
    ]
    assert err.splitlines() == [f"error: {line}" for line in lines] + ["failures:"] + [f"  {line}" for line in lines]


def test_one_bad_file_is_said_once(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("bad.wav").write_bytes(b"garbage" * 100)
    assert run("bad.wav") == 1
    assert capsys.readouterr() == ("", "error: bad.wav cannot be read as audio: Format not recognised\n")
    no_work(monkeypatch)
    assert run("nowhere.wav", "--json") == 1
    assert capsys.readouterr() == ("", "error: nowhere.wav does not exist\n")
    assert run("") == 1
    assert "an input is empty" in capsys.readouterr().err


def test_a_device_without_memory_does_not_end_the_run(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    clip("a.wav")
    clip("b.wav")
    tag_file = Tagger.tag_file

    def first_fails(self: Tagger, path: Path, *arguments: Any) -> ClipTags:
        if path.name == "a.wav":
            raise RuntimeError("CUDA out of memory")
        return tag_file(self, path, *arguments)

    monkeypatch.setattr(Tagger, "tag_file", first_fails)
    assert run("a.wav", "b.wav", "--json") == 1
    out, err = capsys.readouterr()
    assert [json.loads(line)["file"] for line in out.splitlines()] == ["b.wav"]
    assert "error: a.wav: CUDA out of memory\n" in err


def test_ctrl_c(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    clip("a.wav")

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tagger, "tag_file", interrupted)
    assert run("a.wav") == 130
    assert capsys.readouterr() == ("", "hear-edgel3: interrupted\n")


# --- which nets ---


def test_the_default_configuration(capsys: Captured) -> None:
    clip("a.wav")
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
    clip("a.wav", 1.5)
    assert main(["tag", "a.wav", "--json", "--window", "1", *flags]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    record = json.loads(out)
    assert record["configurations"] == names
    tags = hear_edgel3.tag("a.wav", names, window=1.0)
    assert [[t["mid"] for t in w["tags"]] for w in record["windows"]] == [
        [t.mid for t in tags.top(10, i)] for i in range(3)
    ]


def test_weights(capsys: Captured, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEAR_EDGEL3_WEIGHTS")
    clip("a.wav")
    one, two = (str(folder / f"{name}.safetensors") for name in ("mn01_as", "mn02_as"))
    outputs = []
    for weights in ([str(folder)], [one]):
        assert run("a.wav", *(word for path in weights for word in ("--weights", path))) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    outputs = []
    for weights in ([str(folder)], [one, two], [str(folder), two]):
        given = [word for path in weights for word in ("--weights", path)]
        assert run("a.wav", "--ensemble", "mn02_as", *given) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] == outputs[2]


def test_weights_that_cannot_be_used(capsys: Captured, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEAR_EDGEL3_WEIGHTS")
    clip("a.wav")
    one, two = (str(folder / f"{name}.safetensors") for name in ("mn01_as", "mn02_as"))
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
            assert run("a.wav", *flags, *form) == code, flags
            out, err = capsys.readouterr()
            assert out == ""
            assert err.startswith("hear-edgel3: ")
            assert message in err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--hop", "1"], "hop=1.0 goes with a window; give `window` (--window) too"),
        (["--window", "61"], "window=61.0 is more than 60 s"),
        (["--window", "0.01"], "window=0.01 is less than 0.02 s"),
        (["--window", "1", "--hop", "1e-4"], "hop=0.0001 is less than 0.001 s"),
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
    clip("a.wav")
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
    clip("a.wav")
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


# --- the picture ---


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would be drawn, without the time that drawing takes; tests/test_plot.py draws."""
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr("hear_edgel3.tagging.plot.draw_tags", lambda *arguments: calls.append(arguments))
    return calls


def test_plot(capsys: Captured) -> None:
    clip("a.wav", 1.0)
    assert run("a.wav", "--plot", "out.png", "--window", "0.5", "--top", "3", "--csv") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 1 + 3 * 5  # the tags are printed all the same
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(os.listdir()) == ["a.wav", "out.png"]


def test_what_is_drawn(drawn: list[tuple[Any, ...]], capsys: Captured) -> None:
    clip("d/a.wav", 1.0)
    Path("out.SVG").write_text("an older picture")
    assert run("d", "--plot", "out.SVG", "--window", "0.5", "--top", "3", "--ensemble", "mn02_as") == 0
    ((source, tags, extractor, target, top),) = drawn
    assert (Path(source), target, top) == (Path("d/a.wav"), "out.SVG", 3)
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
        clip(name)
    assert run(*inputs, "--plot", "out.png") == 2
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
    clip("a.wav")
    Path("folder.png").mkdir()
    assert run("a.wav", "--plot", target) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hear-edgel3: ")
    assert message in err
    assert sorted(os.listdir()) == ["a.wav", "folder.png"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    no_work(monkeypatch)
    clip("a.wav")
    Path("d").mkdir()
    Path("d").chmod(0o555)
    try:
        assert run("a.wav", "--plot", "d/out.png") == 1
    finally:
        Path("d").chmod(0o755)
    assert "no permission to write into d" in capsys.readouterr().err


def test_plot_without_matplotlib(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    no_work(monkeypatch)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    clip("a.wav")
    assert run("a.wav", "--plot", "out.png") == 1
    assert capsys.readouterr() == (
        "",
        "hear-edgel3: drawing tags needs the package 'matplotlib', which is not installed; install it with: "
        "pip install 'hear-edgel3[plot]'\n",
    )


def test_a_picture_that_fails(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("hear_edgel3.tagging.plot.draw_tags", fails)
    clip("a.wav")
    assert run("a.wav", "--plot", "out.png") == 1
    assert capsys.readouterr() == ("", "error: a.wav: no room\n")


def test_a_picture_of_a_bad_file(capsys: Captured, drawn: list[tuple[Any, ...]]) -> None:
    Path("bad.wav").write_bytes(b"garbage" * 100)
    for name in ("bad.wav", "nowhere.wav"):
        assert run(name, "--plot", "out.png") == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"error: {name} ")
    assert drawn == []
    assert os.listdir() == ["bad.wav"]


# --- the installed program ---


@pytest.mark.skipif(sys.platform == "win32", reason="names are text there")
def test_names_that_are_no_text() -> None:
    name = os.fsdecode(b"caf\xe9 \xf0\x9f\x8e\xb5.wav")
    clip("plain.wav").rename(name)
    Path(os.fsdecode(b"bad\xe9.wav")).write_bytes(b"no audio")
    command = [SCRIPT, "tag", ".", "-c", "mn01_as", "--json", "--top", "1"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["file"] == "caf? \U0001f3b5.wav"
    assert "\U0001f3b5".encode() in done.stdout  # as it is, not escaped
    assert done.stderr.decode().endswith("\n  bad\\udce9.wav cannot be read as audio: Format not recognised\n")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of a shell")
@pytest.mark.parametrize("form", [[], ["--csv"]])
def test_a_reader_that_goes_away(form: list[str]) -> None:
    clip("a.wav", 2.0)
    clip("b.wav")
    command = [
        SCRIPT,
        "tag",
        "a.wav",
        "b.wav",
        "-c",
        "mn01_as",
        "--window",
        "0.02",
        "--hop",
        "0.01",
        "--top",
        "30",
        *form,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == (
            b",".join(h.encode() for h in HEADER) + b"\n" if form else b"a.wav  0.00 - 0.02 s\n"
        )
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


# --- a label list of our own, so that every form can be read at a glance ---


def test_the_three_forms(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (Label("Speech", "/m/1"), Label('Roar, "loud"', "/m/2"))
    logits = np.log(np.array([[0.25 / 0.75, 1.0], [3.0, 1e-9]], np.float32))
    tags = ClipTags(("mn01_as",), names, np.array([0.0, 2.5]), np.array([10.0, 12.5]), logits, 12.0)
    monkeypatch.setattr(Tagger, "tag_file", lambda *arguments: tags)
    clip("a.wav")
    assert run("a.wav") == 0
    assert capsys.readouterr().out == (
        'a.wav  0.00 - 10.00 s\n  0.500  Roar, "loud"\n  0.250  Speech\n'
        'a.wav  2.50 - 12.50 s\n  0.750  Speech\n  0.000  Roar, "loud"\n'
    )
    assert run("a.wav", "--csv", "--top", "1") == 0
    assert capsys.readouterr().out == (
        "file,start,end,rank,label,mid,probability\n"
        'a.wav,0,10,1,"Roar, ""loud""",/m/2,0.500000\n'
        "a.wav,2.5,12.5,1,Speech,/m/1,0.750000\n"
    )
    assert run("a.wav", "--json", "--top", "1") == 0
    assert capsys.readouterr().out == (
        '{"file": "a.wav", "configurations": ["mn01_as"], "duration": 12.0, "windows": ['
        '{"start": 0.0, "end": 10.0, "tags": [{"label": "Roar, \\"loud\\"", "mid": "/m/2", "probability": 0.5}]}, '
        '{"start": 2.5, "end": 12.5, "tags": [{"label": "Speech", "mid": "/m/1", "probability": 0.75}]}]}\n'
    )


# --- what once went wrong ---


def test_times_of_long_files_are_not_rounded_away() -> None:
    from hear_edgel3.tagging.records import seconds

    assert [seconds(x) for x in (0.0, 10000.025, 1000.025, 2.5, 100.0)] == ["0", "10000.025", "1000.025", "2.5", "100"]


@pytest.mark.parametrize("form", ["", "--json", "--csv"])
def test_a_terminal_that_does_not_know_the_characters(form: str) -> None:
    clip("é.wav")
    command = [sys.executable, "-m", "hear_edgel3.cli", "tag", "é.wav", "-c", "mn01_as", *filter(None, [form])]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b".wav" in done.stdout


def test_a_last_window_behind_the_clip_is_left_out(capsys: Captured) -> None:
    clip("a.wav", 3.5)
    assert run("a.wav", "--window", "0.5", "--hop", "1.25", "--json") == 0
    assert [w["start"] for w in json.loads(capsys.readouterr().out)["windows"]] == [0, 1.25, 2.5]
