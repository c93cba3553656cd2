"""DyMN nets that somebody trained further: their temperature is asked for, written down, and obeyed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import InvalidOption, WeightsCorrupt, WeightsMismatch
from hear_edgel3.registry.labels import Label
from hear_edgel3.registry.names import by_name
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.file import encode, read_tensors
from support import dymn_files, signals
from support.mobilenetv3_files import pt, state
from weights_convert.__main__ import main as convert_main

NAME = "dymn04_replace_se_as"
LABELS = (Label("merle", ""), Label("tit", ""), Label("owl", ""))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A net of three classes, as EfficientAT's fine-tuning leaves it: without a word of its temperature."""
    net = dymn_files.build(use_dy_blocks="replace_se", n_classes=3)
    (tmp_path / "birds.pt").write_bytes(pt(net.state_dict()))
    (tmp_path / "birds.txt").write_text("merle\ntit\nowl\n")
    return tmp_path / "birds.pt"


def row() -> Any:
    return by_name(NAME).checkpoint


@pytest.mark.parametrize("program", ["weights convert", "weights_convert"])
def test_it_must_be_said(program: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = own.with_suffix(".safetensors")
    command = [NAME, "--source", str(own), "--labels", str(own.with_suffix(".txt")), "--output", str(target)]

    def run(*more: str) -> int:
        if program == "weights convert":
            return main(["weights", "convert", *command, *more])
        return convert_main([*command, *more])

    assert run() != 0
    assert re.search(r"nothing in it shows its tau.*--setting tau=1", capsys.readouterr().err.replace("\n", " "))
    for wrong in ("tau=0", "tau=x", "taw=1", "tau", "tau=true", f"tau={'[' * 50_000}"):
        assert run("--setting", wrong) != 0
        assert not target.exists()
    assert run("--setting", "tau=30") == 0
    assert read_tensors(target)[1]["settings"] == {"tau": 30}

    # what it says is what is computed
    model = hear_edgel3.load(f"{NAME}_logits", target, sample_rate=32000)
    assert model.net.tau == 30
    sound = torch.from_numpy(signals.clip(0.7, 32000))[None]
    images = model.frontend(sound)
    for tau, same in ((30.0, True), (1.0, False)):
        plain = dymn_files.build(tau=tau, use_dy_blocks="replace_se", n_classes=3)
        with torch.no_grad():
            expected = plain(images)
        difference = float((model.scene_embeddings(sound) - expected).abs().max() / expected.abs().max())
        assert (difference < 1e-4) == same
    tagger = hear_edgel3.Tagger(NAME, target)
    found = list(tagger.stream([signals.clip(1.0, 32000)], sample_rate=32000, window=0.5))
    assert {tag.label for tag in found[0].top(3)} == {"merle", "tit", "owl"}


def test_eight_bits_keep_it(own: Path) -> None:
    target, small = own.with_suffix(".safetensors"), own.with_name("small.safetensors")
    convert(row(), own, LABELS, {"tau": 7.5}).write(target)
    assert convert_main([NAME, "--source", str(target), "--output", str(small), "--quantize", "int8"]) == 0
    assert hear_edgel3.load(NAME, small).net.tau == 7.5


def test_files_of_the_authors_are_known_and_others_are_not(tmp_path: Path) -> None:
    published = tmp_path / row().upstream.filename
    published.write_bytes(pt(dymn_files.state(NAME)))
    renamed = tmp_path / "mine.pt"
    renamed.write_bytes(published.read_bytes())
    assert convert(row(), published).provenance["settings"] == {"tau": 1.0}
    with pytest.raises(InvalidOption, match=r"mine\.pt is not known to be the file"):
        convert(row(), renamed)
    assert convert(row(), renamed, settings={"tau": 1}).provenance["settings"] == {"tau": 1}
    for file in (published, renamed):
        with pytest.raises(InvalidOption, match="has tau=1; a net of your own"):
            convert(row(), file, settings={"tau": 30})
    with pytest.raises(InvalidOption, match="expected tau, got none"):
        convert(row(), renamed, settings={})


def test_a_file_that_does_not_say_it_is_refused(own: Path) -> None:
    tensors = convert(row(), own, LABELS, {"tau": 1}).state
    labels = [[label.name, label.mid] for label in LABELS]
    target = own.with_suffix(".safetensors")
    for settings, error, message in (
        ({}, WeightsMismatch, "does not say whether it is for tau 1"),
        ({"settings": {"tau": -1}}, WeightsCorrupt, "tau of the architecture cannot be -1"),
        ({"settings": {}}, WeightsCorrupt, "expected tau"),
        ({"settings": 5}, WeightsMismatch, "does not say"),
    ):
        target.write_bytes(encode(tensors, {"configuration": NAME, "labels": labels, **settings}))
        with pytest.raises(error, match=message):
            hear_edgel3.load(NAME, target)


def test_nets_without_settings_have_none(tmp_path: Path) -> None:
    source = tmp_path / "mn01_as_mAP_298.pt"
    source.write_bytes(pt(state("mn01_as")))
    with pytest.raises(InvalidOption, match="expected no settings, got tau"):
        convert(by_name("mn01_as").checkpoint, source, settings={"tau": 1})
