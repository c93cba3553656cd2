"""The configuration in the package: the default everywhere, with nothing to fetch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.errors import UnknownConfiguration
from hear_edgel3.families.schema import Local
from hear_edgel3.registry.names import BUILT_IN, checkpoints, families, list_configurations, published, resolve
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.weights.file import sha256_of
from hear_edgel3.weights.locate import locate, origin
from support.folders import write_second
from support.types import Captured
from weights_convert.__main__ import main as weights_convert


@pytest.fixture
def nothing_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, no weights anywhere, and whoever would fetch some fails."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("something is fetched")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    monkeypatch.setattr("hear_edgel3.weights.locate._from_upstream", refuse)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("nothing_to_fetch")
def test_the_default_everywhere(tmp_path: Path, capsys: Captured) -> None:
    """Without a name, without a download, it embeds and tags."""
    source = write_second(tmp_path / "a.wav")
    extractor = hear_edgel3.load()
    assert extractor.configuration.name == BUILT_IN == "tiny"
    row = resolve("tiny").checkpoint
    assert isinstance(row, Local)
    assert extractor.weights is not None
    assert extractor.weights.path == str(locate(row)) == origin(row)
    assert extractor.weights.sha256 == row.weights_sha256
    embedded = hear_edgel3.embed_file(source)
    assert embedded.configuration == "tiny"
    assert embedded.weights_sha256 == row.weights_sha256
    np.testing.assert_array_equal(embedded.embedding, hear_edgel3.embed_file(source, extractor).embedding)
    tags = hear_edgel3.tag(source)
    assert tags.configurations == ("tiny",)
    np.testing.assert_array_equal(Tagger().tag_file(source).logits, tags.logits)
    assert main(["embed", str(source), "--quiet"]) == 0
    with np.load(tmp_path / "a.npz") as file:
        assert str(file["configuration"]) == "tiny"
        np.testing.assert_array_equal(file["embedding"], embedded.embedding)
    assert capsys.readouterr() == ("", "")
    assert main(["tag", str(source), "--json", "--top", "1"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["configurations"] == ["tiny"]
    assert record["windows"][0]["tags"][0]["label"] == tags.top(1)[0].label


def test_a_fresh_process_needs_nothing(tmp_path: Path) -> None:
    """As after `pip install`: an empty home, offline by the environment."""
    write_second(tmp_path / "a.wav")
    code = (
        "import hear_edgel3, socket\n"
        "def refuse(*a): raise AssertionError('the network is asked')\n"
        "socket.socket.connect = refuse\n"
        "print(hear_edgel3.tag('a.wav').configurations, hear_edgel3.embed_file('a.wav').configuration)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "('tiny',) tiny\n", "")
    home = Path(os.environ["HOME"])
    assert list(home.rglob("*.safetensors")) == []


def test_the_built_in_row() -> None:
    """First in the table; whole; no published one has its name."""
    names = list_configurations()
    assert names[0] == BUILT_IN
    assert len(set(names)) == len(names)
    row = resolve(BUILT_IN).checkpoint
    assert isinstance(row, Local)
    assert row.name == row.folder.name == BUILT_IN
    assert BUILT_IN not in [published.name for published in checkpoints()]
    assert row.family in families()
    assert BUILT_IN in list_configurations(row.family)
    assert sha256_of(row.weights_path) == row.weights_sha256
    assert (row.folder / "README.md").read_text().startswith(f"# {BUILT_IN}\n")
    assert row.made["teacher"] in names
    assert row.labels == "audioset"


def test_features_of_the_built_in_one() -> None:
    """Its name takes words as the published ones do."""
    assert resolve("tiny_clf1_logits").features.names == ("clf1", "logits")
    assert hear_edgel3.load("tiny", features=["clf1"]).configuration.name == "tiny_clf1"
    with pytest.raises(UnknownConfiguration, match="'clf9' is no feature"):
        resolve("tiny_clf9")


def test_the_converter_has_nothing_to_do(tmp_path: Path, capsys: Captured) -> None:
    message = "tiny is part of this package, nothing that its authors published"
    with pytest.raises(UnknownConfiguration, match=message):
        published("tiny")
    for arguments in (
        ["tiny"],
        ["tiny_clf1"],
        ["tiny", "--output", str(tmp_path / "tiny.safetensors")],
        ["tiny", "--source", str(tmp_path / "tiny.pt")],
        ["publish", "tiny"],
    ):
        assert weights_convert(arguments) == 2
        assert f"error: {message}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert "tiny" not in [row.name for row in checkpoints()]  # what --all converts
