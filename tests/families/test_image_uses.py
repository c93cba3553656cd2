"""What is done with an image net: it embeds, streams, extracts, is searched, teaches, and is trained further."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.families.image.frontend import ImageSpectrogram
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.file import encode
from support.spectrogram_images import NAME, lite0_state, row, sounds

# Seeded nets that end early: a tenth of the time.
FAST = f"{NAME}_block1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the seeded weights."""
    folder = tmp_path_factory.mktemp("image")
    source = folder / "lite0.pth"
    torch.save(lite0_state(), source)
    (folder / f"{NAME}.safetensors").write_bytes(encode(convert(row(), source).state, {"configuration": NAME}))
    return folder


@pytest.fixture
def at_hand(folder: Path, monkeypatch: pytest.MonkeyPatch, here: Path) -> Path:
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(folder))
    return folder


def wav(path: Path, samples: torch.Tensor | np.ndarray, rate: int = 16000) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    soundfile.write(path, np.asarray(samples), rate, "FLOAT")
    return path


def test_a_scene_and_timestamps(folder: Path) -> None:
    model = hear_edgel3.load(FAST, folder)
    audio = sounds(2, 1.6)
    embeddings, times = model.timestamp_embeddings(audio)
    assert embeddings.shape == (2, 34, 24)
    assert times[0, :3].tolist() == [0, 48, 96]
    with torch.no_grad():
        alone = model.net(model.frontend(audio[:1, 16 * 576 - 8000 : 16 * 576 + 8000]))
    torch.testing.assert_close(embeddings[0, 12], alone[0], rtol=1e-4, atol=1e-5)
    second = model.scene_embeddings(audio[:, :16000])
    with torch.no_grad():  # up to a second, one picture of all of it
        torch.testing.assert_close(second, model.net(model.frontend(audio[:, :16000])), rtol=1e-4, atol=1e-5)
    longer = model.scene_embeddings(audio)
    torch.testing.assert_close(longer, model.timestamp_embeddings(audio, 240.0)[0].mean(dim=1), rtol=1e-5, atol=1e-6)


def test_nothing_is_dropped_at_the_end(folder: Path) -> None:
    """The original left out what did not fill its last chunk, without a word."""
    model = hear_edgel3.load(FAST, folder)
    clip = sounds(1, 1.9)
    changed = clip.clone()
    changed[:, -800:] = 0.0
    assert not torch.allclose(model.scene_embeddings(clip), model.scene_embeddings(changed), atol=1e-4)
    assert model.timestamp_embeddings(clip)[1][0, -1] > 1900 - 48


def test_a_stream_gives_the_same(folder: Path) -> None:
    model = hear_edgel3.load(FAST, folder)
    clip = sounds(1, 1.3)
    expected, _ = model.timestamp_embeddings(clip)
    found = [embedding for _, embedding in model.stream(torch.split(clip[0], 1111))]
    np.testing.assert_allclose(np.stack(found), expected[0], rtol=1e-4, atol=1e-5)


def test_all_channels_and_the_rate_count(folder: Path, tmp_path: Path) -> None:
    """The original took the first channel, and any rate for its own."""
    left, right = sounds(2, 1.2).numpy()
    stereo = hear_edgel3.embed_file(wav(tmp_path / "s.wav", np.stack([left, right], 1)), FAST, weights=folder)
    mixed = hear_edgel3.embed_file(wav(tmp_path / "m.wav", (left + right) / 2), FAST, weights=folder)
    first = hear_edgel3.embed_file(wav(tmp_path / "l.wav", left), FAST, weights=folder)
    np.testing.assert_allclose(stereo.embedding, mixed.embedding, rtol=1e-4, atol=1e-5)
    assert not np.allclose(stereo.embedding, first.embedding, atol=1e-2)
    slow = torch.nn.functional.interpolate(torch.from_numpy(left)[None, None], scale_factor=2, mode="linear")[0, 0]
    fast = hear_edgel3.embed_file(wav(tmp_path / "f.wav", slow, 32000), FAST, weights=folder)
    assert fast.embedding.shape == first.embedding.shape
    scale = np.abs(first.embedding).max()
    assert np.abs(fast.embedding - first.embedding).max() < 0.25 * scale
    as_if = hear_edgel3.embed_file(wav(tmp_path / "w.wav", slow, 16000), FAST, weights=folder)
    assert len(as_if.embedding) > 1.5 * len(first.embedding)


