"""Events out of probabilities: every rule by itself, their order, and portions that make no difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hear_edgel3.errors import InvalidOption
from hear_edgel3.timeline import EventDecoder, EventRules, Found, found_in, slices_of


def events(values: Sequence[float], threshold: float = 0.5, **rules: float) -> list[tuple[float, float, float]]:
    """The events of one class, whose slices are seconds."""
    starts = np.arange(len(values), dtype=np.float64)
    found = found_in(np.array(values)[:, None], starts, starts + 1, EventRules([threshold], **rules))
    return [(one.start, one.end, one.score) for one in found]


def test_a_stretch_that_reaches_the_threshold() -> None:
    assert events([0, 0.6, 0.9, 0.5, 0.4], hysteresis=1) == [(1, 4, 0.9)]


def test_the_threshold_itself_is_enough() -> None:
    assert events([0.5], hysteresis=1) == [(0, 1, 0.5)]
    assert events([np.nextafter(0.5, 0)], hysteresis=1) == []


def test_hysteresis_goes_on_in_both_directions() -> None:
    assert events([0.1, 0.3, 0.7, 0.25, 0.2], hysteresis=0.5) == [(1, 4, 0.7)]


def test_what_is_only_above_the_lower_threshold_is_no_event() -> None:
    assert events([0.3, 0.4, 0.49], hysteresis=0.5) == []


def test_hysteresis_at_the_edges_of_a_recording() -> None:
    assert events([0.3, 0.8], hysteresis=0.5) == [(0, 2, 0.8)]
    assert events([0.8, 0.3], hysteresis=0.5) == [(0, 2, 0.8)]
    assert events([0.8], hysteresis=0.5) == [(0, 1, 0.8)]


def test_two_peaks_of_one_stretch_are_one_event() -> None:
    assert events([0.9, 0.3, 0.8], hysteresis=0.5) == [(0, 3, 0.9)]


@pytest.mark.parametrize(("merge", "expected"), [(1.999, [(0, 1, 0.9), (3, 4, 0.8)]), (2, [(0, 4, 0.9)])])
def test_a_gap_of_exactly_merge_is_bridged(merge: float, expected: list[object]) -> None:
    assert events([0.9, 0, 0, 0.8], merge=merge) == expected


def test_what_is_no_event_bridges_nothing() -> None:
    assert events([0.9, 0, 0.3, 0, 0.8], merge=2) == [(0, 1, 0.9), (4, 5, 0.8)]
    assert events([0.9, 0, 0.3, 0, 0.8], merge=3) == [(0, 5, 0.9)]


def test_many_gaps_are_bridged_one_after_the_other() -> None:
    assert events([0.9, 0, 0.6, 0, 0.7, 0, 0, 0.8], merge=1) == [(0, 5, 0.9), (7, 8, 0.8)]


def test_what_is_short_is_dropped_after_merging() -> None:
    assert events([0.9, 0, 0.9, 0, 0, 0, 0.9], merge=1, min_length=2) == [(0, 3, 0.9)]
    assert events([0.9, 0.9], min_length=2) == [(0, 2, 0.9)]
    assert events([0.9, 0.9], min_length=2.001) == []


def test_what_is_long_is_cut() -> None:
    assert events([0.9, 0.3, 0.3, 0.3, 0.3], max_length=2) == [(0, 2, 0.9), (2, 4, 0.3), (4, 5, 0.3)]
    assert events([0.9, 0, 0.9, 0, 0.9], merge=1, max_length=3) == [(0, 3, 0.9), (4, 5, 0.9)]


def test_a_median_takes_away_what_is_shorter_than_half_of_it() -> None:
    assert events([0, 0.9, 0, 0, 0.9, 0.9, 0.8, 0, 0], smooth=3) == [(4, 7, 0.9)]
    assert events([0, 0.9, 0], smooth=2.9) == [(1, 2, 0.9)]  # the odd number below that is 1


def test_a_median_at_the_ends_is_of_what_is_there() -> None:
    # Of the first slice and the one behind it, the mean of the two.
    assert events([0.9, 0.5, 0, 0], smooth=3, hysteresis=1) == [(0, 2, 0.7)]
    assert events([0, 0, 0.5, 0.9], smooth=3, hysteresis=1) == [(2, 4, 0.7)]


def test_classes_have_their_own_thresholds() -> None:
    values = np.array([[0.4, 0.4], [0.4, 0.8]])
    rules = EventRules([0.4, 0.6], hysteresis=1)
    found = found_in(values, np.arange(2.0), np.arange(2.0) + 1, rules)
    assert found == [Found(0, 2, 0, 0.4), Found(1, 2, 1, 0.8)]


def test_an_event_is_told_as_soon_as_it_is_over_for_sure() -> None:
    decoder = EventDecoder(EventRules([0.5], merge=2), 1)
    told = [
        len(decoder.push(np.array([float(k)]), np.array([k + 1.0]), np.array([[p]])))
        for k, p in enumerate([0.9, 0, 0, 0, 0])
    ]
    assert told == [0, 0, 0, 1, 0]  # the one that begins at 3 is more than 2 behind the end


def test_the_last_slice_reaches_to_the_end_of_the_sound() -> None:
    decoder = EventDecoder(EventRules([0.5]), 1)
    decoder.push(np.array([0.0, 1.0]), np.array([1.0, 2.0]), np.array([[0.0], [0.9]]))
    assert decoder.finish(2.75) == [Found(1.0, 2.75, 0, 0.9)]


def test_slices_are_the_middles_of_windows() -> None:
    starts, ends = slices_of(0, 3, window=1, hop=0.5)
    assert starts.tolist() == [0, 0.75, 1.25]
    assert ends.tolist() == [0.75, 1.25, 1.75]
    more, _ = slices_of(3, 1, window=1, hop=0.5)
    assert more.tolist() == [1.75]
    assert [array.tolist() for array in slices_of(0, 2, window=3, hop=3)] == [[0, 3], [3, 6]]


def plain(values: np.ndarray, rules: EventRules) -> list[Found]:
    """The same rules, written down as plainly as can be, for slices of a second (without max_length)."""
    found = []
    half = int(rules.smooth) // 2
    smooth = np.array([np.median(values[max(0, t - half) : t + half + 1], axis=0) for t in range(len(values))])
    for place, threshold in enumerate(rules.thresholds):
        row = smooth[:, place]
        runs: list[list[int]] = []
        for t in range(len(row)):
            if row[t] >= threshold * rules.hysteresis:
                if runs and runs[-1][1] == t:
                    runs[-1][1] = t + 1
                else:
                    runs.append([t, t + 1])
        runs = [run for run in runs if max(row[run[0] : run[1]]) >= threshold]
        joined: list[tuple[int, int, float]] = []
        for start, end in runs:
            score = float(max(row[start:end]))
            if joined and start - joined[-1][1] <= rules.merge:
                joined[-1] = (joined[-1][0], end, max(joined[-1][2], score))
            else:
                joined.append((start, end, score))
        found += [Found(s, e, place, p) for s, e, p in joined if e - s >= rules.min_length]
    return sorted(found)


tenths = st.integers(0, 10).map(lambda n: n / 10)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(tenths, tenths), min_size=1, max_size=30),
    st.lists(st.integers(1, 7), max_size=10),
    st.sampled_from([0, 3, 5]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([0.3, 0.5, 1.0]),
)
def test_portions_make_no_difference(
    rows: list[tuple[float, float]], cuts: list[int], smooth: int, merge: int, shortest: int, hysteresis: float
) -> None:
    values = np.array(rows)
    rules = EventRules([0.4, 0.7], hysteresis, smooth, merge, shortest)
    decoder = EventDecoder(rules, 1)
    found: list[Found] = []
    place = 0
    for size in [*cuts, len(values)]:
        some = values[place : place + size]
        starts = np.arange(place, place + len(some), dtype=np.float64)
        found += decoder.push(starts, starts + 1, some)
        place += len(some)
    assert sorted([*found, *decoder.finish()]) == plain(values, rules)
    whole = np.arange(len(values), dtype=np.float64)
    assert found_in(values, whole, whole + 1, rules) == plain(values, rules)


def test_what_is_held_does_not_grow() -> None:
    decoder = EventDecoder(EventRules([0.5], smooth=5, merge=3), 1)
    for k in range(200):
        decoder.push(np.arange(k * 10.0, k * 10 + 10), np.arange(k * 10.0, k * 10 + 10) + 1, np.full((10, 1), 0.9))
    assert decoder._rows is not None
    assert len(decoder._rows) <= 10
    assert len(decoder._times) <= 10


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"thresholds": [0]}, "threshold must be a number above 0"),
        ({"thresholds": [float("nan")]}, "threshold must be a number above 0"),
        ({"thresholds": [0.5], "hysteresis": 1.5}, "hysteresis must be a number above 0"),
        ({"thresholds": [0.5], "merge": -1}, "merge must be a number of seconds from 0"),
        ({"thresholds": [0.5], "min_length": 3, "max_length": 2}, "at least min_length"),
    ],
)
def test_rules_that_make_no_sense(rules: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        EventRules(**rules)  # type: ignore[arg-type]
