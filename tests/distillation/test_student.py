"""What distillation leaves behind: a folder that loads, embeds, tags and says what it is."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
import hear_edgel3.custom
from hear_edgel3.cli import distill as command_line
from hear_edgel3.cli import main
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry import folder as local
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.weights.file import read_tensors
from support import signals
from support.distilling import N_FILES, RATE, Ran, leftovers, table
from support.paths import DATA, PACKAGE
from support.types import Captured


def test_the_folder(student: Path) -> None:
    row = local.read_folder(student)
    drawn = {"curves.png"} if row.name in ("fitted", "eight") else set()
    names = {path.name for path in student.iterdir()} - {"cache"}
    expected = "configuration.json model.safetensors README.md metrics.csv tensorboard training.pt".split()
    assert names == {*expected, *drawn}
    assert leftovers(student) == []
    assert len(list((student / "tensorboard").iterdir())) == 1
    state, provenance = read_tensors(student / "model.safetensors")
    assert provenance["configuration"] == row.name
    assert provenance["teacher"] == row.made["teacher"]
    kinds = {value.dtype for value in state.values()}
    assert kinds == ({torch.float16} if row.made["recipe"]["half"] else {torch.float32})
    card = (student / "README.md").read_text()
    for words in (
        f"# {row.name}",
        row.made["teacher"],
        row.made["teacher_sha256"],
        "0.02 hours",
        f"{N_FILES + 1 if row.name == 'eight' else N_FILES} files",
        row.licence,
    ):
        assert words in card, words
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines() if line.startswith("| ")]
    figures = {row[0]: row[1:] for row in cells}
    for key, value in row.made["scores"].items():
        assert figures[key.removeprefix("guess_")][int(key.startswith("guess_"))] == f"{value:.4g}", key
    assert ("![curves](curves.png)" in card) == bool(drawn)
    if drawn:
        assert (student / "curves.png").read_bytes().startswith(b"\x89PNG")
    metrics = table(student)
    assert [row["epoch"] for row in metrics] == list(range(1, 1 + row.made["epochs"]))
    measuring = Recipe(**row.made["recipe"]).measuring_epochs
    best = min(metrics[measuring:], key=lambda row: row["validation_loss"])
    assert best["epoch"] == row.made["best_epoch"]
    # the scores are of the weights as they are stored: the table has six digits, 16-bit floats have three
    tolerance = 2e-2 if row.made["recipe"]["half"] else 1e-4
    assert row.made["scores"]["validation_loss"] == pytest.approx(best["validation_loss"], rel=tolerance)


def test_it_loads_and_embeds(student: Path, tmp_path: Path) -> None:
    extractor = hear_edgel3.load(str(student))
    row = local.read_folder(student)
    name = row.name
    expected = {"fitted": 184, "own": 160, "eight": 8, "sea": 64, "mixed": 16}[name]
    assert extractor.configuration.name == name
    assert extractor.scene_embedding_size == extractor.timestamp_embedding_size == expected
    assert extractor.weights is not None
    assert extractor.weights.sha256 == row.weights_sha256
    source = tmp_path / "clip.wav"
    soundfile.write(source, signals.clip(1.7, 22050, 2), 22050)
    clip = hear_edgel3.embed_file(source, student)
    assert clip.configuration == name
    assert clip.embedding.shape == (len(clip.timestamps), expected)
    assert np.isfinite(clip.embedding).all()
    np.testing.assert_array_equal(hear_edgel3.embed_file(source, extractor).embedding, clip.embedding)
    assert main(["embed", str(source), "--config", str(student), "--output-dir", str(tmp_path)]) == 0
    with np.load(tmp_path / "clip.npz") as file:
        np.testing.assert_array_equal(file["embedding"], clip.embedding)
        assert str(file["configuration"]) == name
        assert str(file["weights_sha256"]) == row.weights_sha256


def test_hear(student: Path) -> None:
    """The common API, by the module that takes folders."""
    model = hear_edgel3.custom.load_model(str(student))
    assert model.sample_rate in (16000, 48000)
    x = torch.from_numpy(signals.clip(1.2, model.sample_rate, 2).T.copy()).float()
    embeddings, times = hear_edgel3.custom.get_timestamp_embeddings(x, model)
    scenes = hear_edgel3.custom.get_scene_embeddings(x, model)
    assert embeddings.shape == (2, 25, model.timestamp_embedding_size)
    assert times.shape == (2, 25)
    assert scenes.shape == (2, model.scene_embedding_size)
    assert embeddings.isfinite().all()
    assert scenes.isfinite().all()
    coarse = hear_edgel3.custom.load_model(student, hop_ms=100.0, sample_rate=32000)
    assert coarse.sample_rate == 32000
    assert (
        hear_edgel3.custom.get_timestamp_embeddings(x, coarse)[0].shape[1] == 1 + int(1000 * x.shape[1] / 32000) // 100
    )


def test_it_tags(student: Path, tmp_path: Path, capsys: Captured) -> None:
    source = tmp_path / "clip.wav"
    soundfile.write(source, signals.clip(1.3, RATE), RATE)
    row = local.read_folder(student)
    if row.family == "l3":
        with pytest.raises(InvalidOption, match=f"{row.name} has no classifier and cannot tag; these can: tiny, "):
            hear_edgel3.tag(source, student)
        assert main(["tag", str(source), "-c", str(student)]) == 2
        return
    tags = hear_edgel3.tag(source, student)
    assert tags.configurations == (row.name,)
    assert tags.logits.shape == (1, 527)
    logits = hear_edgel3.load(student, features=["logits"], sample_rate=RATE).scene_embeddings(
        signals.clip(1.3, RATE)[None]
    )
    np.testing.assert_allclose(tags.logits, logits, atol=1e-4)
    np.testing.assert_array_equal(Tagger(student).tag_file(source).logits, tags.logits)
    both = Tagger([str(student), "tiny"]).tag_file(source)
    assert both.configurations == (row.name, "tiny")
    assert main(["tag", str(source), "-c", str(student), "--json", "--top", "1"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["configurations"] == [row.name]
    assert record["windows"][0]["tags"][0]["label"] == tags.top(1)[0].label


def test_it_has_info(student: Path, capsys: Captured) -> None:
    assert main(["info", str(student), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    row = local.read_folder(student)
    state, _ = read_tensors(student / "model.safetensors")
    assert facts["name"] == row.name
    assert facts["licence"] == row.licence
    weights = student / "model.safetensors"
    stored = round(weights.stat().st_size / 1e6, 2)
    assert facts["weights"] == {"from": str(weights), "sha256": row.weights_sha256, "stored_mb": stored}
    assert facts["made"]["teacher"] in ("mn01_as", "sea_64")
    assert facts["scores"] == row.made["scores"]
    trained = [v for k, v in state.items() if row.family == "l3" or "running_" not in k]
    assert facts["parameters"] == sum(value.numel() for value in trained)
    if row.name == "sea":
        assert main(["info", str(student)]) == 0
        out = capsys.readouterr().out
        assert row.summary in out
        assert "validation loss" in out


def test_features_of_a_student(fitted: Path, own: Path, l3: Path) -> None:
    assert hear_edgel3.load(fitted).configuration.features.names == ("teacher",)
    assert hear_edgel3.load(own).configuration.features.names == ("mel_avgs", "b5", "b11", "b13", "b15")
    assert hear_edgel3.load(fitted, features=["clf1", "teacher"]).scene_embedding_size == 184 + 96
    with pytest.raises(InvalidOption, match="do not fit own: teacher is the approximation of another net's embedding"):
        hear_edgel3.load(own, features=["teacher"])
    with pytest.raises(InvalidOption, match="sea has one kind of embedding"):
        hear_edgel3.load(l3, features=["teacher"])


def test_the_command(principal: Ran) -> None:
    """What it says and how it ends."""
    assert principal.code == 0
    assert principal.out == f"{principal.folder}\n"
    lines = [line for line in principal.err.replace("\r", "\n").splitlines() if line.startswith(("left out", "epoch"))]
    left_out = [line for line in lines if line.startswith("left out: ")]
    for name, reason in {
        "empty.flac": "is empty (0 bytes)",
        "noise.wav": "cannot be read as audio",
        "slow.wav": "the file's sample rate must be between 1000 and 768000 Hz, got 100",
        "holes.wav": "is NaN",
    }.items():
        assert any(name in line and reason in line for line in left_out), name
    assert not any(f"{i}.wav" in line for line in left_out for i in range(N_FILES))
    assert "notes.txt" not in principal.err
    epochs = [line for line in lines if line.startswith("epoch") and "train_loss" in line]
    assert [line.split(",")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]
    for words in ("validation_loss ", "r2 ", "top1_agreement "):
        assert words in epochs[0]
    row = local.read_folder(principal.folder)
    assert row.licence == "public domain"
    assert row.made["command"].startswith("hear-edgel3 distill --teacher mn01_as --teacher-weights ")
    assert row.made["recipe"]["lengths"] == [0.5, 1.0]
    card = (principal.folder / "README.md").read_text()
    assert "| some samples | 1.2 | 0.0178 | 8 | CC0, CC BY 4.0 |" in card
    assert row.made["command"] in card


def test_quiet_says_nothing(
    audio: Path, cache: Path, mobilenetv3_folder: Path, fitted: Path, tmp_path: Path, capsys: Captured
) -> None:
    arguments = ["distill", "--teacher", "mn01_as", "--teacher-weights", str(mobilenetv3_folder), "--cache", str(cache)]
    arguments += ["--audio", str(audio), "--output", str(tmp_path / "out"), "--quiet", "--device", "cpu"]
    options = "--width 0.05 --lengths 1 --clips-per-file 8 --views 1 --batch-seconds 8 --epochs 1"
    assert main([*arguments, *options.split()]) == 0
    assert capsys.readouterr() == (f"{tmp_path / 'out'}\n", "")


def test_every_option_has_a_flag(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """The command hands each of them on, and none that was not given."""
    given: list[dict[str, Any]] = []

    def distill(teacher: str, audio: list[str], output: str, **options: Any) -> Path:
        given.append({"teacher": teacher, "audio": audio, "output": output, **options})
        return Path(output)

    monkeypatch.setattr("hear_edgel3.distillation.run.distill", distill)
    audio = [str(DATA), str(DATA / "example.flac")]
    weights = str(PACKAGE / "checkpoints" / "tiny")
    required = ["distill", "--teacher", "tiny", "--audio", *audio, "-o", "o"]
    values: dict[str, Any] = {
        "name": "n",
        "student": "l3",
        "augmentation": "broad",
        "embedding": "own",
        "precision": "bf16",
        "lengths": (0.5, 2.0),
        "half": True,
        "quantize": "int8",
    }
    flags: list[str] = []
    for i, field in enumerate(dataclasses.fields(Recipe)):
        flag = command_line._FLAGS.get(field.name, f"--{field.name.replace('_', '-')}")
        value = values.setdefault(field.name, (i + 2) if field.type in ("int", "int | None") else i / 100)
        flags += [flag] if value is True else [flag, *map(str, value if isinstance(value, tuple) else [value])]
    others = ["--cache", "c", "--teacher-weights", weights, "--licence", "l", "--embedding-version", "2", "-q"]
    assert main([*required, *flags, *others]) == 0
    assert main([*required, "--device", "cpu"]) == 0
    full, bare = given
    assert {key: full.pop(key) for key in values} == values
    assert full.pop("command").startswith(
        f"hear-edgel3 distill --teacher tiny --audio {' '.join(audio)} -o o --name n "
    )
    common = {"teacher": "tiny", "audio": audio, "output": "o"}
    rest = {"cache": "c", "teacher_weights": weights, "licence": "l", "embedding_version": 2}
    assert full == {**common, **rest, "quiet": True, "device": None}
    del bare["command"]
    assert bare.pop("licence")
    rest = {"cache": None, "teacher_weights": None, "embedding_version": 1}
    assert bare == {**common, **rest, "quiet": False, "device": "cpu"}
    with pytest.raises(SystemExit):
        main(["distill", "--help"])
    text = capsys.readouterr().out
    for flag in flags:
        assert not flag.startswith("--") or flag in text
    for field in dataclasses.fields(Recipe):  # the defaults that the help states
        if field.name not in ("n_mels", "embedding", "embedding_size", "lengths", "half", "hold_out_sources"):
            flag = command_line._FLAGS.get(field.name, f"--{field.name.replace('_', '-')}")
            stated = " ".join(text.split(f"  {flag} ")[1].split("\n  --")[0].split())
            default = f"{field.default:g}" if isinstance(field.default, float) else f"{field.default}"
            assert re.search(rf"default {re.escape(default)}\b", stated), field.name
    assert "default 1 2 5 10" in text
