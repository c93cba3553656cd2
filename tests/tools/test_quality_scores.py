"""The benchmark of quality: probes, intervals, scores, nets, and how well they agree."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidOption, OutputError
from hear_edgel3.registry.labels import labels as label_list
from hear_edgel3.registry.names import resolve
from hear_edgel3.tagging.tags import ClipTags
from support.recordings import needs_sklearn, noise, some_clips
from tests.benchmarks.quality import agreement, figure, hear_folder, nets, probe
from tests.benchmarks.quality.clips import stratified
from tests.benchmarks.quality.scores import Row, table
from tests.benchmarks.quality.trained import Trained, is_trained


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

    def test_pictures_of_ten_seconds_are_counted(self) -> None:
        whole = resolve("image_squeezenet_v1")
        assert nets._scene_macs(whole) == 42 * 262_623_936  # one every 240 ms, at the very beginning too
        assert nets._scene_macs(resolve("image_squeezenet_v1_fire2")) is None

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


@needs_sklearn
def test_a_head_of_train_is_tested_on_the_folds_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = some_clips()
    net = Trained("tiny+linear", None)
    found = net.guess(clips)
    assert set(found) <= set(clips.labels)
    monkeypatch.setattr(net, "guess", lambda _: found)
    row = Row(net.name, net.parameters, net.macs)
    row.add("letters", 0, clips, [net])
    named = "tiny_avg_time_pool"  # what heads are on
    assert (row.name, row.size) == (f"{named}, linear head of train", hear_edgel3.load(named).scene_embedding_size)
    assert row.accuracy["letters"] == probe.balanced_accuracy(clips.labels, found == clips.labels)
    assert not is_trained("linear")
    assert not is_trained("folder/c++")
