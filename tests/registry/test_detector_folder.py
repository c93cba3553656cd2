"""What a folder says of classes of somebody's own, and what it cannot say."""

from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

import hear_edgel3
from hear_edgel3.cli import main
from hear_edgel3.disk.digest import sha256_of
from hear_edgel3.errors import ConfigurationError, InvalidOption, WeightsCorrupt, WeightsMismatch
from hear_edgel3.registry import folder as local
from hear_edgel3.registry.labels import Label
from hear_edgel3.registry.names import resolve
from hear_edgel3.tagging.tagger import Tagger
from hear_edgel3.weights.file import encode, read_tensors
from support.detectors import CLASSES, write_detector
from support.folders import change, make_folder
from support.types import Captured


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    return write_detector(tmp_path / "mine")


def changed(folder: Path, *path: str, to: Any) -> None:
    """Changes a value deep inside the description; ... leaves it out."""
    values = json.loads((folder / "configuration.json").read_text())
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    if to is ...:
        del inner[path[-1]]
    (folder / "configuration.json").write_text(json.dumps(values))


def test_what_a_row_says_of_a_detector(detector: Path) -> None:
    change(detector, temperature=1.5, thresholds=[0.25, None, 0.5])
    row = local.read_folder(detector)
    assert (row.classes, row.targets, row.temperature) == (CLASSES, "single", 1.5)
    assert row.thresholds == (0.25, None, 0.5)
    assert row.tags
    assert (row.n_classes, row.labels) == (3, None)
    assert row.head is not None
    assert (row.head.kind, row.head.outputs) == ("linear", 3)
    assert hear_edgel3.load(detector).labels == tuple(Label(name, "") for name in CLASSES)


def test_what_may_be_left_out(detector: Path) -> None:
    changed(detector, "head", "words", to=...)
    row = local.read_folder(detector)
    assert (row.temperature, row.thresholds) == (1.0, None)
    change(detector, temperature=None, thresholds=None)
    assert local.read_folder(detector) == row


def test_a_row_of_a_net_without_classes_says_so(tmp_path: Path) -> None:
    row = local.read_folder(make_folder(tmp_path / "plain", "l3"))
    assert (row.classes, row.head, row.tags) == ((), None, False)
    with pytest.raises(InvalidOption, match="small has no classifier and cannot tag; these can: tiny, mn01_as"):
        Tagger(tmp_path / "plain")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": []}, r"classes must be a list of names, got \[\]"),
        ({"classes": "abc"}, "classes must be a list of names, got 'abc'"),
        ({"classes": {"dog": 1}}, "classes must be a list of names"),
        ({"classes": ["dog", "cat"]}, "there are 2 classes, and the head puts out 3"),
        ({"classes": ["dog", "cat", "cow", "owl"]}, "there are 4 classes, and the head puts out 3"),
        ({"classes": ["dog", "cat", "dog"]}, "2 classes have the name 'dog'"),
        ({"classes": ["dog", "", "cat"]}, "class 2 has no name that can be shown, but ''"),
        ({"classes": ["dog", " cat", "cow"]}, "class 2 has no name that can be shown, but ' cat'"),
        ({"classes": ["dog", 7, "cow"]}, "class 2 has no name that can be shown, but 7"),
        ({"classes": ["dog", "c\nat", "cow"]}, "class 2 has no name that can be shown"),
        ({"classes": ["dog", "c\u202eat", "cow"]}, "class 2 has no name that can be shown"),
        ({"classes": None}, "targets says how classes are told, and there are no classes"),
        (
            {"labels": "audioset"},
            "the list of labels 'audioset' has 527 classes|in classes, and a list of them in labels",
        ),
        ({"targets": "one"}, "targets must be one of single, several, numbers; got 'one'"),
        ({"targets": None}, "targets must be one of single, several, numbers; got None"),
        ({"targets": ["single"]}, "targets must be one of single, several, numbers; got"),
        *(
            ({"temperature": value}, "temperature must be a positive number, got")
            for value in (0, -1.5, True, "1", [1], float("inf"), float("nan"))
        ),
        ({"temperature": 10**400}, "too large|temperature"),
        ({"temperature": 1e-320}, "temperature must be between 1e-06 and 1e"),
        ({"targets": "numbers", "temperature": 2}, "temperature is for probabilities, and targets are numbers"),
        ({"targets": "numbers", "thresholds": [0.5] * 3}, "thresholds are for probabilities, and targets are numbers"),
        ({"thresholds": 0.5}, "thresholds must be a list of 3, a number or null for each class"),
        ({"thresholds": [0.5, 0.5]}, "thresholds must be a list of 3"),
        *(
            ({"thresholds": [0.5, value, None]}, "a threshold must be a number between 0 and 1, got")
            for value in (0, 1, -0.1, 1.1, True, "0.5", [0.5], float("nan"))
        ),
        ({"head": []}, "head must be an object with layout and words"),
        ({"head": {}}, "head must be an object with layout and words"),
        ({"head": {"layout": 3}}, "head must be an object with layout and words"),
        ({"head": None}, "there are 3 classes, and the net has 527"),
    ],
    ids=repr,
)
def test_values_that_cannot_be(changes: dict[str, Any], message: str, detector: Path, capsys: Captured) -> None:
    change(detector, **changes)
    with pytest.raises(ConfigurationError, match=f"^{detector}/configuration.json .*({message})"):
        local.read_folder(detector)
    assert main(["info", str(detector)]) != 0
    assert "does not describe a configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("head", "more"), 1, "head has an unknown value 'more'; there are layout and words"),
        (("head", "words"), 3, "words of the head must be a text, got 3"),
        (("head", "words"), "b99", "'b99' is no feature"),
        (("head", "words"), "clf1", r"the head takes \d+ values, and the embedding \('clf1'\) has \d+"),
        (("head", "layout", "kind"), "cnn", "the kind of a head must be one of linear, mlp; got 'cnn'"),
        (("head", "layout", "kind"), ..., "the description of a head lacks kind"),
        (("head", "layout", "unit"), 4, "unknown value 'unit'; do you mean units"),
        (("head", "layout", "inputs"), 7, r"the head takes 7 values, and the embedding \(its default\) has \d+"),
        (("head", "layout", "inputs"), 10**30, r"the head takes 10+ values"),
        (("head", "layout", "inputs"), -1, "inputs of a head must be a whole number of at least 1"),
        (("head", "layout", "outputs"), 4, "there are 3 classes, and the head puts out 4"),
        (("head", "layout", "outputs"), True, "outputs of a head must be a whole number"),
        (("head", "layout", "dropout"), float("nan"), "dropout must be from 0 to below 1"),
        (("head", "layout", "standardize"), 1, "standardize must be True or False"),
    ],
)
def test_heads_that_cannot_be(path: tuple[str, ...], value: Any, message: str, detector: Path) -> None:
    changed(detector, *path, to=value)
    with pytest.raises(ConfigurationError, match=f"^{detector}/configuration.json .*{message}"):
        hear_edgel3.load(detector)


