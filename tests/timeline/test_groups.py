"""Groups of classes, and the ontology that they are of."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hear_edgel3.errors import InvalidOption
from hear_edgel3.registry.labels import Label, labels
from hear_edgel3.registry.ontology import below, parents
from hear_edgel3.timeline import groups_of
from tests.recipes.audioset_ontology import table_of

ALL = labels("audioset")
PLACES = {label.name: i for i, label in enumerate(ALL)}


def names(name: str) -> set[str]:
    """The classes that a class stands for."""
    (members,) = groups_of(ALL, [name]).members
    return {ALL[i].name for i in members}


def test_a_class_covers_what_is_below_it() -> None:
    assert names("Bird") == {
        *("Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet", "Squawk", "Pigeon, dove", "Coo"),
        *("Crow", "Caw", "Owl", "Hoot", "Bird flight, flapping wings"),
    }
    assert names("Owl") == {"Owl", "Hoot"}
    assert names("Hoot") == {"Hoot"}


def test_a_class_may_be_below_several() -> None:
    assert "Hiss" in names("Cat") & names("Snake") & names("Steam")


def test_classes_that_no_net_tells_stand_for_those_below() -> None:
    assert {"Speech", "Cough", "Walk, footsteps", "Applause"} <= names("human sounds")
    assert groups_of(ALL, ["human sounds"]).labels == (Label("Human sounds", "/m/0dgw9r"),)


def test_names_identifiers_and_case() -> None:
    assert groups_of(ALL, ["/m/015p6"]) == groups_of(ALL, ["bIRD"]) == groups_of(ALL, [" Bird "])


def test_exact_classes_stand_for_themselves() -> None:
    assert groups_of(ALL, ["Bird", "Animal"], exact=True).members == ((PLACES["Bird"],), (PLACES["Animal"],))
    with pytest.raises(InvalidOption, match="there is no class 'Human sounds'"):
        groups_of(ALL, ["Human sounds"], exact=True)


def test_the_ontology_reaches_all_classes_from_seven() -> None:
    children = {child for one in parents().values() for child in one.children}
    tops = [one for one in parents().values() if one.mid not in children]
    assert [one.name for one in tops] == [
        *("Human sounds", "Animal", "Music", "Natural sounds", "Sounds of things", "Source-ambiguous sounds"),
        "Channel, environment and background",
    ]
    # The classes of nets are in the order in which one meets them going down the ontology.
    met: list[str] = []

    def go(mid: str) -> None:
        if mid not in met:
            met.append(mid)
            for child in parents()[mid].children if mid in parents() else ():
                go(child)

    for one in tops:
        go(one.mid)
    known = {label.mid for label in ALL}
    assert [mid for mid in met if mid in known] == [label.mid for label in ALL]
    assert set().union(*(below(one.mid) for one in tops)) >= known


def test_the_table_is_made_of_the_ontology() -> None:
    entry = {"description": "", "restrictions": []}
    ontology = [
        {**entry, "id": "/m/0jbk", "name": "Animal!", "child_ids": ["/m/015p6", "/x/1"]},
        {**entry, "id": "/m/015p6", "name": "Bird", "child_ids": ["/x/2"]},
        {**entry, "id": "/x/1", "name": "Nothing", "child_ids": []},
        {**entry, "id": "/x/2", "name": "Above, an owl", "child_ids": ["/m/09d5_"]},
        {**entry, "id": "/m/09d5_", "name": "Owl", "child_ids": []},
    ]
    assert table_of(json.loads(json.dumps(ontology))) == (
        'mid,name,children\n/m/0jbk,Animal,/m/015p6\n/m/015p6,Bird,/x/2\n/x/2,"Above, an owl",/m/09d5_\n'
    )


def test_a_group_is_as_likely_as_its_likeliest_class() -> None:
    two = groups_of([Label("a", ""), Label("b", ""), Label("c", "")], together={"x": ["b", "c"], "y": ["A"]})
    values = np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]], np.float32)
    assert two.probabilities(values).tolist() == np.array([[0.7, 0.1], [0.4, 0.5]], np.float32).tolist()
    assert two.thresholds([0.1, 0.2, 0.3]) == (0.3, 0.1)


def test_where_one_class_is_right_probabilities_add_up() -> None:
    two = groups_of([Label("a", ""), Label("b", ""), Label("c", "")], together={"x": ["b", "c"]}, exclusive=True)
    assert two.probabilities(np.array([[0.25, 0.25, 0.5]])).tolist() == [[0.75]]


def test_without_wishes_every_class_is_told_by_itself() -> None:
    every = groups_of(ALL)
    assert every.labels == ALL
    values = np.random.default_rng(0).random((3, len(ALL)), np.float32)
    assert np.array_equal(every.probabilities(values), values)


def test_classes_of_ones_own_have_nothing_below_them() -> None:
    own = [Label("Animal", ""), Label("Bird", "")]
    assert groups_of(own, ["animal"]).members == ((0,),)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("Brid", "near it are 'Bird'"), ("vocalization", "Bird vocalization, bird call, bird song"), ("", "''")],
)
def test_classes_that_are_not_there(wanted: str, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        groups_of(ALL, [wanted])


def test_classes_of_ones_own_that_are_not_there() -> None:
    """Those of AudioSet, which `tag` shows, are none of a detector's."""
    own = [Label(name, "") for name in ("zilpzalp", "o" * 100)]
    with pytest.raises(InvalidOption, match=r"no class '\?'; there are 'zilpzalp', 'o+\.\.\. \(100 characters\)'$"):
        groups_of(own, ["?"])
    with pytest.raises(InvalidOption, match=r"'c19', and 5 more$"):
        groups_of([Label(f"c{i}", "") for i in range(25)], ["?"])
    with pytest.raises(InvalidOption, match=r"`hear-edgel3 tag --top 1000` shows all$"):
        groups_of(ALL, ["?#?"])


def test_groups_that_make_no_sense() -> None:
    with pytest.raises(InvalidOption, match="has no classes"):
        groups_of(ALL, together={"mine": []})
    with pytest.raises(InvalidOption, match="as a class and as a group"):
        groups_of(ALL, ["Bird"], {"Bird": ["Owl"]})
    with pytest.raises(InvalidOption, match="no classes are asked for"):
        groups_of(ALL, [])
