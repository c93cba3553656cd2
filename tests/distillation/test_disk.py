"""What lies on disk: outputs that cannot be, damaged states and answers, and full disks."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from hear_edgel3.cli import main
from hear_edgel3.distillation import examples, training
from hear_edgel3.errors import OutputError
from support.distilling import (
    L3,
    Distill,
    full_disk,
    interrupting,
    leftovers,
    shards,
    table,
    without_times,
    write_seconds,
)
from support.types import Captured


def test_outputs_that_cannot_be(distill: Distill, audio: Path, tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for output in (file, file / "inside"):
        with pytest.raises(OutputError, match=f"cannot make the output folder {output}"):
            distill(output, **L3)
    arguments = ["distill", "--teacher", "sea_64", "--audio", str(audio), "--output", str(file)]
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"hear-edgel3: --output {file} is a file; give a folder\n")
    assert file.read_text() == "mine"
    (tmp_path / "taken" / "configuration.json").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"configuration\.json: it is a folder"):
        distill(tmp_path / "taken", **L3)


@pytest.mark.parametrize("name", ["README.md", "model.safetensors", "curves.png", "metrics.csv"])
def test_a_folder_with_files_of_somebodys_own_is_left_alone(name: str, distill: Distill, tmp_path: Path) -> None:
    """Those that the result would take the places of; others stay beside it."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=rf"holds other things \({re.escape(name)}, for example\)"):
        distill(tmp_path, **L3)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_beginning_again_without_the_state(distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the error about another distillation says: what is left of its table is no file of somebody's own."""
    with monkeypatch.context() as patched:
        patched.setattr(training, "_epoch", interrupting(training._epoch, 1))
        with pytest.raises(KeyboardInterrupt):
            distill(tmp_path, **L3)
    (tmp_path / "training.pt").unlink()
    assert (tmp_path / "metrics.csv").is_file()
    assert (distill(tmp_path, **L3) / "configuration.json").is_file()


def test_an_output_of_another_distillation(
    distill: Distill, audio: Path, straight_l3: Path, weights_folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    """Nothing in it is touched."""
    output = shutil.copytree(straight_l3, tmp_path / "out")
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    message = r"training\.pt belongs to another distillation.*use another --output, or delete it to start again"
    others: tuple[dict[str, Any], ...] = (
        {"lr": 0.002},
        {"fix_norm": 0.4},
        {"epochs": 5},
        {"width_mult": 0.1},
        {"audio": [path for path in sorted(audio.rglob("*.wav")) if path.name != "7.wav"], "clips_per_file": 9},
    )
    for options in others:
        if "audio" in options:
            options["audio"] = [*options["audio"], write_seconds(tmp_path / "8.wav", 12)]
        with pytest.raises(OutputError, match=message):
            distill(output, **{**L3, **options})
        assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    arguments = ["distill", "--teacher", "sea_64", "--teacher-weights", str(weights_folder), "--audio", str(audio)]
    arguments += "--device cpu --quiet --width 0.05 --student l3 --clips-per-file 8 --views 1 --seed 5".split()
    assert main([*arguments, "--output", str(output), "--cache", str(tmp_path / "cache")]) == 1
    assert "belongs to another distillation" in capsys.readouterr().err


def read_by(distill: Distill, cache: Path, output: Path) -> list[Path]:
    """The shards that `straight` is made of."""
    found: list[Path] = []
    opened = examples.Examples.__init__

    def watched(self: Any, shards: list[Path]) -> None:
        found.extend(shards)
        opened(self, shards)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(examples.Examples, "__init__", watched)
        patched.setattr(training, "_epoch", interrupting(training._epoch, 0))
        with pytest.raises(KeyboardInterrupt):
            distill(output, cache=cache, **L3)
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "code", "keys", "values"])
def test_a_damaged_state(damage: str, distill: Distill, straight_l3: Path, tmp_path: Path) -> None:
    output = shutil.copytree(straight_l3, tmp_path / "out")
    path = output / "training.pt"
    data = path.read_bytes()
    state = torch.load(path, weights_only=True)
    if damage == "code":  # a pickle that would run something is not run
        torch.save({"identity": Path("x")}, path)
    elif damage == "keys":
        torch.save({key: value for key, value in state.items() if key != "progress"}, path)
    elif damage == "values":
        torch.save({**state, "progress": {"what": 1}}, path)
    else:
        path.write_bytes({"empty": b"", "cut": data[: len(data) // 2], "noise": b"nothing of the kind"}[damage])
    with pytest.raises(OutputError, match=r"training\.pt is damaged \(.+\); delete it to start again") as caught:
        distill(output, **L3)
    assert len(str(caught.value).splitlines()) == 1
    if damage == "cut":
        path.unlink()
        distill(output, **L3)
        assert without_times(output) == without_times(straight_l3)


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "other", "folder"])
def test_a_damaged_shard(
    damage: str, distill: Distill, straight_l3: Path, cache: Path, tmp_path: Path, capsys: Captured
) -> None:
    """It is named and made again; the student is the same."""
    own = shutil.copytree(cache, tmp_path / "cache")
    used = read_by(distill, own, tmp_path / "one")
    path = next(path for path in used if path.parent.name == "validation")
    data = path.read_bytes()
    if damage == "other":
        from safetensors.torch import save_file

        save_file({"something": torch.zeros(1)}, path)
    elif damage == "folder":
        path.unlink()
        path.mkdir()
        with pytest.raises(OutputError, match="it is a folder"):
            distill(tmp_path / "out", cache=own, **L3)
        return
    else:
        path.write_bytes({"empty": b"", "cut": data[:-5], "noise": b"nothing of the kind"}[damage])
    capsys.readouterr()
    distill(tmp_path / "out", cache=own, **L3)
    if damage != "other":
        assert f"damaged, made again: {path}" in capsys.readouterr().err
    assert path.read_bytes() == data
    assert without_times(tmp_path / "out") == without_times(straight_l3)


@pytest.mark.parametrize(
    ("calls", "file"),
    [
        (0, "metrics.csv"),
        (1, "training.pt"),
        (4, "training.pt"),
        (12, "model.safetensors"),
        (13, "README.md"),
        (14, "configuration.json"),
    ],
)
def test_a_full_disk(
    calls: int, file: str, distill: Distill, straight_l3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there before stays, nothing is there in part, and it goes on from there."""
    output = tmp_path / "out"
    with monkeypatch.context() as patched:
        full_disk(patched, calls)
        with pytest.raises(OutputError, match=f"cannot write {output / file}: No space left on device"):
            distill(output, **L3)
    assert leftovers(output) == []
    assert not (output / file).exists() or calls == 4
    assert not {"model.safetensors", "README.md", "configuration.json"} & {path.name for path in output.iterdir()}
    assert (output / "metrics.csv").exists() == (calls > 1)
    if calls > 1:
        done = torch.load(output / "training.pt", weights_only=True)["progress"]["epoch"]
        assert done == min(4, calls // 3)
        assert len(table(output)) == done
    distill(output, **L3)
    assert without_times(output) == without_times(straight_l3)
    assert (output / "README.md").read_text().startswith("# custom\n")


@pytest.mark.parametrize("calls", [1, 2])
def test_a_full_disk_over_an_earlier_net(
    calls: int, distill: Distill, straight_l3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which stays as a whole."""
    output = shutil.copytree(straight_l3, tmp_path / "out")
    files = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched:
        full_disk(patched, calls)
        with pytest.raises(OutputError, match="No space left on device"):
            distill(output, **L3, licence="of the new one")
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == files
    distill(output, **L3, licence="of the new one")
    assert all("of the new one" in (output / name).read_text() for name in ("README.md", "configuration.json"))


def test_a_full_disk_for_the_teachers_answers(
    distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, options = tmp_path / "out", {"student": "l3", "cache": None, "views": 1, "epochs": 1}
    with monkeypatch.context() as patched:
        full_disk(patched, 1)
        with pytest.raises(OutputError, match=r"train/000000\.safetensors: No space left on device"):
            distill(output, "sea_64", **options)
    kept = shards(output)
    assert [path.parent.name for path in kept] == ["validation"]
    assert leftovers(output) == []
    distill(output, "sea_64", **options)
    assert len(shards(output)) == 2
    assert shards(output).items() >= kept.items()


def test_a_full_disk_for_the_curves(distill: Distill, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard's files are not written by us; its errors are."""
    import torch.utils.tensorboard

    def full(self: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch.utils.tensorboard.SummaryWriter, "flush", full)
    with pytest.raises(OutputError, match=r"cannot write into .*tensorboard: No space left on device"):
        distill(tmp_path / "out", "sea_64", student="l3", views=1, epochs=1)


def test_a_full_disk_on_the_command_line(
    audio: Path, weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    full_disk(monkeypatch, 0)
    arguments = ["distill", "--teacher", "sea_64", "--teacher-weights", str(weights_folder), "--audio", str(audio)]
    arguments += "--student l3 --views 1 --width 0.05 --clips-per-file 8 --quiet --device cpu".split()
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"hear-edgel3: cannot write .*000000\.safetensors: No space left on device\n", err)
