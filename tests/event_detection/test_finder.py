"""Events of sounds: the net's windows, the rules, streams, and detectors of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

import hear_edgel3
from hear_edgel3.errors import InvalidOption
from hear_edgel3.event_detection import Event, EventFinder, EventOptions, EventStream
from hear_edgel3.event_detection.request import read_groups
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.timeline import EventRules, found_in, groups_of, slices_of
from support.detectors import CLASSES, write_detector
from support.event_scores import event_score, segment_score
from support.scenes import RATE, SceneFile, minute, synthesised, write_scene

SEED = 7
CLASSES_KNOWN = ("Noise", "Sine wave")


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, list[object]]:
    """Half a minute with events that the built-in net knows."""
    samples, known = minute(0, synthesised(), SEED)
    return np.clip(samples[: 33 * RATE], -1, 1), list(known)


@pytest.fixture(scope="module")
def finder() -> EventFinder:
    return EventFinder(classes=CLASSES_KNOWN, merge=0.5)


@pytest.fixture(scope="module")
def found(finder: EventFinder, scene: tuple[np.ndarray, list[object]]) -> list[Event]:
    return finder.find_samples(scene[0], RATE)


def test_what_is_in_a_scene_is_found(found: list[Event], scene: tuple[np.ndarray, list[object]]) -> None:
    known = scene[1]
    assert len(known) >= 2
    assert {event.label for event in known} == set(CLASSES_KNOWN)  # type: ignore[attr-defined]
    assert event_score(known, found).f == 1  # type: ignore[arg-type]
    assert segment_score(known, found).f > 0.85  # type: ignore[arg-type]


def test_events_are_those_of_the_taggers_windows(found: list[Event], scene: tuple[np.ndarray, list[object]]) -> None:
    tags = Tagger().tag_samples(scene[0], RATE, window=1.0, hop=0.5)
    groups = groups_of(tags.labels, CLASSES_KNOWN)
    starts, ends = slices_of(0, len(tags.starts), 1.0, 0.5)
    ends = np.concatenate([ends[:-1], [tags.duration]])
    straight = found_in(groups.probabilities(tags.probabilities), starts, ends, EventRules([0.3, 0.3], merge=0.5))
    named = [(e.start, e.end, groups.labels[e.place].name) for e in straight]
    assert named == [(e.start, e.end, e.label) for e in found]
    assert np.allclose([e.score for e in straight], [e.score for e in found], atol=1e-5)


@pytest.mark.parametrize("size", [RATE, 7777])
def test_a_stream_gives_the_same_events(
    size: int, finder: EventFinder, found: list[Event], scene: tuple[np.ndarray, list[object]]
) -> None:
    stream = EventStream(finder, RATE)
    samples = scene[0]
    streamed = list(stream.follow(samples[i : i + size] for i in range(0, len(samples), size)))
    assert [(e.start, e.end, e.label) for e in sorted(streamed, key=lambda e: (e.start, e.label))] == [
        (e.start, e.end, e.label) for e in sorted(found, key=lambda e: (e.start, e.label))
    ]
    again = EventStream(finder, RATE)
    at_once = [*again.feed(samples), *again.finish()]
    assert [(e.start, e.end, e.label) for e in at_once] == [(e.start, e.end, e.label) for e in streamed]


def test_a_stream_tells_an_event_when_it_is_over(finder: EventFinder) -> None:
    stream = EventStream(finder, RATE)
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    assert stream.feed(noise) == []
    told = stream.feed(1e-4 * noise)
    assert [event.label for event in told] == ["Noise"]
    assert stream.finish() == []
    assert EventStream(finder, RATE).finish() == []


def test_files_and_the_function(tmp_path: Path, scene: tuple[np.ndarray, list[object]], found: list[Event]) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, scene[0], RATE, "PCM_24")
    events = hear_edgel3.events(path, classes=CLASSES_KNOWN, merge=0.5)
    assert [(e.start, e.end, e.label, e.mid) for e in events] == [(e.start, e.end, e.label, e.mid) for e in found]
    quieter = hear_edgel3.events(str(path), classes=["Noise"], threshold=0.999)
    assert quieter == []


def test_the_last_event_ends_with_the_sound(finder: EventFinder) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(1.8 * RATE))
    (event,) = finder.find_samples(noise, RATE)
    assert (event.start, event.end) == (0, 1.8)
    (short,) = finder.find_samples(noise[: RATE // 2], RATE)
    assert (short.start, short.end) == (0, 0.5)


# --- detectors of one's own ---


def test_a_detector_has_its_own_classes_and_thresholds(tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "d", targets="several", thresholds=[0.25, None, 0.75])
    own = EventFinder(folder)
    assert [label.name for label in own.labels] == list(CLASSES)
    assert own.rules.thresholds == (0.25, 0.5, 0.75)
    assert EventFinder(folder, threshold=0.4).rules.thresholds == (0.4, 0.4, 0.4)
    assert EventFinder(folder, thresholds={"cat": 0.9}).rules.thresholds == (0.25, 0.9, 0.75)
    together = EventFinder(folder, groups={"pets": ["dog", "cat"]})
    assert together.rules.thresholds == (0.5,)
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 32000)
    rows = Tagger(folder).tag_samples(noise, 32000, window=1.0, hop=0.5)
    above = rows.probabilities >= [0.25, 0.5, 0.75]
    events = own.find_samples(noise, 32000)
    assert {event.label for event in events} == {CLASSES[i] for i in np.flatnonzero(above.any(axis=0))}


def test_a_net_that_takes_one_length_of_windows_gets_that(tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "d", kind="small_l3")
    own = EventFinder(folder)
    assert own.framing.window == own.framing.sample_rate
    with pytest.raises(InvalidOption, match="its windows are 1 s"):
        EventFinder(folder, window=2.0)


def test_where_one_class_is_right_groups_add_up(tmp_path: Path) -> None:
    own = EventFinder(write_detector(tmp_path / "d"), groups={"all": list(CLASSES)}, threshold=1.0, hysteresis=0.99)
    (event,) = own.find_samples(0.1 * np.random.default_rng(0).standard_normal(32000), 32000)
    assert event.label == "all"
    assert event.score == pytest.approx(1)


def test_numbers_are_no_events(tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "d", targets="numbers")
    with pytest.raises(InvalidOption, match="guesses numbers"):
        EventFinder(folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hop": 2.0}, "is more than a window"),
        ({"window": 1.0, "hop": 1.5}, "is more than a window"),
        ({"threshold": 0}, "threshold must be"),
        ({"thresholds": {"Bird": 2}}, "the threshold of 'Bird' must be"),
        ({"thresholds": {"Brid": 0.5}, "classes": ["Bird"]}, "which is none of the classes that are told"),
        ({"smooth": -1}, "smooth must be"),
        ({"colour": 1}, "there is no option 'colour'"),
        ({"classes": 3}, "classes must be names of classes, got 3"),
        ({"classes": ["Bird", 3]}, r"classes must be names of classes, got \['Bird', 3\]"),
        ({"groups": ["Bird"]}, "groups must be lists of classes by names"),
        ({"groups": {3: ["Bird"]}}, "groups must be lists of classes by names"),
        ({"groups": {"Birds": 3}}, "the group 'Birds' must be names of classes, got 3"),
        ({"thresholds": 0.5}, "thresholds must be numbers by names of classes, got 0.5"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        EventFinder(**options)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="not both"):
        EventFinder(options=EventOptions(), threshold=0.5)


def test_a_scene_that_is_made_as_it_is_read(tmp_path: Path) -> None:
    write_scene(tmp_path / "scene.wav", 2, synthesised(), SEED)
    with (
        soundfile.SoundFile(SceneFile(2, synthesised(), SEED)) as made,
        soundfile.SoundFile(tmp_path / "scene.wav") as w,
    ):
        assert (made.samplerate, len(made), made.channels) == (RATE, len(w), 1)
        for place in (0, 59 * RATE, 5 * RATE, 119 * RATE):  # in the order in which nobody reads
            made.seek(place)
            w.seek(place)
            assert np.abs(made.read(RATE, "int16").astype(int) - w.read(RATE, "int16")).max() <= 1


def test_one_text_is_one_class_of_a_group() -> None:
    assert EventOptions(groups={"Birds": "Bird"}).groups == {"Birds": ("Bird",)}
    assert EventOptions(classes=(name for name in ["Bird"])).classes == ("Bird",)  # type: ignore[arg-type]


def test_a_group_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "groups.json"
    path.write_text('{"Pets": ["Dog"], "Pets": ["Cat"]}')
    with pytest.raises(InvalidOption, match=r"groups.json cannot be read as JSON: 'Pets' is there twice"):
        read_groups(str(path))
