"""Folders as configurations: damaged ones, which name wins, HEAR's module for them, and the one in the package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
import hear_edgel3.custom
from hear_edgel3.cli import main
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.errors import (
    ConfigurationError,
    HearEdgeL3Error,
    InvalidOption,
    UnknownConfiguration,
    WeightsCorrupt,
    WeightsMismatch,
    WeightsNotFound,
)
from hear_edgel3.extractor.extractor import Extractor
from hear_edgel3.families.schema import Local
from hear_edgel3.registry import folder as local
from hear_edgel3.registry.names import BUILT_IN, by_name, checkpoints, families, list_configurations, published, resolve
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.weights.file import encode
from hear_edgel3.weights.locate import locate, origin
from support import signals
from weights_convert.__main__ import main as weights_convert

Captured = pytest.CaptureFixture[str]

MOBILENETV3 = {"width_mult": 0.05, "n_classes": 527, "n_mels": 32, "n_teacher": 6}
L3 = {
    "channels": [8, 8, 8, 8, 8, 8, 8, 5],
    "final_norm": False,
    "sample_rate": 8000,
    "n_fft": 1024,
    "hop_length": 160,
    "n_mels": 32,
}


def make_folder(folder: Path, family: str = "mobilenetv3", **changes: Any) -> Path:
    """A folder of a small net with seeded weights."""
    folder.mkdir(parents=True)
    architecture = {"mobilenetv3": MOBILENETV3, "l3": L3}[family]
    values = {
        "format": 1,
        "name": "small",
        "family": family,
        "summary": "a small net",
        "architecture": architecture,
        "labels": "audioset" if family == "mobilenetv3" else None,
        "default_features": "teacher" if family == "mobilenetv3" else "",
        "weights_file": "net.safetensors",
        "weights_sha256": "0" * 64,
        "licence": "CC0",
        "citation": "nobody",
        **changes,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = local.make_row(values, folder).net.build()
    weights = folder / "net.safetensors"
    weights.write_bytes(encode(net.state_dict(), {"configuration": values["name"]}))
    (folder / "configuration.json").write_text(json.dumps({**values, "weights_sha256": sha256_of(weights)}))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("folders") / "small")


@pytest.fixture(scope="module")
def small_l3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("folders") / "l3", "l3")


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    """One to damage."""
    return shutil.copytree(small, tmp_path / "copy")


@pytest.fixture
def copy_l3(small_l3: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_l3, tmp_path / "copy_l3")


def change(folder: Path, **changes: Any) -> None:
    """Other values in the description; ... leaves one out; the keys of "architecture" are changed one by one."""
    path = folder / "configuration.json"
    values = json.loads(path.read_text())
    architecture = changes.pop("architecture", {})
    if isinstance(architecture, dict):
        architecture = {**values["architecture"], **architecture}
        architecture = {key: value for key, value in architecture.items() if value is not ...}
    values = {**values, "architecture": architecture, **changes}
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


def clip(path: Path) -> Path:
    """A second of sound."""
    soundfile.write(path, signals.clip(1.0, 16000), 16000)
    return path


# --- a sound one ---


def test_what_a_folder_says(small: Path, small_l3: Path) -> None:
    row = local.read_folder(small)
    assert isinstance(row, Local)
    assert (row.name, row.family, row.summary, row.licence, row.citation) == (
        *("small", "mobilenetv3", "a small net", "CC0", "nobody"),
    )
    assert (row.folder, row.weights_path) == (small, small / "net.safetensors")
    assert (row.embedding_version, row.reported, row.made) == (1, {}, {})  # what need not be said
    for folder, size in ((small, 6), (small_l3, 5)):
        configuration = resolve(folder)
        assert configuration.embedding_size == size
        extractor = hear_edgel3.load(folder)
        trained = sum(parameter.numel() for parameter in extractor.net.parameters())
        if folder == small:
            assert configuration.checkpoint.n_parameters == trained
        with torch.no_grad():
            assert extractor(torch.zeros(2, extractor.window)).shape == (2, size)


@pytest.mark.parametrize("written", ["{folder}", "{folder}/", "./{name}", "{name}", "../{parent}/{name}"])
def test_ways_to_write_a_folder(written: str, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small.parent)
    text = written.format(folder=small, name=small.name, parent=small.parent.name)
    for name in (text, Path(text)):
        extractor = hear_edgel3.load(name)
        assert extractor.configuration.name == "small"
        assert extractor.weights is not None
        assert os.path.samefile(extractor.weights.path, small / "net.safetensors")


def test_it_can_be_moved(small: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(small, tmp_path / "a b" / "c.d")
    x = signals.clip(0.5, 48000)[None]
    found = hear_edgel3.load(moved).scene_embeddings(x)
    assert torch.equal(found, hear_edgel3.load(small).scene_embeddings(x))


# --- damaged ones ---

HOW = "`hear-edgel3 distill` writes such files"


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
def test_files_that_are_no_description(content: bytes, message: str, copy: Path) -> None:
    path = copy / "configuration.json"
    path.write_bytes(content)
    for read in (local.read_folder, resolve, hear_edgel3.load, hear_edgel3.custom.load_model, Tagger):
        with pytest.raises(ConfigurationError) as caught:
            read(copy)
        assert str(caught.value).startswith(f"{path} ")
        assert message in str(caught.value)
        assert "JSON" in message or str(caught.value).endswith(HOW)


REQUIRED = "format name family summary architecture weights_file weights_sha256 licence citation".split()
OPTIONAL = "labels default_features embedding_version reported made".split()


@pytest.mark.parametrize("key", REQUIRED)
def test_keys_that_are_missing(key: str, copy: Path) -> None:
    change(copy, **{key: ...})
    with pytest.raises(ConfigurationError, match=f"^{copy}/configuration.json .*: '{key}' is missing; {HOW}$"):
        hear_edgel3.load(copy)


@pytest.mark.parametrize("key", OPTIONAL)
def test_keys_that_may_be_missing(key: str, copy: Path) -> None:
    """What a net that has no such thing would say."""
    change(copy, **{key: ...})
    assert resolve(copy).name == "small"


def test_keys_of_later_versions(copy: Path) -> None:
    """They say more of a net, and do not change it: what does changes the format's number."""
    change(copy, colour="blue")
    assert local.read_folder(copy).name == "small"


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
def test_values_that_cannot_be(changes: dict[str, Any], message: str, copy: Path) -> None:
    change(copy, **changes)
    with pytest.raises(ConfigurationError, match=f"^{copy}/configuration.json .*: .*{message}.*; {HOW}$"):
        hear_edgel3.load(copy)


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
def test_l3_values_that_cannot_be(changes: dict[str, Any], message: str, copy_l3: Path) -> None:
    change(copy_l3, architecture=changes)
    with pytest.raises(ConfigurationError, match=f"^{copy_l3}/configuration.json .*{message}.*; {HOW}$"):
        hear_edgel3.load(copy_l3)


