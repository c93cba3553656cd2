"""S-SONDO: names, words, what is refused of files, and what clips may be; with seeded weights."""

from __future__ import annotations

import argparse
import pathlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.errors import InvalidAudio, UnknownFeatures, WeightsCorrupt, WeightsMismatch
from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.convert import convert
from support import signals, ssondo_files
from support.mobilenetv3_files import pt

RATE, SEGMENT = 32000, 320000
NAMES = list(ssondo_files.GAINS)
MN, DYMN = NAMES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("ssondo")
    (found / f"{MN}.safetensors").write_bytes(ssondo_files.converted(MN))
    return found


def row(name: str) -> Any:
    return resolve(name).checkpoint


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / row(name).upstream.filename
    path.write_bytes(pt(content))
    return path


def test_names_and_words() -> None:
    assert resolve("matpac-mobilenetv3").checkpoint is row(MN)
    assert resolve("matpac-dymn").checkpoint is row(DYMN)
    assert [resolve(f"{MN}{words}").embedding_size for words in ("", "_teacher", "_clf2", "_all_b_mel_avgs")] == [
        *(960, 3840, 1280, 600)
    ]
    assert resolve(f"{DYMN}_all_ctx").embedding_size == 1032
    assert resolve(f"{MN}_teacher_clf1").features.names == ("clf1", "teacher")
    assert resolve(MN).features.names == ("clf1",)
    for words in ("logits", "l", "allmode", "clf1_logits"):
        with pytest.raises(UnknownFeatures, match=r"was trained without classes.*is called teacher"):
            resolve(f"{MN}_{words}")
    with pytest.raises(UnknownFeatures, match="'ctx0' is no feature"):
        resolve(f"{MN}_ctx0")
    for name, n_parameters in ((MN, 9_120_784), (DYMN, 14_792_432)):
        assert row(name).n_parameters == n_parameters
        assert row(name).n_classes is None
        assert not row(name).tags
        assert "not stated" in row(name).upstream.licence
    assert row(MN).macs_10s - 960 * 1280 - 1280 * 3840 == pytest.approx(0.336e9, rel=0.01)
    assert row(DYMN).net.arguments["tau"] == 30


