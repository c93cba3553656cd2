"""Converting MobileNetV3 checkpoints: what is written, which checksums are known, and the real file."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hear_edgel3
from hear_edgel3._version import __version__
from hear_edgel3.disk.cache import cache_folder
from hear_edgel3.errors import WeightsMismatch
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.upstream import checksums, expected_checksum, is_published
from support import signals
from support.loopback import put_in_table
from support.mobilenetv3_files import read, with_upstream
from support.synthetic import row
from support.types import Captured
from weights_convert.__main__ import main
from weights_convert.publish import publish

pytestmark = pytest.mark.usefixtures("without_checksums")

# --- what is written ---


def test_the_same_source_gives_the_same_bytes(mn01_file: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for path in paths[:2]:
        assert main(["mn01_as", "--source", str(mn01_file), "--output", str(path)]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "weights_convert", "mn01_as", "--source", str(mn01_file), "--output", str(paths[2])],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{paths[2]}  sha256={hashlib.sha256(paths[2].read_bytes()).hexdigest()}\n"
    assert len({path.read_bytes() for path in paths}) == 1


def test_the_file_says_where_it_came_from(mn01_file: Path, smallest: bytes, tmp_path: Path) -> None:
    convert(row("mn01_as"), mn01_file).write(tmp_path / "x.safetensors")
    provenance = read(tmp_path / "x.safetensors")[1]
    assert len(provenance.pop("tensors_sha256")) == 64
    assert provenance == {
        "format": 1,
        "configuration": "mn01_as",
        "source_file": "mn01_as_mAP_298.pt",
        "source_sha256": hashlib.sha256(smallest).hexdigest(),
        "source_git_blob": hashlib.sha1(b"blob %d\0" % len(smallest) + smallest).hexdigest(),
        "upstream_url": "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/mn01_as_mAP_298.pt",
        "licence": "MIT",
        "copyright": "(c) 2022 Florian Schmid",
        "citation": row("mn01_as").citation,
        "converter": f"hear_edgel3 {__version__}",
    }
    assert str(tmp_path).encode() not in (tmp_path / "x.safetensors").read_bytes()


def test_the_result_is_for_its_checkpoint_alone(mobilenetv3_downloads: Path, tmp_path: Path) -> None:
    """The parameters of mn10_as_mels_40 fit mn10_as; the front end does not."""
    target = tmp_path / "x.safetensors"
    convert(row("mn10_as_mels_40"), mobilenetv3_downloads / row("mn10_as_mels_40").upstream.filename).write(target)
    with pytest.raises(WeightsMismatch, match="holds the weights of mn10_as_mels_40, not of mn10_as"):
        hear_edgel3.load("mn10_as", target)


# --- checksums ---


def test_published_tells_the_authors_file_from_others(mn01_file: Path, smallest: bytes) -> None:
    sha256 = hashlib.sha256(smallest).hexdigest()
    blob = hashlib.sha1(b"blob %d\0" % len(smallest) + smallest).hexdigest()
    for values, published, words in (
        ({}, None, "no checksum known"),
        ({"sha256": sha256}, True, f"sha256 {sha256}"),
        ({"git_blob": blob}, True, f"git blob {blob}"),
        ({"sha256": sha256, "git_blob": blob}, True, f"git blob {blob}"),
        ({"sha256": sha256, "git_blob": "0" * 40}, False, f"git blob {'0' * 40}"),
        ({"sha256": "0" * 64, "git_blob": blob}, False, f"git blob {blob}"),
        ({"sha256": "0" * 64}, False, f"sha256 {'0' * 64}"),
    ):
        changed = with_upstream("mn01_as", **values)
        assert is_published(changed, checksums(smallest)) is published
        assert convert(changed, mn01_file).published is published
        assert expected_checksum(changed) == words


def test_known_checksums() -> None:
    known = {name: row(name).upstream for name in ("mn04_as", "mn05_as", "mn10_as", "mn20_as")}
    assert len({upstream.git_blob for upstream in known.values()}) == 4
    assert all(re.fullmatch("[0-9a-f]{40}", str(upstream.git_blob)) for upstream in known.values())
    assert re.fullmatch("[0-9a-f]{64}", str(known["mn04_as"].sha256))


def test_the_note_depends_on_what_is_known(mn01_file: Path, smallest: bytes, monkeypatch, capsys: Captured) -> None:
    notes = []
    for values in ({}, {"sha256": "0" * 64}, {"sha256": hashlib.sha256(smallest).hexdigest()}):
        put_in_table(monkeypatch, with_upstream("mn01_as", **values))
        assert main(["mn01_as", "--source", str(mn01_file)]) == 0
        notes.append(capsys.readouterr().err)
    assert notes[0].startswith("note: no checksum of the file published as mn01_as is known")
    assert notes[1].startswith(
        "note: mn01_as_mAP_298.pt is not, byte for byte, the file published as mn01_as (sha256 0"
    )
    assert notes[2] == ""


# --- the real file ---


def test_the_real_mn04_as(shared: Path, tmp_path: Path, capsys: Captured) -> None:
    path = shared / "checkpoints" / "mn04_as_mAP_432.pt"
    assert main(["mn04_as", "--source", str(path.parent)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""  # byte for byte the published file: no note
    target = cache_folder() / "mn04_as.safetensors"
    assert captured.out.startswith(f"{target}  sha256=")
    tensors, provenance = read(target)
    upstream = row("mn04_as").upstream
    assert provenance["source_git_blob"] == upstream.git_blob == "1c675af80a401a1d54cbd01530b7411372f32601"
    assert provenance["source_sha256"] == upstream.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    original = torch.load(path, weights_only=True)
    assert tensors.keys() == original.keys()
    for key, value in original.items():
        assert torch.equal(tensors[key], value.to(tensors[key].dtype)), key
    extractor = hear_edgel3.load("mn04_as")
    assert extractor.weights.path == str(target)
    scene = extractor.scene_embeddings(torch.from_numpy(signals.clip(0.5, 48000))[None])
    assert scene.shape == (1, 320)
    assert bool(torch.isfinite(scene).all())
    assert publish(row("mn04_as"), target).size == target.stat().st_size
    renamed = tmp_path / "mine.pt"
    renamed.write_bytes(path.read_bytes())
    for other in ("mn10_as", "mn04_im"):
        words = f"mine.pt is the published file of mn04_as, not of {other}"
        with pytest.raises(WeightsMismatch, match=words):
            convert(row(other), renamed)
    assert convert(row("mn04_as"), renamed).published
