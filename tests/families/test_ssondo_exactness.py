"""The S-SONDO family against what the authors' package gave with seeded weights; it needs the folder of its outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import hear_edgel3
from hear_edgel3.families.ssondo.frontend import SsondoMelSpectrogram, slaney_mel_bank
from hear_edgel3.registry.names import resolve
from hear_edgel3.weights.convert import convert
from support import dymn_files, originals, ssondo_files
from support.mobilenetv3_files import pt
from support.originals import assert_close
from weights_convert.heads import make_head_folder

RATE, SEGMENT = 32000, 320000
# Of the largest value of an array. Of DyMN observed 5.2e-5 (one stage of 16, without AVX-512; less than 5e-5 with it).
TOLERANCE = {"ssondo_matpac_mn": 5e-6, "ssondo_matpac_dymn": 7e-5}
FILES = {"ssondo_matpac_mn": "mobilenetv3", "ssondo_matpac_dymn": "dymn"}
# Clips whose embeddings the original gives, and that are whole segments.
WHOLE = ("c10", "b2", "c3pad", "c1pad", "c01pad", "silence")


@pytest.fixture(scope="session")
def folder(shared: Path) -> Path:
    return originals.folder_of(shared, "ssondo", "S-SONDO")


@pytest.fixture(scope="session")
def original(folder: Path) -> originals.Originals:
    return originals.reading(folder)


@pytest.fixture(scope="session")
def sounds(efficientat: Path) -> dict[str, np.ndarray]:
    """The clips, before the zeros that callers of the original append."""
    with np.load(efficientat / "clips_int16.npz") as file:
        clips = {clip: file[clip].astype(np.float32) / 32768 for clip in ("c10", "c3", "c05")}
    c10, c3, reverse = clips["c10"], clips["c3"], clips["c10"][:, ::-1]
    second = np.concatenate([c3[1], c3[0], reverse[0], c10[0, :128000]])
    return {
        "c10": c10,
        "c13": np.concatenate([c10, c3[:1]], axis=1),
        "c25": np.concatenate([c10, c3[:1], reverse, c3[1:]], axis=1)[:, :809777],
        "b2": np.stack([np.concatenate([c10[0], reverse[0]]), second]),
        "c3pad": c3,
        "c1pad": c10[:, 32000:64000],
        "c01pad": clips["c05"][:, :3200],
        "silence": np.zeros((1, SEGMENT), np.float32),
    }


@pytest.fixture(scope="session", params=list(FILES))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="session")
def model(name: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> hear_edgel3.Extractor:
    """Converted from the authors' layout, with all stages, the embedding and the head's output."""
    entry = json.loads((folder / "weights.json").read_text())[FILES[name]]
    made = ssondo_files.checkpoint(name)
    tensors = {key: value for key, value in made["state_dict"].items() if key.startswith("student_model.")}
    keys = json.loads((folder / entry["keys"]).read_text())
    assert {key: list(value.shape) for key, value in tensors.items()} == {key: shape for key, shape, *_ in keys}
    assert dymn_files.digest(tensors) == entry["sha256"]
    root = tmp_path_factory.mktemp(name)
    row = resolve(name).checkpoint
    source = root / row.upstream.filename  # type: ignore[attr-defined]
    source.write_bytes(pt(made))
    convert(row, source).write(root / row.filename)  # type: ignore[arg-type]
    stages = "_".join(f"b{i}" for i in range(16))
    return hear_edgel3.load(f"{name}_clf1_teacher_{stages}", root, sample_rate=RATE)


def parts(model: hear_edgel3.Extractor, found: torch.Tensor) -> dict[str, torch.Tensor]:
    features = model.configuration.features
    return dict(zip(features.names, found.split(list(features.sizes), dim=1), strict=True))


def test_front_end(original, sounds) -> None:
    mels = original("mels")
    bank = slaney_mel_bank(128, 1024, RATE, 50.0, 16000.0)
    # The last bit of an exponential is another one on other processors.
    np.testing.assert_allclose(bank.T, mels["melbank"], rtol=0, atol=1e-7)
    frontend = SsondoMelSpectrogram()
    for clip in ("c10", "c25", "c3pad", "c01pad", "silence"):
        expected = mels[clip]
        for number in range(expected.shape[1]):
            segment = torch.from_numpy(np.ascontiguousarray(sounds[clip][:, number * SEGMENT : (number + 1) * SEGMENT]))
            images = frontend(torch.nn.functional.pad(segment, (0, SEGMENT - segment.shape[1])))
            assert images.shape[1:] == (128, 624)
            assert_close(images[:, :, : expected.shape[3]], expected[:, number], clip, 2e-6)
    other = SsondoMelSpectrogram(n_fft=800, hop_length=320, fmin=0.0)(torch.from_numpy(sounds["c10"]))
    assert_close(other[0, :, :100], mels["other_c10"], "other", 2e-6)


def test_segments_are_the_originals(name: str, model: hear_edgel3.Extractor, original, sounds) -> None:
    """Embeddings, the head's outputs and all stages; what is shorter than a segment is followed by zeros."""
    expected, tolerance = original(FILES[name]), TOLERANCE[name]
    compared = 0
    for clip in WHOLE:
        found = parts(model, model.scene_embeddings(torch.from_numpy(sounds[clip])))
        embeddings, logits = (
            expected[key if key in expected else f"{key}_one_by_one"]
            for key in (f"{clip}__embeddings", f"{clip}__logits")
        )
        assert_close(found["clf1"], embeddings.mean(axis=1), f"{clip} embedding", tolerance)
        logits = logits if logits.ndim == 2 else logits.mean(axis=1)
        assert_close(found["teacher"], logits, f"{clip} teacher", tolerance)
        if len(embeddings[0]) == 1:
            for number in range(16):
                if (key := f"{clip}__f{number}_mean") in expected:
                    assert_close(found[f"b{number}"], expected[key], key, tolerance)
                    compared += 1
    assert compared >= 16