@pytest.mark.parametrize("key", ["targets", "head", "temperature", "thresholds"])
def test_keys_without_classes(key: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "plain")
    change(folder, **{key: "single" if key == "targets" else 1})
    with pytest.raises(ConfigurationError, match=f"{key} says how classes are told, and there are no classes"):
        local.read_folder(folder)


def test_one_class(tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "one", targets="several", classes=("dog",))
    assert Tagger(folder).tag_samples([0.0] * 32000, 32000).probabilities.shape == (1, 1)
    change(folder, targets="single")
    with pytest.raises(ConfigurationError, match="there is one class only, and targets are single"):
        local.read_folder(folder)


def test_classifiers_of_the_net_itself(tmp_path: Path) -> None:
    own = write_detector(tmp_path / "own", "own")
    assert local.read_folder(own).n_classes == 3
    change(own, classes=["dog", "cat"])
    with pytest.raises(ConfigurationError, match="there are 2 classes, and the net has 3"):
        local.read_folder(own)
    l3 = write_detector(tmp_path / "l3", "small_l3", head=None)
    with pytest.raises(ConfigurationError, match="has no classifier of its own, and there is no head"):
        local.read_folder(l3)


def test_heads_that_their_weights_cannot_fill(tmp_path: Path) -> None:
    folder = write_detector(tmp_path / "d", mlp=True)
    changed(folder, "head", "layout", "units", to=10**9)
    tracemalloc.start()
    try:
        with pytest.raises(WeightsMismatch, match=r"has \d+ values, and .* describes a net of \d+ parameters"):
            hear_edgel3.load(folder)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_weights_that_are_not_those_of_the_head(detector: Path) -> None:
    state = read_tensors(detector / "model.safetensors")[0]
    without = {key: value for key, value in state.items() if key != "head.output.bias"}
    named = {key.replace("head.", "top."): value for key, value in state.items()}
    for tensors, message in ((without, "has .* values|1 tensors are missing"), (named, "2 tensors are missing")):
        other = detector / "other.safetensors"
        other.write_bytes(encode({k: v.clone() for k, v in tensors.items()}, {}))
        with pytest.raises(WeightsMismatch, match=message):
            hear_edgel3.load(detector, weights=other)


