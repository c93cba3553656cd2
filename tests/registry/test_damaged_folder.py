"""Folders that cannot be used: a damaged description, or weights that are not theirs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import hear_edgel3
import hear_edgel3.custom
from hear_edgel3.cli import main
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.errors import (
    ConfigurationError,
    HearEdgeL3Error,
    UnknownConfiguration,
    WeightsCorrupt,
    WeightsMismatch,
    WeightsNotFound,
)
from hear_edgel3.registry import folder as local
from hear_edgel3.registry.names import resolve
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.weights.file import encode
from hear_edgel3.weights.locate import origin
from support import signals
from support.folders import change, write_second
from support.types import Captured

# --- damaged ones ---


HOW = "`hear-edgel3 distill` and `train` write such files"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged: it is not JSON"),
        (b"{", "is damaged: it is not JSON"),
        (b"\xff\xfe\x00", "is damaged: it is not JSON"),
        (b"[" * 100_000, "is damaged: it is not JSON"),
        (b"[]", "it must hold one JSON object"),
        (b"null", "it must hold one JSON object"),
        (b'"text"', "it must hold one JSON object"),
        (b"{}", "'format' is missing"),
    ],
)
def test_files_that_are_no_description(content: bytes, message: str, copied: Path) -> None:
    path = copied / "configuration.json"
    path.write_bytes(content)
    for read in (local.read_folder, resolve, hear_edgel3.load, hear_edgel3.custom.load_model, Tagger):
        with pytest.raises(ConfigurationError) as caught:
            read(copied)
        assert str(caught.value).startswith(f"{path} ")
        assert message in str(caught.value)
        assert "JSON" in message or str(caught.value).endswith(HOW)


REQUIRED = "format name family summary architecture weights_file weights_sha256 licence citation".split()
OPTIONAL = "labels default_features embedding_version reported made".split()


@pytest.mark.parametrize("key", REQUIRED)
def test_keys_that_are_missing(key: str, copied: Path) -> None:
    change(copied, **{key: ...})
    with pytest.raises(ConfigurationError, match=f"^{copied}/configuration.json .*: '{key}' is missing; {HOW}$"):
        hear_edgel3.load(copied)


@pytest.mark.parametrize("key", OPTIONAL)
def test_keys_that_may_be_missing(key: str, copied: Path) -> None:
    """What a net that has no such thing would say."""
    change(copied, **{key: ...})
    assert resolve(copied).name == "small"


def test_keys_of_later_versions(copied: Path) -> None:
    """They say more of a net, and do not change it: what does changes the format's number."""
    change(copied, colour="blue")
    assert local.read_folder(copied).name == "small"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "its format is 2, and this version of hear-edgel3 reads 1"),
        ({"format": "1"}, "its format is '1', and this version"),
        ({"format": None}, "its format is None"),
        *(({key: 5}, f"{key} must be a text, got 5") for key in REQUIRED if key not in ("format", "architecture")),
        *(({key: ""}, f"{key} must be a text, got ''") for key in ("name", "licence")),
        ({"name": "two words"}, "the name must be letters and digits and begin with a letter, got 'two words'"),
        ({"name": "a_b"}, "the name must be letters and digits"),
        ({"name": "../a"}, "the name must be letters and digits"),
        ({"name": "a\n"}, "the name must be letters and digits"),
        ({"family": "resnet"}, "there is no family 'resnet'; the families are l3, mobilenetv3"),
        ({"default_features": 3}, "default_features must be a text, got 3"),
        ({"default_features": "b99"}, "'b99' is no feature"),
        ({"default_features": "clf1_clf1"}, "clf1 is there twice"),
        ({"embedding_version": 0}, "embedding_version must be a whole number from 1, got 0"),
        ({"embedding_version": True}, "embedding_version must be a whole number from 1, got True"),
        ({"embedding_version": "1"}, "embedding_version must be a whole number from 1"),
        ({"architecture": [1]}, r"architecture must be a JSON object, got \[1\]"),
        ({"architecture": None}, "architecture must be a JSON object, got None"),
        ({"reported": [1]}, "reported must be a JSON object"),
        ({"made": "by hand"}, "made must be a JSON object, got 'by hand'"),
        ({"labels": "imagenet"}, "there is no list of labels 'imagenet'"),
        ({"labels": "../labels/audioset"}, "there is no list of labels '../labels/audioset'"),
        ({"labels": 3}, "there is no list of labels 3"),
        ({"architecture": {"n_classes": 10}}, "the list of labels 'audioset' has 527 classes, and the net has 10"),
        ({"architecture": {"n_classes": None}}, "the list of labels 'audioset' has 527 classes, and the net has none"),
        ({"weights_sha256": "0" * 63}, "weights_sha256 must be 64 hexadecimal digits, got '0{63}'"),
        ({"weights_sha256": "G" * 64}, "weights_sha256 must be 64 hexadecimal digits"),
        ({"weights_file": "../net.safetensors"}, "weights_file must be a file in the same folder, got '../net"),
        ({"weights_file": "/etc/passwd"}, "weights_file must be a file in the same folder"),
        ({"weights_file": "a\\b"}, "weights_file must be a file in the same folder"),
        ({"weights_file": ".."}, "weights_file must be a file in the same folder"),
        ({"weights_file": "a\0"}, "weights_file must be a file in the same folder"),
        ({"architecture": {"depth": 3}}, "unexpected keyword argument 'depth'"),
        ({"architecture": {"width_mult": 0}}, "width_mult of the architecture cannot be 0"),
        ({"architecture": {"width_mult": "wide"}}, "width_mult of the architecture cannot be 'wide'"),
        ({"architecture": {"width_mult": float("nan")}}, "width_mult of the architecture cannot be nan"),
        ({"architecture": {"width_mult": True}}, "width_mult of the architecture cannot be True"),
        ({"architecture": {"head": "two"}}, "head of the architecture cannot be 'two'"),
        ({"architecture": {"n_mels": 0}}, "n_mels of the architecture cannot be 0"),
        ({"architecture": {"n_mels": None}}, "n_mels of the architecture cannot be None"),
        ({"architecture": {"n_mels": 32.0}}, "n_mels of the architecture cannot be 32.0"),
        ({"architecture": {"n_teacher": -1}}, "n_teacher of the architecture cannot be -1"),
        ({"architecture": {"n_teacher": None}}, "teacher is the approximation of another net's embedding"),
        ({"architecture": {"strides": [2, 2, 2]}}, r"strides of the architecture cannot be \[2, 2, 2\]"),
        ({"architecture": {"strides": [2, 2, 2, 3]}}, "strides must be four numbers, each 1 or 2"),
        (
            {"labels": None, "architecture": {"n_classes": None, "head": "fully_convolutional"}},
            "the head fully_convolutional cannot be without n_classes",
        ),
    ],
)
def test_values_that_cannot_be(changes: dict[str, Any], message: str, copied: Path) -> None:
    change(copied, **changes)
    with pytest.raises(ConfigurationError, match=f"^{copied}/configuration.json .*: .*{message}.*; {HOW}$"):
        hear_edgel3.load(copied)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": [8] * 7}, "channels of the architecture cannot be"),
        ({"channels": [8] * 7 + [0]}, "channels of the architecture cannot be"),
        ({"channels": [8] * 7 + [1.5]}, "channels of the architecture cannot be"),
        ({"channels": "88888888"}, "channels of the architecture cannot be '88888888'"),
        ({"final_norm": 1}, "final_norm of the architecture cannot be 1"),
        ({"sample_rate": ...}, "sample_rate"),
        ({"sample_rate": "8000"}, "sample_rate of the architecture cannot be '8000'"),
        ({"hop_length": 8000}, "its windows are less than 8 frames of 8 mel bands"),
        ({"n_mels": 7}, "its windows are less than 8 frames of 8 mel bands"),
        ({"width_mult": 1.0}, "unexpected keyword argument 'width_mult'"),
    ],
)
def test_l3_values_that_cannot_be(changes: dict[str, Any], message: str, copied_l3: Path) -> None:
    change(copied_l3, architecture=changes)
    with pytest.raises(ConfigurationError, match=f"^{copied_l3}/configuration.json .*{message}.*; {HOW}$"):
        hear_edgel3.load(copied_l3)


