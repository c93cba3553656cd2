"""What a student is worth, and what spaces and shapes it can have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.distillation.recipe import Recipe
from hear_edgel3.distillation.student import StudentNet
from hear_edgel3.distillation.target_scale import make_target_scale
from hear_edgel3.distillation.teacher import Teacher
from hear_edgel3.families.table import students
from hear_edgel3.registry import folder as local
from hear_edgel3.weights.file import read_tensors
from support import signals
from support.distilling import RATE, Distill, Ran, coloured_noise, explained, table


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
    x = np.stack([np.concatenate([coloured_noise(5000 + 10 * i + k) for k in range(3)]) for i in range(12)])
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
        # The teacher is asked for logits too, and so is another net, which another engine may run.
        torch.testing.assert_close(answer.embedding, tagging.extractor.scene_embeddings(x), atol=1e-4, rtol=1e-4)
        assert answer.logits is not None
        logits = hear_edgel3.load("mn01_as", mobilenetv3_folder, 32000, ["logits"]).scene_embeddings(x)
        torch.testing.assert_close(answer.logits, logits, atol=1e-4, rtol=1e-4)
    assert tagging.extractor.scene_embeddings(x).shape == (6, 96 + 128)


def test_a_student_can_teach(distill: Distill, fitted: Path, tmp_path: Path) -> None:
    folder = distill(tmp_path / "out", str(fitted), teacher_weights=None, views=1, epochs=1)
    row = local.read_folder(folder)
    assert row.made["teacher"] == "fitted"
    assert row.made["teacher_sha256"] == local.read_folder(fitted).weights_sha256
    assert hear_edgel3.load(folder).scene_embedding_size == 184
    assert row.labels == "audioset"
