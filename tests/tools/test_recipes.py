"""Recipes: fetching Debian packages, reading what is in them, and what is rendered. No network but loopback."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.loopback import FileServer

pytest.importorskip("debian", reason="recipes need python-debian: install the extra recipes")
pytest.importorskip("mido", reason="recipes need mido: install the extra recipes")
pytest.importorskip("scipy", reason="recipes need scipy: install the extra recipes")

from recipes import containers, debian, noises, renders, tiny_audio
from recipes.debian import Package, RecipeError

POOL = "pool/main/t/tiny/tiny_1.0-1_all.deb"


def tar(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    """A tar.xz of files by content, and of other things as they are."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def deb(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    """A Debian package: an ar archive of three files."""
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": tar({"./control": b"Package: tiny\nVersion: 1:1.0-1\nArchitecture: all\n"}),
        "data.tar.xz": tar(members),
    }
    result = b"!<arch>\n"
    for name, content in parts.items():
        result += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        result += content + b"\n" * (len(content) % 2)
    return result


def wav(n: int = 800, rate: int = 8000) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.sin(np.arange(n)), rate, format="WAV")
    return stream.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    server = FileServer()
    monkeypatch.setattr(debian, "MIRRORS", (f"{server.url}/today", f"{server.url}/snapshot"))
    yield server
    server.close()


def put(
    monkeypatch: pytest.MonkeyPatch, server: FileServer, data: bytes, role: str = "train", mirror: str = "today"
) -> Package:
    """A package `tiny` in the table, on a mirror."""
    sha256 = hashlib.sha256(data).hexdigest()
    row = Package("tiny", "1:1.0-1", POOL, len(data), sha256, role, ("CC0-1.0",))  # type: ignore[arg-type]
    monkeypatch.setattr(debian, "table", lambda: {"tiny": row})
    monkeypatch.setattr(tiny_audio, "table", lambda: {"tiny": row})
    server.files[f"{mirror}/{POOL}"] = data
    return row


class TestFetcher:
    def test_downloads_and_unpacks_once(
        self, monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        put(monkeypatch, server, deb({"./usr/a.wav": wav()}))
        cache = tmp_path / "new" / "cache"
        folder = debian.unpacked("tiny", cache)
        assert folder == cache / "tiny-1%3a1.0-1"
        assert (folder / "usr" / "a.wav").read_bytes() == wav()
        assert debian.unpacked("tiny", cache) == folder
        assert len(server.requests) == 1
        assert sorted(p.name for p in cache.iterdir()) == [folder.name, "tiny_1%3a1.0-1_all.deb"]
        assert "downloading" in capsys.readouterr().err

    def test_takes_what_apt_get_downloaded(
        self, monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path
    ) -> None:
        row = put(monkeypatch, server, deb({"./a": b"1"}))
        (tmp_path / "tiny_1%3a1.0-1_all.deb").write_bytes(server.files[f"today/{row.path}"])
        assert (debian.unpacked("tiny", tmp_path) / "a").read_bytes() == b"1"
        assert not server.requests

    def test_falls_back_to_the_snapshot(
        self, monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path
    ) -> None:
        put(monkeypatch, server, deb({"./a": b"1"}), mirror="snapshot")
        assert (debian.unpacked("tiny", tmp_path) / "a").is_file()
        assert [path for _, path in server.requests] == [f"/today/{POOL}", f"/snapshot/{POOL}"]

    @pytest.mark.parametrize("change", ["other bytes", "longer", "shorter", "truncated", "404", "refused"])
    def test_leaves_nothing_that_is_not_the_package(
        self, monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path, change: str
    ) -> None:
        data = deb({"./a": b"1"})
        put(monkeypatch, server, data)
        changed = {"other bytes": data[:-1] + b"?", "longer": data + b"?", "shorter": data[:-1]}.get(change)
        server.files = {} if change == "404" else {f"today/{POOL}": changed or data}
        if change == "truncated":
            server.fault = "truncated"
        if change == "refused":
            server.close()
        said = {"other bytes": "SHA-256", "longer": "more bytes", "refused": "cannot be reached", "404": "404"}
        with pytest.raises(
            RecipeError, match=rf"(?s)tiny 1:1.0-1 cannot be downloaded.*{said.get(change, 'bytes|reached')}"
        ):
            debian.unpacked("tiny", tmp_path)
        assert not list(tmp_path.iterdir())

    def test_wrong_file_in_the_cache(self, monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path) -> None:
        put(monkeypatch, server, deb({"./a": b"1"}))
        (tmp_path / "tiny_1%3a1.0-1_all.deb").write_bytes(b"cut short")
        with pytest.raises(RecipeError, match="delete it and try again"):
            debian.unpacked("tiny", tmp_path)

    def test_unknown_package(self, tmp_path: Path) -> None:
        with pytest.raises(RecipeError, match=r"no-such is not in debian_packages\.json"):
            debian.unpacked("no-such", tmp_path)

    def test_not_a_package(self, monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path) -> None:
        put(monkeypatch, server, b"not an ar archive")
        with pytest.raises(RecipeError, match="cannot be unpacked"):
            debian.unpacked("tiny", tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ["tiny_1%3a1.0-1_all.deb"]

    def test_cache_that_cannot_be(self, monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path) -> None:
        put(monkeypatch, server, deb({}))
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(RecipeError, match="cannot make the folder"):
            debian.unpacked("tiny", tmp_path / "file")

    @pytest.mark.parametrize(
        "member",
        [
            {"../outside": b"1"},
            {"a/../../outside": b"1"},
            {"link": link("link", "../outside", tarfile.LNKTYPE)},
            {"device": link("device", "", tarfile.CHRTYPE)},
        ],
    )
    def test_nothing_leads_out(
        self,
        monkeypatch: pytest.MonkeyPatch,
        server: FileServer,
        tmp_path: Path,
        member: dict[str, bytes | tarfile.TarInfo],
    ) -> None:
        put(monkeypatch, server, deb({"./a": b"1", **member}))
        with pytest.raises(RecipeError, match="cannot be unpacked"):
            debian.unpacked("tiny", tmp_path / "cache")
        assert [p.name for p in tmp_path.iterdir()] == ["cache"]
        assert [p.name for p in (tmp_path / "cache").iterdir()] == ["tiny_1%3a1.0-1_all.deb"]

    def test_links_that_lead_out_are_left_out(
        self, monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path
    ) -> None:
        links = {name: link(name, to) for name, to in {"etc": "/etc/tiny", "up": "../../x", "in": "a"}.items()}
        put(monkeypatch, server, deb({"a": b"1", **links}))
        assert sorted(p.name for p in debian.unpacked("tiny", tmp_path).iterdir()) == ["a", "in"]


class TestTable:
    def test_rows_are_whole(self) -> None:
        for row in debian.table().values():
            assert len(row.sha256) == 64, row.name
            assert row.path.startswith("pool/main/"), row.name
            assert row.size > 0, row.name
            assert row.licences, row.name
            assert row.role in ("train", "hold_out", "evaluate"), row.name

    def test_nothing_for_evaluation_is_trained_with(self, tmp_path: Path) -> None:
        training = {row.name for row in (*tiny_audio.training_packages(), *tiny_audio.held_out_packages())}
        evaluation = {"hydrogen-drumkits", "klettres-data", "musescore-general-soundfont-small"}
        assert evaluation == debian.table().keys() - training
        for package in evaluation:
            with pytest.raises(RecipeError, match="kept for evaluation"):
                tiny_audio.training_folder(package, tmp_path)

    def test_nothing_excluded_is_there(self) -> None:
        table = json.loads(Path(debian.__file__).with_name("debian_packages.json").read_text(encoding="utf-8"))
        assert not table["excluded"].keys() & table["packages"].keys()
        assert {"fluid-soundfont-gm", "fluid-soundfont-gs", "fluidr3mono-gm-soundfont"} <= table["excluded"].keys()
        assert {"blanket", "anoise"} <= table["excluded"].keys()
        assert tiny_audio.SOUND_FONTS.keys() <= {row.name for row in tiny_audio.training_packages()}


def names(path: Path) -> dict[str, bytes]:
    return {str(member.name): member.read() for member in containers.members(path)}


class TestContainers:
    def test_zip(self, tmp_path: Path) -> None:
        path = tmp_path / "data.pk3"
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("b/x.OGG", "a.wav", "readme.txt", "song.mid"):
                archive.writestr(name, name)
        assert names(path) == {"a.wav": b"a.wav", "b/x.OGG": b"b/x.OGG", "song.mid": b"song.mid"}

    @pytest.mark.parametrize("name", ["../x.wav", "a/../../x.wav", "/x.wav", "..\\x.wav", "c:x.wav"])
    def test_zip_that_leads_out(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / "data.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"")
        with pytest.raises(RecipeError, match="leads out"):
            names(path)

    def test_doom(self, tmp_path: Path) -> None:
        sound = struct.pack("<HHI", 3, 11025, 132) + bytes([128]) * 16 + bytes(range(100)) + bytes([128]) * 16
        lumps = {b"DSBANG": sound, b"D_SONG": b"MThd...", b"MAP01": b"", b"DSEMPTY": b"\0" * 4}
        body, directory = b"", b""
        for name, lump in lumps.items():
            directory += struct.pack("<ii8s", 12 + len(body), len(lump), name)
            body += lump
        path = tmp_path / "doom.wad"
        path.write_bytes(struct.pack("<4sii", b"IWAD", len(lumps), 12 + len(body)) + body + directory)
        found = names(path)
        assert found.keys() == {"dsbang.wav", "d_song.mid"}
        samples, rate = soundfile.read(io.BytesIO(found["dsbang.wav"]), dtype="int16")
        assert rate == 11025
        np.testing.assert_array_equal(samples, (np.arange(100) - 128) * 256)

    @pytest.mark.parametrize("version", [1, 2, 3])
    def test_qt(self, tmp_path: Path, version: int) -> None:
        path = tmp_path / "sounds.rcc"
        text = [("", b""), ("dir", b""), ("a.wav", b"plain"), ("b.ogg", b"packed" * 9)]
        name_table, name_at = b"", []
        for name, _ in text:
            name_at.append(len(name_table))
            name_table += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        packed = struct.pack(">I", 54) + zlib.compress(text[3][1])
        data = struct.pack(">I", 5) + text[2][1] + struct.pack(">I", len(packed)) + packed
        time = b"" if version == 1 else bytes(8)
        tree = time.join(
            [
                struct.pack(">IHII", 0, 2, 1, 1),
                struct.pack(">IHII", name_at[1], 2, 2, 2),
                struct.pack(">IHHHI", name_at[2], 0, 0, 0, 0),
                struct.pack(">IHHHI", name_at[3], 1, 0, 0, 9),
                b"",
            ]
        )
        header = 20 if version < 3 else 24
        at = (header, header + len(tree), header + len(tree) + len(data))
        flags = b"" if version < 3 else bytes(4)
        path.write_bytes(b"qres" + struct.pack(">4i", version, *at) + flags + tree + data + name_table)
        assert names(path) == {"dir/a.wav": b"plain", "dir/b.ogg": b"packed" * 9}

    def test_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "x.rcc"
        path.write_bytes(b"qres\0\0")
        with pytest.raises(RecipeError, match="damaged"):
            names(path)

    def test_other_file_of_that_name(self, tmp_path: Path) -> None:
        path = tmp_path / "x.wad"
        path.write_bytes(b"something else")
        assert not names(path)


class TestNoises:
    def test_the_same_again(self) -> None:
        for kind in [*noises.KINDS, "silence"]:
            name = f"{kind}-001"
            first = noises.make(name, 0)
            np.testing.assert_array_equal(first, noises.make(name, 0))
            assert not np.array_equal(first, noises.make(name, 1))
            assert first.dtype == np.float32
            assert np.isfinite(first).all()
            assert np.abs(first).max() <= 1
            assert noises.RATE <= len(first) <= 10 * noises.RATE

    def test_names(self) -> None:
        assert len(set(tiny_audio.noise_names())) == 600


class TestMusic:
    def test_phrases_end(self, tmp_path: Path) -> None:
        for number in (0, 40, 127):
            for events in (
                renders.phrase(number, renders.generator(0, str(number))),
                renders.drums(renders.generator(0, str(number))),
            ):
                assert all(0 <= at <= 10 for at, _ in events)
                self.check_silent_at_the_end(events, tmp_path / "x.mid")

    def test_the_same_again(self) -> None:
        first, again, other = (renders.phrase(3, renders.generator(seed, "x")) for seed in (0, 0, 1))
        assert first == again != other

    def test_songs_are_cut(self, tmp_path: Path) -> None:
        import mido

        events = [(5.0 + at, mido.Message("note_on", note=60 + at)) for at in range(10)]
        renders.write_midi(events, tmp_path / "song.mid")
        cut = renders.song(tmp_path / "song.mid", 3.5)
        notes = [(at, message.note) for at, message in cut if message.type == "note_on"]
        assert notes == [(0, 60), (1, 61), (2, 62), (3, 63)]
        self.check_silent_at_the_end(cut, tmp_path / "cut.mid")

    def test_damaged_song(self, tmp_path: Path) -> None:
        (tmp_path / "x.mid").write_bytes(b"MThd")
        with pytest.raises(RecipeError, match="cannot be read as MIDI"):
            renders.song(tmp_path / "x.mid")

    def test_missing_program(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        with pytest.raises(RecipeError, match="apt-get install fluidsynth"):
            renders.program("fluidsynth")

    @staticmethod
    def check_silent_at_the_end(events: list[renders.Event], path: Path) -> None:
        """FluidSynth would go on for good otherwise."""
        import mido

        renders.write_midi(events, path)
        sounding = set()
        for message in mido.MidiFile(path):
            if message.type == "note_on" and message.velocity:
                sounding.add((message.channel, message.note))
            elif message.type in ("note_on", "note_off"):
                sounding.discard((message.channel, message.note))
        assert not sounding


class TestGather:
    def test_takes_every_sound_once(self, monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path) -> None:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("in/c.wav", wav(1600))
        files = {"sound/a.wav": wav(), "sound/again.wav": wav(), "bad.ogg": b"", "b.zip": stream.getvalue()}
        files |= {"song.mid": b"MThd", "notes.mid": b"MThd ", "readme.txt": b""}
        row = put(monkeypatch, server, deb({f"./usr/share/tiny/{name}": data for name, data in files.items()}))
        output = tmp_path / "output"
        expected = {"files": 2, "hours": round(0.3 / 3600, 4), "unreadable": 1}
        assert tiny_audio.gather(row, tmp_path / "cache", output) == expected
        there = sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file())
        record = f"done/{row.folder}.json"
        assert there == [record, "midi/tiny/song.mid", "tiny/b.zip/in/c.wav", "tiny/sound/a.wav"]
        server.close()
        assert tiny_audio.gather(row, tmp_path / "elsewhere", output) == expected

    def test_one_seed(self, tmp_path: Path) -> None:
        tiny_audio.keep_seed(tmp_path, 3)
        tiny_audio.keep_seed(tmp_path, 3)
        with pytest.raises(RecipeError, match="begun with --seed 3, not 4"):
            tiny_audio.keep_seed(tmp_path, 4)

    def test_not_for_evaluation(self, monkeypatch: pytest.MonkeyPatch, server: FileServer, tmp_path: Path) -> None:
        row = put(monkeypatch, server, deb({"a.wav": wav()}), role="evaluate")
        assert tiny_audio.training_packages() == []
        with pytest.raises(RecipeError, match="kept for evaluation"):
            tiny_audio.gather(row, tmp_path, tmp_path)
        assert not server.requests
