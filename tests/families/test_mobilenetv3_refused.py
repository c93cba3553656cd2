"""Files that are not the checkpoint of the MobileNetV3 family that was asked for, or no checkpoint at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import WeightsCorrupt, WeightsMismatch, WeightsNotFound
from hear_edgel3.families.formats.pytorch import read_state_dict
from hear_edgel3.weights.convert import convert
from support.conversion import assert_refused
from support.damage import SOMETHING_ELSE, Bomb, assert_damage_is_said, random_bytes, scrambled, truncated
from support.loopback import from_upstream, put_in_table
from support.mobilenetv3_files import State, pt, state, variant, with_upstream
from support.synthetic import row
from support.types import Captured
from weights_convert.__main__ import main

pytestmark = pytest.mark.usefixtures("without_checksums")

WIDTH = "expected 294 tensors of a net of width 0.1 with the head mlp"
OTHER_NETS: list[tuple[str, str, Callable[[], State], str]] = [
    (
        "another width",
        "mn01_as",
        lambda: state("mn04_as"),
        f"{WIDTH}, found 312 tensors, a last convolution of 384 channels instead of 96, that of width 0.4",
    ),
    (
        "a width that is not published",
        "mn01_as",
        lambda: variant(width_mult=0.3),
        f"{WIDTH}, found .*, that of width 0.3",
    ),
    (
        "a reduced tail",
        "mn01_as",
        lambda: variant(width_mult=0.1, reduced_tail=True),
        f"{WIDTH}, found 294 tensors, a last convolution of 48 channels instead of 96, that of no width that there is",
    ),
    (
        "a fully convolutional head",
        "mn01_as",
        lambda: variant(width_mult=0.1, head="fully_convolutional"),
        f"{WIDTH}, found 296 tensors, the head fully_convolutional",
    ),
    (
        "an attention head",
        "mn01_as",
        lambda: variant(width_mult=0.1, head="multihead_attention_pooling"),
        f"{WIDTH}, found 293 tensors, the head multihead_attention_pooling",
    ),
    (
        "an mlp head",
        "mn10_as_fc",
        lambda: state("mn01_as"),
        "expected 314 tensors of a net of width 1 with the head fully_convolutional, found 294 tensors, "
        "a last convolution of 96 channels instead of 960, that of width 0.1, the head mlp",
    ),
    (
        "other classes",
        "mn01_as",
        lambda: variant(width_mult=0.1, n_classes=10),
        rf"{WIDTH}, found 294 tensors, classifier\.5\.weight of shape \(10, 128\) instead of \(527, 128\), classifier",
    ),
    ("no classes", "mn01_as", lambda: state("mn01_as", None), rf"{WIDTH}, found 292 tensors, classifier\.5\.bias miss"),
    (
        "squeeze-and-excitation of frequencies",
        "mn01_as",
        lambda: variant(width_mult=0.1, se_dims="cf"),
        rf"{WIDTH}, found .* tensors, .*conc_se_layers\.1.* unknown",
    ),
    (
        "a missing tensor",
        "mn01_as",
        lambda: without("features.9.block.1.0.weight"),
        "features.9.block.1.0.weight missi",
    ),
    (
        "a missing counter",
        "mn01_as",
        lambda: without("features.0.1.num_batches_tracked"),
        "num_batches_tracked missing",
    ),
    ("no last norm", "mn01_as", lambda: without("features.16.1.weight"), f"{WIDTH}, found 293 .*not a MobileNetV3's"),
    (
        "an extra tensor",
        "mn01_as",
        lambda: state("mn01_as") | {"head.weight": torch.zeros(3)},
        f"{WIDTH}, found 295 tensors, head.weight unknown",
    ),
    (
        "another shape",
        "mn01_as",
        lambda: state("mn01_as") | {"features.0.0.weight": torch.zeros(8, 3, 3, 3)},
        rf"{WIDTH}, found 294 tensors, features\.0\.0\.weight of shape \(8, 3, 3, 3\) instead of \(8, 1, 3, 3\)",
    ),
    (
        "prefixed names",
        "mn01_as",
        lambda: {f"student.{k}": v for k, v in state("mn01_as").items()},
        rf"{WIDTH}, found 294 that are not a MobileNetV3's \(student\.classifier",
    ),
    ("another net", "mn01_as", lambda: {"conv.weight": torch.zeros(3)}, f"{WIDTH}, found 1 that are not .*conv.weight"),
]


def without(*names: str) -> State:
    values = state("mn01_as")
    assert set(names) <= set(values)
    return {k: v for k, v in values.items() if k not in names}


@pytest.mark.parametrize(("name", "make", "words"), [c[1:] for c in OTHER_NETS], ids=[c[0] for c in OTHER_NETS])
def test_another_net(name: str, make: Callable[[], State], words: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "x.pt").write_bytes(pt(make()))
    words = f"x.pt is not a checkpoint of {name}: .*{words}"
    assert_refused(name, tmp_path / "x.pt", WeightsMismatch, words, tmp_path / "out", capsys)


@pytest.mark.parametrize(
    ("asked", "named", "expected", "found"),
    [
        ("mn10_as", "mn10_as_mels_40", "hop_length 320, n_mels 128", "hop_length 320, n_mels 40"),
        ("mn10_as_hop_15", "mn10_as", "hop_length 480", "hop_length 320"),
        ("mn10_as_fc_s2221", "mn10_as_fc", r"strides \(2, 2, 2, 1\)", r"strides \(2, 2, 2, 2\)"),
    ],
)
def test_the_name_of_another_checkpoint_whose_parameters_fit(
    asked: str, named: str, expected: str, found: str, mobilenetv3_downloads: Path, tmp_path: Path, capsys: Captured
) -> None:
    filename = row(named).upstream.filename
    words = rf"is the name of the published file of {named}, not of {asked}: expected {row(asked).upstream.filename} "
    words += rf"\(.*{expected}.*\), found .*{found}.*; rename it if it is another file"
    assert_refused(asked, mobilenetv3_downloads / filename, WeightsMismatch, words, tmp_path / "out", capsys)
    os.link(mobilenetv3_downloads / filename, tmp_path / "mine.pt")  # renamed
    assert main([asked, "--source", str(tmp_path / "mine.pt")]) == 0


def test_an_audioset_file_for_an_imagenet_net_is_refused_by_its_name(
    mobilenetv3_downloads: Path, tmp_path: Path, capsys
) -> None:
    source = mobilenetv3_downloads / row("mn04_as").upstream.filename
    words = r"is the name of the published file of mn04_as, not of mn04_im: expected mn04_im\.pt "
    assert_refused("mn04_im", source, WeightsMismatch, words, tmp_path / "out", capsys)


def test_the_bytes_of_another_published_file(
    mobilenetv3_downloads: Path, tmp_path: Path, monkeypatch, capsys: Captured
) -> None:
    """Whatever it is called, and whether its parameters fit or not."""
    path = tmp_path / "mine.pt"
    path.write_bytes((mobilenetv3_downloads / row("mn10_as_mels_40").upstream.filename).read_bytes())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    put_in_table(monkeypatch, with_upstream("mn10_as_mels_40", sha256=sha256))
    words = (
        "mine.pt is the published file of mn10_as_mels_40, not of mn10_as: expected hop_length 320, n_mels 128, .*, "
    )
    words += "found hop_length 320, n_mels 40, width_mult 1.0"
    assert_refused("mn10_as", path, WeightsMismatch, words, tmp_path / "out", capsys)
    assert convert(row("mn10_as_mels_40"), path).published


def test_the_bytes_of_another_published_file_by_gits_id(mn01_file: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    put_in_table(monkeypatch, from_upstream(row("mn01_as"), mn01_file.read_bytes()))
    words = "is the published file of mn01_as, not of mn02_as: expected .*width_mult 0.2, .*, found .*width_mult 0.1"
    assert_refused("mn02_as", mn01_file, WeightsMismatch, words, tmp_path / "out", capsys)
    assert convert(row("mn01_as"), mn01_file).published


def test_bytes_count_more_than_names(mobilenetv3_downloads: Path, tmp_path: Path) -> None:
    """A copy of the published file under another's name is what its bytes say."""
    path = mobilenetv3_downloads / row("mn10_as_mels_40").upstream.filename
    assert convert(from_upstream(row("mn10_as"), path.read_bytes()), path).published


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features.0.0.weight", float("nan")),
        ("features.9.block.1.1.running_var", float("inf")),
        ("classifier.5.bias", -float("inf")),
    ],
)
def test_values_that_are_not_finite(key: str, value: float, tmp_path: Path, capsys: Captured) -> None:
    changed = state("mn01_as")[key].clone()
    changed.view(-1)[-1] = value
    (tmp_path / "x.pt").write_bytes(pt(state("mn01_as") | {key: changed}))
    words = f"x.pt: {key} has values that are not finite"
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, words, tmp_path / "out", capsys)


