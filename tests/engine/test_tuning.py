"""Settings of the numba engine: kept, read, found."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from hear_edgel3.cli import main
from hear_edgel3.compiled import jit
from hear_edgel3.engine.kernels import settings, tuning
from hear_edgel3.engine.kernels.settings import Settings, settings_file
from hear_edgel3.errors import OutputError

OTHER = Settings((6, 4), (48, 24), 0.2, 0.31, (4, 3))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Where settings are kept; compiled kernels stay where they are."""
    monkeypatch.setattr(settings, "kernels_folder", lambda: tmp_path / "kernels")
    return tmp_path / "kernels"


@pytest.fixture
def small(monkeypatch) -> None:
    """A net that is measured within milliseconds, and few candidates."""
    monkeypatch.setattr(tuning, "_CHANNELS", (1, *[16] * 8))
    monkeypatch.setattr(tuning, "_COLUMNS", ((10, 6), (6,)))
    monkeypatch.setattr(tuning, "_KILOBYTES", (34, 80))
    monkeypatch.setattr(tuning, "_WINOGRAD", ((8, 3), (4, 3)))


def test_without_a_file_the_usual_ones_are_taken() -> None:
    assert Settings.here() == Settings.usual()


def test_what_is_kept_is_read(folder: Path) -> None:
    path = OTHER.keep()
    assert path == settings_file()
    assert [p.name for p in folder.iterdir()] == [path.name]
    assert Settings.here() == OTHER


def test_each_kind_of_machine_has_its_own(monkeypatch) -> None:
    OTHER.keep()
    monkeypatch.setattr(settings, "native_lanes", lambda: 2 * jit.native_lanes())
    assert Settings.here() == Settings.usual()


@pytest.mark.parametrize(
    "change",
    [
        {"columns": []},
        {"columns": [5]},
        {"columns": ["a"]},
        {"columns": 6},
        {"kilobytes": [80]},
        {"kilobytes": [0, 34]},
        {"winograd": [3, 3]},
        {"winograd": [8, 0]},
        {"dense": None},
        {"sparse": "much"},
    ],
)
def test_damaged_settings_are_ignored_with_a_warning(change: dict[str, object], caplog) -> None:
    path = OTHER.keep()
    content = json.loads(path.read_text())
    content["settings"].update(change)
    path.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        assert Settings.here() == Settings.usual()
    assert str(path) in caplog.text
    assert "hear-edgel3 tune" in caplog.text


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\\x00"])
def test_files_of_something_else(text: str, caplog) -> None:
    path = OTHER.keep()
    path.write_text(text)
    assert Settings.here() == Settings.usual()
    assert "damaged" in caplog.text


def test_settings_that_cannot_be_kept(folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(OutputError, match="kernels"):
        OTHER.keep()
    assert Settings.here() == Settings.usual()


def test_the_fastest_is_taken(small: None, monkeypatch) -> None:
    """With times that are known: narrow tiles, small blocks, few outputs, and direct layers up to a density of 0.3."""

    def times(nets, image, repeats):
        taken = {}
        for name, (folded, given) in nets.items():
            density = (folded.weights[1] != 0).mean()
            direct = density * (1 + 0.1 * max(given.columns)) * (1 + sum(given.kilobytes) / 100)
            dense = 0.3 * (1 + 0.1 * 6) * (1 + 68 / 100) * (1 + 0.01 * given.winograd[0])
            taken[name] = direct if density < given.dense else dense
        return taken

    monkeypatch.setattr(tuning, "_times", times)
    start = replace(Settings.usual(), columns=(10, 6), kilobytes=(80, 80), winograd=(8, 3))
    lines: list[str] = []
    found = tuning.tune(start, lines.append)
    assert found.settings.columns == (6,)
    assert found.settings.kilobytes == (34, 34)
    assert found.settings.winograd == (4, 3)
    assert found.settings.dense == pytest.approx(0.3 * 1.04, abs=0.02)
    assert all(found.after[kind] < found.before[kind] for kind in found.before)
    assert len(lines) == 5


def test_chance_is_not_taken_for_speed(small: None, monkeypatch) -> None:
    monkeypatch.setattr(tuning, "_times", lambda nets, image, repeats: dict.fromkeys(nets, 1.0))
    start = Settings.usual()
    found = tuning.tune(start, lambda line: None)
    assert found.settings == start
    assert found.before == found.after


def test_the_command(small: None, folder: Path, capsys, monkeypatch) -> None:
    assert main(["tune", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out.count("ms per window") == 3
    assert "density from which layers are dense" in err
    assert not folder.exists()
    monkeypatch.setattr(tuning, "tune", lambda start, say: tuning.Tuned(OTHER, {"all": 2.0}, {"all": 1.0}))
    assert main(["tune"]) == 0
    out, err = capsys.readouterr()
    assert out == "all: 2.00 -> 1.00 ms per window, 2.00 times as fast\n"
    assert Settings.here() == OTHER
    assert main(["tune", "--reset"]) == 0
    assert Settings.here() == Settings.usual()
    assert main(["tune", "--reset"]) == 0
