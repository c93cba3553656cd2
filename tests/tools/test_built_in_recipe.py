"""The recipe that puts a distilled net into the package."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from hear_edgel3.distillation.run import NO_LICENCE
from hear_edgel3.errors import ConfigurationError, WeightsCorrupt
from hear_edgel3.registry.folder import read_folder
from support.paths import PACKAGE
from support.types import Captured
from tests.recipes import built_in
from tests.recipes.built_in import LARGEST, install, with_section, without_folders

TINY = PACKAGE / "checkpoints" / "tiny"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder as `distill` leaves it, with what it goes on from."""
    folder = shutil.copytree(TINY, tmp_path / "made")
    (folder / "training.pt").write_bytes(b"much")
    (folder / "tensorboard").mkdir()
    return folder


def change(folder: Path, **values: Any) -> None:
    path = folder / "configuration.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_is_taken(made: Path, tmp_path: Path) -> None:
    """Neither what is only for going on, nor what was there before, nor folders of the machine it was made on."""
    command = "hear-edgel3 distill --teacher mn04_as --audio /home/me/all 'two words' --output tiny"
    card = (made / "README.md").read_text()
    old = read_folder(made).made
    assert old["command"] in card
    change(made, made={**old, "command": command})
    (made / "README.md").write_text(card.replace(str(old["command"]), command))
    place = tmp_path / "package" / "tiny"
    place.mkdir(parents=True)
    (place / "old.bin").touch()
    install(made, place, "## What it is good and bad at\n\nAt this.\n")
    names = "README.md configuration.json curves.png metrics.csv model.safetensors"
    assert sorted(path.name for path in place.iterdir()) == names.split()
    row = read_folder(place)
    short = "hear-edgel3 distill --teacher mn04_as --audio all 'two words' --output tiny"
    assert row.made["command"] == short
    text = (place / "README.md").read_text()
    assert "/home/me" not in text
    assert f"    {short}\n" in text
    assert text.index("## How near it comes") < text.index("\n\n## What it is good and bad at\n\nAt this.\n\n## ")
    assert row.weights_sha256 == read_folder(TINY).weights_sha256
    install(made, place)  # again, over it
    assert "At this." not in (place / "README.md").read_text()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "mine"}, "has a net called mine; distill it with --name tiny"),
        ({"licence": NO_LICENCE}, "states no licence"),
        (
            {"embedding_version": 1},
            r"has embedding_version 1, and the net that is there 2: distill it with --embedding-",
        ),
    ],
)
def test_what_cannot_be_the_built_in_net(values: dict[str, Any], message: str, made: Path, tmp_path: Path) -> None:
    place = shutil.copytree(TINY, tmp_path / "package")
    change(place, embedding_version=2)
    change(made, **{"embedding_version": 2, **values})
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with pytest.raises(ConfigurationError, match=message):
        install(made, place)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


def test_weights_that_are_too_large_or_damaged(made: Path, tmp_path: Path) -> None:
    with (made / "model.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(WeightsCorrupt):
        install(made, tmp_path / "package")
    with (made / "model.safetensors").open("ab") as file:
        file.write(b"x" * LARGEST)
    with pytest.raises(ConfigurationError, match=f"more than {LARGEST}; distill it with fewer --parameters"):
        install(made, tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_the_command(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    section = tmp_path / "section.md"
    section.write_text("## What it is good and bad at\n\nÜ\n", encoding="utf-8")
    place = tmp_path / "package"
    monkeypatch.setattr(sys, "argv", ["built_in", str(made), "--section", str(section), "--to", str(place)])
    built_in.main()
    assert capsys.readouterr().out == f"{place}\n"
    assert "Ü" in (place / "README.md").read_text(encoding="utf-8")


def test_cards_without_what_follows() -> None:
    assert with_section("# a\n", "## b\n") == "# a\n\n## b\n"
    assert with_section("# a\n\n## Audio\n\nc\n", "## b\n") == "# a\n\n## b\n\n## Audio\n\nc\n"
    assert without_folders("a --b /c/d e/f") == "a --b d e/f"


def test_the_one_in_the_package() -> None:
    """It is small enough, and its card names no folder of the machine that it was made on."""
    row = read_folder(TINY)
    assert row.weights_path.stat().st_size <= LARGEST
    assert row.made["command"] == without_folders(str(row.made["command"]))
