"""``hear-edgel3 list`` and ``info``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.registry.names import list_configurations, resolve
from support.mobilenetv3_words import DEFAULT
from support.types import Captured

pytestmark = pytest.mark.usefixtures("seeded_weights")


def test_list(capsys: Captured) -> None:
    assert main(["list"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    header, *lines = out.splitlines()
    assert re.split(r"  +", header) == ["name", "dim", "Hz", "params", "MACs, one pass over 10 s", "mAP", "description"]
    assert [line.split()[0] for line in lines] == list_configurations()
    row = next(line for line in lines if line.startswith("sea_64 "))
    assert row.split()[:4] == ["sea_64", "64", "16000", "399,460"]
    assert next(line for line in lines if line.startswith("sparse_95_kd ")).split()[1:4] == [
        "512",
        "48000",
        "4,689,860",
    ]


def test_list_as_json(capsys: Captured) -> None:
    assert main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list_configurations()
    assert {"name", "family", "embedding_size", "features", "sample_rate", "n_parameters", "macs_10s", "reported"} < {
        *rows[0]
    }
    sea = next(row for row in rows if row["name"] == "sea_512")
    assert (sea["family"], sea["embedding_size"], sea["n_parameters"]) == ("l3", 512, 4_691_908)


def test_list_of_a_family(capsys: Captured) -> None:
    assert main(["list", "--family", "l3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list_configurations("l3")
    assert len(rows) >= 20


def test_info(capsys: Captured, weights_folder: Path) -> None:
    assert main(["info", "sea_64"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    words = {line.strip().split("  ")[0]: line for line in out.splitlines()}
    assert words["name"].endswith(" sea_64")
    assert words["parameters"].endswith(" 399460")
    assert words["hop ms"].endswith(" 50.0")
    assert words["window ms"].endswith(" 1000.0")
    assert words["net sample rate"].endswith(" 8000")
    assert words["MACs, one pass over 10 s"].endswith(" 1.244 G of the whole net")
    assert "  5.019 G for these features" in words["MACs of a scene embedding of 10 s"]
    timestamps = "2.449 G per second of audio: 0.1224 G for a window of 1000 ms every 50 ms"
    assert timestamps in words["MACs of timestamp embeddings"]
    assert "68 frames (1468 ms) by 64 of 64 mel bands" in words["receptive field"]
    assert "0.832 MB in fp32, 0.467 MB in fp16" in words["memory for 1 s"]
    assert "MIT, (c) 2019 Sangeeta Kumari" in words["licence"]
    assert "Specialized Embedding Approximation" in words["citation"]
    assert str(weights_folder / "sea_64.safetensors") in words["from"]


def test_info_of_features(capsys: Captured) -> None:
    assert main(["info", "mn04_as_b5_mel_avgs"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    words = {line.strip().split("  ")[0]: line for line in out.splitlines()}
    assert words["features"].endswith(" mel_avgs, b5; blocks pooled by avg_ch")
    assert "size mb                3.93 in memory, as float32" in out.splitlines()
    assert words["MACs, one pass over 10 s"].endswith(
        " 0.1106 G of the whole net, 0.04029 G of them for these features"
    )
    assert "67 frames (685 ms) by 67 of 128 mel bands" in words["receptive field"]
    assert "5.38 MB in fp32, 2.69 MB in fp16: peak of activations of one clip" in words["memory for 10 s"]
    assert "peak of activations of one window" in words["memory for 0.16 s"]


def test_info_says_what_no_tensor_shows(capsys: Captured) -> None:
    for name, settings in (("dymn04_as", "tau 1"), ("dymn10_im", "tau 30"), ("ssondo_matpac_dymn", "tau 30")):
        assert main(["info", name]) == 0
        assert f"settings               {settings}" in capsys.readouterr().out.splitlines()
    assert main(["info", "ssondo_matpac_mn"]) == 0
    assert "settings" not in capsys.readouterr().out
    assert main(["info", "dymn04_as", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"] == {"tau": 1.0}


def test_info_as_json(capsys: Captured) -> None:
    assert main(["info", "sparse_81_kd", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["name"] == "sparse_81_kd"
    assert facts["embedding_size"] == 512
    assert facts["size_mb"] == round(4 * 4_689_860 / 1e6, 2)
    assert facts["timestamps"]["sample_rate"] == facts["timestamps"]["net_sample_rate"] == 48000
    assert facts["timestamps"]["centred"] is True
    assert facts["complexity"]["macs_window"] == 10_202_628_096
    assert facts["complexity"]["memory_input_ms"] == 1000.0
    assert facts["weights"]["upstream_git_blob"] == "f522214d1f7e55cc2dd5c260051aa8b7b3fd0c65"
    assert facts["weights"]["upstream_file"].endswith("edgel3_kd_audio_sparsity_81.0.h5.gz")
    assert "first use" in facts["weights"]["from"] or "Hub" in facts["weights"]["from"]


def test_the_command_lists_the_family() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hear_edgel3.cli", "list", "--family", "mobilenetv3", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    entries = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert list(entries) == hear_edgel3.list_configurations("mobilenetv3")
    for name, entry in entries.items():
        assert entry["embedding_size"] == resolve(name).embedding_size
        assert tuple(entry["features"]) == DEFAULT
