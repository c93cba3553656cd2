"""Where a net takes the place of another of its name, what was made with the old one is told from the new one's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.registry.folder import read_folder
from hear_edgel3.tagging.tagger import Tagger
from support.folders import make_folder
from support.tag_command import write_loud_clip
from support.types import Captured

# The built-in net before it was pruned from its teacher: of a width of its own, and described with three words.
BEFORE = {"width_mult": 0.2, "n_classes": 527, "n_mels": 128}


@pytest.fixture
def replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """`net` holds the old one; a call puts the new one in its place, and the old one into `old`."""
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "net", name="tiny", architecture=BEFORE, default_features="")
    write_loud_clip("in/a.wav")
    write_loud_clip("in/b.wav", seed=1)

    def replaced() -> None:
        shutil.move("net", "old")
        new = {"width_mult": 0.4, "n_classes": 527, "n_mels": 128}
        make_folder(tmp_path / "net", name="tiny", architecture=new, default_features="", embedding_version=2)

    return replaced


def test_the_layout_before_still_loads(replace: Callable[[], None]) -> None:
    """By its path, under its name, beside the built-in one."""
    replace()
    row = read_folder("old")
    assert (row.name, row.embedding_version, row.n_parameters) == ("tiny", 1, 324_695)
    old = hear_edgel3.load("./old")
    assert old.scene_embedding_size == 224
    assert hear_edgel3.embed_file("in/a.wav", old).embedding.shape[1] == 224
    assert Tagger("./old").tag_file("in/a.wav").probabilities.shape == (1, 527)
    assert hear_edgel3.custom.load_model("old").scene_embedding_size == 224


@pytest.mark.parametrize("rows", [[], ["--timestamps"]])
def test_a_dataset(rows: list[str], replace: Callable[[], None], capsys: Captured) -> None:
    extract = ["extract", "in", "--output", "out", "--quiet", "--workers", "1", *rows]
    assert main([*extract, "--config", "./net"]) == 0
    replace()
    write_loud_clip("in/c.wav", seed=2)
    assert main([*extract, "--config", "./net"]) == 2
    err = capsys.readouterr().err
    assert "out was begun with weights_sha256 " in err
    assert "; embedding_version 1, and now 2; size 224, and now 320: tiny gives other embeddings now, which " in err
    assert "Give another --output; or go on with the net that began it, if you have its folder (--config FOLDER)" in err
    for command in (["search", "out", "in/a.wav"], ["search", "out", "in/a.wav", "--config", "./net"]):
        assert main(command) == 1
        err = capsys.readouterr().err
        assert "the dataset has embeddings of tiny version 1, and this hear_edgel3 makes version 2: " in err
        assert "give the folder of the net that made it (--config)" in err
    # the old one goes on with what is its own
    assert main([*extract, "--config", "./old"]) == 0
    assert main(["search", "out", "in/c.wav", "--config", "./old", "--top", "1"]) == 0
    assert "1.000  in/c.wav" in capsys.readouterr().out
    # what needs no net goes on without it
    assert main(["duplicates", "out"]) == 0
    assert main(["search", "out", "in/a.wav", "--stored", "--top", "1"]) == 0


def test_results_of_embed_and_tag(replace: Callable[[], None], capsys: Captured) -> None:
    embed = ["embed", "in", "--output", "npz", "--config", "./net"]
    tag = ["tag", "in", "--output", "tags.jsonl", "--config", "./net"]
    assert main(embed) == main(tag) == 0
    before = Path("npz/a.npz").read_bytes(), Path("tags.jsonl").read_text()
    replace()
    write_loud_clip("in/c.wav", seed=2)
    capsys.readouterr()
    assert main(embed) == 1
    assert "it exists and was made with embedding_version 1, not 2; use --overwrite, " in capsys.readouterr().err
    assert main(tag) == 2
    assert "tags.jsonl was begun with embedding_version" in capsys.readouterr().err
    assert (Path("npz/a.npz").read_bytes(), Path("tags.jsonl").read_text()) == before
    assert main([*embed, "--overwrite"]) == main([*tag, "--overwrite"]) == 0
    with np.load("npz/a.npz") as file:
        assert (int(file["embedding_version"]), file["embedding"].shape[1]) == (2, 320)
    assert len([json.loads(line) for line in Path("tags.jsonl").read_text().splitlines()]) == 3
