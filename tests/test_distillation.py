"""Distillation: what the students are worth, that interrupted runs go on as if nothing had been, and what is refused.

Everything here is tiny: a minute of sound, teachers with seeded weights, students of width 0.05 or 0.1.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import io
import json
import os
import random
import re
import shutil
import signal
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
from hear_edgel3.cli import distill as command_line
from hear_edgel3.cli import main
from hear_edgel3.distillation import corpus as clips
from hear_edgel3.distillation import examples, result, training
from hear_edgel3.distillation import run as distillation
from hear_edgel3.distillation.corpus import find_corpus
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.distillation.student import StudentNet
from hear_edgel3.distillation.target_scale import make_target_scale
from hear_edgel3.distillation.teacher import Teacher
from hear_edgel3.errors import (
    AudioFileError,
    ConfigurationError,
    InvalidAudio,
    InvalidOption,
    MissingExtra,
    OutputError,
    UnknownConfiguration,
    WeightsNotFound,
)
from hear_edgel3.families.table import students
from hear_edgel3.registry import folder as local
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.weights.file import read_tensors
from support import signals

RATE = 16000
N_FILES, PER_FILE = 8, 8  # clips of one second
# Fast enough for tests: of one length, two variants, large steps.
QUICK: dict[str, Any] = {
    "width_mult": 0.05,
    "lengths": (1.0,),
    "clips_per_file": PER_FILE,
    "views": 2,
    "batch_seconds": 8.0,
    "epochs": 3,
}

Captured = pytest.CaptureFixture[str]


def sound(seed: int, rate: int = RATE) -> np.ndarray:
    """A second of coloured noise and a beating tone, on 16-bit steps: seeds sound as different as they can."""
    rs = np.random.RandomState(seed)
    t = np.arange(rate) / rate
    spectrum = np.fft.rfft(rs.randn(rate)) / np.maximum(np.fft.rfftfreq(rate, 1 / rate), 50) ** rs.uniform(0, 2)
    noise = np.fft.irfft(spectrum, rate)
    pitch, beat = rs.uniform(100, 3000), rs.uniform(1, 8)
    tone = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 6) if pitch * k < rate / 2)
    x = rs.uniform(0.01, 0.6) * noise / np.abs(noise).max()
    x = x + rs.uniform(0, 0.3) * tone * (0.5 + 0.5 * np.sin(2 * np.pi * beat * t))
    rounded: np.ndarray = np.round(np.clip(x * rs.uniform(0.2, 1), -1, 0.99) * 32768) / 32768
    return rounded


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 seconds in eight files, one of them in a folder inside."""
    folder = tmp_path_factory.mktemp("audio")
    (folder / "more").mkdir()
    for i in range(N_FILES):
        path = folder / ("more" if i == 0 else "") / f"{i}.wav"
        soundfile.write(path, np.concatenate([sound(100 * i + k) for k in range(PER_FILE)]), RATE)
    return folder


@pytest.fixture(scope="module")
def seconds(audio: Path) -> np.ndarray:
    """(64, 16000) every second of the audio."""
    return np.concatenate([soundfile.read(path)[0].reshape(-1, RATE) for path in sorted(audio.rglob("*.wav"))])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teachers' answers, for all tests."""
    return tmp_path_factory.mktemp("cache")


Distill = Callable[..., Path]


@pytest.fixture(scope="module")
def distill(audio: Path, cache: Path, mobilenetv3_folder: Path, weights_folder: Path) -> Distill:
    """`distill(output, teacher, **options)`: with what is quick where nothing else is said.

    The picture of the curves takes as long as two epochs: it is drawn where ``curves=True`` only.
    """

    def run(output: Path, teacher: str = "mn01_as", curves: bool = False, **options: Any) -> Path:
        folder = mobilenetv3_folder if teacher.startswith("mn") else weights_folder
        given = {"teacher_weights": folder, "cache": cache, "device": "cpu", "audio": audio, **QUICK, **options}
        with pytest.MonkeyPatch.context() as patched:
            if not curves:
                patched.setattr(distillation, "draw_curves", lambda metrics: None)
            made = hear_edgel3.distill(teacher, output=output, **given)
        assert made == output
        return made

    return run


