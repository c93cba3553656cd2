"""Folders of published linear heads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import InvalidOption, OutputError, UnknownConfiguration, WeightsMismatch, WeightsNotFound
from hear_edgel3.registry.names import published, published_heads
from support import signals, ssondo_files
from support.mobilenetv3_files import pt
from weights_convert.heads import make_head_folder
from weights_convert.publish import publish

RATE = 32000


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("nets")
    (found / "ssondo_matpac_mn.safetensors").write_bytes(ssondo_files.converted("ssondo_matpac_mn"))
    return found


def test_a_folder_that_tags(nets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gtzan.pth").write_bytes(pt(ssondo_files.head("gtzan")))
    command = ["weights", "head", "gtzan", "--source", str(tmp_path / "gtzan.pth"), "--weights", str(nets)]
    assert main([*command, "--output", str(tmp_path / "genres")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "genres")
    values = json.loads((tmp_path / "genres" / "configuration.json").read_text())
    assert (values["classes"], values["targets"]) == ([str(number) for number in range(10)], "single")
    assert "not stated by their authors" in values["licence"]
    assert "**The classes have no names.**" in (tmp_path / "genres" / "README.md").read_text()
    assert "without names" in values["summary"]

    sound = signals.clip(2.0, RATE)
    net = hear_edgel3.load("ssondo_matpac_mn", nets, sample_rate=RATE)
    state = ssondo_files.head("gtzan")
    embedding = net.scene_embeddings(torch.from_numpy(sound)[None])
    logits = embedding @ state["probe.linear_probe.weight"].T + state["probe.linear_probe.bias"]
    found = hear_edgel3.Tagger(str(tmp_path / "genres")).tag_samples(sound, RATE)
    np.testing.assert_allclose(found.logits, logits, rtol=0, atol=1e-5 * float(logits.abs().max()))
    assert found.top(1)[0].label == str(int(logits.argmax()))
    assert float(found.probabilities.sum()) == pytest.approx(1, abs=1e-5)

    assert main([*command, "--output", str(tmp_path / "genres")]) != 0
    assert main(command) != 0


def test_what_is_refused(nets: Path, tmp_path: Path) -> None:
    source = tmp_path / "gtzan.pth"
    source.write_bytes(pt(ssondo_files.head("gtzan")))
    with pytest.raises(UnknownConfiguration, match="there is no head 'gtzen'; there are gtzan"):
        make_head_folder("gtzen", source, tmp_path / "a", nets)
    with pytest.raises(WeightsMismatch, match="tells 10 classes, and the head esc50 has 50"):
        make_head_folder("esc50", source, tmp_path / "a", nets)
    with pytest.raises(WeightsNotFound, match=r"heads/gtzan\.pth"):
        make_head_folder("gtzan", tmp_path / "none.pth", tmp_path / "a", nets)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        make_head_folder("gtzan", source, tmp_path / "full", nets)
    for content, message in (
        ({"weight": torch.zeros(10, 960)}, "is no linear head"),
        ({**ssondo_files.head("gtzan"), "more": torch.zeros(1)}, "is no linear head"),
        (
            {"probe.linear_probe.weight": torch.zeros(10, 320), "probe.linear_probe.bias": torch.zeros(10)},
            "on 960 values",
        ),
    ):
        source.write_bytes(pt(content))
        with pytest.raises(WeightsMismatch, match=message):
            make_head_folder("gtzan", source, tmp_path / "a", nets)
    assert not (tmp_path / "a").exists()


def test_all_of_them_fit_a_checkpoint() -> None:
    assert list(published_heads()) == ["gtzan", "openmic", "nsynth", "esc50", "us8k", "magna-tag-a-tune", "fsd50k"]
    for name, head in published_heads().items():
        assert head.n_classes == ssondo_files.HEADS[name][0]
        assert published(head.checkpoint).vocabulary.read(published(head.checkpoint), head.words).size == 960


def test_weights_without_a_licence_are_not_published(nets: Path) -> None:
    with pytest.raises(InvalidOption, match="the licence of the weights of ssondo_matpac_mn is not stated"):
        publish(published("ssondo_matpac_mn"), nets / "ssondo_matpac_mn.safetensors")