def test_tails_are_heard(name: str, model: hear_edgel3.Extractor, original, sounds) -> None:
    """The original drops what does not fill a segment; here it is one more, and counts for the seconds that it has."""
    expected = original(FILES[name])
    for clip, n_whole in (("c13", 1), ("c25", 2)):
        samples = torch.from_numpy(np.ascontiguousarray(sounds[clip]))
        tail = parts(model, model.scene_embeddings(samples[:, n_whole * SEGMENT :]))["clf1"].numpy()
        key = f"{clip}__embeddings"
        whole = expected[key if key in expected else f"{key}_one_by_one"]
        assert whole.shape[1] == n_whole
        found = parts(model, model.scene_embeddings(samples))["clf1"]
        share = samples.shape[1] / SEGMENT - n_whole
        assert 0 < share < 1
        assert_close(found, (whole.sum(axis=1) + share * tail) / (n_whole + share), clip, TOLERANCE[name])


def test_linear_heads(folder: Path, original, sounds, tmp_path: Path) -> None:
    """Through the folders that are made of them, as somebody would tag with them."""
    expected = original("heads")
    entries = json.loads((folder / "weights.json").read_text())
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "ssondo_matpac_mn.safetensors").write_bytes(ssondo_files.converted("ssondo_matpac_mn"))
    for head in ssondo_files.HEADS:
        state = ssondo_files.head(head)
        assert dymn_files.digest(state) == entries[f"head_{head}"]["sha256"]
        (tmp_path / f"{head}.pth").write_bytes(pt(state))
        made = make_head_folder(head, tmp_path / f"{head}.pth", tmp_path / head, tmp_path / "net")
        model = hear_edgel3.load(made, sample_rate=RATE, features=["logits"])
        for clip in ("c10", "silence"):
            found = model.scene_embeddings(torch.from_numpy(sounds[clip]))
            assert_close(found, expected[f"{head}__{clip}__logits"], f"{head} {clip}", 5e-6)
    found = model.scene_embeddings(torch.from_numpy(sounds["b2"]))
    assert_close(found, expected[f"{head}__b2__logits"], f"{head} b2", 5e-6)
