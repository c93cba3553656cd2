"""The measures that found events are compared with known ones by, on cases computed by hand."""

from __future__ import annotations

import pytest

from support.event_scores import Score, event_score, segment_score
from support.scenes import Reference as E

KNOWN = [E(1.0, 2.0, "x"), E(3.0, 5.0, "y")]


def test_what_is_found_exactly() -> None:
    assert event_score(KNOWN, KNOWN) == segment_score(KNOWN, KNOWN) == Score(1, 1, 1)


def test_segments_are_touched_or_not() -> None:
    # x: 1 known, 1 and 2 found; y: 3 and 4 known, 6 found.
    found = [E(1.1, 2.1, "x"), E(6.0, 6.5, "y")]
    assert segment_score(KNOWN, found) == pytest.approx(Score(1 / 3, 1 / 3, 1 / 3))
    # In halves of seconds: x: 2, 3 known, 2, 3, 4 found; y: 6 to 9 known, 12 found.
    assert segment_score(KNOWN, found, 0.5) == pytest.approx(Score(2 * 2 / (6 + 4), 2 / 4, 2 / 6))


def test_events_within_the_collar() -> None:
    assert event_score(KNOWN, [E(1.1, 2.1, "x"), E(6.0, 6.5, "y")], 0.2, 0.2) == Score(0.5, 0.5, 0.5)
    assert event_score(KNOWN, [E(1.3, 2.0, "x")], 0.2, 0.2) == Score(0, 0, 0)


def test_the_end_may_be_off_by_a_share_of_the_length() -> None:
    known = [E(0, 10, "x")]
    assert event_score(known, [E(0, 14.9, "x")], 0.5, 0.5).f == 1
    assert event_score(known, [E(0, 15.1, "x")], 0.5, 0.5).f == 0
    assert event_score(known, [E(0.6, 10, "x")], 0.5, 0.5).f == 0


def test_each_event_counts_once() -> None:
    assert event_score([E(0, 1, "x")], [E(0, 1, "x"), E(0.1, 1, "x")]) == pytest.approx(Score(2 / 3, 0.5, 1))
    # The first one found fits both, the second one only the first known one: still there are two pairs.
    known, found = [E(0, 1, "x"), E(0.4, 1.4, "x")], [E(0.2, 1.2, "x"), E(0, 0.9, "x")]
    assert event_score(known, found, 0.25, 0) == Score(1, 1, 1)


def test_other_classes_are_other_events() -> None:
    assert event_score([E(0, 1, "x")], [E(0, 1, "y")]) == segment_score([E(0, 1, "x")], [E(0, 1, "y")]) == (0, 0, 0)


def test_nothing_at_all() -> None:
    assert event_score([], []) == segment_score([], KNOWN) == Score(0, 0, 0)
