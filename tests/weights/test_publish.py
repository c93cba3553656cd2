"""Publishing: what would be uploaded, and that it really is, against a Hub on loopback."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pytest
from safetensors.torch import save_file

import hear_edgel3
from hear_edgel3.errors import DownloadError, WeightsCorrupt, WeightsMismatch, WeightsNotFound
from hear_edgel3.families.schema import Checkpoint, HubFile
from hear_edgel3.weights.convert import convert
from support import synthetic
from support.l3_files import SEA
from support.loopback import FakeHub, from_upstream, put_in_table
from weights_convert.__main__ import main
from weights_convert.publish import publish

REPO = SEA.hub.repo_id


@pytest.fixture
def row(sea_file: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """sea_64 as if the seeded file were the one its authors published."""
    return put_in_table(monkeypatch, from_upstream(SEA, sea_file.read_bytes()))


@pytest.fixture
def converted(row: Checkpoint, sea_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "converted" / row.filename
    path.parent.mkdir()
    convert(row, sea_file).write(path)
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("arguments", "words"), [([], "NAME"), (["sea_64", "sea_128", "--repo-id", "x"], "--repo-id")])
def test_options_that_do_not_go(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["publish", *arguments])
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("usage: python -m weights_convert publish ")
    assert words in said[-1]


# --- a dry run ---


def test_a_dry_run_shows_everything_and_asks_nobody(
    patient_hub: FakeHub, converted: Path, capsys: pytest.CaptureFixture[str], row: Checkpoint
) -> None:
    assert main(["publish", "sea_64", "--weights", str(converted)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f'"sea_64": ("REVISION", "{sha256(converted)}", {converted.stat().st_size}),\n'
    card = publish(row, converted).card
    assert card in captured.err
    assert f"dry run: would put model.safetensors ({converted.stat().st_size} bytes)" in captured.err
    assert f"into {REPO}" in captured.err
    assert patient_hub.requests == patient_hub.chatter == []


def test_a_dry_run_finds_the_files_where_load_looks(
    patient_hub: FakeHub, converted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["publish", "sea_64", "--weights", str(converted.parent)]) == 0
    first = capsys.readouterr().out
    monkeypatch.setenv("HEAR_EDGEL3_WEIGHTS", str(converted.parent))
    assert main(["publish", "sea_64"]) == 0
    assert capsys.readouterr().out == first
    assert sha256(converted) in first
    assert patient_hub.requests == []


def test_the_card(row: Checkpoint, converted: Path, sea_file: Path) -> None:
    done = publish(row, converted)
    card = done.card
    _, front, text = card.split("---\n", 2)
    assert front.splitlines() == [
        "library_name: hear_edgel3",
        "pipeline_tag: feature-extraction",
        "license: mit",
        "tags:",
        "- audio",
        "- audio-embeddings",
        "- hear-benchmark",
        "- l3",
    ]
    assert text.startswith("\n# sea_64\n")
    cells = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.MULTILINE))
    n_parameters = sum(value.numel() for value in synthetic.state("sea_64").values())
    assert cells["embedding size"] == "64"
    assert cells["parameters"] == f"{n_parameters:,}"
    assert cells["sample rate to feed"] == "16000 Hz"
    assert cells["sample rate of the net"] == "8000 Hz"
    assert cells["window"] == "1000 ms, centred on its timestamp"
    assert cells["default hop"] == "50 ms"
    assert cells["upstream file"] == row.upstream.url
    assert cells["its git blob id"] == f"`{row.upstream.git_blob}`"
    assert cells["its sha256"] == f"`{sha256(sea_file)}`"
    assert cells["converter"] == f"hear_edgel3 {hear_edgel3.__version__}"
    assert cells["sha256 of `model.safetensors`"] == f"`{sha256(converted)}`"
    assert "Licence of the weights: mit, (c) 2019 Sangeeta Kumari" in text
    assert row.citation in text
    assert "{" not in text.replace("```", "")
    example = re.search(r"```python\n(.+?)```", text, re.DOTALL)
    assert example is not None
    ast.parse(example[1])
    assert 'hear_edgel3.load("sea_64")' in example[1]


# --- an upload ---


def test_an_upload_sends_the_files_and_gives_the_line_to_paste(
    patient_hub: FakeHub,
    converted: Path,
    row: Checkpoint,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["publish", "sea_64", "--weights", str(converted), "--upload"]) == 0
    captured = capsys.readouterr()
    name, (revision, digest, size) = next(iter(ast.literal_eval("{" + captured.out + "}").items()))
    assert name == "sea_64"
    assert re.fullmatch("[0-9a-f]{40}", revision)
    assert patient_hub.created == [REPO]
    assert patient_hub.commits == [(REPO, "main", "Weights of sea_64")]
    assert patient_hub.files == {
        (REPO, revision): {
            "model.safetensors": converted.read_bytes(),
            "README.md": publish(row, converted).card.encode(),
        }
    }
    assert (digest, size) == (sha256(converted), converted.stat().st_size)
    # and the line, once pasted, makes load() find what was uploaded
    converted.unlink()
    patient_hub.requests.clear()
    put_in_table(monkeypatch, dataclasses.replace(row, hub=HubFile(REPO, row.hub.filename, revision, digest, size)))
    assert hear_edgel3.load("sea_64").weights.sha256 == digest
    assert [method for method, _ in patient_hub.requests] == ["HEAD", "GET"]


def test_a_repository_that_exists_is_updated(patient_hub: FakeHub, converted: Path, row: Checkpoint) -> None:
    first = publish(row, converted, upload=True)
    changed = dataclasses.replace(row, summary="A new summary")
    second = publish(changed, converted, upload=True)
    assert patient_hub.created == [REPO]
    assert first.revision != second.revision
    assert b"A new summary" in patient_hub.files[REPO, str(second.revision)]["README.md"]
    assert b"A new summary" not in patient_hub.files[REPO, str(first.revision)]["README.md"]


def test_another_repository(patient_hub: FakeHub, converted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["publish", "sea_64", "--weights", str(converted), "--upload", "--repo-id", "someone/else"]
    assert main(arguments) == 0
    assert patient_hub.created == ["someone/else"]
    with pytest.raises(SystemExit):
        main(["publish", "sea_64", "sea_128", "--repo-id", "someone/else"])
    assert "--repo-id takes one checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["forbidden", "no token", 401, 500])
def test_a_hub_that_refuses(
    fault: str | int, patient_hub: FakeHub, converted: Path, row: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    patient_hub.fault = fault
    with pytest.raises(DownloadError, match=f"(?s)the Hub refused the upload to {REPO}: .*--repo-id"):
        publish(row, converted, upload=True)
    assert main(["publish", "sea_64", "--weights", str(converted), "--upload"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hf auth login" in captured.err
    patient_hub.created.append(REPO)  # now it is there, and belongs to someone else
    with pytest.raises(DownloadError, match="the Hub refused the upload"):
        publish(row, converted, upload=True)
    assert patient_hub.files == {}
    assert patient_hub.commits == []


def test_a_hub_that_is_dead_or_a_name_that_is_none(patient_hub: FakeHub, converted: Path, row: Checkpoint) -> None:
    with pytest.raises(DownloadError, match="nothing was uploaded to not/a/name"):
        publish(row, converted, "not/a/name", upload=True)
    assert patient_hub.requests == []
    patient_hub.close()
    with pytest.raises(DownloadError, match=f"nothing was uploaded to {REPO}: "):
        publish(row, converted, upload=True)


# --- what is not published ---


def refused(row: Checkpoint, path: Path, patient_hub: FakeHub, error: type[Exception], words: str) -> None:
    for upload in (False, True):
        with pytest.raises(error, match=words):
            publish(row, path, upload=upload)
    assert patient_hub.requests == []


def test_only_conversions_of_the_published_file(
    patient_hub: FakeHub, converted: Path, sea_file: Path, tmp_path: Path
) -> None:
    """The seeded file is not the one in the real table."""
    found = hashlib.sha1(b"blob %d\0" % sea_file.stat().st_size + sea_file.read_bytes()).hexdigest()
    words = f"git blob {SEA.upstream.git_blob}; the file says sea_64, {SEA.upstream.filename}, {found}"
    refused(SEA, converted, patient_hub, WeightsMismatch, words)


@pytest.mark.parametrize("change", ["configuration", "source_git_blob", "source_sha256", "converter"])
@pytest.mark.parametrize("value", ["something else", None, 3])
def test_a_file_with_other_provenance(
    change: str, value: object, patient_hub: FakeHub, row: Checkpoint, sea_file: Path, tmp_path: Path
) -> None:
    provenance = convert(row, sea_file).provenance | {change: value}
    if value is None:
        del provenance[change]
    path = tmp_path / "x.safetensors"
    save_file(synthetic.state("sea_64"), path, {"hear_edgel3": json.dumps(provenance)})
    if value == "something else" and change in ("source_sha256", "converter"):
        assert publish(row, path).sha256 == sha256(path)  # stated on the card, compared with nothing
    else:
        refused(row, path, patient_hub, WeightsMismatch, "was not converted from the published file of sea_64")


@pytest.mark.parametrize("metadata", [None, {"hear_edgel3": "no json"}, {"hear_edgel3": "[]"}, {"other": "x"}])
def test_a_file_without_provenance(metadata, patient_hub: FakeHub, row: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(synthetic.state("sea_64"), path, metadata)
    refused(row, path, patient_hub, WeightsMismatch, "was not converted from the published file of sea_64")


def test_files_that_are_missing_damaged_or_of_another_net(
    patient_hub: FakeHub, row: Checkpoint, converted: Path, tmp_path: Path, weights_folder: Path
) -> None:
    refused(row, tmp_path / "nowhere.safetensors", patient_hub, WeightsNotFound, "does not exist")
    refused(row, weights_folder / "sea_128.safetensors", patient_hub, WeightsMismatch, "does not fit sea_64")
    (tmp_path / "cut.safetensors").write_bytes(converted.read_bytes()[:-50])
    refused(row, tmp_path / "cut.safetensors", patient_hub, WeightsCorrupt, "not a sound safetensors file")
    assert main(["publish", "sea_64", "--weights", str(tmp_path / "nowhere.safetensors"), "--upload"]) == 1
    assert patient_hub.requests == []


def test_the_original_file_is_refused_with_the_command_that_converts_it(
    patient_hub: FakeHub, sea_file: Path, capsys
) -> None:
    assert main(["publish", "sea_64", "--weights", str(sea_file), "--upload"]) == 1
    assert f"python -m weights_convert sea_64 --source {sea_file}" in capsys.readouterr().err
    assert patient_hub.requests == []


def test_the_published_sea_64(shared: Path, patient_hub: FakeHub, tmp_path: Path) -> None:
    convert(SEA, shared / "checkpoints" / SEA.upstream.filename).write(tmp_path / "x.safetensors")
    done = publish(SEA, tmp_path / "x.safetensors", upload=True)
    assert patient_hub.files[REPO, str(done.revision)]["model.safetensors"] == (tmp_path / "x.safetensors").read_bytes()