@pytest.fixture(scope="module")
def fitted(distill: Distill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a tagging teacher, trained for long enough to fit its few clips."""
    output = tmp_path_factory.mktemp("out") / "new" / "fitted"
    options = {"width_mult": 0.1, "views": 1, "epochs": 12, "lr": 0.01, "patience": 100}
    return distill(output, name="fitted", licence="CC0", curves=True, **options)


@pytest.fixture(scope="module")
def own(distill: Distill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With embeddings of its own, in 16-bit floats."""
    return distill(tmp_path_factory.mktemp("out") / "own", name="own", embedding="own", half=True, epochs=2)


@pytest.fixture(scope="module")
def l3(distill: Distill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SEA from SEA, trained for long enough; its teacher has no classes.

    That is until it no longer matters how sums were rounded: after half as many steps, twice as wide, 0.05 to 0.53 of
    the variance was explained, from run to run of different rounding or seed; now 0.57 to 0.62.
    """
    output = tmp_path_factory.mktemp("out") / "l3"
    options = {"width_mult": 0.1, "views": 3, "epochs": 20, "lr": 0.004, "patience": 100}
    return distill(output, "sea_64", name="sea", student="l3", **options)


@pytest.fixture(scope="module")
def l3_of_mobilenetv3(distill: Distill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At another rate, with principal components, in 16-bit floats."""
    output = tmp_path_factory.mktemp("out") / "mixed"
    options = {"sample_rate": 16000, "n_mels": 32, "embedding_size": 16, "half": True}
    return distill(output, name="mixed", student="l3", **options)


@dataclasses.dataclass
class Ran:
    """A run of the command."""

    code: int
    out: str
    err: str
    folder: Path


@pytest.fixture(scope="module")
def principal(audio: Path, mobilenetv3_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """By the command, from clips of two lengths, some files of which cannot be read; principal components."""
    folder = tmp_path_factory.mktemp("command")
    messy = folder / "audio"
    shutil.copytree(audio, messy)
    (messy / "noise.wav").write_bytes(b"RIFF nothing of the kind")
    (messy / "empty.flac").write_bytes(b"")
    (messy / "notes.txt").write_text("no audio")
    soundfile.write(messy / "slow.wav", signals.clip(2.0, 100), 100)  # a rate that nothing takes
    holes = signals.clip(8.0, RATE)
    holes[3 * RATE :] = np.nan
    soundfile.write(messy / "more" / "holes.wav", holes, RATE, subtype="FLOAT")
    source = {"name": "some samples", "version": "1.2", "hours": 0.0178, "files": 8, "licences": ["CC0", "CC BY 4.0"]}
    (messy / "SOURCES.json").write_text(json.dumps({"sources": [source]}))
    output = folder / "out"
    arguments = ["distill", "--teacher", "mn01_as", "--teacher-weights", str(mobilenetv3_folder), "--audio", str(messy)]
    arguments += f"--output {output} --device cpu --name eight --width 0.05 --embedding-size 8 --half".split()
    arguments += "--lengths 0.5 1 --clips-per-file 8 --views 2 --batch-seconds 8 --epochs 2 --seed 3".split()
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main([*arguments, "--licence", "public domain"])
    return Ran(code, out.getvalue(), err.getvalue(), output)


@pytest.fixture(params=["fitted", "own", "principal", "l3", "l3_of_mobilenetv3"])
def student(request: pytest.FixtureRequest) -> Path:
    """Each of the students."""
    found = request.getfixturevalue(request.param)
    folder = found.folder if isinstance(found, Ran) else found
    assert isinstance(folder, Path)
    return folder


def table(folder: Path) -> list[dict[str, float]]:
    """The metrics, as numbers."""
    with (folder / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def without_times(folder: Path) -> tuple[bytes, list[dict[str, float]], dict[str, Any]]:
    """All that must be the same for the same student: weights, metrics, description."""
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in table(folder)]
    description = json.loads((folder / "configuration.json").read_text())
    for key in ("seconds", "command"):
        del description["made"][key]
    return (folder / "model.safetensors").read_bytes(), rows, description


def leftovers(folder: Path) -> list[Path]:
    """Temporary files."""
    return list(folder.rglob(".*"))


def shards(folder: Path) -> dict[Path, int]:
    """Files of the teacher's answers, and when they were written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors") if path.name != "model.safetensors"}


def explained(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Fraction of the variance."""
    return 1 - float((found - wanted).square().mean() / (wanted - wanted.mean(dim=0)).square().mean())


# --- what is there afterwards ---


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
    for key, value in row.made["scores"].items():
        assert f"| {key} | {value:.4g} |" in card
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
    assert facts["weights"] == {"from": str(student / "model.safetensors"), "sha256": row.weights_sha256}
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
    required = ["distill", "--teacher", "t", "--audio", "a", "b", "-o", "o"]
    values: dict[str, Any] = {
        "name": "n",
        "student": "l3",
        "embedding": "own",
        "precision": "bf16",
        "lengths": (0.5, 2.0),
        "half": True,
    }
    flags: list[str] = []
    for i, field in enumerate(dataclasses.fields(Recipe)):
        flag = command_line._FLAGS.get(field.name, f"--{field.name.replace('_', '-')}")
        value = values.setdefault(field.name, (i + 2) if field.type in ("int", "int | None") else i / 100)
        flags += [flag] if value is True else [flag, *map(str, value if isinstance(value, tuple) else [value])]
    assert main([*required, *flags, "--cache", "c", "--teacher-weights", "w", "--licence", "l", "-q"]) == 0
    assert main([*required, "--device", "cpu"]) == 0
    full, bare = given
    assert {key: full.pop(key) for key in values} == values
    assert full.pop("command").startswith("hear-edgel3 distill --teacher t --audio a b -o o --name n ")
    common = {"teacher": "t", "audio": ["a", "b"], "output": "o"}
    assert full == {**common, "cache": "c", "teacher_weights": "w", "licence": "l", "quiet": True, "device": None}
    del bare["command"]
    assert bare.pop("licence")
    assert bare == {**common, "cache": None, "teacher_weights": None, "quiet": False, "device": "cpu"}
    with pytest.raises(SystemExit):
        main(["distill", "--help"])
    text = capsys.readouterr().out
    for flag in flags:
        assert not flag.startswith("--") or flag in text
    for field in dataclasses.fields(Recipe):  # the defaults that the help states
        if field.name not in ("n_mels", "embedding", "embedding_size", "lengths", "half"):
            flag = command_line._FLAGS.get(field.name, f"--{field.name.replace('_', '-')}")
            stated = " ".join(text.split(f"  {flag} ")[1].split("\n  --")[0].split())
            default = f"{field.default:g}" if isinstance(field.default, float) else f"{field.default}"
            assert re.search(rf"default {re.escape(default)}\b", stated), field.name
    assert "default 1 2 5 10" in text


# --- what a student is worth ---


def test_it_approximates_its_teacher(fitted: Path, mobilenetv3_folder: Path, seconds: np.ndarray) -> None:
    """On the clips it learned from, in the teacher's own space: far nearer than the mean."""
    teacher = hear_edgel3.load("mn01_as", mobilenetv3_folder, sample_rate=RATE)
    found = hear_edgel3.load(fitted, sample_rate=RATE).scene_embeddings(seconds)
    wanted = teacher.scene_embeddings(seconds)
    assert found.shape == wanted.shape
    assert explained(found, wanted) > 0.4
    assert explained(found[:, 128:], wanted[:, 128:]) > 0.2  # without mel_avgs, which both compute alike
    rows = table(fitted)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert max(row["r2"] for row in rows) > 0.1


def test_its_logits_are_learned_too(fitted: Path, mobilenetv3_folder: Path, seconds: np.ndarray) -> None:
    """Nearer than each class's mean, which is where it began."""
    wanted = hear_edgel3.load("mn01_as", mobilenetv3_folder, RATE, ["logits"]).scene_embeddings(seconds).sigmoid()
    found = hear_edgel3.load(fitted, sample_rate=RATE, features=["logits"]).scene_embeddings(seconds).sigmoid()

    def cost(p: torch.Tensor) -> float:
        return float(torch.nn.functional.binary_cross_entropy(p.expand_as(wanted), wanted))

    assert cost(found) - cost(wanted) < 0.8 * (cost(wanted.mean(dim=0)) - cost(wanted))


def test_an_l3_student_has_its_teachers_windows(l3: Path, weights_folder: Path) -> None:
    """Timestamps of new clips: of windows inside, which are not means over several, and of those beyond the ends."""
    teacher = hear_edgel3.load("sea_64", weights_folder, hop_ms=250.0)
    pupil = hear_edgel3.load(l3, hop_ms=250.0)
    x = np.stack([np.concatenate([sound(5000 + 10 * i + k) for k in range(3)]) for i in range(12)])
    wanted, found = teacher.timestamp_embeddings(x)[0], pupil.timestamp_embeddings(x)[0]
    assert explained(found[:, 2:-2].flatten(0, 1), wanted[:, 2:-2].flatten(0, 1)) > 0.3
    assert explained(found.flatten(0, 1), wanted.flatten(0, 1)) > 0.3
    assert found.min() < 0  # there is no ReLU behind an approximation


def test_the_space_of_principal_components(principal: Ran, mobilenetv3_folder: Path) -> None:
    """Its values are the teacher's, seen along a few axes: what the description says of it."""
    row = local.read_folder(principal.folder)
    assert row.net.arguments["n_teacher"] == 8
    assert row.made["recipe"]["embedding_size"] == 8
    assert row.made["scores"]["r2"] < 1
    state, _ = read_tensors(principal.folder / "model.safetensors")
    assert len(state["approximation.bias"]) == 8


def test_spaces() -> None:
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([10.0, 3.0, 1.0, 0.1])
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator))[0]
    x = torch.randn(2000, 4, generator=generator) * scales @ turn.T + 5
    full = make_target_scale(x, None)
    assert full.components is None
    assert full.size == 4
    y = full.targets(x)
    torch.testing.assert_close(y.square().mean(dim=0), torch.ones(4))
    torch.testing.assert_close(y * full.scale + full.offset, x)
    assert make_target_scale(x, 4).components is None
    few = make_target_scale(x, 2)
    assert few.components is not None
    torch.testing.assert_close(few.components @ few.components.T, torch.eye(2), atol=1e-5, rtol=0)
    for axis, expected in zip(few.components, turn.T, strict=False):
        assert abs(float(axis @ expected)) > 0.99
        assert axis[axis.abs().argmax()] > 0
    z = few.targets(x)
    torch.testing.assert_close(z.square().mean(), torch.tensor(1.0))
    assert float(z[:, 0].var() / z[:, 1].var()) == pytest.approx(100 / 9, rel=0.15)  # the first counts most
    torch.testing.assert_close(z * few.scale + few.offset, (x - x.mean(dim=0)) @ few.components.T, atol=1e-4, rtol=1e-4)
    still = make_target_scale(torch.cat([x, torch.ones(2000, 1)], dim=1), None)
    assert still.targets(torch.cat([x, torch.ones(2000, 1)], dim=1))[:, 4].abs().max() < 1e-3
    assert make_target_scale(torch.ones(5, 3), 2).targets(torch.ones(5, 3)).isfinite().all()


@pytest.mark.parametrize("kind", students())
@pytest.mark.parametrize("size", [None, 3])
def test_a_finished_student_speaks_its_teachers_language(kind: str, size: int | None) -> None:
    """What is published puts out what was trained, in the teacher's scale."""
    space = make_target_scale(torch.randn(50, 6, generator=torch.Generator().manual_seed(1)) * 7 + 3, size)
    student = StudentNet(Recipe(student=kind, width_mult=0.05), space.size, None)
    mel = torch.from_numpy(signals.windows(student.sample_rate))
    with torch.no_grad():
        trained = student.net.eval()(student.frontend(mel))
        student.net.load_state_dict(student.finished(student.net.state_dict(), space, own=False), strict=False)
        torch.testing.assert_close(student.net(student.frontend(mel)), trained * space.scale + space.offset)


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 16000, 22050, 32000, 44100, 48000])
def test_l3_students_of_any_rate(rate: int) -> None:
    for width in (0.05, 1.0):
        student = StudentNet(Recipe(student="l3", sample_rate=float(rate), width_mult=width), 5, 527)  # type: ignore[arg-type]
        assert student.n_classes is None
        assert student.sample_rate == rate
        assert student.architecture["channels"][0] == (8 if width == 0.05 else 64)
        assert student.net(student.frontend(torch.zeros(2, rate))).shape == (2, 5)


