"""DyMN nets in every use that nets have: tags, ensembles, streams, datasets, search, training, distillation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.labels import Kind, Split
from hear_edgel3.registry.names import resolve
from hear_edgel3.search import SoundSearch
from hear_edgel3.weights.file import encode
from support import dymn_files, mobilenetv3_reference, signals
from support.detector_sounds import LABELS, sound, write_sounds
from support.labelled_sounds import make_labelled, tune
from support.write_weights import MOBILENETV3, write_dymn

RATE = 32000
NAME = "dymn04_replace_se_as"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded weights of two DyMN and of a MobileNetV3."""
    found = tmp_path_factory.mktemp("dymn")
    write_dymn(found)
    state = mobilenetv3_reference.seeded_state(MOBILENETV3["mn01_as"])
    (found / "mn01_as.safetensors").write_bytes(encode(state, {"configuration": "mn01_as"}))
    (found / "dymn04_im.safetensors").write_bytes(dymn_files.converted("dymn04_im"))
    return found


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return signals.clip(2.6, RATE)


def straight(name: str, samples: np.ndarray, words: tuple[str, ...]) -> np.ndarray:
    """What a net puts out for a clip in one piece, without any of the rest."""
    row = resolve(name).checkpoint
    net = row.net.make(**{**row.net.arguments, "outputs": words})
    net.load_state_dict({k: v for k, v in dymn_files.state(name).items() if k in net.state_dict()})
    with torch.no_grad():
        found: np.ndarray = net.eval()(row.frontend.build().eval()(torch.from_numpy(samples)[None])).numpy()[0]
    return found


def assert_near(found: Any, expected: np.ndarray, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=tolerance * np.abs(expected).max())


def test_tags_alone_and_with_a_mobilenetv3(folder: Path, audio: np.ndarray) -> None:
    alone = hear_edgel3.Tagger(NAME, folder).tag_samples(audio, RATE)
    assert_near(alone.logits[0], straight(NAME, audio, ("logits",)))
    other = hear_edgel3.Tagger("mn01_as", folder).tag_samples(audio, RATE)
    together = hear_edgel3.Tagger([NAME, "mn01_as"], folder).tag_samples(audio, RATE)
    assert together.configurations == (NAME, "mn01_as")
    assert_near(together.logits, (alone.logits + other.logits) / 2)


def test_streams_give_what_files_give(folder: Path, audio: np.ndarray) -> None:
    model = hear_edgel3.load(NAME, folder, sample_rate=RATE)
    samples = torch.from_numpy(audio)
    expected, times = model.timestamp_embeddings(samples[None])
    moments = list(model.stream(torch.split(samples, 3001)))
    assert_near(np.stack([moment[1] for moment in moments]), expected[0].numpy())
    np.testing.assert_allclose([moment[0] for moment in moments], times[0])
    tagger = hear_edgel3.Tagger([NAME, "mn01_as"], folder)
    windows = tagger.tag_samples(audio, RATE, window=1.0, hop=0.5)
    heard = list(tagger.stream(np.array_split(audio, 9), sample_rate=RATE, window=1.0, hop=0.5))
    n = min(len(heard), len(windows.logits))
    assert n >= 4
    assert_near(np.stack([one.logits for one in heard[:n]]), windows.logits[:n])


