"""Files of weights that are given: what is refused, and what a sound one needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import hear_edgel3
from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch
from hear_edgel3.weights import locate as weights
from support import synthetic
from support.damage import Bomb
from support.l3_files import SEA
from support.loopback import FakeHub


@pytest.mark.parametrize("filename", ["sea.h5", "sea.h5.gz", "sea.hdf5", "sea.pt"])
def test_a_file_to_convert_first_gets_the_command(filename: str, tmp_path: Path, packed: bytes) -> None:
    path = tmp_path / filename
    path.write_bytes(packed)
    with pytest.raises(WeightsMismatch) as caught:
        hear_edgel3.load("sea_64", path)
    assert f"python -m weights_convert sea_64 --source {path} --output sea_64.safetensors" in str(caught.value)


def test_a_file_of_another_configuration_is_refused(weights_folder: Path) -> None:
    with pytest.raises(WeightsMismatch, match="holds the weights of sea_128, not of sea_64"):
        hear_edgel3.load("sea_64", weights_folder / "sea_128.safetensors")


def test_the_name_in_the_file_counts_where_shapes_do_not_tell(tmp_path: Path, weights_folder: Path) -> None:
    # sixteen checkpoints have the shapes of sparse_95
    with pytest.raises(WeightsMismatch, match="holds the weights of sparse_95, not of sparse_53_kd"):
        hear_edgel3.load("sparse_53_kd", weights_folder / "sparse_95.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("convs.3.bias"), r"1 tensors are missing \(convs\.3\.bias\)"),
        (lambda s: s.update({"extra.weight": torch.zeros(2)}), r"1 are unknown \(extra\.weight\)"),
        (
            lambda s: s.update({"convs.0.bias": torch.zeros(31)}),
            r"convs\.0\.bias should have shape \(32,\) but has \(31,\)",
        ),
        (lambda s: s.clear() or s.update(a=torch.zeros(1)), r"52 tensors are missing \(convs\.0\.bias.*, \.\.\.\)"),
    ],
    ids=["missing", "unknown", "shape", "nothing right"],
)
def test_tensors_that_do_not_fit_are_refused(change, words: str, tmp_path: Path) -> None:
    state = synthetic.state("sea_64")
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsMismatch, match=words) as caught:
        hear_edgel3.load("sea_64", tmp_path / "w.safetensors")
    assert "does not fit sea_64" in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("key", ["convs.5.weight", "norms.7.running_var", "input_norm.bias"])
def test_values_that_are_not_finite_are_refused(key: str, value: float, tmp_path: Path) -> None:
    state = synthetic.state("sea_64")
    changed = state[key].clone()
    changed.view(-1)[-1] = value
    save_file({**state, key: changed}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsCorrupt, match=f"{key} has values that are not finite"):
        hear_edgel3.load("sea_64", tmp_path / "w.safetensors")


@pytest.mark.parametrize("length", [0, 4, 100, 20_000, -1])
def test_truncated_files_are_refused(length: int, sea_bytes: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(sea_bytes[:length])
    with pytest.raises(WeightsCorrupt, match=r"w\.safetensors is not a sound safetensors file"):
        hear_edgel3.load("sea_64", path)


def test_random_bytes_and_pickles_are_refused_and_never_executed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(bytes(range(256)) * 100)
    with pytest.raises(WeightsCorrupt):
        hear_edgel3.load("sea_64", path)
    torch.save(Bomb(tmp_path / "executed"), path)
    with pytest.raises(WeightsCorrupt):
        hear_edgel3.load("sea_64", path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("metadata", [{}, {"hear_edgel3": "not json"}, {"hear_edgel3": "[1]"}, {"format": "pt"}])
def test_a_file_without_our_metadata_is_judged_by_its_tensors(metadata: dict[str, str], tmp_path: Path) -> None:
    save_file(synthetic.state("sea_64"), tmp_path / "w.safetensors", metadata or None)
    extractor = hear_edgel3.load("sea_64", tmp_path / "w.safetensors")
    for key, value in synthetic.state("sea_64").items():
        assert torch.equal(extractor.net.state_dict()[key], value), key


def test_the_model_survives_the_removal_of_its_file(tmp_path: Path, sea_bytes: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(sea_bytes)
    extractor = hear_edgel3.load("sea_64", path)
    path.write_bytes(bytes(len(sea_bytes)))  # in place: a memory map would see it
    for key, value in synthetic.state("sea_64").items():
        assert torch.equal(extractor.net.state_dict()[key], value), key


def test_a_flipped_bit_is_noticed(sea_bytes: bytes, tmp_path: Path) -> None:
    """Still finite, still the right shapes; only the digest in the file can tell."""
    damaged = bytearray(sea_bytes)
    damaged[-3] ^= 0x10
    (tmp_path / "sea_64.safetensors").write_bytes(damaged)
    with pytest.raises(WeightsCorrupt, match="its values are not the ones that were written"):
        hear_edgel3.load("sea_64", tmp_path)


def test_a_damaged_file_in_our_cache_names_itself(sea_bytes: bytes, hub: FakeHub) -> None:
    path = weights.cache_folder() / SEA.filename
    path.parent.mkdir(parents=True)
    path.write_bytes(sea_bytes[:-100])
    with pytest.raises(WeightsCorrupt, match="delete it and fetch it again") as caught:
        hear_edgel3.load("sea_64")
    assert str(path) in str(caught.value)
