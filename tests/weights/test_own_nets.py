"""Nets that somebody trained further: names with prefixes, and classes of their own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save, save_file

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import InvalidOption, WeightsCorrupt, WeightsMismatch
from hear_edgel3.families.formats.names import without_prefixes
from hear_edgel3.families.formats.pytorch import read_state_dict
from hear_edgel3.registry.labels import Label, read_labels
from hear_edgel3.registry.names import by_name, with_classes
from support import signals, synthetic
from support.mobilenetv3_files import pt, state
from weights_convert.__main__ import main as convert_main

PREFIXES = ("module.", "model.", "net.", "_orig_mod.", "module._orig_mod.", "model.net.")
BIRDS = ["Turdus merula", "Parus major", "Strix aluco", "Corvus corax", "Apus apus"]
RATE = 32000


@pytest.fixture
def birds(here: Path) -> Path:
    """A list of classes, and a net that was trained on them, in a training program's wrapping."""
    Path("birds.txt").write_text("\n".join(BIRDS) + "\n")
    own = {f"module.{name}": value for name, value in state("mn01_as", n_classes=5).items()}
    Path("own.pt").write_bytes(pt({"state_dict": own, "epoch": 7}))
    return here


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_in_weights_that_are_loaded(prefix: str, tmp_path: Path, weights_folder: Path) -> None:
    values = synthetic.state("sea_64")
    save_file({prefix + name: value for name, value in values.items()}, tmp_path / "w.safetensors")
    model = hear_edgel3.load("sea_64", tmp_path / "w.safetensors")
    audio = torch.from_numpy(signals.clip(0.3, 16000))[None]
    assert torch.equal(
        model.scene_embeddings(audio), hear_edgel3.load("sea_64", weights_folder).scene_embeddings(audio)
    )


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("wrapper", [None, "state_dict"])
def test_prefixes_in_files_that_are_converted(prefix: str, wrapper: str | None) -> None:
    expected = state("mn01_as")
    saved = {prefix + name: value for name, value in expected.items()}
    found = read_state_dict(pt(saved if wrapper is None else {wrapper: saved}), "x")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_prefixes_that_are_kept() -> None:
    assert list(without_prefixes({"model.a": 1, "b": 2})) == ["model.a", "b"]
    assert list(without_prefixes({"student.a": 1})) == ["student.a"]
    assert without_prefixes({}) == {}
    assert list(without_prefixes({"features.0._orig_mod.weight": 1, "a": 2})) == ["features.0.weight", "a"]
    # not where two would become one
    both = {"a._orig_mod.b": 1, "a.b": 2}
    assert without_prefixes(both) == both


def test_a_safetensors_file_is_converted_too(here: Path) -> None:
    Path("own.safetensors").write_bytes(save(state("mn01_as")))
    assert convert_main(["mn01_as", "--source", "own.safetensors", "--output", "made.safetensors"]) == 0
    assert convert_main(["mn01_as", "--source", "made.safetensors", "--output", "again.safetensors"]) == 1
    Path("own.safetensors").write_bytes(save(state("mn01_as"))[:5000])
    assert convert_main(["mn01_as", "--source", "own.safetensors", "--output", "cut.safetensors"]) == 1
    assert not Path("cut.safetensors").exists()
    assert not Path("again.safetensors").exists()


