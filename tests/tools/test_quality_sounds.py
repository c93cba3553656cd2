"""The benchmark of quality: its sounds, their labels and folds, and where they come from."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.recordings import noise, recording
from tests.benchmarks.quality import drums, instruments, languages, soundfont
from tests.benchmarks.quality.clips import one_fold_per_group, one_second, read_clips, stratified


class TestClips:
    def test_a_second_starts_with_the_sound(self) -> None:
        samples = np.concatenate([np.full(4000, 1e-4), noise(2000) + 0.5]).astype(np.float32)
        second = one_second(np.stack([samples, samples], axis=1), 8000)
        assert second.shape == (8000,)
        assert second.dtype == np.float32
        np.testing.assert_array_equal(second[80:2080], samples[4000:])
        assert not second[2080:].any()

    def test_a_second_of_nothing_is_silent(self) -> None:
        assert not one_second(np.zeros(0, np.float32), 8000).any()
        assert not one_second(np.zeros((10, 2), np.float32), 8000).any()

    def test_silence_and_copies_are_left_out(self) -> None:
        clips = read_clips(
            [
                recording("one", "a", "1", noise(100)),
                recording("two", "a", "2", noise(100)),
                recording("three", "b", "3", noise(100)),
                recording("four", "b", "4", np.zeros(100, np.float32)),
            ],
            stratified(2),
        )
        assert clips.names.tolist() == ["one", "three"]

    def test_names_are_those_of_files_and_differ(self) -> None:
        recordings = [
            recording(name, "a", name, noise(100, i)) for i, name in enumerate(["G#1", "Gs1", "G-1/é", "G 1"])
        ]
        assert read_clips(recordings, stratified(2)).names.tolist() == ["Gs1", "Gs1__2", "G_1", "G_1__2"]

    def test_rates(self) -> None:
        tone = {rate: np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32) for rate in (8000, 44100)}
        clips = read_clips([recording(str(r), "a", str(r), tone[r], r) for r in tone], stratified(2))
        at = clips.at(16000)
        assert at.shape == (2, 16000)
        assert clips.at(16000) is at
        np.testing.assert_allclose(at[0, 2000:8000], at[1, 2000:8000], atol=2e-2)


class TestFolds:
    def test_stratified_divides_no_group(self) -> None:
        random = np.random.RandomState(0)
        groups = np.array([f"{label} {random.randint(12)}" for label in "abcd" for _ in range(40)])
        labels = np.array([group[0] for group in groups])
        folds = stratified(5)(labels, groups)
        assert all(len(set(folds[groups == group])) == 1 for group in groups)
        for label in "abcd":
            assert (
                np.ptp(np.bincount(folds[labels == label], minlength=5))
                <= np.unique(groups, return_counts=True)[1].max()
            )
        np.testing.assert_array_equal(folds, stratified(5)(labels, groups))

    def test_stratified_is_even_where_groups_are_single(self) -> None:
        labels = np.repeat(list("abc"), 24)
        folds = stratified(5)(labels, np.arange(72).astype(str))
        assert sorted(np.bincount(folds)) == [14, 14, 14, 15, 15]

    def test_stratified_refuses_groups_of_several_classes(self) -> None:
        with pytest.raises(AssertionError, match="several classes"):
            stratified(2)(np.array(["a", "b"]), np.array(["1", "1"]))

    def test_one_per_group(self) -> None:
        assert one_fold_per_group(np.array(list("abab")), np.array(["y", "y", "x", "z"])).tolist() == [1, 1, 0, 2]


def chunk(name: bytes, body: bytes, pad: bool) -> bytes:
    return name + struct.pack("<I", len(body)) + body + (b"\0" if pad and len(body) % 2 else b"")


def write_soundfont(
    path: Path, samples: list[tuple[str, int, int, np.ndarray]], vorbis: bool, pad: bool = True
) -> None:
    """samples: name, key, kind (1 mono, 2 right, 4 left), 22050 Hz."""
    sound, records = b"", b""
    for name, key, kind, values in samples:
        start = len(sound) if vorbis else len(sound) // 2
        if vorbis:
            file = io.BytesIO()
            soundfile.write(file, values, 22050, format="OGG", subtype="VORBIS")
            sound += file.getvalue()
        else:
            sound += np.rint(values * 32767).astype("<i2").tobytes()
        end = len(sound) if vorbis else len(sound) // 2
        link = (0, kind | (16 if vorbis else 0))
        records += struct.pack("<20sIIIIIBbHH", name.encode(), start, end, 0, 0, 22050, key, 0, *link)
        sound += b"" if vorbis else bytes(92)
    records += struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    body = chunk(b"LIST", b"INFO" + chunk(b"ifil", struct.pack("<HH", 2, 1), pad), pad)
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", sound, pad), pad)
    body += chunk(b"LIST", b"pdta" + chunk(b"phdr", bytes(38), pad) + chunk(b"shdr", records, pad), pad)
    path.write_bytes(chunk(b"RIFF", b"sfbk" + body, pad))


class TestSoundfont:
    samples = (
        ("Flute C4", 60, 1, noise(3001, 1)),
        ("Piano MF A4(L)", 69, 4, noise(2000, 2)),
        ("R", 69, 2, noise(9, 3)),
    )

    def test_plain_samples(self, tmp_path: Path) -> None:
        write_soundfont(tmp_path / "a.sf2", list(self.samples), vorbis=False)
        found = soundfont.read_samples(tmp_path / "a.sf2")
        assert [(s.name, s.key, s.channel) for s in found] == [
            ("Flute C4", 60, "mono"),
            ("Piano MF A4(L)", 69, "left"),
            ("R", 69, "right"),
        ]
        for sample, (_, _, _, values) in zip(found, self.samples, strict=True):
            read, rate = sample.read()
            assert rate == 22050
            np.testing.assert_allclose(read, values, atol=1e-4)

    @pytest.mark.parametrize("pad", [True, False])
    def test_vorbis_samples_with_and_without_padding(self, tmp_path: Path, pad: bool) -> None:
        for extra in range(4):  # some of these have chunks of odd sizes
            path = tmp_path / f"{extra}.sf3"
            write_soundfont(
                path, [(n, k, kind, v[: len(v) - 7 * extra]) for n, k, kind, v in self.samples[:2]], True, pad
            )
            found = soundfont.read_samples(path)
            assert [s.name for s in found] == ["Flute C4", "Piano MF A4(L)"]
            read, rate = found[1].read()
            assert (rate, len(read)) == (22050, 2000 - 7 * extra)
            assert np.corrcoef(read, self.samples[1][3][: len(read)])[0, 1] > 0.8

    def test_other_files(self, tmp_path: Path) -> None:
        path = tmp_path / "a.sf2"
        for content, message in ((b"", "is no SoundFont"), (chunk(b"RIFF", b"sfbk", True), "has no chunk smpl")):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=message):
                soundfont.read_samples(path)


class TestLabels:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("BassDrum", "kick"),
            ('Kick (Tama Superstar 22")', "kick"),
            ("c3 - bass drum 1", "kick"),
            ("Pearl Snare Rimshot", "snare"),
            ("tomhi2", "tom"),
            ('Ride (Custom, Zagrebin 22")', "cymbal"),
            ("crash16i__ride_cup4", "cymbal"),
            ("Closed HH 1", "hihat"),
            ("Side OHH", "hihat"),
            ("Hi-Hat Semiopen", "hihat"),
            ("Cowbell", None),
            ("Stick", None),
            ("Hand Clap", None),
            ("Chat", None),
            ("Snare and hat", None),
        ],
    )
    def test_drums(self, name: str, kind: str | None) -> None:
        assert drums.type_of(name) == kind

    @pytest.mark.parametrize(
        ("name", "instrument"),
        [
            ("Sax-Alto G#6", "sax alto"),
            ("Piano MF Bv1(L)", "piano"),
            ("Piano FF D#0(R)", None),
            ("Ahh Choir F#6-L", "ahh choir"),
            ("Strings A#2R", None),
            ("CelloAttack-F#1", "cello"),
            ("Cello-D#4", "cello"),
            ("Steel Gtr E6", "steel"),
            ("Finger Bass GO", "finger bass"),
            ("Trombone Bb3", "trombone"),
            ("dulci_c6", "dulci"),
            ("Rhodes C8", "rhodes"),
            ("Taiko Drum", None),
            ("Std Kick 4", None),
            ("saw-3", None),
            ("C4", None),
        ],
    )
    def test_instruments(self, name: str, instrument: str | None) -> None:
        assert instruments.instrument_of(name) == instrument

    def test_drum_kits(self, tmp_path: Path) -> None:
        kits = tmp_path / "usr" / "share" / "hydrogen" / "data" / "drumkits"

        def kit(name: str, head: str, layers: list[tuple[str, str]]) -> None:
            (kits / name).mkdir(parents=True)
            body = "".join(
                f"<instrument><name>{label}</name><layer><filename>{file}</filename></layer></instrument>"
                for label, file in layers
            )
            text = f"<drumkit_info{head}><name>{name}</name><instrumentList>{body}</instrumentList></drumkit_info>"
            (kits / name / "drumkit.xml").write_text(text)
            for _, file in layers:
                if file != "missing.wav":
                    soundfile.write(kits / name / file, noise(100, len(file)), 44100)

        kit(
            "One",
            ' xmlns="http://www.hydrogen-music.org/drumkit"',
            [
                ("Kick", "a.wav"),
                ("Snare", "b.wav"),
                ("Tom Low", "c.wav"),
                ("Tom Hi", "c.wav"),
                ("Crash", "some_tom.wav"),
                ("Closed HH", "shared.wav"),
                ("Ride", "shared.wav"),
                ("Snare 2", "missing.wav"),
                ("Clap", "d.wav"),
            ],
        )
        kit("Two", "", [("Kick", "a.wav"), ("Snare", "b.wav"), ("Cowbell", "c.wav")])
        found = drums.recordings(tmp_path)
        assert [(r.name, r.label, r.group) for r in found] == [
            ("One a", "kick", "One"),
            ("One b", "snare", "One"),
            ("One c", "tom", "One"),
        ]
        samples, rate = found[0].read()
        assert (samples.shape, rate) == ((100,), 44100)

    def test_instruments_of_a_soundfont(self, tmp_path: Path) -> None:
        folder = tmp_path / "usr" / "share" / "sounds" / "sf3"
        folder.mkdir(parents=True)
        samples = [(f"Flute C{key}", key, 1, noise(200, key)) for key in range(9)]
        samples += [(f"Piano {loud} C{key}({side})", key, kind, noise(200, 9 * kind + key)) for key in range(9)
                    for loud in ("MF", "FF") for side, kind in (("L", 4), ("R", 2))]  # fmt: skip
        samples += [(f"Oboe C{key}", key, 1, noise(200, key)) for key in range(8)]
        write_soundfont(folder / "a.sf3", samples, vorbis=True)
        found = instruments.recordings(tmp_path)
        assert [r.label for r in found] == ["flute"] * 9 + ["piano"] * 18
        assert {r.group for r in found if r.name in ("Piano MF C3(L)", "Piano FF C3(L)")} == {"piano 3"}

    def test_languages_are_capped_and_repeatable(self, tmp_path: Path) -> None:
        for language, n in (("de", 40), ("tn", 5)):
            for kind in ("alpha", "syllab"):
                folder = tmp_path / "usr" / "share" / "klettres" / language / kind
                folder.mkdir(parents=True)
                for i in range(n):
                    (folder / f"{i}.ogg").touch()
        (tmp_path / "usr" / "share" / "klettres" / "icons").mkdir()
        found = languages.recordings(tmp_path)
        assert [r.label for r in found] == ["de"] * 24 + ["tn"] * 10
        assert [r.name for r in found] == [r.name for r in languages.recordings(tmp_path)]
        assert len({r.group for r in found}) == 34
