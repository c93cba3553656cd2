from __future__ import annotations

import importlib.util
import io
import itertools
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hear_edgel3.errors import InvalidOption, OutputError
from hear_edgel3.registry.labels import labels as label_list
from hear_edgel3.tagging.tags import ClipTags

# Benchmarks are run from the repository. Last in the path: the installed package comes first.
sys.path.append(str(Path(__file__).parents[1]))

from tests.benchmarks.quality import (
    agreement,
    drums,
    figure,
    hear_folder,
    instruments,
    languages,
    nets,
    probe,
    soundfont,
)
from tests.benchmarks.quality.clips import (
    Clips,
    Recording,
    one_fold_per_group,
    one_second,
    read_clips,
    stratified,
)
from tests.benchmarks.quality.scores import Row, table

needs_sklearn = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed (the extra quality)"
)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(n).astype(np.float32) * 0.1


def recording(name: str, label: str, group: str, samples: np.ndarray, rate: int = 8000) -> Recording:
    return Recording(name, label, group, lambda: (samples, rate))


def some_clips(n_groups: int = 6) -> Clips:
    recordings = [
        recording(f"{label} #{group} {take}", label, f"{label} {group}", noise(8000, 100 * group + take + 10 * number))
        for number, label in enumerate("abc")
        for group in range(n_groups)
        for take in range(2)
    ]
    return read_clips(recordings, stratified(3))


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


@needs_sklearn
class TestProbe:
    labels = np.repeat(list("abcd"), 30)
    groups = np.array([f"{label}{i // 3}" for label in "abcd" for i in range(30)])
    folds = stratified(5)(labels, groups)

    def test_separable_data(self) -> None:
        embeddings = (
            noise(120 * 16).reshape(120, 16) + np.repeat(np.eye(4), 30, axis=0) @ noise(64, 1).reshape(4, 16) * 20
        )
        predicted = probe.predict(embeddings, self.labels, self.groups, self.folds)
        assert probe.balanced_accuracy(self.labels, predicted == self.labels) > 0.99

    def test_random_data_give_chance(self) -> None:
        scores = []
        for seed in range(3):
            embeddings = noise(120 * 16, seed).reshape(120, 16)
            predicted = probe.predict(embeddings, self.labels, self.groups, self.folds)
            scores.append(probe.balanced_accuracy(self.labels, predicted == self.labels))
        assert np.mean(scores) == pytest.approx(0.25, abs=0.08)

    def test_groups_without_meaning_give_chance(self) -> None:
        """Each group has an offset of its own, which tells the class to who has heard the group, and to no one else."""
        offsets = {group: noise(64, seed) * 50 for seed, group in enumerate(np.unique(self.groups))}
        embeddings = np.stack([offsets[group] for group in self.groups]) + noise(120 * 64).reshape(120, 64)
        predicted = probe.predict(embeddings, self.labels, self.groups, self.folds)
        assert probe.balanced_accuracy(self.labels, predicted == self.labels) < 0.5
        leaking = probe.predict(embeddings, self.labels, np.arange(120).astype(str), np.arange(120) % 5)
        assert probe.balanced_accuracy(self.labels, leaking == self.labels) > 0.8

    def test_constant_values_do_no_harm(self) -> None:
        embeddings = np.concatenate([np.repeat(np.eye(4), 30, axis=0), np.ones((120, 1))], axis=1)
        predicted = probe.predict(embeddings, self.labels, self.groups, self.folds)
        assert (predicted == self.labels).all()