@pytest.mark.parametrize("n_samples", [0, 1, 1023, 1024, 1535, 1536, 5120, SEGMENT])
def test_frames(n_samples: int) -> None:
    frontend = SsondoMelSpectrogram()
    images = frontend(torch.ones(2, n_samples))
    assert images.shape == (2, 128, frontend.n_frames(n_samples))
    assert row(MN).layers.n_frames(n_samples) == frontend.n_frames(n_samples)
    assert frontend(torch.ones(0, n_samples)).shape == (0, *images.shape[1:])
    silent = frontend(torch.zeros(1, n_samples))
    np.testing.assert_allclose(silent, np.log(np.float32(1e-3)), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_authors_file(name: str, tmp_path: Path) -> None:
    converted = convert(row(name), written(tmp_path, name, ssondo_files.checkpoint(name)))
    assert converted.state.keys() == ssondo_files.state(name).keys()
    assert all(torch.equal(value, ssondo_files.state(name)[key]) for key, value in converted.state.items())
    assert converted.provenance.get("settings") == ({"tau": 30.0} if name == DYMN else None)
    assert converted.provenance["licence"] == "not stated by their authors (of their code: MIT)"


def test_what_lightning_adds_is_harmless_or_refused(tmp_path: Path) -> None:
    content = ssondo_files.checkpoint(MN)
    content["hyper_parameters"] = argparse.Namespace(lr=1e-3)
    content["callbacks"] = {"best_model_path": pathlib.PosixPath("a/b.ckpt")}
    assert len(convert(row(MN), written(tmp_path, MN, content)).state) == len(ssondo_files.state(MN))
    content["callbacks"] = {"f": np.float64(1.0), "made": pytest.approx(1)}
    with pytest.raises(WeightsCorrupt, match=r"holds more than tensors .*\('state_dict', 'training_config'\)"):
        convert(row(MN), written(tmp_path, MN, content))


WRONG: list[tuple[str, dict[str, Any], str]] = [
    (MN, {"preprocess__logmelspec__hop_len": 0.01}, "preprocess.logmelspec.hop_len is 0.01 instead of 0.016"),
    (MN, {"preprocess__logmelspec__f_min": 0}, "f_min is 0 instead of 50"),
    (MN, {"preprocess__logmelspec__f_max": 15000}, "f_max is 15000"),
    (MN, {"preprocess__logmelspec__n_mels": "128"}, "n_mels is '128'"),
    (MN, {"preprocess__slice_audio__win_len": 5}, "slice_audio.win_len is 5"),
    (MN, {"preprocess": None}, "win_len is None"),
    (MN, {"student_model__sr": 16000}, "student_model.sr is 16000 instead of 32000"),
    (MN, {"student_model__strides": [2, 2, 2, 1]}, "strides is"),
    (MN, {"student_model__se_dims": "cf"}, "se_dims is 'cf'"),
    (MN, {"student_model__relu_only": True}, "relu_only is True"),
    (MN, {"student_model__model_name": "dymn10_im"}, "model_name is 'dymn10_im', dymn"),
    (MN, {"student_model__model_name": "eres2net"}, "another net"),
    (MN, {"classification_head__n_classes": 768}, "n_classes is 768"),
    (MN, {"training_config": None}, "has no training_config"),
    (DYMN, {"student_model__pretrain_final_temp": 1}, "pretrain_final_temp is 1 instead of 30"),
    (DYMN, {"student_model__pretrain_final_temp": None}, "pretrain_final_temp is None"),
]


@pytest.mark.parametrize(("name", "changes", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_other_settings_are_refused(name: str, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    if "training_config" in changes:
        content = ssondo_files.checkpoint(name)
        del content["training_config"]
    else:
        content = ssondo_files.checkpoint(name, **changes)
    content["state_dict"] = {}  # what it says is read first
    with pytest.raises(WeightsMismatch, match=message):
        convert(row(name), written(tmp_path, name, content))


def test_settings_that_may_be_written_otherwise(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"preprocess__logmelspec__f_max": None, "student_model__strides": (2, 2, 2, 2)}
    content = ssondo_files.checkpoint(MN, **changes, student_model__se_dims=["c"], student_model__width_mult=1)
    assert convert(row(MN), written(tmp_path, MN, content)).state


def test_other_tensors_are_refused(tmp_path: Path) -> None:
    content = ssondo_files.checkpoint(MN)
    del content["state_dict"]["student_model.classification_head.mlp.3.bias"]
    with pytest.raises(WeightsMismatch, match=r"classifier\.5\.bias missing"):
        convert(row(MN), written(tmp_path, MN, content))
    content = ssondo_files.checkpoint(MN)
    content["state_dict"]["student_model.more"] = torch.zeros(2)
    with pytest.raises(WeightsMismatch, match=r"student_model.more unknown"):
        convert(row(MN), written(tmp_path, MN, content))
    with pytest.raises(WeightsMismatch, match="expected a Lightning file with state_dict"):
        convert(row(MN), written(tmp_path, MN, content["state_dict"]))


def test_what_the_original_fails_at(folder: Path) -> None:
    """Short clips, any rate, whole numbers, streams and many clips at once; what is no sound is refused."""
    model = hear_edgel3.load(MN, folder, sample_rate=RATE)
    sound = signals.clip(2.0, RATE)
    padded = np.zeros(SEGMENT, np.float32)
    padded[: len(sound)] = sound
    with torch.no_grad():
        expected = model.net(model.frontend(torch.from_numpy(padded)[None])).numpy()
    for samples in (sound, padded, (sound * 32768).astype(np.int16)):
        found = model.scene_embeddings(torch.from_numpy(samples)[None])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(InvalidAudio):
        model.scene_embeddings(torch.full((1, RATE), float("nan")))
    assert hear_edgel3.load(MN, folder, sample_rate=44100).scene_embeddings(torch.zeros(1, 4410)).shape == (1, 960)
    assert model.scene_embeddings(torch.zeros(1, 1)).shape == (1, 960)
    stamps, times = model.timestamp_embeddings(torch.from_numpy(sound)[None])
    assert stamps.shape == (1, 41, 960)
    assert times[0, -1] == 2000
    assert "segments of 10 s" in model.contract.scene