def test_labels_and_features_of_nets_that_have_none(copy_l3: Path) -> None:
    change(copy_l3, labels="audioset")
    with pytest.raises(ConfigurationError, match="the list of labels 'audioset' has 527 classes, and the net has none"):
        hear_edgel3.load(copy_l3)
    change(copy_l3, labels=None, default_features="b5")
    with pytest.raises(ConfigurationError, match="small has one kind of embedding"):
        hear_edgel3.load(copy_l3)


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
    how = "give a name that `hear-edgel3 list` shows, or a folder made by `hear-edgel3 distill`"
    for name in (path, str(path), f"{path}/"):
        with pytest.raises(UnknownConfiguration, match=f"there is no configuration '{path}/?': {what}; {how}"):
            hear_edgel3.load(name)
    with pytest.raises(ConfigurationError, match=rf"{place}/configuration\.json cannot be read: "):
        hear_edgel3.custom.load_model(path)
    assert main(["embed", str(clip(tmp_path / "a.wav")), "-c", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_the_command_line_names_the_damaged_file(copy: Path, tmp_path: Path, capsys: Captured) -> None:
    source = clip(tmp_path / "a.wav")
    change(copy, format=7)
    for arguments in (["embed", str(source)], ["tag", str(source)]):
        assert main([*arguments, "-c", str(copy)]) == 1
        assert capsys.readouterr().err.startswith(f"hear-edgel3: {copy}/configuration.json does not describe a")
    assert main(["info", str(copy)]) == 1
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
    damage: Callable[[Path], Any], adjusted: bool, error: type[HearEdgeL3Error], message: str, copy: Path
) -> None:
    """None of them is loaded, and nothing is fetched instead."""
    path = copy / "net.safetensors"
    damage(path)
    if adjusted:
        change(copy, weights_sha256=sha256_of(path))
    with pytest.raises(error, match=message.format(folder=copy)):
        hear_edgel3.load(copy)


def test_weights_from_elsewhere(
    small: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """A folder's own weights are the ones that count; others have to be given."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(copy / "net.safetensors", elsewhere / "small.safetensors")
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(elsewhere))
    with pytest.raises(WeightsNotFound, match="the weights of small"):
        hear_edgel3.load(copy)
    x = signals.clip(0.3, 48000)[None]
    expected = hear_edgel3.load(small).scene_embeddings(x)
    for weights in (elsewhere, elsewhere / "small.safetensors", small):
        assert torch.equal(hear_edgel3.load(copy, weights).scene_embeddings(x), expected)
    with pytest.raises(WeightsNotFound, match=f"nothing does not exist; its own weights are in {copy}"):
        hear_edgel3.load(copy, tmp_path / "nothing")
    assert origin(local.read_folder(small)) == str(small / "net.safetensors")


# --- names ---


def test_names_win_over_folders(
    small: Path, mobilenetv3_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in the working folder never takes the place of a configuration; with a separator it is meant."""
    monkeypatch.chdir(tmp_path)
    for name in (BUILT_IN, "mn01_as", "mn01_as_clf1"):
        shutil.copytree(small, tmp_path / name)
        assert resolve(name).checkpoint.name == by_name(name).checkpoint.name != "small"
        assert resolve(f"./{name}").name == "small"
        assert resolve(Path(name)).name == "small"
        assert resolve(str(tmp_path / name)).name == "small"
    assert hear_edgel3.load(BUILT_IN).configuration.name == BUILT_IN
    assert hear_edgel3.load("mn01_as", mobilenetv3_folder).scene_embedding_size == 184
    assert Tagger(["./tiny", "tiny"]).configurations == ("small", "tiny")
    shutil.copytree(small, tmp_path / "free")
    assert resolve("free").name == "small"  # nobody else has that name


def test_the_folders_name_is_not_the_configurations(small: Path, tmp_path: Path) -> None:
    """A folder may call itself as it likes: it takes no other's place in the table, nor its weights."""
    folder = make_folder(tmp_path / "imposter", name="tiny")
    assert hear_edgel3.load(folder).scene_embedding_size == 6
    assert Tagger(folder).extractors[0].weights != Tagger("tiny").extractors[0].weights
    assert hear_edgel3.load("tiny").configuration.checkpoint.n_parameters > 100_000
    with pytest.raises(UnknownConfiguration):
        by_name("small")


# --- the HEAR module ---


@pytest.mark.parametrize("family", ["mobilenetv3", "l3"])
def test_the_hear_module(family: str, small: Path, small_l3: Path) -> None:
    folder = small if family == "mobilenetv3" else small_l3
    model = hear_edgel3.custom.load_model(str(folder))
    assert isinstance(model, Extractor)
    assert model.sample_rate in (16000, 22050, 44100, 48000)
    x = torch.from_numpy(signals.clip(1.07, model.sample_rate, 2).T.copy()).float()
    embeddings, times = hear_edgel3.custom.get_timestamp_embeddings(x, model)
    scenes = hear_edgel3.custom.get_scene_embeddings(x, model)
    assert embeddings.shape == (2, 22, model.timestamp_embedding_size)
    assert embeddings.dtype == times.dtype == scenes.dtype == torch.float32
    torch.testing.assert_close(times, torch.arange(0.0, 1070.0, 50.0).expand(2, -1))
    assert scenes.shape == (2, model.scene_embedding_size)
    direct = hear_edgel3.load(folder)
    assert torch.equal(scenes, direct.scene_embeddings(x))
    assert torch.equal(embeddings, direct.timestamp_embeddings(x)[0])
    half = hear_edgel3.custom.load_model(folder, sample_rate=16000, hop_ms=500.0, engine="eager")
    assert (half.sample_rate, half.hop_ms, half.engine) == (16000, 500.0, "eager")
    assert set(hear_edgel3.custom.__all__) == {"load_model", "get_timestamp_embeddings", "get_scene_embeddings"}


def test_the_hear_module_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The validator gives an empty path where none is given; a name is no folder."""
    options: tuple[str, ...]
    for options in ((), ("",)):
        with pytest.raises(ConfigurationError, match=r"has no net of its own; give the folder.*--model path/to/folder"):
            hear_edgel3.custom.load_model(*options)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"tiny/configuration\.json cannot be read: No such file or directory"):
        hear_edgel3.custom.load_model("tiny")
    with pytest.raises(InvalidOption, match="small"):
        hear_edgel3.custom.load_model(make_folder(tmp_path / "small"), features=["nothing"])


def test_a_folder_called_as_a_name_is_the_folder(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This module takes folders only, so that nothing is in the way."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small, tmp_path / "tiny")
    assert hear_edgel3.custom.load_model("tiny").configuration.name == "small"
    assert hear_edgel3.custom.load_model(Path("tiny")).configuration.name == "small"


# --- the built-in one ---


@pytest.fixture
def nothing_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no weights anywhere, and whoever would fetch some fails."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("something is fetched")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    monkeypatch.setattr("hear_edgel3.weights.locate._from_upstream", refuse)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nothing_to_fetch")
def test_the_default_everywhere(tmp_path: Path, capsys: Captured) -> None:
    """Without a name, without a download, it embeds and tags."""
    source = clip(tmp_path / "a.wav")
    extractor = hear_edgel3.load()
    assert extractor.configuration.name == BUILT_IN == "tiny"
    row = resolve("tiny").checkpoint
    assert isinstance(row, Local)
    assert extractor.weights is not None
    assert extractor.weights.path == str(locate(row)) == origin(row)
    assert extractor.weights.sha256 == row.weights_sha256
    embedded = hear_edgel3.embed_file(source)
    assert embedded.configuration == "tiny"
    assert embedded.weights_sha256 == row.weights_sha256
    np.testing.assert_array_equal(embedded.embedding, hear_edgel3.embed_file(source, extractor).embedding)
    tags = hear_edgel3.tag(source)
    assert tags.configurations == ("tiny",)
    np.testing.assert_array_equal(Tagger().tag_file(source).logits, tags.logits)
    assert main(["embed", str(source), "--quiet"]) == 0
    with np.load(tmp_path / "a.npz") as file:
        assert str(file["configuration"]) == "tiny"
        np.testing.assert_array_equal(file["embedding"], embedded.embedding)
    assert capsys.readouterr() == ("", "")
    assert main(["tag", str(source), "--json", "--top", "1"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["configurations"] == ["tiny"]
    assert record["windows"][0]["tags"][0]["label"] == tags.top(1)[0].label


def test_a_fresh_process_needs_nothing(tmp_path: Path) -> None:
    """As after `pip install`: an empty home, offline by the environment."""
    clip(tmp_path / "a.wav")
    code = (
        "import hear_edgel3, socket\n"
        "def refuse(*a): raise AssertionError('the network is asked')\n"
        "socket.socket.connect = refuse\n"
        "print(hear_edgel3.tag('a.wav').configurations, hear_edgel3.embed_file('a.wav').configuration)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "('tiny',) tiny\n", "")
    home = Path(os.environ["HOME"])
    assert list(home.rglob("*.safetensors")) == []


def test_the_built_in_row() -> None:
    """First in the table; whole; no published one has its name."""
    names = list_configurations()
    assert names[0] == BUILT_IN
    assert len(set(names)) == len(names)
    row = resolve(BUILT_IN).checkpoint
    assert isinstance(row, Local)
    assert row.name == row.folder.name == BUILT_IN
    assert BUILT_IN not in [published.name for published in checkpoints()]
    assert row.family in families()
    assert BUILT_IN in list_configurations(row.family)
    assert sha256_of(row.weights_path) == row.weights_sha256
    assert (row.folder / "README.md").read_text().startswith(f"# {BUILT_IN}\n")
    assert row.made["teacher"] in names
    assert row.labels == "audioset"


def test_features_of_the_built_in_one() -> None:
    """Its name takes words as the published ones do."""
    assert resolve("tiny_clf1_logits").features.names == ("clf1", "logits")
    assert hear_edgel3.load("tiny", features=["clf1"]).configuration.name == "tiny_clf1"
    with pytest.raises(UnknownConfiguration, match="'clf9' is no feature"):
        resolve("tiny_clf9")


def test_the_converter_has_nothing_to_do(tmp_path: Path, capsys: Captured) -> None:
    message = "tiny is part of this package, nothing that its authors published"
    with pytest.raises(UnknownConfiguration, match=message):
        published("tiny")
    for arguments in (
        ["tiny"],
        ["tiny_clf1"],
        ["tiny", "--output", str(tmp_path / "tiny.safetensors")],
        ["tiny", "--source", str(tmp_path / "tiny.pt")],
        ["publish", "tiny"],
    ):
        assert weights_convert(arguments) == 2
        assert f"error: {message}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert "tiny" not in [row.name for row in checkpoints()]  # what --all converts
