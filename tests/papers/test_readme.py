"""README.md against the package. (Its commands are run as they stand by .ci/run.)"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.extractor.streaming import AudioStream
from hear_edgel3.registry.names import checkpoints
from support import signals
from support.datasets import write_part
from support.paths import REPOSITORY

README = (REPOSITORY / "README.md").read_text()


def test_the_table_has_every_configuration() -> None:
    table = README.split("## Configurations")[1].split("###")[0]
    named = set(re.findall(r"`((?:sparse|sea)_\d+|mn\d\d_\w+)`", table))
    assert named | {f"{n}_kd" for n in named if n.startswith("sparse")} == {row.name for row in checkpoints()}
    for row in checkpoints():
        assert f"{row.n_parameters:,}" in table


def test_python_examples_parse() -> None:
    examples = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(examples) >= 3
    for example in examples:
        ast.parse(example)


def test_sections_are_in_order() -> None:
    sections = re.findall(r"^## (.*)$", README, re.M)
    assert sections == [
        "Quick start",
        "Configurations",
        "HEAR",
        "Python",
        "Tagging",
        "Streaming",
        "Many files",
        "Sound search",
        "A page to look at",
        "The built-in net",
        "Distilling your own",
        "Quality",
        "Converting weights",
        "FAQ",
    ]


def test_no_placeholder_is_left() -> None:
    assert not re.findall(r"\b[A-Z]+_TABLE\b|TODO|FIXME|@[A-Z0-9]+@", README)


NAMES = "embed|extract|tag|listen|index|search|duplicates|explore|list|info|distill|tune"
COMMANDS = re.findall(rf"hear-edgel3 (?:--verbose )?({NAMES})([^\n`&]*)", README)
FLAGS = sorted({(command, flag) for command, rest in COMMANDS for flag in re.findall(r"--[a-z-]+", rest)})


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_flags_exist(command: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert re.search(rf"{flag}\b", capsys.readouterr().out)


def test_enough_flags_were_found() -> None:
    assert {"--config", "--output-dir", "--hop-size", "--json"} <= {flag for _, flag in FLAGS}


def test_latencies(weights_folder: Path, mobilenetv3_folder: Path) -> None:
    table = README.split("## Streaming")[1].split("| latency (ms) |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| (.+) \| (\d+) Hz \| ([\d.]+) \|$", table, re.M)
    assert len(rows) == 6
    nets = {"EdgeL3": "sparse_95", "SEA": "sea_64", "MobileNetV3": "mn04_as"}
    for net, rate, latency in rows:
        if net == "tags of 1 s":
            stream: AudioStream[Any] = hear_edgel3.Tagger().stream(sample_rate=int(rate), window=1)
        else:
            folder = mobilenetv3_folder if net == "MobileNetV3" else weights_folder
            stream = hear_edgel3.load(nets[net], folder).stream(sample_rate=int(rate))
        assert f"{stream.latency_ms:.1f}" == latency


def test_python_examples_run(
    weights_folder: Path, mobilenetv3_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one session, in their order, as a reader would; a net whose weights are at hand stands for the pruned one."""
    for file in (*weights_folder.iterdir(), *mobilenetv3_folder.iterdir()):
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    soundfile.write("clip.wav", signals.clip(1.1, 44100, 2), 44100)
    made = hear_edgel3.load()
    assert made.weights is not None
    scene = made.scene_embeddings(np.zeros((1, 4800), np.float32)).numpy()
    write_part(tmp_path / "embeddings" / "0.parquet", scene, weights_sha256=made.weights.sha256)
    session: dict[str, Any] = {"sr": 16000}
    for example in re.findall(r"```python\n(.*?)```", README, re.S):
        text = example.replace('model_type="sparse", retrain_type="kd", sparsity=81.0', 'model_type="sea", emb_dim=64')
        text = text.replace('suffix="kd"', 'suffix="kd", model_type="sea", emb_dim=64')
        if "hear_edgel3.distill(" in text:  # takes a while; tests/distillation does it
            continue
        if "explore(" in text:  # of a dataset; tests/explore does it
            continue
        if "edgel3.get_embedding" in text:
            session["audio"] = session["audio"][0]
        exec(text, session)
    assert session["embeddings"].shape == (2, 81, 64)
    assert session["embedding"].shape == (36, 64)
    assert Path("clip_kd.npz").exists()
    assert [match.file for match in session["search"].query("clip.wav")] == ["0/0.wav"]