class TestIntervals:
    def test_balanced_accuracy_weighs_classes_alike(self) -> None:
        labels = np.array(["a"] * 90 + ["b"] * 10)
        assert probe.balanced_accuracy(labels, labels == "a") == 0.5
        assert probe.balanced_accuracy(labels, np.full(100, 1 / 3)) == pytest.approx(1 / 3)

    def test_interval_of_single_clips_is_the_binomial_one(self) -> None:
        labels = np.repeat(["a", "b"], 200)
        correct = np.tile([1.0, 1.0, 1.0, 0.0], 100)
        low, high = probe.interval(probe.bootstrap(labels, np.arange(400).astype(str), correct))
        assert low == pytest.approx(0.75 - 1.96 * np.sqrt(0.75 * 0.25 / 400), abs=0.006)
        assert high == pytest.approx(0.75 + 1.96 * np.sqrt(0.75 * 0.25 / 400), abs=0.006)

    def test_interval_widens_with_groups(self) -> None:
        labels = np.repeat(["a", "b"], 200)
        correct = np.repeat(np.random.RandomState(0).rand(40) < 0.75, 10).astype(float)
        narrow = np.ptp(probe.interval(probe.bootstrap(labels, np.arange(400).astype(str), correct)))
        wide = np.ptp(probe.interval(probe.bootstrap(labels, np.repeat(np.arange(40), 10).astype(str), correct)))
        assert 2 < wide / narrow < 5

    def test_groups_of_several_classes(self) -> None:
        labels = np.tile(["a", "b", "c"], 20)
        groups = np.repeat([f"kit{i}" for i in range(10)], 6)
        scores = probe.bootstrap(labels, groups, (labels != "c").astype(float))
        np.testing.assert_allclose(scores, 2 / 3)

    def test_perfect_and_repeatable(self) -> None:
        labels = np.repeat(["a", "b"], 5)
        assert probe.interval(probe.bootstrap(labels, labels, np.ones(10))) == (1.0, 1.0)
        correct = (np.arange(10) % 3 > 0).astype(float)
        groups = np.arange(10).astype(str)
        np.testing.assert_array_equal(
            probe.bootstrap(labels, groups, correct, 4), probe.bootstrap(labels, groups, correct, 4)
        )


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


class TestHearFolder:
    def test_layout(self, tmp_path: Path) -> None:
        clips = some_clips()
        folder, written = hear_folder.write_task("letters", clips, tmp_path / "tasks")
        assert written
        assert folder == tmp_path / "tasks" / "letters-v1-full"
        assert [path.name for path in (tmp_path / "tasks").iterdir()] == [folder.name]
        metadata = json.loads((folder / "task_metadata.json").read_text())
        assert metadata["splits"] == ["fold00", "fold01", "fold02"]
        assert metadata["split_mode"] == "new_split_kfold"
        assert (metadata["embedding_type"], metadata["prediction_type"]) == ("scene", "multiclass")
        assert metadata["sample_duration"] == 1.0
        assert (folder / "labelvocabulary.csv").read_text() == "idx,label\n0,a\n1,b\n2,c\n"
        seen: dict[str, str] = {}
        for split in metadata["splits"]:
            files = json.loads((folder / f"{split}.json").read_text())
            seen |= {name: label for name, (label,) in files.items()}
            for rate in (16000, 32000, 48000):
                assert {path.name for path in (folder / str(rate) / split).iterdir()} == set(files)
                for name in files:
                    info = soundfile.info(folder / str(rate) / split / name)
                    assert (info.samplerate, info.frames, info.channels, info.subtype) == (rate, rate, 1, "PCM_16")
        assert seen == {f"{name}.wav": label for name, label in zip(clips.names, clips.labels, strict=True)}
        assert len(seen) == 36

    def test_kept_or_refused(self, tmp_path: Path) -> None:
        clips = some_clips(3)
        folder, _ = hear_folder.write_task("letters", clips, tmp_path)
        before = (folder / "fold00.json").stat().st_mtime_ns
        assert hear_folder.write_task("letters", clips, tmp_path) == (folder, False)
        assert (folder / "fold00.json").stat().st_mtime_ns == before
        with pytest.raises(OutputError, match="other contents"):
            hear_folder.write_task("letters", some_clips(4), tmp_path)

    def test_nothing_is_left_of_a_failure(self, tmp_path: Path) -> None:
        clips = some_clips(3)

        def fail(rate: int) -> np.ndarray:
            raise KeyboardInterrupt

        object.__setattr__(clips, "at", fail)
        with pytest.raises(KeyboardInterrupt):
            hear_folder.write_task("letters", clips, tmp_path)
        assert not list(tmp_path.iterdir())