@pytest.mark.parametrize("program", ["weights convert", "weights_convert"])
def test_classes_of_ones_own(program: str, birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = "mn01_as --source own.pt --labels birds.txt --output own.safetensors".split()
    assert (main(["weights", "convert", *command]) if program == "weights convert" else convert_main(command)) == 0
    capsys.readouterr()
    clip = signals.clip(1.0, RATE)
    soundfile.write("a.wav", clip, RATE)

    tags = hear_edgel3.tag("a.wav", "mn01_as", weights="own.safetensors")
    assert [label.name for label in tags.labels] == BIRDS
    row = with_classes(by_name("mn01_as_logits"), 5)
    net = row.net.build()
    net.load_state_dict(state("mn01_as", n_classes=5))
    with torch.no_grad():
        samples = torch.from_numpy(soundfile.read("a.wav", dtype="float32")[0])[None]
        expected = net.eval()(row.checkpoint.frontend.build().eval()(samples))
    np.testing.assert_allclose(tags.logits, expected, atol=1e-4 * float(expected.abs().max()))

    assert main(["tag", "a.wav", "--config", "mn01_as", "--weights", "own.safetensors", "--top", "5", "--json"]) == 0
    assert set(re.findall("|".join(BIRDS), capsys.readouterr().out)) == set(BIRDS)

    model = hear_edgel3.load("mn01_as", "own.safetensors", features=["logits"])
    assert model.scene_embedding_size == 5
    assert model.labels == tuple(Label(name, "") for name in BIRDS)
    plain = hear_edgel3.load("mn01_as", "own.safetensors")
    assert plain.scene_embedding_size == by_name("mn01_as").embedding_size


def test_they_stream_and_make_datasets(birds: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    assert convert_main("mn01_as --source own.pt --labels birds.txt --output own.safetensors".split()) == 0
    clip = signals.clip(1.0, RATE)
    soundfile.write("a.wav", clip, RATE)
    tagger = hear_edgel3.Tagger("mn01_as", "own.safetensors")
    found = list(tagger.stream([clip], sample_rate=RATE, window=0.5))
    assert {tag.label for tag in found[0].top(5)} == set(BIRDS)
    assert hear_edgel3.extract("a.wav", "out", "mn01_as_logits", weights="own.safetensors", workers=1).all_well
    row = pq.read_table(next(Path("out").glob("part-*.parquet"))).to_pylist()[0]
    assert len(row["embedding"]) == 5


def test_other_classes_need_their_names(birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert_main("mn01_as --source own.pt --output own.safetensors".split()) == 1
    assert "give their names: --labels FILE" in capsys.readouterr().err
    Path("four.txt").write_text("\n".join(BIRDS[:4]))
    assert convert_main("mn01_as --source own.pt --labels four.txt --output own.safetensors".split()) == 1
    assert "classifier.5.bias of shape (5,) instead of (4,)" in capsys.readouterr().err
    assert not Path("own.safetensors").exists()
    save_file(state("mn01_as", n_classes=5), "plain.safetensors")
    with pytest.raises(WeightsMismatch, match=r"classifier\.5\.bias should have shape \(527,\) but has \(5,\)"):
        hear_edgel3.load("mn01_as", "plain.safetensors")


@pytest.mark.parametrize(
    "command",
    [
        "mn01_as --source own.pt --labels birds.txt",  # it would be the authors' in the cache
        "mn01_as --labels birds.txt --output own.safetensors",
        "mn01_as mn04_as --source . --labels birds.txt --output .",
        "sea_64 --source own.pt --labels birds.txt --output own.safetensors",
    ],
)
def test_labels_where_they_cannot_be(command: str, birds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert_main(command.split()) in (1, 2)
    assert "labels" in capsys.readouterr().err
    assert sorted(path.name for path in birds.iterdir()) == ["birds.txt", "own.pt"]


def test_ensembles_have_the_same_classes(birds: Path, mobilenetv3_folder: Path) -> None:
    assert convert_main("mn01_as --source own.pt --labels birds.txt --output own.safetensors".split()) == 0
    shutil.copy(mobilenetv3_folder / "mn04_as.safetensors", birds)
    with pytest.raises(InvalidOption, match=r"but theirs differ \(mn01_as 5, mn04_as 527\)"):
        hear_edgel3.Tagger(["mn01_as", "mn04_as"], ["own.safetensors", "mn04_as.safetensors"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb, c\n", [("a", ""), ("b, c", "")]),
        ("\ufeffa\nb", [("a", ""), ("b", "")]),
        ('index,mid,display_name\n0,/m/1,"Speech, loud"\n1,/m/2,Dog\n', [("Speech, loud", "/m/1"), ("Dog", "/m/2")]),
        ("category,id\nDog,1\nCat,2\n", [("Dog", ""), ("Cat", "")]),
        ("sep=;\nmid;label\n/m/1;Speech, loud\n/m/2;Dog\n", [("Speech, loud", "/m/1"), ("Dog", "/m/2")]),
        ("mid;label\n/m/1;Speech, loud\n", [("Speech, loud", "/m/1")]),
        ("sep=;\nDog\nCat\n", [("Dog", ""), ("Cat", "")]),
    ],
)
def test_lists_of_classes(text: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    assert [(label.name, label.mid) for label in read_labels(tmp_path / "x.csv")] == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "has no classes"),
        (b"a\n\nb\n", "class 2 has no name that can be shown"),
        (b"a\n\x1b[2J\n", "class 2 has no name that can be shown"),
        (b"\xff", "is not text"),
        (b"label,mid\n", "has no classes"),
        (b"id,label\n1\n", "class 1 has no name"),
        (None, "cannot be read"),
    ],
)
def test_lists_that_are_none(data: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InvalidOption, match=f"the list of classes {path}.*{words}"):
        read_labels(path)


@pytest.mark.parametrize("labels", ["7", '"ab"', '[["a"]]', '[["\\ud800", ""]]', "[]", '[[["a"], "b", "c"]]'])
def test_damaged_lists_in_weights(labels: str, tmp_path: Path) -> None:
    save_file(state("mn01_as"), tmp_path / "w.safetensors", metadata={"hear_edgel3": f'{{"labels": {labels}}}'})
    with pytest.raises(WeightsCorrupt, match="damaged list of classes"):
        hear_edgel3.load("mn01_as", tmp_path / "w.safetensors")
