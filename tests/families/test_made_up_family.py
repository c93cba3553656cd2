"""A family that is added by one line of the table, for these tests only: everything works without touching more."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import InvalidOption, UnknownConfiguration, WeightsMismatch
from hear_edgel3.families.table import FAMILIES, registered, students
from hear_edgel3.registry.names import near_names, published, resolve
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.file import encode
from support.made_up import upstream
from support.made_up.family import MURMUR
from support.made_up.net import Murmur
from weights_convert.__main__ import main as convert_main

RATE = 16000


@pytest.fixture(autouse=True)
def _in_the_table() -> Iterator[None]:
    with registered(MURMUR):
        yield
    sys.modules.pop("hear_edgel3.murmur_8", None)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = Murmur(4, 8)
        net.norm.running_mean.copy_(torch.randn(4))  # type: ignore[union-attr]
        return dict(net.state_dict())


@pytest.fixture
def weights(state: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    path = tmp_path / "murmur_8.safetensors"
    path.write_bytes(encode(state, {"configuration": "murmur_8"}))
    return path


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.RandomState(seed).randn(round(seconds * RATE))).astype(np.float32)


def wav(path: Path, seconds: float, seed: int = 0) -> Path:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, noise(seconds, seed), RATE, "FLOAT")
    return path


def test_it_is_there_for_the_block_only() -> None:
    assert hear_edgel3.list_configurations("murmur") == ["murmur_8", "murmur_12"]
    assert hear_edgel3.list_configurations()[-2:] == ["murmur_8", "murmur_12"]
    assert near_names("murmur_9") == ["murmur_8", "murmur_12"]
    assert "murmur" in students()
    del FAMILIES["murmur"]
    try:
        assert "murmur_8" not in hear_edgel3.list_configurations()
        with pytest.raises(UnknownConfiguration):
            resolve("murmur_8")
    finally:
        FAMILIES["murmur"] = MURMUR


def test_its_other_names_are_read() -> None:
    assert resolve("hum_8").checkpoint is resolve("murmur_8").checkpoint
    with pytest.raises(UnknownConfiguration, match="murmur_8 has one kind of embedding"):
        resolve("murmur_8_logits")


def test_the_command_lists_and_describes_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--family", "murmur"]) == 0
    assert "a made-up net of 12 values" in capsys.readouterr().out
    assert main(["info", "murmur_8", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["family"], facts["embedding_size"], facts["parameters"]) == ("murmur", 8, 88)
    assert facts["timestamps"]["window_ms"] == 500
    assert facts["engine"] == "torch"
    assert facts["complexity"]["macs_10s"] > 0


def test_it_embeds_in_every_way(weights: Path, tmp_path: Path) -> None:
    module = importlib.import_module("hear_edgel3.murmur_8")
    model = module.load_model(str(weights))
    audio = torch.from_numpy(noise(2.0))[None]
    embeddings, timestamps = module.get_timestamp_embeddings(audio, model)
    assert embeddings.shape == (1, 41, 8)
    assert timestamps[0, -1] == 2000
    # What the family's own parts make of the window in the middle.
    window = audio[:, RATE - 4000 : RATE + 4000]
    with torch.no_grad():
        alone = model.net(model.frontend(window))[0]
    torch.testing.assert_close(embeddings[0, 20], alone)
    scene = module.get_scene_embeddings(audio, model)
    torch.testing.assert_close(scene[0], model.timestamp_embeddings(audio, 250.0)[0][0].mean(dim=0))
    moments = list(model.stream(torch.split(audio[0], 3000)))
    np.testing.assert_allclose(np.stack([m[1] for m in moments]), embeddings[0].numpy(), atol=1e-5)
    path = wav(tmp_path / "a" / "a.wav", 2.0)
    np.testing.assert_allclose(
        hear_edgel3.embed_file(path, "murmur_8", weights=weights).embedding, embeddings[0].numpy(), atol=1e-5
    )


@pytest.mark.parametrize("engine", ["eager", "torch", "onnxruntime"])
def test_engines_run_it(engine: str, weights: Path) -> None:
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime")
    audio = torch.from_numpy(noise(1.3))[None]
    expected = hear_edgel3.load("murmur_8", weights, engine="eager").scene_embeddings(audio)
    found = hear_edgel3.load("murmur_8", weights, engine=engine)
    assert found.engine == engine
    torch.testing.assert_close(found.scene_embeddings(audio), expected, atol=1e-5, rtol=1e-4)


def test_an_engine_that_cannot_run_it_says_so(weights: Path) -> None:
    pytest.importorskip("numba")
    model = hear_edgel3.load("murmur_8", weights, engine="numba")
    with pytest.raises(InvalidOption, match="cannot run this net"):
        model.scene_embeddings(torch.zeros(1, RATE))


def test_a_dataset_is_made_with_it(weights: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    for seed in range(3):
        wav(tmp_path / "in" / f"{seed}.wav", 1.0, seed)
    done = hear_edgel3.extract(tmp_path / "in", tmp_path / "out", "murmur_8", weights=weights, workers=1)
    assert done.all_well
    rows = pq.read_table(next((tmp_path / "out").glob("part-*.parquet")))
    model = hear_edgel3.load("murmur_8", weights)
    for row in rows.to_pylist():
        expected = model.scene_embeddings(torch.from_numpy(noise(1.0, int(Path(row["file"]).stem)))[None])[0]
        np.testing.assert_allclose(row["embedding"], expected.numpy(), atol=1e-5)


def test_its_authors_files_are_converted(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    source = tmp_path / "murmur8.npz"
    source.write_bytes(upstream.write(state))
    target = tmp_path / "converted.safetensors"
    assert convert_main(["murmur_8", "--source", str(source), "--output", str(target)]) == 0
    model = hear_edgel3.load("murmur_8", target)
    for name, value in model.net.state_dict().items():
        assert torch.equal(value, state[name])
    with pytest.raises(WeightsMismatch, match="is not a checkpoint of murmur_12"):
        convert(published("murmur_12"), source)


def test_its_nets_are_distilled(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    for seed in range(4):
        wav(tmp_path / "in" / f"{seed}.wav", 20.0, seed)
    options = {"lengths": (10.0,), "epochs": 2, "views": 1, "clips_per_file": 2, "width_mult": 0.5}
    folder = hear_edgel3.distill(
        "murmur_8",
        tmp_path / "in",
        tmp_path / "out",
        teacher_weights=weights,
        device="cpu",
        student="murmur",
        name="small",
        **options,
    )
    row = resolve(folder).checkpoint
    assert (row.family, row.name) == ("murmur", "small")
    assert row.summary.startswith("Murmur of width 0.5, distilled from murmur_8 on ")
    assert row.net.arguments == {"channels": 4, "size": 8}
    model = hear_edgel3.load(folder)
    assert model.scene_embeddings(torch.from_numpy(noise(2.0))[None]).shape == (1, 8)


def test_a_folder_whose_shape_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="channels of the architecture cannot be 0"):
        MURMUR.check_architecture({"channels": 0, "size": 8})
