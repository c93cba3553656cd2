"""Libraries in C where something goes wrong, or is called what nobody would expect."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.cli import main
from hear_edgel3.exporting import c as target
from hear_edgel3.exporting.run import export
from hear_edgel3.families.schema import Targets
from hear_edgel3.tagging.outputs import Outputs
from hear_edgel3.tagging.reading import are_said
from support.compiling import needed, run
from support.detectors import write_detector

pytestmark = pytest.mark.skipif(target.compiler() is None, reason="there is no C compiler")


def test_classes_called_like_what_is_filled_in(tmp_path: Path) -> None:
    """They reach C as they are: the templates' own names are not looked for in them."""
    needed("gcc")
    classes = ("net_x NET_CLASSES net.h", "@prefix@ @name@ @labels@", '"q", %s\\n </script> ??/ */', "ün")
    folder = write_detector(tmp_path / "net", classes=classes, name="int", citation="net_a, @rate@ */")
    export(folder, tmp_path / "c", to="c", length=0.1)
    for name in ("int.h", "int.c", "int_weights.h"):
        assert "net_a, @rate@ * /" in (tmp_path / "c" / name).read_text(encoding="utf-8")
    library = tmp_path / "library.so"
    run(["gcc", "-std=c99", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "c" / "int.c"), "-lm"])
    labels = (ctypes.c_char_p * len(classes)).in_dll(ctypes.CDLL(str(library)), "int_labels")
    assert [one.decode() for one in labels if one is not None] == list(classes)


@pytest.mark.parametrize("targets", ["single", "several"])
def test_thresholds(targets: Targets, tmp_path: Path) -> None:
    """What is said to be heard is what the package says."""
    needed("gcc")
    thresholds = (0.9, 0.3, None)
    folder = write_detector(tmp_path / "net", targets=targets, thresholds=thresholds)
    made = export(folder, tmp_path / "c", to="c", length=0.1)
    library = tmp_path / "library.so"
    strict = ["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fPIC", "-shared", "-o", str(library)]
    run([*strict, str(tmp_path / "c" / "mine.c"), str(tmp_path / "c" / "mine_example.c"), "-lm"])
    loaded = ctypes.CDLL(str(library))
    rows = [(0.5, 0.4, 0.1), (0.1, 0.2, 0.7), (0.3, 0.3, 0.4), (0.95, 0.35, 0), (0.89, 0.29, 0.49), (0.9, 0.3, 0.5)]
    probabilities = np.array(rows, np.float32)
    size = sum(shape[0] for name, shape in made.card["outputs"].items() if name != "probabilities")
    results = np.pad(probabilities, ((0, 0), (size, 0)))
    found = [[loaded.mine_is_said(one.ctypes, k) for k in range(3)] for one in results]
    assert (np.array(found) == are_said(Outputs(targets, 1.0, thresholds), probabilities)).all()


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("no program at all \x01", "cannot be run: Exec format error"),
        ("#!/bin/sh\nexit 0\n", "cannot be loaded on this machine"),
        ("#!/bin/sh\nexit 3\n", "it ended with 3 and said nothing"),
        ("#!/bin/sh\nexec sleep 60\n", "did not end within 0.2 s"),
    ],
)
def test_a_compiler_that_fails(script: str, text: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    compiler = here / "my cc"
    compiler.write_text(script)
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setattr(target, "_PATIENCE_S", 0.2 if "sleep" in script else 20)
    write_detector(here / "net")
    assert main(["export", "net", "--to", "c", "--length", "0.1", "--output", "out"]) == 1
    error = capsys.readouterr().err
    assert text in error
    assert "my cc" in error
    assert "CC" in error
    assert not (here / "out").exists()


def test_clips_longer_than_a_library_takes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "tiny", "--to", "c", "--length", "121"]) == 2
    assert "--length 121 is too long; a C library takes 120 s at most" in capsys.readouterr().err
    assert list(here.iterdir()) == []
