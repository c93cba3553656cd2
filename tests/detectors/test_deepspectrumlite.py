"""Configuration files of DeepSpectrumLite, on nets of sounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from training.test_deepspectrumlite import _EXAMPLE

from hear_edgel3.cli import main
from hear_edgel3.detectors.deepspectrumlite import runs_of
from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.names import published, resolve
from hear_edgel3.training.deepspectrumlite import BASE_MODELS
from hear_edgel3.weights.file import encode


@pytest.fixture
def write(tmp_path: Path):
    def made(**changed: Any) -> Path:
        path = tmp_path / "config.json"
        path.write_text(json.dumps({**_EXAMPLE, **changed}))
        return path

    return made


def test_what_a_file_says_of_head_and_learning(write, tmp_path: Path) -> None:
    (run,), said = runs_of(write(), "tiny", tmp_path / "d", {})
    folder, chosen, pictures = run
    assert pictures is None
    assert folder == str(tmp_path / "d")
    wanted = {"head": "mlp", "units": 512, "activation": "arelu", "dropout": 0.25, "batch_size": 32, "fine_tune": True}
    wanted |= {"epochs": 140, "head_epochs": 40, "head_lr": 1e-3, "lr": 1e-4}
    assert {name: chosen[name] for name in wanted} == wanted
    assert chosen["share"] == pytest.approx(0.3)
    text = "\n".join(said)
    assert "mel_scale has no effect" in text
    assert "no use with tiny: " in text
    assert "basemodel_name" in text
    assert "num_units" not in text


def test_a_grid(write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(num_units=[8, 16], dropout=[0.1, 0.2])
    runs, said = runs_of(path, "tiny", tmp_path / "d", {})
    assert [Path(folder).name for folder, _, _ in runs] == ["0000", "0001", "0002", "0003"]
    assert [(c["units"], c["dropout"]) for _, c, _ in runs] == [(8, 0.1), (8, 0.2), (16, 0.1), (16, 0.2)]
    assert "4 combinations" in said[0]
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    runs, _ = runs_of(path, "tiny", tmp_path / "d", {})
    assert [(Path(folder).name, c["units"]) for folder, c, _ in runs] == [("0002", 16)]


def test_without_epochs_for_the_net_it_stays_as_it_is(write, tmp_path: Path) -> None:
    (run,), _ = runs_of(write(epochs=0), "tiny", tmp_path / "d", {"seed": 3})
    assert run[1] == {
        **{"head": "mlp", "units": 512, "activation": "arelu", "dropout": 0.25, "batch_size": 32},
        **{"epochs": 40, "lr": 1e-3, "seed": 3},
    }


def test_the_files_own_net_and_pictures(write, tmp_path: Path) -> None:
    (run,), said = runs_of(write(), None, tmp_path / "d", {})
    assert run.pictures is not None
    assert run.pictures["basemodel_name"] == "densenet121"
    assert "color_map" not in said[-1]
    assert "chunk_hop_size" in said[-1]
    for net in BASE_MODELS:
        assert runs_of(write(basemodel_name=net), None, tmp_path / "d", {})[0][0].pictures["basemodel_name"] == net
    for changed, message in (
        ({"basemodel_name": "xception", "image_width": 64}, "needs images of at least 71 by 71, not 64 by 224"),
        ({"weights": ""}, "with random weights"),
        ({"use_plot_images": False}, "use_plot_images false"),
        ({"chunk_size": -1}, "chunk_size below 0"),
    ):
        with pytest.raises(InvalidOption, match=message):
            runs_of(write(**changed), None, tmp_path / "d", {})


def test_a_detector_of_its_own_net(
    write, sounds: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "image_squeezenet_v1.safetensors"
    row = published("image_squeezenet_v1")
    state = {name: 0.05 * torch.randn_like(value) for name, value in row.net.build().state_dict().items()}
    weights.write_bytes(encode(state, {"configuration": row.name}))
    small = {"basemodel_name": "squeezenet_v1", "image_width": 48, "image_height": 64, "chunk_size": 0.5}
    path = write(**small, color_map="magma", epochs=0, pre_epochs=3, num_units=4)
    command = ["train", "--data", str(sounds), "--cache", str(cache), "--weights", str(weights)]
    assert main([*command, "--output", str(tmp_path / "d"), "--deepspectrumlite", str(path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "d")]
    made = resolve(tmp_path / "d")
    options = made.frontend.build().options
    assert (options.color_map, options.image_width, options.image_height) == ("magma", 48, 64)
    assert (made.window_ms, options.stft_window_size, options.top_db) == (500, 0.128, None)
    assert made.checkpoint.macs_10s < row.macs_10s / 10


def test_what_does_not_go_with_a_file(write, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="head is for trainings without"):
        runs_of(write(), "tiny", tmp_path / "d", {"head": "linear"})


def test_the_command(write, sounds: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(epochs=0, pre_epochs=5, num_units=[4, 8])
    command = ["train", "--config", "tiny", "--data", str(sounds), "--cache", str(cache)]
    assert main([*command, "--output", str(tmp_path / "d"), "--deepspectrumlite", str(path)]) == 0
    found = capsys.readouterr()
    assert found.out.split() == [str(tmp_path / "d" / "0000"), str(tmp_path / "d" / "0001")]
    assert "use_plot_images" in found.err
    values = json.loads((tmp_path / "d" / "0001" / "configuration.json").read_text())
    assert values["head"]["layout"]["units"] == 8