def test_labels_and_features_of_nets_that_have_none(copied_l3: Path) -> None:
    change(copied_l3, labels="audioset")
    with pytest.raises(ConfigurationError, match="the list of labels 'audioset' has 527 classes, and the net has none"):
        hear_edgel3.load(copied_l3)
    change(copied_l3, labels=None, default_features="b5")
    with pytest.raises(ConfigurationError, match="small has one kind of embedding"):
        hear_edgel3.load(copied_l3)


def test_a_description_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "configuration.json").mkdir()
    with pytest.raises(ConfigurationError, match=r"configuration\.json cannot be read: Is a directory"):
        local.read_folder(tmp_path)
    with pytest.raises(UnknownConfiguration, match=r"that folder has no configuration\.json"):
        hear_edgel3.load(tmp_path)


@pytest.mark.parametrize("place", ["folder", "nothing", "file"])
def test_folders_without_a_description(place: str, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / place
    if place == "folder":
        path.mkdir()
    elif place == "file":
        path.write_text("{}")
    what = r"that folder has no configuration\.json" if place == "folder" else "there is no such folder"
    how = "give a name that `hear-edgel3 list` shows, or a folder made by `hear-edgel3 distill` or `train`"
    for name in (path, str(path), f"{path}/"):
        with pytest.raises(UnknownConfiguration, match=f"there is no configuration '{path}/?': {what}; {how}"):
            hear_edgel3.load(name)
    with pytest.raises(ConfigurationError, match=rf"{place}/configuration\.json cannot be read: "):
        hear_edgel3.custom.load_model(path)
    assert main(["embed", str(write_second(tmp_path / "a.wav")), "-c", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_the_command_line_names_the_damaged_file(copied: Path, tmp_path: Path, capsys: Captured) -> None:
    source = write_second(tmp_path / "a.wav")
    change(copied, format=7)
    for arguments in (["embed", str(source)], ["tag", str(source)]):
        assert main([*arguments, "-c", str(copied)]) == 1
        assert capsys.readouterr().err.startswith(f"hear-edgel3: {copied}/configuration.json does not describe a")
    assert main(["info", str(copied)]) == 1
    assert not (tmp_path / "a.npz").exists()


# --- their weights ---


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def of_another(path: Path) -> None:
    tensors = hear_edgel3.load(path.parent).net.state_dict()
    path.write_bytes(encode(tensors, {"configuration": "other"}))


def of_another_shape(path: Path) -> None:
    tensors = hear_edgel3.load(path.parent).net.state_dict()
    path.write_bytes(encode({**tensors, "approximation.bias": torch.zeros(7)}, {"configuration": "small"}))


def not_finite(path: Path) -> None:
    tensors = hear_edgel3.load(path.parent).net.state_dict()
    path.write_bytes(encode({**tensors, "approximation.bias": torch.full((6,), torch.nan)}, {"configuration": "small"}))


DAMAGES: list[tuple[Callable[[Path], Any], bool, type[HearEdgeL3Error], str]] = [
    (Path.unlink, False, WeightsNotFound, r"the folder {folder} has no net\.safetensors, the weights of small"),
    (
        truncated,
        False,
        WeightsCorrupt,
        r"{folder}/net\.safetensors has the wrong checksum: expected sha256 [0-9a-f]{{64}}",
    ),
    (not_finite, False, WeightsCorrupt, r"net\.safetensors has the wrong checksum.*and was not loaded"),
    # the description has been brought in line with them
    (truncated, True, WeightsCorrupt, r"{folder}/net\.safetensors is not a sound safetensors file"),
    (not_finite, True, WeightsCorrupt, r"{folder}/net\.safetensors"),
    (of_another, True, WeightsMismatch, r"{folder}/net\.safetensors holds the weights of other, not of small"),
    (of_another_shape, True, WeightsMismatch, r"{folder}/net\.safetensors.*approximation\.bias"),
]


@pytest.mark.parametrize(("damage", "adjusted", "error", "message"), DAMAGES)
def test_weights_that_cannot_be(
    damage: Callable[[Path], Any], adjusted: bool, error: type[HearEdgeL3Error], message: str, copied: Path
) -> None:
    """None of them is loaded, and nothing is fetched instead."""
    path = copied / "net.safetensors"
    damage(path)
    if adjusted:
        change(copied, weights_sha256=sha256_of(path))
    with pytest.raises(error, match=message.format(folder=copied)):
        hear_edgel3.load(copied)


def test_weights_from_elsewhere(
    small: Path, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """A folder's own weights are the ones that count; others have to be given."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(copied / "net.safetensors", elsewhere / "small.safetensors")
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(elsewhere))
    with pytest.raises(WeightsNotFound, match="the weights of small"):
        hear_edgel3.load(copied)
    x = signals.clip(0.3, 48000)[None]
    expected = hear_edgel3.load(small).scene_embeddings(x)
    for weights in (elsewhere, elsewhere / "small.safetensors", small):
        assert torch.equal(hear_edgel3.load(copied, weights).scene_embeddings(x), expected)
    with pytest.raises(WeightsNotFound, match=f"nothing does not exist; its own weights are in {copied}"):
        hear_edgel3.load(copied, tmp_path / "nothing")
    assert origin(local.read_folder(small)) == str(small / "net.safetensors")
