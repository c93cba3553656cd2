"""Splits: what is stated is kept, what is made keeps groups whole and classes even, and leaks are refused or said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.errors import InvalidOption, LabelsError
from hear_edgel3.labels import Kind, Labelled
from hear_edgel3.labels.leaks import Bond, bonds, exact_copies, units
from hear_edgel3.labels.splits import Dividing, How, OnLeak, Split, divide
from hear_edgel3.search.duplicates import find_alike
from hear_edgel3.sources.item import Item
from support.labelled import touch

pytestmark = pytest.mark.usefixtures("here")


def single(targets: list[int], **more: object) -> Labelled:
    """Files that are not there, which takes no look for copies of them."""
    items = tuple(Item(f"{i}.wav", 0) for i in range(len(targets)))
    classes = tuple("abcdefgh"[: max(targets) + 1])
    return Labelled("set", Kind.SINGLE, classes, items, np.array(targets), **more)  # type: ignore[arg-type]


def parts(split: Split) -> list[list[int]]:
    return [part.tolist() for part in (split.train, split.validation, split.test)]


def test_a_stated_split_is_kept() -> None:
    stated = ("train", "validation", "test", "train", "train")
    (split,) = divide(single([0, 0, 1, 1, 1], parts=stated))
    assert parts(split) == [[0, 3, 4], [1], [2]]


def test_validation_is_taken_from_training_only() -> None:
    stated = ("train",) * 8 + ("test",) * 2
    labelled = single([0, 1] * 5, parts=stated, groups=tuple("aabbccddee"))
    (split,) = divide(labelled, Dividing(validation=0.25))
    train, validation, test = parts(split)
    assert test == [8, 9]
    assert len(validation) == 2
    assert validation[1] == validation[0] + 1  # a group
    assert sorted(train + validation) == list(range(8))
    (split,) = divide(labelled, Dividing(validation=0))
    assert parts(split) == [list(range(8)), [], [8, 9]]


def test_stated_folds_are_each_the_test_once() -> None:
    splits = divide(single([0, 1] * 6, folds=("10", "10", "2", "2") * 3), Dividing(validation=0))
    assert [split.name for split in splits] == ["fold 2", "fold 10"]
    assert splits[0].test.tolist() == [2, 3, 6, 7, 10, 11]
    assert splits[0].train.tolist() == splits[1].test.tolist()


def test_folds_of_our_own_keep_groups_and_spread_classes() -> None:
    rng = np.random.default_rng(0)
    groups = tuple(f"g{i}" for i in range(40) for _ in range(3))
    targets = [int(i) for i in np.repeat(rng.choice(3, 40, p=(0.2, 0.3, 0.5)), 3)]
    labelled = single(targets, groups=groups)
    splits = divide(labelled, Dividing(How.FOLDS, n_folds=4))
    assert sorted(row for split in splits for row in split.test) == list(range(120))
    counts = np.array([labelled.subset(split.test).positives() for split in splits])
    assert (np.ptp(counts, axis=0) <= 3).all()  # no more than one group apart
    for split in splits:
        sides = [{groups[row] for row in part} for part in parts(split)]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & sides[2]
        assert all(labelled.subset(split.validation).positives() > 0)


def test_stated_folds_go_before_another_number_of_them_which_is_said() -> None:
    labelled = single([0, 1] * 6, folds=tuple("aabbcc" * 2))
    for n, notes in ((4, 1), (3, 0), (5, 0)):
        splits = divide(labelled, Dividing(How.FOLDS, n_folds=n, validation=0))
        assert [split.name for split in splits] == ["fold a", "fold b", "fold c"]
        assert all(sum("states 3 folds" in note for note in split.notes) == notes for split in splits)


def test_several_labels_are_spread_too() -> None:
    rng = np.random.default_rng(1)
    targets = (rng.random((200, 6)) < (0.02, 0.05, 0.1, 0.2, 0.4, 0.6)).astype(np.uint8)
    items = tuple(Item(f"{i}.wav", 0) for i in range(200))
    labelled = Labelled("set", Kind.SEVERAL, tuple("abcdef"), items, targets)
    splits = divide(labelled, Dividing(How.FOLDS, n_folds=5))
    counts = np.array([labelled.subset(split.test).positives() for split in splits])
    even = targets.sum(axis=0) / 5
    # Plain folds at random miss by about the root of the count; these by two at most.
    assert np.abs(counts - even).max() <= 2
    assert {len(split.test) for split in splits} <= {39, 40, 41}


def test_numbers_are_spread_by_ranges() -> None:
    items = tuple(Item(f"{i}.wav", 0) for i in range(100))
    values = np.arange(100, dtype=np.float32)[:, None] ** 2
    (split,) = divide(Labelled("set", Kind.NUMBERS, ("x",), items, values), Dividing(validation=0))
    deciles = split.test // 10
    assert np.bincount(deciles, minlength=10).tolist() == [2] * 10


def test_the_seed_decides() -> None:
    labelled = single([0, 1] * 20)
    first, again, other = (divide(labelled, Dividing(seed=seed))[0] for seed in (1, 1, 2))
    assert parts(first) == parts(again)
    assert parts(first) != parts(other)
    assert [len(part) for part in parts(first)] == [28, 4, 8]


def test_five_sounds_a_class_do() -> None:
    (split,) = divide(single([0] * 5 + [1] * 5))
    assert [len(part) for part in parts(split)] == [6, 2, 2]
    assert len(divide(single([0] * 5 + [1] * 5), Dividing(How.FOLDS))) == 5


def test_leave_one_group_out() -> None:
    labelled = single([0, 1] * 4, groups=("ann", "ann", "bob", "bob", "cy", "cy", "ann", "dee"))
    splits = divide(labelled, Dividing(How.GROUPS))
    assert [split.name for split in splits] == ["without ann", "without bob", "without cy", "without dee"]
    assert splits[0].test.tolist() == [0, 1, 6]
    assert any("classes without a sound in the test part: 'a'" in note for note in splits[3].notes)
    with pytest.raises(LabelsError, match=r"states no groups .*; the option `group_pattern` finds them in paths"):
        divide(single([0, 1]), Dividing(How.GROUPS))


def test_leaks_are_refused_by_name() -> None:
    items = (Item("a.wav", 0, start=0, end=1), Item("a.wav", 0, start=1, end=2), Item("b.wav", 0), Item("c.wav", 0))
    labelled = Labelled(
        "set", Kind.SINGLE, ("x", "y"), items, np.array([0, 0, 1, 1]), parts=("train", "test", "train", "train")
    )
    with pytest.raises(LabelsError) as raised:
        divide(labelled, Dividing(validation=0))
    assert "parts of one recording on several sides of the split (1): a.wav (train and test)" in str(raised.value)
    (split,) = divide(labelled, Dividing(validation=0, on_leak=OnLeak.SAY))
    assert any(note.startswith("parts of one recording on several sides") for note in split.notes)
    grouped = single([0, 1, 0, 1], folds=tuple("1212"), groups=("s", "s", "t", "u"))
    with pytest.raises(LabelsError, match=r"one group on several sides of the split \(1\): s \("):
        divide(grouped, Dividing(validation=0))


def test_published_splits_are_used_as_they_are_and_said() -> None:
    labelled = single([0, 1, 0, 1], folds=tuple("1122"), groups=("s", "u", "s", "t"), published=True)
    splits = divide(labelled, Dividing(validation=0))
    assert splits[0].notes == ("one group on several sides of the split (1): s (train and test)",)


def test_exact_copies_are_found_and_kept_together() -> None:
    touch("0.wav", "1.wav", "2.wav", "4.wav")
    Path("3.wav").write_bytes(Path("1.wav").read_bytes())
    labelled = single([0, 1, 0, 1, 0], parts=("train", "train", "train", "test", "test"))
    assert exact_copies(labelled.items) == [(1, 3)]
    with pytest.raises(LabelsError, match=r"exact copies on several sides of the split \(1\): 1.wav = 3.wav"):
        divide(labelled, Dividing(validation=0))
    divide(labelled, Dividing(validation=0, copies=False))
    touch(*(f"{i}.wav" for i in range(5, 20)))
    for seed in range(5):
        (split,) = divide(single([0, 1] * 10), Dividing(How.RANDOM, seed=seed))
        assert {side for side, rows in enumerate(parts(split)) if {1, 3} & set(rows)} in ({0}, {1}, {2})


def test_near_copies_by_embeddings_are_said_in_stated_splits_and_kept_together_in_others() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((20, 16)).astype(np.float32)
    embeddings[7] = embeddings[12] * 1.001
    near = [rows for rows, _ in find_alike(embeddings)]
    assert near == [[7, 12]]
    labelled = single([0, 1] * 10)
    for seed in range(5):
        (split,) = divide(labelled, Dividing(seed=seed), near)
        assert {side for side, rows in enumerate(parts(split)) if {7, 12} & set(rows)} in ({0}, {1}, {2})
    stated = single([0, 1] * 10, parts=("train",) * 10 + ("test",) * 10)
    (split,) = divide(stated, Dividing(validation=0), near)
    assert split.notes == (
        "sounds that are nearly the same on several sides of the split (1): 7.wav = 12.wav (train and test)",
    )
    with pytest.raises(LabelsError, match="no sound 20 among 20"):
        divide(labelled, near=[[1, 20]])


def test_chains_of_bonds_join() -> None:
    items = (Item("a.wav", 0, start=0, end=1), Item("a.wav", 0, start=1, end=2), Item("b.wav", 0), Item("c.wav", 0))
    labelled = Labelled("s", Kind.SINGLE, ("x", "y"), items, np.array([0, 1, 0, 1]), groups=("p", "q", "q", "r"))
    together = bonds(labelled)
    assert [(one.bond, one.rows) for one in together] == [(Bond.RECORDING, (0, 1)), (Bond.GROUP, (1, 2))]
    assert units(4, together).tolist() == [0, 0, 0, 1]


def test_classes_that_are_not_learnt() -> None:
    (split,) = divide(single([0, 1, 2, 0, 1], parts=("train", "train", "test", "test", "test")), Dividing(validation=0))
    assert split.notes == ("given split: classes of the test part that no sound is learnt from: 'c'",)
    with pytest.raises(LabelsError, match="only one class, 'a', is left to learn from"):
        divide(single([0, 0, 1], parts=("train", "train", "test")), Dividing(validation=0))


def test_what_cannot_be_divided() -> None:
    with pytest.raises(LabelsError, match="2 groups of sounds that must stay together, too few for 5 folds"):
        divide(single([0, 1, 0, 1], groups=tuple("aabb")), Dividing(How.FOLDS))
    with pytest.raises(LabelsError, match="without a training part"):
        divide(single([0, 1], parts=("test", "test")))
    with pytest.raises(LabelsError, match="states no split"):
        divide(single([0, 1]), Dividing(How.GIVEN))
    with pytest.raises(LabelsError, match="one fold, '1', only"):
        divide(single([0, 1], folds=("1", "1")))
    for share in (1, "0.2"):
        with pytest.raises(InvalidOption, match="test must be a share"):
            Dividing(test=share)  # type: ignore[arg-type]
    for folds in (1, 2.5, "5"):
        with pytest.raises(InvalidOption, match="n_folds must be a whole number from 2"):
            Dividing(n_folds=folds)  # type: ignore[arg-type]
    for seed in (-1, "a", None):
        with pytest.raises(InvalidOption, match="seed must be a whole number from 0"):
            Dividing(seed=seed)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="how must be one of auto, given, folds, groups, random; got 'foo'"):
        Dividing("foo")  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="on_leak must be one of refuse, say; got 'ignore'"):
        Dividing(on_leak="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize("published", [False, True])
def test_what_to_do_about_leaks_may_be_a_word(published: bool) -> None:
    """Published sets say leaks if nothing else is said: those that are asked for as a word are refused, too."""
    labelled = single([0, 1, 0, 1], parts=("train", "train", "test", "test"), groups=tuple("abab"), published=published)
    for word in ("refuse", OnLeak.REFUSE):
        with pytest.raises(LabelsError, match="on_leak"):
            divide(labelled, Dividing(on_leak=word, validation=0, copies=False))  # type: ignore[arg-type]
    for word in ("say", OnLeak.SAY):
        (split,) = divide(labelled, Dividing(on_leak=word, validation=0, copies=False))  # type: ignore[arg-type]
        assert split.notes


def test_a_subset_by_numbers_or_by_a_mask() -> None:
    labelled = single([0, 1, 0, 1])
    mask = np.array([False, True, False, True])
    for rows in ([1, 3], range(1, 4, 2), mask, mask.tolist()):
        assert [item.file for item in labelled.subset(rows).items] == ["1.wav", "3.wav"]
    assert len(labelled.subset([])) == len(labelled.subset(np.zeros(4, bool))) == 0
    for rows in (mask[:3], [1.5], [[0, 1]], ["1"]):
        with pytest.raises(LabelsError, match="rows must be numbers of sounds, or a bool for each of the 4"):
            labelled.subset(rows)  # type: ignore[arg-type]


def test_names_that_may_be_of_one_recording_are_said() -> None:
    items = tuple(
        Item(f"{digit}/{digit}_{who}_{i:02d}.wav", 0) for digit in "01" for who in ("ann", "bob") for i in range(10)
    )
    labelled = Labelled("digits", Kind.SINGLE, ("0", "1"), items, np.repeat([0, 1], 20))
    (split,) = divide(labelled)
    (note,) = split.notes
    assert note.startswith("sounds called alike but for a number at the end")
    assert "0/0_ann... (train and validation and test)" in note
    assert "`group_pattern`" in note
    # Where a class has one such name, it is that of the class.
    plain = tuple(Item(f"{label}/{label}_{i}.wav", 0) for label in ("dog", "cat") for i in range(20))
    assert divide(Labelled("animals", Kind.SINGLE, ("x", "y"), plain, np.repeat([0, 1], 20)))[0].notes == ()
    numbers = tuple(Item(f"{label}/{i}.wav", 0) for label in ("dog", "cat") for i in range(20))
    assert divide(Labelled("animals", Kind.SINGLE, ("x", "y"), numbers, np.repeat([0, 1], 20)))[0].notes == ()
    grouped = Labelled("d", Kind.SINGLE, ("0", "1"), items, np.repeat([0, 1], 20), groups=tuple("abcd" * 10))
    assert divide(grouped)[0].notes == ()
