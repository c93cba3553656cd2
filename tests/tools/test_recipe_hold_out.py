"""Packages that nets are validated with, and sounds in OpenTTD's containers."""

from __future__ import annotations

import io
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hear_edgel3.distillation.result import card

pytest.importorskip("debian", reason="recipes need python-debian: install the extra recipes")
pytest.importorskip("mido", reason="recipes need mido: install the extra recipes")
pytest.importorskip("scipy", reason="recipes need scipy: install the extra recipes")

from recipes import containers, debian, renders, tiny_audio
from recipes.debian import Package, RecipeError


def wav(seed: int, n: int = 800) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.random.default_rng(seed).uniform(-0.5, 0.5, n), 8000, format="WAV")
    return stream.getvalue()


def cat(sounds: list[tuple[str, bytes]]) -> bytes:
    """A container of named sounds, as OpenSFX has them."""
    place, entries, body = 8 * len(sounds), b"", b""
    for name, content in sounds:
        entries += struct.pack("<II", (place + len(body)) | 0x80000000, len(content))
        text = name.encode() + b"\0"
        body += bytes([len(text)]) + text + content
    return entries + body


def names(path: Path) -> dict[str, bytes]:
    return {str(member.name): member.read() for member in containers.members(path)}


def test_openttd(tmp_path: Path) -> None:
    path = tmp_path / "opensfx.cat"
    path.write_bytes(cat([('"Good Year". By Somebody.', wav(0)), ("Corrupt sound", b"nothing"), ("../x", wav(1))]))
    assert names(path) == {"000.wav": wav(0), "002.wav": wav(1)}


@pytest.mark.parametrize("cut", [4, 20, -1])
def test_a_damaged_one(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "opensfx.cat"
    path.write_bytes(cat([("a", wav(0)), ("b", wav(1))])[:cut])
    with pytest.raises(RecipeError, match="is damaged"):
        names(path)


def package(name: str, role: str) -> Package:
    return Package(name, "1.0", f"pool/main/{name}.deb", 1, "0" * 64, role, ("CC0-1.0",))  # type: ignore[arg-type]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package to learn from and one to validate with, one sound of which both have, unpacked in a cache."""
    rows = {name: package(name, role) for name, role in (("games", "train"), ("birds", "hold_out"))}
    for module in (debian, tiny_audio):
        monkeypatch.setattr(module, "table", lambda: rows)
    for name, sounds in {"games": {"a.wav": 0, "same.wav": 1}, "birds": {"b.wav": 2, "copied.wav": 1}}.items():
        folder = tmp_path / "cache" / rows[name].folder
        (folder / "share").mkdir(parents=True)
        for file, seed in sounds.items():
            (folder / "share" / file).write_bytes(wav(seed))
        (folder / "share" / "song.mid").write_bytes(b"MThd")
    return tmp_path


def test_what_is_held_out_is_gathered_and_learnt_from_by_no_one(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = folders / "out"
    monkeypatch.setattr(renders, "program", lambda name: name)
    monkeypatch.setattr(renders, "version", lambda name: name)
    monkeypatch.setattr(tiny_audio, "SOUND_FONTS", {})
    for name in ("render_noises", "render_speech", "render_instruments"):
        monkeypatch.setattr(tiny_audio, name, lambda *arguments: None)
    monkeypatch.setattr(sys, "argv", ["tiny_audio", str(output), "--cache", str(folders / "cache")])
    for _ in range(2):  # what is there is taken as it is
        tiny_audio.main()
        said = capsys.readouterr().err
        assert said.splitlines()[-1] == "validate with: --hold-out-sources birds"
        assert {path.name for path in (output / "birds").rglob("*.wav")} == {"b.wav", "copied.wav"}
        assert {path.name for path in (output / "games").rglob("*.wav")} == {"a.wav"}
        assert [path.parent.name for path in (output / "midi").rglob("*.mid")] == ["games"]
    sources = json.loads((output / "SOURCES.json").read_text())["sources"]
    assert {row["name"]: (row["role"], row["files"]) for row in sources if "role" in row} == {
        "birds": ("hold_out", 2),
        "games": ("train", 1),
    }


def test_the_card_marks_them() -> None:
    made = {"scores": {}, "version": "1", "teacher": "t", "teacher_sha256": "", "hours": 1.0, "files": 2, "epochs": 1}
    made |= {"validation_files_percent": 10, "best_epoch": 1, "seconds": 1.0, "device": "cpu", "processes": 1}
    made |= {"torch": "2", "recipe": {"seed": 0, "embedding": "teacher"}}
    made |= {"held_out_sources": ["birds"], "sources": 2}
    sources = [
        {"name": "birds", "version": "1.0", "hours": 0.5, "files": 3, "licences": ["CC0-1.0"]},
        {"name": "games"},
    ]
    text = card({"name": "n", "summary": "s", "licence": "l", "made": made}, sources, False)
    assert "| birds (held out) | 1.0 | 0.5 | 3 | CC0-1.0 |" in text
    assert "| games |  |" in text
    assert "and 1 of 2 sources as wholes (birds)" in text


def test_the_table_has_some() -> None:
    held_out = {row.name for row in tiny_audio.held_out_packages()}
    assert len(held_out) == 8
    assert tiny_audio.__doc__ is not None
    assert all(name in tiny_audio.__doc__ for name in held_out)
    assert not held_out & {row.name for row in tiny_audio.training_packages()}
    assert held_out.isdisjoint(tiny_audio.SOUND_FONTS)