def test_values_too_large_for_float32(tmp_path: Path, capsys: Captured) -> None:
    key = "features.0.0.weight"
    (tmp_path / "x.pt").write_bytes(pt(state("mn01_as") | {key: torch.full((8, 1, 3, 3), 1e300, dtype=torch.float64)}))
    words = f"{key} has values that are not finite"
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, words, tmp_path / "out", capsys)


NO_STATE_DICTS: dict[str, tuple[Callable[[], object], str]] = {
    "a tensor": (lambda: torch.zeros(3), "is not a state dict: expected named tensors, found Tensor"),
    "a list": (lambda: list(state("mn01_as").values()), "is not a state dict: expected named tensors, found list"),
    "nothing": (lambda: None, "is not a state dict: expected named tensors, found NoneType"),
    "a number": (lambda: 3, "is not a state dict: expected named tensors, found int"),
    "an empty dict": (dict, "is not a state dict: expected named tensors, found dict"),
    "an empty state dict": (lambda: {"state_dict": {}, "epoch": 3}, "is not a state dict: 'state_dict' is dict, not a"),
    "no names": (lambda: dict(enumerate(state("mn01_as").values())), "is not a state dict: 0 is Tensor"),
    "a number among tensors": (lambda: state("mn01_as") | {"epoch": 3}, "is not a state dict: 'epoch' is int, not a"),
    "a sparse tensor": (
        lambda: state("mn01_as") | {"classifier.5.weight": state("mn01_as")["classifier.5.weight"].to_sparse()},
        r"classifier\.5\.weight is not a dense tensor of real numbers",
    ),
}


