"""AudioSet, FSD50K and OpenMIC in HDF5 files: bits, masks, names, and the sounds in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from hear_edgel3.errors import AudioFileError, LabelsError
from hear_edgel3.labels import LabelOptions, read_labelled
from hear_edgel3.labels.reading import layout_of
from hear_edgel3.sources.item import Item
from hear_edgel3.sources.opening import ItemOpener
from support.labelled import write

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def fixtures(shared: Path, here: Path) -> Path:
    """Small files as the published programs write them, to be changed."""
    source = shared / "reference" / "training" / "fixtures"
    if not source.is_dir():
        pytest.skip(f"the references of training are not at {source}")
    for path in source.glob("*.hdf"):
        folder = here / path.name.partition("_" if "FSD" not in path.name else ".")[0].replace("unbalanced", "balanced")
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder)
        (folder / path.name).chmod(0o644)
    (here / "eval" / "eval_segments_mp3.hdf").rename(here / "balanced" / "eval_segments_mp3.hdf")
    return here


@pytest.fixture
def reference(shared: Path) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """What the original programs read from these files."""
    folder = shared / "reference" / "training"
    arrays = np.load(folder / "training_reference.npz")
    return arrays, json.loads((folder / "training_reference.json").read_text())


def made_up(path: str, targets: np.ndarray, names: list[str], sounds: list[bytes] | None = None) -> None:
    with h5py.File(path, "w") as file:
        file["audio_name"] = np.array(names, "S20")
        file["target"] = targets
        sounds = sounds or [b"sound"] * len(names)
        data = file.create_dataset("mp3", (len(names),), h5py.vlen_dtype(np.uint8))
        for i, one in enumerate(sounds):
            data[i] = np.frombuffer(one, np.uint8)


def test_audioset(fixtures: Path, reference: tuple[dict[str, np.ndarray], dict[str, list[str]]]) -> None:
    assert layout_of("balanced") == "audioset-hdf5"
    labelled = read_labelled("balanced")
    arrays, names = reference
    assert labelled.parts == ("train",) * 5 + ("test",) * 2
    stored = [Path(item.member).stem.removeprefix("Y") for item in labelled.items]
    assert stored == names["data_audioset_full_names"] + names["data_audioset_eval_names"]
    keys = [*(f"data_audioset_full_{i}" for i in range(5)), *(f"data_audioset_eval_{i}" for i in range(2))]
    opener = ItemOpener("")
    for i, key in enumerate(keys):
        assert np.array_equal(labelled.targets[i], arrays[f"{key}__target"])
        with opener.open(labelled.items[i]) as file:
            samples = torch.cat(list(file.blocks())).numpy()
            assert file.sample_rate == 32000
        np.testing.assert_allclose(samples[8000:8200], arrays[f"{key}__at_8000"].ravel(), atol=2e-6)
    opener.close()
    assert labelled.classes[0] == "Speech"


def test_openmic_and_fsd50k(fixtures: Path, reference: tuple[dict[str, np.ndarray], dict[str, list[str]]]) -> None:
    arrays, names = reference
    openmic = read_labelled("openmic/openmic_train.csv_mp3.hdf")
    assert [item.member for item in openmic.items] == names["data_openmic_train_names"]
    assert openmic.mask is not None
    for i in range(2):
        both = arrays[f"data_openmic_train_{i}__target"]
        assert np.array_equal(openmic.targets[i], both[:20])
        assert np.array_equal(openmic.mask[i], both[20:] > 0.5)
    fsd50k = read_labelled("FSD50K")
    assert fsd50k.parts == ("train", "train")
    assert [item.member for item in fsd50k.items] == names["data_fsd50k_train_s21_names"]
    for i in range(2):
        assert np.array_equal(fsd50k.targets[i], arrays[f"data_fsd50k_train_s21_{i}__target"])
    assert fsd50k.classes[3] == "class_003"
    assert any("vocabulary.csv" in note for note in fsd50k.notes)
    write("FSD50K/vocabulary.csv", "".join(f"{i},Name {i},/m/{i}\n" for i in range(200)))
    assert read_labelled("FSD50K").classes[3] == "Name 3"


def test_bits_of_our_own() -> None:
    bits = np.zeros((2, 527), np.uint8)
    bits[0, [0, 526]] = bits[1, 7] = 1
    made_up("eval_segments_mp3.hdf", np.packbits(bits, axis=1), ["YaY.mp3", "00/Yb.mp3"])
    labelled = read_labelled("eval_segments_mp3.hdf")
    assert np.array_equal(labelled.targets, bits)
    size = Path("eval_segments_mp3.hdf").stat().st_size // 2
    assert labelled.items[1] == Item("eval_segments_mp3.hdf/00/Yb.mp3", size, "eval_segments_mp3.hdf", 1)
    assert [item.member for item in labelled.items] == ["YaY.mp3", "00/Yb.mp3"]
    assert any("524 of 527 classes have no sound" in note for note in labelled.notes)


def test_files_that_are_wrong() -> None:
    made_up("eval_segments_mp3.hdf", np.zeros((1, 60), np.uint8), ["Ya.mp3"])
    with pytest.raises(
        LabelsError, match=r"uint8 of shape \(1, 60\); AudioSet with 527 classes has uint8 .* \(N, 66\)"
    ):
        read_labelled("eval_segments_mp3.hdf")
    with h5py.File("FSD50K.val_mp3.hdf", "w") as file:
        file["target"] = np.zeros((1, 25), np.uint8)
    with pytest.raises(LabelsError, match="has no data set audio_name and mp3, but target"):
        read_labelled("FSD50K.val_mp3.hdf")
    Path("FSD50K.val_mp3.hdf").write_bytes(b"not HDF5")
    with pytest.raises(LabelsError, match="cannot be read as an HDF5 file"):
        read_labelled("FSD50K.val_mp3.hdf")
    values = np.full((1, 40), np.nan, np.float32)
    made_up("openmic_test.csv_mp3.hdf", values, ["a.mp3"])
    with pytest.raises(LabelsError, match="a relevance or mask is not between 0 and 1"):
        read_labelled("openmic_test.csv_mp3.hdf")
    with pytest.raises(LabelsError, match="no file of AudioSet"):
        read_labelled("FSD50K.val_mp3.hdf", LabelOptions(layout="audioset-hdf5"))


def test_a_row_that_is_another_now_or_empty() -> None:
    made_up("eval_segments_mp3.hdf", np.zeros((2, 66), np.uint8), ["Ya.mp3", "Yb.mp3"], [b"x", b""])
    items = read_labelled("eval_segments_mp3.hdf").items
    opener = ItemOpener("")
    with pytest.raises(AudioFileError, match="is empty"), opener.open(items[1]):
        pass
    other = items[0]._replace(file="eval_segments_mp3.hdf/Yc.mp3")
    with pytest.raises(AudioFileError, match=r"has changed: in row 0 is Ya\.mp3, not Yc\.mp3"), opener.open(other):
        pass
    opener.close()