@pytest.mark.parametrize("width", [0.05, 0.2, 1.5])
def test_mobilenetv3_students_of_any_width(width: float) -> None:
    student = StudentNet(Recipe(width_mult=width, n_mels=40), 5, 10)
    assert student.net(student.frontend(torch.zeros(2, 16000))).shape == (2, 15)
    probabilities = torch.linspace(0, 1, 10)
    student.expect(probabilities)
    with torch.no_grad():
        found = student.net.eval()(student.frontend(torch.zeros(1, 16000)))[0, 5:].sigmoid()
    assert (found - probabilities).abs().max() < 0.2


def test_what_an_l3_teacher_is_asked(weights_folder: Path, mobilenetv3_folder: Path) -> None:
    """About windows for students with windows, else about clips, as for scenes."""
    teacher = Teacher("sea_64", weights_folder)
    x = torch.from_numpy(signals.windows(8000)).float()
    with torch.no_grad():
        torch.testing.assert_close(teacher.ask(x, windows=True).embedding, teacher.extractor(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(teacher.ask(x).embedding, teacher.extractor.scene_embeddings(x))
    assert teacher.ask(x).logits is None
    half = teacher.ask(x[:, :4000], windows=True).embedding
    torch.testing.assert_close(half, teacher.extractor.scene_embeddings(x[:, :4000]))
    tagging = Teacher("mn01_as_clf1_mel_avgs", mobilenetv3_folder)
    x = torch.from_numpy(signals.windows(32000)).float()
    for windows in (False, True):
        answer = tagging.ask(x, windows)
        torch.testing.assert_close(answer.embedding, tagging.extractor.scene_embeddings(x))
        assert answer.logits is not None
        logits = hear_edgel3.load("mn01_as", mobilenetv3_folder, 32000, ["logits"]).scene_embeddings(x)
        torch.testing.assert_close(answer.logits, logits, atol=1e-4, rtol=1e-4)
    assert tagging.extractor.scene_embeddings(x).shape == (6, 96 + 128)


# --- the same again, and going on ---

TWO_AND_TWO: dict[str, Any] = {"epochs": 4, "fix_norm": 0.5}
L3: dict[str, Any] = {"teacher": "sea_64", "student": "l3", "views": 1, **TWO_AND_TWO}
STEPS = 7  # of each epoch: 56 clips of a second, eight at a time


@pytest.fixture(scope="module")
def straight(distill: Distill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupts: two epochs in which batch norm measures, and two more."""
    return distill(tmp_path_factory.mktemp("out") / "straight", **TWO_AND_TWO)


@pytest.fixture(scope="module")
def straight_l3(distill: Distill, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another, of the kind that is faster."""
    return distill(tmp_path_factory.mktemp("out") / "straight_l3", **L3)


def test_the_seed_decides(distill: Distill, straight: Path, cache: Path, tmp_path: Path) -> None:
    """The same from a cache of its own; the caller's random numbers are left alone; another seed is another student."""
    torch.manual_seed(1)
    before, np_before, py_before = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()
    again = distill(tmp_path / "again", cache=None, **TWO_AND_TWO)
    assert torch.equal(torch.get_rng_state(), before)
    assert repr(np.random.get_state(legacy=False)) == repr(np_before)
    assert random.getstate() == py_before
    assert without_times(again) == without_times(straight)
    inside = shards(again / "cache")
    assert {path.relative_to(again / "cache") for path in inside} <= {path.relative_to(cache) for path in shards(cache)}
    other = distill(tmp_path / "other", seed=1, epochs=1)
    assert (other / "model.safetensors").read_bytes() != (straight / "model.safetensors").read_bytes()


def interrupting(function: Callable[..., Any], calls: int) -> Callable[..., Any]:
    """The function, of which call number ``calls`` (from 0) is interrupted."""
    counter = iter(range(10_000))

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if next(counter) == calls:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    return wrapped


@pytest.mark.parametrize(
    ("place", "calls", "done"),
    [
        ("measure", 0, 0),
        ("_augmented", STEPS + 3, 1),
        ("_save_state", 1, 1),
        ("_say", 1, 2),
        ("_augmented", 2 * STEPS, 2),
        ("_augmented", 3 * STEPS + 3, 3),
    ],
)
def test_going_on(
    place: str, calls: int, done: int, distill: Distill, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted between epochs, in the middle of one, or while it is written down: the same student.

    While batch norm measures, just as its statistics have been fixed (two are done), and later.
    """
    output = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(training, place, interrupting(getattr(training, place), calls))
        with pytest.raises(KeyboardInterrupt):
            distill(output, quiet=place != "_say", **TWO_AND_TWO)
    assert not (output / "model.safetensors").exists()
    assert leftovers(output) == []
    assert (output / "training.pt").exists() == (done > 0)
    if done:
        assert len(table(output)) == done
    distill(output, **TWO_AND_TWO)
    assert without_times(output) == without_times(straight)


def test_nothing_left_to_do(distill: Distill, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is done is written again from what it holds, and is the same; it may have moved, and the audio."""
    moved = shutil.copytree(straight, tmp_path / "moved")
    monkeypatch.setattr(training, "_epoch", interrupting(training._epoch, 0))
    distill(moved, **TWO_AND_TWO)
    assert without_times(moved) == without_times(straight)


def test_the_cache_goes_by_what_is_in_the_audio(
    distill: Distill, audio: Path, straight: Path, cache: Path, tmp_path: Path
) -> None:
    """Not by where it is; and other variants of it are other answers."""
    before = shards(cache)
    elsewhere = shutil.copytree(audio, tmp_path / "elsewhere")
    distill(tmp_path / "out", audio=[elsewhere], epochs=1)
    assert shards(cache) == before
    own = shutil.copytree(cache, tmp_path / "cache")
    distill(tmp_path / "views", "sea_64", cache=own, student="l3", views=1, gain_db=0.0, epochs=1)
    assert len(shards(own)) == len(before) + 2


def test_each_epoch_runs_once(distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done before an interrupt is not done again."""
    ran: list[int] = []
    epoch = training._epoch

    def watched(number: int, *arguments: Any) -> dict[str, float]:
        ran.append(number)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return epoch(number, *arguments)

    monkeypatch.setattr(training, "_epoch", watched)
    with pytest.raises(KeyboardInterrupt):
        distill(tmp_path / "out", **L3)
    distill(tmp_path / "out", **L3)
    assert ran == [0, 1, 2, 2, 3]


def test_interrupted_while_the_teacher_is_asked(
    distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has said is kept; the rest is asked for."""
    output, options = tmp_path / "out", {**L3, "cache": None, "epochs": 1}
    monkeypatch.setattr(examples, "_CLIPS_PER_SHARD", 16)
    with monkeypatch.context() as patched:
        patched.setattr(examples._Maker, "shard", interrupting(examples._Maker.shard, 3))
        with pytest.raises(KeyboardInterrupt):
            distill(output, **options)
    before = shards(output)
    assert len(before) == 3
    assert leftovers(output) == []
    distill(output, **options)
    after = shards(output)
    assert len(after) == 1 + 4  # 8 and 56 clips
    assert {path: after[path] for path in before} == before
    # one that was not interrupted; another shard size mixes sounds with other sounds, so this is not `straight`
    distill(tmp_path / "whole", **options)
    assert without_times(tmp_path / "whole") == without_times(output)


# Kills its own process, without a chance to say good-bye, just before file number N (from 0) is in its place.
KILLED = """
import os, signal, sys
from hear_edgel3.cli import main

replace, done = os.replace, []

def fatal(source, target):
    if len(done) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(target)
    replace(source, target)

os.replace = fatal
sys.exit(main(sys.argv[2:]))
"""


def test_killed(
    distill: Distill, straight: Path, audio: Path, cache: Path, mobilenetv3_folder: Path, tmp_path: Path
) -> None:
    """Between an epoch's table and its state: the first epoch with fixed statistics is done again."""
    output = tmp_path / "out"
    arguments = ["distill", "--teacher", "mn01_as", "--teacher-weights", str(mobilenetv3_folder), "--audio", str(audio)]
    arguments += ["--cache", str(cache), "--output", str(output), "--device", "cpu", "--quiet"]
    arguments += "--width 0.05 --lengths 1 --clips-per-file 8 --views 2 --batch-seconds 8".split()
    arguments += "--epochs 4 --fix-norm 0.5".split()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    known = shards(cache)
    process = subprocess.run(
        [sys.executable, "-c", KILLED, "5", *arguments], env=environment, capture_output=True, check=False
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert len(table(output)) == 3
    assert torch.load(output / "training.pt", weights_only=True)["progress"]["epoch"] == 2
    assert not (output / "model.safetensors").exists()
    distill(output, **TWO_AND_TWO)
    assert without_times(output) == without_times(straight)
    assert shards(cache) == known


def test_the_command_interrupted(
    audio: Path, weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(training, "measure", interrupting(training.measure, 0))
    arguments = ["distill", "--teacher", "sea_64", "--teacher-weights", str(weights_folder), "--audio", str(audio)]
    arguments += "--student l3 --views 1 --width 0.05 --clips-per-file 8 --quiet --device cpu".split()
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "hear-edgel3: interrupted\n"


def test_another_precision_in_the_same_process(distill: Distill, tmp_path: Path) -> None:
    """The trainer library keeps one per process, if it is let. 8-bit mantissas change the loss, and not by much."""
    options: dict[str, Any] = {"teacher": "sea_64", "student": "l3", "views": 1, "epochs": 1}
    first = distill(tmp_path / "first", **options)
    second = distill(tmp_path / "second", **options, precision="bf16")
    assert table(first)[0]["train_loss"] != table(second)[0]["train_loss"]
    assert table(first)[0]["train_loss"] == pytest.approx(table(second)[0]["train_loss"], rel=0.05)
    with pytest.raises(InvalidOption, match=r"precision 'fp16' cannot be had here: .*GPU"):
        distill(tmp_path / "third", **options, precision="fp16")


def losses(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Has the epochs end with these validation losses."""
    measure, found = training.measure, iter(values)
    monkeypatch.setattr(training, "measure", lambda *a: {**measure(*a), "validation_loss": next(found)})


def watched_states(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """A list that gets the net's state at the end of each epoch."""
    states: list[dict[str, torch.Tensor]] = []
    save = training._save_state

    def watched(folder: Path, identity: str, net: Any, *arguments: Any) -> None:
        states.append({name: value.clone() for name, value in net.state_dict().items()})
        save(folder, identity, net, *arguments)

    monkeypatch.setattr(training, "_save_state", watched)
    return states


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("fix_norm", "values", "epochs", "best"),
    [
        # batch norm is fixed after one epoch: what was best before counts no more
        (0.0, [0.5, 3.0, 2.0, 1.0, 1.5, 1.0, 0.1], 6, 4),
        # after four: nobody loses patience before, and again the best is among the others
        (0.5, [1.0, 2.0, 3.0, 4.0, 8.0, 7.0, 7.0, 9.0], 8, 6),
        (0.5, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 6.0, 0.1], 7, 5),
        # never
        (1.0, [1.0, 2.0, 0.9, 4.0, 5.0, 6.0, 7.0, 8.0], 8, 3),
        # what is not finite is worse than all others, and is taken only if there are none
        (0.0, [1.0, NAN, 2.0, NAN, 1.5, INF, 1.6, 0.1], 7, 5),
        (0.0, [1.0, NAN, INF, NAN, 0.1], 4, 2),
    ],
)
def test_early_stopping(
    fix_norm: float,
    values: list[float],
    epochs: int,
    best: int,
    distill: Distill,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a patience of two. The best epoch's weights are kept."""
    losses(monkeypatch, values)
    states = watched_states(monkeypatch)
    options = {"student": "l3", "views": 1, "epochs": 8, "embedding_size": 3}
    folder = distill(tmp_path / "out", "sea_64", **options, patience=2, fix_norm=fix_norm)
    made = local.read_folder(folder).made
    assert (made["epochs"], made["best_epoch"]) == (epochs, best)
    assert len(table(folder)) == epochs
    state, _ = read_tensors(folder / "model.safetensors")
    for name in ("convs.0.weight", "norms.3.running_mean"):
        assert torch.equal(state[name], states[best - 1][name])


@pytest.mark.parametrize(
    ("fix_norm", "epochs", "expected"),
    [(0.4, 30, 12), (0.4, 3, 1), (0.4, 1, 1), (0.0, 30, 1), (0.0, 1, 1), (0.3, 8, 2), (0.5, 3, 2), (1.0, 7, 7)],
)
def test_epochs_in_which_batch_norm_measures(fix_norm: float, epochs: int, expected: int) -> None:
    assert Recipe(fix_norm=fix_norm, epochs=epochs).measuring_epochs == expected


@pytest.mark.parametrize(("teacher", "kind"), [("mn01_as", "mobilenetv3"), ("sea_64", "l3")])
def test_batch_norm_is_fixed(
    teacher: str, kind: str, distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its statistics stay as they were at the end of the measuring epochs, and all that is learnt goes on."""
    states = watched_states(monkeypatch)
    distill(tmp_path / "out", teacher, student=kind, **TWO_AND_TWO)
    measured = [name for name in states[0] if "running_" in name]
    learnt = [name for name in states[0] if name.endswith(("weight", "bias"))]
    assert len(measured) > 10
    for before, after, stays in zip(states[:-1], states[1:], (False, True, True), strict=True):
        changed = [name for name in measured if not torch.equal(before[name], after[name])]
        assert (changed == []) == stays
        assert len(changed) in (0, len(measured)) or kind == "l3"  # its bands do not change: the norm of the input
        # some steps are too small for float32
        assert sum(not torch.equal(before[name], after[name]) for name in learnt) > 0.9 * len(learnt)


def test_what_batch_norm_measures() -> None:
    """The mean over the batches of an epoch, nothing of those before; then it uses that, and dropout goes on."""
    student = StudentNet(Recipe(width_mult=0.05), 5, 10)
    norm = student.net.features[0][1]  # type: ignore[index]
    assert isinstance(norm, torch.nn.BatchNorm2d)
    x = torch.randn(3, 4, 8, 6, 5, generator=torch.Generator().manual_seed(0)) * 3 + 2
    for epoch in ((x[0],), (x[1], x[2])):
        student.train(measuring=True)
        with torch.no_grad():
            for batch in epoch:
                found = norm(batch)
        means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in epoch])
        variances = torch.stack([batch.transpose(0, 1).flatten(1).var(dim=1) for batch in epoch])
        # float32 sums in another order
        torch.testing.assert_close(norm.running_mean, means.mean(dim=0), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(norm.running_var, variances.mean(dim=0), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.mean(dim=(0, 2, 3)), torch.zeros(8), rtol=0, atol=1e-5)
    student.train(measuring=False)
    with torch.no_grad():
        torch.testing.assert_close(norm(x[0]), norm.eval()(x[0]))
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, means.mean(dim=0), rtol=1e-5, atol=1e-5)
    modules = list(student.net.modules())
    assert all(not module.training for module in modules if isinstance(module, torch.nn.BatchNorm2d))
    assert [module.training for module in modules if isinstance(module, torch.nn.Dropout)] == [True]
    student.train(measuring=True)
    assert all(module.training for module in modules)


@pytest.mark.parametrize("fix_norm", [0.0, 1.0])
def test_one_epoch(fix_norm: float, distill: Distill, tmp_path: Path) -> None:
    folder = distill(tmp_path / "out", "sea_64", student="l3", views=1, epochs=1, fix_norm=fix_norm)
    made = local.read_folder(folder).made
    assert (made["epochs"], made["best_epoch"]) == (1, 1)
    assert np.isfinite(list(made["scores"].values())).all()
    state, _ = read_tensors(folder / "model.safetensors")
    assert not torch.equal(state["norms.3.running_var"], torch.ones_like(state["norms.3.running_var"]))


def test_a_training_that_diverges(distill: Distill, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"training diverged in epoch \d \(loss nan\); use a lower lr"):
        distill(tmp_path / "out", lr=1e38, batch_seconds=4.0)
    assert not (tmp_path / "out" / "model.safetensors").exists()


# --- the parts ---


def test_which_clips(audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many per file, evenly spread; other files held out; the same ones every time."""
    monkeypatch.setattr(clips, "MINIMUM_SECONDS", 40.0)
    found = find_corpus([str(audio)], Recipe(lengths=(0.5, 2.0), clips_per_file=3, validation=0.25))
    assert found.n_files == N_FILES
    assert found.seconds == 2 * 3 * N_FILES
    held_out, learnt = ({clip.path for clip in part} for part in (found.validation, found.train))
    assert len(held_out) == 2
    assert not held_out & learnt
    assert held_out | learnt == set(audio.rglob("*.wav"))
    for path in learnt:
        assert sorted(clip.start for clip in found.train if clip.path == path) == [0.0, 3.0, 6.0]
    assert {clip.seconds for clip in found.train} == {2.0}
    assert [clip.path for clip in found.train] != sorted(clip.path for clip in found.train)  # in random order
    again = find_corpus([str(audio)], Recipe(lengths=(0.5, 2.0), clips_per_file=3, validation=0.25))
    assert again == found
    other = find_corpus([str(audio)], Recipe(lengths=(0.5, 2.0), clips_per_file=3, validation=0.25, seed=1))
    assert other != found
    # a little too long: from the middle; too short for a whole clip: all of it; next to nothing: none
    for i, seconds in enumerate((15.0, 15.0, 15.0, 19.0, 7.0, 0.04)):
        soundfile.write(tmp_path / f"{i}.wav", signals.clip(seconds, 8000), 8000)
    middle = find_corpus([str(tmp_path)], Recipe(validation=0.01))
    places = {clip.path.name: (clip.start, clip.seconds) for clip in (*middle.train, *middle.validation)}
    assert places == {**{f"{i}.wav": (2.5, 10.0) for i in range(3)}, "3.wav": (4.5, 10.0), "4.wav": (0.0, 7.0)}
    assert len({clip.path for clip in middle.validation}) == 1  # there is always one


def shard(path: Path, clips_of: dict[int, int], generator: torch.Generator) -> Path:
    """A file of examples of some lengths in milliseconds, one clip each, with seven values and four classes."""
    from safetensors.torch import save_file

    tensors = {"places": torch.zeros(0, 4, dtype=torch.int64)}
    for length, n in clips_of.items():
        first = len(tensors["places"])
        places = torch.tensor([[first + i, 0, length, i] for i in range(n)], dtype=torch.int64).reshape(-1, 4)
        tensors["places"] = torch.cat([tensors["places"], places])
        tensors[f"{length}.inputs"] = torch.randn(n, 11, 2, generator=generator)
        tensors[f"{length}.embedding"] = torch.randn(n, 7, generator=generator) * 5 + 1
        tensors[f"{length}.logits"] = torch.randn(n, 4, generator=generator)
    save_file(tensors, path)
    return path


class Inputs(torch.nn.Module):
    """A net whose outputs stand in its input."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs[:, :, 0]


def test_what_is_measured(tmp_path: Path) -> None:
    """Against the definitions, computed in one piece from all clips, in batches of any size."""
    generator = torch.Generator().manual_seed(0)
    parts = {1000: 9, 10000: 5}
    found = examples.Examples([shard(tmp_path / "0.safetensors", parts, generator)])
    space = make_target_scale(found.embeddings(), None)
    loss_of = training.DistillationLoss(space, True, 3.0, torch.device("cpu"))
    batches = [found.read([c[0] for c in found.clips if c[0].length == length / 1000]) for length in parts]
    outputs = torch.cat([batch.inputs[:, :, 0] for batch in batches])
    wanted = space.targets(torch.cat([batch.embedding for batch in batches]))
    logits = torch.cat([batch.logits for batch in batches if batch.logits is not None])
    error = float((outputs[:, :7] - wanted).square().mean())
    same = (outputs[:, 7:].argmax(dim=1) == logits.argmax(dim=1)).double()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(outputs[:, 7:], logits.sigmoid())
    expected = {
        "validation_loss": error + 3.0 * float(entropy),
        "validation_embedding_loss": error,
        "validation_logits_loss": float(entropy),
        "r2": 1 - error / float((wanted - wanted.mean(dim=0)).square().mean()),
        "cosine": float(torch.nn.functional.cosine_similarity(outputs[:, :7], wanted).mean()),
        "top1_agreement": float(same.mean()),
        "top1_agreement_10s": float(same[9:].mean()),
    }
    assert 0 < expected["top1_agreement"] != expected["top1_agreement_10s"]
    for seconds in (2.0, 20.0, 1000.0):
        measured = training.measure(Inputs(), loss_of, found, seconds, torch.device("cpu"))
        assert measured == pytest.approx(expected, rel=1e-5)  # of float32 sums in another order
    assert found.mean_probabilities() is not None
    torch.testing.assert_close(found.mean_probabilities(), logits.double().sigmoid().mean(dim=0))
    # what cannot be said of one clip, or without classes, is not there
    alone = examples.Examples([shard(tmp_path / "1.safetensors", {1000: 1}, generator)])
    bare = training.DistillationLoss(space, False, 3.0, torch.device("cpu"))
    measured = training.measure(Inputs(), bare, alone, 2.0, torch.device("cpu"))
    assert measured.keys() == {"validation_loss", "validation_embedding_loss", "validation_logits_loss", "cosine"}


@pytest.mark.parametrize(("n", "sizes"), [(16, [8, 8]), (17, [8, 9]), (18, [2, 8, 8]), (5, [5]), (2, [2]), (1, [])])
def test_batches(n: int, sizes: list[int]) -> None:
    """Of one length each, none of a single example; all examples once, in random order."""
    some = [examples.Example(length, Path("0"), row) for length in (1.0, 4.0) for row in range(n)]
    found = training._batches(some, 8.0, torch.Generator().manual_seed(0), smallest=2)
    assert all(len({example.length for example in batch}) == 1 for batch in found)
    assert sorted(len(batch) for batch in found if batch[0].length == 1.0) == sizes
    if n > 1:
        assert sorted((e.length, e.row) for batch in found for e in batch) == [(e.length, e.row) for e in some]
    assert found == training._batches(some, 8.0, torch.Generator().manual_seed(0), smallest=2)
    if n > 4:
        assert found != training._batches(some, 8.0, torch.Generator().manual_seed(1), smallest=2)


def test_the_learning_rate() -> None:
    """A line up, a cosine down; never nothing at all."""
    steps = [training._schedule(i / 1000, 0.1) for i in range(1001)]
    assert steps[0] == steps[-1] == pytest.approx(1e-3)
    assert steps[50] == pytest.approx(0.5)
    assert max(steps) == steps[100] == pytest.approx(1 + 1e-3)
    assert steps[550] == pytest.approx(0.5 + 1e-3)
    assert steps == [*sorted(steps[:101]), *sorted(steps[101:], reverse=True)]
    assert training._schedule(0.0, 0.0) == pytest.approx(1 + 1e-3)


def test_a_student_can_teach(distill: Distill, fitted: Path, tmp_path: Path) -> None:
    folder = distill(tmp_path / "out", str(fitted), teacher_weights=None, views=1, epochs=1)
    row = local.read_folder(folder)
    assert row.made["teacher"] == "fitted"
    assert row.made["teacher_sha256"] == local.read_folder(fitted).weights_sha256
    assert hear_edgel3.load(folder).scene_embedding_size == 184
    assert row.labels == "audioset"


# --- what is refused ---


CANNOT_BE: list[tuple[dict[str, Any], str]] = [
    ({"name": "my_net"}, "name must be letters and digits and begin with a letter, got 'my_net'"),
    ({"name": "2nd"}, "name must be letters"),
    ({"name": ""}, "name must be letters"),
    ({"name": None}, "name must be letters"),
    ({"student": "resnet"}, "student must be one of mobilenetv3, l3; got 'resnet'"),
    ({"student": None}, "student must be one of"),
    ({"width_mult": 0.04}, "width_mult must be a number from 0.05 to 10, got 0.04"),
    ({"width_mult": 11}, "width_mult must be"),
    ({"width_mult": NAN}, "width_mult must be"),
    ({"width_mult": True}, "width_mult must be"),
    ({"width_mult": "wide"}, "width_mult must be"),
    ({"student": "l3", "sample_rate": 3999}, "sample_rate must be between 4000 and 48000"),
    ({"student": "l3", "sample_rate": 96000}, "sample_rate must be between 4000 and 48000"),
    ({"student": "l3", "sample_rate": "fast"}, "sample_rate must be"),
    ({"n_mels": 15}, "n_mels must be a whole number of at least 16, got 15"),
    ({"n_mels": 64.0}, "n_mels must be"),
    ({"embedding": "mine"}, "embedding must be one of teacher, own; got 'mine'"),
    ({"student": "l3", "embedding": "own"}, 'an l3 student has one embedding.*use embedding="teacher"'),
    ({"embedding_size": 0}, "embedding_size must be a whole number of at least 1, got 0"),
    ({"embedding_size": 8.5}, "embedding_size must be"),
    ({"lengths": ()}, "lengths must be ascending seconds, each from 0.1 to 10"),
    ({"lengths": (2.0, 1.0)}, r"lengths must be ascending.*got \(2.0, 1.0\)"),
    ({"lengths": (1.0, 1.0)}, "lengths must be ascending"),
    ({"lengths": (1.0, 1.0001)}, "lengths must be ascending"),
    ({"lengths": (1.0, 20.0)}, "lengths must be"),
    ({"lengths": (0.05, 1.0)}, "lengths must be"),
    ({"lengths": 1.0}, "lengths must be"),
    ({"lengths": ("1",)}, "lengths must be"),
    ({"clips_per_file": 0}, "clips_per_file must be a whole number of at least 1"),
    ({"views": 0}, "views must be"),
    ({"views": True}, "views must be"),
    ({"gain_db": -1.0}, "gain_db must be from 0 to 60, got -1.0"),
    ({"gain_db": INF}, "gain_db must be"),
    ({"mix": 1.1}, "mix must be from 0 to 1, got 1.1"),
    ({"masking": -0.1}, "masking must be from 0 to 1"),
    ({"validation": 0.0}, "validation must be more than 0"),
    ({"validation": 0.6}, "validation must be from 0 to 0.5"),
    ({"epochs": 0}, "epochs must be a whole number of at least 1"),
    ({"epochs": 2.5}, "epochs must be"),
    ({"batch_seconds": 0}, "batch_seconds must be a positive number, got 0"),
    ({"lr": -1e-3}, "lr must be a positive number"),
    ({"lr": NAN}, "lr must be"),
    ({"weight_decay": -1.0}, "weight_decay must not be negative"),
    ({"warmup": 0.6}, "warmup must be from 0 to 0.5, got 0.6"),
    ({"fix_norm": -0.1}, "fix_norm must be from 0 to 1, got -0.1"),
    ({"fix_norm": 1.01}, "fix_norm must be from 0 to 1"),
    ({"fix_norm": NAN}, "fix_norm must be"),
    ({"fix_norm": "0.4"}, "fix_norm must be"),
    ({"logits_weight": -1}, "logits_weight must not be negative"),
    ({"patience": 0}, "patience must be a whole number of at least 1"),
    ({"seed": -1}, "seed must be a whole number of at least 0"),
    ({"seed": 1 << 63}, "seed must be at most 9223372036854775807"),
    ({"precision": "fp8"}, "precision must be one of no, bf16, fp16; got 'fp8'"),
    ({"half": 1}, "half must be True or False, got 1"),
]


@pytest.mark.parametrize(("options", "message"), CANNOT_BE)
def test_options_that_cannot_be(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    """Said before anything is read or written, and by the option's name."""
    with pytest.raises(InvalidOption, match=message):
        Recipe(**options)
    with pytest.raises(InvalidOption, match=message):
        hear_edgel3.distill("no_such_teacher", tmp_path / "nothing", tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_every_option_is_checked() -> None:
    """So that a new one has a row above."""
    checked = {key for given, message in CANNOT_BE for key in given if re.match(rf"{key} must", message)}
    assert checked == {field.name for field in dataclasses.fields(Recipe)}


def test_other_arguments_that_cannot_be(distill: Distill, tmp_path: Path) -> None:
    for options, message in {
        "width": ({"width": 0.5}, "unexpected keyword argument 'width'; the options are those of Recipe"),
        "licence": ({"licence": ""}, "licence must be a text, got ''"),
        "device": ({"device": "tpu"}, "device must be \"cpu\", or None for the GPU where there is one; got 'tpu'"),
    }.values():
        with pytest.raises(InvalidOption, match=message):
            distill(tmp_path / "out", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_largest_seed(distill: Distill, tmp_path: Path) -> None:
    options = {"student": "l3", "views": 1, "epochs": 1, "seed": (1 << 63) - 1}
    assert local.read_folder(distill(tmp_path / "out", "sea_64", **options)).made["recipe"]["seed"] == (1 << 63) - 1


def test_teachers_that_cannot_teach(distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    with pytest.raises(UnknownConfiguration, match="there is no configuration 'sea_65'; did you mean sea_64"):
        distill(output, "sea_65")
    with pytest.raises(UnknownConfiguration, match="there is no such folder"):
        distill(output, str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsNotFound, match=r"empty has no mn01_as\.safetensors, which mn01_as needs"):
        distill(output, teacher_weights=tmp_path / "empty")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsNotFound, match=r"no weights for mn01_as on this machine.*ways to get its weights"):
        distill(output, teacher_weights=None)
    with pytest.raises(InvalidOption, match="embedding_size=65 is more than the 64 values of sea_64; use at most that"):
        distill(output, "sea_64", student="l3", embedding_size=65)
    with pytest.raises(InvalidOption, match="embedding_size=185 is more than the 184 values of mn01_as"):
        distill(output, embedding_size=185)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_audio_that_is_not_enough(distill: Distill, audio: Path, tmp_path: Path, capsys: Captured) -> None:
    output, folder = tmp_path / "out", tmp_path / "audio"
    with pytest.raises(AudioFileError, match="nothing does not exist"):
        distill(output, audio=tmp_path / "nothing")
    folder.mkdir()
    (folder / "notes.txt").write_text("no audio")
    with pytest.raises(AudioFileError, match="audio has no audio files"):
        distill(output, audio=[folder, audio])
    (folder / "noise.wav").write_bytes(b"nothing of the kind")
    too_little = r"audio: clips of {} s in {} files, taken from {} s of audio.*at least 60 s in 4 files are needed"
    with pytest.raises(InvalidAudio, match=too_little.format(0, 0, 0)):
        distill(output, audio=folder)
    assert "left out: " in capsys.readouterr().err
    for i in range(3):  # enough, but of too few
        soundfile.write(folder / f"{i}.wav", signals.clip(25.0, 8000), 8000)
    with pytest.raises(InvalidAudio, match=too_little.format(75, 3, 75)):
        distill(output, audio=folder, clips_per_file=100)
    soundfile.write(folder / "3.wav", signals.clip(25.0, 8000), 8000)
    with pytest.raises(InvalidAudio, match=too_little.format(32, 4, 100)):  # clips, not files, are what counts
        distill(output, audio=folder)
    assert not output.exists()
    assert clips.MINIMUM_SECONDS == 60


@pytest.mark.parametrize(("what", "number"), [("validation", 0), ("train", 1)])
def test_audio_that_cannot_be_read_after_all(
    what: str, number: int, distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers promised more than there is."""
    asked: list[int] = []
    read = examples._Maker._read

    def broken(self: Any, clip: Any) -> torch.Tensor | None:
        asked.append(1)
        return None if (len(asked) > PER_FILE) == (number == 1) else read(self, clip)

    monkeypatch.setattr(examples._Maker, "_read", broken)
    n = {"validation": PER_FILE, "train": PER_FILE * (N_FILES - 1)}[what]
    with pytest.raises(InvalidAudio, match=f"only 0 of the {n} clips for {what} could be read; see the messages above"):
        distill(tmp_path / "out", cache=None)
    assert not (tmp_path / "out" / "training.pt").exists()


def test_outputs_that_cannot_be(distill: Distill, audio: Path, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for output in (file, file / "inside"):
        with pytest.raises(OutputError, match=f"cannot make the output folder {output}"):
            distill(output, **L3)
    arguments = ["distill", "--teacher", "sea_64", "--audio", str(audio), "--output", str(file)]
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"hear-edgel3: --output {file} is a file; give a folder\n")
    assert file.read_text() == "mine"
    (tmp_path / "taken" / "configuration.json").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"configuration\.json: it is a folder"):
        distill(tmp_path / "taken", **L3)


def test_an_output_of_another_distillation(
    distill: Distill, audio: Path, straight_l3: Path, weights_folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    """Nothing in it is touched."""
    output = shutil.copytree(straight_l3, tmp_path / "out")
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    message = r"training\.pt belongs to another distillation.*use another --output, or delete it to start again"
    others: tuple[dict[str, Any], ...] = (
        {"lr": 0.002},
        {"fix_norm": 0.4},
        {"epochs": 5},
        {"width_mult": 0.1},
        {"audio": [path for path in sorted(audio.rglob("*.wav")) if path.name != "7.wav"], "clips_per_file": 9},
    )
    for options in others:
        if "audio" in options:
            options["audio"] = [*options["audio"], write_seconds(tmp_path / "8.wav", 12)]
        with pytest.raises(OutputError, match=message):
            distill(output, **{**L3, **options})
        assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    arguments = ["distill", "--teacher", "sea_64", "--teacher-weights", str(weights_folder), "--audio", str(audio)]
    arguments += "--device cpu --quiet --width 0.05 --student l3 --clips-per-file 8 --views 1 --seed 5".split()
    assert main([*arguments, "--output", str(output), "--cache", str(tmp_path / "cache")]) == 1
    assert "belongs to another distillation" in capsys.readouterr().err


def write_seconds(path: Path, n: int) -> Path:
    """A file of some seconds."""
    soundfile.write(path, np.concatenate([sound(9000 + k) for k in range(n)]), RATE)
    return path


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "code", "keys", "values"])
def test_a_damaged_state(damage: str, distill: Distill, straight_l3: Path, tmp_path: Path) -> None:
    output = shutil.copytree(straight_l3, tmp_path / "out")
    path = output / "training.pt"
    data = path.read_bytes()
    state = torch.load(path, weights_only=True)
    if damage == "code":  # a pickle that would run something is not run
        torch.save({"identity": Path("x")}, path)
    elif damage == "keys":
        torch.save({key: value for key, value in state.items() if key != "progress"}, path)
    elif damage == "values":
        torch.save({**state, "progress": {"what": 1}}, path)
    else:
        path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "noise": b"nothing of the kind"}[damage])
    with pytest.raises(OutputError, match=r"training\.pt is damaged \(.+\); delete it to start again") as caught:
        distill(output, **L3)
    assert len(str(caught.value).splitlines()) == 1
    if damage == "cut":
        path.unlink()
        distill(output, **L3)
        assert without_times(output) == without_times(straight_l3)


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "other", "folder"])
def test_a_damaged_shard(
    damage: str, distill: Distill, straight_l3: Path, cache: Path, tmp_path: Path, capsys: Captured
) -> None:
    """It is named and made again; the student is the same."""
    own = shutil.copytree(cache, tmp_path / "cache")
    used = read_by(distill, own, tmp_path / "one")
    path = next(path for path in used if path.parent.name == "validation")
    data = path.read_bytes()
    if damage == "other":
        from safetensors.torch import save_file

        save_file({"something": torch.zeros(1)}, path)
    elif damage == "folder":
        path.unlink()
        path.mkdir()
        with pytest.raises(OutputError, match="it is a folder"):
            distill(tmp_path / "out", cache=own, **L3)
        return
    else:
        path.write_bytes({"empty": b"", "cut": data[:-5], "noise": b"nothing of the kind"}[damage])
    capsys.readouterr()
    distill(tmp_path / "out", cache=own, **L3)
    if damage != "other":
        assert f"damaged, made again: {path}" in capsys.readouterr().err
    assert path.read_bytes() == data
    assert without_times(tmp_path / "out") == without_times(straight_l3)


def read_by(distill: Distill, cache: Path, output: Path) -> list[Path]:
    """The shards that `straight` is made of."""
    found: list[Path] = []
    opened = examples.Examples.__init__

    def watched(self: Any, shards: list[Path]) -> None:
        found.extend(shards)
        opened(self, shards)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(examples.Examples, "__init__", watched)
        patched.setattr(training, "_epoch", interrupting(training._epoch, 0))
        with pytest.raises(KeyboardInterrupt):
            distill(output, cache=cache, **L3)
    return list(dict.fromkeys(found))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"\xff\xfe{",
        b"[" * 100_000,
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"sources": null}',
        b'{"sources": 3}',
        b'{"sources": [3]}',
        b'{"sources": ["a source"]}',
    ],
)
def test_sources_that_cannot_be_read(content: bytes, distill: Distill, tmp_path: Path) -> None:
    (tmp_path / "SOURCES.json").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"SOURCES\.json is not a list of sources.*mend it or remove it"):
        distill(tmp_path / "out", audio=tmp_path)
    assert not (tmp_path / "out").exists()


def test_sources_of_any_shape() -> None:
    """What a source does not say is left empty; nothing breaks the table."""
    found = result._table(
        [
            {},
            {"name": "a|b\nc", "licences": None},
            {"name": "d", "licences": "CC0", "hours": 2, "files": None},
            {"name": "e", "licences": 5},
            {"name": "f", "version": "1", "licences": ["CC0", 4]},
        ]
    )
    assert found == [
        "|  |  |  |  |  |",
        "| a/b c |  |  |  |  |",
        "| d |  | 2 |  | CC0 |",
        "| e |  |  |  | 5 |",
        "| f | 1 |  |  | CC0, 4 |",
    ]


def full_disk(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Has the disk be full from file number ``calls`` (from 0) on."""
    fsync, counter = os.fsync, iter(range(10_000))

    def full(descriptor: int) -> None:
        if next(counter) >= calls:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr("hear_edgel3.disk.atomic.os.fsync", full)


@pytest.mark.parametrize(
    ("calls", "file"),
    [
        (0, "metrics.csv"),
        (1, "training.pt"),
        (5, "training.pt"),
        (8, "model.safetensors"),
        (9, "configuration.json"),
        (10, "README.md"),
    ],
)
def test_a_full_disk(
    calls: int, file: str, distill: Distill, straight_l3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before stays, nothing is there in part, and it goes on from there."""
    output = tmp_path / "out"
    with monkeypatch.context() as patched:
        full_disk(patched, calls)
        with pytest.raises(OutputError, match=f"cannot write {output / file}: No space left on device"):
            distill(output, **L3)
    assert leftovers(output) == []
    assert not (output / file).exists() or calls == 5
    assert (output / "configuration.json").exists() == (calls > 9)
    if calls > 1:
        done = torch.load(output / "training.pt", weights_only=True)["progress"]["epoch"]
        assert done == min(4, calls // 2)
    distill(output, **L3)
    assert without_times(output) == without_times(straight_l3)
    assert (output / "README.md").read_text().startswith("# custom\n")


def test_a_full_disk_for_the_teachers_answers(
    distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, options = tmp_path / "out", {"student": "l3", "cache": None, "views": 1, "epochs": 1}
    with monkeypatch.context() as patched:
        full_disk(patched, 1)
        with pytest.raises(OutputError, match=r"train/000000\.safetensors: No space left on device"):
            distill(output, "sea_64", **options)
    kept = shards(output)
    assert [path.parent.name for path in kept] == ["validation"]
    assert leftovers(output) == []
    distill(output, "sea_64", **options)
    assert len(shards(output)) == 2
    assert shards(output).items() >= kept.items()


def test_a_full_disk_for_the_curves(distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard's files are not written by us; its errors are."""
    import torch.utils.tensorboard

    def full(self: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch.utils.tensorboard.SummaryWriter, "flush", full)
    with pytest.raises(OutputError, match=r"cannot write into .*tensorboard: No space left on device"):
        distill(tmp_path / "out", "sea_64", student="l3", views=1, epochs=1)


def test_a_full_disk_on_the_command_line(
    audio: Path, weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    full_disk(monkeypatch, 0)
    arguments = ["distill", "--teacher", "sea_64", "--teacher-weights", str(weights_folder), "--audio", str(audio)]
    arguments += "--student l3 --views 1 --width 0.05 --clips-per-file 8 --quiet --device cpu".split()
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"hear-edgel3: cannot write .*000000\.safetensors: No space left on device\n", err)


def test_without_the_extras(distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without tensorboard and matplotlib there are no curves; without accelerate there is a word on how to get it."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    options = {"student": "l3", "views": 1, "epochs": 1}
    folder = distill(tmp_path / "out", "sea_64", curves=True, **options)
    assert {path.name for path in folder.iterdir()} & {"tensorboard", "curves.png"} == set()
    assert "curves.png" not in (folder / "README.md").read_text()
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtra, match=r"distilling needs the package 'accelerate'.*'hear-edgel3\[distill\]'"):
        distill(tmp_path / "none", "sea_64", **options)
    assert not (tmp_path / "none").exists()
