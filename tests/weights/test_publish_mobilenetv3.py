"""Publishing MobileNetV3 checkpoints, most of which have no checksum that is known."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pytest
from safetensors.torch import save_file

from hear_edgel3.errors import WeightsMismatch
from hear_edgel3.weights.convert import convert
from hear_edgel3.weights.upstream import expected_checksum
from support.loopback import FakeHub, from_upstream
from support.mobilenetv3_files import pt, state, with_upstream
from support.synthetic import row
from support.types import Captured
from weights_convert.__main__ import main
from weights_convert.publish import publish

pytestmark = pytest.mark.usefixtures("without_checksums")


def test_a_dry_run_without_a_known_checksum(hub: FakeHub, mn01_file: Path, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "x.safetensors"
    sha256 = convert(row("mn01_as"), mn01_file).write(path)
    assert main(["publish", "mn01_as", "--weights", str(path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f'"mn01_as": ("REVISION", "{sha256}", {path.stat().st_size}),\n'
    card = publish(row("mn01_as"), path).card
    assert card in captured.err
    assert hub.requests == []
    assert "- mobilenetv3\n" in card
    assert "license: mit\n" in card
    cells = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", card, re.MULTILINE))
    assert cells["embedding size"] == "184"
    assert cells["parameters"] == "123,783"
    assert cells["sample rate to feed"] == "48000 Hz"
    assert cells["sample rate of the net"] == "32000 Hz"
    assert cells["window"] == "160 ms, centred on its timestamp"
    assert cells["default hop"] == "50 ms"
    assert cells["upstream file"] == row("mn01_as").upstream.url
    assert cells["its sha256"] == f"`{hashlib.sha256(mn01_file.read_bytes()).hexdigest()}`"
    assert "(c) 2022 Florian Schmid" in card
    assert row("mn01_as").citation in card


def test_a_net_for_imagenet_can_be_published(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "mn01_im.pt").write_bytes(pt(state("mn01_im", 1000)))
    convert(row("mn01_im"), tmp_path / "mn01_im.pt").write(tmp_path / "x.safetensors")
    done = publish(row("mn01_im"), tmp_path / "x.safetensors")
    assert done.repo_id == "hear-edgel3/mn01_im"
    assert hub.requests == []


def test_other_names_of_a_checkpoint_are_published_as_it(hub: FakeHub, mn01_file: Path, capsys: Captured) -> None:
    assert main(["mn01_as", "--source", str(mn01_file)]) == 0
    capsys.readouterr()
    for name in ("mn01_as", "mn01_all_b_mel_avgs", "mn01_e1_l"):
        assert main(["publish", name]) == 0
        captured = capsys.readouterr()
        assert "into hear-edgel3/mn01_as:" in captured.err
        assert '("REVISION", "' in captured.out
    assert hub.requests == []


def test_without_a_checksum_the_name_of_the_source_counts(
    hub: FakeHub, mn01_file: Path, tmp_path: Path, capsys: Captured
) -> None:
    mine = tmp_path / "mine.pt"
    mine.write_bytes(mn01_file.read_bytes())
    convert(row("mn01_as"), mine).write(tmp_path / "x.safetensors")
    for arguments in ([], ["--upload"]):
        assert main(["publish", "mn01_as", "--weights", str(tmp_path / "x.safetensors"), *arguments]) == 1
        captured = capsys.readouterr()
        assert "was not converted from the published file of mn01_as (mn01_as_mAP_298.pt, no checksum " in captured.err
        assert "the file says mn01_as, mine.pt, " in captured.err
        assert captured.out == ""
    assert hub.requests == []


@pytest.mark.parametrize(
    ("change", "published"),
    [
        ({}, True),
        ({"configuration": "mn01_im"}, False),
        ({"source_file": None}, False),
        ({"source_file": 3}, False),
        ({"source_git_blob": None}, False),
        ({"source_sha256": None}, False),
        ({"converter": None}, False),
    ],
    ids=str,
)
def test_the_provenance_of_what_is_published(
    change: dict[str, object], published: bool, hub: FakeHub, mn01_file: Path, tmp_path: Path
) -> None:
    provenance = {k: v for k, v in (convert(row("mn01_as"), mn01_file).provenance | change).items() if v is not None}
    save_file(state("mn01_as"), tmp_path / "x.safetensors", {"hear_edgel3": json.dumps(provenance)})
    if published:
        assert publish(row("mn01_as"), tmp_path / "x.safetensors").revision is None
    else:
        with pytest.raises(WeightsMismatch, match="was not converted from the published file of mn01_as"):
            publish(row("mn01_as"), tmp_path / "x.safetensors")
    assert hub.requests == []


def test_with_checksums_all_that_are_known_count(
    hub: FakeHub, mn01_file: Path, smallest: bytes, tmp_path: Path
) -> None:
    convert(row("mn01_as"), mn01_file).write(tmp_path / "x.safetensors")
    right = hashlib.sha256(smallest).hexdigest()
    known = from_upstream(row("mn01_as"), smallest)
    both = dataclasses.replace(known, upstream=dataclasses.replace(known.upstream, sha256=right))
    for accepted in (known, both, with_upstream("mn01_as", sha256=right)):
        assert publish(accepted, tmp_path / "x.safetensors").size > 0
    wrong = dataclasses.replace(known, upstream=dataclasses.replace(known.upstream, sha256="0" * 64))
    for refused in (wrong, with_upstream("mn01_as", sha256="0" * 64), with_upstream("mn01_as", git_blob="0" * 40)):
        with pytest.raises(WeightsMismatch, match=re.escape(expected_checksum(refused))):
            publish(refused, tmp_path / "x.safetensors")
    assert hub.requests == []


def test_a_seeded_mn04_as_is_not_the_published_one(hub: FakeHub, mobilenetv3_downloads: Path, tmp_path: Path) -> None:
    convert(row("mn04_as"), mobilenetv3_downloads / row("mn04_as").upstream.filename).write(tmp_path / "x.safetensors")
    with pytest.raises(
        WeightsMismatch, match="git blob 1c675af80a401a1d54cbd01530b7411372f32601; the file says mn04_as"
    ):
        publish(row("mn04_as"), tmp_path / "x.safetensors")
    assert hub.requests == []


def test_publish_prints_the_name_of_the_checkpoint(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "mn01_as_mAP_298.pt").write_bytes(pt(state("mn01_as")))
    assert main(["mn01_as", "--source", str(tmp_path / "mn01_as_mAP_298.pt")]) == 0
    capsys.readouterr()
    assert main(["publish", "mn01_e1_l"]) == 0
    assert capsys.readouterr().out.startswith('"mn01_as": ')