def test_a_dataset_is_made_and_searched(folder: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    clips = {f"{seed}.wav": signals.clip(0.8, RATE, seed=seed) for seed in range(4)}
    (tmp_path / "in").mkdir()
    for name, clip in clips.items():
        soundfile.write(tmp_path / "in" / name, clip, RATE, "FLOAT")
    words = f"{NAME}_clf1"
    done = hear_edgel3.extract(tmp_path / "in", tmp_path / "out", words, weights=folder, workers=1)
    assert done.all_well
    for row in pq.read_table(next((tmp_path / "out").glob("part-*.parquet"))).to_pylist():
        assert_near(row["embedding"], straight(NAME, clips[Path(row["file"]).name], ("clf1",)))
    matches = SoundSearch(tmp_path / "out").query(straight(NAME, clips["2.wav"], ("clf1",)), 2)
    assert Path(matches[0].file).name == "2.wav"
    assert matches[0].similarity == pytest.approx(1, abs=1e-4)


def test_a_detector_on_it_as_it_is_and_trained(folder: Path, tmp_path: Path) -> None:
    sounds = write_sounds(tmp_path / "sounds", groups=4, each=1)
    rng = np.random.default_rng(99)
    heard = {label: sound(label, rng) for label in LABELS}
    common = {"config": NAME, "weights": folder, "cache": tmp_path / "cache", "name": "mine", "licence": "CC0"}
    frozen = hear_edgel3.train(sounds, tmp_path / "frozen", **common)
    tuned = hear_edgel3.train(
        sounds, tmp_path / "tuned", fine_tune=True, epochs=1, batch_size=6, **common, device="cpu"
    )
    own = hear_edgel3.train(sounds, tmp_path / "own", head="own", **common)
    for made in (frozen, tuned, own):
        assert json.loads((made / "configuration.json").read_text())["architecture"]["tau"] == 1
        assert resolve(str(made)).checkpoint.family == "dymn"
    for made in (frozen, tuned):
        tagger = hear_edgel3.Tagger(str(made))
        for label, samples in heard.items():
            assert tagger.tag_samples(samples, 16000).top(1)[0].label == label
    # Exported with its head, and with any number of windows.
    pytest.importorskip("onnxruntime")
    windows = torch.from_numpy(signals.windows(RATE)[:3])
    plain, exported = (
        hear_edgel3.load(frozen, sample_rate=None, features=["logits"], engine=engine)
        for engine in ("eager", "onnxruntime")
    )
    assert_near(exported.embed_windows(windows), plain.embed_windows(windows).numpy())


@pytest.mark.parametrize(("name", "temperatures"), [("dymn04_im", (30.0, 29.0)), (NAME, (1.0, 1.0))])
def test_the_temperature_falls_from_that_of_the_net(
    name: str, temperatures: tuple[float, ...], folder: Path, tmp_path: Path
) -> None:
    """By the recipe for AudioSet; what is best is known with the temperature that it had."""
    labelled = make_labelled(tmp_path / "sounds", Kind.SEVERAL)
    labelled = replace(labelled, mask=None)
    extractor = hear_edgel3.load(f"{name}_b5", folder)
    rows = np.array([0, 13, 26])
    for epochs, expected in enumerate(temperatures, 1):
        tuned = tune(
            labelled,
            extractor,
            tmp_path / f"out{epochs}",
            "new",
            Split("some", rows, rows[:0], rows[:0]),
            head_epochs=None,
            epochs=epochs,
            recipe="audioset",
        )
        assert tuned.settings == {"tau": expected}
    assert extractor.net.tau == temperatures[0]


def test_it_teaches_and_learns(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    (tmp_path / "in").mkdir()
    for seed in range(4):
        soundfile.write(tmp_path / "in" / f"{seed}.wav", signals.clip(17.0, RATE, seed=seed), RATE)
    made = hear_edgel3.distill(
        f"{NAME}_clf1",
        tmp_path / "in",
        tmp_path / "out",
        teacher_weights=folder,
        student="dymn",
        width_mult=0.1,
        lengths=(1.0,),
        epochs=2,
        views=1,
        clips_per_file=16,
        batch_seconds=16.0,
        name="small",
        device="cpu",
    )
    values = json.loads((made / "configuration.json").read_text())
    assert (values["family"], values["architecture"]["tau"]) == ("dymn", 1)
    model = hear_edgel3.load(made)
    assert model.scene_embeddings(torch.from_numpy(signals.clip(1.0, 48000))[None]).shape == (1, 384)
    assert hear_edgel3.Tagger(str(made)).tag_samples(signals.clip(1.0, RATE), RATE).logits.shape == (1, 527)
