"""S-SONDO nets exported with their own front end, and scenes of segments without PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3 import lite
from hear_edgel3.exporting import onnx as target
from hear_edgel3.exporting.run import Exported
from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram
from support import signals, ssondo_files
from support.mobilenetv3_files import pt
from weights_convert.heads import make_head_folder

RATE, SEGMENT = 32000, 320000
NAME = "ssondo_matpac_mn"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("ssondo")
    (found / f"{NAME}.safetensors").write_bytes(ssondo_files.converted(NAME))
    return found


@pytest.fixture(scope="module")
def head(weights: Path) -> Path:
    (weights / "gtzan.pth").write_bytes(pt(ssondo_files.head("gtzan")))
    return make_head_folder("gtzan", weights / "gtzan.pth", weights / "gtzan", weights)


@pytest.fixture(scope="module")
def file(head: Path) -> Exported:
    return hear_edgel3.export(head, head.parent / "gtzan.onnx")


@pytest.mark.parametrize("n_samples", [1024, 1535, 5120, 32000])
@pytest.mark.parametrize("settings", [{}, {"n_fft": 800, "hop_length": 320, "fmin": 0.0}], ids=["usual", "other"])
def test_the_front_ends_other_forms(n_samples: int, settings: dict[str, float]) -> None:
    frontend = SsondoMelSpectrogram(**settings)  # type: ignore[arg-type]
    assert frontend.minimum_samples == frontend.n_fft
    tone = 0.9 * torch.sin(torch.arange(n_samples) * 0.7)
    x = torch.stack([torch.from_numpy(signals.clip(1.0, RATE)[:n_samples]).float(), tone, torch.zeros(n_samples)])
    exact = frontend.in_float64(x)
    assert exact.dtype == torch.float64
    for images, tolerance in (
        (frontend(x), 1e-4),
        (frontend.portable(True)(x), 1e-6),
        (frontend.portable(False)(x), 1e-4),
    ):
        assert images.shape == exact.shape
        assert images.dtype == torch.float32
        assert float((images - exact).abs().max()) < tolerance * float(exact.abs().max())


def test_a_front_end_of_somebodys_own_has_no_other_form() -> None:
    class Own(SsondoMelSpectrogram):
        pass

    assert Own().portable(True) is None


def test_the_file(file: Exported, weights: Path) -> None:
    model = hear_edgel3.load(NAME, weights, sample_rate=RATE, engine="eager")
    session = target.open_file(file.path)
    for n_samples, n in ((1024, 1), (5120, 3), (81_111, 2)):
        x = np.stack([signals.clip(3.0, RATE, seed=seed)[:n_samples] for seed in range(n)]).astype(np.float32)
        expected = model.embed_windows(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(session(x)["embedding"], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert file.card["scene"] == file.card["clip"] == {"segment": SEGMENT}
    assert file.card["minimum_samples"] == 1024


@pytest.mark.parametrize("seconds", [0.02, 10.0, 13.3])
def test_scenes_and_tags_without_torch(seconds: float, file: Exported, head: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, signals.clip(seconds, RATE), RATE, subtype="FLOAT")
    model = lite.Model(str(file.path))
    scene = hear_edgel3.embed_scene(path, str(head))
    np.testing.assert_allclose(model.scene(str(path)), scene, rtol=0, atol=1e-5 * np.abs(scene).max())
    tags = hear_edgel3.Tagger(str(head)).tag_file(path)
    np.testing.assert_allclose(model.tag(str(path)), tags.probabilities[0], rtol=0, atol=1e-4)