@needs_sklearn
class TestScores:
    def test_a_net_that_hears_the_classes(self, tmp_path: Path) -> None:
        clips = some_clips()
        told = np.searchsorted(np.unique(clips.labels), clips.labels)

        class Knows:
            name, sample_rate, parameters, macs = "knows", 8000, 7, 5_000_000_000

            def embed(self, samples: np.ndarray) -> np.ndarray:
                assert samples.shape == (36, 8000)
                return np.eye(3)[told]

        class Guesses(Knows):
            name, macs = "guesses", None

            def embed(self, samples: np.ndarray) -> np.ndarray:
                return noise(36 * 4).reshape(36, 4)

        rows = [Row("guesses", 0, 0), Row("knows", 7, 5_000_000_000), Row("both", 7, None)]
        for row, these in zip(rows, ([Guesses()], [Knows()], [Knows(), Guesses()]), strict=True):
            row.add("letters", 0, clips, these)
        assert rows[1].accuracy == {"letters": 1.0}
        assert rows[0].mean < 0.7
        assert rows[2].mean == pytest.approx((rows[0].mean + 1) / 2)
        text = table(rows)
        assert "1.000 [1.000, 1.000]" in text
        assert "5.000 G" in text
        assert "unknown" in text
        assert table(rows, markdown=True).splitlines()[1] == "|" + " --- |" * 7
        assert table([]) == ""
        if importlib.util.find_spec("matplotlib") is not None:
            figure.draw(rows, tmp_path / "plot.png")
            assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"

    def test_values_that_are_not_finite(self) -> None:
        class Broken:
            name, sample_rate, parameters, macs = "broken", 8000, 0, None

            def embed(self, samples: np.ndarray) -> np.ndarray:
                return np.full((len(samples), 2), np.nan)

        with pytest.raises(ValueError, match=r"broken gives values .* task letters"):
            Row("broken", 0, None).add("letters", 0, some_clips(3), [Broken()])


class TestNets:
    def test_mel_statistics(self) -> None:
        embeddings = nets.MelStatistics().embed(np.stack([noise(32000), np.zeros(32000, np.float32)]))
        assert embeddings.shape == (2, 256)
        np.testing.assert_allclose(embeddings[1, :128], -1.4026, atol=1e-4)
        np.testing.assert_allclose(embeddings[1, 128:], 0, atol=1e-6)

    def test_untrained_nets_are_seeded(self) -> None:
        state = torch.random.get_rng_state()
        clips = noise(32000)[None]
        first = [net.embed(clips) for net in nets.untrained()]
        np.testing.assert_array_equal(first, [net.embed(clips) for net in nets.untrained()])
        assert all(np.abs(a - b).max() > 1e-3 for a, b in itertools.pairwise(first))
        assert torch.equal(state, torch.random.get_rng_state())

    def test_configurations_and_their_costs(self, mobilenetv3_folder: Path, weights_folder: Path) -> None:
        (mn,) = nets.make("mn04_as", mobilenetv3_folder, {})
        assert (mn.sample_rate, mn.parameters) == (32000, 983_599)
        assert mn.macs is not None
        assert 100e6 < mn.macs < 111e6
        assert mn.embed(np.stack([noise(32000), noise(32000, 1)])).shape == (2, 320)
        (sea,) = nets.make("sea_64", weights_folder, {})
        assert sea.sample_rate == 16000
        assert sea.embed(noise(16000)[None]).shape == (1, 64)

    def test_peers_are_made_when_asked_for(self) -> None:
        made = object()
        assert nets.make("peer", None, {"peer": lambda: made}) == [made]


class _Says:
    """A tagger that says what it is told to."""

    configurations = ("says",)
    labels = label_list("audioset")

    def __init__(self, answers: dict[str, list[int]]) -> None:
        self._answers = answers

    def tag_file(self, path: Path, window: float, hop: float) -> ClipTags:
        said = self._answers[Path(path).name]
        logits = np.full((len(said), len(self.labels)), -9, np.float32)
        logits[:, 7] = -8
        logits[np.arange(len(said)), said] = 0
        edges = np.arange(len(said)) * window
        return ClipTags(self.configurations, self.labels, edges, edges + window, logits, len(said) * window)


class TestAgreement:
    def test_agreement(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        for path in (tmp_path / "a.wav", tmp_path / "sub" / "b.OGG", tmp_path / "notes.txt"):
            path.touch()
        teacher = _Says({"a.wav": [1, 1, 2], "b.OGG": [7]})
        student = _Says({"a.wav": [1, 1, 3], "b.OGG": [3]})
        found = agreement.measure(student, teacher, tmp_path)
        assert (found.clips, found.files, found.share) == (4, 2, 0.5)
        assert found.in_top_5 == 0.75
        assert found.commonest_share == 0.5
        assert found.low <= 0.5 <= found.high
        assert found.commonest in str(found)
        assert agreement.measure(teacher, teacher, tmp_path).share == 1.0

    def test_no_audio(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidOption, match="has no audio"):
            agreement.measure(_Says({}), _Says({}), tmp_path)