@pytest.mark.parametrize("stated", ["several", "numbers"])
def test_targets_that_its_weights_are_not_for(stated: str, detector: Path) -> None:
    """They say what they were trained for; those of earlier versions do not."""
    change(detector, targets=stated)
    assert hear_edgel3.load(detector).configuration.checkpoint.targets == stated  # type: ignore[attr-defined]
    weights = detector / "model.safetensors"
    weights.write_bytes(encode(dict(read_tensors(weights)[0]), {"configuration": "mine", "targets": "single"}))
    change(detector, weights_sha256=sha256_of(weights))
    said = (
        f'{detector / "configuration.json"} says "targets": "{stated}", and {weights} was trained for "single", so '
        f'what it puts out would be read wrongly; write "targets": "single" there again, or train a detector for '
        f'"{stated}"'
    )
    with pytest.raises(WeightsMismatch, match=re.escape(said)):
        hear_edgel3.load(detector)
    with pytest.raises(WeightsMismatch, match=re.escape(said)):
        Tagger(detector)
    change(detector, targets="single")
    assert hear_edgel3.load(detector).labels == tuple(Label(name, "") for name in CLASSES)


def with_weights_for(folder: Path, classes: object, name: str = "other.safetensors", **more: Any) -> Path:
    """A weights file of the folder's tensors, with small changes, that says which classes it is for."""
    state = {key: value.clone() for key, value in read_tensors(folder / "model.safetensors")[0].items()}
    state["head.output.bias"] += 1  # other bytes than the folder's own, whatever it says
    path = folder / name
    path.write_bytes(encode(state, {"classes": classes, **more}))
    return path


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["dog", "bird", CLASSES[2]], "class 2 is 'bird' there, and 'cat' in "),
        (["cat", "dog", CLASSES[2]], "class 1 is 'cat' there, and 'dog' in "),
        (["dog", "cat"], "there are 2 there, and 3 in "),
    ],
)
def test_weights_of_another_detector_of_its_shape(classes: list[str], said: str, detector: Path) -> None:
    other = with_weights_for(detector, classes)
    message = f"{other} holds the weights of a detector of other classes than {detector}: {said}{detector}"
    for use in (hear_edgel3.load, Tagger):
        with pytest.raises(WeightsMismatch, match=re.escape(message)):
            use(detector, weights=other)  # type: ignore[operator]


def test_other_weights_for_its_classes(detector: Path) -> None:
    other = with_weights_for(detector, list(CLASSES), targets="single")
    assert hear_edgel3.load(detector, weights=other).labels == tuple(Label(name, "") for name in CLASSES)


@pytest.mark.parametrize("classes", ["dog", [1, 2, 3], {"dog": 1}, 3])
def test_weights_whose_classes_are_no_names(classes: object, detector: Path) -> None:
    with pytest.raises(WeightsCorrupt, match=r"other\.safetensors does not say which classes it is for, but "):
        hear_edgel3.load(detector, weights=with_weights_for(detector, classes))


def test_classes_that_were_renamed_in_the_folder(detector: Path, capsys: Captured) -> None:
    """Its own weights are known by their checksum; but one class is not to be called as another one of them."""
    weights = with_weights_for(detector, list(CLASSES), "model.safetensors")
    change(detector, weights_sha256=sha256_of(weights), classes=["Hund", "Katze", "cat"])
    said = (
        f"{detector / 'configuration.json'} calls class 3 'cat', and {weights} was trained with 'a bell, far away' in "
        f"its place, so that one class would be taken for another"
    )
    with pytest.raises(WeightsMismatch, match=re.escape(said)):
        hear_edgel3.load(detector)
    change(detector, classes=["Hund", "Katze", "Glocke"])
    for given in (None, weights):  # the same file, if it is named
        assert [label.name for label in hear_edgel3.load(detector, weights=given).labels] == ["Hund", "Katze", "Glocke"]


def test_weights_that_name_other_classes(detector: Path) -> None:
    state = read_tensors(detector / "model.safetensors")[0]
    other = detector / "other.safetensors"
    other.write_bytes(encode(dict(state), {"labels": [["a", ""], ["b", ""]]}))
    with pytest.raises(InvalidOption, match="mine names its classes in its folder, so weights cannot name others"):
        hear_edgel3.load(detector, weights=other)


def test_reading_a_folder_imports_no_torch(detector: Path) -> None:
    import subprocess
    import sys

    code = f"import sys; from hear_edgel3.registry.names import resolve; resolve({str(detector)!r}); "
    code += "assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert resolve(detector).features.names == resolve(str(detector)).features.names