@pytest.mark.parametrize("kind", NO_STATE_DICTS)
def test_a_pytorch_file_that_is_no_state_dict(kind: str, tmp_path: Path, capsys: Captured) -> None:
    make, words = NO_STATE_DICTS[kind]
    (tmp_path / "x.pt").write_bytes(pt(make()))
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, words, tmp_path / "out", capsys)


def zip_of_texts() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.txt", "hello")
    return buffer.getvalue()


OTHER_FILES: dict[str, Callable[[], bytes]] = {
    **{kind: lambda data=data: data for kind, data in SOMETHING_ELSE.items()},
    "random after zip": lambda: b"PK\x03\x04" + random_bytes(5000),
    "zip": zip_of_texts,
    "hdf5": lambda: b"\x89HDF\r\n\x1a\n" + random_bytes(500),
    "gzip": lambda: gzip.compress(pt(state("mn01_as")), 1),
}
NO_CHECKPOINT = (
    r"x\.pt (is not a PyTorch checkpoint|is a damaged or truncated PyTorch checkpoint|holds more than tensors)"
)


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_a_file_that_is_something_else(kind: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "x.pt").write_bytes(OTHER_FILES[kind]())
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, NO_CHECKPOINT, tmp_path / "out", capsys)


@pytest.mark.parametrize("where", [2, 9, 30, 1000, 0.1, 0.5, 0.99, -200, -1])
def test_a_truncated_file(where: float, smallest: bytes, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "x.pt").write_bytes(truncated(where, smallest))
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, NO_CHECKPOINT, tmp_path / "out", capsys)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, of what it finds in such files
def test_damage_never_escapes_as_another_error(smallest: bytes) -> None:
    """Bytes of the structure (which stands around the values) changed at random: read, or WeightsCorrupt."""
    damaged = scrambled(smallest, 30_000, 20_000, times=150)
    refused = assert_damage_is_said(lambda data: read_state_dict(data, "x.pt"), damaged)
    assert 30 < refused < 150


BOMBS: dict[str, Callable[[Bomb], bytes]] = {
    "alone": pt,
    "among tensors": lambda bomb: pt(state("mn01_as") | {"x": bomb}),
    "beside the state dict": lambda bomb: pt({"state_dict": state("mn01_as"), "hyper_parameters": bomb}),
    "as a key": lambda bomb: pt({bomb: state("mn01_as")}),
    "before PyTorch 1.6": lambda bomb: pt(state("mn01_as") | {"x": bomb}, zipped=False),
    "a bare pickle": lambda bomb: pickle.dumps(bomb, 2),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_code_in_a_file_is_not_executed(kind: str, tmp_path: Path, capsys: Captured) -> None:
    marker = tmp_path / "executed"
    (tmp_path / "x.pt").write_bytes(BOMBS[kind](Bomb(marker)))
    words = "x.pt holds more than tensors and plain containers"
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, words, tmp_path / "out", capsys)
    assert not marker.exists()
    if kind == "a bare pickle":  # the bomb is live
        pickle.loads((tmp_path / "x.pt").read_bytes())
        assert marker.is_dir()


@pytest.mark.parametrize("kind", ["a module", "arrays"])
def test_other_programs_objects_are_not_made(kind: str, tmp_path: Path, capsys: Captured) -> None:
    value = torch.nn.Linear(2, 2) if kind == "a module" else {k: v.numpy() for k, v in state("mn01_as").items()}
    (tmp_path / "x.pt").write_bytes(pt(value))
    words = "x.pt holds more than tensors and plain containers"
    assert_refused("mn01_as", tmp_path / "x.pt", WeightsCorrupt, words, tmp_path / "out", capsys)


def test_a_source_that_is_not_there(tmp_path: Path, capsys: Captured) -> None:
    words = r"the source file .*nowhere\.pt does not exist"
    assert_refused("mn01_as", tmp_path / "nowhere.pt", WeightsNotFound, words, tmp_path / "out", capsys)
    assert main(["mn01_as", "--source", str(tmp_path)]) == 1  # a folder that does not have it
    assert f"{tmp_path / 'mn01_as_mAP_298.pt'} does not exist" in capsys.readouterr().err


def test_load_gives_the_command_for_a_file_of_the_authors(mn01_file: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(WeightsMismatch) as caught:
        hear_edgel3.load("mn01_as_logits", mn01_file)
    command = f"python -m weights_convert mn01_as --source {mn01_file} --output mn01_as.safetensors"
    assert command in str(caught.value)
    monkeypatch.chdir(tmp_path)
    assert main(command.split()[3:]) == 0
    assert hear_edgel3.load("mn01_as_logits", "mn01_as.safetensors").scene_embedding_size == 527