def test_silence_and_a_single_sample(folder: Path) -> None:
    model = hear_edgel3.load(FAST, folder)
    for clip in (torch.zeros(1, 16000), torch.full((1, 16000), 0.5), torch.zeros(1, 40000), torch.ones(1, 1)):
        assert bool(torch.isfinite(model.scene_embeddings(clip)).all())
        assert bool(torch.isfinite(model.timestamp_embeddings(clip)[0]).all())


@pytest.mark.parametrize("engine", ["torch", "onnxruntime", "openvino"])
@pytest.mark.parametrize("words", ["block0", "block0_compat", "block0_lanczos3"])
def test_engines(engine: str, words: str, folder: Path) -> None:
    if engine != "torch":
        pytest.importorskip(engine)
    name, audio = f"{NAME}_{words}", sounds(1, 1.0)
    expected = hear_edgel3.load(name, folder, engine="eager").scene_embeddings(audio[:, :12000])
    model = hear_edgel3.load(name, folder, engine=engine)
    assert model.engine == engine
    model.scene_embeddings(audio)  # of another length
    found = model.scene_embeddings(audio[:, :12000])
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4


def test_frames_are_transformed_once_for_timestamps(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hear_edgel3.load(FAST, folder)
    seen, power = [], ImageSpectrogram._power
    monkeypatch.setattr(ImageSpectrogram, "_power", lambda self, x: (seen.append(x.numel()), power(self, x))[1])
    model.timestamp_embeddings(sounds(1, 2.0))
    assert sum(seen) < 0.35 * 42 * 16000


def test_the_hear_module(folder: Path) -> None:
    module = importlib.import_module(f"hear_edgel3.{NAME}")
    model = module.load_model(str(folder / f"{NAME}.safetensors"))
    assert (model.sample_rate, model.scene_embedding_size, model.timestamp_embedding_size) == (16000, 1280, 1280)
    assert module.get_scene_embeddings(sounds(1, 0.5), model).shape == (1, 1280)


def test_commands(at_hand: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wav(Path("in/a.wav"), sounds(1, 1.2)[0])
    assert main(["list", "--family", "image"]) == 0
    assert NAME in capsys.readouterr().out
    assert main(["info", FAST, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["family"], facts["embedding_size"]) == ("image", 24)
    assert facts["features"].startswith(
        "means of block1_project_bn; 128 mel bands, frames of 32 ms every 8 ms, viridis"
    )
    assert main(["embed", "in/a.wav", "--config", FAST, "--output", "out"]) == 0
    (made,) = Path("out").glob("*.npz")
    assert np.load(made)["embedding"].shape[1] == 24


def test_extract_and_search(at_hand: Path) -> None:
    pytest.importorskip("usearch")
    for seed in range(3):
        wav(Path(f"in/{seed}.wav"), sounds(1, 1.0, seed)[0])
    done = hear_edgel3.extract("in", "out", FAST, workers=1)
    assert done.all_well
    assert main(["index", "out"]) == 0
    assert main(["search", "out", "in/1.wav", "--top", "1"]) == 0


def test_it_teaches(at_hand: Path) -> None:
    pytest.importorskip("accelerate")
    for seed in range(4):
        wav(Path(f"in/{seed}.wav"), sounds(1, 20.0, seed)[0])
    made = hear_edgel3.distill(
        FAST, "in", "out", device="cpu", width_mult=0.1, lengths=(1.0,), epochs=1, views=1, clips_per_file=20
    )
    assert hear_edgel3.load(made).scene_embeddings(sounds(1, 1.0)).shape == (1, 24)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_a_detector_is_made_of_it(fine_tune: bool, at_hand: Path) -> None:
    pytest.importorskip("sklearn")
    t = torch.arange(16000) / 16000
    for number in range(8):
        for name, frequency in (("low", 300), ("high", 3000)):
            tone = torch.sin(2 * torch.pi * (frequency + 20 * number) * t) * 0.3
            wav(Path(f"in/{name}/{number}.wav"), tone + 0.01 * sounds(1, 1.0, number)[0])
    options = {"fine_tune": True, "epochs": 1, "batch_size": 8} if fine_tune else {}
    result = hear_edgel3.train("in", "out", config=f"{NAME}_block0_compat", **options)
    assert result is not None
    made = resolve(Path("out")).checkpoint
    assert made.family == "image"
    assert made.classes == ("high", "low")  # type: ignore[attr-defined]
    assert resolve(Path("out")).frontend.build().options.stft_window_size == 0.128
    low = hear_edgel3.tag(wav(Path("x.wav"), torch.sin(2 * torch.pi * 310 * t) * 0.3), "out")
    assert low is not None
